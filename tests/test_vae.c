/* Autoencoders: likelihoods against their formulas, bounds and log-likelihoods against a linear model whose likelihood is
 * known exactly, who learns from what, samplers on latents, vector quantisation. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

static allocations heap;
static genai_ctx *make_ctx_of(uint64_t seed, int threads, genai_isa isa) {
    genai_ctx_desc d = quiet_desc(seed, threads, isa, &heap);
    d.io = disk_io();
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
    CHECK(!genai_model_nll(m, data, 50000, &value) && fabs(value - exact) < 0.02, "50000 samples: %g, exact %g", value, exact);
    CHECK(!genai_model_nll(m, data, 1, &value) && !genai_model_evaluate(m, data, NULL, &elbo) && fabs(value - elbo) < 0.3 && elbo > exact + 0.3,
          "one sample %g, ELBO %g, exact %g", value, elbo, exact);
    before = value;
    CHECK(!genai_model_nll(m, data, 1, &value) && value == before, "two measures differ");
    genai_ctx_destroy(g);
}

static void test_annealed(void) { /* the same p(x) without the encoder, and what holds for any decoder */
    enum { N = 9, D = 12 * 10 };
    static const char    *without[] = {"ae", "vqvae", "rbm", "cycle"};
    genai_ctx            *g = make_ctx(3);
    genai_model          *m = linear_model(g, 1, 0);
    genai_likelihood_desc d;
    genai_model_desc      small;
    float                 x[N * LINEAR_D], *image = (float *)malloc(N * D * sizeof *image), drawn, next;
    double                pixel[LINEAR_D], low[N], high[N], again[N], exact = 0, mean = 0, few = 0, gap[2] = {0, 0};
    memset(&d, 0, sizeof d);
    for (int i = 0; i < N * LINEAR_D; i++) x[i] = (float)((unsigned)i * 2654435761u >> 24) / 255.0f;
    for (int i = 0; i < N * D; i++) image[i] = (float)((unsigned)i * 2654435761u >> 24) / 255.0f;
    d.noise = 0.25f;
    d.steps = 200;
    CHECK(m && !genai_model_likelihood(m, N, x, NULL, &d, low, NULL), "%s", genai_ctx_error(g));
    for (int i = 0; i < N; i++) {
        for (int k = 0; k < LINEAR_D; k++) pixel[k] = (double)x[i * LINEAR_D + k];
        exact -= linear_nll(pixel) / N;
        mean += low[i] / N;
        CHECK(fabs(low[i] + linear_nll(pixel)) < 0.25, "image %d: %g, exact %g", i, low[i], -linear_nll(pixel));
    }
    CHECK(fabs(mean - exact) < 0.05, "log p(x) %g, exact %g", mean, exact);
    CHECK(!genai_model_likelihood(m, 1, x, NULL, &d, again, NULL) && again[0] == low[0], "image 0 depends on n");
    d.steps = 20; /* few, but the weights' mean is right then too */
    d.runs = 64;
    CHECK(!genai_model_likelihood(m, N, x, NULL, &d, again, NULL), "%s", genai_ctx_error(g));
    for (int i = 0; i < N; i++) few += again[i] / N;
    CHECK(fabs(few - exact) < 0.1, "by 20 temperatures log p(x) %g, exact %g", few, exact);
    memcpy(low, again, sizeof low);
    d.seed = 7;
    CHECK(!genai_model_likelihood(m, N, x, NULL, &d, again, NULL) && again[0] != low[0] && again[N - 1] != low[N - 1], "the seed tells nothing");
    d.noise = 0.05f;
    for (int k = 0; k < 2; k++) { /* few temperatures, many */
        d.steps = k ? 1000 : 20;
        d.runs = k ? 16 : 4;
        CHECK(!genai_model_likelihood(m, N, NULL, NULL, &d, low, high), "%s", genai_ctx_error(g));
        for (int i = 0; i < N; i++) gap[k] += (high[i] - low[i]) / N;
    }
    CHECK(gap[0] > 0.5 && gap[1] > -0.02 && gap[1] < 0.1, "from below and above: %g apart, then %g", gap[0], gap[1]);
    d.steps = 20;
    d.runs = 4;
    CHECK(!genai_model_likelihood(m, 1, x, NULL, &d, low, NULL) && !genai__sampler_make(m, 2) && !genai_model_likelihood(m, 1, x, NULL, &d, again, NULL) && low[0] == again[0],
          "a fitted sampler changes log p(x): %s", genai_ctx_error(g));
    genai_ctx_destroy(g);
    g = make_ctx(3); /* an arena with no room yet */
    m = linear_model(g, 1, 0);
    for (long failed = 1, n = 1; failed; n++) { /* no memory: nothing is lost, nothing stays on the tape */
        size_t mark = genai_tape_mark(g);
        heap.fail_at = heap.calls + n;
        genai_result result = genai_model_likelihood(m, 2, NULL, NULL, &d, low, high);
        failed = heap.calls >= heap.fail_at;
        heap.fail_at = 0;
        CHECK(result == (failed ? GENAI_ERROR_MEMORY : GENAI_OK) && genai_tape_mark(g) == mark, "allocation %ld: %s", n, genai_ctx_error(g));
        genai_ctx_clear(g);
    }
    /* A net with steps, batch norm and labels; threads change nothing, nor does a call change the model or the caller's draws. */
    for (int threads = 1; threads < 4; threads += 2) {
        genai_ctx_desc desc;
        genai_ctx     *h;
        memset(&desc, 0, sizeof desc);
        desc.threads = threads;
        h = genai_ctx_create(&desc);
        memset(&small, 0, sizeof small);
        small.width = 12;
        small.height = 10;
        small.channels = 1;
        small.classes = 3;
        small.condition = "concat";
        m = genai_model_create(h, &small);
        memset(&d, 0, sizeof d);
        d.steps = 60;
        d.runs = 3;
        d.leapfrogs = 4;
        int labels[N] = {2, 1, 0, 0, 1, 2, 2, 2, 1};
        CHECK(m && !genai_model_step(m, 3, image, labels, NULL), "%s", genai_ctx_error(h));
        genai_random_at(h, 5, 0);
        drawn = genai_value(genai_random_normal(h, 0, NULL));
        next = genai_value(genai_random_normal(h, 0, NULL));
        genai_random_at(h, 5, 0);
        CHECK(genai_value(genai_random_normal(h, 0, NULL)) == drawn, "draws");
        genai_tape_release(h, 0);
        int trainable = m->average[GENAI__GENERATOR]->trainable;
        CHECK(!genai_model_likelihood(m, N, image, labels, &d, threads > 1 ? again : low, NULL), "%s", genai_ctx_error(h));
        CHECK(genai_value(genai_random_normal(h, 0, NULL)) == next, "the caller's draws moved");
        CHECK(m->average[GENAI__GENERATOR]->trainable == trainable, "the generator learns: %d", !trainable);
        float kept = image[3];
        image[3] = NAN;
        CHECK_RESULT(h, GENAI_ERROR_NONFINITE, genai_model_likelihood(m, N, image, labels, &d, high, NULL));
        image[3] = kept;
        CHECK(!genai_model_likelihood(m, 4, NULL, NULL, &d, low + 4, high), "%s", genai_ctx_error(h)); /* classes in turn */
        CHECK_RESULT(h, GENAI_ERROR_ARGUMENT, genai_model_likelihood(m, N, image, NULL, &d, high, NULL));
        CHECK_RESULT(h, GENAI_ERROR_ARGUMENT, genai_model_likelihood(m, N, image, labels, &d, low, high));
        labels[1] = 3;
        CHECK_RESULT(h, GENAI_ERROR_ARGUMENT, genai_model_likelihood(m, 4, NULL, labels, &d, high, NULL));
        d.runs = 65;
        CHECK_RESULT(h, GENAI_ERROR_ARGUMENT, genai_model_likelihood(m, N, image, labels, &d, low, NULL));
        d.runs = 1;
        d.noise = -1;
        CHECK_RESULT(h, GENAI_ERROR_ARGUMENT, genai_model_likelihood(m, N, image, labels, &d, low, NULL));
        genai_ctx_destroy(h);
    }
    for (int i = 0; i < 4; i++) CHECK(again[i] == low[i], "image %d: %g by one thread, %g by three", i, low[i], again[i]);
    for (int i = 0; i < 4; i++) {
        memset(&small, 0, sizeof small);
        small.preset = without[i];
        small.width = small.height = 8;
        m = genai_model_create(g, &small);
        CHECK(m != NULL, "%s", genai_ctx_error(g));
        CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_likelihood(m, N, x, NULL, NULL, low, NULL));
    }
    free(image);
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
    d.importance = 0;
    d.free_bits = 1; fails(g, GENAI_ERROR_ARGUMENT, "free_bits", &d);
    d.divergence = NULL; d.beta = GENAI_ZERO; fails(g, GENAI_ERROR_ARGUMENT, "free_bits", &d);
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
    for (i = 0; i < 3; i++) { /* what a preset sets can be taken back, in a file too */
        d = small_desc("iwae");
        if (i) CHECK(!genai_model_set(g, &d, "binarise", "0"), "%s", genai_ctx_error(g));
        m = i < 2 ? genai_model_create(g, &d) : genai_model_load(g, "grey");
        CHECK(m && genai_model_resolved(m).binarise == !i && genai_model_resolved(m).importance == 50 && !genai_model_save(m, "grey"), "%d: %s", i, genai_ctx_error(g));
    }
    disk_remove(NULL, "grey");
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
    genai__normal(g, g->desc.seed, 0, 0, 0, 2 * N, u);
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
            long before = heap.calls;
            CHECK(!genai_model_fit_sampler(m, data, kinds[kind], 3) && !strcmp(genai_model_resolved(m).sampler, kinds[kind]), "%s: %s", kinds[kind], genai_ctx_error(g));
            CHECK(!genai_model_latents(m, 4, 64, z) && !genai_model_latents(m, 4, 5, w) && !memcmp(z, w, sizeof plain), "%s: latents depend on n", kinds[kind]);
            if (!run) memcpy(first[kind], z, sizeof plain);
            CHECK(!memcmp(first[kind], z, sizeof plain), "%s: other latents with other threads or kernels", kinds[kind]);
            CHECK(!memcmp(plain, z, sizeof plain) == !kind, "%s: %s latents", kinds[kind], kind ? "the prior's" : "not the prior's");
            CHECK(!genai_model_sample(m, 4, 5, NULL, out) && !genai_model_decode(m, 5, z, NULL, again) && !memcmp(out, again, sizeof out), "%s: sample doesn't use them", kinds[kind]);
            before = heap.calls;
            CHECK(!genai_model_sample(m, 4, 5, NULL, out) && heap.calls == before, "%ld allocations in a second sample", heap.calls - before);
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
                genai_tensor *at, *log_var;
                size_t        mark = genai_tape_mark(g);
                genai_dataset_batch(data, 0, 0, 70, x, NULL);
                genai_recording(g, 0);
                CHECK(genai__posterior(m, m->net[GENAI__ENCODER], genai__model_input(m, 70, x), GENAI_EVAL, &at, &log_var), "%s", genai_ctx_error(g));
                const float *noise = genai__fixed_latents(m, GENAI__STREAM_EVALUATE, 0, 0, 70);
                for (i = 0; i < 210; i++) codes[i] = at->data[i] + expf(log_var->data[i] / 2) * noise[i];
                genai_recording(g, 1);
                genai_tape_release(g, mark);
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
        CHECK(!genai_model_fit_sampler(m, grey_data(g, 2), "mixture", 2) && m->extra[0]->count == 2, "two images: %s", genai_ctx_error(g));
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
            genai__sampler_make(m, 0); /* as if the run had been ended before */
            CHECK(!genai_model_fit(m, data, &fit) && m->steps == 2 && m->extra[0], "a run that is done fits what is missing: %s", genai_ctx_error(g));
            m->desc.components = 50;
            CHECK(!genai_model_fit_sampler(m, data, "mixture", 0) && m->extra[0]->count == 70 / 4, "%d components of 70 images with 3 latents", (int)m->extra[0]->count);
            genai_model_step(m, 64, images, NULL, NULL);
            CHECK(!m->extra[0], "a step leaves the sampler of the encoder before it");
        }
        {
            genai_model_desc large;
            memset(&large, 0, sizeof large);
            large.preset = "vaegan";
            large.width = large.height = 8;
            large.latent = GENAI__SAMPLER_MOST + 1;
            genai_model *many = genai_model_create(g, &large);
            CHECK(many && !strcmp(genai_model_resolved(many).sampler, "prior"), "many latents: %s", genai_ctx_error(g));
            genai_model_destroy(many);
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
        CHECK(!heap.live, "%ld blocks leaked", heap.live);
    }
    disk_remove(NULL, "sampler");
}

/* --- who learns: adversarial autoencoder, and the vaegan's margin --- */
static double worst_difference(const float *a, const float *b, size_t n, double scale) { /* of a/scale and b, relative to the largest */
    double largest = 1e-12, worst = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        if (fabs((double)b[i]) > largest) largest = fabs((double)b[i]);
        if (fabs((double)a[i] / scale - (double)b[i]) > worst) worst = fabs((double)a[i] / scale - (double)b[i]);
    }
    return worst / largest;
}
static void zero_gradients(genai_net *net) { memset(net->gradients, 0, net->size * sizeof(float)); }

static void test_aae_routing(void) { /* each update's gradient is that of a graph built for it alone */
    genai_ctx       *g = make_ctx(9);
    genai_model_desc d = small_desc("aae");
    genai_model     *a, *b;
    genai_net       *enc, *dec, *dis;
    genai_tensor    *x, *z, *y, *prior, *loss;
    float           *first, *second;
    d.encoder = "dense 8 | elu | dense $Z";
    d.discriminator = "dense 6 | elu | dense 1";
    a = genai_model_create(g, &d);
    b = genai_model_create(g, &d);
    CHECK(a && b, "%s", genai_ctx_error(g));
    if (!a || !b) return;
    enc = b->net[GENAI__ENCODER];
    dec = b->net[GENAI__DECODER];
    dis = b->net[GENAI__DISCRIMINATOR];
    fill_images();
    CHECK(!genai_model_step(a, 5, images, NULL, NULL), "%s", genai_ctx_error(g));
    genai_random_at(g, GENAI__STREAM_STEP, 0);
    x = genai__model_input(b, 5, images);
    y = genai__images(b, genai_net_forward(dec, genai_net_forward(enc, x, GENAI_TRAIN), GENAI_TRAIN));
    CHECK(!genai_backward(genai_mse_loss(y, x)), "%s", genai_ctx_error(g));
    genai__optimizer_state(a->optimizer[GENAI__ENCODER], 0, &first, &second); /* after one step (1 - beta1) times the gradient */
    CHECK(worst_difference(first, enc->gradients, enc->size, 0.5) < 1e-5, "reconstruction, encoder: %g", worst_difference(first, enc->gradients, enc->size, 0.5));
    CHECK(worst_difference(a->net[GENAI__DECODER]->gradients, dec->gradients, dec->size, 1) < 1e-5, "reconstruction, decoder");
    genai_optimizer_step(b->optimizer[GENAI__ENCODER]);
    CHECK(!memcmp(dec->values, a->net[GENAI__DECODER]->values, dec->size * sizeof(float)), "the second phase changed the decoder");

    z = genai_net_forward(enc, x, GENAI_TRAIN);
    prior = genai_random_normal(g, 2, z->dim);
    loss = genai_bce_loss(genai_net_forward(dis, prior, GENAI_TRAIN), NULL, 1);
    loss = genai_add(loss, genai_bce_loss(genai_net_forward(dis, genai_detach(z), GENAI_TRAIN), NULL, 0));
    CHECK(!genai_backward(loss), "%s", genai_ctx_error(g));
    CHECK(worst_difference(a->net[GENAI__DISCRIMINATOR]->gradients, dis->gradients, dis->size, 1) < 1e-5, "discriminator");
    genai_optimizer_step(b->optimizer[GENAI__DISCRIMINATOR]);
    CHECK(!memcmp(dis->values, a->net[GENAI__DISCRIMINATOR]->values, dis->size * sizeof(float)), "the discriminator learns from more");
    zero_gradients(enc);
    CHECK(!genai_backward(genai_bce_loss(genai_net_forward(dis, z, GENAI_TRAIN), NULL, 1)), "%s", genai_ctx_error(g));
    CHECK(worst_difference(a->net[GENAI__ENCODER]->gradients, enc->gradients, enc->size, 1) < 1e-5, "regularisation, encoder");
    genai__optimizer_state(a->optimizer[GENAI__GENERATOR], 0, &first, &second);
    CHECK(worst_difference(first, enc->gradients, enc->size, 0.5) < 1e-5, "regularisation, its optimiser");
    genai_ctx_destroy(g);
}

/* What steadies a discriminator steadies that of latents too. */
static void test_aae_steady(void) {
    static const char *const settings[][3] = {{"loss", "nonsaturating", ""}, {"r1", "3", ""}, {"penalty", "10", ""}, {"smoothing", "0.1", ""}, {"clip", "0.1", ""}, {"spectral_norm", "1", ""},
                                              {"dropout", "0.4", ""}, {"loss", "wasserstein", "clip"}};
    genai_ctx *g = make_ctx(9);
    float      plain[4], w[3];
    int        s, i;
    fill_images();
    for (s = 0; s < 8; s++) {
        genai_model_desc d = small_desc("aae");
        genai_model     *m;
        genai_net       *dis;
        double           norm = 0;
        d.encoder = "dense 8 | elu | dense $Z";
        if (s != 6) d.discriminator = "dense 1";
        d.r1_every = s == 1;
        CHECK(!genai_model_set(g, &d, settings[s][0], settings[s][1]) && (!settings[s][2][0] || !genai_model_set(g, &d, settings[s][2], "0.1")), "%s", genai_ctx_error(g));
        m = genai_model_create(g, &d);
        CHECK(m != NULL, "%s: %s", settings[s][0], genai_ctx_error(g));
        if (!m) { genai_ctx_clear(g); continue; }
        dis = m->net[GENAI__DISCRIMINATOR];
        if (s == 6) CHECK(dis->layers == 7 && strstr(d.discriminator ? "" : m->desc.discriminator, "dense 256 | lrelu 0.2 | dropout 0.4 | dense 256 | lrelu 0.2 | dropout 0.4 | dense 1"), "%s", m->desc.discriminator);
        memcpy(w, dis->layer[0].parameter[0]->data, sizeof w);
        for (i = 0; i < 3; i++) norm += (double)w[i] * (double)w[i];
        CHECK(!genai_model_step(m, 5, images, NULL, NULL) && !m->skipped, "%s: %s", settings[s][0], genai_ctx_error(g));
        for (i = 0; i < 4 && s != 6; i++) {
            double slope = (double)(i < 3 ? dis->layer[0].parameter[0]->grad->data[i] : dis->layer[0].parameter[1]->grad->data[0]), more = 0;
            if (!s) plain[i] = (float)slope;
            if (s == 1 && i < 3) more = 3 * (double)w[i];
            if (s == 2 && i < 3) more = 20 * (sqrt(norm) - 1) * (double)w[i] / sqrt(norm);
            if (s == 3 && i == 3) more = 0.1; /* of each real logit, in their mean */
            if (s < 3 || (s == 3 && i == 3)) CHECK(fabs(slope - (double)plain[i] - more) < 1e-4 * (1 + fabs(more)), "%s: gradient %d is %g, not %g", settings[s][0], i, slope, (double)plain[i] + more);
            if ((s == 4 || s == 7) && i < 3) CHECK(fabsf(dis->layer[0].parameter[0]->data[i]) <= 0.1f, "%s: weight %d is %g", settings[s][0], i, (double)dis->layer[0].parameter[0]->data[i]);
        }
        CHECK(dis->layer[0].spectral == (s == 5), "%s: spectral norm", settings[s][0]);
    }
    genai_ctx_destroy(g);
}

static void test_balance(void) { /* truth table, then a model in each state */
    static const float table[][5] = { /* real, fake (margin 0.3: 0.38 to 0.98), discriminator, decoder */
        {0.7f, 0.7f, 1, 1, 0}, {0.2f, 0.7f, 0, 1, 0}, {0.7f, 0.2f, 0, 1, 0}, {0.2f, 0.2f, 0, 1, 0}, {1.5f, 0.7f, 1, 0, 0}, {0.7f, 1.5f, 1, 0, 0},
        {1.5f, 1.5f, 1, 0, 0}, {0.2f, 1.5f, 1, 1, 0}, {1.5f, 0.2f, 1, 1, 0}};
    genai_ctx       *g = make_ctx(10);
    genai_model_desc d = small_desc("vaegan");
    size_t           i;
    int              judge, paint, state;
    for (i = 0; i < sizeof table / sizeof *table; i++) {
        genai__balance(table[i][0], table[i][1], 0.3f, &judge, &paint);
        CHECK(judge == (int)table[i][2] && paint == (int)table[i][3], "real %g, fake %g: discriminator %d, decoder %d", (double)table[i][0], (double)table[i][1], judge, paint);
    }
    d.likelihood = "mse";
    d.discriminator = "dense 1";
    d.beta1 = 0.5f;
    for (i = 0; i < 2; i++) { /* a margin that never rests changes nothing, with vae_steps and without */
        genai_model *a, *b;
        int          step;
        d.vae_steps = (int)i;
        d.margin = 0;
        a = genai_model_create(g, &d);
        d.margin = 50;
        b = genai_model_create(g, &d);
        fill_images();
        for (step = 0; step < 3; step++) CHECK(!genai_model_step(a, 4, images, NULL, NULL) && !genai_model_step(b, 4, images, NULL, NULL), "%s", genai_ctx_error(g));
        for (step = GENAI__DISCRIMINATOR; step <= GENAI__DECODER; step++)
            CHECK(!memcmp(a->net[step]->values, b->net[step]->values, a->net[step]->size * sizeof(float)), "margin 50 changes the %s", genai__role_names[step]);
    }
    d.vae_steps = 0;
    for (state = 0; state < 3; state++) { /* the decoder rests: log 2 is above 0.685; the discriminator rests: it knows all; both should, so none does */
        genai_model *m;
        genai_losses losses;
        float        before[GENAI__ROLES][400];
        int          role, same[GENAI__ROLES];
        d.margin = state == 0 ? 0.005f : 0.2f;
        m = genai_model_create(g, &d);
        genai_model_step(m, 4, images, NULL, NULL); /* momentum, which must not move what rests */
        for (i = 0; i < m->net[GENAI__DISCRIMINATOR]->size; i++) m->net[GENAI__DISCRIMINATOR]->values[i] = state == 1 ? 0.5f : 0;
        m->net[GENAI__DISCRIMINATOR]->layer[0].parameter[1]->data[0] = state == 1 ? -4 : state == 2 ? 5 : 0;
        if (state == 1)
            for (i = 0; i < 16; i++) m->net[GENAI__DECODER]->layer[2].parameter[1]->data[i] = -1;
        for (i = 0; i < 64; i++) images[i] = 0.95f;
        for (role = 0; role < GENAI__ROLES; role++)
            if (m->net[role]) memcpy(before[role], m->net[role]->values, m->net[role]->size * sizeof(float));
        CHECK(!genai_model_step(m, 4, images, NULL, &losses) && !losses.skipped && losses.value[2] > 0, "%s", genai_ctx_error(g));
        for (role = 0; role < GENAI__ROLES; role++) same[role] = m->net[role] && !memcmp(before[role], m->net[role]->values, m->net[role]->size * sizeof(float));
        CHECK(!same[GENAI__ENCODER] && same[GENAI__DECODER] == (state == 0) && same[GENAI__DISCRIMINATOR] == (state == 1), "state %d: encoder rests %d, decoder %d, discriminator %d",
              state, same[GENAI__ENCODER], same[GENAI__DECODER], same[GENAI__DISCRIMINATOR]);
        if (state == 0) CHECK(fabs((double)losses.value[2] - 3 * log(2.0)) < 1e-5, "losses of the discriminator: %g", (double)losses.value[2]);
    }
    genai_ctx_destroy(g);
}

/* --- vector quantisation --- */
static genai_model_desc vq_desc(void) { /* a grid of 2x2 vectors of 3 values, 5 codes */
    genai_model_desc d = small_desc("vqvae");
    d.latent = 0;
    d.codes = 5;
    d.code_size = 3;
    d.latent = 12;
    d.encoder = "conv 4 k2 s2 | elu | conv 3 k1";
    d.decoder = "dense 8 | elu | dense $D";
    d.prior = "dense 16 | relu | dense 5";
    return d;
}
static void vq_codes(genai_model *m) { /* a codebook in full use */
    float *codes = m->extra[GENAI__CODES]->data;
    int    i;
    for (i = 0; i < 15; i++) codes[i] = ((float)((i * 7) % 11) * 0.1f - 0.5f) * (float)(1 + i / 3 % 3); /* short and long ones */
    for (i = 0; i < 5; i++) m->extra[GENAI__CODE_COUNTS]->data[i] = 10;
    for (i = 0; i < 15; i++) m->extra[GENAI__CODE_SUMS]->data[i] = 10 * codes[i];
}

static void test_vq_routing(void) { /* T23 */
    genai_ctx       *g = make_ctx(11);
    genai_model_desc d = vq_desc();
    genai_model     *a, *b, *m;
    genai_net       *enc, *dec;
    genai_tensor    *x, *v, *e, *y, *de, *loss;
    int             *code, dim[2] = {4, 12}, wide[2] = {16, 3}, i, k;
    float            count[5], sum[15];
    size_t           at;
    d.beta = 0.7f;
    a = genai_model_create(g, &d);
    b = genai_model_create(g, &d);
    CHECK(a && b, "%s", genai_ctx_error(g));
    if (!a || !b) return;
    vq_codes(a);
    vq_codes(b);
    fill_images();
    CHECK(!genai_model_step(a, 4, images, NULL, NULL), "%s", genai_ctx_error(g));
    enc = b->net[GENAI__ENCODER];
    dec = b->net[GENAI__DECODER];
    x = genai__model_input(b, 4, images);
    v = genai_reshape(genai_net_forward(enc, x, GENAI_TRAIN), 2, wide);
    code = genai__codes_nearest(b, v);
    e = genai_reshape(genai__codes_of(b, v, code), 2, dim);
    e->requires_grad = 1;
    y = genai__images(b, genai_net_forward(dec, e, GENAI_TRAIN));
    loss = genai_mse_loss(y, x);
    CHECK(!genai_grad(loss, 1, &e, &de, 0) && !genai_backward(loss), "%s", genai_ctx_error(g));
    CHECK(worst_difference(a->net[GENAI__DECODER]->gradients, dec->gradients, dec->size, 1) < 1e-5, "decoder");
    v = genai_reshape(v, 2, dim);
    loss = genai_add(genai_sum(genai_mul(v, genai_detach(de)), 0), genai_scale(genai_mse_loss(v, genai_detach(e)), 0.7f, 0)); /* straight through, and commitment */
    CHECK(!genai_backward(loss), "%s", genai_ctx_error(g));
    CHECK(worst_difference(a->net[GENAI__ENCODER]->gradients, enc->gradients, enc->size, 1) < 1e-5, "encoder: %g",
          worst_difference(a->net[GENAI__ENCODER]->gradients, enc->gradients, enc->size, 1));
    for (k = 0; k < 5; k++) count[k] = 10 * GENAI__CODE_DECAY; /* running means by hand */
    for (i = 0; i < 15; i++) sum[i] = b->extra[GENAI__CODE_SUMS]->data[i] * GENAI__CODE_DECAY;
    for (i = 0; i < 16; i++) {
        count[code[i]] += 1 - GENAI__CODE_DECAY;
        for (k = 0; k < 3; k++) sum[3 * code[i] + k] += (1 - GENAI__CODE_DECAY) * v->data[3 * i + k];
    }
    for (i = 0; i < 15; i++)
        CHECK(fabs((double)a->extra[GENAI__CODES]->data[i] - (double)(sum[i] / count[i / 3])) < 1e-5, "code value %d is %g, by hand %g", i, (double)a->extra[GENAI__CODES]->data[i],
              (double)(sum[i] / count[i / 3]));
    genai_tape_release(g, 0);

    for (at = 2; at < enc->size; at += 13) { /* differences of the commitment, alone: the decoder gives zeros whatever it gets */
        double value[2], numeric;
        float  gradient = 0;
        for (i = 0; i < 3; i++) {
            genai_losses l;
            m = genai_model_create(g, &d);
            vq_codes(m);
            memset(m->net[GENAI__DECODER]->values, 0, m->net[GENAI__DECODER]->size * sizeof(float));
            m->net[GENAI__ENCODER]->values[at] += i == 0 ? 2e-3f : i == 1 ? -2e-3f : 0;
            genai_model_step(m, 4, images, NULL, &l);
            if (i < 2) value[i] = (double)l.value[1];
            else gradient = m->net[GENAI__ENCODER]->gradients[at];
            genai_model_destroy(m);
        }
        numeric = 0.7 * (value[0] - value[1]) / 4e-3;
        CHECK(fabs(numeric - (double)gradient) < 0.02 * (fabs(numeric) + 0.05), "weight %d: gradient %g, by differences %g", (int)at, (double)gradient, numeric);
    }
    genai_ctx_destroy(g);
}

static void test_vq_codes(void) {
    genai_ctx       *g = make_ctx(12);
    genai_model_desc d = vq_desc();
    genai_model     *m = genai_model_create(g, &d);
    genai_tensor    *v;
    genai_losses     losses;
    genai_dataset   *data = grey_data(g, 6);
    genai_fit_desc   fit;
    float            z[3 * 12], out[3 * 16], again[3 * 16], old[15], nan_image[16], zero = 0, context[29], other[29], grid[12], before[3];
    int              i, k, r, found, code[16], *nearest, dim[2] = {16, 3};
    fill_images();
    CHECK(m && m->desc.latent == 12 && !genai_model_sample(m, 1, 2, NULL, out), "before any training: %s", genai_ctx_error(g));
    vq_codes(m);
    m->extra[GENAI__CODE_COUNTS]->data[3] = 0.1f; /* mean use 16/5 */
    memcpy(old, m->extra[GENAI__CODES]->data, sizeof old);
    v = genai_random_normal(g, 2, dim);
    genai__codes_revive(m, v);
    for (found = r = 0; r < 16; r++) found += !memcmp(v->data + 3 * r, m->extra[GENAI__CODES]->data + 9, 3 * sizeof(float));
    CHECK(found == 1 && fabs((double)m->extra[GENAI__CODE_COUNTS]->data[3] - 3.2) < 1e-6, "a dead code is no vector of the batch");
    CHECK(fabs((double)m->extra[GENAI__CODE_SUMS]->data[9] - 3.2 * (double)m->extra[GENAI__CODES]->data[9]) < 1e-5, "its sum");
    memcpy(old + 9, m->extra[GENAI__CODES]->data + 9, 3 * sizeof(float));
    CHECK(!memcmp(old, m->extra[GENAI__CODES]->data, sizeof old), "codes in use were revived");
    vq_codes(m);
    nearest = genai__codes_nearest(m, v);
    for (i = 0; i < 16; i++) { /* by hand */
        double best = 1e9;
        for (k = r = 0; k < 5; k++) {
            double q = 0;
            int    j;
            for (j = 0; j < 3; j++) q += pow((double)v->data[3 * i + j] - (double)m->extra[GENAI__CODES]->data[3 * k + j], 2);
            if (q < best) { best = q; r = k; }
        }
        CHECK(nearest[i] == r && !memcmp(genai__codes_of(m, v, nearest)->data + 3 * i, m->extra[GENAI__CODES]->data + 3 * r, 3 * sizeof(float)), "vector %d: code %d, not %d", i, nearest[i], r);
    }
    for (i = 0; i < 16; i++) code[i] = i % 4;
    CHECK(fabs((double)genai__codes_learn(m, v, code) - 4) < 1e-5, "perplexity of four codes used equally");
    for (i = 0; i < 16; i++) code[i] = 2;
    CHECK(fabs((double)genai__codes_learn(m, v, code) - 1) < 1e-5, "perplexity of one code");
    genai_tape_release(g, 0);

    vq_codes(m);
    memcpy(old, m->extra[GENAI__CODES]->data, sizeof old);
    for (i = 0; i < 16; i++) nan_image[i] = zero / zero;
    CHECK(!genai_model_step(m, 1, nan_image, NULL, &losses) && losses.skipped && !memcmp(old, m->extra[GENAI__CODES]->data, sizeof old), "a skipped step changed the codes");
    CHECK(!genai_model_encode(m, 3, images, NULL, z) && !genai_model_decode(m, 3, z, NULL, out) && !genai_model_reconstruct(m, 3, images, NULL, again) && !memcmp(out, again, sizeof out),
          "%s", genai_ctx_error(g));
    for (r = 0; r < 12; r++) {
        for (found = k = 0; k < 5; k++) found += !memcmp(z + 3 * r, old + 3 * k, 3 * sizeof(float));
        CHECK(found, "an encoded vector is no code");
    }
    CHECK(!genai_model_refine(m, 3, images, NULL, NULL, z), "%s", genai_ctx_error(g));
    for (r = 0; r < 12; r++) {
        for (found = k = 0; k < 5; k++) found += !memcmp(z + 3 * r, old + 3 * k, 3 * sizeof(float));
        CHECK(found, "a refined vector is no code");
    }
    for (i = 0; i < 12; i++) grid[i] = (float)i; /* a cell's context: causal, and by hand */
    before[0] = 0 + 3 + 6; before[1] = 1 + 4 + 7; before[2] = 2 + 5 + 8;
    genai__code_context(m, grid, before, 3, context);
    CHECK(context[0] == 6 && context[3] == 0 && context[9] == 0 + 0 && context[12] == 3 && context[15] == 0 && context[24] == 3 && context[26] == 5 && context[27] == 0.5f && context[28] == 0.5f,
          "context of the last cell");
    for (i = 0; i < 4; i++) {
        for (k = 0; k < 12; k++) grid[k] = k < 3 * i ? 1 : 2;
        genai__code_context(m, grid, before, i, context);
        for (k = 0; k < 12; k++) grid[k] = k < 3 * i ? 1 : 3;
        genai__code_context(m, grid, before, i, other);
        CHECK(!memcmp(context, other, sizeof context), "the context of cell %d sees what comes later", i);
    }
    d.lr = 3e-3f;
    m = genai_model_create(g, &d);
    memset(m->net[GENAI__PRIOR]->values, 0, m->net[GENAI__PRIOR]->size * sizeof(float));
    CHECK(!genai_model_step(m, 6, images, NULL, &losses) && fabs((double)losses.value[2] - 4 * log(5.0)) < 1e-4, "a prior that knows nothing: %g nats, not 4 log 5", (double)losses.value[2]);
    m = genai_model_create(g, &d);
    memset(&fit, 0, sizeof fit); /* six images are learnt by heart, codes and prior */
    fit.steps = 1500;
    CHECK(!genai_model_fit(m, data, &fit) && !genai_model_step(m, 6, images, NULL, &losses), "%s", genai_ctx_error(g));
    CHECK((double)losses.value[2] < log(6.0) + 0.7 && losses.value[2] > 0 && losses.value[3] > 2, "prior %g nats, of 4 log 5 at first; %g codes in use", (double)losses.value[2],
          (double)losses.value[3]);
    { /* drawn grids are those of the data, mostly */
        float data_z[6 * 12], drawn[50 * 12];
        genai_dataset_batch(data, -1, 0, 6, images, NULL);
        CHECK(!genai_model_encode(m, 6, images, NULL, data_z) && !genai_model_latents(m, 5, 50, drawn), "%s", genai_ctx_error(g));
        for (found = r = i = 0; i < 50; i++) {
            for (k = 0; k < 6 && memcmp(drawn + 12 * i, data_z + 12 * k, 12 * sizeof(float)) != 0; k++) {}
            found += k < 6;
            r |= (1 << k) & 63;
        }
        CHECK(found >= 30, "%d of 50 drawn grids are of the data", found);
        CHECK(r & (r - 1), "all are the same");
    }
    CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_fit_sampler(m, data, "mixture", 2));
    d.encoder = "conv 4 k2 s2"; fails(g, GENAI_ERROR_SHAPE, "2x2x4", &d);
    d.encoder = NULL; d.latent = 0; d.decoder = NULL; d.prior = "dense 4"; fails(g, GENAI_ERROR_SHAPE, "dense 5", &d);
    d.prior = NULL; d.beta = GENAI_ZERO; fails(g, GENAI_ERROR_ARGUMENT, "commitment", &d);
    d.beta = 0; d.condition = "concat"; d.classes = 3; fails(g, GENAI_ERROR_UNSUPPORTED, "can't be conditional", &d);
    d = vq_desc(); d.likelihood = "bernoulli"; d.decoder = "dense 8 | elu | dense $D | tanh"; fails(g, GENAI_ERROR_ARGUMENT, "tanh", &d);
    genai_ctx_destroy(g);
}

static void test_vq_sizes(void) {
    static const int size[][2] = {{1, 1}, {5, 7}, {11, 10}, {12, 33}, {28, 28}, {64, 40}};
    genai_ctx *g = make_ctx(13);
    float     *x = (float *)calloc(2 * 64 * 64 * 4, sizeof *x);
    int        s;
    for (s = 0; s < 6; s++) {
        genai_model_desc d;
        genai_model     *m;
        memset(&d, 0, sizeof d);
        d.preset = "vqvae";
        d.width = size[s][0];
        d.height = size[s][1];
        d.channels = 1 + s % 4;
        if (s % 2) d.likelihood = s % 4 == 1 ? "gaussian_learned" : "bernoulli";
        m = genai_model_create(g, &d);
        CHECK(m && !genai_model_step(m, 2, x, NULL, NULL) && !genai_model_sample(m, 1, 2, NULL, x), "%dx%d: %s", size[s][0], size[s][1], genai_ctx_error(g));
        genai_model_destroy(m);
        genai_ctx_clear(g);
    }
    free(x);
    genai_ctx_destroy(g);
}

/* --- every allocation fails once: an error, no leak, no crash --- */
static genai_result whole_life(genai_ctx *g, const genai_model_desc *desc) {
    genai_dataset   *data = grey_data(g, 6);
    genai_model     *m;
    genai_fit_desc   fit;
    genai_result     result;
    float            out[2 * 16];
    memset(&fit, 0, sizeof fit);
    fit.steps = 2;
    m = data ? genai_model_create(g, desc) : NULL;
    result = m ? genai_model_fit(m, data, &fit) : GENAI_ERROR_MEMORY;
    if (!result) result = genai_model_save_checkpoint(m, "life");
    genai_model_destroy(m);
    if (result) return result;
    m = genai_model_load(g, "life");
    return m ? genai_model_sample(m, 1, 2, NULL, out) : GENAI_ERROR_MEMORY;
}
static void test_no_memory(void) {
    int f;
    for (f = 0; f < 4; f++) {
        genai_model_desc d = f == 3 ? vq_desc() : small_desc(f == 2 ? "aae" : "vae");
        if (f == 2) { d.encoder = "dense $Z"; d.discriminator = "dense 1"; }
        if (f == 1) d.importance = 2;
        if (f < 3) { d.sampler = "mixture"; d.components = 2; }
        for (heap.fail_at = 1; heap.fail_at < 3000; heap.fail_at++) {
            genai_ctx   *g;
            genai_result result = GENAI_ERROR_MEMORY;
            heap.calls = 0;
            g = make_ctx(12);
            if (g) result = whole_life(g, &d);
            genai_ctx_destroy(g);
            if (heap.live) CHECK(0, "family %d: allocation %ld failed: %ld blocks leaked", f, heap.fail_at, heap.live);
            heap.live = 0;
            if (heap.calls < heap.fail_at) {
                CHECK(result == GENAI_OK, "family %d: result %d", f, (int)result);
                break;
            }
            if (result != GENAI_ERROR_MEMORY) CHECK(0, "family %d: allocation %ld failed: result %d", f, heap.fail_at, (int)result);
        }
        CHECK(heap.fail_at > 50 && heap.fail_at < 3000, "family %d: %ld allocations", f, heap.fail_at);
    }
    heap.fail_at = 0;
    disk_remove(NULL, "life");
}

/* --- labels: each autoencoder's default nets take them, and what it makes depends on them --- */
static void test_labels(void) {
    static const char *const presets[] = {"vae", "vaegan", "wae", "aae", "ae", "vae"};
    genai_ctx *g = make_ctx(14);
    int        p, i, labels[5] = {0, 1, 2, 1, 0}, turned[5] = {1, 2, 0, 2, 1};
    float      z[5 * 4], a[5 * 64], b[5 * 64], x[5 * 64];
    for (i = 0; i < 5 * 64; i++) x[i] = (float)((unsigned)(i * 2654435761u) >> 24) / 255.0f;
    for (p = 0; p < 6; p++) {
        genai_model_desc d;
        genai_model     *m, *other;
        genai_dataset   *data;
        unsigned char    bytes[5 * 64];
        double           value, again;
        memset(&d, 0, sizeof d);
        d.preset = presets[p];
        d.width = d.height = 8;
        d.channels = 1;
        d.latent = 4;
        d.classes = 3;
        if (p == 5) d.importance = 3;
        m = genai_model_create(g, &d);
        other = genai_model_create(g, &d);
        CHECK(m && other, "%s: %s", presets[p], genai_ctx_error(g));
        genai_ctx_clear(g);
        if (!m || !other) continue;
        CHECK(!strncmp(m->desc.encoder, "label | ", 8) && !strncmp(m->desc.decoder, "label | ", 8), "%s: default texts without labels", presets[p]);
        CHECK(!genai_model_step(m, 5, x, labels, NULL) && !genai_model_step(other, 5, x, turned, NULL), "%s: %s", presets[p], genai_ctx_error(g));
        CHECK(memcmp(m->net[GENAI__ENCODER]->values, other->net[GENAI__ENCODER]->values, m->net[GENAI__ENCODER]->size * sizeof(float)), "%s learns nothing from labels", presets[p]);
        CHECK(!genai_model_encode(m, 5, x, labels, z) && !genai_model_encode(m, 5, x, turned, a) && memcmp(z, a, sizeof z), "%s: encode: %s", presets[p], genai_ctx_error(g));
        CHECK(!genai_model_decode(m, 5, z, labels, a) && !genai_model_decode(m, 5, z, turned, b) && memcmp(a, b, sizeof a), "%s: decode: %s", presets[p], genai_ctx_error(g));
        CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_encode(m, 5, x, NULL, z));
        for (i = 0; i < 5 * 64; i++) bytes[i] = (unsigned char)(255 * x[i]);
        data = genai_dataset_memory(g, 5, 8, 8, 1, bytes, labels, NULL);
        CHECK(!genai_model_evaluate(m, data, NULL, &value) && !genai_model_fit_sampler(m, data, "gaussian", 0), "%s: %s", presets[p], genai_ctx_error(g));
        if (!p) {
            CHECK(!genai_model_nll(m, data, 4, &value), "%s", genai_ctx_error(g));
            data = genai_dataset_memory(g, 5, 8, 8, 1, bytes, turned, NULL);
            CHECK(!genai_model_nll(m, data, 4, &again) && again != value, "log-likelihoods don't depend on labels");
        }
    }
    { /* k samples of an image have its label */
        genai_model_desc d;
        genai_model     *m;
        genai_tensor    *t, *mean, *log_var, *noise, *all, *one;
        int              dim[3] = {2, 5, 4}, k;
        memset(&d, 0, sizeof d);
        d.preset = "vae";
        d.width = d.height = 8;
        d.channels = 1;
        d.latent = 4;
        d.classes = 3;
        d.decoder = "label | dense $D";
        m = genai_model_create(g, &d);
        if (!m) {
            genai_ctx_destroy(g);
            return;
        }
        m->labels = labels;
        t = genai__model_input(m, 5, x);
        CHECK(genai__posterior(m, m->net[GENAI__ENCODER], t, GENAI_TRAIN, &mean, &log_var), "%s", genai_ctx_error(g));
        noise = genai_random_normal(g, 3, dim);
        all = genai__log_weights(m, t, mean, log_var, noise, 1, GENAI_TRAIN);
        for (k = 0; k < 2; k++) {
            one = genai__log_weights(m, t, mean, log_var, genai_slice(noise, 0, k, 1), 1, GENAI_TRAIN);
            CHECK(all && one && !memcmp(one->data, all->data + 5 * k, 5 * sizeof(float)), "sample %d", k);
        }
    }
    genai_ctx_destroy(g);
}

int main(void) {
    test_no_memory();
    test_labels();
    test_aae_routing();
    test_aae_steady();
    test_balance();
    test_vq_routing();
    test_vq_codes();
    test_vq_sizes();
    test_mixture();
    test_samplers();
    test_exp_log();
    test_likelihoods();
    test_names();
    test_differences();
    test_posterior();
    test_free_bits();
    test_exact();
    test_annealed();
    test_importance();
    test_mmd();
    test_binarise();
    return CHECK_DONE("test_vae");
}
