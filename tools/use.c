/* What the command line does with a trained model: pictures from its latents, and from the user's images. */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A model, and images of the user's that it is shown. */
typedef struct use {
    const tool_args *args;
    genai_ctx       *ctx;
    genai_model     *model;
    genai_dataset   *data;      /* that the images are from                          */
    genai_model_desc desc;
    size_t           pixels;    /* of one image                                      */
    int              n;         /* images                                            */
    float           *images;
    int             *labels;    /* NULL: the model isn't conditional                 */
} use;

/* Writes n images as a grid and says so, in words of the caller's. */
static int save(const use *u, int n, int columns, const float *images, int many, const char *what) {
    if (genai_image_save_grid(u->ctx, u->args->picture, n, columns, u->desc.width, u->desc.height, u->desc.channels, images)) return TOOL_FAILED;
    printf("%s: %d %s %dx%dx%d\n", u->args->picture, many, what, u->desc.width, u->desc.height, u->desc.channels);
    return TOOL_DONE;
}

/* Loads the model, runs `run` on it, frees everything. */
static int with_model(const tool_args *a, int (*run)(use *u)) {
    use u;
    int status = TOOL_FAILED;
    memset(&u, 0, sizeof u);
    u.args = a;
    u.ctx = tool_ctx(a, a->seed);
    u.model = genai_model_load(u.ctx, a->operand[0]);
    if (u.model) {
        u.desc = genai_model_resolved(u.model);
        u.pixels = (size_t)u.desc.width * (size_t)u.desc.height * (size_t)u.desc.channels;
        if (a->label >= 0 && !u.desc.classes) status = tool_fail("%s isn't conditional, so it can't make class %ld", a->operand[0], a->label);
        else status = run(&u);
    }
    free(u.images);
    free(u.labels);
    genai_ctx_destroy(u.ctx);
    return status;
}

static int with_picture(const tool_args *a, int (*run)(use *u)) {
    return a->picture ? with_model(a, run) : tool_usage(a, "%s wants -o FILE.png, the picture to write", a->command);
}

static int on_images(const tool_args *a, int (*run)(use *u)) {
    if (!a->data) return tool_usage(a, "%s wants --data PATH, the images", a->command);
    return a->picture || !strcmp(a->command, "anomaly") ? with_model(a, run) : tool_usage(a, "%s wants -o FILE.png, the picture to write", a->command);
}

/* Takes `count` images of the data, in the order of an epoch or of the files (-1): such as the model hasn't seen if there are some. */
static int take_images(use *u, int count, long epoch) {
    genai_dataset     *data = tool_data(u->ctx, u->args, u->desc.width, u->desc.height, u->desc.channels), *test = genai_dataset_test(data);
    genai_dataset_info info;
    if (!data) return TOOL_FAILED;
    u->data = data;
    if (test && epoch >= 0) data = test; /* in the order of the files, of all that it was trained on */
    info = genai_dataset_describe(data);
    if (u->desc.classes && !info.classes) return tool_fail("%s was trained with labels, but %s has none", u->args->operand[0], u->args->data);
    if ((size_t)count > info.count) count = (int)info.count;
    u->images = tool_floats((size_t)count, u->pixels);
    u->labels = (int *)malloc((size_t)count * sizeof(int));
    if (!u->images || !u->labels) return TOOL_FAILED;
    u->n = count;
    return genai_dataset_batch(data, epoch, 0, count, u->images, u->labels) ? TOOL_FAILED : TOOL_DONE;
}

static int count_or(const use *u, int standard) { return u->args->count ? (int)u->args->count : standard; }
static int rows_or(const use *u, int standard) { return u->args->rows ? (int)u->args->rows : standard; }
static int label_of(const use *u) { return u->args->label < 0 ? 0 : (int)u->args->label; }

/* Bands of `kinds` rows, each with so many images of every kind: kind k of image i is at made[k] + i*pixels. */
static int save_bands(const use *u, int kinds, float *const *made, const char *what) {
    int    bands = (u->n + 15) / 16, columns = (u->n + bands - 1) / bands, status = TOOL_FAILED;
    size_t places = (size_t)kinds * (size_t)bands * (size_t)columns;
    float *grid = tool_floats(places, u->pixels);
    if (!grid) return TOOL_FAILED;
    memset(grid, 0, places * u->pixels * sizeof *grid);
    for (int i = 0; i < u->n; i++)
        for (int k = 0; k < kinds; k++)
            memcpy(grid + (size_t)((i / columns * kinds + k) * columns + i % columns) * u->pixels, made[k] + (size_t)i * u->pixels, u->pixels * sizeof *grid);
    status = save(u, (int)places, columns, grid, u->n, what);
    free(grid);
    return status;
}

/* --- from latents --- */

static int sample(use *u) {
    int    n = count_or(u, 64), columns = 1, status = TOOL_FAILED;
    float *images = tool_floats((size_t)n, u->pixels);
    u->labels = u->args->label >= 0 ? (int *)malloc((size_t)n * sizeof(int)) : NULL;
    for (int i = 0; u->labels && i < n; i++) u->labels[i] = (int)u->args->label;
    while (columns * columns < n) columns++;
    if (u->desc.classes > 1 && u->desc.classes <= 32 && !u->labels) columns = u->desc.classes; /* a column for each class */
    if (images && !genai_model_sample(u->model, u->args->seed, n, u->labels, images)) status = save(u, n, columns, images, n, "images");
    free(images);
    return status;
}

static int interpolate(use *u) {
    int    rows = rows_or(u, 8), n = count_or(u, 10), status = TOOL_FAILED;
    size_t latent = (size_t)u->desc.latent;
    float *z = tool_floats(2 * (size_t)rows, latent), *grid = tool_floats((size_t)rows * (size_t)n, u->pixels);
    if (!z || !grid || genai_model_latents(u->model, u->args->seed, 2 * rows, z)) goto done;
    for (int row = 0; row < rows; row++) {
        const float *from = z + 2 * (size_t)row * latent;
        if (genai_model_interpolate(u->model, from, from + latent, label_of(u), n, grid + (size_t)row * (size_t)n * u->pixels)) goto done;
    }
    status = save(u, rows * n, n, grid, rows * n, "images");
done:
    free(z);
    free(grid);
    return status;
}

/* The latents that change the picture most, each in a row. */
static int traverse(use *u) {
    int    rows = rows_or(u, 8), n = count_or(u, 10), latent = u->desc.latent, status = TOOL_FAILED;
    float *z = tool_floats(1, (size_t)latent), *ends = tool_floats(2, u->pixels), *effect = tool_floats((size_t)latent, 1), *grid = NULL;
    if (rows > latent) rows = latent;
    if (z && ends && effect) grid = tool_floats((size_t)rows * (size_t)n, u->pixels);
    if (!grid || genai_model_latents(u->model, u->args->seed, 1, z)) goto done;
    for (int i = 0; i < latent; i++) {
        if (genai_model_traverse(u->model, z, label_of(u), i, -3, 3, 2, ends)) goto done;
        effect[i] = 0;
        for (size_t k = 0; k < u->pixels; k++) effect[i] += (ends[k] - ends[u->pixels + k]) * (ends[k] - ends[u->pixels + k]);
    }
    for (int row = 0; row < rows; row++) {
        int best = 0;
        for (int i = 1; i < latent; i++) best = effect[i] > effect[best] ? i : best;
        effect[best] = -1;
        if (genai_model_traverse(u->model, z, label_of(u), best, -3, 3, n, grid + (size_t)row * (size_t)n * u->pixels)) goto done;
    }
    status = save(u, rows * n, n, grid, rows, "latents from -3 to 3, in images");
done:
    free(z);
    free(ends);
    free(effect);
    free(grid);
    return status;
}

static int describe(use *u) {
    size_t size = genai_model_describe(u->model, NULL, 0) + 1;
    char  *text = (char *)malloc(size);
    if (!text) return tool_fail("there is no memory for %zu bytes of text", size);
    genai_model_describe(u->model, text, size);
    fputs(text, stdout);
    if (size > 1 && text[size - 2] != '\n') putchar('\n');
    free(text);
    return TOOL_DONE;
}

/* --- from images --- */

static int reconstruct(use *u) {
    int    status = take_images(u, count_or(u, 16), 0);
    float *made[2];
    if (status) return status;
    made[0] = u->images;
    made[1] = tool_floats((size_t)u->n, u->pixels);
    status = made[1] && !genai_model_reconstruct(u->model, u->n, u->images, u->labels, made[1])
                 ? save_bands(u, 2, made, "images above their reconstructions,") : TOOL_FAILED;
    free(made[1]);
    return status;
}

/* z + t (mean of `to` - mean of `from`), t from 0 to 1.5; what the means are of is learned from up to 512 images. */
static int change(use *u) {
    int    rows = rows_or(u, 8), n = count_or(u, 10), shown = 0, status = take_images(u, 512, 0);
    size_t latent = (size_t)u->desc.latent;
    float *direction = NULL, *z = NULL, *way = NULL, *grid = NULL;
    int   *labels = NULL;
    if (status) return status;
    status = TOOL_FAILED;
    direction = tool_floats(1, latent);
    z = tool_floats(1, latent);
    way = tool_floats((size_t)n, latent);
    grid = tool_floats((size_t)rows * (size_t)n, u->pixels);
    labels = (int *)malloc((size_t)n * sizeof(int));
    if (!direction || !z || !way || !grid || !labels) goto done;
    if (genai_model_direction(u->model, u->n, u->images, u->labels, (int)u->args->from, (int)u->args->to, direction)) goto done;
    for (int i = 0; i < u->n && shown < rows; i++) {
        if (u->labels[i] != u->args->from) continue;
        if (genai_model_refine(u->model, 1, u->images + (size_t)i * u->pixels, u->labels + i, NULL, z)) goto done;
        for (int j = 0; j < n; j++) {
            float t = n > 1 ? 1.5f * (float)j / (float)(n - 1) : 0;
            labels[j] = u->labels[i];
            for (size_t k = 0; k < latent; k++) way[(size_t)j * latent + k] = z[k] + t * direction[k];
        }
        if (genai_model_decode(u->model, n, way, labels, grid + (size_t)shown * (size_t)n * u->pixels)) goto done;
        shown++;
    }
    status = save(u, shown * n, n, grid, shown, "images on their way, in images");
done:
    free(direction);
    free(z);
    free(way);
    free(grid);
    free(labels);
    return status;
}

/* [H,W], 1 for what is known. */
static float *make_mask(const use *u) {
    static const char *const sides[] = {"left", "right", "top", "bottom", "center"};
    const char              *what = u->args->mask ? u->args->mask : "right";
    int                      w = u->desc.width, h = u->desc.height, side = 0;
    float                   *mask = tool_floats((size_t)w, (size_t)h);
    genai_dataset_desc       d;
    genai_dataset           *data;
    genai_dataset_info       info;
    if (!mask) return NULL;
    while (side < 5 && strcmp(sides[side], what)) side++;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int inside[5];
            inside[0] = x < (w + 1) / 2;
            inside[1] = x >= w / 2;
            inside[2] = y < (h + 1) / 2;
            inside[3] = y >= h / 2;
            inside[4] = x >= w / 4 && x < w - w / 4 && y >= h / 4 && y < h - h / 4;
            mask[y * w + x] = side < 5 && inside[side] ? 0.0f : 1.0f;
        }
    if (side < 5) return mask;
    memset(&d, 0, sizeof d);
    d.channels = 1;
    data = genai_dataset_open(u->ctx, what, &d);
    info = genai_dataset_describe(data);
    if (data && (info.width != w || info.height != h)) tool_fail("the mask %s is %dx%d, but the images are %dx%d (WxH)", what, info.width, info.height, w, h);
    else if (!genai_dataset_batch(data, -1, 0, 1, mask, NULL)) return mask;
    free(mask);
    return NULL;
}

/* The mean of all the data's images, [H,W,C]. */
static float *mean_image(const use *u) {
    enum { PORTION = 256 };
    size_t count = genai_dataset_describe(u->data).count, first, i;
    float *mean = tool_floats(1, u->pixels), *images = tool_floats(PORTION, u->pixels);
    int    done = mean && images;
    for (i = 0; i < u->pixels && done; i++) mean[i] = 0;
    for (first = 0; first < count && done; first += PORTION) {
        size_t n = count - first < PORTION ? count - first : PORTION;
        done = !genai_dataset_batch(u->data, -1, first, (int)n, images, NULL);
        for (i = 0; i < n * u->pixels; i++) mean[i % u->pixels] += images[i] / (float)count;
    }
    free(images);
    if (done) return mean;
    free(mean);
    return NULL;
}

/* The mean squared error of what is hidden of the images; made: [n,H,W,C], or [H,W,C] for all of them. */
static double hidden_error(const use *u, const float *mask, const float *made, int one) {
    double sum = 0, hidden = 0;
    for (size_t i = 0; i < (size_t)u->n * u->pixels; i++) {
        double unknown = 1 - (double)mask[i % u->pixels / (size_t)u->desc.channels], off = (double)made[one ? i % u->pixels : i] - (double)u->images[i];
        sum += unknown * off * off;
        hidden += unknown;
    }
    return hidden > 0 ? sum / hidden : 0;
}

static int inpaint(use *u) {
    int               status = take_images(u, count_or(u, 16), 0), c = u->desc.channels;
    float            *made[3], *mask, *mean = NULL;
    genai_refine_desc d;
    if (status) return status;
    mask = make_mask(u);
    made[0] = u->images;
    made[1] = tool_floats((size_t)u->n, u->pixels);
    made[2] = tool_floats((size_t)u->n, u->pixels);
    status = TOOL_FAILED;
    if (!mask || !made[1] || !made[2]) goto done;
    for (size_t i = 0; i < (size_t)u->n * u->pixels; i++) {
        float known = mask[i % u->pixels / (size_t)c];
        made[1][i] = known * u->images[i] + (1 - known) * 0.5f;
    }
    memset(&d, 0, sizeof d);
    d.mask = mask;
    d.noise = (float)u->args->noise;
    d.completions = (int)u->args->completions;
    d.seed = u->args->seed;
    if (genai_model_inpaint(u->model, u->n, u->images, u->labels, &d, made[2])) goto done;
    mean = mean_image(u);
    if (!mean) goto done;
    printf("mean squared error of what was hidden, pixels in [0,1]: %.4f; of the mean image in its place: %.4f\n", hidden_error(u, mask, made[2], 0), hidden_error(u, mask, mean, 1));
    status = save_bands(u, 3, made, "images, what is known of them, and completions,");
done:
    free(mean);
    free(mask);
    free(made[1]);
    free(made[2]);
    return status;
}

static int denoise(use *u) {
    int               status = take_images(u, count_or(u, 16), 0);
    float            *made[2];
    genai_refine_desc d;
    if (status) return status;
    memset(&d, 0, sizeof d);
    d.noise = (float)u->args->noise;
    d.completions = (int)u->args->completions;
    d.seed = u->args->seed;
    made[0] = u->images;
    made[1] = tool_floats((size_t)u->n, u->pixels);
    status = made[1] && !genai_model_denoise(u->model, u->n, u->images, u->labels, &d, made[1]) ? save_bands(u, 2, made, "images above them denoised,") : TOOL_FAILED;
    free(made[1]);
    return status;
}

/* Prints every image's score, the highest first; the picture shows them in that order. */
static int anomaly(use *u) {
    int    status = take_images(u, u->args->count ? (int)u->args->count : 65536, -1), *order;
    float *score, *sorted[1] = {NULL};
    if (status) return status;
    status = TOOL_FAILED;
    order = (int *)malloc((size_t)u->n * sizeof *order);
    score = tool_floats((size_t)u->n, 1);
    if (!order || !score || genai_model_anomaly(u->model, u->n, u->images, u->labels, NULL, score)) goto done;
    for (int i = 0; i < u->n; i++) {
        int j = i;
        for (; j > 0 && score[order[j - 1]] < score[i]; j--) order[j] = order[j - 1];
        order[j] = i;
    }
    printf("image,score\n");
    for (int i = 0; i < u->n; i++) printf("%d,%.6f\n", order[i], (double)score[order[i]]);
    status = TOOL_DONE;
    if (!u->args->picture) goto done;
    status = TOOL_FAILED;
    if (u->n > 64) u->n = 64;
    sorted[0] = tool_floats((size_t)u->n, u->pixels);
    for (int i = 0; sorted[0] && i < u->n; i++) memcpy(sorted[0] + (size_t)i * u->pixels, u->images + (size_t)order[i] * u->pixels, u->pixels * sizeof(float));
    if (sorted[0]) status = save_bands(u, 1, sorted, "images, the strangest first,");
done:
    free(sorted[0]);
    free(order);
    free(score);
    return status;
}

static int translate(use *u) {
    int    status = take_images(u, count_or(u, 16), 0);
    float *made[2];
    if (status) return status;
    made[0] = u->images;
    made[1] = tool_floats((size_t)u->n, u->pixels);
    status = made[1] && !genai_model_translate(u->model, u->n, u->images, u->args->back, made[1]) ? save_bands(u, 2, made, "images above what became of them,") : TOOL_FAILED;
    free(made[1]);
    return status;
}

/* In pixels: what a model has learned by heart lies beside its original. */
static int nearest(use *u) {
    int    n = count_or(u, 16), status = take_images(u, 65536, -1), *index;
    float *made[2], *distance;
    if (status) return status;
    status = TOOL_FAILED;
    made[0] = tool_floats((size_t)n, u->pixels);
    made[1] = tool_floats((size_t)n, u->pixels);
    distance = tool_floats((size_t)n, 1);
    index = (int *)malloc((size_t)n * sizeof *index);
    if (made[0] && made[1] && distance && index && !genai_model_sample(u->model, u->args->seed, n, NULL, made[0]) &&
        !genai_nearest(u->ctx, n, made[0], u->n, u->images, (int)u->pixels, index, distance)) {
        for (int i = 0; i < n; i++) memcpy(made[1] + (size_t)i * u->pixels, u->images + (size_t)index[i] * u->pixels, u->pixels * sizeof(float));
        u->n = n;
        status = save_bands(u, 2, made, "samples above the nearest images,");
    }
    free(made[0]);
    free(made[1]);
    free(distance);
    free(index);
    return status;
}

int tool_sample(const tool_args *a) { return with_picture(a, sample); }
int tool_interpolate(const tool_args *a) { return with_picture(a, interpolate); }
int tool_traverse(const tool_args *a) { return with_picture(a, traverse); }
int tool_info(const tool_args *a) { return with_model(a, describe); }
int tool_reconstruct(const tool_args *a) { return on_images(a, reconstruct); }
int tool_change(const tool_args *a) { return on_images(a, change); }
int tool_inpaint(const tool_args *a) { return on_images(a, inpaint); }
int tool_denoise(const tool_args *a) { return on_images(a, denoise); }
int tool_anomaly(const tool_args *a) { return on_images(a, anomaly); }
int tool_translate(const tool_args *a) { return on_images(a, translate); }
int tool_nearest(const tool_args *a) { return on_images(a, nearest); }
