/* genai measure: how near the images of a model, a folder or an .npy file are to real ones that nobody has seen, in the features
 * of a judge trained on the data. */
#include "tool.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tool_ends(const char *path, const char *ending) {
    size_t n = strlen(path), m = strlen(ending);
    return n >= m && !strcmp(path + n - m, ending);
}

/* The shape in an .npy header such as {'descr': '|u1', 'fortran_order': False, 'shape': (2000, 28, 28, 1), }; 0: another kind. */
static int npy_shape(const char *header, long shape[4]) {
    const char *p = strstr(header, "'shape': (");
    int         end = 0;
    shape[3] = 1;
    return p && strstr(header, "'|u1'") && strstr(header, "'fortran_order': False") &&
           (sscanf(p, "'shape': (%ld, %ld, %ld, %ld%n", &shape[0], &shape[1], &shape[2], &shape[3], &end) == 4 ||
            (shape[3] = 1, sscanf(p, "'shape': (%ld, %ld, %ld%n", &shape[0], &shape[1], &shape[2], &end) == 3)) &&
           p[end] == ')' && shape[0] > 0 && shape[1] > 0 && shape[2] > 0 && shape[3] > 0 && shape[0] <= 100000000 && shape[1] <= 16384 && shape[2] <= 16384 && shape[3] <= 4;
}

/* Images from an .npy file of bytes [N,H,W,C] or [N,H,W], as NumPy writes them (numpy.lib.format, versions 1 to 3), at the size
 * and with the channels of desc. --crop keeps the middle. */
genai_dataset *tool_npy(genai_ctx *ctx, const tool_args *a, const char *path, const genai_dataset_desc *desc) {
    unsigned char  head[12], *bytes = NULL;
    char           header[4096];
    long           shape[4];
    size_t         n = 0, length = 0, image, row, from, i;
    genai_dataset *data = NULL;
    FILE          *f = fopen(path, "rb");
    int            usable = f && fread(head, 1, 10, f) == 10 && !memcmp(head, "\223NUMPY", 6) && head[6] >= 1 && head[6] <= 3;
    if (usable) length = (size_t)head[8] | (size_t)head[9] << 8;
    if (usable && head[6] > 1) usable = fread(head + 10, 1, 2, f) == 2 && !head[10] && !head[11];
    usable = usable && length < sizeof header && fread(header, 1, length, f) == length;
    header[usable ? length : 0] = 0;
    if (!f) tool_fail("%s: the file could not be opened", path);
    else if (!usable || !npy_shape(header, shape)) tool_fail("%s: isn't an .npy file of bytes [N,H,W,C] or [N,H,W] (uint8 in C order)", path);
    else if (a->crop[0] > shape[2] || a->crop[1] > shape[1])
        tool_fail("%s: has images of %ldx%ld, from which --crop can't cut %ldx%ld", path, shape[2], shape[1], a->crop[0], a->crop[1]);
    else {
        long width = a->crop[0] ? a->crop[0] : shape[2], height = a->crop[1] ? a->crop[1] : shape[1];
        row = (size_t)(shape[2] * shape[3]);
        image = (size_t)shape[1] * row;
        bytes = (size_t)shape[0] > SIZE_MAX / image ? NULL : (unsigned char *)malloc((size_t)shape[0] * image);
        if (!bytes) tool_fail("%s: there is no memory for its images", path);
        else if (fread(bytes, image, (size_t)shape[0], f) != (size_t)shape[0] || fgetc(f) != EOF) tool_fail("%s: is shorter or longer than its header says", path);
        else {
            from = (size_t)((shape[1] - height) / 2) * row + (size_t)((shape[2] - width) / 2 * shape[3]);
            for (i = 0; i < (size_t)(shape[0] * height); i++, n += (size_t)(width * shape[3]))
                memmove(bytes + n, bytes + i / (size_t)height * image + i % (size_t)height * row + from, (size_t)(width * shape[3]));
            data = genai_dataset_memory(ctx, (size_t)shape[0], (int)width, (int)height, (int)shape[3], bytes, NULL, desc);
        }
    }
    free(bytes);
    if (f) fclose(f);
    return data;
}

/* Images as numbers, with what the judge makes of them. */
typedef struct pictures {
    int    n;
    size_t pixels;           /* of one                                     */
    float *image, *features; /* [n,pixels], [n,D]                          */
    float *nearest;          /* [n], distance to the nearest training image */
    int   *label;            /* [n]                                        */
} pictures;

static void drop_pictures(pictures *p) {
    free(p->image);
    free(p->features);
    free(p->nearest);
    free(p->label);
}

static int make_pictures(const genai_judge *judge, int n, pictures *p) {
    genai_judge_info info = genai_judge_describe(judge);
    p->n = n;
    p->pixels = (size_t)info.width * (size_t)info.height * (size_t)info.channels;
    p->image = tool_floats((size_t)n, p->pixels);
    p->features = tool_floats((size_t)n, (size_t)info.features);
    p->nearest = tool_floats((size_t)n, 1);
    p->label = (int *)malloc((size_t)n * sizeof *p->label);
    if (!p->label) return tool_fail("there is no memory for %d labels", n);
    return p->image && p->features && p->nearest ? TOOL_DONE : TOOL_FAILED;
}

/* n images of the data, from the beginning or at random. */
static int take_pictures(genai_judge *judge, genai_dataset *data, int n, int at_random, pictures *p) {
    size_t count = genai_dataset_describe(data).count;
    if (make_pictures(judge, count > (size_t)n ? n : (int)count, p) || genai_dataset_batch(data, at_random ? 0 : -1, 0, p->n, p->image, p->label)) return TOOL_FAILED;
    return genai_judge_features(judge, p->n, p->image, p->features) ? TOOL_FAILED : TOOL_DONE;
}

/* n samples; a conditional model's of the classes that `like` has, as often; without labels there, of all in turn. */
static int make_samples(const tool_args *a, genai_judge *judge, genai_model *model, int n, const pictures *like, int labelled, pictures *p) {
    int classes = genai_model_resolved(model).classes;
    if (make_pictures(judge, n, p)) return TOOL_FAILED;
    for (int i = 0; i < n; i++) p->label[i] = labelled ? like->label[(int)((long long)i * like->n / n)] : classes ? i % classes : 0;
    if (genai_model_sample(model, a->seed, n, classes ? p->label : NULL, p->image)) return TOOL_FAILED;
    return genai_judge_features(judge, n, p->image, p->features) ? TOOL_FAILED : TOOL_DONE;
}

int tool_rising(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The median distance, in pixels, to the nearest training image; negative: failed. The training images pass by in portions. */
static double nearest_training(genai_ctx *ctx, genai_dataset *data, pictures *p) {
    enum { PORTION = 512 };
    size_t count = genai_dataset_describe(data).count, first;
    float *images = tool_floats(PORTION, p->pixels), *distance = tool_floats((size_t)p->n, 1);
    int    done = images && distance;
    for (first = 0; first < count && done; first += PORTION) {
        int m = count - first < PORTION ? (int)(count - first) : PORTION;
        done = !genai_dataset_batch(data, -1, first, m, images, NULL) && !genai_nearest(ctx, p->n, p->image, m, images, (int)p->pixels, NULL, distance);
        for (int i = 0; i < p->n && done; i++)
            if (!first || distance[i] < p->nearest[i]) p->nearest[i] = distance[i];
    }
    free(images);
    free(distance);
    if (!done) return -1;
    qsort(p->nearest, (size_t)p->n, sizeof *p->nearest, tool_rising);
    return ((double)p->nearest[(p->n - 1) / 2] + (double)p->nearest[p->n / 2]) / 2;
}

/* One line: how near `made` is to `real`, images that nobody has seen. nearest: how near it is to the training images, where
 * unseen images are at 1; far below 1 it is a copy of them. */
static int print_measures(const tool_args *a, genai_ctx *ctx, const char *name, int dim, const pictures *real, const pictures *made, double nearest) {
    genai_measure_desc desc;
    genai_measures     m;
    memset(&desc, 0, sizeof desc);
    desc.dim = dim;
    desc.real_count = real->n;
    desc.made_count = made->n;
    desc.real = real->features;
    desc.made = made->features;
    if (genai_measure(ctx, &desc, &m)) return TOOL_FAILED;
    if (a->json)
        printf(", \"%s\": {\"images\": %d, \"frechet\": %.6g, \"precision\": %.4f, \"recall\": %.4f, \"density\": %.4f, \"coverage\": %.4f, \"kernel\": %.6g, \"nearest\": %.4f}",
               name, made->n, m.frechet, m.precision, m.recall, m.density, m.coverage, m.kernel, nearest);
    else
        printf("%-8s %7d %9.3f %10.3f %7.3f %8.3f %9.3f %9.5f %8.2f\n", name, made->n, m.frechet, m.precision, m.recall, m.density, m.coverage, m.kernel, nearest);
    return TOOL_DONE;
}

/* The judge in the file that --judge names, for the size of its images; NULL: there is none yet. */
static int load_judge(const tool_args *a, genai_ctx *ctx, genai_dataset_desc *size, genai_judge **judge) {
    genai_judge_info info;
    if (!a->judge || !tool_exists(a->judge)) return TOOL_DONE;
    *judge = genai_judge_load(ctx, a->judge);
    if (!*judge) return TOOL_FAILED;
    info = genai_judge_describe(*judge);
    if ((size->width && size->width != info.width) || (size->height && size->height != info.height) || (size->channels && size->channels != info.channels))
        return tool_fail("%s: is a judge of images %dx%dx%d, not %dx%dx%d", a->judge, info.width, info.height, info.channels, size->width, size->height, size->channels);
    size->width = info.width;
    size->height = info.height;
    size->channels = info.channels;
    return TOOL_DONE;
}

/* Of a conditional model's samples: the share that the judge takes for their label; negative: failed. */
static double recognised(genai_judge *judge, const pictures *made) {
    int *labels = (int *)malloc((size_t)made->n * sizeof *labels), right = 0;
    if (!labels || genai_judge_classify(judge, made->n, made->image, labels, NULL)) right = -made->n;
    for (int i = 0; right >= 0 && i < made->n; i++) right += labels[i] == made->label[i];
    free(labels);
    return (double)right / made->n;
}

static int print_likelihood(const tool_args *a, genai_model *model, genai_dataset *test) {
    double nats;
    if (genai_model_nll(model, test, (int)a->nll, &nats)) return TOOL_FAILED;
    if (a->json) printf(", \"nll\": %.6g, \"nll_samples\": %ld", nats, a->nll);
    else printf("negative log-likelihood of the unseen images: %.2f nats (%ld samples)\n", nats, a->nll);
    return TOOL_DONE;
}

static int measure(const tool_args *a, genai_ctx *ctx) {
    genai_dataset_desc size;
    genai_dataset     *data, *test, *images = NULL;
    genai_model       *model = NULL;
    genai_judge       *judge = NULL;
    genai_judge_info   info;
    pictures           real, made, seen;
    tool_args          opened = *a;
    double             unseen, near, share = -1;
    int                n = a->count ? (int)a->count : 2000, status, npy = tool_ends(a->operand[0], ".npy");
    memset(&size, 0, sizeof size);
    memset(&real, 0, sizeof real);
    memset(&made, 0, sizeof made);
    memset(&seen, 0, sizeof seen);
    size.width = (int)a->size[0];
    size.height = (int)a->size[1];
    size.channels = (int)a->channels;
    size.filter = a->filter;
    if (tool_ends(a->operand[0], ".safetensors")) {
        genai_model_desc desc;
        model = genai_model_load(ctx, a->operand[0]);
        if (!model) return TOOL_FAILED;
        desc = genai_model_resolved(model);
        if ((size.width && (size.width != desc.width || size.height != desc.height)) || (size.channels && size.channels != desc.channels))
            return tool_fail("%s: makes images %dx%dx%d, which --size and --channels can't change", a->operand[0], desc.width, desc.height, desc.channels);
        size.width = desc.width;
        size.height = desc.height;
        size.channels = desc.channels;
    }
    if (a->nll && !model) return tool_usage(a, "--nll wants a model, which %s isn't", a->operand[0]);
    status = load_judge(a, ctx, &size, &judge);
    if (status) return status;
    if (!model) { /* the images say how large and how coloured, if nobody else does */
        genai_dataset_info has;
        images = npy ? tool_npy(ctx, a, a->operand[0], &size) : genai_dataset_open(ctx, a->operand[0], &size);
        if (!images) return TOOL_FAILED;
        has = genai_dataset_describe(images);
        size.width = has.width;
        size.height = has.height;
        size.channels = has.channels;
    }
    if (!(a->holdout > 0)) opened.holdout = 0.1;
    data = tool_data(ctx, &opened, size.width, size.height, size.channels);
    test = genai_dataset_test(data);
    if (!data) return TOOL_FAILED;
    if (!judge) {
        genai_judge_desc desc;
        memset(&desc, 0, sizeof desc);
        desc.steps = a->steps;
        judge = genai_judge_create(ctx, data, &desc);
        if (!judge || (a->judge && genai_judge_save(judge, a->judge))) return TOOL_FAILED;
    }
    info = genai_judge_describe(judge);
    status = TOOL_FAILED;
    if (take_pictures(judge, data, n, 1, &seen) || take_pictures(judge, test, 10000, 0, &real)) goto done;
    if (model ? make_samples(a, judge, model, n, &real, genai_dataset_describe(test).classes == genai_model_resolved(model).classes, &made) : take_pictures(judge, images, n, 1, &made)) goto done;
    near = nearest_training(ctx, data, &made);
    unseen = nearest_training(ctx, data, &real);
    if (near < 0 || unseen < 0) goto done;
    near = unseen > 0 ? near / unseen : 0;
    if (model && genai_model_resolved(model).classes == info.classes) share = recognised(judge, &made);
    if (a->json) {
        printf("{\"judge_accuracy\": %.4f, \"unseen\": %d", info.accuracy, real.n);
        if (share >= 0) printf(", \"recognised\": %.4f", share);
    }
    else {
        if (info.accuracy >= 0) printf("judge: %.1f %% of the unseen images recognised", 100 * info.accuracy);
        printf("; images %dx%dx%d against %d unseen ones (%s)\n", info.width, info.height, info.channels, real.n, a->data);
        if (share >= 0) printf("samples recognised as their label: %.1f %%\n", 100 * share);
    }
    if (a->nll && print_likelihood(a, model, test)) goto done;
    if (!a->json) printf("%-8s %7s %9s %10s %7s %8s %9s %9s %8s\n", "", "images", "frechet", "precision", "recall", "density", "coverage", "kernel", "nearest");
    if (!print_measures(a, ctx, "made", info.features, &real, &made, near) && !print_measures(a, ctx, "real", info.features, &real, &seen, 1)) status = TOOL_DONE;
    if (a->json) printf("}\n");
done:
    drop_pictures(&real);
    drop_pictures(&made);
    drop_pictures(&seen);
    return status;
}

int tool_measure(const tool_args *a) {
    genai_ctx *ctx;
    int        status;
    if (!a->data) return tool_usage(a, "measure wants --data PATH, the real images");
    ctx = tool_ctx(a, a->seed);
    status = ctx ? measure(a, ctx) : TOOL_FAILED;
    genai_ctx_destroy(ctx);
    return status;
}
