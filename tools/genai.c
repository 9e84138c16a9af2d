/* genai: the command line of genai.h. Trains models on a folder of images, samples from them, and measures speed.
 *   cc -O2 tools/genai.c tools/use.c tools/measure.c tools/compare.c tools/report.c tools/bench.c -o build/genai -lm
 * In order: failing, options (one table), training, commands (one table), main; what is done with a trained model is in
 * use.c, how good its images are in measure.c, all families side by side in compare.c, pages in report.c, the benchmark in bench.c. It uses the public interface of genai.h only. Exit
 * status: 0 done, 1 failed (one sentence on stderr), 2 wrong usage, 130 stopped by a signal with
 * everything saved. */
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wcast-qual"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wunused-function"
#endif
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#define GENAI_IMPLEMENTATION
#include "tool.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- failing --- */

static void say(const char *format, va_list args, const char *end) {
    fputs("genai: ", stderr);
    vfprintf(stderr, format, args);
    fputs(end, stderr);
}

int tool_fail(const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(format, args, "\n");
    va_end(args);
    return TOOL_FAILED;
}

int tool_usage(const tool_args *a, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(format, args, a->command ? " (see genai " : " (see genai --help)\n");
    va_end(args);
    if (a->command) fprintf(stderr, "%s --help)\n", a->command);
    return TOOL_USAGE;
}

/* What the library has to say. It logs the first error only, so a command that fails in the library just returns. */
void tool_log(void *user, genai_log_level level, const char *text) {
    (void)user;
    if (level == GENAI_LOG_INFO) printf("%s\n", text);
    else fprintf(stderr, "genai: %s%s\n", level == GENAI_LOG_WARNING ? "warning: " : "", text);
}

/* Least number of letters to insert, delete or replace (Levenshtein 1966). */
static size_t distance(const char *a, const char *b) {
    size_t row[64], i, j, n = strlen(b);
    if (n > 62) n = 62;
    for (j = 0; j <= n; j++) row[j] = j;
    for (i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (j = 0; j < n; j++) {
            size_t replaced = diagonal + (a[i] != b[j]), other = 1 + (row[j] < row[j + 1] ? row[j] : row[j + 1]);
            diagonal = row[j + 1];
            row[j + 1] = replaced < other ? replaced : other;
        }
    }
    return row[n];
}

/* Keeps the nearer of two words; start with *best NULL. */
static void nearer(const char *word, const char *candidate, const char **best) {
    if (!*best || distance(word, candidate) < distance(word, *best)) *best = candidate;
}

const genai_preset *tool_preset(const char *name) {
    for (int i = 0; i < genai_preset_count(); i++) {
        const genai_preset *p = genai_preset_at(i);
        if (p && !strcmp(p->name, name)) return p;
    }
    return NULL;
}

const char *tool_nearest_preset(const char *name) {
    const char *best = NULL;
    for (int i = 0; i < genai_preset_count(); i++) {
        const genai_preset *p = genai_preset_at(i);
        if (p) nearer(name, p->name, &best);
    }
    return best ? best : "";
}

/* --- options --- */

enum { PRESETS = 1, TRAIN = 2, SAMPLE = 4, RECONSTRUCT = 8, INTERPOLATE = 16, INFO = 32, BENCH = 64, TRAVERSE = 128, CHANGE = 256, INPAINT = 512, DENOISE = 1024,
       ANOMALY = 2048, TRANSLATE = 4096, NEAREST = 8192, MEASURE = 16384, COMPARE = 32768 };
#define ON_IMAGES (RECONSTRUCT | CHANGE | INPAINT | DENOISE | ANOMALY | TRANSLATE | NEAREST)
#define PICTURES (SAMPLE | INTERPOLATE | TRAVERSE | ON_IMAGES)
#define ANY (PRESETS | TRAIN | PICTURES | INFO | BENCH | MEASURE | COMPARE)

typedef enum option_kind { FLAG, TEXT, SETTING, WHOLE, NUMBER, SEED, SIZE, ISA, FILTER } option_kind;

typedef struct option {
    const char *name, *value;   /* value: how help calls it; NULL for a flag                    */
    option_kind kind;
    int         commands;       /* that take it                                                 */
    size_t      at;             /* offset in tool_args                                          */
    double      least, most;    /* WHOLE and NUMBER                                             */
    const char *about;          /* for help, with the default                                   */
} option;

#define AT(field) offsetof(tool_args, field)
static const option options[] = {
    {"--preset", "NAME", TEXT, TRAIN, AT(preset), 0, 0, "what to train; genai presets lists them (gan)"},
    {"--data", "PATH", TEXT, TRAIN | ON_IMAGES | MEASURE | COMPARE, AT(data), 0, 0,
     "images: IDX file or folder, CIFAR-10 folder, image, folder of images (sprites: the built-in ones)"},
    {"--target", "PATH", TEXT, TRAIN, AT(target), 0, 0, "translate: what each image of --data becomes, in the order of the files' names; cycle: images of the other kind"},
    {"--out", "DIR", TEXT, TRAIN, AT(out), 0, 0, "folder for the model, the checkpoint, metrics.csv and samples/ (must be given)"},
    {"--epochs", "N", WHOLE, TRAIN, AT(epochs), 1, 1e9, "stop after N passes over the data (10 if nothing else stops it)"},
    {"--steps", "N", WHOLE, TRAIN | MEASURE | COMPARE, AT(steps), 1, 1e9, "stop after N steps (measure, compare: of the judge's training, 1500)"},
    {"--minutes", "X", NUMBER, TRAIN, AT(minutes), 1e-3, 1e6, "stop after X minutes"},
    {"--batch", "N", WHOLE, TRAIN | BENCH, AT(batch), 1, 65536, "images a step (train: the preset's; bench: 64, bench sample: 1 and 64)"},
    {"--size", "WxH", SIZE, TRAIN | BENCH | MEASURE | COMPARE, AT(size), 0, 0, "resize every image to W x H, or N for N x N (the preset's, else what most images have)"},
    {"--channels", "C", WHOLE, TRAIN | BENCH | MEASURE | COMPARE, AT(channels), 1, 4, "1 grey, 2 grey + alpha, 3 RGB, 4 RGBA (the least that loses nothing)"},
    {"--filter", "NAME", FILTER, TRAIN | ON_IMAGES | MEASURE | COMPARE, AT(filter), 0, 0, "smooth, or nearest for pixel art, when resizing (smooth)"},
    {"--flip", NULL, FLAG, TRAIN, AT(flip), 0, 0, "mirror images left to right at random"},
    {"--holdout", "F", NUMBER, TRAIN | MEASURE | COMPARE, AT(holdout), 0, 0.9,
     "set this share of the images aside, to measure on it (train: 0, else 0.1; give all the same)"},
    {"--judge", "FILE", TEXT, MEASURE, AT(judge), 0, 0, "use the judge in this file, or leave it there for the next time (a new one)"},
    {"--ais", "STEPS", WHOLE, COMPARE, AT(ais), 0, 100000, "temperatures of a decoder's log-likelihood, at least 20; 0: none (100)"},
    {"--nll", "K", WHOLE, MEASURE | COMPARE, AT(nll), 1, 100000, "also the unseen images' negative log-likelihood, by K importance samples (autoencoders with a density)"},
    {"--crop", "WxH", SIZE, MEASURE, AT(crop), 0, 0, "keep only the middle of an .npy file's images"},
    {"--limit", "N", WHOLE, TRAIN | ON_IMAGES | MEASURE | COMPARE, AT(limit), 1, 1e9, "use at most N images (all; 4096 sprites an epoch)"},
    {"--lr", "X", NUMBER, TRAIN, AT(lr), 1e-30, 1e38, "learning rate (the preset's)"},
    {"--generator", "TEXT", TEXT, TRAIN, AT(generator), 0, 0, "network text instead of the preset's"},
    {"--discriminator", "TEXT", TEXT, TRAIN, AT(discriminator), 0, 0, "likewise"},
    {"--encoder", "TEXT", TEXT, TRAIN, AT(encoder), 0, 0, "likewise"},
    {"--decoder", "TEXT", TEXT, TRAIN, AT(decoder), 0, 0, "likewise"},
    {"--set", "KEY=VALUE", SETTING, TRAIN, AT(setting), 0, 0, "any other field of genai_model_desc, as beta=4; may be repeated"},
    {"--sample-every", "N", WHOLE, TRAIN, AT(sample_every), 1, 1e9, "steps between sample grids (at 1, 2, 5, 10, 20, 50, ...)"},
    {"--checkpoint-every", "N", WHOLE, TRAIN, AT(checkpoint_every), 1, 1e9, "steps between checkpoints (every 60 seconds)"},
    {"--resume", NULL, FLAG, TRAIN, AT(resume), 0, 0, "go on from DIR/checkpoint.safetensors"},
    {"--test", "PATH", TEXT, COMPARE, AT(test), 0, 0, "real images that no model was trained on (the data's own test part, else --holdout of it)"},
    {"-o", "DIR", TEXT, COMPARE, AT(out), 0, 0, "folder for report.html, results.csv, results.json and pictures/ (must be given)"},
    {"-o", "FILE.png", TEXT, PICTURES, AT(picture), 0, 0, "the picture to write (must be given)"},
    {"-n", "N", WHOLE, PICTURES | MEASURE | COMPARE, AT(count), 1, 65536, "images (sample: 64, measure, compare: 2000, else 16); steps from end to end (interpolate, traverse, change: 10)"},
    {"--rows", "N", WHOLE, INTERPOLATE | TRAVERSE | CHANGE, AT(rows), 1, 4096, "rows: pairs of ends, latents, or images (8)"},
    {"--label", "N", WHOLE, SAMPLE | INTERPOLATE | TRAVERSE, AT(label), 0, 65535, "the class to make, of a conditional model (sample: all in turn; else 0)"},
    {"--mask", "WHAT", TEXT, INPAINT, AT(mask), 0, 0, "what is hidden: left, right, top, bottom, center, or a picture of the images' size that is dark there (right)"},
    {"--noise", "X", NUMBER, INPAINT | DENOISE, AT(noise), 1e-4, 10, "standard deviation of the known pixels from what they should be, white being 1 (inpaint 0.5, denoise 0.1)"},
    {"--completions", "N", WHOLE, INPAINT | DENOISE, AT(completions), 1, 64, "the mean of so many, which errs least; one is sharp (1)"},
    {"--from", "N", WHOLE, CHANGE, AT(from), 0, 65535, "the class that the images are of (0)"},
    {"--to", "N", WHOLE, CHANGE, AT(to), 0, 65535, "the class that they become (1)"},
    {"--back", NULL, FLAG, TRANSLATE, AT(back), 0, 0, "from the target's kind to the source's (cycle only)"},
    {"--seed", "N", SEED, TRAIN | PICTURES | MEASURE | COMPARE, AT(seed), 0, 0, "of everything random (0)"},
    {"--seconds", "X", NUMBER, BENCH, AT(seconds), 1e-3, 3600, "measure each figure for X seconds (gemm 0.4, conv 0.3, train 3, sample 2, scale 1.5; all of them, in brief: less)"},
    {"--profile", NULL, FLAG, BENCH, AT(profile), 0, 0, "train, sample: the share and the rate of each op"},
    {"--json", NULL, FLAG, BENCH | MEASURE, AT(json), 0, 0, "one JSON document at the end instead of lines (docs/performance.md)"},
    {"--threads", "N", WHOLE, TRAIN | PICTURES | BENCH | MEASURE | COMPARE, AT(threads), 0, 256, "threads; 0: one per core (0)"},
    {"--isa", "NAME", ISA, TRAIN | PICTURES | BENCH | MEASURE | COMPARE, AT(isa), 0, 0, "scalar, avx2, avx512 or neon (the best this processor has)"},
    {"--help", NULL, FLAG, ANY, AT(help), 0, 0, "this text"},
};
#define OPTIONS (sizeof options / sizeof options[0])

static int parse_size(const char *text, long size[2]) {
    char *end;
    size[0] = size[1] = strtol(text, &end, 10);
    if (end == text) return 0;
    if (*end == 'x' || *end == 'X') {
        const char *second = end + 1;
        size[1] = strtol(second, &end, 10);
        if (end == second) return 0;
    }
    return !*end && size[0] >= 1 && size[0] <= 16384 && size[1] >= 1 && size[1] <= 16384;
}

static int parse_isa(const tool_args *a, const char *text, genai_isa *isa) {
    const char *best = NULL;
    for (int i = GENAI_ISA_BEST; i <= GENAI_ISA_NEON; i++) {
        const char *name = genai_isa_name((genai_isa)i);
        if (!strcmp(name, text)) {
            *isa = (genai_isa)i;
            return TOOL_DONE;
        }
        nearer(text, name, &best);
    }
    return tool_usage(a, "there is no instruction set '%s'; did you mean %s?", text, best);
}

static int parse_filter(const tool_args *a, const char *text, genai_filter *filter) {
    const char *best = "smooth";
    *filter = GENAI_FILTER_SMOOTH;
    if (!strcmp(text, "smooth")) return TOOL_DONE;
    *filter = GENAI_FILTER_NEAREST;
    if (!strcmp(text, "nearest")) return TOOL_DONE;
    nearer(text, "nearest", &best);
    return tool_usage(a, "--filter has no '%s'; did you mean %s?", text, best);
}

/* Puts the text of one option into its field. */
static int parse_value(tool_args *a, const option *o, const char *text) {
    unsigned char *field = (unsigned char *)a + o->at;
    char          *end = NULL;
    errno = 0;
    switch (o->kind) {
    case FLAG: *(int *)(void *)field = 1; return TOOL_DONE;
    case TEXT: *(const char **)(void *)field = text; return TOOL_DONE;
    case SETTING:
        if (!strchr(text, '=')) return tool_usage(a, "--set wants KEY=VALUE, not '%s'", text);
        if (a->settings == TOOL_MAX_SETTINGS) return tool_usage(a, "--set can be given %d times at most", TOOL_MAX_SETTINGS);
        a->setting[a->settings++] = text;
        return TOOL_DONE;
    case WHOLE: {
        long value = strtol(text, &end, 10);
        if (end == text || *end || errno || (double)value < o->least || (double)value > o->most)
            return tool_usage(a, "%s wants a whole number from %.0f to %.0f, not '%s'", o->name, o->least, o->most, text);
        *(long *)(void *)field = value;
        return TOOL_DONE;
    }
    case NUMBER: {
        double value = strtod(text, &end);
        if (end == text || *end || !(value >= o->least && value <= o->most))
            return tool_usage(a, "%s wants a number from %g to %g, not '%s'", o->name, o->least, o->most, text);
        *(double *)(void *)field = value;
        return TOOL_DONE;
    }
    case SEED: {
        unsigned long long value = strtoull(text, &end, 10);
        if (!isdigit((unsigned char)text[0]) || *end || errno)
            return tool_usage(a, "--seed wants a whole number from 0 to 18446744073709551615, not '%s'", text);
        a->seed = value;
        a->seed_given = 1;
        return TOOL_DONE;
    }
    case SIZE:
        if (parse_size(text, (long *)(void *)field)) return TOOL_DONE;
        return tool_usage(a, "%s wants WIDTHxHEIGHT or one number, 1 to 16384, not '%s'", o->name, text);
    case ISA: return parse_isa(a, text, &a->isa);
    case FILTER: a->filter_given = 1; return parse_filter(a, text, &a->filter);
    }
    return TOOL_USAGE;
}

static int unknown_option(const tool_args *a, int command, const char *word) {
    const char *best = NULL;
    for (size_t i = 0; i < OPTIONS; i++)
        if (options[i].commands & command) nearer(word, options[i].name, &best);
    return tool_usage(a, "%s has no option '%s'; did you mean %s?", a->command, word, best);
}

/* --name value, --name=value, flags, operands; after -- operands only. */
static int parse_options(tool_args *a, int command, int argc, char **argv) {
    int operands_only = 0;
    for (int i = 0; i < argc; i++) {
        const char   *word = argv[i], *value = NULL;
        const option *o = NULL;
        char          name[40];
        size_t        length = strcspn(word, "=");
        int           status;
        if (operands_only || word[0] != '-' || !word[1]) {
            if (a->operands == TOOL_MAX_OPERANDS) return tool_usage(a, "more than %d words", TOOL_MAX_OPERANDS);
            a->operand[a->operands++] = word;
            continue;
        }
        if (!strcmp(word, "--")) {
            operands_only = 1;
            continue;
        }
        if (!strcmp(word, "-h")) word = "--help", length = 6;
        if (word[1] == '-' && word[length] == '=') value = word + length + 1;
        else length = strlen(word);
        if (length >= sizeof name) length = sizeof name - 1;
        memcpy(name, word, length);
        name[length] = 0;
        for (size_t j = 0; j < OPTIONS && !o; j++)
            if ((options[j].commands & command) && !strcmp(options[j].name, name)) o = &options[j];
        if (!o) return unknown_option(a, command, name);
        if (o->kind == FLAG && value) return tool_usage(a, "%s takes no value", o->name);
        if (o->kind != FLAG && !value) {
            if (i + 1 == argc) return tool_usage(a, "%s wants a value (%s)", o->name, o->value);
            value = argv[++i];
        }
        status = parse_value(a, o, value);
        if (status) return status;
    }
    return TOOL_DONE;
}

/* --- what several commands do --- */

genai_ctx *tool_ctx(const tool_args *a, uint64_t seed) {
    genai_ctx_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = seed;
    desc.threads = (int)a->threads;
    desc.isa = a->isa;
    desc.log = tool_log;
    return genai_ctx_create(&desc);
}

genai_dataset *tool_data(genai_ctx *ctx, const tool_args *a, int width, int height, int channels) {
    genai_dataset_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.width = width;
    desc.height = height;
    desc.channels = channels;
    desc.filter = a->filter;
    desc.flip = a->flip;
    desc.holdout = (float)a->holdout;
    desc.limit = (size_t)a->limit;
    if (a->data && strcmp(a->data, "sprites")) return genai_dataset_open(ctx, a->data, &desc);
    return genai_dataset_sprites(ctx, a->limit ? (size_t)a->limit : 4096, &desc);
}

/* count floats, or NULL with the reason said. */
float *tool_floats(size_t a, size_t b) {
    float *p = b && a > SIZE_MAX / sizeof(float) / b ? NULL : (float *)malloc(a * b * sizeof(float));
    if (!p) tool_fail("there is no memory for %zu x %zu numbers", a, b);
    return p;
}

int tool_exists(const char *path) {
    FILE *f = fopen(path, "rb");
    if (f) fclose(f);
    return f != NULL;
}

/* --- presets --- */

static int run_presets(const tool_args *a) {
    (void)a;
    printf("%-16s %-7s %-11s %5s  %s\n", "preset", "family", "images", "batch", "about");
    for (int i = 0; i < genai_preset_count(); i++) {
        const genai_preset *p = genai_preset_at(i);
        char                size[40];
        if (!p) continue;
        if (p->width && p->channels) snprintf(size, sizeof size, "%dx%dx%d", p->width, p->height, p->channels);
        else if (p->width) snprintf(size, sizeof size, "%dx%d", p->width, p->height);
        else snprintf(size, sizeof size, "any size");
        printf("%-16s %-7s %-11s %5d  %s\n", p->name, p->family, size, p->batch, p->about);
    }
    return TOOL_DONE;
}

/* --- train --- */

static volatile sig_atomic_t stop_signal;

/* The first signal asks for a stop after the current step; the second one ends the program at once. */
static void on_signal(int number) {
    stop_signal = 1;
    signal(number, SIG_DFL);
}

/* What the data and the batches are, DIR/options.txt holds, one option a line, as it was when the run began. */
static const char *const lasting[] = {"--data", "--target", "--filter", "--flip", "--holdout", "--limit", "--batch"};
#define LASTING (sizeof lasting / sizeof lasting[0])
#define OPTIONS_TEXT 16384

/* Number k of these as one word, "--batch=32"; "" if it wasn't given. */
static const char *lasting_word(const tool_args *a, size_t k, char *to, size_t size) {
    const option *o = options;
    const void   *field;
    while (strcmp(o->name, lasting[k])) o++;
    field = (const unsigned char *)a + o->at;
    to[0] = 0;
    if (o->kind == FLAG && *(const int *)field) snprintf(to, size, "%s", o->name);
    if (o->kind == TEXT && *(const char *const *)field) snprintf(to, size, "%s=%s", o->name, *(const char *const *)field);
    if (o->kind == WHOLE && *(const long *)field) snprintf(to, size, "%s=%ld", o->name, *(const long *)field);
    if (o->kind == NUMBER && *(const double *)field > 0) snprintf(to, size, "%s=%.9g", o->name, *(const double *)field);
    if (o->kind == FILTER && a->filter_given) snprintf(to, size, "%s=%s", o->name, a->filter == GENAI_FILTER_NEAREST ? "nearest" : "smooth");
    return to;
}

static void write_options(const tool_args *a) {
    char  word[OPTIONS_TEXT];
    FILE *f;
    int   done;
    snprintf(word, sizeof word, "%s/options.txt", a->out);
    f = fopen(word, "w");
    for (size_t k = 0; f && k < LASTING; k++)
        if (lasting_word(a, k, word, sizeof word)[0]) fprintf(f, "%s\n", word);
    done = f && !ferror(f);
    if ((f && fclose(f)) || !done) fprintf(stderr, "genai: warning: %s/options.txt could not be written: --resume can't check the options\n", a->out);
}

/* Takes what wasn't given from options.txt, if there is one, into text; refuses what was given otherwise. */
static int read_options(tool_args *a, char *text) {
    char      was[OPTIONS_TEXT], now[OPTIONS_TEXT], *words[LASTING], *p = text;
    int       n = 0, status;
    size_t    size = 0;
    tool_args begun;
    FILE     *f;
    snprintf(was, sizeof was, "%s/options.txt", a->out);
    f = fopen(was, "r");
    if (f) {
        size = fread(text, 1, OPTIONS_TEXT - 1, f);
        fclose(f);
    }
    text[size] = 0;
    for (; *p && n < (int)LASTING; p += *p == '\n') {
        words[n++] = p;
        p += strcspn(p, "\n");
        if (*p) *p = 0, p++;
    }
    memset(&begun, 0, sizeof begun);
    begun.command = a->command;
    status = parse_options(&begun, TRAIN, n, words);
    for (size_t k = 0; k < LASTING && n && !status; k++) {
        lasting_word(&begun, k, was, sizeof was);
        if (lasting_word(a, k, now, sizeof now)[0] && strcmp(was, now))
            return tool_fail("%s holds a run that began with %s%s, which %s can't change (see its options.txt)", a->out, was[0] ? "" : "no ", was[0] ? was : lasting[k], now);
    }
    return status ? status : parse_options(a, TRAIN, n, words);
}

typedef struct watch {
    const tool_args *args;
    long             shown; /* the step of DIR/report.html */
} watch;

static int on_step(void *user, const genai_progress *progress) {
    watch           *w = (watch *)user;
    const tool_args *a = w->args;
    char             picture[4200];
    long             before = progress->step - 1; /* whose pictures are there, if it has some: a step's are written after this call */
    if (progress->step == 1 && !a->resume) write_options(a); /* now there is a folder */
    genai_progress_bar(NULL, progress);
    snprintf(picture, sizeof picture, "%s/samples/step-%06ld.png", a->out, before);
    if (!progress->finished && before > w->shown && tool_exists(picture)) {
        w->shown = before;
        report_run(a->out, progress->model, before, 0); /* the one at the end tells of failures */
    }
    return stop_signal != 0;
}

/* One word as a shell reads it. */
static void print_quoted(const char *word) {
    if (word[0] && word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./,:@%")] == 0) {
        fputs(word, stdout);
        return;
    }
    putchar('\'');
    for (; *word; word++)
        if (*word == '\'') fputs("'\\''", stdout);
        else putchar(*word);
    putchar('\'');
}

/* The command that goes on with this run: the one that was given, and --resume. */
static void print_resume(const tool_args *a, int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        if (i) putchar(' ');
        print_quoted(argv[i]);
    }
    puts(a->resume ? "" : " --resume");
}

/* Fills desc from the options; the texts stay where they are. TOOL_USAGE for what the user wrote wrongly. */
static int describe_model(genai_ctx *ctx, const tool_args *a, genai_model_desc *desc, char (*keys)[64]) {
    memset(desc, 0, sizeof *desc);
    desc->preset = a->preset;
    desc->generator = a->generator;
    desc->discriminator = a->discriminator;
    desc->encoder = a->encoder;
    desc->decoder = a->decoder;
    desc->lr = (float)a->lr;
    for (int i = 0; i < a->settings; i++) {
        const char *value = strchr(a->setting[i], '=') + 1;
        snprintf(keys[i], sizeof keys[i], "%.*s", (int)(value - 1 - a->setting[i]), a->setting[i]);
        if (genai_model_set(ctx, desc, keys[i], value)) return TOOL_USAGE;
    }
    return TOOL_DONE;
}

/* Is a net's text the one that was asked for, with sizes in the place of $H and the like? */
static int same_net(const char *own, const char *asked, const genai_model_desc *has) {
    char number[16];
    for (; *asked; asked++) {
        const char *place = *asked == '$' ? strchr("HWCDZK", asked[1]) : NULL;
        int         sizes[6] = {has->height, has->width, has->channels, has->height * has->width * has->channels, has->latent, has->classes};
        if (!place || !*place) {
            if (*own++ != *asked) return 0;
            continue;
        }
        sprintf(number, "%d", sizes[place - "HWCDZK"]);
        if (strncmp(own, number, strlen(number))) return 0;
        own += strlen(number);
        asked++;
    }
    return !*own;
}

static int check_setting(const tool_args *a, genai_model *model, const genai_model_desc *has, const char *key, const char *asked) {
    char        number[32], *end, *own_end;
    const char *own = asked ? genai_model_get(model, key, number) : NULL;
    if (!asked || (own && same_net(own, asked, has))) return TOOL_DONE;
    if (own && strtof(own, &own_end) == strtof(asked, &end) && end > asked && own_end > own && !*end && !*own_end) return TOOL_DONE;
    return tool_fail("%s holds a run with %s '%s', which can't become '%s'", a->out, key, own ? own : "", asked);
}

/* A resumed run keeps what its checkpoint says; options that say otherwise are refused rather than ignored. asked: what they say
 * of the model, with the settings' names in keys. */
static int check_resumed(const tool_args *a, genai_model *model, const genai_model_desc *has, const genai_model_desc *asked, char (*keys)[64]) {
    int status;
    if (a->seed_given && a->seed != genai_model_seed(model))
        return tool_fail("%s holds a run with seed %llu, which --seed can't change", a->out, (unsigned long long)genai_model_seed(model));
    if (a->preset && has->preset && strcmp(a->preset, has->preset))
        return tool_fail("%s holds a run of preset %s, so --preset %s can't go on with it", a->out, has->preset, a->preset);
    if ((a->size[0] && (a->size[0] != has->width || a->size[1] != has->height)) || (a->channels && a->channels != has->channels))
        return tool_fail("%s holds a run on images %dx%dx%d, which --size and --channels can't change", a->out, has->width, has->height,
                         has->channels);
    if (a->lr > 0 && (float)a->lr != has->lr) /* the very number was stored */
        return tool_fail("%s holds a run with learning rate %g, which --lr can't change", a->out, (double)has->lr);
    status = check_setting(a, model, has, "generator", asked->generator);
    if (!status) status = check_setting(a, model, has, "discriminator", asked->discriminator);
    if (!status) status = check_setting(a, model, has, "encoder", asked->encoder);
    if (!status) status = check_setting(a, model, has, "decoder", asked->decoder);
    for (int i = 0; i < a->settings && !status; i++) status = check_setting(a, model, has, keys[i], strchr(a->setting[i], '=') + 1);
    return status;
}

static void print_started(const tool_args *a, genai_ctx *ctx, genai_model *model, genai_dataset *data) {
    genai_model_desc   desc = genai_model_resolved(model);
    genai_dataset_info info = genai_dataset_describe(data);
    genai_dataset     *test = genai_dataset_test(data);
    printf("%s: %s on %zu images %dx%dx%d", desc.preset, genai_model_family(model), info.count, info.width, info.height, info.channels);
    printf(" (%s)", a->data && strcmp(a->data, "sprites") ? a->data : "built-in sprites");
    if (info.skipped) printf(", %zu files skipped", info.skipped);
    if (test) printf(", %zu images to test", genai_dataset_describe(test).count);
    printf("; seed %llu, %s, %d %s\n", (unsigned long long)genai_model_seed(model), genai_isa_name(genai_ctx_isa(ctx)), genai_ctx_threads(ctx), genai_ctx_threads(ctx) == 1 ? "thread" : "threads");
    if (a->resume) printf("resumed from %s/checkpoint.safetensors at step %ld\n", a->out, genai_model_steps(model));
    fflush(stdout);
}

static void print_written(const tool_args *a, genai_model *model) {
    printf("%ld steps done; in %s:\n", genai_model_steps(model), a->out);
    if (a->target) printf("  model.safetensors       the model; to use it: %s translate %s/model.safetensors --data PATH -o made.png\n", a->program, a->out);
    else printf("  model.safetensors       the model; for pictures: %s sample %s/model.safetensors -o samples.png\n", a->program, a->out);
    printf("  checkpoint.safetensors  to train it further: the same command with more to do and --resume\n");
    printf("  options.txt             what it was begun with, to which --resume keeps\n");
    printf("  metrics.csv             losses, measures, health of the training\n");
    printf("  report.html             curves and pictures on one page, for a browser\n");
    printf("  samples/                pictures on the way, from the same latents each time\n");
}

static int fit(const tool_args *a, genai_model *model, genai_dataset *data, int argc, char **argv) {
    genai_fit_desc desc;
    genai_result   result;
    watch          w = {a, genai_model_steps(model)};
    memset(&desc, 0, sizeof desc);
    desc.epochs = a->epochs;
    desc.steps = a->steps;
    desc.minutes = a->minutes;
    desc.batch = (int)a->batch;
    desc.on_step = on_step;
    desc.user = &w;
    desc.out = a->out;
    desc.sample_every = a->sample_every;
    desc.checkpoint_every = a->checkpoint_every;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    result = genai_model_fit(model, data, &desc);
    if (result < 0) return TOOL_FAILED;
    if (report_run(a->out, model, genai_model_steps(model), 1)) return tool_fail("%s/report.html could not be written", a->out);
    if (result == GENAI_STOPPED) {
        printf("stopped at step %ld with everything saved in %s; this goes on:\n  ", genai_model_steps(model), a->out);
        print_resume(a, argc, argv);
        return TOOL_STOPPED;
    }
    print_written(a, model);
    return TOOL_DONE;
}

/* Loads the checkpoint, in a context of its seed: which that is, only the file knows. */
static genai_model *load_checkpoint(const tool_args *a, genai_ctx **ctx, const char *path) {
    genai_model *model = genai_model_load(*ctx, path);
    uint64_t     seed = model ? genai_model_seed(model) : a->seed;
    if (seed == a->seed || a->seed_given) return model;
    genai_ctx_destroy(*ctx);
    *ctx = tool_ctx(a, seed);
    return *ctx ? genai_model_load(*ctx, path) : NULL;
}

/* Pairs of the data and the target: aligned, unless for cycle. */
static genai_dataset *pair_up(genai_ctx *ctx, const tool_args *a, genai_dataset *data, const char *family) {
    genai_dataset_info info = genai_dataset_describe(data);
    tool_args          other = *a;
    other.data = a->target;
    return genai_dataset_pairs(data, tool_data(ctx, &other, info.width, info.height, info.channels), strcmp(family, "cycle") != 0);
}

static int train(const tool_args *a, genai_ctx **ctx, const char *checkpoint, int argc, char **argv) {
    const genai_preset *preset = tool_preset(a->preset ? a->preset : "gan");
    char                keys[TOOL_MAX_SETTINGS][64];
    genai_model_desc    desc;
    genai_model        *model = NULL;
    genai_dataset      *data;
    int                 width, height, channels, status = describe_model(*ctx, a, &desc, keys);
    if (status) return status;
    if (a->resume) {
        genai_model_desc has;
        model = load_checkpoint(a, ctx, checkpoint);
        if (!model) return TOOL_FAILED;
        has = genai_model_resolved(model);
        status = check_resumed(a, model, &has, &desc, keys);
        if (status) return status;
        width = has.width;
        height = has.height;
        channels = has.channels;
    } else {
        width = a->size[0] ? (int)a->size[0] : preset->width;
        height = a->size[0] ? (int)a->size[1] : preset->height;
        channels = a->channels ? (int)a->channels : preset->channels;
    }
    data = tool_data(*ctx, a, width, height, channels);
    if (data && a->target) data = pair_up(*ctx, a, data, model ? genai_model_family(model) : preset->family);
    if (!data) return TOOL_FAILED;
    if (!model) {
        desc.data = data;
        model = genai_model_create(*ctx, &desc);
        if (!model) return genai_ctx_result(*ctx) == GENAI_ERROR_SYNTAX ? TOOL_USAGE : TOOL_FAILED;
    }
    print_started(a, *ctx, model, data);
    return fit(a, model, data, argc, argv);
}

static int run_train(const tool_args *given, int argc, char **argv) {
    char       checkpoint[4096], model[4096], text[OPTIONS_TEXT];
    tool_args  own = *given, *a = &own;
    genai_ctx *ctx;
    int        status;
    if (a->preset && !tool_preset(a->preset))
        return tool_usage(a, "there is no preset '%s'; did you mean %s?", a->preset, tool_nearest_preset(a->preset));
    if (a->preset && !a->target && !a->resume && (!strcmp(tool_preset(a->preset)->family, "translate") || !strcmp(tool_preset(a->preset)->family, "cycle")))
        return tool_usage(a, "preset %s wants --target PATH, what the images of --data shall become", a->preset);
    if (!a->out) return tool_usage(a, "train wants --out DIR, the folder for what it makes");
    if ((size_t)snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint.safetensors", a->out) >= sizeof checkpoint)
        return tool_fail("the path given with --out is longer than %zu bytes", sizeof checkpoint - 24);
    snprintf(model, sizeof model, "%s/model.safetensors", a->out);
    if (!a->resume && (tool_exists(checkpoint) || tool_exists(model)))
        return tool_fail("%s holds a run already; go on with it by --resume, or choose another --out", a->out);
    if (a->resume && !tool_exists(checkpoint)) return tool_fail("there is no %s to resume from", checkpoint);
    if (!a->resume) {
        if (!a->data) a->data = "sprites";
        if (!a->batch) a->batch = tool_preset(a->preset ? a->preset : "gan")->batch;
        a->filter_given = 1;
    } else if ((status = read_options(a, text)) != TOOL_DONE) return status;
    ctx = tool_ctx(a, a->seed);
    if (!ctx) return TOOL_FAILED;
    status = train(a, &ctx, checkpoint, argc, argv);
    genai_ctx_destroy(ctx);
    return status;
}

/* --- the commands --- */

typedef struct command {
    const char *name, *synopsis, *about;
    int         bit, least, most; /* operands */
    int (*run)(const tool_args *a);
} command;

static const command commands[] = {
    {"presets", "presets", "what can be trained, one line each", PRESETS, 0, 0, run_presets},
    {"train", "train --preset NAME --data PATH --out DIR", "trains a model on images", TRAIN, 0, 0, NULL},
    {"sample", "sample MODEL -o FILE.png", "draws images from a trained model", SAMPLE, 1, 1, tool_sample},
    {"reconstruct", "reconstruct MODEL --data PATH -o FILE.png", "images above what the model makes of them", RECONSTRUCT, 1, 1, tool_reconstruct},
    {"interpolate", "interpolate MODEL -o FILE.png", "rows of images on the way from one latent to another", INTERPOLATE, 1, 1, tool_interpolate},
    {"traverse", "traverse MODEL -o FILE.png", "rows of images, one latent a row going from -3 to 3", TRAVERSE, 1, 1, tool_traverse},
    {"change", "change MODEL --data PATH --from N --to N -o FILE.png", "images of one class on their way to another, by latent arithmetic", CHANGE, 1, 1, tool_change},
    {"inpaint", "inpaint MODEL --data PATH --mask WHAT -o FILE.png", "images, the same with a part hidden, and the model's completions", INPAINT, 1, 1, tool_inpaint},
    {"denoise", "denoise MODEL --data PATH -o FILE.png", "images above what the model takes for them without noise", DENOISE, 1, 1, tool_denoise},
    {"anomaly", "anomaly MODEL --data PATH [-o FILE.png]", "how badly the model knows each image, the worst first", ANOMALY, 1, 1, tool_anomaly},
    {"measure", "measure MODEL|IMAGES --data PATH", "how good samples, or the images in a folder or .npy file, are: distances to unseen real ones", MEASURE, 1, 1,
     tool_measure},
    {"compare", "compare MODEL|RUN|IMAGES ... --data PATH -o DIR", "models of any families, and images made elsewhere, on common scales: a report", COMPARE, 1, TOOL_MAX_OPERANDS,
     tool_compare},
    {"translate", "translate MODEL --data PATH -o FILE.png", "images above what a translate or cycle model makes of them", TRANSLATE, 1, 1, tool_translate},
    {"nearest", "nearest MODEL --data PATH -o FILE.png", "samples above the images of the data that are nearest to them", NEAREST, 1, 1, tool_nearest},
    {"info", "info MODEL", "what is in a model file: settings, layers, shapes, parameters", INFO, 1, 1, tool_info},
    {"bench", "bench [gemm|conv|train|sample|scale] [NAME ...]", "speed; alone: all in brief; NAME: presets, or shapes for gemm", BENCH, 0,
     TOOL_MAX_OPERANDS, tool_bench},
};
#define COMMANDS (sizeof commands / sizeof commands[0])

static void print_help(const command *c) {
    if (c) {
        printf("usage: genai %s [options]\n%s\n\n", c->synopsis, c->about);
        for (size_t i = 0; i < OPTIONS; i++) {
            char left[40];
            if (!(options[i].commands & c->bit)) continue;
            snprintf(left, sizeof left, "%s %s", options[i].name, options[i].value ? options[i].value : "");
            printf("  %-22s %s\n", left, options[i].about);
        }
        return;
    }
    printf("genai %s: generative image models in C\n\n", genai_version());
    for (size_t i = 0; i < COMMANDS; i++) printf("  genai %-48s %s\n", commands[i].synopsis, commands[i].about);
    printf("  genai %-48s %s\n", "version", "the version");
    printf("\nA command's options: genai COMMAND --help\n");
}

static int run(tool_args *a, int argc, char **argv) {
    const command *c = NULL;
    const char    *word = argc > 1 ? argv[1] : NULL, *best = NULL;
    int            status;
    a->program = argv[0];
    if (!word) return tool_usage(a, "what shall be done? Say train, sample, reconstruct, interpolate, info, presets or bench");
    if (!strcmp(word, "--help") || !strcmp(word, "-h") || !strcmp(word, "help")) return print_help(NULL), TOOL_DONE;
    if (!strcmp(word, "--version") || !strcmp(word, "version")) return printf("genai %s\n", genai_version()), TOOL_DONE;
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!strcmp(commands[i].name, word)) c = &commands[i];
        nearer(word, commands[i].name, &best);
    }
    if (!c) return tool_usage(a, "there is no command '%s'; did you mean %s?", word, best);
    a->command = c->name;
    status = parse_options(a, c->bit, argc - 2, argv + 2);
    if (status) return status;
    if (a->help) return print_help(c), TOOL_DONE;
    if (a->operands > c->most) return tool_usage(a, "%s doesn't take '%s'", c->name, a->operand[c->most]);
    if (a->operands < c->least) return tool_usage(a, "%s is short of a word: genai %s", c->name, c->synopsis);
    return c->run ? c->run(a) : run_train(a, argc, argv);
}

int main(int argc, char **argv) {
    tool_args a;
    int       status;
    memset(&a, 0, sizeof a);
    a.ais = 100;
    a.label = -1;
    a.to = 1;
    status = run(&a, argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && status == TOOL_DONE) return tool_fail("standard output could not be written");
    return status;
}
