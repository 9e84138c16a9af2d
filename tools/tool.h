/* What the files of the command line share: the options as parsed, and how to end. */
#ifndef GENAI_TOOL_H
#define GENAI_TOOL_H
#include "../genai.h"

#include <stdio.h>

#define TOOL_MAX_OPERANDS 64
#define TOOL_MAX_SETTINGS 64

/* All options of all commands; 0 or NULL: not given. */
typedef struct tool_args {
    const char  *program, *command;            /* argv[0]; the command's name                                        */
    const char  *operand[TOOL_MAX_OPERANDS];   /* what isn't an option                                               */
    int          operands;
    const char  *preset, *data, *target, *out; /* --preset --data --target --out                                     */
    const char  *picture, *mask, *judge, *test; /* -o --mask --judge --test                                          */
    const char  *generator, *discriminator, *encoder, *decoder;
    const char  *setting[TOOL_MAX_SETTINGS];   /* --set key=value                                                    */
    int          settings;
    long         epochs, steps, batch, channels, threads, sample_every, checkpoint_every, limit, count, rows, label, from, to, nll, ais, completions;
    double       minutes, lr, holdout, seconds, noise;
    long         size[2], crop[2];             /* width, height                                                      */
    uint64_t     seed;
    int          seed_given;
    genai_isa    isa;
    genai_filter filter;
    int          filter_given;
    int          flip, resume, json, profile, back, help;
} tool_args;

enum { TOOL_DONE = 0, TOOL_FAILED = 1, TOOL_USAGE = 2, TOOL_STOPPED = 130 };

int  tool_fail(const char *format, ...) GENAI__PRINTF(1, 2);                         /* says why; returns TOOL_FAILED      */
int  tool_usage(const tool_args *a, const char *format, ...) GENAI__PRINTF(2, 3);    /* the same for TOOL_USAGE            */
void tool_log(void *user, genai_log_level level, const char *text);                  /* for genai_ctx_desc.log             */
const genai_preset *tool_preset(const char *name);                                   /* NULL if there is none              */
const char *tool_nearest_preset(const char *name);
int            tool_exists(const char *path);
genai_ctx     *tool_ctx(const tool_args *a, uint64_t seed);
genai_dataset *tool_data(genai_ctx *ctx, const tool_args *a, int width, int height, int channels);
float         *tool_floats(size_t a, size_t b);                                      /* a*b; NULL with the reason said     */
int  tool_sample(const tool_args *a), tool_reconstruct(const tool_args *a), tool_interpolate(const tool_args *a), tool_info(const tool_args *a); /* use.c */
int  tool_traverse(const tool_args *a), tool_change(const tool_args *a), tool_inpaint(const tool_args *a), tool_denoise(const tool_args *a);
int  tool_anomaly(const tool_args *a), tool_translate(const tool_args *a), tool_nearest(const tool_args *a);
int  tool_measure(const tool_args *a);                                               /* measure.c                          */
int  tool_compare(const tool_args *a);                                               /* compare.c                          */
int  tool_bench(const tool_args *a);                                                 /* bench.c                            */

genai_dataset *tool_npy(genai_ctx *ctx, const tool_args *a, const char *path, const genai_dataset_desc *desc); /* measure.c */
int            tool_ends(const char *path, const char *ending);
int            tool_rising(const void *a, const void *b);                            /* floats, for qsort                  */

/* A page in the making (report.c). */
typedef struct tool_report {
    FILE *file;
    char  path[4096], beside[4104];
} tool_report;
int  tool_replace(const char *whole, const char *path);
int  report_open(tool_report *r, const char *dir, const char *title, int refresh);
int  report_close(tool_report *r);
void report_text(tool_report *r, const char *text);
void report_picture(tool_report *r, const char *file, const char *caption, int scale);
void report_curves(tool_report *r, const char *csv, double *seconds);                /* r NULL: seconds only               */
int  report_run(const char *dir, genai_model *model, long step, int finished);
#endif
