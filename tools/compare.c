/* genai compare: models of any families, and images made elsewhere, measured alike. One row of `measures` is one measure; a
 * number that can't be had keeps the reason in its place and the rest goes on. Every number stands in results.csv,
 * results.json and report.html in the same digits. */
#include "tool.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(_WIN32)
#include <direct.h>
#include <io.h>
#define isatty _isatty
#define make_folder(path) _mkdir(path)
#else
#include <sys/stat.h>
#include <unistd.h>
#define make_folder(path) mkdir(path, 0777)
#endif

enum { JUDGE, RANDOM, PIXELS, SPACES };
enum { FRECHET, KERNEL, PRECISION, RECALL, DENSITY, COVERAGE, KL_GAUSSIAN, KL_NEAREST, KL_HISTOGRAM, JS_HISTOGRAM, PER_SPACE };
enum { PARZEN = SPACES * PER_SPACE, SIGMA, NEAREST, MS_SSIM, DIVERSITY, RECOGNISED, MSE, PSNR, SSIM, PROBE, PURITY, NMI, ELBO, NLL, AIS, AIS_GAP, SAMPLE_MS, TRAIN_S, PARAMETERS, BYTES, MEASURES };
enum { SETUP = 2, LEAST = 10, PARTS = 4, PORTION = 512 };
enum { COMPONENTS = 32, PCA_IMAGES = 400, SIGMAS = 10 };
enum { AIS_IMAGES = 16, AIS_OWN = 4, AIS_RUNS = 4, AIS_LEAPFROGS = 5 };
enum { TRAINING, NOISE, OWN }; /* subjects: two of our own for the scale, then the user's */

/* best: 1 the highest, -1 the lowest, 0 neither. */
typedef struct measure {
    const char *key, *name;
    int         best;
    const char *read;
} measure;

static const measure in_space[PER_SPACE] = {
    {"frechet", "Frechet distance", -1, "How far the whole set is from unseen real images, in mean and covariance. Lower is better; it falls with the "
     "number of images, so compare equal numbers only. It isn't an FID, whose features are Inception's."},
    {"kernel", "Kernel distance", -1, "How far the whole set is off, without a bias from the number of images: about 0 at best, and a little below 0 by chance."},
    {"precision", "Precision", 1, "Share of the samples that lie among real images: do they look real? 1 is best, and easily had by making few kinds of images."},
    {"recall", "Recall", 1, "Share of the real images that lie among samples: do all kinds occur? 1 is best; strange samples far out can raise it."},
    {"density", "Density", 0, "How thickly the samples lie around real images; about 1 for real images, more for a model that keeps to the usual ones."},
    {"coverage", "Coverage", 1, "Share of the real images that have a sample near them. 1 is best; outliers don't raise it, as they do recall."},
    {"kl_gaussian", "KL of normal distributions", -1, "Kullback-Leibler divergence from real images to samples, as if both were normal distributions, in nats. Infinite "
     "where the samples lack a direction altogether."},
    {"kl_nearest", "KL by neighbours", -1, "The same divergence without a shape assumed, from distances to third neighbours. Rough in many dimensions, so only differences tell; "
     "copies of real images make it too small."},
    {"kl_histogram", "KL of histograms", -1, "The same between shares of images in 50 cells, k-means clusters of the real images. High: some kinds of images hardly occur among samples."},
    {"js_histogram", "Jensen-Shannon divergence", -1, "Between the same shares; 0 where they are equal, log 2 = 0.69 where no cell has both. It doesn't see how images look within a cell."},
};
static const char *const space_key[SPACES] = {"judge", "random", "pixels"};
static const char *const space_name[SPACES] = {"in the features of a classifier trained on the real images", "in the features of a fixed random convolutional network",
                                               "in pixels, by their principal components"};
static const measure others[MEASURES - PARZEN] = {
    {"parzen", "Parzen log-likelihood", 1, "Mean log-density, in nats, of test images under normal windows around the samples; the width is chosen on other test images. Known from papers, "
     "but not to be trusted: it prefers blurred images, and ranks models otherwise than their likelihood does. \xc2\xb1: over test images."},
    {"parzen_sigma", "Width of the Parzen windows", 0, "The one of ten from 0.1 to 1 that suits the validation images best, as in the papers. 0.1 or 1: a better one may lie beyond."},
    {"nearest", "Distance to the training images", 0, "Median distance of a sample to its nearest training image; unseen real images have 1. Well below 1: copies of "
     "training images, or blurred ones. Above 1: unlike any of them."},
    {"ms_ssim", "MS-SSIM between samples", 0, "Likeness of pairs of samples, 1 for equal ones. Near that of real images is best; higher means that samples are too much alike. \xc2\xb1: over pairs."},
    {"diversity", "Diversity of samples", 0, "Mean squared difference between pairs of samples against that between pairs of unseen images: 1 as the data, 0 all alike. \xc2\xb1: over pairs."},
    {"recognised", "Recognised as their class", 1, "Of a conditional model: share of the samples that the classifier takes for the class they were made for."},
    {"mse", "Reconstruction: squared error", -1, "Mean squared error of unseen images after encoding and decoding, pixels in [0,1]. Low values need many latents, and don't make good samples. "
     "\xc2\xb1: over test images."},
    {"psnr", "Reconstruction: PSNR", 1, "The same in decibels, 10 log10 of 1 / error, in the mean over images."},
    {"ssim", "Reconstruction: SSIM", 1, "Likeness of structures in windows of 11 pixels between unseen images and their reconstructions; 1 is best, and blur lowers it more than it lowers PSNR."},
    {"probe", "Latents: linear probe", 1, "Share of the unseen images whose class linear regression finds from their latents, learned from those of training images."},
    {"purity", "Latents: cluster purity", 1, "k-means clusters of the unseen images' latents, as many as classes: share of the images in clusters where their class is the commonest."},
    {"nmi", "Latents: mutual information", 1, "Of these clusters and the classes, normalised: 0 for independent ones, 1 for equal ones."},
    {"elbo", "Bound on -log p(x)", -1, "The family's own bound on unseen images, in nats; of Bernoulli pixels only, as numbers of other likelihoods are on other scales."},
    {"nll", "-log p(x) by importance sampling", -1, "An estimate from above that falls as --nll grows; compare equal K and models of one likelihood only."},
    {"ais", "Decoder's log-likelihood by AIS", 1, "Mean log-density, in nats, of 16 test images as what the decoder paints from normal latents with noise of 0.2 on each pixel "
     "(Wu et al. 2017): one scale for all decoders, and the number to trust where it ranks models otherwise than Parzen windows do. Too low, if anything; it falls for images of "
     "kinds that the model doesn't make. \xc2\xb1: over these images."},
    {"ais_gap", "AIS: between below and above", 0, "Of images that the decoder made itself, by how much estimates from below and from above differ: by about so much the number before "
     "is too low for images like these; for images that the model can't make it may be by more. More temperatures (--ais) make it smaller."},
    {"sample_ms", "Milliseconds a sample", -1, "Time to make one image, in a batch of all of them on this machine."},
    {"train_s", "Seconds of training", -1, "As the run's metrics.csv has it, on the machine that trained it."},
    {"parameters", "Parameters", -1, "Trained values in all its nets."},
    {"bytes", "Bytes of the file", -1, "Size of the model file."},
};

typedef struct number {
    double value, error; /* error: one standard error; negative: none */
    int    known;
    char   why[240];     /* not known: the reason                     */
} number;

typedef struct subject {
    char           name[64], run[4096], file[4096]; /* run: folder of its training, or ""; file: of the model, or ""  */
    const char    *path;
    genai_model   *model;
    genai_dataset *images;
    int            count;     /* of its images that are measured                                                      */
    number         number[MEASURES];
} subject;

typedef struct comparison {
    const tool_args *args;
    genai_ctx       *ctx;
    genai_dataset   *train, *test;
    genai_judge     *judge[2];          /* trained, random                                                            */
    int              width, height, channels, classes, labelled, n, tests, subjects, dim[SPACES], hush;
    size_t           pixels, trained;   /* values of an image; training images                                        */
    float           *real, *features[SPACES], *image, *made[SPACES]; /* of the test images; of a subject's            */
    int             *labels, *asked;    /* of the test images; of a conditional model's samples, the same classes as often */
    float           *basis;             /* principal components                                                       */
    double           unseen, apart;     /* of test images: median distance to training images, mean squared difference of pairs */
    double           began, ready;      /* seconds: at the beginning, at the first subject                              */
    const char      *no_judge;
    subject         *subject;
    int              work, done;        /* pieces of work, for the estimate                                           */
} comparison;

static measure measure_at(int m) { return m < PARZEN ? in_space[m % PER_SPACE] : others[m - PARZEN]; }
static void    key_of(int m, char to[40]) {
    snprintf(to, 40, m < PARZEN ? "%s.%s" : "%s", measure_at(m).key, m < PARZEN ? space_key[m / PER_SPACE] : "");
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void log_unless(void *user, genai_log_level level, const char *text) {
    if (!((const comparison *)user)->hush) tool_log(NULL, level, text);
}

/* One piece of work is done, the next one is `what`. */
static void progress(comparison *c, const char *who, const char *what) {
    int    tty = isatty(2), measured = c->done - SETUP; /* of which alone the rest can be foretold */
    double spent = now() - c->began, left = -1;
    if (!measured) c->ready = now();
    if (measured > 0) left = (now() - c->ready) / measured * (c->work - c->done);
    fprintf(stderr, "%s%3d %%  %s: %s", tty ? "\r\033[K" : "", c->work ? 100 * c->done / c->work : 0, who, what);
    if (left >= 0) fprintf(stderr, "  (%.0f s, %.0f s left)", spent, left);
    if (!tty) fputc('\n', stderr);
    fflush(stderr);
    c->done++;
}
static void progress_end(void) {
    if (isatty(2)) fputs("\r\033[K", stderr);
}

/* --- numbers and reasons --- */

static void know(subject *s, int m, double value, double error) {
    number *x = &s->number[m];
    x->known = value == value && value - value == 0;
    x->value = value;
    x->error = error;
    if (!x->known) snprintf(x->why, sizeof x->why, "it is not a finite number");
}
static void lacks(subject *s, int m, const char *format, ...) GENAI__PRINTF(3, 4);
static void lacks(subject *s, int m, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(s->number[m].why, sizeof s->number[m].why, format, args);
    va_end(args);
    s->number[m].known = 0;
}
/* The library refused: its sentence is the reason, and the context goes on. */
static void refused(comparison *c, subject *s, int m) {
    lacks(s, m, "%s", genai_ctx_error(c->ctx));
    genai_ctx_clear(c->ctx);
}

/* As every file and page shows it: whole numbers as such, else five digits. */
static const char *shown(double x, char to[32]) {
    snprintf(to, 32, fabs(x) < 1e15 && floor(x) == x ? "%.0f" : "%.5g", x);
    return to;
}

/* Of the test images; NULL: the model knows nothing of these classes. */
static const int *labels_for(const comparison *c, const genai_model *m) {
    int classes = genai_model_resolved(m).classes;
    return classes && c->labelled && classes == c->classes ? c->labels : NULL;
}

/* --- what is compared --- */

/* The last part of a path, that of the folder for model.safetensors, without its ending. */
static void name_subject(comparison *c, subject *s) {
    char        text[4096], *end;
    const char *base;
    int         again = 0;
    snprintf(text, sizeof text, "%s", s->path);
    while ((end = strrchr(text, '/')) != NULL && (!end[1] || !strcmp(end, "/model.safetensors"))) *end = 0;
    base = strrchr(text, '/') ? strrchr(text, '/') + 1 : text;
    if ((end = strrchr(base, '.')) != NULL && end > base) *end = 0;
    snprintf(s->name, sizeof s->name, "%.50s", base);
    for (subject *other = c->subject; other < s; other++)
        if (!strncmp(other->name, s->name, strlen(s->name))) again++;
    if (again) snprintf(s->name + strlen(s->name), sizeof s->name - strlen(s->name), " (%d)", again + 1);
}

static int open_subject(comparison *c, subject *s, const char *path) {
    genai_dataset_desc size;
    genai_dataset_info has;
    s->path = path;
    name_subject(c, s);
    snprintf(s->file, sizeof s->file, "%s/model.safetensors", path);
    if (tool_exists(s->file)) snprintf(s->run, sizeof s->run, "%s", path);
    else if (tool_ends(path, ".safetensors")) snprintf(s->file, sizeof s->file, "%s", path);
    else s->file[0] = 0;
    if (s->file[0]) {
        genai_model_desc d;
        s->model = genai_model_load(c->ctx, s->file);
        if (!s->model) return TOOL_FAILED;
        d = genai_model_resolved(s->model);
        if (!strcmp(genai_model_family(s->model), "translate") || !strcmp(genai_model_family(s->model), "cycle"))
            return tool_fail("%s: makes images of images, not of latents, so it has no samples to compare", s->file);
        has.width = d.width;
        has.height = d.height;
        has.channels = d.channels;
    } else {
        memset(&size, 0, sizeof size);
        size.width = (int)c->args->size[0];
        size.height = (int)c->args->size[1];
        size.channels = (int)c->args->channels;
        size.filter = c->args->filter;
        s->images = tool_ends(path, ".npy") ? tool_npy(c->ctx, c->args, path, &size) : genai_dataset_open(c->ctx, path, &size);
        if (!s->images) return TOOL_FAILED;
        has = genai_dataset_describe(s->images);
        if (has.count < LEAST) return tool_fail("%s: has %zu image%s, but at least %d are needed to measure them", path, has.count, has.count == 1 ? "" : "s", LEAST);
        if (has.count < (size_t)s->count) s->count = (int)has.count;
    }
    if (!c->width) {
        c->width = has.width;
        c->height = has.height;
        c->channels = has.channels;
    }
    if (has.width != c->width || has.height != c->height || has.channels != c->channels)
        return tool_fail("%s: has images %dx%dx%d, but %s has %dx%dx%d, and only images of one size can be compared", path, has.width, has.height, has.channels,
                         c->subject[OWN].path, c->width, c->height, c->channels);
    return TOOL_DONE;
}

/* Test images, shuffled, as many as are measured; the training images are opened beside. */
static int open_data(comparison *c) {
    tool_args          opened = *c->args;
    genai_dataset_info info, other;
    if (!opened.test && !(opened.holdout > 0)) opened.holdout = 0.1;
    if (opened.test) opened.holdout = 0;
    c->train = tool_data(c->ctx, &opened, c->width, c->height, c->channels);
    if (!c->train) return TOOL_FAILED;
    c->test = genai_dataset_test(c->train);
    if (opened.test) {
        tool_args at = opened;
        at.data = opened.test;
        c->test = tool_data(c->ctx, &at, c->width, c->height, c->channels);
        if (!c->test) return TOOL_FAILED;
    }
    if (!c->test) return tool_fail("%s has no test images: give --test or --holdout", opened.data);
    info = genai_dataset_describe(c->train);
    other = genai_dataset_describe(c->test);
    if (info.count < LEAST || other.count < LEAST)
        return tool_fail("%s: has %zu image%s, but at least %d are needed to measure anything", info.count < LEAST || !opened.test ? opened.data : opened.test,
                         info.count < LEAST ? info.count : other.count, (info.count < LEAST ? info.count : other.count) == 1 ? "" : "s", LEAST);
    c->trained = info.count;
    c->classes = info.classes;
    c->labelled = other.classes == info.classes;
    c->tests = other.count < (size_t)c->n ? (int)other.count : c->n;
    return TOOL_DONE;
}

/* --- features --- */

static int features_of(comparison *c, int n, const float *images, float *const to[SPACES]) {
    for (int space = JUDGE; space <= RANDOM; space++)
        if (c->judge[space] && genai_judge_features(c->judge[space], n, images, to[space])) return TOOL_FAILED;
    return genai_pca_project(c->ctx, n, (int)c->pixels, images, c->dim[PIXELS], c->basis, to[PIXELS]) ? TOOL_FAILED : TOOL_DONE;
}

/* Squared distances don't matter here: the nearest training image of each of n images, its distance and number. Training images pass by in portions. */
static int nearest_training(comparison *c, int n, const float *images, float *distance, int *index) {
    float *portion = tool_floats(PORTION, c->pixels), *d = tool_floats((size_t)n, 1);
    int   *at = (int *)malloc((size_t)n * sizeof *at), failed = !portion || !d || !at;
    for (size_t first = 0; first < c->trained && !failed; first += PORTION) {
        int m = c->trained - first < PORTION ? (int)(c->trained - first) : PORTION;
        failed = genai_dataset_batch(c->train, -1, first, m, portion, NULL) || genai_nearest(c->ctx, n, images, m, portion, (int)c->pixels, at, d);
        for (int i = 0; i < n && !failed; i++)
            if (!first || d[i] < distance[i]) {
                distance[i] = d[i];
                if (index) index[i] = (int)first + at[i];
            }
    }
    free(portion);
    free(d);
    free(at);
    return failed ? TOOL_FAILED : TOOL_DONE;
}

static double median(float *x, int n) {
    qsort(x, (size_t)n, sizeof *x, tool_rising);
    return ((double)x[(n - 1) / 2] + (double)x[n / 2]) / 2;
}

/* Principal components of some training images. */
static int components(comparison *c) {
    int    n = c->trained < PCA_IMAGES ? (int)c->trained : PCA_IMAGES, most = n - 1 < (int)c->pixels ? n - 1 : (int)c->pixels, status = TOOL_FAILED;
    float *images = tool_floats((size_t)n, c->pixels);
    c->dim[PIXELS] = most < COMPONENTS ? most : COMPONENTS;
    c->basis = tool_floats((size_t)c->dim[PIXELS] + 1, c->pixels);
    if (images && c->basis && !genai_dataset_batch(c->train, 0, 0, n, images, NULL) && !genai_pca(c->ctx, n, (int)c->pixels, images, c->dim[PIXELS], c->basis)) status = TOOL_DONE;
    free(images);
    return status;
}

/* How alike images 0 and 1, 2 and 3, ... are. */
static int pairs(comparison *c, int n, const float *images, genai_similarity *to) {
    size_t half = (size_t)n / 2;
    float *sides = tool_floats(2 * half, c->pixels);
    int    status = TOOL_FAILED;
    for (size_t i = 0; sides && i < 2 * half; i++) memcpy(sides + (i % 2 * half + i / 2) * c->pixels, images + i * c->pixels, c->pixels * sizeof *sides);
    if (sides && !genai_similarities(c->ctx, (int)half, c->width, c->height, c->channels, sides, sides + half * c->pixels, to)) status = TOOL_DONE;
    free(sides);
    return status;
}

/* The judges, and of the test images the features and the distance to training images, 0 of which is a copy. */
static int prepare(comparison *c) {
    genai_judge_desc d;
    float           *distance = tool_floats((size_t)c->tests, 1);
    genai_similarity *similar = (genai_similarity *)malloc((size_t)c->tests * sizeof *similar);
    int              copies = 0, status = TOOL_FAILED;
    size_t           most = (size_t)(c->n > c->tests ? c->n : c->tests);
    memset(&d, 0, sizeof d);
    d.steps = c->args->steps;
    c->real = tool_floats((size_t)c->tests, c->pixels);
    c->image = tool_floats(most, c->pixels);
    c->labels = (int *)malloc((size_t)c->tests * sizeof(int));
    c->asked = (int *)malloc((size_t)c->n * sizeof(int));
    if (!distance || !similar || !c->real || !c->image || !c->labels || !c->asked || genai_dataset_batch(c->test, 0, 0, c->tests, c->real, c->labels)) goto done;
    progress(c, "real images", "is anything in both parts?");
    if (nearest_training(c, c->tests, c->real, distance, NULL)) goto done;
    for (int i = 0; i < c->tests; i++) copies += distance[i] < 1e-6f;
    if (2 * copies > c->tests) {
        tool_fail("%d of %d test images are training images too, so there is nothing unseen to measure on: give --test other images than --data", copies, c->tests);
        goto done;
    }
    if (copies) fprintf(stderr, "genai: warning: %d of %d test images are training images too\n", copies, c->tests);
    c->unseen = median(distance, c->tests);
    progress(c, "real images", "training the judge");
    if (c->classes < 2) c->no_judge = "a classifier needs labels of two classes or more, which the data hasn't got";
    else if (!(c->judge[JUDGE] = genai_judge_create(c->ctx, c->train, &d))) goto done;
    d.steps = -1;
    if (!(c->judge[RANDOM] = genai_judge_create(c->ctx, c->train, &d)) || components(c)) goto done;
    if (pairs(c, c->tests, c->real, similar)) goto done;
    for (int i = 0; i < c->tests / 2; i++) c->apart += similar[i].mse / (c->tests / 2);
    for (int space = JUDGE; space < SPACES; space++) {
        if (space <= RANDOM && c->judge[space]) c->dim[space] = genai_judge_describe(c->judge[space]).features;
        if (!c->dim[space]) continue;
        c->features[space] = tool_floats((size_t)c->tests, (size_t)c->dim[space]);
        c->made[space] = tool_floats(most, (size_t)c->dim[space]);
        if (!c->features[space] || !c->made[space]) goto done;
    }
    status = features_of(c, c->tests, c->real, c->features);
done:
    free(distance);
    free(similar);
    return status;
}

/* --- measuring --- */

/* genai_measure of samples first..first+n-1; 0: refused. */
static int measured(comparison *c, int space, int first, int n, double to[PER_SPACE]) {
    genai_measure_desc d;
    genai_measures     x;
    memset(&d, 0, sizeof d);
    d.dim = c->dim[space];
    d.real_count = c->tests;
    d.made_count = n;
    d.real = c->features[space];
    d.made = c->made[space] + (size_t)first * (size_t)d.dim;
    if (genai_measure(c->ctx, &d, &x)) return 0;
    to[FRECHET] = x.frechet;
    to[KERNEL] = x.kernel;
    to[PRECISION] = x.precision;
    to[RECALL] = x.recall;
    to[DENSITY] = x.density;
    to[COVERAGE] = x.coverage;
    to[KL_GAUSSIAN] = x.kl_gaussian;
    to[KL_NEAREST] = x.kl_nearest;
    to[KL_HISTOGRAM] = x.kl_histogram;
    to[JS_HISTOGRAM] = x.js_histogram;
    return 1;
}

/* The standard error is that of the mean of PARTS parts of the samples, each against all test images: it knows the luck of the
 * samples, not that of the test images, which is the same for all. */
static void measure_space(comparison *c, subject *s, int space) {
    double all[PER_SPACE], part[PARTS][PER_SPACE];
    int    n = s->count, parts = n / PARTS > LEAST, known;
    if (!c->dim[space]) {
        for (int m = 0; m < PER_SPACE; m++) lacks(s, space * PER_SPACE + m, "%s", c->no_judge);
        return;
    }
    c->hush = 1; /* of covariances without full rank is told below */
    known = measured(c, space, 0, n, all);
    for (int k = 0; k < PARTS && known && parts; k++) parts = measured(c, space, k * (n / PARTS), n / PARTS, part[k]);
    c->hush = 0;
    for (int m = 0; m < PER_SPACE; m++) {
        double mean = 0, square = 0;
        if (!known) {
            refused(c, s, space * PER_SPACE + m);
            continue;
        }
        for (int k = 0; k < PARTS && parts; k++) mean += part[k][m] / PARTS;
        for (int k = 0; k < PARTS && parts; k++) square += (part[k][m] - mean) * (part[k][m] - mean);
        know(s, space * PER_SPACE + m, all[m], parts ? sqrt(square / (PARTS - 1) / PARTS) : -1);
        if (m == KL_GAUSSIAN && all[m] < 0) lacks(s, space * PER_SPACE + m, "a covariance isn't of full rank: some feature is constant, or follows from others");
    }
    genai_ctx_clear(c->ctx);
    for (int m = FRECHET; known && m <= KL_GAUSSIAN && (n <= c->dim[space] || c->tests <= c->dim[space]); m += KL_GAUSSIAN - FRECHET)
        lacks(s, space * PER_SPACE + m, "%d images have no covariance of full rank in %d features", n < c->tests ? n : c->tests, c->dim[space]);
}

static int picture(comparison *c, const subject *s, const char *what, int n, int columns, const float *images) {
    char path[4200];
    snprintf(path, sizeof path, "%s/pictures/%d-%s.png", c->args->out, (int)(s - c->subject), what);
    return genai_image_save_grid(c->ctx, path, n, columns, c->width, c->height, c->channels, images) ? TOOL_FAILED : TOOL_DONE;
}

/* Samples above their nearest training images. */
static int measure_nearest(comparison *c, subject *s) {
    enum { SHOWN = 10 };
    float *distance = tool_floats((size_t)s->count, 1), *grid = tool_floats(2 * SHOWN, c->pixels);
    int   *index = (int *)malloc((size_t)s->count * sizeof *index), shown_n = s->count < SHOWN ? s->count : SHOWN, status = TOOL_FAILED;
    if (!distance || !grid || !index || nearest_training(c, s->count, c->image, distance, index)) goto done;
    status = TOOL_DONE;
    memcpy(grid, c->image, (size_t)shown_n * c->pixels * sizeof *grid);
    for (int i = 0; i < shown_n && !status; i++)
        status = genai_dataset_batch(c->train, -1, (size_t)index[i], 1, grid + (size_t)(shown_n + i) * c->pixels, NULL) ? TOOL_FAILED : TOOL_DONE;
    if (!status && s - c->subject >= OWN) status = picture(c, s, "nearest", 2 * shown_n, shown_n, grid);
    if (c->unseen > 0) {
        double value = median(distance, s->count), spread = (double)distance[3 * (s->count - 1) / 4] - (double)distance[(s->count - 1) / 4];
        know(s, NEAREST, value / c->unseen, 1.2533 * spread / 1.349 / sqrt(s->count) / c->unseen); /* a median's error, of normal numbers with these quartiles */
    } else lacks(s, NEAREST, "test images lie on training images, so there is no distance to compare with");
done:
    free(distance);
    free(grid);
    free(index);
    return status;
}

/* Mean and standard error of one field of n similarities; scale multiplies both. */
static void know_mean(subject *s, int m, const genai_similarity *x, size_t field, int n, double scale) {
    double mean = 0, square = 0, gap;
    for (int i = 0; i < n; i++) mean += *(const double *)(const void *)((const char *)&x[i] + field) / n;
    for (int i = 0; i < n; i++) gap = *(const double *)(const void *)((const char *)&x[i] + field) - mean, square += gap * gap;
    know(s, m, scale * mean, n > 1 ? scale * sqrt(square / (n - 1) / n) : -1);
}

/* Between pairs of samples. */
static int measure_pairs(comparison *c, subject *s) {
    int               half = s->count / 2, status = TOOL_FAILED;
    genai_similarity *x = (genai_similarity *)malloc((size_t)s->count * sizeof *x);
    if (x && !pairs(c, s->count, c->image, x)) {
        status = TOOL_DONE;
        know_mean(s, MS_SSIM, x, offsetof(genai_similarity, ms_ssim), half, 1);
        if (c->apart > 0) know_mean(s, DIVERSITY, x, offsetof(genai_similarity, mse), half, 1 / c->apart);
        else lacks(s, DIVERSITY, "the test images are all alike");
    }
    free(x);
    return status;
}

/* The width is chosen on a quarter of the test images, the rest are measured. */
static int measure_parzen(comparison *c, subject *s) {
    int     valid = c->tests / 4, n = c->tests - valid, best = 0, status = TOOL_FAILED;
    double  sigma[SIGMAS], mean[SIGMAS] = {0}, total = 0, square = 0, *value = (double *)malloc((size_t)c->tests * SIGMAS * sizeof *value);
    for (int k = 0; k < SIGMAS; k++) sigma[k] = pow(10, (double)k / (SIGMAS - 1) - 1);
    if (!value || genai_parzen(c->ctx, (int)c->pixels, s->count, c->image, valid, c->real, SIGMAS, sigma, value)) goto done;
    for (int i = 0; i < valid * SIGMAS; i++) mean[i % SIGMAS] += value[i];
    for (int k = 1; k < SIGMAS; k++)
        if (mean[k] > mean[best]) best = k;
    if (genai_parzen(c->ctx, (int)c->pixels, s->count, c->image, n, c->real + (size_t)valid * c->pixels, 1, &sigma[best], value)) goto done;
    for (int i = 0; i < n; i++) total += value[i] / n;
    for (int i = 0; i < n; i++) square += (value[i] - total) * (value[i] - total);
    know(s, PARZEN, total, sqrt(square / (n - 1) / n));
    know(s, SIGMA, sigma[best], -1);
    status = TOOL_DONE;
done:
    free(value);
    return status;
}

/* Reconstructions of all test images, and what the latents know of classes. What this model can't do is told in its cells. */
static int measure_encoder(comparison *c, subject *s, const int *labels) {
    genai_model_desc  d = genai_model_resolved(s->model);
    genai_probe_desc  probe;
    genai_probe_result found;
    genai_similarity *x = (genai_similarity *)malloc((size_t)c->tests * sizeof *x);
    int               n = c->trained < (size_t)c->n ? (int)c->trained : c->n, status = TOOL_FAILED;
    int              *seen_labels = (int *)malloc((size_t)n * sizeof *seen_labels);
    float            *seen = tool_floats((size_t)n, c->pixels), *z = tool_floats((size_t)n, (size_t)d.latent), *unseen = tool_floats((size_t)c->tests, (size_t)d.latent);
    float            *made = tool_floats((size_t)c->tests, c->pixels);
    if (!x || !seen_labels || !seen || !z || !unseen || !made) goto done;
    status = TOOL_DONE;
    if (genai_model_reconstruct(s->model, c->tests, c->real, labels, made) || genai_similarities(c->ctx, c->tests, c->width, c->height, c->channels, c->real, made, x)) {
        for (int m = MSE; m <= SSIM; m++) lacks(s, m, "%s", genai_ctx_error(c->ctx));
        genai_ctx_clear(c->ctx);
    } else {
        know_mean(s, MSE, x, offsetof(genai_similarity, mse), c->tests, 1);
        know_mean(s, PSNR, x, offsetof(genai_similarity, psnr), c->tests, 1);
        know_mean(s, SSIM, x, offsetof(genai_similarity, ssim), c->tests, 1);
    }
    memset(&probe, 0, sizeof probe);
    probe.dim = d.latent;
    probe.classes = c->classes;
    probe.train_count = n;
    probe.test_count = c->tests;
    probe.train = z;
    probe.test = unseen;
    probe.train_labels = seen_labels;
    probe.test_labels = c->labels;
    if (c->classes < 2 || !c->labelled)
        for (int m = PROBE; m <= NMI; m++) lacks(s, m, "the data has no labels of two classes or more");
    else if (d.classes)
        for (int m = PROBE; m <= NMI; m++) lacks(s, m, "its encoder is given the class, so finding it in the latents says nothing");
    else if (d.latent > 2048)
        for (int m = PROBE; m <= NMI; m++) lacks(s, m, "%d latents are too many for a linear probe (2048 at most)", d.latent);
    else if (genai_dataset_batch(c->train, 0, 0, n, seen, seen_labels) || genai_model_encode(s->model, n, seen, NULL, z) ||
             genai_model_encode(s->model, c->tests, c->real, NULL, unseen) || genai_probe(c->ctx, &probe, &found)) {
        for (int m = PROBE; m <= NMI; m++) lacks(s, m, "%s", genai_ctx_error(c->ctx));
        genai_ctx_clear(c->ctx);
    } else {
        know(s, PROBE, found.accuracy, sqrt(found.accuracy * (1 - found.accuracy) / c->tests));
        know(s, PURITY, found.purity, -1);
        know(s, NMI, found.nmi, -1);
    }
done:
    free(x);
    free(seen_labels);
    free(seen);
    free(z);
    free(unseen);
    free(made);
    return status;
}

static void measure_likelihood(comparison *c, subject *s) {
    const char *name = NULL;
    double      value = 0;
    char        text[32];
    if (genai_model_evaluate(s->model, c->test, &name, &value)) refused(c, s, ELBO);
    else if (!strcmp(name, "test -ELBO")) know(s, ELBO, value, -1);
    else lacks(s, ELBO, "its own measure is '%s', %s, on another scale", name, shown(value, text));
    if (!c->args->nll) lacks(s, NLL, "not asked for: --nll K takes K samples for each image");
    else if (genai_model_nll(s->model, c->test, (int)c->args->nll, &value)) refused(c, s, NLL);
    else know(s, NLL, value, -1);
}

/* The gap tells how far to trust the first; it is measured on fewer images, since it takes both ways. */
static void measure_ais(comparison *c, subject *s) {
    genai_likelihood_desc d;
    double                low[AIS_IMAGES], high[AIS_IMAGES], mean = 0, square = 0, gap = 0;
    int                   n = c->tests < AIS_IMAGES ? c->tests : AIS_IMAGES;
    memset(&d, 0, sizeof d);
    d.runs = AIS_RUNS;
    d.leapfrogs = AIS_LEAPFROGS;
    d.steps = (int)c->args->ais;
    d.seed = c->args->seed;
    c->hush = 1;
    if (!d.steps) {
        for (int m = AIS; m <= AIS_GAP; m++) lacks(s, m, "not asked for: --ais is 0");
    } else if (genai_model_likelihood(s->model, n, c->real, labels_for(c, s->model), &d, low, NULL)) {
        lacks(s, AIS_GAP, "%s", genai_ctx_error(c->ctx));
        refused(c, s, AIS);
    } else {
        for (int i = 0; i < n; i++) mean += low[i] / n;
        for (int i = 0; i < n; i++) square += (low[i] - mean) * (low[i] - mean);
        know(s, AIS, mean, n > 1 ? sqrt(square / (n - 1) / n) : -1);
        if (genai_model_likelihood(s->model, AIS_OWN, NULL, NULL, &d, low, high)) refused(c, s, AIS_GAP);
        else {
            for (int i = 0; i < AIS_OWN; i++) gap += (high[i] - low[i]) / AIS_OWN;
            know(s, AIS_GAP, gap, -1);
        }
    }
    c->hush = 0;
}

/* Of a conditional model's samples. */
static void measure_recognised(comparison *c, subject *s) {
    int classes = s->model ? genai_model_resolved(s->model).classes : 0, right = 0, *labels = (int *)malloc((size_t)s->count * sizeof *labels);
    if (!classes) lacks(s, RECOGNISED, "it isn't conditional");
    else if (!c->judge[JUDGE] || classes != c->classes) lacks(s, RECOGNISED, "there is no classifier of its %d classes", classes);
    else if (!labels || genai_judge_classify(c->judge[JUDGE], s->count, c->image, labels, NULL)) refused(c, s, RECOGNISED);
    else {
        for (int i = 0; i < s->count; i++) right += labels[i] == c->asked[i];
        know(s, RECOGNISED, (double)right / s->count, sqrt((double)right * (s->count - right) / s->count) / s->count);
    }
    free(labels);
}

/* Rows of unseen images and what the model makes of them; ways between latents. */
static int measure_latents(comparison *c, subject *s) {
    enum { ROWS = 4, STEPS = 10 };
    genai_model_desc d = genai_model_resolved(s->model);
    int              shown_n = c->tests < STEPS ? c->tests : STEPS, status = TOOL_FAILED;
    const int       *labels = labels_for(c, s->model);
    float           *z = tool_floats(2 * ROWS, (size_t)d.latent), *grid = tool_floats(ROWS * STEPS, c->pixels);
    if (!z || !grid) goto done;
    status = TOOL_DONE;
    c->hush = 1;
    memcpy(grid, c->real, (size_t)shown_n * c->pixels * sizeof *grid);
    if (!genai_model_reconstruct(s->model, shown_n, c->real, labels, grid + (size_t)shown_n * c->pixels)) status = picture(c, s, "reconstructions", 2 * shown_n, shown_n, grid);
    genai_ctx_clear(c->ctx);
    if (!genai_model_latents(s->model, c->args->seed, 2 * ROWS, z)) {
        int k = 0;
        for (; k < ROWS; k++)
            if (genai_model_interpolate(s->model, z + (size_t)(2 * k * d.latent), z + (size_t)((2 * k + 1) * d.latent), d.classes ? k % d.classes : 0, STEPS,
                                        grid + (size_t)(k * STEPS) * c->pixels)) break;
        if (k == ROWS && !status) status = picture(c, s, "interpolations", ROWS * STEPS, STEPS, grid);
    }
    genai_ctx_clear(c->ctx);
    if (!status) status = measure_encoder(c, s, labels);
    if (!status) measure_likelihood(c, s);
    c->hush = 0;
done:
    free(z);
    free(grid);
    return status;
}

/* What the model costs. */
static void measure_costs(subject *s) {
    char   text[65536], path[4200];
    double total = 0, seconds;
    FILE  *f;
    long   n = 0;
    if (!s->model) {
        for (int m = MSE; m <= BYTES; m++) lacks(s, m, "images are given, not a model");
        return;
    }
    genai_model_describe(s->model, text, sizeof text);
    for (const char *p = text; (p = strstr(p, "\n      total")) != NULL; p += 12)
        if (sscanf(p + 12, "%ld", &n) == 1) total += (double)n;
    know(s, PARAMETERS, total, -1);
    f = fopen(s->file, "rb");
    if (f && !fseek(f, 0, SEEK_END)) know(s, BYTES, (double)ftell(f), -1);
    if (f) fclose(f);
    snprintf(path, sizeof path, "%s/metrics.csv", s->run);
    report_curves(NULL, path, &seconds);
    if (s->run[0] && seconds >= 0) know(s, TRAIN_S, seconds, -1);
    else lacks(s, TRAIN_S, "only a run's folder tells; a model file doesn't");
}

/* Samples into c->image: of seed 0 unless --seed says otherwise, the same seed for all. */
static int take_images(comparison *c, subject *s) {
    double start = now();
    size_t count = (size_t)s->count * c->pixels;
    uint32_t x = 2463534242u;
    if (s->model) {
        int classes = genai_model_resolved(s->model).classes;
        for (int i = 0; i < s->count && classes; i++) c->asked[i] = labels_for(c, s->model) ? c->labels[(int)((long long)i * c->tests / s->count)] : i % classes;
        if (genai_model_sample(s->model, c->args->seed, s->count, classes ? c->asked : NULL, c->image)) return TOOL_FAILED;
        know(s, SAMPLE_MS, 1000 * (now() - start) / s->count, -1);
        return TOOL_DONE;
    }
    if (s->images || s == &c->subject[TRAINING])
        return genai_dataset_batch(s->images ? s->images : c->train, 0, 0, s->count, c->image, NULL) ? TOOL_FAILED : TOOL_DONE;
    for (size_t i = 0; i < count; i++) { /* xorshift, Marsaglia 2003 */
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        c->image[i] = (float)(x >> 8) / 16777216.0f;
    }
    return TOOL_DONE;
}

static int measure_subject(comparison *c, subject *s) {
    int columns = 1, n = s->count < 64 ? s->count : 64, status;
    while (columns * columns < n) columns++;
    progress(c, s->name, "samples");
    measure_costs(s);
    status = take_images(c, s);
    if (!status) status = picture(c, s, "samples", n, columns, c->image);
    if (!status) status = features_of(c, s->count, c->image, c->made);
    progress(c, s->name, "distances between sets");
    for (int space = 0; space < SPACES && !status; space++) measure_space(c, s, space);
    progress(c, s->name, "nearest training images");
    if (!status) status = measure_nearest(c, s);
    progress(c, s->name, "pixels");
    if (!status) status = measure_pairs(c, s);
    if (!status) status = measure_parzen(c, s);
    measure_recognised(c, s);
    progress(c, s->name, "latents");
    if (!status && s->model) status = measure_latents(c, s);
    progress(c, s->name, "likelihood");
    if (!status && s->model) measure_ais(c, s);
    return status;
}

/* --- results --- */

/* The best of the user's own; negative: none has this, or only one. */
static int best_of(const comparison *c, int m) {
    int best = -1, have = 0, want = measure_at(m).best;
    for (int i = OWN; i < c->subjects && want; i++) {
        if (!c->subject[i].number[m].known) continue;
        have++;
        if (best < 0 || want * c->subject[i].number[m].value > want * c->subject[best].number[m].value) best = i;
    }
    return have > 1 ? best : -1;
}

static const int summary[] = {FRECHET, KERNEL, PRECISION, RECALL, COVERAGE, PARZEN, MS_SSIM, NEAREST, SSIM, PROBE, SAMPLE_MS};
#define SUMMARY ((int)(sizeof summary / sizeof summary[0]))
/* In which space the summary is: the judge's, if there is one. */
static int summary_at(const comparison *c, int k) { return summary[k] < PER_SPACE ? summary[k] + (c->no_judge ? RANDOM : JUDGE) * PER_SPACE : summary[k]; }

static void print_table(const comparison *c) {
    char text[32];
    printf("%-20s", c->no_judge ? "(random features)" : "");
    for (int k = 0; k < SUMMARY; k++) printf(" %10s", measure_at(summary_at(c, k)).key);
    putchar('\n');
    for (int i = 0; i < c->subjects; i++) {
        printf("%-20.20s", c->subject[i].name);
        for (int k = 0; k < SUMMARY; k++) {
            const number *x = &c->subject[i].number[summary_at(c, k)];
            printf(" %10s", x->known ? shown(x->value, text) : "-");
        }
        putchar('\n');
    }
}

static void quoted(FILE *f, const char *text, int json) { /* CSV doubles a quote, JSON escapes it */
    fputc('"', f);
    for (; *text; text++)
        if (*text == '"') fputs(json ? "\\\"" : "\"\"", f);
        else if (*text == '\\' && json) fputs("\\\\", f);
        else if ((unsigned char)*text < ' ') fputc(' ', f);
        else fputc(*text, f);
    fputc('"', f);
}

/* results.csv: one line a number; results.json: the same as one object. Written beside and renamed, so that half of one never stands there. */
static int write_results(const comparison *c, int json) {
    char  path[4200], beside[4208], key[40], text[32];
    FILE *f;
    int   done;
    snprintf(path, sizeof path, "%s/results.%s", c->args->out, json ? "json" : "csv");
    snprintf(beside, sizeof beside, "%s.tmp", path);
    f = fopen(beside, "wb");
    if (!f) return tool_fail("%s: the file could not be written", path);
    if (json) fprintf(f, "{\"data\": {\"width\": %d, \"height\": %d, \"channels\": %d, \"training\": %zu, \"test\": %d, \"samples\": %d},\n\"subjects\": [", c->width, c->height,
                      c->channels, c->trained, c->tests, c->n);
    else fputs("name,measure,value,error,reason\n", f);
    for (int i = 0; i < c->subjects; i++) {
        const subject *s = &c->subject[i];
        if (json) {
            fputs(i ? ",\n{\"name\": " : "\n{\"name\": ", f);
            quoted(f, s->name, 1);
            fprintf(f, ", \"images\": %d, \"measures\": {", s->count);
        }
        for (int m = 0; m < MEASURES; m++) {
            const number *x = &s->number[m];
            key_of(m, key);
            if (json) {
                fprintf(f, "%s\n  \"%s\": {", m ? "," : "", key);
                if (x->known) fprintf(f, "\"value\": %s", shown(x->value, text));
                if (x->known && x->error >= 0) fprintf(f, ", \"error\": %s", shown(x->error, text));
                if (!x->known) {
                    fputs("\"reason\": ", f);
                    quoted(f, x->why, 1);
                }
                fputc('}', f);
                continue;
            }
            quoted(f, s->name, 0);
            fprintf(f, ",%s,%s", key, x->known ? shown(x->value, text) : "");
            fprintf(f, ",%s,", x->known && x->error >= 0 ? shown(x->error, text) : "");
            if (!x->known) quoted(f, x->why, 0);
            fputc('\n', f);
        }
        if (json) fputs("}}", f);
    }
    if (json) fputs("\n]}\n", f);
    done = !ferror(f);
    done &= !fclose(f);
    if (done && !tool_replace(beside, path)) return TOOL_DONE;
    remove(beside);
    return tool_fail("%s: the file could not be written", path);
}

/* --- the page --- */

static void write_number(tool_report *r, const subject *s, int m, int best) {
    const number *x = &s->number[m];
    char          key[40], text[32];
    key_of(m, key);
    fprintf(r->file, "<span%s data-name=\"", best ? " class=\"best\"" : "");
    report_text(r, s->name);
    fprintf(r->file, "\" data-measure=\"%s\">%s</span>", key, shown(x->value, text));
}

static void write_table(const comparison *c, tool_report *r) {
    fputs("<div class=\"wide\"><table><thead><tr><th></th>", r->file);
    for (int k = 0; k < SUMMARY; k++) fprintf(r->file, "<th>%s</th>", measure_at(summary_at(c, k)).name);
    fputs("</tr></thead><tbody>\n", r->file);
    for (int n = 0; n < c->subjects; n++) {
        int i = (n + OWN) % c->subjects; /* ours come last */
        fprintf(r->file, "<tr%s><td>", i < OWN ? " class=\"still\"" : "");
        report_text(r, c->subject[i].name);
        fputs("</td>", r->file);
        for (int k = 0; k < SUMMARY; k++) {
            int m = summary_at(c, k);
            fputs("<td>", r->file);
            if (c->subject[i].number[m].known) write_number(r, &c->subject[i], m, best_of(c, m) == i);
            else fputs("\xe2\x80\x93", r->file);
            fputs("</td>", r->file);
        }
        fputs("</tr>\n", r->file);
    }
    fputs("</tbody></table></div>\n", r->file);
}

/* A card with a bar for each subject. Noise may be off the scale, which is that of the others. */
static void write_bars(const comparison *c, tool_report *r, int m) {
    measure what = measure_at(m);
    double  low = 0, high = 0;
    int     best = best_of(c, m), any = 0;
    char    text[32];
    for (int i = 0; i < c->subjects; i++) {
        const number *x = &c->subject[i].number[m];
        double        error = x->error > 0 ? x->error : 0;
        any |= x->known;
        if (!x->known || i == NOISE) continue;
        if (x->value - error < low) low = x->value - error;
        if (x->value + error > high) high = x->value + error;
    }
    if (!any && (m >= PARZEN || m % PER_SPACE)) return; /* the reason stands in the first card */
    if (!(high > low)) high = low + 1;
    fprintf(r->file, "<div class=\"card\"><h3>%s</h3>\n", what.name);
    for (int n = 0; n < c->subjects; n++) {
        int           i = (n + OWN) % c->subjects;
        const number *x = &c->subject[i].number[m];
        double        zero = 100 * (0 - low) / (high - low), at;
        if (i < OWN && !x->known) continue;
        fputs("<div class=\"bar\"><span title=\"", r->file);
        report_text(r, c->subject[i].name);
        fputs("\">", r->file);
        report_text(r, c->subject[i].name);
        fputs("</span>", r->file);
        if (!x->known) {
            fputs("<span class=\"why\">", r->file);
            report_text(r, x->why);
            fputs("</span></div>\n", r->file);
            continue;
        }
        at = 100 * (x->value - low) / (high - low);
        at = at < 0 ? 0 : at > 100 ? 100 : at;
        fprintf(r->file, "<svg aria-hidden=\"true\"><rect %sx=\"%.2f%%\" y=\"1\" width=\"%.2f%%\" height=\"10\"/>", i < OWN ? "class=\"still\" " : "", at < zero ? at : zero,
                fabs(at - zero));
        if (x->error > 0) {
            double half = 100 * x->error / (high - low);
            fprintf(r->file, "<line x1=\"%.2f%%\" x2=\"%.2f%%\" y1=\"6\" y2=\"6\"/>", at - half, at + half);
        }
        fputs("</svg><span>", r->file);
        write_number(r, &c->subject[i], m, best == i);
        if (x->error >= 0) fprintf(r->file, " <small>\xc2\xb1 %s</small>", (snprintf(text, sizeof text, "%.2g", x->error), text));
        fputs("</span></div>\n", r->file);
    }
    fprintf(r->file, "<p>%s</p></div>\n", what.read);
}

static void write_pictures(const comparison *c, tool_report *r, const char *what, const char *title, const char *read) {
    char path[4200];
    int  any = 0;
    for (int n = 0; n < c->subjects; n++) {
        int i = (n + OWN) % c->subjects;
        snprintf(path, sizeof path, "%s/pictures/%d-%s.png", c->args->out, i, what);
        if (i == NOISE || !tool_exists(path)) continue;
        if (!any++) fprintf(r->file, "<h2>%s</h2>\n<p>%s</p>\n<div class=\"cards\">\n", title, read);
        report_picture(r, path, c->subject[i].name, 2);
    }
    if (any) fputs("</div>\n", r->file);
}

static int write_report(const comparison *c) {
    tool_report r;
    char        path[4200];
    double      seconds;
    int         runs = 0;
    if (report_open(&r, c->args->out, "Comparison", 0)) return TOOL_FAILED;
    fprintf(r.file, "<p>%d %s images %dx%dx%d, %d of each model, against %d unseen real ones; training images: %zu (", c->subjects - OWN, c->subjects - OWN == 1 ? "set of" : "sets of",
            c->width, c->height, c->channels, c->n, c->tests, c->trained);
    report_text(&r, c->args->data);
    fprintf(r.file, "). Seed %llu. \xc2\xb1 is one standard error, of %d parts of the samples unless a sentence says otherwise. The two grey rows give the scale: real images that "
            "the models were trained on, and noise. Noise may lie beyond the end of a scale. The best of the others is green.</p>\n", (unsigned long long)c->args->seed, PARTS);
    for (int i = OWN; i < c->subjects; i++)
        if (c->subject[i].count < c->n) {
            fputs("<p><b>", r.file);
            report_text(&r, c->subject[i].name);
            fprintf(r.file, "</b> has %d images only: its Frechet distance is higher, its recall and coverage are lower than those of %d would be.</p>\n", c->subject[i].count, c->n);
        }
    fprintf(r.file, "<h2>In brief</h2>\n<p>Distances %s.</p>\n", space_name[c->no_judge ? RANDOM : JUDGE]);
    write_table(c, &r);
    write_pictures(c, &r, "samples", "Samples", "Made from the same seed by all models, not chosen. For images made elsewhere, and real ones, some at random.");
    write_pictures(c, &r, "reconstructions", "Reconstructions", "Unseen real images above what the model makes of them. Models that can't encode are left out.");
    write_pictures(c, &r, "interpolations", "Interpolations", "Each row goes from one latent to another. Sudden changes: the model has learned single images rather than what lies between them.");
    write_pictures(c, &r, "nearest", "Nearest training images", "Samples above the training images that are nearest to them. Pairs that are alike in every detail are copies.");
    for (int space = 0; space < SPACES; space++) {
        if (!c->dim[space] && !(space == JUDGE && c->no_judge)) continue;
        fprintf(r.file, "<h2>Distances between sets, %s</h2>\n", space_name[space]);
        if (!c->dim[space]) {
            fprintf(r.file, "<p>Not measured: %s.</p>\n", c->no_judge);
            continue;
        }
        fputs("<div class=\"cards\">\n", r.file);
        for (int m = 0; m < PER_SPACE; m++) write_bars(c, &r, space * PER_SPACE + m);
        fputs("</div>\n", r.file);
    }
    fputs("<h2>Pixels, copies, latents, costs</h2>\n<div class=\"cards\">\n", r.file);
    for (int m = PARZEN; m < MEASURES; m++) write_bars(c, &r, m);
    fputs("</div>\n", r.file);
    for (int i = OWN; i < c->subjects; i++) {
        snprintf(path, sizeof path, "%s/metrics.csv", c->subject[i].run);
        if (!c->subject[i].run[0] || !tool_exists(path)) continue;
        if (!runs++) fputs("<h2>Training</h2>\n<p>Losses of different families can't be compared; each curve is for itself.</p>\n", r.file);
        fputs("<details><summary>", r.file);
        report_text(&r, c->subject[i].name);
        fputs("</summary>\n", r.file);
        report_curves(&r, path, &seconds);
        fputs("</details>\n", r.file);
    }
    return report_close(&r);
}

static int compare(comparison *c) {
    const tool_args *a = c->args;
    char             path[4200];
    FILE            *f;
    int              status;
    for (int i = 0; i < a->operands; i++) {
        c->subject[OWN + i].count = c->n;
        status = open_subject(c, &c->subject[OWN + i], a->operand[i]);
        if (status) return status;
    }
    c->pixels = (size_t)c->width * (size_t)c->height * (size_t)c->channels;
    status = open_data(c);
    if (status) return status;
    make_folder(a->out); /* may be there already; whether it can be written to is seen at once, not after minutes */
    snprintf(path, sizeof path, "%s/pictures", a->out);
    make_folder(path);
    snprintf(path, sizeof path, "%s/results.csv.tmp", a->out);
    f = fopen(path, "wb");
    if (!f || fclose(f) || remove(path)) return tool_fail("%s/results.csv: the file could not be written", a->out);
    snprintf(c->subject[TRAINING].name, sizeof c->subject[TRAINING].name, "training images");
    snprintf(c->subject[NOISE].name, sizeof c->subject[NOISE].name, "noise");
    c->subject[TRAINING].count = c->trained < (size_t)c->n ? (int)c->trained : c->n;
    c->subject[NOISE].count = c->n;
    c->work = SETUP + 6 * c->subjects;
    status = prepare(c);
    for (int i = 0; i < c->subjects && !status; i++) status = measure_subject(c, &c->subject[i]);
    progress_end();
    if (status) return status;
    print_table(c);
    status = write_results(c, 0);
    if (!status) status = write_results(c, 1);
    if (!status && write_report(c)) status = tool_fail("%s/report.html could not be written", a->out);
    if (!status) printf("all of it, with pictures: %s/report.html; as numbers: results.csv, results.json\n", a->out);
    return status;
}

int tool_compare(const tool_args *a) {
    comparison     c;
    genai_ctx_desc d;
    int            status = TOOL_FAILED;
    if (!a->data) return tool_usage(a, "compare wants --data PATH, the real images");
    if (!a->out) return tool_usage(a, "compare wants -o DIR, the folder for the report");
    memset(&c, 0, sizeof c);
    memset(&d, 0, sizeof d);
    d.seed = a->seed;
    d.threads = (int)a->threads;
    d.isa = a->isa;
    d.log = log_unless;
    d.log_user = &c;
    c.args = a;
    c.began = now();
    c.n = a->count ? (int)a->count : 2000;
    if (a->ais && a->ais < 20) return tool_usage(a, "--ais wants 0 or at least 20 temperatures, not %ld", a->ais);
    if (c.n < LEAST) return tool_usage(a, "-n %d: at least %d images are needed to measure anything", c.n, LEAST);
    c.subjects = OWN + a->operands;
    c.subject = (subject *)calloc((size_t)c.subjects, sizeof *c.subject);
    c.ctx = genai_ctx_create(&d);
    if (!c.subject) tool_fail("there is no memory for %d subjects", c.subjects);
    else if (c.ctx) status = compare(&c);
    genai_ctx_destroy(c.ctx);
    free(c.subject);
    free(c.real);
    free(c.image);
    free(c.labels);
    free(c.asked);
    free(c.basis);
    for (int space = 0; space < SPACES; space++) free(c.features[space]), free(c.made[space]);
    return status;
}
