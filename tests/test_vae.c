/* Autoencoders: likelihoods against their formulas, bounds and log-likelihoods against a linear model whose likelihood is
 * known exactly, who learns from what, samplers on latents, vector quantisation. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

/* --- contexts that count allocations, with files in memory --- */
static long calls, live;
static void *counted_alloc(void *user, size_t bytes) { (void)user; calls++; live++; return malloc(bytes); }
static void counted_free(void *user, void *p) { (void)user; live--; free(p); }

typedef struct memory_file { char path[40]; unsigned char *p; size_t n, at; } memory_file;
static memory_file disk[8];
static memory_file *disk_find(const char *path) {
    int i;
    for (i = 0; i < 8 && strcmp(disk[i].path, path) != 0; i++) {}
    return i < 8 ? &disk[i] : NULL;
}
static int disk_remove(void *user, const char *path) {
    memory_file *f = disk_find(path);
    (void)user;
    if (f) { free(f->p); memset(f, 0, sizeof *f); }
    return !f;
}
static void *disk_open(void *user, const char *path, int write) {
    memory_file *f;
    if (write == 1) disk_remove(user, path);
    f = disk_find(path);
    if (!f && write && (f = disk_find("")) != NULL) snprintf(f->path, sizeof f->path, "%s", path);
    if (f) f->at = 0;
    return f;
}
static long disk_read(void *user, void *file, void *to, size_t n) {
    memory_file *f = (memory_file *)file;
    (void)user;
    if (n > f->n - f->at) n = f->n - f->at;
    if (n) memcpy(to, f->p + f->at, n);
    f->at += n;
    return (long)n;
}
static long disk_write(void *user, void *file, const void *p, size_t n) {
    memory_file *f = (memory_file *)file;
    (void)user;
    f->p = (unsigned char *)realloc(f->p, f->n + n + 1);
    memcpy(f->p + f->n, p, n);
    f->n += n;
    return (long)n;
}
static int disk_nothing(void *user, void *file) { (void)user; (void)file; return 0; }
static int disk_rename(void *user, const char *from, const char *to) {
    memory_file *f;
    disk_remove(user, to);
    f = disk_find(from);
    if (f) snprintf(f->path, sizeof f->path, "%s", to);
    return !f;
}
static int disk_make_dir(void *user, const char *path) { (void)user; (void)path; return 0; }
static int disk_list(void *user, const char *path, void (*entry)(void *, const char *, int), void *to) { (void)user; (void)path; (void)entry; (void)to; return -1; }

static genai_ctx *make_ctx_of(uint64_t seed, int threads, genai_isa isa) {
    genai_ctx_desc d;
    memset(&d, 0, sizeof d);
    d.seed = seed;
    d.threads = threads;
    d.isa = isa;
    d.log = check_quiet;
    d.allocator.alloc = counted_alloc;
    d.allocator.free = counted_free;
    d.io.open = disk_open;
    d.io.read = disk_read;
    d.io.write = disk_write;
    d.io.append = d.io.sync = d.io.close = disk_nothing;
    d.io.rename = disk_rename;
    d.io.remove = disk_remove;
    d.io.make_dir = disk_make_dir;
    d.io.list = disk_list;
    return genai_ctx_create(&d);
}
static genai_ctx *make_ctx(uint64_t seed) { return make_ctx_of(seed, 2, GENAI_ISA_BEST); }

/* --- small models on 4x4 grey images --- */
static genai_model_desc small_desc(const char *preset) {
    genai_model_desc d;
    memset(&d, 0, sizeof d);
    d.preset = preset;
    d.width = d.height = 4;
    d.channels = 1;
    d.latent = 3;
    d.lr = 0.01f;
    d.encoder = "dense 8 | elu | dense 2*$Z";
    d.decoder = "dense 8 | elu | dense $D";
    return d;
}
static float images[70 * 16];
static void fill_images(void) {
    size_t i;
    for (i = 0; i < 70 * 16; i++) images[i] = (float)((i * 2654435761u >> 8) % 1000) / 999.0f;
}
static genai_dataset *grey_data(genai_ctx *g, int n) { /* the first n of images, in bytes */
    unsigned char bytes[70 * 16];
    int           i;
    fill_images();
    for (i = 0; i < n * 16; i++) bytes[i] = (unsigned char)(255 * images[i]);
    return genai_dataset_memory(g, (size_t)n, 4, 4, 1, bytes, NULL, NULL);
}
static void fails(genai_ctx *g, genai_result code, const char *word, const genai_model_desc *d) {
    genai_model *m = genai_model_create(g, d);
    CHECK(!m && genai_ctx_result(g) == code && strstr(genai_ctx_error(g), word), "'%s' gives %d: %s", word, (int)genai_ctx_result(g), genai_ctx_error(g));
    genai_ctx_clear(g);
}

/* --- exp and log --- */
static void test_exp_log(void) {
    double worst_exp = 0, worst_log = 0, x, e;
    for (x = -699.9; x < 700; x += 0.37) {
        e = fabs(genai__exp(x) / exp(x) - 1);
        if (e > worst_exp) worst_exp = e;
        e = fabs(genai__log(exp(x)) - x) / (fabs(x) > 1 ? fabs(x) : 1);
        if (e > worst_log) worst_log = e;
    }
    CHECK(worst_exp < 1e-14 && worst_log < 1e-14, "exp is off by %g, log by %g", worst_exp, worst_log);
    CHECK(genai__exp(0) == 1 && genai__log(1) == 0 && genai__exp(-1e9) == 0 && genai__exp(-701) == 0, "edges");
}

/* --- likelihoods --- */
static void test_likelihoods(void) { /* each against its formula, in [0,1] and in [-1,1] */
    static const char *const names[] = {"bernoulli", "gaussian", "gaussian_learned", "mse", "l1"};
    genai_ctx *g = make_ctx(1);
    int        l, with_tanh, i, dim[4] = {2, 4, 4, 1};
    for (l = 0; l < 5; l++)
        for (with_tanh = 0; with_tanh < 2; with_tanh++) {
            genai_model_desc d = small_desc("vae");
            genai_model     *m;
            genai_tensor    *x, *y, *loss, *rows;
            double           want[2] = {0, 0};
            int              learned = l == 2;
            float            out[2 * 16];
            d.likelihood = names[l];
            d.sigma = 0.25f;
            if (learned) d.decoder = "dense 8 | elu | dense 2*$D";
            if (with_tanh) d.decoder = learned || !l ? "dense 8 | tanh | dense 32 | reshape 4x4x2 | conv 2 | tanh" : "dense 8 | elu | dense $D | tanh";
            if (with_tanh && (learned || !l)) { /* logits and log-variances have no such bounds */
                if (!learned) d.decoder = "dense 8 | dense $D | tanh";
                fails(g, GENAI_ERROR_ARGUMENT, "tanh", &d);
                continue;
            }
            m = genai_model_create(g, &d);
            CHECK(m != NULL, "%s: %s", names[l], genai_ctx_error(g));
            if (!m) continue;
            CHECK(m->signed_range == with_tanh, "range");
            fill_images();
            x = genai__model_input(m, 2, images);
            dim[3] = learned ? 2 : 1;
            y = learned && !with_tanh ? genai_random_normal(g, 2, (i = 32, dim[1] = 32, dim)) : genai_random_normal(g, 4, dim);
            dim[1] = 4;
            for (i = 0; i < 32; i++) {
                double p = (double)images[i], q, v;
                if (l == 0) want[i / 16] += log(1 + exp((double)y->data[i])) - p * (double)y->data[i];
                q = (double)y->data[learned ? i / 16 * 32 + i % 16 : i];
                if (l == 1) {
                    q = (with_tanh ? q * 0.5 + 0.5 : q) - p;
                    want[i / 16] += q * q / (2 * 0.0625) + log(0.25) + 0.5 * log(2 * 3.14159265358979323846);
                }
                if (l == 2) {
                    v = (double)y->data[i / 16 * 32 + 16 + i % 16];
                    want[i / 16] += 0.5 * (log(2 * 3.14159265358979323846) + v + (p - q) * (p - q) * exp(-v));
                }
                if (with_tanh) p = 2 * p - 1;
                if (l == 3) want[i / 16] += (p - q) * (p - q);
                if (l == 4) want[i / 16] += fabs(p - q);
            }
            loss = genai__reconstruction(m, y, x);
            rows = genai__reconstructions(m, y, x);
            CHECK(fabs((double)genai_value(loss) - (want[0] + want[1]) / 2) < 1e-4 * (1 + fabs(want[0])), "%s: %g, by hand %g", names[l], (double)genai_value(loss), (want[0] + want[1]) / 2);
            CHECK(rows && rows->count == 2 && fabs((double)rows->data[0] - want[0]) < 1e-4 * (1 + fabs(want[0])) && fabs((double)rows->data[1] - want[1]) < 1e-4 * (1 + fabs(want[1])),
                  "%s: an image's %g, by hand %g", names[l], rows ? (double)rows->data[0] : 0, want[0]);
            CHECK(!genai_model_step(m, 2, images, NULL, NULL) && !genai_model_sample(m, 1, 2, NULL, out), "%s: %s", names[l], genai_ctx_error(g));
            genai_model_destroy(m);
        }
    {
        genai_model_desc d = small_desc("vae"); /* images and channels in place of values, and the default texts */
        genai_model     *m;
        float            out[16];
        d.likelihood = "gaussian_learned";
        fails(g, GENAI_ERROR_SHAPE, "4x4x2", &d);
        d.decoder = "dense 4*4*3 | reshape 4x4x3 | conv $C*2";
        m = genai_model_create(g, &d);
        CHECK(m && !genai_model_step(m, 2, images, NULL, NULL) && !genai_model_reconstruct(m, 1, images, NULL, out), "%s", genai_ctx_error(g));
        d.encoder = d.decoder = NULL;
        m = genai_model_create(g, &d);
        CHECK(m && !genai_model_step(m, 2, images, NULL, NULL) && !genai_model_reconstruct(m, 1, images, NULL, out), "%s", genai_ctx_error(g));
    }
    genai_ctx_destroy(g);
}

static void test_names(void) { /* T21: measures that can't be compared have different names */
    static const char *const names[] = {"bernoulli", "gaussian", "mse", "l1"};
    genai_ctx     *g = make_ctx(1);
    genai_dataset *data = grey_data(g, 4);
    const char    *seen[8];
    int            i, k, n = 0;
    for (i = 0; i < 8; i++) {
        genai_model_desc d = small_desc("vae");
        genai_model     *m;
        double           value;
        d.likelihood = names[i / 2];
        if (i % 2) { d.beta = GENAI_ZERO; d.encoder = "dense $Z"; }
        m = genai_model_create(g, &d);
        CHECK(m && !genai_model_evaluate(m, data, &seen[n], &value), "%s", genai_ctx_error(g));
        for (k = 0; k < n; k++) CHECK(strcmp(seen[k], seen[n]) != 0, "two measures are called %s", seen[n]);
        n++;
        if (i % 2 || i / 2 > 1) CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_nll(m, data, 10, &value));
        else CHECK(!genai_model_nll(m, data, 10, &value) && value != 0, "%s", genai_ctx_error(g));
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_nll(m, data, 0, &value));
    }
    genai_ctx_destroy(g);
}

/* --- finite differences of whole steps: noise is drawn once and used again (T17) --- */
static double step_loss(genai_ctx *g, const genai_model_desc *d, int role, size_t at, float change, float *gradient) {
    genai_model *m = genai_model_create(g, d);
    genai_losses l;
    double       loss;
    memset(&l, 0, sizeof l);
    if (!m) return 0;
    m->net[role]->values[at] += change;
    CHECK(!genai_model_step(m, 4, images, NULL, &l) && !l.skipped, "%s", genai_ctx_error(g));
    if (gradient) *gradient = m->net[role]->gradients[at];
    loss = (double)l.value[0] + (double)(d->beta > 0 ? d->beta : 1) * (double)l.value[1];
    genai_model_destroy(m);
    return loss;
}
static void test_differences(void) {
    static const char *const what[] = {"importance", "learned variance", "mmd", "l1", "gaussian"};
    genai_ctx *g = make_ctx(7);
    int        w;
    fill_images();
    for (w = 0; w < 5; w++) {
        genai_model_desc d = small_desc("vae");
        size_t           at;
        if (w == 0) d.importance = 3;
        if (w == 1) { d.likelihood = "gaussian_learned"; d.decoder = "dense 8 | elu | dense 2*$D"; }
        if (w == 2) { d.divergence = "mmd"; d.encoder = "dense 8 | elu | dense $Z"; d.beta = 30; }
        if (w == 3) d.likelihood = "l1";
        if (w == 4) { d.likelihood = "gaussian"; d.sigma = 0.5f; }
        for (at = 3; at < 120; at += 39) {
            float  gradient;
            double numeric = (step_loss(g, &d, GENAI__ENCODER, at, 4e-3f, NULL) - step_loss(g, &d, GENAI__ENCODER, at, -4e-3f, NULL)) / 8e-3;
            step_loss(g, &d, GENAI__ENCODER, at, 0, &gradient);
            CHECK(fabs(numeric - (double)gradient) < 0.02 * (fabs(numeric) + 0.05), "%s: weight %d: gradient %g, by differences %g", what[w], (int)at, (double)gradient, numeric);
        }
    }
    genai_ctx_destroy(g);
}

/* --- posterior, KL and free bits --- */
static void test_posterior(void) { /* T16 */
    genai_ctx       *g = make_ctx(2);
    genai_model_desc d = small_desc("vae");
    genai_model     *m;
    genai_tensor    *mean, *log_var;
    float           *bias;
    int              i;
    d.encoder = "dense 2*$Z";
    m = genai_model_create(g, &d);
    fill_images();
    CHECK(m && !genai_model_step(m, 4, images, NULL, NULL), "%s", genai_ctx_error(g));
    for (i = 0; i < 6; i++) CHECK(m->net[GENAI__ENCODER]->layer[0].parameter[1]->grad->data[i] != 0, "output %d of the encoder learns nothing at first", i);
    bias = m->net[GENAI__ENCODER]->layer[0].parameter[1]->data;
    bias[3] = 100;
    bias[4] = -100;
    bias[5] = 1;
    genai__posterior(m, m->net[GENAI__ENCODER], genai__model_input(m, 1, images), GENAI_TRAIN, &mean, &log_var);
    CHECK(log_var && log_var->data[0] == 10 && log_var->data[1] == -10 && fabs((double)log_var->data[2]) < 10, "the clamp of the log-variance isn't +-10");
    genai_ctx_destroy(g);
}

static void test_free_bits(void) { /* T22 */
    genai_ctx       *g = make_ctx(2);
    genai_model_desc d = small_desc("vae");
    genai_model     *m;
    const float      means[2 * 3] = {2, 0.1f, -1, 1, -0.1f, 3}, log_vars[2 * 3] = {0.3f, 0, -1, -0.2f, 0.1f, 0.5f};
    genai_tensor    *mean, *log_var, *plain_mean, *plain_log_var, *loss;
    double           kl[3], want = 0, all = 0;
    float            value;
    int              i, dim[2] = {2, 3};
    d.free_bits = 0.5f;
    m = genai_model_create(g, &d);
    CHECK(m != NULL, "%s", genai_ctx_error(g));
    for (i = 0; i < 3; i++) {
        int r;
        for (kl[i] = 0, r = 0; r < 2; r++) {
            double mu = (double)means[r * 3 + i], v = (double)log_vars[r * 3 + i];
            kl[i] += 0.25 * (exp(v) + mu * mu - 1 - v);
        }
        want += kl[i] > 0.5 ? kl[i] : 0.5;
        all += kl[i];
    }
    mean = genai_tensor_of(g, 2, dim, means);
    log_var = genai_tensor_of(g, 2, dim, log_vars);
    plain_mean = genai_tensor_of(g, 2, dim, means);
    plain_log_var = genai_tensor_of(g, 2, dim, log_vars);
    mean->requires_grad = log_var->requires_grad = plain_mean->requires_grad = plain_log_var->requires_grad = 1;
    loss = genai__kl(m, mean, log_var, &value);
    CHECK(fabs((double)genai_value(loss) - want) < 1e-5 && fabs((double)value - all) < 1e-5, "costs %g, by hand %g; KL %g, by hand %g", (double)genai_value(loss), want, (double)value, all);
    CHECK(!genai_backward(loss) && !genai_backward(genai_kl_loss(plain_mean, plain_log_var)), "%s", genai_ctx_error(g));
    for (i = 0; i < 6; i++) {
        int counts = kl[i % 3] > 0.5;
        CHECK(fabs((double)mean->grad->data[i] - (counts ? (double)plain_mean->grad->data[i] : 0)) < 1e-6 &&
              fabs((double)log_var->grad->data[i] - (counts ? (double)plain_log_var->grad->data[i] : 0)) < 1e-6, "latent %d: %g", i % 3, (double)mean->grad->data[i]);
    }
    CHECK(kl[1] < 0.5 && kl[0] > 0.5 && kl[2] > 0.5, "the example shows nothing");
    genai_ctx_destroy(g);
}

/* --- a linear decoder with orthogonal columns: p(x) and p(z|x) are normal and known, the latter with diagonal covariance --- */
enum { LINEAR_D = 4, LINEAR_Z = 2 };
static const double linear_w[LINEAR_Z][LINEAR_D] = {{0.3, 0.3, 0.3, 0.3}, {0.2, -0.2, 0.2, -0.2}};
static genai_model *linear_model(genai_ctx *g, int importance, double off) { /* off: by what the posterior's mean is wrong */
    genai_model_desc d = small_desc("vae");
    genai_model     *m;
    genai_tensor   **enc, **dec;
    int              i, j;
    d.width = d.height = 2;
    d.latent = LINEAR_Z;
    d.encoder = "dense 2*$Z";
    d.decoder = "dense $D";
    d.likelihood = "gaussian";
    d.sigma = 0.25f;
    d.importance = importance;
    m = genai_model_create(g, &d);
    if (!m) return NULL;
    enc = m->net[GENAI__ENCODER]->layer[0].parameter;
    dec = m->net[GENAI__DECODER]->layer[0].parameter;
    for (j = 0; j < LINEAR_Z; j++) { /* precision 1 + |w|^2/sigma^2, mean w(x-b)/sigma^2 over it; b = 0.5 */
        double square = 0, precision, mean = 0;
        for (i = 0; i < LINEAR_D; i++) square += linear_w[j][i] * linear_w[j][i];
        precision = 1 + square / 0.0625;
        for (i = 0; i < LINEAR_D; i++) {
            dec[0]->data[j * LINEAR_D + i] = (float)linear_w[j][i];
            enc[0]->data[i * 2 * LINEAR_Z + j] = (float)(linear_w[j][i] / 0.0625 / precision);
            enc[0]->data[i * 2 * LINEAR_Z + LINEAR_Z + j] = 0;
            mean += linear_w[j][i] * 0.5 / 0.0625 / precision;
        }
        enc[1]->data[j] = (float)(off - mean);
        enc[1]->data[LINEAR_Z + j] = (float)-log(precision);
    }
    for (i = 0; i < LINEAR_D; i++) dec[1]->data[i] = 0.5f;
    return m;
}
static double linear_nll(const double *x) { /* covariance w w' + sigma^2: its eigenvectors are the w, the rest has sigma^2 */
    double nll = 0.5 * LINEAR_D * log(2 * 3.14159265358979323846), rest = 0;
    int    i, j;
    for (i = 0; i < LINEAR_D; i++) rest += (x[i] - 0.5) * (x[i] - 0.5);
    for (j = 0; j < LINEAR_Z; j++) {
        double square = 0, along = 0;
        for (i = 0; i < LINEAR_D; i++) {
            square += linear_w[j][i] * linear_w[j][i];
            along += linear_w[j][i] * (x[i] - 0.5);
        }
        along = along * along / square;
        nll += 0.5 * (log(square + 0.0625) + along / (square + 0.0625));
        rest -= along;
    }
    return nll + 0.5 * ((LINEAR_D - LINEAR_Z) * log(0.0625) + rest / 0.0625);
}

static void test_exact(void) { /* T15, T19, T20 */
    genai_ctx     *g = make_ctx(3);
    genai_model   *m;
    genai_dataset *data;
    unsigned char  bytes[70 * LINEAR_D];
    float          x[70 * LINEAR_D];
    double         exact = 0, value, before, elbo, pixel[LINEAR_D];
    genai_losses   losses;
    int            i, k, d;
    for (i = 0; i < 70; i++, exact += linear_nll(pixel) / 70)
        for (d = 0; d < LINEAR_D; d++) {
            bytes[i * LINEAR_D + d] = (unsigned char)((unsigned)(i * LINEAR_D + d) * 2654435761u >> 24);
            pixel[d] = bytes[i * LINEAR_D + d] / 255.0;
            x[i * LINEAR_D + d] = (float)pixel[d];
        }
    data = genai_dataset_memory(g, 70, 2, 2, 1, bytes, NULL, NULL);
    m = linear_model(g, 1, 0);
    CHECK(m && !genai_model_nll(m, data, 1, &value) && fabs(value - exact) < 1e-4, "with the true posterior one sample tells all: %g, exact %g", value, exact);
    CHECK(!genai_model_nll(m, data, 7, &value) && fabs(value - exact) < 1e-4, "%g, exact %g", value, exact);
    CHECK(!genai_model_evaluate(m, data, NULL, &elbo) && fabs(elbo - exact) < 0.2, "ELBO %g, exact %g", elbo, exact); /* its KL is exact, its reconstruction drawn */
    m = linear_model(g, 5, 0);
    CHECK(m && !genai_model_step(m, 70, x, NULL, &losses) && fabs((double)losses.value[0] + (double)losses.value[1] - exact) < 1e-4,
          "importance-weighted loss %g, exact %g", (double)losses.value[0] + (double)losses.value[1], exact);
    m = linear_model(g, 1, 0.7);
    for (before = 1e9, k = 1; k <= 2000; k *= 10, before = value)
        CHECK(m && !genai_model_nll(m, data, k, &value) && value < before && value > exact - 0.02, "%d samples: %g, with fewer %g, exact %g", k, value, before, exact);
    CHECK(fabs(before - exact) < 0.02, "1000 samples: %g, exact %g", before, exact);
    CHECK(!genai_model_nll(m, data, 1, &value) && !genai_model_evaluate(m, data, NULL, &elbo) && fabs(value - elbo) < 0.3 && elbo > exact + 0.3,
          "one sample %g, ELBO %g, exact %g", value, elbo, exact);
    before = value;
    CHECK(!genai_model_nll(m, data, 1, &value) && value == before, "two measures differ");
    genai_ctx_destroy(g);
}

static void test_importance(void) { /* k = 1 is the VAE with a drawn KL; the gradient's weights are the softmax of the log-weights */
    genai_ctx       *g = make_ctx(3);
    genai_model_desc d = small_desc("vae");
    genai_model     *m;
    genai_tensor    *x, *mean, *log_var, *noise, *w, *z, *lse;
    float            values[6] = {-900, -901, -899, 1, 1, 1};
    double           want, sum;
    int              i, dim[3] = {1, 4, 3}, two[2] = {2, 3};
    fill_images();
    m = genai_model_create(g, &d);
    x = genai__model_input(m, 4, images);
    genai__posterior(m, m->net[GENAI__ENCODER], x, GENAI_TRAIN, &mean, &log_var);
    noise = genai_random_normal(g, 3, dim);
    w = genai__log_weights(m, x, mean, log_var, noise, 0.5f, GENAI_TRAIN);
    z = genai__rows(genai_reshape(noise, 2, (dim[0] = 4, dim[1] = 3, dim)));
    z = genai__reparameterise(mean, log_var, z);
    want = -(double)genai_value(genai__reconstruction(m, genai_net_forward(m->net[GENAI__DECODER], z, GENAI_TRAIN), x));
    for (i = 0; i < 12; i++)
        want += 0.5 / 4 * 0.5 * ((double)log_var->data[i] + (double)noise->data[i] * (double)noise->data[i] - (double)z->data[i] * (double)z->data[i]);
    for (sum = 0, i = 0; i < 4; i++) sum += (double)w->data[i] / 4;
    CHECK(fabs(sum - want) < 1e-4, "one sample: %g, by hand %g", sum, want);
    z = genai_tensor_of(g, 2, two, values);
    z->requires_grad = 1;
    lse = genai__log_sum_exp(z);
    genai_backward(genai_sum(lse, 0));
    CHECK(fabs((double)lse->data[0] - (-899 + log(1 + exp(-1.0) + exp(-2.0)))) < 1e-4 && fabs((double)lse->data[1] - 1 - log(3.0)) < 1e-6, "log-sum-exp %g %g",
          (double)lse->data[0], (double)lse->data[1]);
    CHECK(fabs((double)z->grad->data[2] - 1 / (1 + exp(-1.0) + exp(-2.0))) < 1e-5 && fabs((double)z->grad->data[3] - 1.0 / 3) < 1e-6, "its gradient is no softmax");
    genai_tape_release(g, 0);
    d.importance = 2;
    d.free_bits = 1; fails(g, GENAI_ERROR_ARGUMENT, "free_bits", &d);
    d.free_bits = 0;
    d.divergence = "mmd"; d.encoder = "dense $Z"; fails(g, GENAI_ERROR_ARGUMENT, "mmd", &d);
    d.divergence = "mnd"; fails(g, GENAI_ERROR_ARGUMENT, "mmd", &d);
    genai_ctx_destroy(g);
}

/* --- MMD --- */
static void test_mmd(void) {
    static const double scales[] = {0.1, 0.2, 0.5, 1, 2, 5, 10};
    genai_ctx   *g = make_ctx(4);
    genai_tensor *a, *b;
    double        want[2] = {0, 0};
    int           i, j, s, k, dim[2] = {5, 3};
    a = genai_random_normal(g, 2, dim);
    dim[0] = 4;
    b = genai_random_normal(g, 2, dim);
    for (i = 0; i < 5; i++)
        for (j = 0; j < 5; j++)
            for (s = 0; s < 7; s++) {
                double aa = 0, ab = 0, c = 2 * 3 * scales[s];
                for (k = 0; k < 3; k++) {
                    aa += pow((double)a->data[i * 3 + k] - (double)a->data[j * 3 + k], 2);
                    if (j < 4) ab += pow((double)a->data[i * 3 + k] - (double)b->data[j * 3 + k], 2);
                }
                if (i != j) want[0] += c / (c + aa);
                if (j < 4) want[1] += c / (c + ab);
            }
    CHECK(fabs((double)genai_value(genai__kernel_sum(a, a)) - want[0]) < 1e-3 && fabs((double)genai_value(genai__kernel_sum(a, b)) - want[1]) < 1e-3,
          "sums of kernels %g %g, by hand %g %g", (double)genai_value(genai__kernel_sum(a, a)), (double)genai_value(genai__kernel_sum(a, b)), want[0], want[1]);
    {
        genai_model_desc d = small_desc("vae");
        genai_model     *m;
        genai_tensor    *z;
        genai_losses     losses;
        double           near = 0, far = 0, value;
        float            mmd;
        d.divergence = "mmd";
        d.encoder = "dense 8 | elu | dense $Z";
        m = genai_model_create(g, &d);
        dim[0] = 64;
        for (i = 0; i < 20; i++) {
            z = genai_random_normal(g, 2, dim);
            genai__mmd(m, z, &mmd);
            near += (double)mmd / 20;
            genai__mmd(m, genai_scale(z, 1, 2), &mmd);
            far += (double)mmd / 20;
            genai_tape_release(g, 0);
        }
        CHECK(fabs(near) < 0.02 && far > 0.5, "MMD of equal distributions %g, of others %g", near, far);
        fill_images();
        CHECK(!genai_model_step(m, 4, images, NULL, &losses) && !strcmp(losses.name[1], "mmd") && !genai_model_step(m, 1, images, NULL, &losses) && !losses.skipped && losses.value[1] == 0,
              "a lone image: %s %s", losses.name[1], genai_ctx_error(g));
        CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_nll(m, grey_data(g, 3), 5, &value));
    }
    genai_ctx_destroy(g);
}

/* --- black and white --- */
static void test_binarise(void) {
    genai_ctx       *g = make_ctx(5);
    genai_model_desc d = small_desc("vae");
    genai_model     *m, *other;
    genai_tensor    *x, *y;
    genai_dataset   *data = grey_data(g, 70);
    float            bw[16], a[3], b[3];
    double           worst = 0, mean[16], value, again;
    int              i, k, grey = 0;
    d.binarise = 1;
    d.likelihood = "mse"; fails(g, GENAI_ERROR_ARGUMENT, "bernoulli", &d);
    d.likelihood = NULL;
    m = genai_model_create(g, &d);
    fill_images();
    memset(mean, 0, sizeof mean);
    for (i = 0; i < 2000; i++) {
        x = genai__model_input(m, 1, images);
        y = genai__binarised(m, x, 1);
        for (k = 0; k < 16; k++) {
            grey += y->data[k] != 0 && y->data[k] != 1;
            mean[k] += (double)y->data[k] / 2000;
        }
        genai_tape_release(g, 0);
    }
    for (k = 0; k < 16; k++)
        if (fabs(mean[k] - (double)images[k]) > worst) worst = fabs(mean[k] - (double)images[k]);
    CHECK(!grey, "%d drawn pixels are neither black nor white", grey);
    CHECK(worst < 0.045, "drawn images differ from the grey one by %g in the mean", worst); /* 4 standard deviations */
    for (k = 0; k < 16; k++) bw[k] = images[k] > 0.5f;
    CHECK(!genai_model_encode(m, 1, images, NULL, a) && !genai_model_encode(m, 1, bw, NULL, b) && !memcmp(a, b, sizeof a), "an encoded image isn't cut at 0.5");
    CHECK(!genai_model_step(m, 1, images, NULL, NULL), "%s", genai_ctx_error(g));
    other = genai_model_create(g, &d);
    CHECK(!genai_model_step(other, 1, images, NULL, NULL) && !memcmp(m->net[GENAI__ENCODER]->values, other->net[GENAI__ENCODER]->values, m->net[GENAI__ENCODER]->size * sizeof(float)),
          "a step's draws depend on more than its number");
    CHECK(!genai_model_nll(m, data, 5, &value) && !genai_model_nll(m, data, 5, &again) && value == again, "%s", genai_ctx_error(g));
    genai_ctx_destroy(g);
}

/* --- samplers --- */
static genai__mixture mixture_of(size_t n, int z, int k, double *x) { /* with memory that is never given back */
    genai__mixture q;
    memset(&q, 0, sizeof q);
    q.n = n;
    q.z = z;
    q.k = k;
    q.x = x;
    q.share = (double *)calloc(n * (size_t)k, sizeof(double));
    q.likelihood = (double *)calloc(n, sizeof(double));
    q.weight = (double *)calloc((size_t)k, sizeof(double));
    q.log_scale = (double *)calloc((size_t)k, sizeof(double));
    q.mean = (double *)calloc((size_t)(k * z), sizeof(double));
    q.base = (double *)calloc((size_t)(k * z), sizeof(double));
    q.spare = (double *)calloc((size_t)(k * z), sizeof(double));
    q.factor = (double *)calloc((size_t)(k * z * z), sizeof(double));
    q.inverse = (double *)calloc((size_t)(k * z * z), sizeof(double));
    return q;
}
static void mixture_free(genai__mixture *q) {
    free(q->share);
    free(q->likelihood);
    free(q->weight);
    free(q->log_scale);
    free(q->mean);
    free(q->base);
    free(q->spare);
    free(q->factor);
    free(q->inverse);
}

static void test_mixture(void) { /* EM finds three normal distributions that overlap a little; points that are degenerate hurt nothing */
    static const double weight[3] = {0.5, 0.3, 0.2}, mean[3][2] = {{0, 0}, {4, 1}, {-3, 4}}, factor[3][3] = {{1, 0.5, 0.6}, {0.5, 0, 1.5}, {0.7, -0.6, 0.4}};
    enum { N = 6000 };
    genai_ctx     *g = make_ctx(6);
    genai__mixture q;
    double        *x = (double *)malloc(2 * N * sizeof *x), worst = 0, covariance[3], sum, before;
    float         *u = (float *)malloc(2 * N * sizeof *u);
    int            i, k, c, found, kind;
    genai__normal(g, 0, 0, 0, 2 * N, u);
    for (i = 0; i < N; i++) {
        c = i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : 2;
        x[2 * i] = mean[c][0] + factor[c][0] * (double)u[2 * i];
        x[2 * i + 1] = mean[c][1] + factor[c][1] * (double)u[2 * i] + factor[c][2] * (double)u[2 * i + 1];
    }
    q = mixture_of(N, 2, 3, x);
    genai__mixture_run(g, &q);
    for (c = 0, found = 0; c < 3; c++)
        for (k = 0; k < 3; k++) {
            const double *l = q.factor + 4 * k;
            if (hypot(q.mean[2 * k] - mean[c][0], q.mean[2 * k + 1] - mean[c][1]) > 0.2) continue;
            found |= 1 << c;
            covariance[0] = l[0] * l[0];
            covariance[1] = l[0] * l[2];
            covariance[2] = l[2] * l[2] + l[3] * l[3];
            for (i = 0; i < N; i++) { /* less that of the points drawn from it */
                double a = x[2 * i] - mean[c][0], b = x[2 * i + 1] - mean[c][1], n = weight[c] * N;
                if ((i % 10 < 5 ? 0 : i % 10 < 8 ? 1 : 2) != c) continue;
                covariance[0] -= a * a / n;
                covariance[1] -= a * b / n;
                covariance[2] -= b * b / n;
            }
            for (i = 0; i < 3; i++)
                if (fabs(covariance[i]) > worst) worst = fabs(covariance[i]);
            if (fabs(q.weight[k] - weight[c]) > worst) worst = fabs(q.weight[k] - weight[c]);
        }
    CHECK(found == 7 && worst < 0.1, "found %d, worst weight or covariance off by %g", found, worst);
    q.hard = 0; /* the likelihood by its formula, at one point */
    genai__mixture_point(&q, 17);
    for (sum = 0, k = 0; k < 3; k++) {
        const double *l = q.factor + 4 * k;
        double        a = (x[34] - q.mean[2 * k]) / l[0], b = (x[35] - q.mean[2 * k + 1] - l[2] * a) / l[3];
        sum += q.weight[k] * exp(-0.5 * (a * a + b * b)) / (2 * 3.14159265358979323846 * l[0] * l[3]);
    }
    CHECK(fabs(q.likelihood[17] - log(sum)) < 1e-9, "log-likelihood %g, by hand %g", q.likelihood[17], log(sum));
    mixture_free(&q);

    for (kind = 0; kind < 5; kind++) { /* all equal; two places for five components; on a line; one far away; a single point */
        size_t n = kind == 4 ? 1 : 40;
        int    components = kind == 4 ? 1 : 5;
        for (i = 0; i < (int)n; i++) {
            x[2 * i] = kind == 0 || kind == 4 ? 3 : kind == 1 ? i % 2 : kind == 2 ? i : i ? 1e-3 * i : 1e6;
            x[2 * i + 1] = kind == 0 || kind == 4 ? -2 : kind == 1 ? 5 * (i % 2) : 2 * x[2 * i];
        }
        q = mixture_of(n, 2, components, x);
        genai__mixture_run(g, &q);
        for (sum = 0, found = 1, k = 0; k < components; k++) {
            sum += q.weight[k];
            for (i = 0; i < 4 && q.weight[k] > 0; i++) found = found && q.factor[4 * k + i] - q.factor[4 * k + i] == 0 && q.mean[2 * k + i / 2] - q.mean[2 * k + i / 2] == 0;
            if (q.weight[k] > 0) found = found && q.factor[4 * k] > 0 && q.factor[4 * k + 3] > 0;
        }
        CHECK(found && fabs(sum - 1) < 1e-3, "kind %d: weights add up to %g, finite and positive %d", kind, sum, found);
        mixture_free(&q);
    }
    q = mixture_of(30, 2, 3, x); /* a component that nobody belongs to comes back */
    for (i = 0; i < 60; i++) x[i] = i % 2 ? 0 : i / 20 * 10 + (i & 3) * 0.1;
    q.k = 3;
    genai__mixture_begin(g, &q);
    q.hard = 1;
    q.mean[0] = q.mean[2] = q.mean[4] = 0;
    q.mean[1] = 0;
    q.mean[3] = q.mean[5] = 1e3;
    for (i = 0; i < 30; i++) genai__mixture_point(&q, (size_t)i);
    for (k = 0; k < 3; k++) genai__mixture_component(&q, k);
    CHECK(q.weight[0] == 1 && q.weight[1] == 0 && q.weight[2] == 0, "weights %g %g %g", q.weight[0], q.weight[1], q.weight[2]);
    before = q.likelihood[29] < q.likelihood[28] ? x[58] : x[56];
    genai__mixture_revive(&q, 1);
    CHECK(q.weight[1] > 0 && fabs(q.mean[2] - before) < 0.31 && q.factor[4] > 0 && q.factor[5] == 0, "revived at %g, the worst point is near %g", q.mean[2], before);
    mixture_free(&q);
    free(x);
    free(u);
    genai_ctx_destroy(g);
}

static void test_samplers(void) {
    static const char *const kinds[] = {"prior", "gaussian", "mixture"};
    genai_model_desc d = small_desc("vae");
    float            z[64 * 3], w[64 * 3], first[3][5 * 3], plain[5 * 3], out[5 * 16], again[5 * 16];
    int              run, kind, i, k;
    for (run = 0; run < 3; run++) { /* three threads; one; scalar: the same bits */
        genai_ctx     *g = make_ctx_of(8, run ? 1 : 3, run == 2 ? GENAI_ISA_SCALAR : GENAI_ISA_BEST);
        genai_dataset *data = grey_data(g, 70);
        genai_model   *m = genai_model_create(g, &d), *loaded;
        CHECK(m && !genai_model_latents(m, 4, 5, plain), "%s", genai_ctx_error(g));
        for (i = 0; i < 30 && m; i++) genai_model_step(m, 64, images, NULL, NULL);
        for (kind = 2; kind >= 0 && m; kind--) {
            long before = calls;
            CHECK(!genai_model_fit_sampler(m, data, kinds[kind], 3) && !strcmp(genai_model_resolved(m).sampler, kinds[kind]), "%s: %s", kinds[kind], genai_ctx_error(g));
            CHECK(!genai_model_latents(m, 4, 64, z) && !genai_model_latents(m, 4, 5, w) && !memcmp(z, w, sizeof plain), "%s: latents depend on n", kinds[kind]);
            if (!run) memcpy(first[kind], z, sizeof plain);
            CHECK(!memcmp(first[kind], z, sizeof plain), "%s: other latents with other threads or kernels", kinds[kind]);
            CHECK(!memcmp(plain, z, sizeof plain) == !kind, "%s: %s latents", kinds[kind], kind ? "the prior's" : "not the prior's");
            CHECK(!genai_model_sample(m, 4, 5, NULL, out) && !genai_model_decode(m, 5, z, NULL, again) && !memcmp(out, again, sizeof out), "%s: sample doesn't use them", kinds[kind]);
            before = calls;
            CHECK(!genai_model_sample(m, 4, 5, NULL, out) && calls == before, "%ld allocations in a second sample", calls - before);
            CHECK(!genai_model_save(m, "sampler"), "%s", genai_ctx_error(g));
            loaded = genai_model_load(g, "sampler");
            CHECK(loaded && !genai_model_latents(loaded, 4, 64, w) && !memcmp(z, w, sizeof z), "%s: a loaded model has other latents: %s", kinds[kind], genai_ctx_error(g));
            genai_model_destroy(loaded);
            if (kind) { /* many latents have the mixture's mean and covariance */
                enum { MANY = 20000 };
                float       *many = (float *)malloc(3 * MANY * sizeof *many);
                const float *weight = m->extra[GENAI__SAMPLER_WEIGHT]->data, *mean = m->extra[GENAI__SAMPLER_MEAN]->data, *l = m->extra[GENAI__SAMPLER_FACTOR]->data;
                double       first_moment[3], second[3], spread[3];
                int          c, r;
                genai_model_latents(m, 11, MANY, many);
                for (i = 0; i < 3; i++) {
                    first_moment[i] = second[i] = spread[i] = 0;
                    for (c = 0; c < (int)m->extra[GENAI__SAMPLER_WEIGHT]->count; c++) {
                        double square = (double)mean[3 * c + i] * (double)mean[3 * c + i];
                        for (r = 0; r < 3; r++) square += (double)l[9 * c + 3 * i + r] * (double)l[9 * c + 3 * i + r];
                        first_moment[i] -= (double)weight[c] * (double)mean[3 * c + i];
                        second[i] -= (double)weight[c] * square;
                    }
                    for (spread[i] = -second[i] - first_moment[i] * first_moment[i], k = 0; k < MANY; k++) {
                        first_moment[i] += (double)many[3 * k + i] / MANY;
                        second[i] += (double)many[3 * k + i] * (double)many[3 * k + i] / MANY;
                    }
                    CHECK(fabs(first_moment[i]) < 0.03 * sqrt(spread[i]) && fabs(second[i]) < 0.06 * spread[i], "%s: moments of latent %d off by %g and %g, variance %g", kinds[kind], i,
                          first_moment[i], second[i], spread[i]);
                }
                free(many);
            }
            if (kind == 1) { /* mean and covariance by hand */
                float  codes[70 * 3], *l = m->extra[GENAI__SAMPLER_FACTOR]->data, *x = (float *)malloc(70 * 16 * sizeof *x);
                double worst = 0, mean[3] = {0, 0, 0}, c;
                genai_dataset_batch(data, -1, 0, 70, x, NULL);
                genai_model_encode(m, 70, x, NULL, codes);
                free(x);
                for (i = 0; i < 210; i++) mean[i % 3] += (double)codes[i] / 70;
                for (i = 0; i < 3; i++) {
                    if (fabs(mean[i] - (double)m->extra[GENAI__SAMPLER_MEAN]->data[i]) > worst) worst = fabs(mean[i] - (double)m->extra[GENAI__SAMPLER_MEAN]->data[i]);
                    for (k = 0; k <= i; k++) {
                        int r;
                        for (c = 0, r = 0; r < 70; r++) c += ((double)codes[r * 3 + i] - mean[i]) * ((double)codes[r * 3 + k] - mean[k]) / 70;
                        for (r = 0; r < 3; r++) c -= (double)l[i * 3 + r] * (double)l[k * 3 + r];
                        if (fabs(c) > worst) worst = fabs(c);
                    }
                }
                CHECK(worst < 2e-3, "mean or covariance off by %g", worst);
            }
        }
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_fit_sampler(m, data, "mixtur", 3));
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_fit_sampler(m, NULL, "mixture", 3));
        CHECK(!genai_model_fit_sampler(m, grey_data(g, 2), "mixture", 0) && m->extra[0]->count == 2, "two images: %s", genai_ctx_error(g));
        CHECK(!genai_model_fit_sampler(m, grey_data(g, 1), "mixture", 0) && !genai_model_latents(m, 4, 5, z) && fabs((double)z[0] - (double)z[3]) < 1e-3, "one image: %s", genai_ctx_error(g));
        d.sampler = "gauss"; fails(g, GENAI_ERROR_ARGUMENT, "gaussian", &d);
        d.sampler = "mixture";
        d.components = 2;
        m = genai_model_create(g, &d);
        {
            genai_fit_desc fit;
            memset(&fit, 0, sizeof fit);
            fit.steps = 2;
            CHECK(m && !m->extra[0] && !genai_model_fit(m, data, &fit) && m->extra[0] && m->extra[0]->count == 2, "fit: %s", genai_ctx_error(g));
        }
        d.sampler = NULL;
        d.components = 0;
        {
            genai_model_desc gan;
            memset(&gan, 0, sizeof gan);
            gan.width = gan.height = 4;
            gan.channels = 1;
            m = genai_model_create(g, &gan);
            CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_fit_sampler(m, data, "mixture", 3));
        }
        genai_ctx_destroy(g);
        CHECK(!live, "%ld blocks leaked", live);
    }
    disk_remove(NULL, "sampler");
}

int main(void) {
    test_mixture();
    test_samplers();
    test_exp_log();
    test_likelihoods();
    test_names();
    test_differences();
    test_posterior();
    test_free_bits();
    test_exact();
    test_importance();
    test_mmd();
    test_binarise();
    return CHECK_DONE("test_vae");
}
