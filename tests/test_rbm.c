/* Boltzmann machines: gradients, updates, free energies and log Z against formulas and sums over all states in double, stacks whose bound
 * doesn't drop, what every family can do. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

static allocations heap;
static genai_ctx *make_ctx(uint64_t seed) {
    genai_ctx_desc d = quiet_desc(seed, 2, GENAI_ISA_BEST, &heap);
    d.io = disk_io();
    return genai_ctx_create(&d);
}

/* A small model, its parameters drawn from +-size. */
static genai_model_desc small_desc(const char *preset, int width, int height, int latent) {
    genai_model_desc d;
    memset(&d, 0, sizeof d);
    d.preset = preset;
    d.width = width;
    d.height = height;
    d.channels = 1;
    d.latent = latent;
    d.persistent = (int)GENAI_ZERO;
    return d;
}
static double noise(unsigned i, unsigned k) { return (double)((i * 2654435761u + k * 40503u * 97u) * 2246822519u >> 8 & 0xffff) / 65535 * 2 - 1; }
static void set_parameters(genai_model *m, double size) {
    for (int l = 0; l < genai__stack_count(m); l++) {
        genai__rbm r = genai__rbm_of(m, l);
        for (int i = 0; i < r.v * r.h; i++) r.down_weight->data[i] = (float)(size * noise((unsigned)i, 1 + (unsigned)l));
        for (int i = 0; i < r.v; i++) r.b->data[i] = (float)(size * noise((unsigned)i, 11 + (unsigned)l));
        for (int i = 0; i < r.h; i++) r.c->data[i] = (float)(size * noise((unsigned)i, 21 + (unsigned)l));
        for (int i = 0; i < r.v; i++) r.mean[i] = (float)(0.5 + 0.3 * noise((unsigned)i, 31));
        genai__rbm_tie(&r);
    }
}

/* --- the same in double --- */
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double energy(const genai__rbm *r, const double *v) { /* free energy */
    double f = 0, s = r->square > 0 ? (double)r->square : 1;
    for (int i = 0; i < r->v; i++) f += r->square > 0 ? (v[i] - (double)r->b->data[i]) * (v[i] - (double)r->b->data[i]) / (2 * s) : -v[i] * (double)r->b->data[i];
    for (int j = 0; j < r->h; j++) {
        double a = (double)r->c->data[j];
        for (int i = 0; i < r->v; i++) a += v[i] * (double)r->down_weight->data[j * r->v + i] / s;
        f -= softplus(a);
    }
    return f;
}
static double log_z(const genai__rbm *r) { /* Bernoulli units, by the visible side */
    double most = -1e300, sum = 0, v[20];
    for (int pass = 0; pass < 2; pass++)
        for (int s = 0; s < 1 << r->v; s++) {
            for (int i = 0; i < r->v; i++) v[i] = s >> i & 1;
            double e = -energy(r, v);
            if (pass) sum += exp(e - most);
            else if (e > most) most = e;
        }
    return most + log(sum);
}

/* --- T33: CD-k on 3x2 units falls on the exact gradient as k grows, and CD-1 does not --- */
static void test_gradient(void) {
    enum { N = 20000 };
    static float images[N * 3];
    genai_ctx   *g = make_ctx(1);
    double       apart[2], data[3 * 2 + 5], model[3 * 2 + 5], z, v[3];
    static const int patterns[4] = {1, 1, 6, 3};
    for (int i = 0; i < N * 3; i++) images[i] = (float)(patterns[i / 3 % 4] >> i % 3 & 1);
    for (int plain = 0; plain < 2; plain++)
        for (int far = 0; far < 2; far++) {
            genai_model_desc d = small_desc("rbm", 3, 1, 2);
            float            value[4];
            genai_tensor    *made;
            int              dim[2] = {N, 3};
            d.cd_steps = far ? 50 : 1;
            d.centred = plain ? (int)GENAI_ZERO : 1;
            genai_model *m = genai_model_create(g, &d);
            set_parameters(m, 4);
            genai__rbm r = genai__rbm_of(m, 0);
            genai_recording(g, 0);
            genai_random_at(g, GENAI__STREAM_STEP, 0);
            CHECK(!genai__rbm_gradients(&r, genai_tensor_of(g, 2, dim, images), 1, value, &made), "%s", genai_ctx_error(g));
            z = log_z(&r);
            memset(data, 0, sizeof data);
            memset(model, 0, sizeof model);
            for (int s = 0; s < 8 + 4; s++) { /* all states of the model, then the four patterns */
                double *to = s < 8 ? model : data, p;
                for (int i = 0; i < 3; i++) v[i] = (s < 8 ? s : patterns[s - 8]) >> i & 1;
                p = s < 8 ? exp(-energy(&r, v) - z) : 0.25;
                for (int i = 0; i < 3; i++) to[6 + i] += p * v[i];
                for (int j = 0; j < 2; j++) {
                    double a = (double)r.c->data[j];
                    for (int i = 0; i < 3; i++) a += v[i] * (double)r.down_weight->data[j * 3 + i];
                    to[9 + j] += p * sigmoid(a);
                    for (int i = 0; i < 3; i++) to[j * 3 + i] += p * sigmoid(a) * v[i];
                }
            }
            double want[11], b[3], c[2];
            for (int i = 0; i < 11; i++) want[i] = model[i] - data[i]; /* of -log p */
            if (!plain) { /* Melchior et al. 2016, eq. 29-31 */
                for (int j = 0; j < 2; j++)
                    for (int i = 0; i < 3; i++) want[j * 3 + i] -= want[6 + i] * (double)r.mean[3 + j] + want[9 + j] * (double)r.mean[i];
                for (int i = 0; i < 3; i++) b[i] = want[6 + i] - want[i] * (double)r.mean[3] - want[3 + i] * (double)r.mean[4];
                for (int j = 0; j < 2; j++) c[j] = want[9 + j] - want[j * 3] * (double)r.mean[0] - want[j * 3 + 1] * (double)r.mean[1] - want[j * 3 + 2] * (double)r.mean[2];
                memcpy(want + 6, b, sizeof b);
                memcpy(want + 9, c, sizeof c);
            }
            apart[far] = 0;
            for (int i = 0; i < 11; i++) {
                double have = (double)(i < 6 ? r.down_weight->grad->data[i] : i < 9 ? r.b->grad->data[i - 6] : r.c->grad->data[i - 9]);
                if (fabs(have - want[i]) > apart[far]) apart[far] = fabs(have - want[i]);
            }
            genai_recording(g, 1);
            genai_tape_release(g, 0);
            genai_model_destroy(m);
            if (far) CHECK(apart[1] < 0.015 && apart[0] > 0.05, "off by %g with k = 1, by %g with k = 50", apart[0], apart[1]);
        }
    genai_ctx_destroy(g);
}

/* --- T34: one step of 7 images and 10 chains, and a second one with momentum and decay, against the formula in double --- */
static void test_step(void) {
    enum { V = 6, H = 4, N = 7, C = 10 };
    genai_ctx       *g = make_ctx(3);
    genai_model_desc d = small_desc("rbm", 3, 2, H);
    double           w[H][V], b[V], c[H], speed_w[H][V], speed_b[V], speed_c[H], mean_v[V], mean_h[H], chain[C][H];
    float            x[N * V], worst = 0;
    int              dim[2];
    d.persistent = C;
    d.lr = 0.1f;
    d.momentum = 0.5f;
    d.weight_decay = 0.01f;
    d.sparsity = 0.2f;
    d.sparsity_cost = 0.5f;
    genai_model *m = genai_model_create(g, &d);
    set_parameters(m, 1);
    genai__rbm r = genai__rbm_of(m, 0);
    memset(speed_w, 0, sizeof speed_w);
    memset(speed_b, 0, sizeof speed_b);
    memset(speed_c, 0, sizeof speed_c);
    for (int i = 0; i < V; i++) { b[i] = (double)r.b->data[i]; mean_v[i] = (double)r.mean[i]; }
    for (int j = 0; j < H; j++) { c[j] = (double)r.c->data[j]; mean_h[j] = (double)r.mean[V + j]; for (int i = 0; i < V; i++) w[j][i] = (double)r.down_weight->data[j * V + i]; }
    for (int step = 0; step < 2; step++) {
        genai_tensor *u[3];
        double        p[N][H], v[C][V], q[C][H], gw[H][V], gb[V], gc[H];
        for (int i = 0; i < N * V; i++) x[i] = (float)(noise((unsigned)i, 50 + (unsigned)step) > 0);
        genai_random_at(g, GENAI__STREAM_STEP, (uint64_t)step);
        dim[0] = N; dim[1] = H; u[0] = step ? NULL : genai_random_uniform(g, 2, dim);
        dim[0] = C; dim[1] = V; u[1] = genai_random_uniform(g, 2, dim);
        dim[1] = H; u[2] = genai_random_uniform(g, 2, dim);
        for (int n = 0; n < N; n++)
            for (int j = 0; j < H; j++) {
                double a = c[j];
                for (int i = 0; i < V; i++) a += w[j][i] * (double)x[n * V + i];
                p[n][j] = sigmoid(a);
            }
        for (int n = 0; n < C && !step; n++)
            for (int j = 0; j < H; j++) chain[n][j] = p[n % N][j] > (double)u[0]->data[n % N * H + j];
        for (int n = 0; n < C; n++) {
            for (int i = 0; i < V; i++) {
                double a = b[i];
                for (int j = 0; j < H; j++) a += w[j][i] * chain[n][j];
                v[n][i] = sigmoid(a) > (double)u[1]->data[n * V + i];
            }
            for (int j = 0; j < H; j++) {
                double a = c[j];
                for (int i = 0; i < V; i++) a += w[j][i] * v[n][i];
                q[n][j] = sigmoid(a);
                chain[n][j] = q[n][j] > (double)u[2]->data[n * H + j];
            }
        }
        for (int i = 0; i < V; i++) { double s = 0; for (int n = 0; n < N; n++) s += (double)x[n * V + i] / N; mean_v[i] = 0.99 * mean_v[i] + 0.01 * s; }
        for (int j = 0; j < H; j++) { double s = 0; for (int n = 0; n < N; n++) s += p[n][j] / N; mean_h[j] = 0.99 * mean_h[j] + 0.01 * s; }
        memset(gw, 0, sizeof gw);
        for (int i = 0; i < V; i++) { gb[i] = 0; for (int n = 0; n < N; n++) gb[i] -= (double)x[n * V + i] / N; for (int n = 0; n < C; n++) gb[i] += v[n][i] / C; }
        for (int j = 0; j < H; j++) { gc[j] = 0; for (int n = 0; n < N; n++) gc[j] -= p[n][j] / N; for (int n = 0; n < C; n++) gc[j] += q[n][j] / C; }
        for (int j = 0; j < H; j++)
            for (int i = 0; i < V; i++) {
                for (int n = 0; n < N; n++) gw[j][i] -= ((double)x[n * V + i] - mean_v[i]) * (p[n][j] - mean_h[j]) / N;
                for (int n = 0; n < C; n++) gw[j][i] += (v[n][i] - mean_v[i]) * (q[n][j] - mean_h[j]) / C;
            }
        for (int i = 0; i < V; i++) for (int j = 0; j < H; j++) { gb[i] -= gw[j][i] * mean_h[j]; gc[j] -= gw[j][i] * mean_v[i]; }
        for (int j = 0; j < H; j++) gc[j] += 0.5 * (mean_h[j] - 0.2);
        for (int i = 0; i < V; i++) { speed_b[i] = 0.5 * speed_b[i] + gb[i]; b[i] -= 0.1 * speed_b[i]; }
        for (int j = 0; j < H; j++) {
            speed_c[j] = 0.5 * speed_c[j] + gc[j];
            c[j] -= 0.1 * speed_c[j];
            for (int i = 0; i < V; i++) { speed_w[j][i] = 0.5 * speed_w[j][i] + gw[j][i] + 0.01 * w[j][i]; w[j][i] -= 0.1 * speed_w[j][i]; }
        }
        CHECK(!genai_model_step(m, N, x, NULL, NULL), "%s", genai_ctx_error(g));
        genai_tape_release(g, 0);
    }
    genai__stack_follow(m);
    for (int j = 0; j < H; j++)
        for (int i = 0; i < V; i++) {
            float e = fabsf(r.down_weight->data[j * V + i] - (float)w[j][i]);
            if (e > worst) worst = e;
            CHECK(r.up_weight->data[i * H + j] == r.down_weight->data[j * V + i], "the encoder's weights follow");
        }
    for (int i = 0; i < V; i++) if (fabsf(r.b->data[i] - (float)b[i]) > worst) worst = fabsf(r.b->data[i] - (float)b[i]);
    for (int j = 0; j < H; j++) if (fabsf(r.c->data[j] - (float)c[j]) > worst) worst = fabsf(r.c->data[j] - (float)c[j]);
    CHECK(worst < 1e-6f, "parameters are off by %g", (double)worst);
    genai_ctx_destroy(g);
}

/* --- T32: log Z --- */
static void test_partition(void) {
    genai_ctx           *g = make_ctx(5);
    genai_partition_desc p;
    genai_partition      z;
    int                  inside = 0, cases = 0;
    memset(&p, 0, sizeof p);
    p.steps = 1450;
    p.burn = 300;
    for (int shape = 0; shape < 3; shape++)
        for (int size = 0; size < 3; size++) {
            int              v = shape == 2 ? 9 : 12, h = shape == 1 ? 12 : 7;
            genai_model_desc d = small_desc("rbm", v, 1, h);
            genai_model     *m = genai_model_create(g, &d);
            genai__rbm       r = genai__rbm_of(m, 0);
            set_parameters(m, size);
            double want = log_z(&r);
            p.estimate = 0;
            p.seed = (uint64_t)size;
            CHECK(!genai_model_log_partition(m, &p, &z) && z.exact && fabs(z.log_z - want) < 2e-4, "by enumeration %.9g, not %.9g", z.log_z, want);
            p.estimate = 1;
            CHECK(!genai_model_log_partition(m, &p, &z) && !z.exact, "%s", genai_ctx_error(g));
            cases += 2;
            inside += want >= z.low - 1e-4 && want <= z.high + 1e-4;
            inside += want >= z.reverse_low - 1e-4 && want <= z.reverse_high + 1e-4;
            CHECK(z.high - z.low < 0.5 && z.reverse_high - z.reverse_low < 0.8, "3 standard errors are %g and %g wide", z.high - z.low, z.reverse_high - z.reverse_low);
            if (size) continue;
            want = (v + h) * log(2.0); /* W = 0, biases 0 */
            CHECK(fabs(z.log_z - want) < 0.05 && fabs(z.reverse - want) < 0.05, "W = 0: %g and %g, not %g", z.log_z, z.reverse, want);
            for (int i = 0; i < v; i++) { r.b->data[i] = (float)noise((unsigned)i, 9); r.mean[i] = (float)((sigmoid((double)r.b->data[i]) - 0.002) / 0.996); }
            for (want = h * log(2.0), d.width = 0; d.width < v; d.width++) want += softplus((double)r.b->data[d.width]);
            CHECK(!genai_model_log_partition(m, &p, &z) && fabs(z.log_z - want) < 1e-4 && fabs(z.reverse - want) < 1e-4 && z.high - z.low < 1e-4,
                  "W = 0 and the base itself: %.9g and %.9g, not %.9g", z.log_z, z.reverse, want);
        }
    CHECK(inside >= cases - 1, "%d of %d intervals of 3 standard errors hold the truth", inside, cases); /* all but one in 370 */
    genai_ctx_destroy(g);
}

/* Gaussian units: log Z and densities against a sum over hidden states in double; T38: the energy of data falls, and what is made
 * has the data's deviation. */
static void test_gaussian(void) {
    genai_ctx           *g = make_ctx(6);
    genai_model_desc     d = small_desc("rbm", 5, 1, 4);
    genai_partition_desc p;
    genai_partition      z;
    double               sum = 0, density = 0, first = 0, last = 0;
    float                x[64 * 5];
    d.likelihood = "gaussian";
    d.sigma = 0.4f;
    memset(&p, 0, sizeof p);
    genai_model *m = genai_model_create(g, &d);
    genai__rbm   r = genai__rbm_of(m, 0);
    set_parameters(m, 0.6);
    for (int s = 0; s < 16; s++) {
        double e = 0;
        for (int j = 0; j < 4; j++) e += (double)r.c->data[j] * (s >> j & 1);
        for (int i = 0; i < 5; i++) {
            double mean = (double)r.b->data[i], b = mean;
            for (int j = 0; j < 4; j++) mean += (s >> j & 1) * (double)r.down_weight->data[j * 5 + i];
            e += (mean * mean - b * b) / (2 * (double)r.square) + 0.5 * log(6.283185307179586 * (double)r.square);
        }
        sum += exp(e);
    }
    CHECK(!genai_model_log_partition(m, &p, &z) && z.exact && fabs(z.log_z - log(sum)) < 1e-5, "%.9g, not %.9g", z.log_z, log(sum));
    p.estimate = 1;
    p.steps = 2900;
    CHECK(!genai_model_log_partition(m, &p, &z) && log(sum) >= z.low && log(sum) <= z.high && log(sum) >= z.reverse_low && log(sum) <= z.reverse_high,
          "AIS %g (%g to %g) and %g (%g to %g), not %g", z.log_z, z.low, z.high, z.reverse, z.reverse_low, z.reverse_high, log(sum));
    /* log Z is that of the free energy: exp(-F)/Z adds up to 1 over a grid of the first two units of a model of two */
    d.width = 2;
    genai_model *two = genai_model_create(g, &d);
    set_parameters(two, 0.5);
    p.estimate = 0;
    CHECK(!genai_model_log_partition(two, &p, &z), "%s", genai_ctx_error(g));
    for (int i = 0; i < 100 * 100; i++) {
        double f;
        x[0] = (float)(i % 100) * 0.08f - 4;
        x[1] = (float)(i / 100) * 0.08f - 4;
        genai_model_free_energy(two, 1, x, &f);
        density += exp(-f - z.log_z) * 0.0064;
    }
    CHECK(fabs(density - 1) < 1e-4, "the density adds up to %g", density);
    /* T38 */
    d.width = 5;
    d.sigma = 0.1f;
    m = genai_model_create(g, &d);
    genai_losses losses;
    for (int step = 0; step < 600; step++) {
        for (int i = 0; i < 64; i++)
            for (int k = 0; k < 5; k++) x[i * 5 + k] = (float)((i % 2 ? k < 2 : k > 2) ? 0.8 : 0.2) + 0.1f * (float)noise((unsigned)(step * 64 + i), 60 + (unsigned)k);
        CHECK(!genai_model_step(m, 64, x, NULL, &losses) && !losses.skipped, "%s", genai_ctx_error(g));
        if (step < 50) first += (double)losses.value[0] / 50;
        if (step >= 550) last += (double)losses.value[0] / 50;
    }
    CHECK(last < first - 5, "the free energy of data went from %g to %g", first, last);
    float made[64 * 5];
    CHECK(!genai_model_sample(m, 1, 64, NULL, made), "%s", genai_ctx_error(g));
    int apart = 0;
    for (int i = 0; i < 64; i++) apart += (made[i * 5] > 0.5f) != (made[i * 5 + 4] > 0.5f);
    CHECK(apart >= 60, "%d of 64 samples are like the data", apart);
    genai_ctx_destroy(g);
}

/* --- T37: v.W up to 1000 --- */
static void test_free_energy(void) {
    genai_ctx       *g = make_ctx(7);
    genai_model_desc d = small_desc("rbm", 10, 1, 8);
    genai_model     *m = genai_model_create(g, &d);
    float            x[10];
    double           v[10], f;
    for (double size = 0.1; size < 500; size *= 10) {
        set_parameters(m, size);
        genai__rbm r = genai__rbm_of(m, 0);
        for (int i = 0; i < 80 && size > 50; i++) r.down_weight->data[i] = i < 40 ? 100 : -100; /* v.W = +-1000 */
        genai__rbm_tie(&r);
        for (int i = 0; i < 10; i++) v[i] = x[i] = 1;
        CHECK(!genai_model_free_energy(m, 1, x, &f) && fabs(f - energy(&r, v)) <= 1e-6 * (1 + fabs(energy(&r, v))), "F is %.9g, not %.9g", f, energy(&r, v));
    }
    genai_ctx_destroy(g);
}

/* --- T35, T36: stacks --- */
static void toy(float *x, int n, int shift) { /* rows or columns of 3x3 pixels, with some noise */
    for (int i = 0; i < n; i++) {
        int kind = (int)(2.99 * fabs(noise((unsigned)(i + shift), 3))), across = noise((unsigned)(i + shift), 4) > 0;
        for (int k = 0; k < 9; k++) x[i * 9 + k] = (float)(((across ? k / 3 : k % 3) == kind) != (noise((unsigned)(i + shift), 70 + (unsigned)k) > 0.95));
    }
}
static double bound(genai_model *m, const float *x, int n) { /* the mean, of many draws of each image */
    genai_partition z;
    double          sum = 0;
    CHECK(!genai_model_log_partition(m, NULL, &z), "no log Z");
    genai__quiet q = genai__quiet_begin(m->ctx);
    for (int s = 0; s < 64; s++) genai__stack_nll(m, genai__model_input(m, n, x), (size_t)(s * n), &sum);
    genai__quiet_end(m->ctx, q);
    return -sum / (64 * n) - z.log_z;
}
static void test_stack(void) {
    enum { N = 60, EACH = 1500 };
    genai_ctx       *g = make_ctx(8);
    genai_model_desc d = small_desc("dbn", 3, 3, 9), one = small_desc("rbm", 3, 3, 8);
    float            x[N * 9], big = 0, moved = 0, up[72];
    double           of_one, at = 0, greedy = 0, tuned, f;
    d.layers = "8";
    d.layer_steps = EACH;
    d.cd_steps = one.cd_steps = 5;
    d.lr = one.lr = 0.1f;
    genai_model *m = genai_model_create(g, &d), *r = genai_model_create(g, &one);
    for (int step = 0; step < 3 * EACH; step++) {
        genai_losses losses;
        toy(x, N, step * N);
        if (step == EACH) {
            genai__stack_begin(m, 1);
            toy(x, N, 0);
            genai__rbm below = genai__rbm_of(m, 0), only = genai__rbm_of(r, 0);
            memcpy(only.down_weight->data, below.down_weight->data, 72 * sizeof(float));
            memcpy(only.b->data, below.b->data, 9 * sizeof(float));
            memcpy(only.c->data, below.c->data, 8 * sizeof(float));
            genai__rbm_tie(&only);
            genai_partition z;
            genai_model_log_partition(r, NULL, &z);
            for (of_one = 0, tuned = 0; tuned < N; tuned++) {
                genai_model_free_energy(r, 1, x + 9 * (int)tuned, &f);
                of_one -= (f + z.log_z) / N;
            }
            at = bound(m, x, N);
            CHECK(fabs(at - of_one) < 2e-4, "the bound is %.9g where stacking begins, log p(x) was %.9g", at, of_one);
            toy(x, N, step * N);
        }
        if (step == 2 * EACH) {
            toy(x, N, 0);
            greedy = bound(m, x, N);
            memcpy(up, genai__rbm_of(m, 0).up_weight->data, sizeof up);
            CHECK(greedy > at - 0.02, "the bound fell from %g to %g", at, greedy);
            toy(x, N, step * N);
        }
        CHECK(!genai_model_step(m, N, x, NULL, &losses) && !losses.skipped, "step %d: %s", step, genai_ctx_error(g));
    }
    toy(x, N, 0);
    tuned = bound(m, x, N);
    CHECK(tuned > greedy - 0.1 && tuned > -5.2, "the bound went from %g by greedy learning to %g by up-down", greedy, tuned); /* -6.24: independent pixels */
    genai__stack_follow(m);
    genai__rbm low = genai__rbm_of(m, 0), top = genai__rbm_of(m, 1);
    for (int i = 0; i < 72; i++) {
        float e = fabsf(low.up_weight->data[i] - low.down_weight->data[i % 8 * 9 + i / 8]);
        big = e > big ? e : big;
        e = fabsf(low.up_weight->data[i] - up[i]);
        moved = e > moved ? e : moved;
        CHECK(top.up_weight->data[i] == top.down_weight->data[i % 9 * 8 + i / 9], "the top's weights are tied");
    }
    CHECK(big > 1e-3f, "recognition and generative weights of the lowest layer differ by %g only", (double)big);
    CHECK(moved > 1e-3f, "recognition weights have learned %g only", (double)moved);
    /* what can be done with it: samples are rows or columns, hidden pixels are found */
    float made[N * 9], mask[9] = {1, 1, 0, 1, 1, 0, 1, 1, 0};
    int   like = 0, right = 0;
    CHECK(!genai_model_sample(m, 1, N, NULL, made), "%s", genai_ctx_error(g));
    for (int i = 0; i < N; i++) {
        int best = 9;
        for (int kind = 0; kind < 6; kind++) {
            int off = 0;
            for (int k = 0; k < 9; k++) off += (made[i * 9 + k] > 0.5f) != ((kind < 3 ? k / 3 : k % 3) == kind % 3);
            best = off < best ? off : best;
        }
        like += best < 2;
    }
    CHECK(like > N * 8 / 10, "%d of %d samples are a row or a column", like, N);
    genai_refine_desc hide;
    memset(&hide, 0, sizeof hide);
    hide.mask = mask;
    for (int i = 0; i < 6 * 9; i++) x[i] = (float)((i / 9 < 3 ? i % 9 / 3 : i % 3) == i / 9 % 3);
    genai_model *both[2];
    both[0] = m;
    both[1] = r;
    for (int k = 0; k < 2; k++) {
        CHECK(!genai_model_inpaint(both[k], 6, x, NULL, &hide, made), "%s", genai_ctx_error(g));
        for (int i = 0; i < 6 * 9; i++) {
            if (mask[i % 9] > 0) CHECK(made[i] == x[i], "a known pixel changed");
            else right += (made[i] > 0.5f) == (x[i] > 0.5f);
        }
    }
    CHECK(right >= 28, "%d of 36 hidden pixels are right", right);
    genai_ctx_destroy(g);
    CHECK(!heap.live, "%ld blocks leaked", heap.live);
}

/* --- a stack as a classifier --- */
static void test_classifier(void) {
    enum { N = 64 };
    genai_ctx       *g = make_ctx(9);
    genai_model_desc d = small_desc("dbn", 3, 3, 12);
    float            x[N * 9], h[N * 12];
    int              labels[N], dim[4] = {N, 3, 3, 1}, right = 0;
    d.layers = "10";
    genai_model *m = genai_model_create(g, &d);
    set_parameters(m, 0.5);
    genai_net   *net = genai_model_classifier(m, 2);
    genai_tensor *y, *features;
    toy(x, N, 0);
    genai_model_encode(m, N, x, NULL, h);
    genai_net_forward_features(net, genai_tensor_of(g, 4, dim, x), GENAI_EVAL, 3, &features);
    CHECK(features && !memcmp(features->data, h, sizeof h), "its features are the encoder's");
    genai_optimizer_desc o;
    memset(&o, 0, sizeof o);
    o.lr = 0.02f;
    genai_optimizer *adam = genai_optimizer_create(g, &o);
    genai_optimizer_add(adam, net, 1);
    for (int step = 0; step < 400; step++) {
        genai_tape_release(g, 0);
        toy(x, N, step * N);
        for (int i = 0; i < N; i++) labels[i] = noise((unsigned)(step * N + i), 4) > 0;
        y = genai_net_forward(net, genai_tensor_of(g, 4, dim, x), GENAI_TRAIN);
        right = 0;
        for (int i = 0; i < N; i++) right += (y->data[2 * i + 1] > y->data[2 * i]) == labels[i];
        genai_optimizer_zero(adam);
        genai_backward(genai_cross_entropy_loss(y, labels));
        genai_optimizer_step(adam);
    }
    CHECK(right > N * 85 / 100, "%d of %d are classified rightly", right, N);
    genai_net_destroy(net);
    genai_ctx_destroy(g);
    CHECK(!heap.live, "%ld blocks leaked", heap.live);
}

/* --- what holds of every family: no allocations, resume bit for bit through all phases, samples of their own --- */
static void test_family(void) {
    enum { N = 12 };
    float x[N * 9], a[5 * 9], b[9];
    for (int k = 0; k < 3; k++) {
        genai_ctx       *g = make_ctx(10);
        genai_model_desc d = small_desc(k ? "dbn" : "rbm", 3, 3, 11);
        if (k) d.layers = "7 9";
        if (k) d.layer_steps = 2;
        d.persistent = 5;
        d.momentum = 0.9f;
        d.rule = k == 2 ? GENAI_RULE_ADAM : GENAI_RULE_DEFAULT;
        d.gibbs = 10;
        genai_model *m = genai_model_create(g, &d), *again;
        for (int step = 0; step < 10; step++) {
            toy(x, N, step);
            CHECK(!genai_model_step(m, N, x, NULL, NULL), "%s", genai_ctx_error(g));
            CHECK(!genai_model_save_checkpoint(m, step == 9 ? "whole" : "part"), "%s", genai_ctx_error(g));
            if (step == 9) break;
            again = genai_model_load(g, "part");
            CHECK(again != NULL, "%s", genai_ctx_error(g));
            genai_model_destroy(m);
            m = again;
        }
        genai_model *straight = genai_model_create(g, &d);
        for (int step = 0; step < 10; step++) {
            long before = heap.calls;
            toy(x, N, step);
            genai_model_step(straight, N, x, NULL, NULL);
            if (step % 2) CHECK(heap.calls == before, "family %d, step %d: %ld allocations", k, step, heap.calls - before);
        }
        genai_model_save_checkpoint(straight, "straight");
        memory_file *p = disk_find("whole"), *q = disk_find("straight");
        CHECK(p && q && p->n == q->n && !memcmp(p->p, q->p, p->n), "family %d: a checkpoint after each step changes the end", k);
        CHECK(!genai_model_sample(m, 3, 5, NULL, a) && !genai_model_sample(m, 3, 1, NULL, b) && !memcmp(a, b, sizeof b), "a sample depends on its number");
        long before = heap.calls;
        CHECK(!genai_model_sample(m, 3, 5, NULL, a) && heap.calls == before, "%ld allocations in a second sample", heap.calls - before);
        genai_ctx_destroy(g);
        CHECK(!heap.live, "%ld blocks leaked", heap.live);
    }
}

static void test_sparsity(void) {
    genai_ctx *g = make_ctx(12);
    float      x[60 * 9];
    double     mean[2];
    for (int k = 0; k < 2; k++) {
        genai_model_desc d = small_desc("rbm", 3, 3, 10);
        d.sparsity = k ? 0.1f : 0;
        d.sparsity_cost = 1;
        d.lr = 0.1f;
        genai_model *m = genai_model_create(g, &d);
        for (int step = 0; step < 500; step++) {
            toy(x, 60, step * 60);
            genai_model_step(m, 60, x, NULL, NULL);
        }
        mean[k] = 0;
        for (int j = 0; j < 10; j++) mean[k] += (double)genai__rbm_of(m, 0).mean[9 + j] / 10;
    }
    CHECK(mean[0] > 0.3 && mean[1] < 0.2, "units are on in %g of the images, with a target of 0.1 in %g", mean[0], mean[1]);
    genai_ctx_destroy(g);
}

static void test_refused(void) {
    static const struct { const char *key, *value, *word; } wrong[] = {
        {"likelihood", "mse", "bernoulli"}, {"layers", "12 x", "x"}, {"cd_steps", "0", "cd_steps"}, {"classes", "3", "conditional"}, {"beta", "1", "beta"},
        {"layers", "1 1 1 1 1 1 1 1 1", "at most 7"}, {"sparsity", "2", "sparsity"}};
    genai_ctx *g = make_ctx(13);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        genai_model_desc d = small_desc("dbn", 3, 3, 4);
        genai_model     *m = genai_model_set(g, &d, wrong[i].key, wrong[i].value) ? NULL : genai_model_create(g, &d);
        CHECK(!m && strstr(genai_ctx_error(g), wrong[i].word), "%s %s: %s", wrong[i].key, wrong[i].value, genai_ctx_error(g));
        genai_ctx_clear(g);
    }
    genai_model_desc     d = small_desc("rbm", 3, 3, 4);
    genai_model         *m = genai_model_create(g, &d), *vae;
    genai_partition_desc p;
    genai_partition      z;
    float                x[9] = {0};
    double               f;
    memset(&p, 0, sizeof p);
    p.runs = 1;
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_log_partition(m, &p, &z));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_model_free_energy(m, 0, x, &f));
    x[4] = (float)INFINITY;
    genai_losses losses;
    CHECK(!genai_model_step(m, 1, x, NULL, &losses) && losses.skipped, "an infinite pixel is left out");
    d.preset = "vae_mlp";
    d.persistent = 0;
    vae = genai_model_create(g, &d);
    CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_free_energy(vae, 1, x, &f));
    CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_log_partition(vae, NULL, &z));
    CHECK_RESULT(g, GENAI_ERROR_UNSUPPORTED, genai_model_classifier(vae, 2));
    genai_ctx_destroy(g);
}

int main(void) {
    test_gradient();
    test_step();
    test_partition();
    test_gaussian();
    test_free_energy();
    test_stack();
    test_classifier();
    test_family();
    test_sparsity();
    test_refused();
    disk_clear();
    return CHECK_DONE("rbm");
}
