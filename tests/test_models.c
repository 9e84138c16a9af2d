/* Model families, fit and model files: what a step may touch, gradient routing, resume, guards, bad settings and files. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

/* Files in memory; counts what it allocates, if it is told where. */
static genai_ctx *make_ctx(uint64_t seed, allocations *a) {
    genai_ctx_desc d = quiet_desc(seed, 2, GENAI_ISA_BEST, a);
    d.io = disk_io();
    return genai_ctx_create(&d);
}

/* --- small models --- */
static genai_model_desc desc_of(const char *preset, int width, int height, int channels) {
    genai_model_desc d;
    memset(&d, 0, sizeof d);
    d.preset = preset;
    d.width = width;
    d.height = height;
    d.channels = channels;
    return d;
}
static genai_model *make(genai_ctx *g, const char *preset, int width, int height, int channels) {
    genai_model_desc d = desc_of(preset, width, height, channels);
    return genai_model_create(g, &d);
}
/* Dense nets on 4x4 grey images, for every family; with_norm adds batch norm to what makes images. */
static genai_model_desc small_desc(const char *family, int with_norm) {
    genai_model_desc d = desc_of(family, 4, 4, 1);
    d.latent = 3;
    d.lr = 0.01f;
    if (!strcmp(family, "gan")) d.generator = with_norm ? "dense 8 | batchnorm | relu | dense $D | tanh" : "dense 8 | relu | dense $D | tanh";
    else d.decoder = with_norm ? "dense 8 | batchnorm | relu | dense $D" : "dense 8 | relu | dense $D";
    if (strcmp(family, "gan")) d.encoder = "dense 8 | relu | dense 2*$Z";
    if (strcmp(family, "vae")) d.discriminator = with_norm ? "dense 8 | batchnorm | lrelu 0.2 | dense 1" : "dense 8 | lrelu 0.2 | dense 1";
    if (!strcmp(family, "vaegan")) d.likelihood = "features";
    return d;
}
static genai_model *make_small(genai_ctx *g, const char *family, int with_norm) {
    genai_model_desc d = small_desc(family, with_norm);
    return genai_model_create(g, &d);
}

static float images[32 * 64 * 64 * 4];
static void fill_images(size_t n) {
    size_t i;
    for (i = 0; i < n; i++) images[i] = (float)((i * 2654435761u >> 8) % 1000) / 999.0f;
}

static size_t model_bytes(genai_model *m, float *to) { /* all parameters, statistics and averages; to NULL: the count */
    size_t n = 0;
    int    role, average;
    for (role = 0; role < GENAI__ROLES; role++)
        for (average = 0; average < 2; average++) {
            genai_net *net = average ? m->average[role] : m->net[role];
            if (!net) continue;
            if (to) {
                memcpy(to + n, net->values, net->size * sizeof(float));
                memcpy(to + n + net->size, net->running, net->running_size * sizeof(float));
            }
            n += net->size + net->running_size;
        }
    return n;
}
static float *model_copy(genai_model *m) {
    float *p = (float *)malloc((model_bytes(m, NULL) + 1) * sizeof(float));
    model_bytes(m, p);
    return p;
}
static int same_models(genai_model *a, genai_model *b) {
    float *p = model_copy(a), *q = model_copy(b);
    size_t n = model_bytes(a, NULL);
    int    same = n == model_bytes(b, NULL) && !memcmp(p, q, n * sizeof(float));
    free(p);
    free(q);
    return same;
}

/* What a model makes: samples, or other images of `images`, if it turns images into images. */
static genai_result makes(genai_model *m, uint64_t seed, int n, float *out) {
    return m && m->family->backs ? genai_model_translate(m, n, images, m->family->backs - 1, out) : genai_model_sample(m, seed, n, NULL, out);
}

static const char *const families[] = {"gan", "vae", "vaegan"};

/* --- the default presets take any size, every preset runs without allocating --- */
static void test_sizes(void) {
    static const int size[][2] = {{8, 8}, {9, 13}, {16, 16}, {28, 28}, {33, 20}, {40, 24}, {24, 40}, {5, 7}, {1, 1}};
    genai_ctx *g = make_ctx(1, NULL);
    float     *out = (float *)malloc(2 * 40 * 40 * 4 * sizeof *out);
    int        s, f;
    for (s = 0; s < 9; s++)
        for (f = 0; f < 3; f++) {
            int          channels = 1 + (s + f) % 4, w = size[s][0], h = size[s][1], i, good = 1;
            genai_losses losses;
            genai_model *m = make(g, families[f], w, h, channels);
            fill_images((size_t)(3 * w * h * channels));
            CHECK(m && !genai_model_step(m, 3, images, NULL, &losses) && !losses.skipped, "%s %dx%dx%d: %s", families[f], w, h, channels, genai_ctx_error(g));
            CHECK(m && !makes(m, 1, 2, out), "%s", genai_ctx_error(g));
            for (i = 0; i < 2 * w * h * channels; i++) good = good && out[i] >= 0 && out[i] <= 1;
            CHECK(good, "%s %dx%dx%d: samples are not in [0,1]", families[f], w, h, channels);
            genai_model_destroy(m);
            genai_ctx_clear(g);
        }
    free(out);
    genai_ctx_destroy(g);
}

static void test_presets(void) {
    int p;
    for (p = 0; p < genai_preset_count(); p++) {
        const genai_preset *row = genai_preset_at(p);
        allocations         a = {0};
        genai_ctx          *g = make_ctx(1, &a);
        int                 side = row->width ? row->width : 16;
        genai_model        *m;
        genai_losses        losses;
        float              *out = (float *)malloc(5 * 64 * 64 * 3 * sizeof *out), *again = (float *)malloc(5 * 64 * 64 * 3 * sizeof *out);
        long                calls, live = a.live;
        genai_model_destroy(make(g, row->name, side, side, row->width ? 0 : 1));
        CHECK(a.live == live, "%s: a model that is destroyed leaves %ld blocks", row->name, a.live - live);
        m = make(g, row->name, side, side, row->width ? 0 : 1);
        CHECK(m && genai__family_of(row->family) == m->family, "%s: %s", row->name, genai_ctx_error(g));
        if (m) {
            fill_images(8 * genai__pixels(m));
            CHECK(!genai_model_step(m, 4, images, NULL, &losses) && !genai_model_step(m, 3, images, NULL, &losses), "%s: %s", row->name, genai_ctx_error(g));
            CHECK(!makes(m, 1, 5, out), "%s: %s", row->name, genai_ctx_error(g));
            calls = a.calls;
            CHECK(!genai_model_step(m, 4, images, NULL, &losses) && !genai_model_step(m, 3, images, NULL, NULL) && !losses.skipped, "%s: %s", row->name, genai_ctx_error(g));
            CHECK(!makes(m, 2, 5, out), "%s", genai_ctx_error(g));
            CHECK(a.calls == calls, "%s: %ld allocations after the first steps", row->name, a.calls - calls);
            CHECK(!makes(m, 2, 3, again) && !memcmp(out, again, 3 * genai__pixels(m) * sizeof *out), "%s: image i depends on n", row->name);
            CHECK(losses.count >= 2 && losses.name[0] && (losses.value[0] > 0 || !strcmp(losses.name[0], "free_energy")), "%s: losses", row->name); /* which may have any sign */
        }
        genai_ctx_destroy(g);
        CHECK(a.live == 0, "%s: %ld blocks leaked", row->name, a.live);
        free(out);
        free(again);
    }
}

/* Nets in use have their weights packed and batch norm folded in: the same values, for one image as for many, and never
 * those of before a change. */
static void test_use(void) {
    int p;
    if (check_short()) return; /* test_presets makes them all */
    for (p = 0; p < genai_preset_count(); p++) {
        const genai_preset *row = genai_preset_at(p);
        genai_ctx          *g = make_ctx(5, NULL);
        int                 side = row->width ? row->width : 32, steps, dim[4], i;
        genai_model        *m = make(g, row->name, side, side, row->width ? 0 : 1), *loaded;
        size_t              pixels = m ? genai__pixels(m) : 0, k;
        float              *out = (float *)malloc(64 * pixels * sizeof *out + 1), *one = (float *)malloc(64 * pixels * sizeof *one + 1);
        fill_images(8 * pixels);
        if (m && m->desc.gibbs) m->desc.gibbs = 3;
        for (steps = 0; m && steps < 2; steps++) { /* the second time all has been made ready before */
            genai_net    *net = genai__best(m, m->family->painter);
            genai_tensor *z, *plain, *used;
            double        worst = 0, most = 0;
            CHECK(!genai_model_step(m, 4, images, NULL, NULL) && !genai_model_step(m, 4, images, NULL, NULL), "%s: %s", row->name, genai_ctx_error(g));
            CHECK(!makes(m, 1, 64, out), "%s: %s", row->name, genai_ctx_error(g));
            for (i = 0; i < 64; i += 31)
                CHECK(!makes(m, 1, i + 1, one) && !memcmp(out, one, (size_t)(i + 1) * pixels * sizeof *out), "%s: image i depends on n, %d", row->name, i);
            dim[0] = 3;
            memcpy(dim + 1, net->dim, sizeof net->dim);
            z = genai_random_normal(g, 1 + net->ndim, dim);
            plain = genai_net_forward(net, z, GENAI_EVAL);
            genai_recording(g, 0);
            used = genai_net_forward(net, z, GENAI_EVAL);
            genai_recording(g, 1);
            for (k = 0; plain && used && k < plain->count; k++) {
                double d = fabs((double)plain->data[k] - (double)used->data[k]), v = fabs((double)plain->data[k]);
                if (d > worst) worst = d;
                if (v > most) most = v;
            }
            CHECK(most > 0 && worst <= 1e-5 * most, "%s: folded is off by %g of %g", row->name, worst, most);
            genai_tape_release(g, 0);
            CHECK(!genai_model_save(m, "use"), "%s", genai_ctx_error(g));
            loaded = genai_model_load(g, "use");
            CHECK(loaded && !makes(loaded, 1, 64, one) && !memcmp(out, one, 64 * pixels * sizeof *out), "%s: a loaded model makes others", row->name);
            genai_model_destroy(loaded);
        }
        genai_ctx_destroy(g);
        disk_clear();
        free(out);
        free(one);
    }
}

/* What a preset holds after steps of 16 images, in KiB, besides the memory of matrix products: parameters, gradients and
 * moments, 16 bytes a parameter (20 with an average), and the arena. If this fails, something is kept longer than before. The
 * bounds leave room for one small slab, since compilers evaluate arguments in other orders. */
typedef struct holding { const char *preset; long arena, all; } holding;
static const holding holdings[] = {
    {"gan", 14592, 50799}, {"vae", 6522, 27666}, {"vaegan", 8704, 23811}, {"dcgan_k4", 7306, 26436},
    {"dcgan_k5", 10048, 55453}, {"dcgan64", 34984, 134126}, {"gan_dense_conv", 10700, 287125},
    {"vae_mlp", 1561, 14274}, {"vae_400_20", 2083, 41095}, {"vae_conv_k5", 6261, 64518},
    {"ae_32", 1561, 4683}, {"vaegan_mlp", 4956, 23600}, {"ae", 5376, 21386}, {"wae", 5632, 20105}, {"iwae", 70242, 109087},
    {"aae", 5376, 22508}, {"vqvae", 14216, 22047}, {"translate", 34048, 73007}, {"cycle", 93568, 171440},
    {"rbm", 7728, 23375}, {"rbm_500", 5824, 36312}, {"dbn", 7728, 24416}, {"dbn_500_500_2000", 8752, 60172}};
static void test_holdings(void) {
    int p;
    if (check_short()) return; /* test_presets takes the same steps */
    for (p = 0; p < genai_preset_count(); p++) {
        const genai_preset *row = genai_preset_at(p);
        genai_ctx          *g = make_ctx(1, NULL);
        genai_model        *m = make(g, row->name, row->width ? row->width : 32, row->width ? row->width : 32, 3);
        long                arena = 0, all = 0, chunks = 0, open = 0;
        size_t              i;
        genai__block       *b;
        genai__slab        *s;
        genai__chunk       *c;
        fill_images(32 * genai__pixels(m));
        CHECK(!genai_model_step(m, 16, images, NULL, NULL) && !genai_model_step(m, 16, images, NULL, NULL), "%s: %s", row->name, genai_ctx_error(g));
        for (b = g->blocks.next; b != &g->blocks; b = b->next) all += (long)b->bytes;
        for (s = g->slabs; s; s = s->next) {
            arena += (long)s->size;
            open += s->open;
        }
        for (c = g->chunks; c; c = c->next) chunks += (long)c->size;
        CHECK(!open && g->free_pieces.next == &g->free_pieces, "%s: %ld slabs are in use after a step", row->name, open);
        all -= (long)((g->workspace_size + (size_t)g->desc.threads * GENAI__SLOT) * sizeof(float));
        arena = (arena + chunks) / 1024;
        all /= 1024;
        for (i = 0; i < sizeof holdings / sizeof *holdings && strcmp(holdings[i].preset, row->name) != 0; i++) {}
        CHECK(i < sizeof holdings / sizeof *holdings && arena <= holdings[i].arena && all <= holdings[i].all,
              "a step holds {\"%s\", %ld, %ld}", row->name, arena, all);
        genai_ctx_destroy(g);
    }
}

/* --- who learns --- */
static void test_gan_routing(void) { /* T01, T02: D's step leaves G alone, G's step leaves D alone */
    genai_ctx    *g = make_ctx(3, NULL);
    genai_model  *a = make_small(g, "gan", 1), *b = make_small(g, "gan", 1);
    genai_net    *ga = a->net[GENAI__GENERATOR], *da = a->net[GENAI__DISCRIMINATOR], *db = b->net[GENAI__DISCRIMINATOR];
    float        *before, value;
    genai_tensor *x, *fake;
    fill_images(5 * 16);
    before = (float *)malloc((ga->size + 1) * sizeof *before);
    memcpy(before, ga->values, ga->size * sizeof *before);
    genai_random_at(g, GENAI__STREAM_STEP, 0);
    x = genai__model_input(a, 5, images);
    fake = genai__images(a, genai_net_forward(ga, genai__latents(a, 5), GENAI_TRAIN));
    CHECK(!genai__learn_discriminator(a, x, fake, NULL, &value), "%s", genai_ctx_error(g));
    genai_tape_release(g, 0);
    CHECK(!memcmp(before, ga->values, ga->size * sizeof *before), "D's step changed G");
    memset(before, 0, ga->size * sizeof *before);
    CHECK(!memcmp(before, ga->gradients, ga->size * sizeof *before), "D's step made gradients for G");
    CHECK(a->optimizer[GENAI__GENERATOR]->t == 0, "D's step counted for G's optimiser");
    genai_model_step(b, 5, images, NULL, NULL);
    CHECK(!memcmp(da->values, db->values, da->size * sizeof(float)) && !memcmp(da->gradients, db->gradients, da->size * sizeof(float)),
          "G's step changed D or its gradients");
    CHECK(da->trainable && db->trainable && db->running_size && !memcmp(da->running, db->running, da->running_size * sizeof(float)),
          "D's statistics learnt from more than the real images"); /* T05 */
    free(before);
    genai_ctx_destroy(g);
}

static double worst_difference(const genai_net *a, const genai_net *b) { /* of gradients, relative to the largest */
    double largest = 1e-12, worst = 0;
    size_t i;
    for (i = 0; i < a->size; i++) {
        if (fabs((double)b->gradients[i]) > largest) largest = fabs((double)b->gradients[i]);
        if (fabs((double)a->gradients[i] - (double)b->gradients[i]) > worst) worst = fabs((double)a->gradients[i] - (double)b->gradients[i]);
    }
    return worst / largest;
}
static void zero_gradients(genai_net *net) { memset(net->gradients, 0, net->size * sizeof(float)); }

static void test_vaegan_routing(void) { /* T13: each net's gradient equals that of a graph built for it alone */
    int with_features;
    for (with_features = 0; with_features < 2; with_features++) {
        genai_ctx       *g = make_ctx(4, NULL);
        genai_model_desc d = small_desc("vaegan", 0);
        genai_model     *a, *b;
        genai_net       *enc, *dec, *dis;
        genai_tensor    *x, *h, *mean, *log_var, *z, *y, *made, *other, *loss, *all, *kl, *real, *features;
        d.gamma = 0.7f;
        d.beta = 1.5f;
        if (!with_features) d.likelihood = "bernoulli";
        a = genai_model_create(g, &d);
        b = genai_model_create(g, &d);
        CHECK(a && b, "%s", genai_ctx_error(g));
        if (!a || !b) return;
        enc = b->net[GENAI__ENCODER];
        dec = b->net[GENAI__DECODER];
        dis = b->net[GENAI__DISCRIMINATOR];
        fill_images(5 * 16);
        CHECK(!genai_model_step(a, 5, images, NULL, NULL), "%s", genai_ctx_error(g));
        genai_random_at(g, GENAI__STREAM_STEP, 0);
        x = genai__model_input(b, 5, images);
        h = genai_net_forward(enc, x, GENAI_TRAIN);
        mean = genai_slice(h, 1, 0, 3);
        log_var = genai_slice(h, 1, 3, 3);
        z = genai_random_normal(g, 2, mean->dim);
        z = genai_add(mean, genai_mul(genai_exp(genai_scale(log_var, 0.5f, 0)), z));
        y = genai__images(b, genai_net_forward(dec, z, GENAI_TRAIN));
        other = genai__images(b, genai_net_forward(dec, genai_random_normal(g, 2, mean->dim), GENAI_TRAIN));
        made = y;
        if (!with_features) { made = genai_sigmoid(y); other = genai_sigmoid(other); }
        loss = genai_bce_loss(genai_net_forward(dis, x, GENAI_TRAIN), NULL, 1);
        loss = genai_add(loss, genai_bce_loss(genai_net_forward(dis, made, GENAI_TRAIN), NULL, 0));
        loss = genai_add(loss, genai_bce_loss(genai_net_forward(dis, other, GENAI_TRAIN), NULL, 0));
        CHECK(!genai_backward(loss), "%s", genai_ctx_error(g));
        CHECK(worst_difference(a->net[GENAI__DISCRIMINATOR], dis) < 1e-5, "discriminator: %g", worst_difference(a->net[GENAI__DISCRIMINATOR], dis));

        memcpy(dis->values, a->net[GENAI__DISCRIMINATOR]->values, dis->size * sizeof(float)); /* the updated one */
        genai_net_forward_features(dis, x, GENAI_TRAIN, 1, &real);
        genai_net_forward_features(dis, made, GENAI_TRAIN, 1, &features);
        loss = with_features ? genai_add(genai_mse_loss(y, x), genai_mse_loss(features, genai_detach(real))) : genai_bce_loss(y, x, 0);
        all = genai_scale(loss, 0.7f, 0);
        all = genai_add(all, genai_bce_loss(genai_net_forward(dis, made, GENAI_TRAIN), NULL, 1));
        all = genai_add(all, genai_bce_loss(genai_net_forward(dis, other, GENAI_TRAIN), NULL, 1));
        zero_gradients(enc);
        kl = genai_scale(genai_kl_loss(mean, log_var), 1.5f, 0);
        CHECK(!genai_backward(genai_add(with_features ? loss : all, kl)), "%s", genai_ctx_error(g));
        CHECK(worst_difference(a->net[GENAI__ENCODER], enc) < 1e-5, "encoder: %g", worst_difference(a->net[GENAI__ENCODER], enc));

        zero_gradients(dec);
        CHECK(!genai_backward(all), "%s", genai_ctx_error(g));
        CHECK(worst_difference(a->net[GENAI__DECODER], dec) < 1e-5, "decoder: %g", worst_difference(a->net[GENAI__DECODER], dec));
        genai_ctx_destroy(g);
    }
}

/* Of all the passes in a step only one makes a net's statistics learn: the discriminator's over the real images, the decoder's over the
 * reconstructions. */
static void test_vaegan_statistics(void) { /* T14 */
    genai_ctx    *g = make_ctx(4, NULL);
    genai_model  *a = make_small(g, "vaegan", 1), *b = make_small(g, "vaegan", 1);
    genai_net    *d, *decoder;
    genai_tensor *x, *h;
    CHECK(a && b, "%s", genai_ctx_error(g));
    if (!a || !b) return;
    d = b->net[GENAI__DISCRIMINATOR];
    decoder = b->net[GENAI__DECODER];
    fill_images(5 * 16);
    CHECK(!genai_model_step(a, 5, images, NULL, NULL), "%s", genai_ctx_error(g));
    genai_random_at(g, GENAI__STREAM_STEP, 0);
    x = genai__model_input(b, 5, images);
    genai_net_forward(d, x, GENAI_TRAIN);
    h = genai_net_forward(b->net[GENAI__ENCODER], x, GENAI_TRAIN);
    genai_net_forward(decoder, genai__reparameterise(genai_slice(h, 1, 0, 3), genai_slice(h, 1, 3, 3), genai__latents(b, 5)), GENAI_TRAIN);
    CHECK(d->running_size && !memcmp(d->running, a->net[GENAI__DISCRIMINATOR]->running, d->running_size * sizeof(float)), "the discriminator's statistics learnt elsewhere");
    CHECK(decoder->running_size && !memcmp(decoder->running, a->net[GENAI__DECODER]->running, decoder->running_size * sizeof(float)), "the decoder's statistics learnt elsewhere");
    genai_ctx_destroy(g);
}

static void test_statistics(const char *family) { /* T05, T06 */
    genai_ctx       *g = make_ctx(5, NULL);
    genai_model_desc d = small_desc(family, 1);
    genai_model     *a, *b;
    genai_net       *net, *average;
    float            out[3 * 16], *before, *expected;
    size_t           i, worst = 0;
    int              step, k;
    d.ema = 0.5f;
    a = genai_model_create(g, &d);
    b = genai_model_create(g, &d);
    fill_images(5 * 16);
    for (step = 0; step < 3; step++) {
        genai_model_step(a, 5, images, NULL, NULL);
        genai_model_step(b, 5, images, NULL, NULL);
        genai_model_sample(b, 9, 3, NULL, out);
    }
    CHECK(same_models(a, b), "sampling between steps changed the training");
    net = a->net[a->family->painter];
    average = a->average[a->family->painter];
    before = (float *)malloc(average->running_size * sizeof *before);
    expected = (float *)malloc(average->running_size * sizeof *before);
    memcpy(before, average->running, average->running_size * sizeof *before);
    genai_model_step(a, 5, images, NULL, NULL);
    memcpy(expected, average->running, average->running_size * sizeof *before);
    for (k = 0; k < average->layers; k++) average->layer[k].momentum = 0; /* the pass that step 4 ends with, again */
    genai_random_at(g, GENAI__STREAM_AVERAGE, 4);
    CHECK(genai_net_forward(average, genai__latents(a, 5), GENAI_TRAIN), "%s", genai_ctx_error(g));
    for (i = 0; i < net->running_size; i++) { /* of the averaged net itself; (1+4)/(10+4) is below 0.98 */
        double own = 5.0 / 14 * (double)before[i] + 9.0 / 14 * (double)average->running[i];
        if (fabs((double)expected[i] - own) > 1e-5 * (1 + fabs(own))) worst++;
    }
    CHECK(!worst, "running statistics of the average are wrong in %d places", (int)worst);
    memcpy(before, average->running, average->running_size * sizeof *before);
    genai_model_step(a, 5, images, NULL, NULL);
    CHECK(!memcmp(before, average->running, average->running_size * sizeof *before), "statistics of the average moved between its passes");
    CHECK(!genai_net_average(average, net, 0), "%s", genai_ctx_error(g));
    CHECK(!memcmp(average->values, net->values, net->size * sizeof(float)) && !memcmp(average->running, net->running, net->running_size * sizeof(float)),
          "decay 0 is no copy");
    free(before);
    free(expected);
    genai_ctx_destroy(g);
}

/* --- values of losses --- */
static void test_values(void) {
    genai_ctx       *g = make_ctx(6, NULL);
    genai_model_desc d = small_desc("vae", 0);
    genai_model     *m;
    genai_losses     one, two;
    const char      *names[] = {"nonsaturating", "minimax"};
    int              i;
    fill_images(4 * 16);
    m = genai_model_create(g, &d);
    memset(m->net[GENAI__DECODER]->values, 0, m->net[GENAI__DECODER]->size * sizeof(float));
    memset(m->net[GENAI__ENCODER]->values, 0, m->net[GENAI__ENCODER]->size * sizeof(float));
    for (i = 0; i < 3; i++) m->net[GENAI__ENCODER]->layer[2].parameter[1]->data[i] = 2; /* mean 2, log-variance 0: KL = 3 * 2^2/2 */
    genai_model_step(m, 4, images, NULL, &one);
    CHECK(fabs((double)one.value[0] - 16 * log(2.0)) < 1e-4 && fabs((double)one.value[1] - 6) < 1e-5, "sums over pixels and latents: %g %g", /* T15 */
          (double)one.value[0], (double)one.value[1]);
    genai_model_destroy(m);

    m = genai_model_create(g, &d); /* a batch given twice has the same KL */
    genai_model_step(m, 2, images, NULL, &one);
    genai_model_destroy(m);
    m = genai_model_create(g, &d);
    memcpy(images + 2 * 16, images, 2 * 16 * sizeof(float));
    genai_model_step(m, 4, images, NULL, &two);
    CHECK(fabs((double)one.value[1] - (double)two.value[1]) < 1e-5, "KL depends on the batch size: %g %g", (double)one.value[1], (double)two.value[1]);
    genai_model_destroy(m);

    for (i = 0; i < 2; i++) {
        d = small_desc("gan", 0);
        d.loss = names[i];
        d.lr_discriminator = 1e-12f;
        m = genai_model_create(g, &d);
        memset(m->net[GENAI__DISCRIMINATOR]->values, 0, m->net[GENAI__DISCRIMINATOR]->size * sizeof(float));
        genai_model_step(m, 4, images, NULL, &one);
        CHECK(fabs((double)one.value[0] - 2 * log(2.0)) < 1e-5 && fabs((double)one.value[1] - (i ? -log(2.0) : log(2.0))) < 1e-5, "%s: %g %g", names[i],
              (double)one.value[0], (double)one.value[1]);
        genai_model_destroy(m);
    }
    d = small_desc("vae", 0); /* beta rises from 0: in step 0 the encoder's log-variance gets the reconstruction's gradient only */
    d.beta_warmup = 4;
    m = genai_model_create(g, &d);
    CHECK(genai__beta(m) == 0, "beta at step 0");
    m->steps = 2;
    CHECK(genai__beta(m) == 0.5f, "beta at step 2 of 4");
    m->steps = 4;
    CHECK(genai__beta(m) == 1, "beta at step 4 of 4");
    genai_ctx_destroy(g);
}

static double vae_loss(genai_ctx *g, size_t at, float change, float *gradient) { /* of a fresh model with one weight moved */
    genai_model_desc d = small_desc("vae", 0);
    genai_model     *m = genai_model_create(g, &d);
    genai_losses     l;
    m->net[GENAI__ENCODER]->values[at] += change;
    genai_model_step(m, 4, images, NULL, &l);
    if (gradient) *gradient = m->net[GENAI__ENCODER]->gradients[at];
    genai_model_destroy(m);
    return (double)l.value[0] + (double)l.value[1];
}

static void test_reparameterisation(void) { /* T17, T18 */
    genai_ctx   *g = make_ctx(7, NULL);
    genai_model *m;
    float        gradient, a[4 * 16], b[4 * 16];
    size_t       at;
    fill_images(4 * 16);
    for (at = 3; at < 120; at += 29) {
        double numeric = (vae_loss(g, at, 4e-3f, NULL) - vae_loss(g, at, -4e-3f, NULL)) / 8e-3;
        vae_loss(g, at, 0, &gradient);
        CHECK(fabs(numeric - (double)gradient) < 0.02 * (fabs(numeric) + 0.05), "weight %d: gradient %g, by differences %g", (int)at, (double)gradient, numeric);
    }
    m = make_small(g, "vae", 1);
    genai_model_step(m, 4, images, NULL, NULL);
    CHECK(!genai_model_reconstruct(m, 4, images, NULL, a) && !genai_model_reconstruct(m, 4, images, NULL, b) && !memcmp(a, b, sizeof a), "reconstructions differ");
    CHECK(!genai_model_reconstruct(m, 1, images, NULL, b) && !memcmp(a, b, 16 * sizeof *a), "a reconstruction depends on its neighbours");
    genai_ctx_destroy(g);
}

/* --- resume --- */
static int stop_at(void *user, const genai_progress *p) { return p->step >= *(long *)user; }

static void test_resume(void) {
    static const char *const presets[] = {"gan", "vae", "vaegan", "vaegan_mlp", "vae_400_20"};
    int p;
    for (p = 0; p < 6; p++) {
        genai_ctx         *g = make_ctx(8, NULL), *h = make_ctx(8, NULL), *other = make_ctx(9, NULL);
        genai_dataset_desc dd;
        genai_dataset     *data, *again;
        genai_model_desc   d;
        genai_model       *a, *b;
        genai_fit_desc     fit;
        memory_file       *file;
        unsigned char     *straight;
        size_t             n;
        long               stop = 4;
        memset(&dd, 0, sizeof dd);
        memset(&fit, 0, sizeof fit);
        dd.width = 9;
        dd.height = 8;
        dd.channels = 1;
        data = genai_dataset_sprites(g, 10, &dd);
        again = genai_dataset_sprites(h, 10, &dd);
        d = desc_of(p < 5 ? presets[p] : "gan", 0, 0, 0);
        d.data = data;
        if (p == 5) d.discriminator = "conv 8 k4 s2 | lrelu 0.2 | dropout 0.3 | flatten | dense 1";
        if (p == 3) d.vae_steps = 3;
        if (p == 4) { d.schedule = GENAI_SCHEDULE_COSINE; d.schedule_steps = 8; d.warmup = 2; d.clip_norm = 1; d.beta_warmup = 6; }
        fit.epochs = 3;
        fit.batch = 4;
        fit.out = "straight";
        a = genai_model_create(g, &d);
        CHECK(!genai_model_fit(a, data, &fit) && genai_model_steps(a) == 9, "%s: %s", d.preset, genai_ctx_error(g));
        file = disk_find("straight/checkpoint.safetensors");
        n = file ? file->n : 0;
        straight = (unsigned char *)malloc(n + 1);
        if (file) memcpy(straight, file->p, n);
        d.data = again;
        b = genai_model_create(h, &d);
        fit.out = "resumed";
        fit.on_step = stop_at;
        fit.user = &stop;
        CHECK(genai_model_fit(b, again, &fit) == GENAI_STOPPED && genai_model_steps(b) == 4, "%s: %s", d.preset, genai_ctx_error(h));
        genai_model_destroy(b);
        fit.on_step = NULL;
        b = genai_model_load(h, "resumed/checkpoint.safetensors");
        CHECK(b && genai_model_steps(b) == 4, "%s", genai_ctx_error(h));
        CHECK(b && !genai_model_fit(b, again, &fit) && genai_model_steps(b) == 9, "%s", genai_ctx_error(h));
        file = disk_find("resumed/checkpoint.safetensors");
        CHECK(n && file && file->n == n && !memcmp(straight, file->p, n), "%s: a resumed training ends elsewhere", d.preset);
        file = disk_find("resumed/metrics.csv");
        if (file) {
            size_t i, lines = 0;
            for (i = 0; i < file->n; i++) lines += file->p[i] == '\n';
            CHECK(lines == 10, "metrics.csv has %d lines", (int)lines);
            CHECK(!memcmp(file->p, "step,epoch,seconds,", 19), "metrics.csv has no header");
        } else CHECK(0, "no metrics.csv");
        CHECK(disk_find("resumed/model.safetensors") && disk_find("resumed/samples/step-000009" GENAI__PICTURE), "no model or no samples");
        CHECK(!strcmp(families[0], genai_model_family(a)) || disk_find("resumed/samples/reconstruction-000009" GENAI__PICTURE), "no reconstructions");
        b = genai_model_load(other, "resumed/checkpoint.safetensors");
        CHECK_RESULT(other, GENAI_ERROR_ARGUMENT, genai_model_fit(b, genai_dataset_sprites(other, 10, &dd), &fit)); /* another seed */
        b = genai_model_load(other, "resumed/model.safetensors");
        fit.steps = 10;
        fit.epochs = 0;
        CHECK(b && !genai_model_fit(b, genai_dataset_sprites(other, 10, &dd), &fit) && genai_model_steps(b) == 10, "%s", genai_ctx_error(other));
        free(straight);
        genai_ctx_destroy(g);
        genai_ctx_destroy(h);
        genai_ctx_destroy(other);
        disk_clear();
    }
}

/* --- guards --- */
static void test_nonfinite(void) {
    int f;
    for (f = 0; f < 3; f++) {
        genai_ctx         *g = make_ctx(10, NULL);
        genai_model       *m = make_small(g, families[f], 1);
        genai_losses       losses;
        genai_dataset_desc dd;
        genai_fit_desc     fit;
        float             *before, infinity = 1e30f;
        fill_images(5 * 16);
        genai_model_step(m, 5, images, NULL, &losses);
        before = model_copy(m);
        images[7] = infinity * infinity;
        CHECK(!genai_model_step(m, 5, images, NULL, &losses) && losses.skipped && m->skipped == 1, "%s: an infinite pixel: %s", families[f], genai_ctx_error(g));
        images[7] = images[7] - images[7];
        CHECK(!genai_model_step(m, 5, images, NULL, &losses) && losses.skipped && m->skipped == 2, "%s: a pixel that is no number: %s", families[f], genai_ctx_error(g));
        {
            float *after = model_copy(m);
            CHECK(!memcmp(before, after, model_bytes(m, NULL) * sizeof(float)), "%s: a skipped step changed the model", families[f]);
            free(after);
        }
        free(before);
        images[7] = 0.5f;
        CHECK(!genai_model_step(m, 5, images, NULL, &losses) && !losses.skipped && m->skipped_in_row == 0, "%s: %s", families[f], genai_ctx_error(g));
        m->net[m->family->painter]->values[0] = infinity * infinity;
        memset(&dd, 0, sizeof dd);
        memset(&fit, 0, sizeof fit);
        dd.width = dd.height = 4;
        dd.channels = 1;
        fit.epochs = 100;
        fit.batch = 4;
        CHECK_RESULT(g, GENAI_ERROR_NONFINITE, genai_model_fit(m, genai_dataset_sprites(g, 12, &dd), &fit));
        CHECK(m->skipped_in_row == 100, "stopped after %ld steps", m->skipped_in_row);
        genai_ctx_destroy(g);
    }
}

static void test_batch_of_one(void) { /* T42 */
    genai_ctx   *g = make_ctx(11, NULL);
    genai_model *m = make(g, "dcgan_k4", 0, 0, 0);
    float       *before = model_copy(m);
    fill_images(32 * 32 * 3);
    CHECK_RESULT(g, GENAI_ERROR_SHAPE, genai_model_step(m, 1, images, NULL, NULL));
    {
        float *after = model_copy(m);
        CHECK(!memcmp(before, after, model_bytes(m, NULL) * sizeof(float)), "a failed step changed the model");
        free(after);
    }
    free(before);
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_step(m, 0, images, NULL, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_step(m, 2, NULL, NULL, NULL));
    genai_model_destroy(m);
    m = make(g, "gan", 28, 28, 1);
    CHECK(!genai_model_step(m, 1, images, NULL, NULL), "batch norm over 7x7 values: %s", genai_ctx_error(g));
    genai_ctx_destroy(g);
}

static genai_result whole_life(genai_ctx *g, const char *family) {
    genai_dataset_desc dd;
    genai_fit_desc     fit;
    genai_dataset     *data;
    genai_model_desc   d = small_desc(family, 1);
    genai_model       *m;
    genai_result       result;
    float              out[2 * 16];
    memset(&dd, 0, sizeof dd);
    memset(&fit, 0, sizeof fit);
    dd.width = dd.height = 4;
    dd.channels = 1;
    fit.steps = 2;
    fit.batch = 4;
    fit.out = "life";
    data = genai_dataset_sprites(g, 12, &dd);
    if (!data) return GENAI_ERROR_MEMORY;
    d.data = data;
    m = genai_model_create(g, &d);
    if (!m) return GENAI_ERROR_MEMORY;
    result = genai_model_fit(m, data, &fit);
    if (!result) result = genai_model_save_checkpoint(m, "life/again");
    genai_model_destroy(m);
    if (result) return result;
    m = genai_model_load(g, "life/again");
    if (!m) return GENAI_ERROR_MEMORY;
    return genai_model_sample(m, 1, 2, NULL, out);
}

static void test_no_memory(void) {
    int f;
    for (f = 0; f < 3; f++) {
        long at;
        for (at = 1; at < 3000; at++) {
            allocations  a = {0};
            genai_ctx   *g;
            genai_result result = GENAI_ERROR_MEMORY, kept = GENAI_ERROR_MEMORY;
            a.fail_at = at;
            g = make_ctx(12, &a);
            if (g) {
                result = whole_life(g, families[f]);
                kept = genai_ctx_result(g);
                genai_ctx_destroy(g);
            }
            if (a.live) CHECK(0, "%s: allocation %ld failed: %ld blocks leaked", families[f], at, a.live);
            if (a.calls < at) {
                CHECK(result == GENAI_OK, "%s: result %d", families[f], (int)result);
                break;
            }
            if (result != GENAI_ERROR_MEMORY || (g && kept != GENAI_ERROR_MEMORY))
                CHECK(0, "%s: allocation %ld failed: result %d, kept %d", families[f], at, (int)result, (int)kept);
        }
        CHECK(at > 50 && at < 3000, "%s: %ld allocations", families[f], at);
        disk_clear();
    }
}

/* --- settings --- */
static void fails(genai_ctx *g, genai_result code, const char *word, const genai_model_desc *d) {
    genai_model *m = genai_model_create(g, d);
    CHECK(!m && genai_ctx_result(g) == code && strstr(genai_ctx_error(g), word), "'%s' gives %d: %s", word, (int)genai_ctx_result(g), genai_ctx_error(g));
    genai_ctx_clear(g);
}
static void sets(genai_ctx *g, genai_result code, const char *word, const char *key, const char *value) {
    genai_model_desc d;
    genai_result     result;
    memset(&d, 0, sizeof d);
    result = genai_model_set(g, &d, key, value);
    CHECK(result == code && (code == GENAI_OK || strstr(genai_ctx_error(g), word)), "%s=%s gives %d: %s", key, value, (int)result, genai_ctx_error(g));
    genai_ctx_clear(g);
}

static void test_settings(void) {
    genai_ctx         *g = make_ctx(13, NULL);
    genai_model_desc   d;
    genai_dataset_desc dd;
    genai_model       *m;
    float              zero = 0;
    double             value;
    char               text[4000];
    memset(&dd, 0, sizeof dd);
    dd.width = 20;
    dd.height = 16;
    d = desc_of("vaegam", 0, 0, 0); fails(g, GENAI_ERROR_ARGUMENT, "vaegan", &d);
    d = desc_of("gan", 0, 0, 0); d.loss = "nonsatrating"; fails(g, GENAI_ERROR_ARGUMENT, "nonsaturating", &d);
    d = desc_of("vae", 0, 0, 0); d.likelihood = "msa"; fails(g, GENAI_ERROR_ARGUMENT, "mse", &d);
    d = desc_of("vae", 0, 0, 0); d.likelihood = "features"; fails(g, GENAI_ERROR_UNSUPPORTED, "discriminator", &d);
    d = desc_of("gan", 0, 0, 0); d.beta = 2; fails(g, GENAI_ERROR_UNSUPPORTED, "beta", &d);
    d = desc_of("vae", 0, 0, 0); d.discriminator = "dense 1"; fails(g, GENAI_ERROR_UNSUPPORTED, "discriminator", &d);
    d = desc_of("vaegan", 0, 0, 0); d.beta = GENAI_ZERO; fails(g, GENAI_ERROR_UNSUPPORTED, "prior", &d);
    d = desc_of("dcgan_k4", 28, 28, 1); fails(g, GENAI_ERROR_SHAPE, "--size 32x32", &d);
    d = desc_of("gan", 5000, 8, 1); fails(g, GENAI_ERROR_ARGUMENT, "4096", &d);
    d = desc_of("gan", 8, 8, 5); fails(g, GENAI_ERROR_ARGUMENT, "channels", &d);
    d = desc_of("gan", 8, 8, 1); d.latent = -3; fails(g, GENAI_ERROR_ARGUMENT, "latent", &d);
    d = desc_of("gan", 8, 8, 1); d.lr = zero / zero; fails(g, GENAI_ERROR_ARGUMENT, "lr", &d);
    d = desc_of("gan", 8, 8, 1); d.beta1 = 1; fails(g, GENAI_ERROR_ARGUMENT, "beta1", &d);
    d = desc_of("gan", 8, 8, 1); d.schedule = GENAI_SCHEDULE_LINEAR; fails(g, GENAI_ERROR_ARGUMENT, "schedule_steps", &d);
    d = desc_of("gan", 8, 8, 1); d.generator = "dense 64 | tanh | reshape 8x4x2"; fails(g, GENAI_ERROR_SHAPE, "8x8x1", &d);
    d = desc_of("gan", 8, 8, 1); d.generator = "dense $Q"; fails(g, GENAI_ERROR_SYNTAX, "$", &d);
    d = desc_of("gan", 8, 8, 1); d.generator = "dens 64"; fails(g, GENAI_ERROR_SYNTAX, "dense", &d);
    d = desc_of("gan", 8, 8, 1); d.discriminator = "dense 2"; fails(g, GENAI_ERROR_SHAPE, "dense 1", &d);
    d = desc_of("vae", 8, 8, 1); d.encoder = "dense $Z"; fails(g, GENAI_ERROR_SHAPE, "2*$Z", &d);
    d = desc_of("ae_32", 8, 8, 1); d.encoder = "dense 2*$Z"; fails(g, GENAI_ERROR_SHAPE, "32", &d);
    d = desc_of("vae_400_20", 8, 8, 1); d.decoder = "dense $D | sigmoid"; fails(g, GENAI_ERROR_ARGUMENT, "logits", &d);
    d.decoder = "dense $D | sigmoid | reshape 8x8x1"; fails(g, GENAI_ERROR_ARGUMENT, "logits", &d);
    d.decoder = NULL; d.classes = 3; fails(g, GENAI_ERROR_ARGUMENT, "decoder's text", &d); /* whose condition none of the preset's nets would read */
    d = desc_of("vaegan", 8, 8, 1); d.classes = 3; d.discriminator = "dense 8 | lrelu 0.2 | dense 1"; fails(g, GENAI_ERROR_ARGUMENT, "discriminator's text", &d);
    d = desc_of("gan", 8, 8, 1); d.generator = "dense 100 | sigmoid | reshape 10x10x1 | crop 8x8"; m = genai_model_create(g, &d); CHECK(m && !m->signed_range, "%s", genai_ctx_error(g));
    d = desc_of("vae_mlp", 8, 8, 1); d.decoder = "dense 16 | tanh | reshape 4x4x1 | upsample 2"; m = genai_model_create(g, &d); CHECK(m && m->signed_range, "%s", genai_ctx_error(g));
    d = desc_of("gan", 8, 8, 1); d.data = genai_dataset_sprites(g, 10, &dd); fails(g, GENAI_ERROR_SHAPE, "20x16", &d);
    d = desc_of("dcgan64", 0, 0, 0); d.data = genai_dataset_sprites(g, 10, &dd); fails(g, GENAI_ERROR_SHAPE, "64x64", &d);

    sets(g, GENAI_ERROR_SYNTAX, "gamma", "gama", "1");
    sets(g, GENAI_ERROR_SYNTAX, "number", "lr", "fast");
    sets(g, GENAI_ERROR_SYNTAX, "number", "lr", "1e-3x");
    sets(g, GENAI_ERROR_SYNTAX, "whole", "latent", "2.5");
    sets(g, GENAI_ERROR_ARGUMENT, "latent", "latent", "0");
    sets(g, GENAI_ERROR_ARGUMENT, "latent", "latent", "1e30");
    sets(g, GENAI_ERROR_SYNTAX, "cosine", "schedule", "cosin");
    sets(g, GENAI_OK, "", "schedule", "cosine");
    memset(&d, 0, sizeof d);
    d.preset = "vae";
    d.width = 12;
    d.height = 8;
    CHECK(!genai_model_set(g, &d, "beta", "0") && d.beta < 0 && !genai_model_set(g, &d, "latent", "7") && !genai_model_set(g, &d, "rule", "sgd"), "%s",
          genai_ctx_error(g));
    m = genai_model_create(g, &d);
    CHECK(m && genai_model_resolved(m).latent == 7 && genai_model_resolved(m).rule == GENAI_RULE_SGD && genai_model_resolved(m).channels == 3 &&
          genai_model_resolved(m).width == 12 && strstr(genai_model_resolved(m).encoder, "dense 7"), "%s", genai_ctx_error(g));
    CHECK(m && genai_model_describe(m, text, sizeof text) < sizeof text && strstr(text, "decoder") && strstr(text, "beta             0") && strstr(text, "rule             sgd"),
          "describe: %s", text);
    CHECK(m && genai_model_describe(m, text, 20) > 500 && strlen(text) == 19, "describe cut short");
    fill_images(2 * 12 * 8 * 3);
    CHECK(m && !genai_model_step(m, 2, images, NULL, NULL), "%s", genai_ctx_error(g));
    genai_model_destroy(m);
    m = make(g, "gan", 8, 8, 1);
    CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_encode(m, 1, images, NULL, images + 1000));
    CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_reconstruct(m, 1, images, NULL, images + 1000));
    CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_evaluate(m, genai_dataset_sprites(g, 10, &dd), NULL, &value));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_sample(m, 0, 0, NULL, images));
    CHECK_RESULT(g, GENAI_ERROR_SHAPE, genai_model_fit(m, genai_dataset_sprites(g, 10, &dd), NULL));
    CHECK(genai_model_step(NULL, 1, images, NULL, NULL) == GENAI_ERROR_ARGUMENT && !genai_model_create(NULL, NULL), "NULL");
    genai_model_destroy(NULL);
    genai_ctx_destroy(g);
}

/* --- files --- */
static int rewrite(genai_ctx *g, const char *from, const char *to, const char *key, const char *value, const char *drop, int extra, const char *reshape) {
    genai__safetensors file; /* copies a model file with one thing changed and the digest right */
    genai__entry      *entry;
    genai__pair       *pair;
    size_t             i, n = 0, pairs = 0;
    float              one = 1;
    genai_result       result;
    if (genai__safetensors_read(g, from, &file)) return 0;
    entry = (genai__entry *)malloc((file.n + 1) * sizeof *entry);
    pair = (genai__pair *)malloc((file.pairs + 1) * sizeof *pair);
    for (i = 0; i < file.n; i++)
        if (!drop || strcmp(drop, file.entries[i].name)) {
            entry[n] = file.entries[i];
            if (reshape && !strcmp(reshape, entry[n].name)) {
                entry[n].ndim = 1;
                entry[n].dim[0] = (int)entry[n].count;
                entry[n].dim[1] = 1;
            }
            n++;
        }
    if (extra) {
        memset(&entry[n], 0, sizeof entry[n]);
        entry[n].name = "stowaway";
        entry[n].data = &one;
        entry[n].count = 1;
        entry[n].ndim = 1;
        entry[n].dim[0] = entry[n].dim[1] = entry[n].dim[2] = entry[n].dim[3] = 1;
        n++;
    }
    for (i = 0; i < file.pairs; i++) {
        if (!strcmp(file.metadata[i].key, "genai.digest") || !strcmp(file.metadata[i].key, "genai.format")) continue;
        if (key && !strcmp(key, file.metadata[i].key)) {
            if (!value) continue;
            pair[pairs].key = key;
            pair[pairs++].value = value;
        } else pair[pairs++] = file.metadata[i];
    }
    result = genai__safetensors_write(g, to, n, entry, pairs, pair);
    free(entry);
    free(pair);
    genai__safetensors_free(g, &file);
    return !result;
}
static void edited(genai_ctx *g, genai_result code, const char *word, const char *key, const char *value) {
    genai_model *m;
    CHECK(rewrite(g, "model", "edited", key, value, NULL, 0, NULL), "%s", genai_ctx_error(g));
    m = genai_model_load(g, "edited");
    CHECK((m != NULL) == (code == GENAI_OK) && genai_ctx_result(g) == code && strstr(genai_ctx_error(g), word), "%s=%s gives %d: %s", key,
          value ? value : "(none)", (int)genai_ctx_result(g), genai_ctx_error(g));
    genai_model_destroy(m);
    genai_ctx_clear(g);
}

static void test_files(void) {
    allocations  a = {0};
    genai_ctx   *g = make_ctx(14, &a);
    int          f;
    long         live = a.live;
    float        x[3 * 16], y[3 * 16];
    genai_model *m, *b;
    fill_images(5 * 16);
    for (f = 0; f < 3; f++) {
        genai_model_desc one, two;
        size_t           i;
        m = make_small(g, families[f], 1);
        genai_model_step(m, 5, images, NULL, NULL);
        CHECK(!genai_model_save(m, "model"), "%s", genai_ctx_error(g));
        b = genai_model_load(g, "model");
        CHECK(b && same_models(m, b), "%s: %s", families[f], genai_ctx_error(g));
        CHECK(b && !genai_model_sample(m, 5, 3, NULL, x) && !genai_model_sample(b, 5, 3, NULL, y) && !memcmp(x, y, sizeof x), "%s: samples differ after loading", families[f]);
        one = genai_model_resolved(m);
        two = genai_model_resolved(b);
        for (i = 0; i < GENAI__COUNT(genai__fields); i++) {
            char        p[32], q[32];
            const char *s = genai__field_text(&genai__fields[i], &one, p), *t = genai__field_text(&genai__fields[i], &two, q);
            CHECK((!s && !t) || (s && t && !strcmp(s, t)), "%s: %s was %s, is %s", families[f], genai__fields[i].key, s ? s : "NULL", t ? t : "NULL");
        }
        genai_model_destroy(b);
        genai_model_destroy(m);
    }
    edited(g, GENAI_OK, "", NULL, NULL);
    edited(g, GENAI_ERROR_FORMAT, "genai.version", "genai.version", NULL);
    edited(g, GENAI_ERROR_UNSUPPORTED, "newer", "genai.version", "7.0.0");
    edited(g, GENAI_ERROR_UNSUPPORTED, "flow", "genai.family", "flow");
    edited(g, GENAI_ERROR_FORMAT, "genai.width", "genai.width", NULL);
    edited(g, GENAI_ERROR_SYNTAX, "width", "genai.width", "wide");
    edited(g, GENAI_ERROR_ARGUMENT, "width", "genai.width", "999999999");
    edited(g, GENAI_ERROR_ARGUMENT, "latent", "genai.latent", "0");
    edited(g, GENAI_ERROR_ARGUMENT, "channels", "genai.channels", "-1");
    edited(g, GENAI_ERROR_SYNTAX, "rule", "genai.rule", "magic");
    edited(g, GENAI_ERROR_FORMAT, "genai.steps", "genai.steps", "-4");
    edited(g, GENAI_ERROR_FORMAT, "genai.steps", "genai.steps", "99999999999999999999999");
    edited(g, GENAI_ERROR_FORMAT, "genai.steps", "genai.steps", "");
    edited(g, GENAI_ERROR_FORMAT, "weights", "genai.decoder", "dense 16000000 | dense 16");
    edited(g, GENAI_ERROR_SYNTAX, "decoder", "genai.decoder", "dance 16");
    edited(g, GENAI_ERROR_FORMAT, "missing", "genai.decoder", "dense 8 | relu | dense 16");
    edited(g, GENAI_ERROR_FORMAT, "should be", "genai.decoder", "dense 7 | batchnorm | relu | dense 16");
    edited(g, GENAI_OK, "", "genai.preset", "something_newer");
    edited(g, GENAI_ERROR_FORMAT, "genai.decoder", "genai.decoder", NULL);
    edited(g, GENAI_OK, "", "genai.sigma", NULL); /* files of before there was a setting */
    edited(g, GENAI_OK, "", "genai.sampler", NULL);
    edited(g, GENAI_OK, "", "genai.schedule", NULL);
    { /* not as the preset has it by now */
        genai_model_desc iwae = desc_of("iwae", 4, 4, 1);
        char             number[32];
        iwae.importance = 2;
        m = genai_model_create(g, &iwae);
        CHECK(m && m->desc.binarise && !genai_model_save(m, "iwae") && rewrite(g, "iwae", "old", "genai.binarise", NULL, NULL, 0, NULL), "%s", genai_ctx_error(g));
        b = genai_model_load(g, "old");
        CHECK(b && !b->desc.binarise && b->desc.importance == 2, "binarise %d: %s", b ? b->desc.binarise : -1, genai_ctx_error(g));
        CHECK(!strcmp(genai_model_get(m, "importance", number), "2") && !strcmp(genai_model_get(m, "likelihood", number), "bernoulli"), "importance isn't 2");
        CHECK(!genai_model_get(m, "loss", number) && !genai_model_get(m, "nothing", number) && !genai_model_get(NULL, "lr", number), "settings that there aren't");
        genai_model_destroy(b);
        genai_model_destroy(m);
    }
    CHECK(rewrite(g, "model", "edited", NULL, NULL, NULL, 1, NULL), "%s", genai_ctx_error(g));
    CHECK(!genai_model_load(g, "edited") && strstr(genai_ctx_error(g), "stowaway"), "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK(rewrite(g, "model", "edited", NULL, NULL, "decoder.0.dense.weight", 0, NULL), "%s", genai_ctx_error(g));
    CHECK(!genai_model_load(g, "edited") && strstr(genai_ctx_error(g), "decoder.0.dense.weight"), "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK(rewrite(g, "model", "edited", NULL, NULL, NULL, 0, "decoder.0.dense.weight"), "%s", genai_ctx_error(g));
    CHECK(!genai_model_load(g, "edited") && strstr(genai_ctx_error(g), "should be [3,8]"), "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK(!genai_model_load(g, "nothing") && genai_ctx_result(g) == GENAI_ERROR_IO, "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    m = make_small(g, "gan", 0);
    CHECK(!genai_model_save_checkpoint(m, "model"), "%s", genai_ctx_error(g));
    genai_model_destroy(m);
    edited(g, GENAI_ERROR_FORMAT, "optimizer.generator.t", "genai.optimizer.generator.t", "x");
    edited(g, GENAI_ERROR_FORMAT, "optimizer.generator.t", "genai.optimizer.generator.t", NULL);
    edited(g, GENAI_ERROR_FORMAT, "genai.position", "genai.position", "18446744073709551616");
    edited(g, GENAI_ERROR_FORMAT, "optimizer.discriminator.m", "genai.checkpoint", NULL); /* then they are strangers */
    genai_ctx_destroy(g);
    CHECK(a.live == 0 && live >= 0, "%ld blocks leaked", a.live);
    disk_clear();
}

/* A sampler whose tensors don't fit is refused before memory is taken for it. */
static void test_sampler_files(void) {
    static const int dims[][5] = {{2, 3, 2, 3, 3}, {6, 1, 2, 3, 3}, {0, 3, 0, 3, 3}, {2, 3, 1, 6, 3}, {2, 3, 2, 9, 1}}; /* of means and factors; the first are right */
    genai_ctx       *g = make_ctx(14, NULL);
    genai_model     *m = make_small(g, "vae", 0);
    int              k;
    fill_images(5 * 16);
    CHECK(m && !genai_model_fit_sampler(m, genai_dataset_memory(g, 5, 4, 4, 1, (const unsigned char *)images, NULL, NULL), "mixture", 2) && !genai_model_save(m, "model"), "%s",
          genai_ctx_error(g));
    for (k = 0; k < 5; k++) {
        genai__safetensors file;
        genai__pair        pair[96];
        size_t             i, n = 0;
        CHECK(!genai__safetensors_read(g, "model", &file), "%s", genai_ctx_error(g));
        for (i = 0; i < file.n; i++) {
            genai__entry *e = &file.entries[i];
            int           d;
            if (strstr(e->name, "sampler.mean")) memcpy(e->dim, dims[k], 2 * sizeof(int));
            if (strstr(e->name, "sampler.factor")) memcpy(e->dim, dims[k] + 2, 3 * sizeof(int));
            for (d = 0, e->count = 1; d < e->ndim; d++) e->count *= (size_t)e->dim[d];
        }
        for (i = 0; i < file.pairs; i++)
            if (strcmp(file.metadata[i].key, "genai.digest") && strcmp(file.metadata[i].key, "genai.format")) pair[n++] = file.metadata[i];
        CHECK(!genai__safetensors_write(g, "edited", file.n, file.entries, n, pair), "%s", genai_ctx_error(g));
        genai__safetensors_free(g, &file);
        m = genai_model_load(g, "edited");
        CHECK((m != NULL) == !k && (!k || strstr(genai_ctx_error(g), "don't belong together")), "case %d: %s", k, genai_ctx_error(g));
        genai_ctx_clear(g);
    }
    genai_ctx_destroy(g);
    disk_clear();
}

/* --- latents --- */
static void test_latents(void) {
    genai_ctx   *g = make_ctx(15, NULL);
    genai_model *m = make(g, "vae_mlp", 4, 4, 1);
    float        z[5 * 20], w[3 * 20], out[5 * 16], ends[2 * 16];
    double       wa, wb, norm, t;
    int          i, k;
    genai_dataset_desc dd;
    memset(&dd, 0, sizeof dd);
    dd.width = dd.height = 4;
    dd.channels = 1;
    CHECK(!genai_model_latents(m, 3, 5, z) && !genai_model_latents(m, 3, 3, w) && !memcmp(z, w, sizeof w), "latents depend on n");
    CHECK(!genai_model_latents(m, 4, 3, w) && memcmp(z, w, sizeof w), "latents don't depend on the seed");
    CHECK(!genai_model_interpolate(m, z, z + 20, 0, 5, out) && !genai_model_decode(m, 2, z, NULL, ends) && !memcmp(out, ends, 16 * sizeof *out) &&
          !memcmp(out + 4 * 16, ends + 16, 16 * sizeof *out), "interpolation doesn't begin and end at a and b");
    for (k = 0; k < 3; k++) { /* the middle of a way: beyond the chord's, unless latents follow no normal prior */
        genai_model_desc d = desc_of("vae_mlp", 4, 4, 1);
        float            middle[20];
        d.beta = k == 1 ? GENAI_ZERO : 0;
        if (k == 1) d.encoder = "dense $Z";
        genai_model_destroy(m);
        m = genai_model_create(g, &d);
        for (i = 0; i < 20; i++) middle[i] = 0.5f * (z[i] + z[20 + i]);
        if (k == 2) CHECK(!genai_model_fit_sampler(m, genai_dataset_sprites(g, 10, &dd), "gaussian", 0), "%s", genai_ctx_error(g));
        CHECK(!genai_model_interpolate(m, z, z + 20, 0, 3, out) && !genai_model_decode(m, 1, middle, NULL, ends) && (memcmp(out + 16, ends, 16 * sizeof *out) == 0) == (k > 0),
              "model %d: the middle: %s", k, genai_ctx_error(g));
    }
    for (i = 0; i <= 10; i++) { /* unit vectors 0.3 radians apart, then 3 */
        double apart = i % 2 ? 3 : 0.3;
        float  a[2] = {1, 0}, b[2];
        b[0] = (float)cos(apart);
        b[1] = (float)sin(apart);
        t = i / 10.0;
        genai__slerp_weights(a, b, 2, t, &wa, &wb);
        CHECK(fabs(wa - sin((1 - t) * apart) / sin(apart)) < 1e-5 && fabs(wb - sin(t * apart) / sin(apart)) < 1e-5, "slerp at %g: %g %g", t, wa, wb);
        norm = 0;
        for (k = 0; k < 2; k++) norm += (wa * (double)a[k] + wb * (double)b[k]) * (wa * (double)a[k] + wb * (double)b[k]);
        CHECK(fabs(norm - 1) < 1e-6, "slerp leaves the sphere: %g", norm);
    }
    {
        float zero[2] = {0, 0}, one[2] = {1, 2}, minus[2] = {-1, -2};
        genai__slerp_weights(zero, one, 2, 0.25, &wa, &wb);
        CHECK(wa == 0.75 && wb == 0.25, "from 0: %g %g", wa, wb);
        genai__slerp_weights(one, one, 2, 0.25, &wa, &wb);
        CHECK(wa == 0.75 && wb == 0.25, "to itself: %g %g", wa, wb);
        genai__slerp_weights(one, minus, 2, 0.25, &wa, &wb);
        CHECK(genai__finite((float)wa) && genai__finite((float)wb), "to its opposite: %g %g", wa, wb);
    }
    genai_ctx_destroy(g);
}

/* --- what has a seed of its own doesn't depend on the context's: a game gets the sprites that its designer saw --- */
static void test_two_contexts(void) {
    static const char *const presets[] = {"gan", "vae", "ae", "vqvae"};
    size_t i;
    int    k;
    for (i = 0; i < sizeof presets / sizeof *presets; i++) {
        float  x[2][5 * 64], z[2][5 * 128], known[2][5 * 64], mask[64];
        double value[2] = {0, 0}, nll[2] = {0, 0};
        memset(z, 0, sizeof z);
        memset(known, 0, sizeof known);
        for (k = 0; k < 64; k++) mask[k] = k < 32;
        for (k = 0; k < 2; k++) {
            genai_ctx         *g = make_ctx(k ? 0 : 7, NULL), *other = make_ctx(3, NULL);
            genai_dataset_desc dd;
            genai_dataset     *data;
            genai_refine_desc  r;
            genai_model_desc   d = desc_of(presets[i], 8, 8, 1);
            genai_model       *m;
            memset(&dd, 0, sizeof dd);
            memset(&r, 0, sizeof r);
            dd.width = dd.height = 8;
            dd.channels = 1;
            data = genai_dataset_sprites(other, 9, &dd); /* sprites are drawn by the context's seed */
            r.mask = mask;
            r.steps = 2;
            r.starts = 5;
            r.seed = 3;
            if (!strcmp(presets[i], "vqvae")) d.code_size = 2;
            else d.latent = 6;
            m = genai_model_create(g, &d);
            if (!k) { /* a codebook with something in it */
                float images9[9 * 64];
                CHECK(!genai_dataset_batch(data, -1, 0, 9, images9, NULL) && !genai_model_step(m, 9, images9, NULL, NULL), "%s", genai_ctx_error(g));
            }
            if (!k && m->desc.sampler) genai_model_fit_sampler(m, data, "mixture", 3);
            if (!k) CHECK(!genai_model_save(m, "model"), "%s", genai_ctx_error(g));
            m = genai_model_load(g, "model");
            CHECK(m && !genai_model_sample(m, 9, 5, NULL, x[k]) && !genai_model_latents(m, 9, 5, z[k]), "%s: %s", presets[i], genai_ctx_error(g));
            CHECK(m && !genai_model_inpaint(m, 2, x[k], NULL, &r, known[k]), "%s: %s", presets[i], genai_ctx_error(g));
            if (i) CHECK(!genai_model_evaluate(m, data, NULL, &value[k]), "%s: %s", presets[i], genai_ctx_error(g));
            if (i == 1) CHECK(!genai_model_nll(m, data, 3, &nll[k]), "%s", genai_ctx_error(g));
            genai_ctx_destroy(g);
            genai_ctx_destroy(other);
        }
        CHECK(!memcmp(x[0], x[1], sizeof x[0]) && !memcmp(z[0], z[1], sizeof z[0]) && !memcmp(known[0], known[1], sizeof known[0]), "%s: another context, other samples", presets[i]);
        CHECK(value[0] == value[1] && nll[0] == nll[1], "%s: another context, other measures: %g and %g, %g and %g", presets[i], value[0], value[1], nll[0], nll[1]);
        disk_clear();
    }
}

static void test_evaluate(void) {
    genai_ctx         *g = make_ctx(16, NULL);
    genai_dataset_desc dd;
    genai_dataset     *data, *part;
    genai_model       *m;
    const char        *name;
    double             value, again, sum = 0;
    float             *x = (float *)malloc(70 * 16 * sizeof *x), *y = (float *)malloc(70 * 16 * sizeof *x);
    int                i;
    memset(&dd, 0, sizeof dd);
    dd.width = dd.height = 4;
    dd.channels = 1;
    data = genai_dataset_sprites(g, 70, &dd);
    part = genai_dataset_sprites(g, 64, &dd);
    m = make(g, "ae_32", 4, 4, 1);
    CHECK(!genai_model_evaluate(m, data, &name, &value) && !strcmp(name, "test squared error"), "%s", genai_ctx_error(g));
    genai_dataset_batch(data, -1, 0, 70, x, NULL);
    genai_model_reconstruct(m, 70, x, NULL, y);
    for (i = 0; i < 70 * 16; i++) sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    CHECK(fabs(value - sum / 70) < 1e-4 * (1 + value), "squared error %g, by hand %g", value, sum / 70);
    m = make_small(g, "vae", 1);
    CHECK(!genai_model_evaluate(m, data, &name, &value) && !strcmp(name, "test -ELBO"), "%s", genai_ctx_error(g));
    genai_random_normal(g, 0, NULL);
    CHECK(!genai_model_evaluate(m, data, &name, &again) && value == again, "two measures differ: %g %g", value, again);
    CHECK(!genai_model_evaluate(m, part, &name, &again) && value != again && again > 0, "%s", genai_ctx_error(g));
    free(x);
    free(y);
    genai_ctx_destroy(g);
}

/* --- trace: pieces nest like brackets, count what they should, and change nothing --- */
typedef struct traced { int depth, broken, begun; const char *open[16]; double flops, updated; int losses, random, gradients; } traced;
static void on_trace(void *user, const genai_work *w) {
    traced *t = (traced *)user;
    if (!w->ended) {
        t->begun++;
        if (t->depth < 16) t->open[t->depth] = w->name;
        t->depth++;
        t->losses += !strcmp(w->name, "bce_loss");
        t->random += !strcmp(w->name, "random");
        t->gradients += w->backward;
        return;
    }
    t->depth--;
    if (t->depth < 0 || t->depth >= 16 || strcmp(t->open[t->depth], w->name)) t->broken = 1;
    t->flops += w->flops;
    if (!strcmp(w->name, "adam")) t->updated += w->bytes;
}
static void test_trace(void) {
    float  parameters[2];
    traced t;
    int    with;
    memset(&t, 0, sizeof t);
    for (with = 0; with < 2; with++) {
        genai_ctx_desc   cd;
        genai_model_desc d;
        genai_ctx       *g;
        genai_model     *m;
        memset(&cd, 0, sizeof cd);
        memset(&d, 0, sizeof d);
        if (with) cd.trace = on_trace;
        cd.trace_user = &t;
        cd.threads = 1;
        g = genai_ctx_create(&cd);
        d.preset = "gan";
        d.width = d.height = 8;
        d.channels = 1;
        d.latent = 4;
        d.generator = "dense 64 nobias | reshape 8x8x1 | tanh";
        d.discriminator = "conv 2 k3 s2 | lrelu 0.2 | flatten | dense 1";
        m = genai_model_create(g, &d);
        memset(&t, 0, sizeof t);
        fill_images(4 * 64);
        CHECK(m && genai_model_step(m, 4, images, NULL, NULL) == GENAI_OK, "%s", genai_ctx_error(g));
        if (m) parameters[with] = m->net[GENAI__GENERATOR]->values[7];
        genai_ctx_destroy(g);
    }
    CHECK(parameters[0] == parameters[1], "a trace changed the result");
    CHECK(t.begun && !t.depth && !t.broken, "pieces don't nest: %d open", t.depth);
    CHECK(t.losses == 3 && t.random == 1 && t.gradients, "%d losses, %d draws", t.losses, t.random);
    /* generator 4x4x64, discriminator's convolution 4 images 4x4 places 3x3x2 and dense 4x32, in multiply-adds. D's step: two
     * forward passes, two weight gradients of both layers, input gradients of the dense one; G's: D forward, both its input
     * gradients, G forward (once, before both) and its weight gradient. */
    CHECK(t.flops == 2.0 * (2 * 1024 + (2 + 2) * 1152 + (2 + 2 + 2) * 128 + (1 + 1) * 1152 + (1 + 1) * 128), "%.0f flops", t.flops);
    /* 64x4; 3x3x2, 2, 32, 1, each up to the next cache line. Adam reads and writes value and moments, and reads the gradient. */
    CHECK(t.updated == 7 * 4 * (256.0 + 32 + 16 + 32 + 16), "%.0f bytes updated", t.updated);
}

/* Finite losses, but the generator's gradient overflows: its update is left out and counted, the discriminator's stays. */
static void test_overflowing_gradient(void) {
    genai_ctx       *g = make_ctx(4, NULL);
    genai_model_desc d;
    genai_model     *m;
    genai_net       *gen, *dis;
    genai_losses     losses;
    float            x[4 * 64], bias;
    size_t           i, moved = 0;
    memset(&d, 0, sizeof d);
    d.preset = "gan";
    d.width = d.height = 8;
    d.channels = 1;
    d.latent = 4;
    d.generator = "dense 64 | reshape 8x8x1";
    d.discriminator = "flatten | dense 1";
    d.beta1 = 0.5f;
    d.ema = GENAI_ZERO;
    m = genai_model_create(g, &d);
    CHECK(m != NULL, "%s", genai_ctx_error(g));
    if (!m) return;
    for (i = 0; i < 256; i++) x[i] = (float)(i % 7) / 7;
    CHECK(!genai_model_step(m, 4, x, NULL, NULL), "%s", genai_ctx_error(g)); /* its momentum moves D later on */
    gen = m->net[GENAI__GENERATOR];
    dis = m->net[GENAI__DISCRIMINATOR];
    memset(gen->values, 0, gen->size * sizeof(float));
    memset(dis->values, 0, dis->size * sizeof(float));
    for (i = 0; i < 64; i++) dis->values[i] = i & 1 ? 1e20f : -1e20f; /* on even pixels they cancel: the logits are finite */
    for (i = 0; i < 256; i++) x[i] = 0.5f;
    bias = dis->values[64];
    CHECK(!genai_model_step(m, 4, x, NULL, &losses) && losses.skipped == 1, "skipped %d, %s", losses.skipped, genai_ctx_error(g));
    for (i = 0; i < gen->size; i++) moved += gen->values[i] != 0;
    CHECK(!moved, "%zu weights of the generator moved", moved);
    CHECK(dis->values[64] != bias, "the discriminator's own update was good, but is lost");
    genai_ctx_destroy(g);
}

/* --- edit: a linear generator with one latent, whose best latent is known --- */
static void test_refine(void) {
    static const float w[6] = {0.5f, -0.25f, 0.75f, 1, -0.5f, 0.25f}, half[6] = {1, 1, 1, 0, 0, 0.5f};
    genai_ctx         *g = make_ctx(3, NULL);
    genai_model_desc   d;
    genai_refine_desc  r;
    genai_model       *m;
    float              x[140 * 6], z[140], out[140 * 6], score[140], holes[140 * 6], again[140 * 6], zero = 0;
    int                i, k, masked, f, labels[140];
    for (f = 0; f < 3; f++) { /* a GAN; a VAE; an autoencoder, whose latents follow no prior */
        memset(&d, 0, sizeof d);
        memset(&r, 0, sizeof r);
        d.preset = f ? f > 1 ? "ae_32" : "vae_mlp" : "gan";
        d.width = 3;
        d.height = 2;
        d.channels = d.latent = 1;
        d.ema = GENAI_ZERO;
        if (f) d.decoder = "dense $D";
        else d.generator = "dense $D";
        if (!f) d.discriminator = "dense 1";
        m = genai_model_create(g, &d);
        if (!m) { CHECK(0, "%s", genai_ctx_error(g)); break; }
        memcpy(genai__net_tensor(m->net[m->family->painter], 0)->data, w, sizeof w);
        g->changes++;
        fill_images(140);
        memcpy(x, images, sizeof x);
        r.noise = 0.3f;
        r.steps = 400;
        for (masked = 0; masked < 2; masked++) {
            r.mask = masked ? half : NULL;
            CHECK(f != 1 || !genai__sampler_make(m, masked), "%s", genai_ctx_error(g)); /* images still come from where training led latents */
            CHECK(!genai_model_refine(m, 140, x, NULL, &r, z), "%s", genai_ctx_error(g));
            for (i = 0; i < 140; i++) {
                double above = 0, below = f > 1 ? 0 : 0.3 * 0.3, scale = f ? 1 : 0.5, shift = f ? 0 : 0.5;
                for (k = 0; k < 6; k++) {
                    double weight = masked ? (double)half[k] : 1;
                    above += weight * scale * (double)w[k] * ((double)x[6 * i + k] - shift);
                    below += weight * scale * scale * (double)w[k] * (double)w[k];
                }
                CHECK(fabs((double)z[i] - above / below) < 2e-3, "family %d, mask %d, image %d: z %g, by hand %g", f, masked, i, (double)z[i], above / below);
            }
        }
        genai__sampler_make(m, 0);
        CHECK(!genai_model_inpaint(m, 140, x, NULL, &r, out) && !genai_model_decode(m, 140, z, NULL, images), "%s", genai_ctx_error(g));
        for (i = 0; i < 140 * 6; i++) {
            float want = (1 - half[i % 6]) * images[i] + half[i % 6] * x[i];
            CHECK(out[i] == want && (half[i % 6] < 1 || out[i] == x[i]), "pixel %d: %g, not %g", i, (double)out[i], (double)want);
        }
        for (i = 0; i < 140 * 6; i++) holes[i] = half[i % 6] > 0 ? x[i] : zero / zero;
        CHECK(!genai_model_inpaint(m, 140, holes, NULL, &r, again) && !memcmp(out, again, sizeof out), "what is hidden matters: %s", genai_ctx_error(g));
        r.completions = 3; /* the mean of the three of 130 samples that are nearest in what is known */
        r.starts = 130;
        r.steps = -1;
        CHECK(!genai_model_inpaint(m, 140, x, NULL, &r, out) && !genai_model_sample(m, 0, 130, NULL, again), "%s", genai_ctx_error(g));
        for (i = 0; i < 140; i++) {
            double mean[6] = {0, 0, 0, 0, 0, 0}, before = -1;
            int    round, j, best = 0;
            for (round = 0; round < 3; round++) {
                double least = 1e9;
                for (j = 0; j < 130; j++) {
                    double sum = 0;
                    for (k = 0; k < 6; k++) sum += (double)half[k] * pow((double)again[6 * j + k] - (double)x[6 * i + k], 2);
                    if (sum > before && sum < least) { least = sum; best = j; }
                }
                before = least;
                for (k = 0; k < 6; k++) mean[k] += (double)again[6 * best + k] / 3;
            }
            for (k = 0; k < 6; k++)
                CHECK(fabs((double)out[6 * i + k] - (1 - (double)half[k]) * mean[k] - (double)half[k] * (double)x[6 * i + k]) < 1e-6, "family %d, image %d: %g", f, i, (double)out[6 * i + k]);
        }
        r.completions = 131;
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_inpaint(m, 1, x, NULL, &r, out));
        r.completions = r.starts = 0;
        r.steps = 400;
        CHECK(!genai_model_denoise(m, 140, x, NULL, &r, out) && !genai_model_anomaly(m, 140, x, NULL, f ? NULL : &r, score), "%s", genai_ctx_error(g));
        if (f) genai_model_reconstruct(m, 140, x, NULL, out); /* an encoder's model is asked once */
        for (i = 0; i < 140; i++) {
            double sum = 0;
            for (k = 0; k < 6; k++) sum += ((double)out[6 * i + k] - (double)x[6 * i + k]) * ((double)out[6 * i + k] - (double)x[6 * i + k]) / 6;
            CHECK(fabs(sum - (double)score[i]) < 1e-6, "score %d: %g, not %g", i, (double)score[i], sum);
        }
        for (i = 0; i < 140; i++) labels[i] = i % 7;
        CHECK(!genai_model_direction(m, 140, x, labels, 2, 5, z), "%s", genai_ctx_error(g));
        CHECK_RESULT(g, GENAI_ERROR_DATA, genai_model_direction(m, 140, x, labels, 2, 7, z));
        z[0] = 3;
        CHECK(!genai_model_traverse(m, z, 0, 0, -1, 1, 3, out), "%s", genai_ctx_error(g));
        z[1] = -1;
        z[2] = 0;
        z[3] = 1;
        CHECK(!genai_model_decode(m, 3, z + 1, NULL, images) && !memcmp(images, out, 18 * sizeof *out), "a walk through the latent");
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_traverse(m, z, 0, 1, -1, 1, 3, out));
        r.mask = x;
        x[2] = 2;
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_inpaint(m, 1, x, NULL, &r, out));
        r.mask = NULL;
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_inpaint(m, 1, x, NULL, &r, out));
        r.noise = -1;
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_denoise(m, 1, x, NULL, &r, out));
    }
    genai_ctx_destroy(g);
}

/* The same with labels: each image's latents are sought under its own class. */
static void test_refine_labels(void) {
    static const float w[3][6] = {{0.5f, -0.25f, 0.75f, 1, -0.5f, 0.25f}, {0.5f, 0.5f, -0.5f, 0.25f, 0, -0.75f}, {-1, 0.25f, 0, -0.5f, 1, 0.5f}}; /* of z, and of the classes */
    genai_ctx         *g = make_ctx(3, NULL);
    genai_model_desc   d = desc_of("gan", 3, 2, 1);
    genai_refine_desc  r;
    genai_model       *m;
    float              z[70];
    int                i, k, labels[70];
    memset(&r, 0, sizeof r);
    d.latent = 1;
    d.classes = 2;
    d.ema = GENAI_ZERO;
    d.generator = "label | dense $D";
    d.discriminator = "label | dense 1";
    m = genai_model_create(g, &d);
    CHECK(m != NULL, "%s", genai_ctx_error(g));
    if (!m) { genai_ctx_destroy(g); return; }
    memcpy(genai__net_tensor(m->net[GENAI__GENERATOR], 0)->data, w, sizeof w);
    g->changes++;
    fill_images(70 * 6);
    for (i = 0; i < 70; i++) labels[i] = i % 3 == 1;
    r.noise = 0.3f;
    r.steps = 400;
    r.starts = 4;
    CHECK(!genai_model_refine(m, 70, images, labels, &r, z), "%s", genai_ctx_error(g));
    for (i = 0; i < 70; i++) {
        double above = 0, below = 0.3 * 0.3;
        for (k = 0; k < 6; k++) {
            above += 0.5 * (double)w[0][k] * ((double)images[6 * i + k] - 0.5 - 0.5 * (double)w[1 + labels[i]][k]);
            below += 0.25 * (double)w[0][k] * (double)w[0][k];
        }
        CHECK(fabs((double)z[i] - above / below) < 2e-3, "image %d, class %d: z %g, by hand %g", i, labels[i], (double)z[i], above / below);
    }
    genai_ctx_destroy(g);
}

/* --- data that a model can't use: refused before any training --- */
static void unfit(genai_model *m, genai_dataset *data, genai_dataset *test, genai_result code, const char *word) {
    genai_ctx     *g = m->ctx;
    genai_fit_desc fit;
    genai_result   result;
    memset(&fit, 0, sizeof fit);
    fit.steps = 1;
    fit.test = test;
    result = genai_model_fit(m, data, &fit);
    CHECK(result == code && genai_ctx_result(g) == code && strstr(genai_ctx_error(g), word) && !genai_model_steps(m), "'%s' gives %d after %ld steps: %s", word, (int)result, genai_model_steps(m),
          genai_ctx_error(g));
    genai_ctx_clear(g);
}
static void test_unfit(void) {
    static const int labels[4] = {0, 1, 1, 0}, more[4] = {0, 1, 2, 0};
    genai_ctx        *g = make_ctx(6, NULL);
    genai_model_desc  d = desc_of("vae_mlp", 4, 4, 1);
    genai_dataset    *plain, *labelled, *classes, *pairs;
    genai_judge_desc  judge;
    genai_model      *m;
    unsigned char     pixels[4 * 16], small[4 * 15];
    memset(pixels, 7, sizeof pixels);
    memset(small, 7, sizeof small);
    memset(&judge, 0, sizeof judge);
    judge.steps = 1;
    plain = genai_dataset_memory(g, 4, 4, 4, 1, pixels, NULL, NULL);
    labelled = genai_dataset_memory(g, 4, 4, 4, 1, pixels, labels, NULL);
    classes = genai_dataset_memory(g, 4, 4, 4, 1, pixels, more, NULL);
    pairs = genai_dataset_pairs(genai_dataset_memory(g, 4, 4, 4, 1, pixels, labels, NULL), genai_dataset_memory(g, 4, 4, 4, 1, pixels, NULL, NULL), 1);
    m = genai_model_create(g, &d);
    unfit(m, plain, pairs, GENAI_ERROR_ARGUMENT, "test set: a vae takes images"); /* batches of pairs are twice as large */
    unfit(m, plain, genai_dataset_memory(g, 4, 3, 5, 1, small, NULL, NULL), GENAI_ERROR_SHAPE, "test set: the data has 4 images of 3x5x1");
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_fit_sampler(m, pairs, "gaussian", 0));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_judge_create(g, pairs, &judge));
    d.condition = "concat";
    d.classes = 2;
    d.decoder = "label | dense $D";
    m = genai_model_create(g, &d);
    unfit(m, plain, NULL, GENAI_ERROR_DATA, "2 classes, but the data has 0");
    unfit(m, labelled, plain, GENAI_ERROR_DATA, "test set: the model is for 2 classes, but the data has 0");
    unfit(m, labelled, classes, GENAI_ERROR_DATA, "test set: the model is for 2 classes, but the data has 3");
    d = desc_of("translate", 4, 4, 1);
    m = genai_model_create(g, &d);
    unfit(m, pairs, plain, GENAI_ERROR_ARGUMENT, "test set: a translate takes pairs");
    genai_ctx_destroy(g);
}

/* --- what a training that fails late leaves behind --- */
typedef struct late { genai_dataset *data; float made[16]; } late;
static int spoil(void *user, const genai_progress *p) {
    if (p->step == 2) ((late *)user)->data->labels[0] = 9;
    if (p->step == 3) ((late *)user)->data->info.count = 0; /* nothing to fit a sampler to */
    return 0;
}
static int look(void *user, const genai_progress *p) {
    if (p->step == 3 && !p->finished) genai_model_sample(p->model, 1, 1, NULL, ((late *)user)->made);
    return 0;
}
static void left(genai_ctx *g, long steps) { /* a checkpoint in "late" */
    genai_model *m;
    genai_ctx_clear(g);
    m = genai_model_load(g, "late/checkpoint.safetensors");
    CHECK(m && genai_model_steps(m) == steps, "%ld steps are kept: %s", genai_model_steps(m), genai_ctx_error(g));
    genai_ctx_clear(g);
    disk_clear();
}
static void test_late(void) {
    static const int labels[4] = {0, 1, 1, 0};
    genai_ctx       *g = make_ctx(6, NULL);
    genai_model_desc d = desc_of("vae_mlp", 4, 4, 1);
    genai_fit_desc   fit;
    genai_model     *m;
    late             a, b;
    unsigned char    pixels[4 * 16];
    int              i;
    for (i = 0; i < 64; i++) pixels[i] = (unsigned char)(i * 37);
    memset(&fit, 0, sizeof fit);
    fit.steps = 3;
    fit.out = "late";
    fit.user = &a;
    a.data = b.data = genai_dataset_memory(g, 4, 4, 4, 1, pixels, labels, NULL);
    d.sampler = "gaussian";
    m = genai_model_create(g, &d);
    fit.on_step = spoil;
    CHECK(genai_model_fit(m, a.data, &fit) == GENAI_ERROR_SHAPE, "%s", genai_ctx_error(g));
    left(g, 3);
    a.data = b.data = genai_dataset_memory(g, 4, 4, 4, 1, pixels, labels, NULL);
    fit.out = NULL; /* trained in two parts, it doesn't sample in between as it did at the end of the first */
    fit.on_step = look;
    CHECK(!genai_model_fit(genai_model_create(g, &d), a.data, &fit), "%s", genai_ctx_error(g));
    m = genai_model_create(g, &d);
    fit.user = &b;
    fit.steps = 2;
    CHECK(!genai_model_fit(m, b.data, &fit) && m->extra[GENAI__SAMPLER_MEAN], "%s", genai_ctx_error(g));
    fit.steps = 3;
    CHECK(!genai_model_fit(m, b.data, &fit) && m->extra[GENAI__SAMPLER_MEAN] && !memcmp(a.made, b.made, sizeof a.made), "an old sampler was used: %s", genai_ctx_error(g));
    d.latent = 1025;
    fails(g, GENAI_ERROR_UNSUPPORTED, "1025 latents", &d);
    d.latent = 0;
    d.sampler = NULL;
    d.condition = "concat";
    d.classes = 2;
    d.decoder = "label | dense $D";
    fit.out = "late";
    fit.on_step = spoil;
    CHECK(genai_model_fit(genai_model_create(g, &d), b.data, &fit) == GENAI_ERROR_ARGUMENT, "%s", genai_ctx_error(g)); /* a label that there isn't */
    left(g, 2);
    genai_ctx_destroy(g);
}

/* --- images into images --- */
static void test_translate(void) {
    static float     x[2 * 32 * 8 * 8], out[32 * 8 * 8];
    genai_ctx       *g = make_ctx(6, NULL), *h = make_ctx(6, NULL);
    genai_model_desc d;
    genai_model     *m, *other;
    genai_dataset   *single;
    genai_losses     l;
    unsigned char    pixels[64 * 4];
    float           *before;
    int              i, step, cycle, dim[4] = {8, 8, 8, 1};
    for (cycle = 0; cycle < 2; cycle++) { /* the target is the source's negative: learned from pairs, and without */
        double first = 0, last = 0;
        memset(&d, 0, sizeof d);
        d.preset = cycle ? "cycle" : "translate";
        d.width = d.height = 8;
        d.channels = 1;
        d.lr = 2e-3f;
        d.identity = cycle ? 0.5f : 0;
        m = genai_model_create(g, &d);
        CHECK(m != NULL, "%s: %s", d.preset, genai_ctx_error(g));
        for (step = 0; m && step < 60; step++) {
            for (i = 0; i < 32 * 64; i++) { /* bright squares of several sizes on black */
                int of = cycle && i >= 16 * 64 ? i : i % (16 * 64), k = of / 64 + 32 * step, px = of % 8, py = of / 8 % 8, side = 2 + k * 7 % 4;
                float v = px >= k % 4 && px < k % 4 + side && py >= k / 4 % 4 && py < k / 4 % 4 + side ? 0.9f : 0.1f;
                x[i] = i < 16 * 64 ? v : 1 - v;
            }
            CHECK(!genai_model_step(m, 16, x, NULL, &l), "%s: %s", d.preset, genai_ctx_error(g));
            if (step == 2) first = (double)l.value[2];
            last = (double)l.value[2];
        }
        CHECK(last < 0.4 * first, "%s: the error went from %g to %g", d.preset, first, last);
        CHECK(!genai_model_translate(m, 16, x, 0, out), "%s", genai_ctx_error(g));
        if (!cycle) {
            double error = 0;
            for (i = 0; i < 16 * 64; i++) error += fabs((double)out[i] - (1 - (double)x[i])) / (16 * 64);
            CHECK(error < 0.2, "translations are off by %g", error);
            CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_translate(m, 16, x, 1, out));
        } else CHECK(!genai_model_translate(m, 16, x, 1, out), "%s", genai_ctx_error(g));
        CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_sample(m, 0, 1, NULL, out));
        CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_encode(m, 1, x, NULL, out));
        CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_refine(m, 1, x, NULL, NULL, out));
        genai_model_destroy(m);
    }
    /* who learns from what, against a graph built for it alone: no batch norm, plain gradient descent */
    memset(&d, 0, sizeof d);
    d.preset = "translate";
    d.width = d.height = 8;
    d.channels = 1;
    d.generator = "conv 3 k3 | tanh | conv 1 k3 | tanh";
    d.discriminator = "conv 3 k3 s2 | tanh | flatten | dense 1";
    d.rule = GENAI_RULE_SGD;
    d.lr = 0.5f;
    d.lr_discriminator = 0.25f;
    d.gamma = 7;
    d.ema = GENAI_ZERO;
    m = genai_model_create(g, &d);
    other = genai_model_create(h, &d);
    if (!m || !other) { CHECK(0, "%s", genai_ctx_error(g)); return; }
    fill_images(16 * 64);
    before = model_copy(m);
    CHECK(!genai_model_step(m, 8, images, NULL, &l), "%s", genai_ctx_error(g));
    {
        genai_net    *G = other->net[GENAI__GENERATOR], *D = other->net[GENAI__DISCRIMINATOR];
        genai_tensor *from, *to, *made, *loss;
        size_t        k;
        from = genai_scale(genai_tensor_of(h, 4, dim, images), 2, -1);
        to = genai_scale(genai_tensor_of(h, 4, dim, images + 8 * 64), 2, -1);
        made = genai_net_forward(G, from, GENAI_TRAIN);
        loss = genai_bce_loss(genai_net_forward(D, genai_concat(from, to, 3), GENAI_TRAIN), NULL, 1);
        loss = genai_add(loss, genai_bce_loss(genai_net_forward(D, genai_concat(from, genai_detach(made), 3), GENAI_TRAIN), NULL, 0));
        genai_backward(loss);
        for (k = 0; k < D->size; k++) D->values[k] -= 0.25f * D->gradients[k];
        CHECK(fabsf(genai_value(loss) - l.value[0]) < 1e-5f, "D's loss is %g, not %g", (double)l.value[0], (double)genai_value(loss));
        genai_net_trainable(D, 0);
        loss = genai_bce_loss(genai_net_forward(D, genai_concat(from, made, 3), GENAI_TRAIN), NULL, 1);
        loss = genai_add(loss, genai_scale(genai_mean(genai_abs(genai_sub(made, to)), 0), 0.5f * 7, 0));
        genai_backward(loss);
        for (k = 0; k < G->size; k++) {
            G->values[k] -= 0.5f * G->gradients[k];
            CHECK(fabsf(G->values[k] - m->net[GENAI__GENERATOR]->values[k]) < 1e-5f, "weight %zu of G", k);
        }
        for (k = 0; k < D->size; k++) CHECK(fabsf(D->values[k] - m->net[GENAI__DISCRIMINATOR]->values[k]) < 1e-5f, "weight %zu of D", k);
    }
    free(before);
    /* what doesn't fit */
    memset(pixels, 7, sizeof pixels);
    single = genai_dataset_memory(g, 4, 8, 8, 1, pixels, NULL, NULL);
    memset(&d, 0, sizeof d);
    d.preset = "cycle";
    d.data = single;
    fails(g, GENAI_ERROR_ARGUMENT, "takes pairs of images", &d);
    d.preset = "gan";
    d.data = genai_dataset_pairs(single, genai_dataset_memory(g, 4, 8, 8, 1, pixels, NULL, NULL), 1);
    fails(g, GENAI_ERROR_ARGUMENT, "but the data are pairs", &d);
    d.preset = "cycle";
    d.classes = 3;
    fails(g, GENAI_ERROR_ARGUMENT, "needs labels", &d);
    d.classes = 0;
    d.channels = 3;
    fails(g, GENAI_ERROR_SHAPE, "the data has images of 8x8x1", &d);
    genai_ctx_destroy(g);
    genai_ctx_destroy(h);
}

int main(void) {
    test_sizes();
    test_presets();
    test_use();
    test_holdings();
    test_gan_routing();
    test_vaegan_routing();
    test_vaegan_statistics();
    test_statistics("gan");
    test_statistics("vaegan");
    test_values();
    test_reparameterisation();
    test_resume();
    test_overflowing_gradient();
    test_nonfinite();
    test_batch_of_one();
    test_no_memory();
    test_settings();
    test_files();
    test_sampler_files();
    test_latents();
    test_two_contexts();
    test_evaluate();
    test_trace();
    test_refine();
    test_refine_labels();
    test_unfit();
    test_late();
    test_translate();
    return CHECK_DONE("test_models");
}
