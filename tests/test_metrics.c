/* Measures of images: values from NumPy, SciPy and scikit-learn (tests/fixtures/make_measures.py), closed forms, sets worked out
 * by hand; the judge: what it learns, its file, its bits; wrong input, allocation failures. Run from the repository's root. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

static allocations heap;
static int         warnings;
static void counted_log(void *user, genai_log_level level, const char *text) {
    (void)user;
    (void)text;
    warnings += level == GENAI_LOG_WARNING;
}

static genai_ctx *context(int threads, genai_isa isa) {
    genai_ctx_desc d = quiet_desc(5, threads, isa, &heap);
    d.log = counted_log;
    return genai_ctx_create(&d);
}

static genai_measures measure(genai_ctx *ctx, int dim, int n, const float *real, int m, const float *made, int k, int k_density) {
    genai_measure_desc d;
    genai_measures     out;
    memset(&d, 0, sizeof d);
    memset(&out, 0, sizeof out);
    d.dim = dim;
    d.real_count = n;
    d.made_count = m;
    d.real = real;
    d.made = made;
    d.k = k;
    d.k_density = k_density;
    CHECK(genai_measure(ctx, &d, &out) == GENAI_OK, "%s", genai_ctx_error(ctx));
    return out;
}

static int near(double x, double want, double tolerance) { return fabs(x - want) <= tolerance * (fabs(want) + 1e-3); }

static void fill(float *x, size_t n, uint64_t step) { /* normal numbers, the same ones everywhere */
    genai_ctx *ctx = context(1, GENAI_ISA_SCALAR);
    genai__normal(ctx, ctx->desc.seed, 0, step, 0, n, x);
    genai_ctx_destroy(ctx);
}

/* --- values from elsewhere --- */
static void test_fixtures(genai_ctx *ctx) {
    FILE *f = fopen("tests/fixtures/measures.txt", "r");
    char  word[64];
    int   n, m, dim, k, k_density, i, blocks = 0;
    CHECK(f != NULL, "tests/fixtures/measures.txt can't be opened (run from the repository's root)");
    while (f && fscanf(f, "%63s", word) == 1) {
        genai_measures got;
        float         *x;
        double         want[8];
        CHECK(fscanf(f, "%63s %d %d %d %d %d", word, &n, &m, &dim, &k, &k_density) == 6, "block %d is damaged", blocks);
        x = (float *)malloc((size_t)(n + m) * (size_t)dim * sizeof *x);
        for (i = 0; i < (n + m) * dim; i++)
            if (fscanf(f, "%f", &x[i]) != 1) break;
        CHECK(i == (n + m) * dim && fscanf(f, "%lf %lf %lf %lf %lf %lf %lf %lf", &want[0], &want[1], &want[2], &want[3], &want[4], &want[5], &want[6], &want[7]) == 8,
              "%s is cut", word);
        warnings = 0;
        got = measure(ctx, dim, n, x, m, x + n * dim, k, k_density);
        CHECK(near(got.frechet, want[0], 1e-7), "%s: Frechet distance %.12g, SciPy has %.12g", word, got.frechet, want[0]);
        CHECK(near(got.precision, want[1], 1e-9), "%s: precision %.9g, not %.9g", word, got.precision, want[1]);
        CHECK(near(got.recall, want[2], 1e-9), "%s: recall %.9g, not %.9g", word, got.recall, want[2]);
        CHECK(near(got.density, want[3], 1e-9), "%s: density %.9g, not %.9g", word, got.density, want[3]);
        CHECK(near(got.coverage, want[4], 1e-9), "%s: coverage %.9g, not %.9g", word, got.coverage, want[4]);
        CHECK(near(got.kernel, want[5], 1e-9), "%s: kernel distance %.12g, scikit-learn has %.12g", word, got.kernel, want[5]);
        CHECK(near(got.kl_gaussian, want[6], 1e-9), "%s: KL of normal distributions %.12g, not %.12g", word, got.kl_gaussian, want[6]);
        CHECK(near(got.kl_nearest, want[7], 1e-6), "%s: KL by neighbours %.12g, SciPy has %.12g", word, got.kl_nearest, want[7]);
        CHECK(warnings == (n < dim + 1) + (m < dim + 1), "%s: %d warnings", word, warnings);
        free(x);
        blocks++;
    }
    CHECK(blocks == 5, "%d blocks", blocks);
    if (f) fclose(f);
}

/* Reads count numbers; NULL: there are fewer. */
static float *floats(FILE *f, int count) {
    float *x = (float *)malloc((size_t)count * sizeof *x);
    for (int i = 0; i < count; i++)
        if (fscanf(f, "%f", &x[i]) != 1) return free(x), (float *)NULL;
    return x;
}

static void test_images(genai_ctx *ctx) {
    FILE *f = fopen("tests/fixtures/images.txt", "r");
    char  word[16];
    int   blocks = 0, a, b, c, d, i;
    CHECK(f != NULL, "tests/fixtures/images.txt can't be opened");
    while (f && fscanf(f, "%15s %d %d %d", word, &a, &b, &c) == 4) {
        float *x, *y = NULL, *z = NULL, *w = NULL;
        double want[4];
        blocks++;
        if (!strcmp(word, "pca")) {
            float *basis = (float *)malloc((size_t)(b * (1 + c)) * sizeof *basis), *place = (float *)malloc((size_t)(a * c) * sizeof *place);
            x = floats(f, a * b);
            y = floats(f, a * c);
            CHECK(x && y && !genai_pca(ctx, a, b, x, c, basis) && !genai_pca_project(ctx, a, b, x, c, basis, place), "%s", genai_ctx_error(ctx));
            for (i = 0; i < a * c; i++) CHECK(fabs(fabs((double)place[i]) - (double)y[i]) < 1e-5 * 3, "pca %dx%d, place %d: %.9g, scikit-learn has %.9g", a, b, i, (double)place[i], (double)y[i]);
            free(basis);
            free(place);
        } else if (!strcmp(word, "parzen")) {
            double sigma[3], value[64];
            CHECK(fscanf(f, "%d", &d) == 1 && d == 3 && c <= 21, "parzen is damaged");
            x = floats(f, a * b);
            y = floats(f, a * c);
            CHECK(x && y && fscanf(f, "%lf %lf %lf", &sigma[0], &sigma[1], &sigma[2]) == 3, "parzen is cut");
            CHECK(!genai_parzen(ctx, a, b, x, c, y, 3, sigma, value), "%s", genai_ctx_error(ctx));
            for (i = 0; i < 3 * c; i++)
                CHECK(fscanf(f, "%lf", want) == 1 && near(value[i], want[0], 1e-6), "parzen in %d dims, value %d: %.12g, scikit-learn has %.12g", a, i, value[i], want[0]);
        } else if (!strcmp(word, "ssim")) {
            genai_similarity got;
            x = floats(f, a * b * c);
            y = floats(f, a * b * c);
            CHECK(x && y && fscanf(f, "%lf %lf %lf %lf", &want[0], &want[1], &want[2], &want[3]) == 4, "ssim is cut");
            CHECK(!genai_similarities(ctx, 1, a, b, c, x, y, &got), "%s", genai_ctx_error(ctx));
            CHECK(near(got.mse, want[0], 1e-9) && near(got.psnr, want[1], 1e-9), "%dx%dx%d: %.12g %.12g dB, not %.12g %.12g", a, b, c, got.mse, got.psnr, want[0], want[1]);
            CHECK(near(got.ssim, want[2], 1e-8), "%dx%dx%d: SSIM %.12g, SciPy has %.12g", a, b, c, got.ssim, want[2]);
            CHECK(near(got.ms_ssim, want[3], 1e-6), "%dx%dx%d: MS-SSIM %.12g, SciPy has %.12g", a, b, c, got.ms_ssim, want[3]);
        } else {
            genai_probe_desc   p;
            genai_probe_result got;
            int               *labels;
            CHECK(!strcmp(word, "probe") && fscanf(f, "%d", &d) == 1, "'%s'", word);
            x = floats(f, a * c);
            y = floats(f, c);
            z = floats(f, a * d);
            w = floats(f, d);
            CHECK(x && y && z && w && fscanf(f, "%lf %lf %lf", &want[0], &want[1], &want[2]) == 3, "probe is cut");
            labels = (int *)malloc((size_t)(c + d) * sizeof *labels);
            for (i = 0; i < c + d; i++) labels[i] = (int)(i < c ? y[i] : w[i - c]);
            memset(&p, 0, sizeof p);
            p.dim = a;
            p.classes = b;
            p.train_count = c;
            p.test_count = d;
            p.train = x;
            p.test = z;
            p.train_labels = labels;
            p.test_labels = labels + c;
            CHECK(!genai_probe(ctx, &p, &got), "%s", genai_ctx_error(ctx));
            CHECK(near(got.accuracy, want[0], 1e-9), "%d classes: accuracy %.9g, scikit-learn has %.9g", b, got.accuracy, want[0]);
            CHECK(near(got.purity, want[1], 1e-9) && near(got.nmi, want[2], 1e-9), "%d classes: purity %.9g nmi %.12g, scikit-learn has %.9g %.12g", b, got.purity, got.nmi, want[1], want[2]);
            free(labels);
        }
        free(x);
        free(y);
        free(z);
        free(w);
    }
    CHECK(blocks == 11, "%d blocks", blocks);
    if (f) fclose(f);
}

/* --- Frechet distance --- */
static void test_frechet(genai_ctx *ctx) {
    enum { D = 12, N = 40 };
    static float   x[4 * D * D], y[4 * D * D], flat[N * D], moved[N * D];
    genai_measures got;
    double         want = 0, s, t;
    int            i, j;
    for (i = 0; i < D; i++) { /* mean +- s on each axis: the covariance is diagonal, 2 s^2 / (2 D - 1) */
        s = 1 + 0.25 * i;
        t = 3 - 0.125 * i;
        x[(2 * i) * D + i] = (float)s;
        x[(2 * i + 1) * D + i] = (float)-s;
        y[(2 * i) * D + i] = (float)t;
        y[(2 * i + 1) * D + i] = (float)-t;
        want += 0.25 + 2 * (s - t) * (s - t) / (2 * D - 1);
    }
    for (i = 0; i < 2 * D * D; i++) y[i] += 0.5f;
    got = measure(ctx, D, 2 * D, x, 2 * D, y, 0, 0);
    CHECK(near(got.frechet, want, 1e-12), "diagonal covariances: %.15g, not %.15g", got.frechet, want);
    got = measure(ctx, D, 2 * D, x, 2 * D, x, 0, 0);
    CHECK(got.frechet < 1e-12, "d(A,A) = %g", got.frechet);
    /* a plane in D dims, and the same moved: d is the squared way, whatever the rank */
    fill(flat, N * D, 1);
    for (i = 0; i < N; i++)
        for (j = 2; j < D; j++) flat[i * D + j] = flat[i * D] * (float)j - flat[i * D + 1];
    for (i = 0; i < N * D; i++) flat[i] = floorf(64 * flat[i]) / 64; /* so that moving is exact */
    for (i = 0; i < N * D; i++) moved[i] = flat[i] + 2;
    CHECK(measure(ctx, D, N, flat, N, flat, 0, 0).frechet < 1e-10, "rank 2: d(A,A) = %g", measure(ctx, D, N, flat, N, flat, 0, 0).frechet);
    CHECK(near(measure(ctx, D, N, flat, N, moved, 0, 0).frechet, 4 * D, 1e-10), "rank 2, moved: %.15g, not %d", measure(ctx, D, N, flat, N, moved, 0, 0).frechet, 4 * D);
    warnings = 0;
    measure(ctx, D, D + 1, flat, N, moved, 0, 0);
    CHECK(warnings == 0, "%d warnings for %d vectors of %d values", warnings, D + 1, D);
    got = measure(ctx, D, D, flat, D, flat, 0, 0);
    CHECK(warnings == 2 && got.frechet < 1e-10, "%d warnings for %d vectors of %d values, d(A,A) = %g", warnings, D, D, got.frechet);
    memset(x, 0, sizeof x); /* all alike: no variance at all */
    got = measure(ctx, D, 2 * D, x, 2 * D, x, 0, 0);
    CHECK(got.frechet < 1e-300 && got.frechet > -1e-300, "constant sets: %g", got.frechet);
}

/* --- neighbours --- */
static void test_neighbours(genai_ctx *ctx) {
    /* Radii with k = 1: real 1 1 2 3, made 1.5 1.5 2 2. Made 2 stands on the edge around real 1: that is outside. */
    static const float real[4] = {0, 1, 3, 6}, made[4] = {0.5f, 2, 10, 12};
    genai_measures     got = measure(ctx, 1, 4, real, 4, made, 1, 1);
    float              x[300 * 3];
    CHECK(near(got.precision, 0.5, 1e-15), "precision %g", got.precision);
    CHECK(near(got.recall, 0.75, 1e-15), "recall %g", got.recall);
    CHECK(near(got.density, 0.75, 1e-15), "density %g", got.density);
    CHECK(near(got.coverage, 0.75, 1e-15), "coverage %g", got.coverage);
    got = measure(ctx, 1, 4, made, 4, real, 1, 1); /* the other way round: precision and recall change places */
    CHECK(near(got.precision, 0.75, 1e-15) && near(got.recall, 0.5, 1e-15), "turned: precision %g, recall %g", got.precision, got.recall);
    fill(x, 300 * 3, 2);
    got = measure(ctx, 3, 300, x, 300, x, 0, 0);
    CHECK(near(got.precision, 1, 1e-15) && near(got.recall, 1, 1e-15) && near(got.coverage, 1, 1e-15), "identical sets: %g %g %g", got.precision, got.recall, got.coverage);
    CHECK(near(got.density, 1, 1e-15), "identical sets: density %g", got.density); /* k - 1 neighbours and itself */
    CHECK(got.kernel < 0 && got.kernel > -0.2, "identical sets: kernel distance %g, which is unbiased and so below 0", got.kernel);
}

static void test_nearest(genai_ctx *ctx) {
    enum { N = 21, M = 37, D = 2500 }; /* no multiple of the group of rows, more values than are taken at once */
    static float a[N * D], b[M * D], distance[N], alone[N];
    static const float points[] = {0, 0, 3, 4, 3, 4, -1, 0}, at[] = {3, 3, 0, 0};
    int          index[N], only[N], i, j, k;
    float        d[2];
    CHECK(genai_nearest(ctx, 2, at, 4, points, 2, index, d) == GENAI_OK && index[0] == 1 && index[1] == 0 && near((double)d[0], 1, 1e-15) && d[1] < 1e-30f,
          "by hand: %d %d, %g %g", index[0], index[1], (double)d[0], (double)d[1]);
    fill(a, N * D, 3);
    fill(b, M * D, 4);
    memcpy(b + 9 * D, a + 4 * D, D * sizeof *a);
    CHECK(genai_nearest(ctx, N, a, M, b, D, index, distance) == GENAI_OK, "%s", genai_ctx_error(ctx));
    for (i = 0; i < N; i++) {
        double best = 1e300;
        int    which = -1;
        for (j = 0; j < M; j++) {
            double sum = 0;
            for (k = 0; k < D; k++) sum += ((double)a[i * D + k] - (double)b[j * D + k]) * ((double)a[i * D + k] - (double)b[j * D + k]);
            if (sum < best) best = sum, which = j;
        }
        CHECK(index[i] == which && fabs((double)distance[i] - sqrt(best)) <= 1e-6 * sqrt(best), "row %d: %d at %.9g, not %d at %.9g", i, index[i], (double)distance[i], which,
              sqrt(best));
    }
    CHECK(index[4] == 9 && distance[4] < 1e-30f, "its copy: %d at %g", index[4], (double)distance[4]);
    CHECK(genai_nearest(ctx, N, a, M, b, D, only, NULL) == GENAI_OK && !memcmp(only, index, sizeof only), "index alone");
    CHECK(genai_nearest(ctx, N, a, M, b, D, NULL, alone) == GENAI_OK && !memcmp(alone, distance, sizeof distance), "distance alone");
}

/* --- measures worked out by hand --- */
static void test_by_hand(genai_ctx *ctx) {
    enum { N = 64, M = 32 };
    static float     x[2 * N], y[2 * M], grey[30 * 30], dark[30 * 30];
    genai_measures   got;
    genai_similarity like[1];
    double           value[2], sigma[2] = {1, 0.5}, want;
    float            basis[3 * 2], place[4];
    const float      cross[8] = {3, 4, -3, -4, 2, -1.5f, -2, 1.5f};
    /* Two clusters 100 apart: 32 and 32 of the real ones, 8 and 24 of the made ones. */
    fill(x, 2 * N, 11);
    fill(y, 2 * M, 12);
    for (int i = 0; i < N; i += 2) x[2 * i] += 100;
    for (int i = 0; i < M; i += 4) y[2 * i] += 100;
    {
        genai_measure_desc d;
        memset(&d, 0, sizeof d);
        d.dim = 2;
        d.real_count = N;
        d.made_count = M;
        d.real = x;
        d.made = y;
        d.cells = 2;
        CHECK(!genai_measure(ctx, &d, &got), "%s", genai_ctx_error(ctx));
        want = 0.5 * (0.5 * log(0.5 / 0.375) + 0.5 * log(0.5 / 0.625)) + 0.5 * (0.25 * log(0.25 / 0.375) + 0.75 * log(0.75 / 0.625));
        CHECK(near(got.js_histogram, want, 1e-12), "Jensen-Shannon %.15g, not %.15g", got.js_histogram, want);
        want = 0.5 * log(0.5 / (8.5 / 33)) + 0.5 * log(0.5 / (24.5 / 33));
        CHECK(near(got.kl_histogram, want, 1e-12), "KL of histograms %.15g, not %.15g", got.kl_histogram, want);
        d.cells = -1;
        CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_measure(ctx, &d, &got));
        d.cells = N + 1;
        CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_measure(ctx, &d, &got));
    }
    got = measure(ctx, 2, N, x, N, x, 0, 0);
    CHECK(got.kl_gaussian < 1e-12 && got.kl_gaussian > -1e-12 && got.kl_histogram == 0 && got.js_histogram == 0, "identical sets: %g %g %g", got.kl_gaussian, got.kl_histogram,
          got.js_histogram);
    for (int i = 0; i < 2 * M; i++) y[i] = 1;
    got = measure(ctx, 2, N, x, M, y, 0, 0);
    CHECK(got.kl_gaussian < 0, "made ones all alike: %g", got.kl_gaussian);
    /* Windows at 0 and 2, the density at 1 and 0. */
    {
        const float made[2] = {0, 2}, at[2] = {1, 0};
        CHECK(!genai_parzen(ctx, 1, 2, made, 1, at, 2, sigma, value), "%s", genai_ctx_error(ctx));
        CHECK(near(value[0], -0.5 - 0.5 * log(2 * acos(-1.0)), 1e-13) && near(value[1], -2 - 0.5 * log(2 * acos(-1.0)) - log(0.5), 1e-13), "Parzen %.15g %.15g", value[0], value[1]);
        CHECK(!genai_parzen(ctx, 1, 2, made, 2, at, 1, sigma, value) && near(value[1], log(0.5 * (1 + exp(-2.0))) - 0.5 * log(2 * acos(-1.0)), 1e-13), "Parzen at 0: %.15g", value[1]);
    }
    /* Directions (3,4)/5 and (4,-3)/5, variance 50/3 and 12.5/3. */
    CHECK(!genai_pca(ctx, 4, 2, cross, 2, basis) && !genai_pca_project(ctx, 1, 2, cross, 2, basis, place), "%s", genai_ctx_error(ctx));
    CHECK(fabsf(basis[0]) + fabsf(basis[1]) < 1e-7f && fabs(fabs((double)basis[2]) - 0.6) < 1e-7 && fabs(fabs((double)basis[5]) - 0.6) < 1e-7 &&
              fabs(fabs((double)place[0]) - 5) < 1e-6 && fabs((double)place[1]) < 1e-6, "pca: %g %g, %g %g, %g %g; %g %g", (double)basis[0], (double)basis[1], (double)basis[2],
          (double)basis[3], (double)basis[4], (double)basis[5], (double)place[0], (double)place[1]);
    /* Flat images p, q: no contrast, so SSIM is (2 p q + c) / (p^2 + q^2 + c); a picture and itself. */
    for (int i = 0; i < 900; i++) grey[i] = 0.75f, dark[i] = 0.25f;
    CHECK(!genai_similarities(ctx, 1, 30, 30, 1, grey, dark, like), "%s", genai_ctx_error(ctx));
    want = (2 * 0.75 * 0.25 + 1e-4) / (0.5625 + 0.0625 + 1e-4);
    CHECK(near(like->ssim, want, 1e-12) && near(like->mse, 0.25, 1e-15) && near(like->psnr, 10 * log10(4.0), 1e-13), "flat: %.15g %.15g %.15g", like->ssim, like->mse, like->psnr);
    CHECK(near(like->ms_ssim, pow(want, 0.2856 / (0.0448 + 0.2856)), 1e-12), "flat: MS-SSIM %.15g", like->ms_ssim); /* 30 and 15 pixels a side: the last scale has the luminance */
    fill(grey, 900, 13);
    for (int i = 0; i < 900; i++) grey[i] = 0.5f + 0.1f * grey[i];
    CHECK(!genai_similarities(ctx, 1, 30, 30, 1, grey, grey, like) && near(like->ssim, 1, 1e-12) && near(like->ms_ssim, 1, 1e-12) && like->mse == 0 && near(like->psnr, 100, 1e-15),
          "itself: %.15g %.15g", like->ssim, like->ms_ssim);
    for (int i = 0; i < 900; i++) dark[i] = 1 - grey[i];
    CHECK(!genai_similarities(ctx, 1, 30, 30, 1, grey, dark, like) && like->ssim < 0 && like->ms_ssim == 0, "its negative: %.15g %.15g", like->ssim, like->ms_ssim);
}

/* --- the same bits --- */
static unsigned hash(const void *p, size_t n) { /* FNV-1a; of numbers as they lie in memory, little-endian wherever this runs */
    uint32_t h = 2166136261u;
    size_t   i;
    for (i = 0; i < n; i++) h = (h ^ ((const unsigned char *)p)[i]) * 16777619u;
    return (unsigned)h;
}

static void test_bits(void) {
    enum { N = 210, M = 190, D = 70 };
    static float   x[(N + M) * D];
    static struct more { float basis[6 * D]; double value[2 * M]; genai_similarity like[18]; genai_probe_result found; } more, was;
    static int     label[N];
    const double   sigma[2] = {1, 20};
    genai_probe_desc p = {D, 3, N, M, x, x + N * D, label, label};
    genai_measures first, got;
    int            run;
    for (run = 0; run < N; run++) label[run] = run * run % 3;
    fill(x, sizeof x / sizeof *x, 6);
    for (run = 0; run < 4; run++) {
        genai_ctx *ctx = context(run % 2 ? 3 : 1, run < 2 ? GENAI_ISA_BEST : GENAI_ISA_SCALAR);
        got = measure(ctx, D, N, x, M, x + N * D, 0, 0);
        if (!run) first = got;
        CHECK(!genai_pca(ctx, N, D, x, 5, more.basis) && !genai_parzen(ctx, D, N, x, M, x + N * D, 2, sigma, more.value) && !genai_probe(ctx, &p, &more.found) &&
                  !genai_similarities(ctx, 18, D, N / 20, 1, x, x + N * D - 3, more.like), "%s", genai_ctx_error(ctx));
        if (!run) was = more;
        CHECK(!memcmp(&more, &was, sizeof more), "run %d: components, windows, probe or similarities differ", run);
        CHECK(!memcmp(&got, &first, sizeof got), "run %d differs: %.17g %.17g, not %.17g %.17g", run, got.frechet, got.kernel, first.frechet, first.kernel);
        genai_ctx_destroy(ctx);
    }
    CHECK(hash(&first, sizeof first) == 0xb6ea036eu, "the measures have other bits than with other compilers, or before: 0x%08x", hash(&first, sizeof first));
    CHECK(hash(&was, sizeof was) == 0xaef25c90u, "components, windows, probe or similarities have other bits than before: 0x%08x", hash(&was, sizeof was));
}

/* --- wrong input of what takes images and vectors --- */
static void test_wrong(genai_ctx *ctx) {
    static float       x[40];
    static const int   label[10] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 2};
    const double       none = 0, one = 1;
    double             value[10];
    float              y[40];
    genai_similarity   like[2];
    genai_probe_desc   d, good;
    genai_probe_result found;
    memset(&good, 0, sizeof good);
    good.dim = 2;
    good.classes = 3;
    good.train_count = good.test_count = 10;
    good.train = good.test = x;
    good.train_labels = good.test_labels = label;
    fill(x, 40, 14);
    CHECK(!genai_probe(ctx, &good, &found), "%s", genai_ctx_error(ctx));
#define WRONG(change)                                                                                                  \
    do {                                                                                                               \
        d = good;                                                                                                      \
        change;                                                                                                        \
        CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_probe(ctx, &d, &found));                                         \
    } while (0)
    WRONG(d.classes = 2);
    WRONG(d.classes = 1);
    WRONG(d.test_count = 2);
    WRONG(d.train_labels = NULL);
    WRONG(d.dim = 0);
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_pca(ctx, 3, 4, x, 3, y));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_pca(ctx, 9, 4, x, 5, y));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_pca(ctx, 4096, 1, x, 1, y));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_pca_project(ctx, 3, 4, x, 1, NULL, y));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_pca_project(ctx, 3, 4, x, 1, x, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_parzen(ctx, 2, 5, x, 5, x, 1, &none, value));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_parzen(ctx, 2, 0, x, 5, x, 1, &one, value));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_parzen(ctx, 2, 5, x, 5, x, 33, &one, value));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_similarities(ctx, 0, 2, 2, 1, x, x, like));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_similarities(ctx, 1, 2, 2, 5, x, x, like));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_similarities(ctx, 1, 2, 2, 1, x, NULL, like));
    CHECK(!genai_similarities(ctx, 1, 1, 3, 1, x, x, like) && near(like->ms_ssim, 1, 1e-12), "an image of three pixels: %g", like->ms_ssim);
    x[3] = INFINITY;
    CHECK_RESULT(ctx, GENAI_ERROR_NONFINITE, genai_pca(ctx, 9, 4, x, 2, y));
    CHECK_RESULT(ctx, GENAI_ERROR_NONFINITE, genai_similarities(ctx, 1, 2, 2, 1, x, x, like));
    CHECK(genai_pca(NULL, 9, 4, x, 2, y) < 0 && genai_probe(NULL, &good, &found) < 0 && genai_parzen(NULL, 1, 1, x, 1, x, 1, &one, value) < 0 &&
              genai_similarities(NULL, 1, 1, 1, 1, x, x, like) < 0, "NULL");
}

/* --- the judge --- */
enum { W = 9, H = 12, C = 2, PIXELS = W * H * C, COUNT = 240, CLASSES = 3 };

/* Stripes along, stripes across, a block, with noise on them. */
static genai_dataset *shapes(genai_ctx *ctx, const genai_dataset_desc *desc, int labels) {
    static unsigned char p[COUNT * PIXELS];
    static int           label[COUNT];
    int                  i, x, y;
    for (i = 0; i < COUNT; i++) {
        label[i] = i % CLASSES;
        for (y = 0; y < H; y++)
            for (x = 0; x < W; x++) {
                int            on = label[i] == 0 ? (y + i) % 4 < 2 : label[i] == 1 ? (x + i) % 4 < 2 : x > 1 + i % 3 && x < 7 && y > 2 && y < 9;
                unsigned char *to = p + ((i * H + y) * W + x) * C;
                to[0] = (unsigned char)(on * 150 + (i * 31 + x * 57 + y * 91) % 97);
                to[1] = (unsigned char)(255 - on * 100 - (i * 71 + x * 17 + y * 13) % 89);
            }
    }
    return genai_dataset_memory(ctx, COUNT, W, H, C, p, labels ? label : NULL, desc);
}

static genai_judge *judge_of(genai_ctx *ctx, genai_dataset *data, uint32_t stream, long steps) {
    genai_judge_desc d;
    memset(&d, 0, sizeof d);
    d.steps = steps;
    d.stream = stream;
    d.features = 20;
    return genai_judge_create(ctx, data, &d);
}

static void test_judge(void) {
    static float       images[COUNT * PIXELS], features[70 * 20], one[20], first[70 * 20], p[70 * CLASSES];
    genai_dataset_desc dd;
    genai_judge_info   info;
    int                labels[70], run, i;
    memset(&dd, 0, sizeof dd);
    dd.holdout = 0.25f;
    for (run = 0; run < 6; run++) { /* 1: threads, 2: instruction set, 3: another stream, 4: after other draws, 5: longer */
        genai_ctx     *ctx = context(run == 1 ? 3 : 1, run == 2 ? GENAI_ISA_SCALAR : GENAI_ISA_BEST);
        genai_dataset *data = shapes(ctx, &dd, 1);
        genai_judge   *j;
        genai_tensor  *draw[2];
        if (run == 4) genai_random_uniform(ctx, 0, NULL);
        j = judge_of(ctx, data, run == 3, run == 5 ? 25 : 4);
        info = genai_judge_describe(j);
        CHECK(j && info.width == W && info.height == H && info.channels == C && info.classes == CLASSES && info.features == 20, "%s", genai_ctx_error(ctx));
        CHECK(info.accuracy >= (run == 5 ? 0.95 : 0.3) && info.accuracy <= 1, "run %d: accuracy %g", run, info.accuracy);
        CHECK(genai_dataset_batch(data, -1, 0, 70, images, NULL) == GENAI_OK && genai_judge_features(j, 70, images, features) == GENAI_OK, "%s", genai_ctx_error(ctx));
        if (!run) memcpy(first, features, sizeof first);
        CHECK(run || hash(first, sizeof first) == 0x95c84e1du, "the features have other bits than with other compilers, or before: 0x%08x", hash(first, sizeof first));
        CHECK((memcmp(first, features, sizeof first) == 0) == (run != 3 && run != 5), "run %d: features %s", run, run == 3 ? "of another stream are the same" : "differ");
        CHECK(genai_judge_features(j, 1, images + 69 * PIXELS, one) == GENAI_OK && !memcmp(one, features + 69 * 20, sizeof one), "a row depends on others");
        CHECK(genai_judge_classify(j, 70, images, labels, p) == GENAI_OK, "%s", genai_ctx_error(ctx));
        for (i = 0; i < 70; i++) {
            const float *q = p + i * CLASSES;
            float        most = q[0] > q[1] ? q[0] : q[1];
            CHECK(fabsf(q[0] + q[1] + q[2] - 1) < 1e-5f && q[labels[i]] >= most && q[labels[i]] >= q[2], "image %d: class %d of %g %g %g", i, labels[i], (double)q[0],
                  (double)q[1], (double)q[2]);
        }
        CHECK(genai_judge_classify(j, 70, images, labels, NULL) == GENAI_OK && genai_judge_classify(j, 70, images, NULL, p) == GENAI_OK, "%s", genai_ctx_error(ctx));
        /* its training leaves the caller's draws where they were */
        draw[0] = genai_random_uniform(ctx, 0, NULL);
        genai_random_at(ctx, 0, 0);
        if (run == 4) genai_random_uniform(ctx, 0, NULL);
        draw[1] = genai_random_uniform(ctx, 0, NULL);
        CHECK(!memcmp(draw[0]->data, draw[1]->data, sizeof(float)), "run %d: draws", run);
        genai_ctx_destroy(ctx);
    }
    CHECK(heap.live == 0, "%ld blocks are left", heap.live);
}

static void test_file(void) {
    static const char  path[] = "build/test_metrics.safetensors", other[] = "build/test_metrics_model.safetensors";
    static float       images[30 * PIXELS], before[30 * 20], after[30 * 20];
    genai_ctx         *ctx = context(2, GENAI_ISA_BEST);
    genai_dataset_desc dd;
    genai_dataset     *data;
    genai_judge       *j, *loaded;
    genai_model_desc   md;
    genai_model       *model;
    genai_judge_info   a, b;
    FILE              *f;
    char              *bytes;
    size_t             size, i;
    memset(&dd, 0, sizeof dd);
    dd.holdout = 0.25f;
    data = shapes(ctx, &dd, 1);
    j = judge_of(ctx, data, 7, 4);
    a = genai_judge_describe(j);
    CHECK(genai_judge_save(j, path) == GENAI_OK, "%s", genai_ctx_error(ctx));
    loaded = genai_judge_load(ctx, path);
    b = genai_judge_describe(loaded);
    CHECK(loaded && b.width == W && b.height == H && b.channels == C && b.classes == CLASSES && b.features == 20 && near(b.accuracy, a.accuracy, 1e-6), "loaded: %s",
          genai_ctx_error(ctx));
    CHECK(genai_dataset_batch(data, -1, 0, 30, images, NULL) == GENAI_OK && genai_judge_features(j, 30, images, before) == GENAI_OK &&
              genai_judge_features(loaded, 30, images, after) == GENAI_OK && !memcmp(before, after, sizeof before), "other features: %s", genai_ctx_error(ctx));
    genai_judge_destroy(j);
    j = judge_of(ctx, genai_dataset_test(data), 7, 2);
    CHECK(genai_judge_describe(j).accuracy < 0 && genai_judge_save(j, path) == GENAI_OK && genai_judge_describe(genai_judge_load(ctx, path)).accuracy < 0,
          "a judge without test set: %s", genai_ctx_error(ctx));
    memset(&md, 0, sizeof md); /* models and judges aren't taken for one another */
    md.preset = "vae_mlp";
    model = genai_model_create(ctx, &md);
    CHECK(genai_model_save(model, other) == GENAI_OK, "%s", genai_ctx_error(ctx));
    CHECK_RESULT(ctx, GENAI_ERROR_FORMAT, genai_judge_load(ctx, other));
    CHECK_RESULT(ctx, GENAI_ERROR_FORMAT, genai_model_load(ctx, path));
    CHECK_RESULT(ctx, GENAI_ERROR_IO, genai_judge_load(ctx, "build/no such file"));
    CHECK_RESULT(ctx, GENAI_ERROR_IO, genai_judge_save(j, "build/no such folder/x"));
    /* sizes that were changed by hand: the tensors don't fit, or the number is none */
    f = fopen(path, "rb");
    bytes = (char *)malloc(1 << 20);
    size = f ? fread(bytes, 1, 1 << 20, f) : 0;
    if (f) fclose(f);
    for (i = 0; i < 4; i++) {
        static const char *const was[] = {"judge.width\":\"9\"", "judge.features\":\"20\"", "judge.classes\":\"3\"", "judge.height\":\"12\""};
        static const char *const is[] = {"judge.width\":\"5\"", "judge.features\":\"21\"", "judge.classes\":\"0\"", "judge.height\":\"-2\""};
        char  *copy = (char *)malloc(size), *p = copy, *digest = copy;
        memcpy(copy, bytes, size);
        while (p < copy + size && memcmp(p, was[i], strlen(was[i])) != 0) p++;
        CHECK(p < copy + size, "the file has no %s", was[i]);
        memcpy(p, is[i], strlen(is[i]));
        while (memcmp(digest, "genai.digest\":\"", 15) != 0) digest++;
        memcpy(digest + 15, "none\",\"x\":\"12345", 16); /* as long as 16 digits, with a key more; see FILES in the manual */
        f = fopen(other, "wb");
        CHECK(f && fwrite(copy, 1, size, f) == size && !fclose(f), "%s can't be written", other);
        CHECK_RESULT(ctx, GENAI_ERROR_FORMAT, genai_judge_load(ctx, other));
        free(copy);
    }
    free(bytes);
    remove(path);
    remove(other);
    genai_ctx_destroy(ctx);
    CHECK(heap.live == 0, "%ld blocks are left", heap.live);
}

static void test_digits(void) { /* all 1500 steps give 98 % */
    const char        *path = check_data("mnist/train-images-idx3-ubyte");
    char               folder[1024];
    genai_ctx         *ctx;
    genai_judge_desc   d;
    genai_judge       *j;
    if (!path || check_short()) return; /* test_judge trains one in the same way */
    snprintf(folder, sizeof folder, "%.*s", (int)(strlen(path) - strlen("/train-images-idx3-ubyte")), path);
    ctx = context(0, GENAI_ISA_BEST);
    memset(&d, 0, sizeof d);
    d.steps = 100;
    j = genai_judge_create(ctx, genai_dataset_open(ctx, folder, NULL), &d);
    CHECK(j && genai_judge_describe(j).features == 64 && genai_judge_describe(j).accuracy > 0.93, "digits: %g right after 100 steps (%s)",
          genai_judge_describe(j).accuracy, genai_ctx_error(ctx));
    genai_ctx_destroy(ctx);
}

/* Unseen digits lie nearer to digits than the same with noise on them, and these nearer than noise, by every measure. */
static void test_order(void) {
    enum { N = 400, P = 28 * 28, K = 16 };
    static float   image[4][N * P], place[4][N * K], basis[(1 + K) * P]; /* seen, unseen, unseen with noise, noise */
    static double  value[N];
    const char    *path = check_data("mnist/train-images-idx3-ubyte");
    genai_ctx     *ctx;
    genai_measures m[4];
    double         parzen[4] = {0, 0, 0, 0}, sigma = 0.2;
    if (!path) return;
    ctx = context(0, GENAI_ISA_BEST);
    CHECK(!genai_dataset_batch(genai_dataset_open(ctx, path, NULL), 0, 0, 2 * N, image[0], NULL), "%s", genai_ctx_error(ctx)); /* the first two sets */
    fill(image[3], N * P, 16);
    for (int i = 0; i < N * P; i++) image[2][i] = image[1][i] + image[3][i];
    CHECK(!genai_pca(ctx, N, P, image[0], K, basis), "%s", genai_ctx_error(ctx));
    for (int k = 0; k < 4; k++) {
        CHECK(!genai_pca_project(ctx, N, P, image[k], K, basis, place[k]) && !genai_parzen(ctx, P, N, image[k], N, image[0], 1, &sigma, value), "%s", genai_ctx_error(ctx));
        m[k] = measure(ctx, K, N, place[0], N, place[k], 0, 0);
        for (int i = 0; i < N; i++) parzen[k] += value[i] / N;
    }
    for (int k = 1; k < 3; k++) {
        const genai_measures *a = &m[k], *b = &m[k + 1];
        CHECK(a->frechet < b->frechet && a->kernel < b->kernel && a->coverage > b->coverage, "%d: Frechet %g %g, kernel %g %g, coverage %g %g", k, a->frechet, b->frechet, a->kernel,
              b->kernel, a->coverage, b->coverage);
        CHECK(a->kl_gaussian < b->kl_gaussian && a->kl_nearest < b->kl_nearest && a->kl_histogram < b->kl_histogram && a->js_histogram < b->js_histogram,
              "%d: KL %g %g, %g %g, %g %g, JS %g %g", k, a->kl_gaussian, b->kl_gaussian, a->kl_nearest, b->kl_nearest, a->kl_histogram, b->kl_histogram, a->js_histogram, b->js_histogram);
        CHECK(parzen[k] > parzen[k + 1], "%d: Parzen %g %g", k, parzen[k], parzen[k + 1]);
    }
    CHECK(fabs(m[1].kl_nearest) < 1.5 && m[1].js_histogram < 0.1, "unseen digits: KL %g, JS %g", m[1].kl_nearest, m[1].js_histogram);
    genai_ctx_destroy(ctx);
}

/* --- what is refused --- */
static void test_arguments(genai_ctx *ctx) {
    static float       x[12 * 3], images[PIXELS];
    genai_measure_desc good, d;
    genai_measures     out;
    genai_judge_desc   jd;
    genai_dataset     *data = shapes(ctx, NULL, 1);
    genai_judge       *j = judge_of(ctx, data, 0, 1);
    int                index[12], i;
    memset(&good, 0, sizeof good);
    good.dim = 3;
    good.real_count = good.made_count = 6;
    good.real = x;
    good.made = x + 18;
    CHECK_RESULT(ctx, GENAI_OK, genai_measure(ctx, &good, &out));
#define BAD(code, change)                                                                                              \
    do {                                                                                                               \
        d = good;                                                                                                      \
        change;                                                                                                        \
        memset(&out, 77, sizeof out);                                                                                  \
        CHECK_RESULT(ctx, code, genai_measure(ctx, &d, &out));                                                         \
        for (i = 0; i < (int)sizeof out; i++) CHECK(((char *)&out)[i] == 77, "%s: half a result", #change);           \
    } while (0)
    BAD(GENAI_ERROR_ARGUMENT, d.dim = 0);
    BAD(GENAI_ERROR_ARGUMENT, d.real_count = 5);
    BAD(GENAI_ERROR_ARGUMENT, d.made_count = 5);
    BAD(GENAI_ERROR_ARGUMENT, d.made_count = 0);
    BAD(GENAI_ERROR_ARGUMENT, d.real_count = -1);
    BAD(GENAI_ERROR_ARGUMENT, d.real = NULL);
    BAD(GENAI_ERROR_ARGUMENT, d.made = NULL);
    BAD(GENAI_ERROR_ARGUMENT, d.k = 6);
    BAD(GENAI_ERROR_ARGUMENT, d.k = -1);
    BAD(GENAI_ERROR_ARGUMENT, d.k_density = 33);
    x[7] = NAN;
    BAD(GENAI_ERROR_NONFINITE, (void)0);
    CHECK_RESULT(ctx, GENAI_ERROR_NONFINITE, genai_nearest(ctx, 2, x + 18, 6, x, 3, index, NULL));
    x[7] = 2e15f;
    BAD(GENAI_ERROR_NONFINITE, (void)0);
    x[7] = 0;
    x[35] = -INFINITY;
    BAD(GENAI_ERROR_NONFINITE, (void)0);
    x[35] = 0;
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_measure(ctx, NULL, &out));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_measure(ctx, &good, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_nearest(ctx, 0, x, 6, x, 3, index, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_nearest(ctx, 6, x, 0, x, 3, index, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_nearest(ctx, 6, x, 6, x, 0, index, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_nearest(ctx, 6, NULL, 6, x, 3, index, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_judge_features(j, 0, images, x));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_judge_features(j, 1, NULL, x));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_judge_features(j, 1, images, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_judge_classify(j, -1, images, index, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_judge_create(ctx, NULL, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_UNSUPPORTED, genai_judge_create(ctx, shapes(ctx, NULL, 0), NULL));
    memset(&jd, 0, sizeof jd);
    jd.steps = -2;
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_judge_create(ctx, data, &jd));
    jd.steps = 1;
    jd.features = 5000;
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_judge_create(ctx, data, &jd));
    CHECK(genai_measure(NULL, &good, &out) < 0 && genai_nearest(NULL, 1, x, 1, x, 1, NULL, x) < 0 && genai_judge_features(NULL, 1, images, x) < 0 &&
              genai_judge_classify(NULL, 1, images, index, NULL) < 0 && genai_judge_save(NULL, "x") < 0 && !genai_judge_create(NULL, data, NULL) &&
              !genai_judge_load(NULL, "x") && genai_judge_describe(NULL).classes == 0, "NULL");
    genai_judge_destroy(NULL);
}

/* A judge without training: no labels, equal for all seeds, other numbers for other images. */
static void test_random(void) {
    static float   image[4 * PIXELS], features[2][4 * 64];
    genai_judge_desc d;
    memset(&d, 0, sizeof d);
    d.steps = -1;
    fill(image, 4 * PIXELS, 15);
    for (int k = 0; k < 2; k++) {
        genai_ctx_desc g = quiet_desc(5 + (uint64_t)k, 1 + k, GENAI_ISA_BEST, &heap);
        genai_ctx     *ctx = genai_ctx_create(&g);
        genai_judge   *j = genai_judge_create(ctx, shapes(ctx, NULL, 0), &d);
        CHECK(j && genai_judge_describe(j).features == 64 && !genai_judge_features(j, 4, image, features[k]), "%s", genai_ctx_error(ctx));
        CHECK(ctx->desc.seed == 5 + (uint64_t)k, "the seed has become %d", (int)ctx->desc.seed);
        genai_ctx_destroy(ctx);
    }
    CHECK(!memcmp(features[0], features[1], sizeof features[0]), "two seeds have two random networks");
    CHECK(memcmp(features[0], features[0] + 64, 64 * sizeof(float)) != 0, "all images look alike");
}

static void test_memory(void) {
    static const char path[] = "build/test_metrics.safetensors";
    static float      x[40 * 3];
    genai_ctx        *ctx = context(1, GENAI_ISA_BEST);
    genai_dataset    *data = shapes(ctx, NULL, 1);
    genai_judge      *j = judge_of(ctx, data, 0, 2); /* the tape has its memory now */
    genai_measure_desc d;
    genai_measures    out;
    genai_probe_desc  probe;
    genai_probe_result found;
    genai_similarity  like[4];
    static const int  label[20] = {0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1};
    float             basis[9];
    long              before;
    int               what, done;
    memset(&d, 0, sizeof d);
    d.dim = 3;
    d.real_count = d.made_count = 20;
    d.real = x;
    d.made = x + 60;
    fill(x, 120, 8);
    genai_judge_save(j, path);
    before = heap.live;
    memset(&probe, 0, sizeof probe);
    probe.dim = 3;
    probe.classes = 2;
    probe.train_count = probe.test_count = 20;
    probe.train = x;
    probe.test = x + 60;
    probe.train_labels = probe.test_labels = label;
    for (what = 0; what < 8; what++) {
        for (heap.fail_at = 1, done = 0; !done && heap.fail_at < 200; heap.fail_at++) {
            genai_judge *made = NULL;
            heap.calls = 0;
            if (what == 0) done = genai_measure(ctx, &d, &out) == GENAI_OK;
            else if (what == 1) done = genai_nearest(ctx, 20, x, 20, x + 60, 3, NULL, NULL) == GENAI_OK;
            else if (what == 2) done = genai_judge_save(j, path) == GENAI_OK;
            else if (what == 5) done = genai_pca(ctx, 20, 3, x, 2, basis) == GENAI_OK;
            else if (what == 6) done = genai_probe(ctx, &probe, &found) == GENAI_OK;
            else if (what == 7) done = genai_similarities(ctx, 4, 5, 6, 1, x, x, like) == GENAI_OK;
            else done = (made = what == 3 ? genai_judge_load(ctx, path) : judge_of(ctx, data, 0, 2)) != NULL;
            CHECK(done || genai_ctx_result(ctx) == GENAI_ERROR_MEMORY, "%d: allocation %ld: %s", what, heap.fail_at, genai_ctx_error(ctx));
            genai_judge_destroy(made);
            genai_ctx_clear(ctx);
            CHECK(heap.live == before, "%d: allocation %ld leaves %ld blocks", what, heap.fail_at, heap.live - before);
        }
        CHECK(done && heap.fail_at > (what == 1 || what == 5 || what == 7 ? 2 : 3), "%d: %ld allocations", what, heap.fail_at);
        heap.fail_at = 0;
    }
    remove(path);
    genai_ctx_destroy(ctx);
    CHECK(heap.live == 0, "%ld blocks are left", heap.live);
}

int main(void) {
    genai_ctx *ctx = context(2, GENAI_ISA_BEST);
    test_fixtures(ctx);
    test_images(ctx);
    test_frechet(ctx);
    test_neighbours(ctx);
    test_nearest(ctx);
    test_by_hand(ctx);
    test_wrong(ctx);
    test_arguments(ctx);
    genai_ctx_destroy(ctx);
    test_bits();
    test_judge();
    test_file();
    test_digits();
    test_order();
    test_random();
    test_memory();
    return CHECK_DONE("test_metrics");
}
