/* Same seed, same bits: trains every preset for a few steps (a shuffle, a mirrored batch, a last partial batch, past the
 * first steps of the optimisers), hashes all that was learned and two samples, and compares with the hash below, which
 * holds for every instruction set, thread count, compiler, optimisation level, and after a resume half-way.
 *
 *   test_determinism [isa=NAME] [threads=N] [preset=NAME] [small|most] [straight] [print]
 *
 * Without arguments: the best instruction set with 3 threads and a resume; small presets also with 1 thread, and in the
 * scalar pass. small: leaves out those that take the scalar pass seconds; most: an emulator half a minute. straight: without
 * the resume. print: shows the hashes.
 * determinism.sh runs it through compilers, levels and machines. When the arithmetic is changed on purpose: `print`. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

typedef struct golden {
    const char *preset;
    int         width, height, channels; /* as small as it can be; not square where any size goes */
    int         steps;                   /* of batches of 3, from epochs of 5 images: 3, 2, 3, 2  */
    int         large;                   /* 1: seconds in the scalar pass, 2: half a minute under an emulator */
    const char *hash;
} golden;

static const golden goldens[] = {
    { "gan", 12, 16, 3, 4, 0, "f466678606d58a58" },
    { "vae", 12, 16, 4, 4, 0, "2b460c49d92034c7" },
    { "vaegan", 12, 16, 3, 4, 0, "525bd9eb5e49ebba" },
    { "dcgan_k4", 32, 32, 1, 2, 1, "c9ebd686ba82d3d9" },
    { "dcgan_k5", 32, 32, 1, 2, 1, "01762612ed3a3d27" },
    { "dcgan64", 64, 64, 1, 2, 2, "b91dfd7e30d0e92a" },
    { "gan_dense_conv", 32, 32, 1, 2, 2, "fd8fb82f50f2ef1a" },
    { "vae_mlp", 9, 7, 3, 4, 0, "1318bbffc82fe821" },
    { "vae_400_20", 9, 7, 1, 4, 0, "d68b5769c9442c62" },
    { "vae_conv_k5", 32, 32, 1, 2, 1, "9730827127860eae" },
    { "ae_32", 9, 7, 2, 4, 0, "be80b2276746f9c0" },
    { "vaegan_mlp", 9, 7, 1, 4, 0, "493f01610b5f1777" },
    { "ae", 12, 16, 3, 4, 1, "771b2342f443e9e4" },
    { "wae", 12, 16, 3, 4, 1, "368d4d94f3479dbe" },
    { "iwae", 9, 7, 1, 4, 0, "1dd0d647dbe26c51" },
    { "aae", 12, 16, 4, 4, 1, "f5ab9a36f5ea3738" },
    { "vqvae", 12, 16, 3, 4, 1, "e701a87594c9f2db" },
    { "translate", 12, 17, 3, 4, 1, "48676f0e35b07907" },
    { "cycle", 12, 17, 3, 4, 1, "daeba642ec17c140" },
    { "rbm", 9, 7, 1, 4, 0, "23c671ab85e73faa" },
    { "rbm_500", 9, 7, 3, 4, 1, "b4d685884164e61c" },
    { "dbn", 9, 7, 1, 4, 0, "07eabae9a3548a1f" },
    { "dbn_500_500_2000", 9, 7, 1, 4, 1, "2dc7f64077904fac" },
};

/* --- one run --- */
static uint64_t hash_bytes(uint64_t hash, const void *p, size_t n) { /* FNV-1a */
    const unsigned char *c = (const unsigned char *)p;
    for (; n; n--) hash = (hash ^ *c++) * 0x100000001b3u;
    return hash;
}

static genai_ctx *make_context(genai_isa isa, int threads) {
    genai_ctx_desc desc = quiet_desc(7, threads, isa, NULL);
    desc.log = NULL;
    desc.io = disk_io();
    return genai_ctx_create(&desc);
}

/* Five sprites an epoch, or pairs of them where the preset turns images into images. */
static genai_dataset *sprites(genai_ctx *ctx, const char *preset, const genai_dataset_desc *images) {
    genai_dataset *data = genai_dataset_sprites(ctx, 5, images);
    int            aligned = !strcmp(preset, "translate");
    return aligned || !strcmp(preset, "cycle") ? genai_dataset_pairs(data, genai_dataset_sprites(ctx, aligned ? 5 : 4, images), aligned) : data;
}

/* The hash as text, or the error. half: 1 stops after half of the steps, and goes on in a new context from the file. */
static const char *run(const golden *g, genai_isa isa, int threads, int half) {
    static char        text[600];
    genai_ctx         *ctx = make_context(isa, threads);
    genai_dataset_desc images;
    genai_dataset     *data;
    genai_model_desc   desc;
    genai_model       *model;
    genai_fit_desc     fit;
    uint64_t           hash = 0xcbf29ce484222325u, header = 0;
    memory_file       *f;
    float             *samples;
    int                i;
    memset(&images, 0, sizeof images);
    memset(&desc, 0, sizeof desc);
    memset(&fit, 0, sizeof fit);
    images.width = g->width;
    images.height = g->height;
    images.channels = g->channels;
    images.flip = 1;
    desc.preset = g->preset;
    data = sprites(ctx, g->preset, &images);
    desc.data = data;
    model = genai_model_create(ctx, &desc);
    fit.batch = 3;
    fit.steps = half ? g->steps / 2 : g->steps;
    genai_model_fit(model, data, &fit);
    genai_model_save_checkpoint(model, "model");
    if (half) {
        const char *failed = genai_ctx_error(ctx);
        if (failed[0]) snprintf(text, sizeof text, "%s", failed);
        if (failed[0]) { genai_ctx_destroy(ctx); return text; }
        genai_ctx_destroy(ctx);
        ctx = make_context(isa, threads);
        data = sprites(ctx, g->preset, &images);
        model = genai_model_load(ctx, "model");
        fit.steps = g->steps;
        genai_model_fit(model, data, &fit);
        genai_model_save_checkpoint(model, "model");
    }
    samples = (float *)calloc((size_t)(2 * g->width * g->height * g->channels), sizeof(float));
    if (!samples) exit(2);
    if (genai_dataset_describe(data).pairs) {
        genai_dataset_batch(genai_dataset_sprites(ctx, 2, &images), -1, 0, 2, samples, NULL);
        genai_model_translate(model, 2, samples, 0, samples);
    } else genai_model_sample(model, 3, 2, NULL, samples);
    f = disk_find("model");
    if (genai_ctx_result(ctx) || !f || f->n < 8) snprintf(text, sizeof text, "%s", genai_ctx_error(ctx));
    else if (genai_model_steps(model) != g->steps) snprintf(text, sizeof text, "%ld steps, not %d", genai_model_steps(model), g->steps);
    else {
        for (i = 7; i >= 0; i--) header = header << 8 | (unsigned char)f->p[i];
        hash = hash_bytes(hash, f->p + 8 + header, f->n - 8 - (size_t)header); /* the tensors' values, not the text before them */
        hash = hash_bytes(hash, samples, (size_t)(2 * g->width * g->height * g->channels) * sizeof(float));
        snprintf(text, sizeof text, "%08lx%08lx", (unsigned long)(hash >> 32), (unsigned long)(hash & 0xffffffffu));
    }
    free(samples);
    genai_ctx_destroy(ctx);
    disk_remove(NULL, "model");
    return text;
}

static void check_one(const golden *g, genai_isa isa, int threads, int half) {
    const char *hash = run(g, isa, threads, half);
    CHECK(!strcmp(hash, g->hash), "%s, %s, %d threads%s: %s, not %s", g->preset, genai_isa_name(isa), threads, half ? ", resumed half-way" : "", hash, g->hash);
}

int main(int argc, char **argv) {
    const char *preset = NULL;
    genai_isa   isa = GENAI_ISA_BEST;
    int         threads = 0, chosen = 0, print = 0, small = 0, straight = 0, i, k, known;
    for (i = 1; i < argc; i++) {
        if (!strncmp(argv[i], "preset=", 7)) preset = argv[i] + 7;
        else if (!strncmp(argv[i], "threads=", 8)) { threads = atoi(argv[i] + 8); chosen = 1; }
        else if (!strncmp(argv[i], "isa=", 4)) {
            for (k = 0; k < 5 && strcmp(argv[i] + 4, genai_isa_name((genai_isa)k)) != 0; k++) {}
            isa = (genai_isa)k;
            chosen = 1;
        } else if (!strcmp(argv[i], "print")) print = 1;
        else if (!strcmp(argv[i], "small")) small = 1;
        else if (!strcmp(argv[i], "most")) small = 2;
        else if (!strcmp(argv[i], "straight")) straight = 1;
        else { printf("unknown argument %s\n", argv[i]); return 2; }
    }
    if (chosen) {
        genai_ctx *ctx = make_context(isa, 1);
        if (!ctx) return 2; /* the reason is in the log */
        genai_ctx_destroy(ctx);
    }
    for (i = 0; i < genai_preset_count(); i++) {
        const char   *name = genai_preset_at(i)->name;
        const golden *g = NULL;
        for (k = 0; k < (int)(sizeof goldens / sizeof goldens[0]); k++)
            if (!strcmp(goldens[k].preset, name)) g = &goldens[k];
        CHECK(g != NULL, "preset %s has no hash here", name);
        if (!g || (preset && strcmp(preset, name) != 0) || (small && g->large >= small)) continue;
        if (print) printf("%s %s\n", name, run(g, isa, threads, 0));
        else if (chosen) {
            check_one(g, isa, threads, 0);
            if (!straight) check_one(g, isa, threads, 1);
        } else {
            check_one(g, GENAI_ISA_BEST, 3, 1);
            if (!g->large) check_one(g, GENAI_ISA_BEST, 1, 0);
            if (!g->large) check_one(g, GENAI_ISA_SCALAR, 2, 0);
        }
    }
    for (known = 0, i = 0; i < genai_preset_count(); i++) known += preset && !strcmp(preset, genai_preset_at(i)->name);
    CHECK(!preset || known == 1, "no preset %s", preset);
    return CHECK_DONE("determinism");
}
