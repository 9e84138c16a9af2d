/* genai bench: speed of matrix products, convolutions, training steps and sampling. Machines are noisy: every rate is
 * the best of several rounds (steps: the median), and stands beside the peak of fused multiply-adds that this core
 * reached at that very time with the same instruction set, times the number of threads. */
#include "tool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#include <time.h>
#else
#include <sys/time.h>
#endif
#if defined(__GNUC__) && defined(__x86_64__)
#include <immintrin.h>
#elif defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>
#endif

static double now(void) {
#if defined(_WIN32)
    return (double)clock() / CLOCKS_PER_SEC;
#else
    struct timeval t;
    gettimeofday(&t, NULL);
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
#endif
}

/* --- the peak --- */

/* Twelve chains of dependent multiply-adds: more than latency times units of any core with two units. Values stay
 * finite and normal: they tend to b / (1 - a). */
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define CHAIN(i) c##i = MULTIPLY_ADD(c##i, a, b);
#define SUM(i) s = MULTIPLY_ADD(s, a, c##i);

#define MULTIPLY_ADD(x, y, z) fmaf(x, y, z)
static float peak_scalar(long rounds) {
    const float a = 0.999f, b = 1e-3f;
    float       s = 0;
#define START(i) float c##i = (float)i;
    TWELVE(START)
#undef START
    for (long r = 0; r < rounds; r++) { TWELVE(CHAIN) }
    TWELVE(SUM)
    return s;
}
#undef MULTIPLY_ADD

#if defined(__GNUC__) && defined(__x86_64__)
#define MULTIPLY_ADD(x, y, z) _mm256_fmadd_ps(x, y, z)
__attribute__((target("avx2,fma"), noinline)) static float peak_avx2(long rounds) {
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    __m256       s = b;
    float        out[8];
#define START(i) __m256 c##i = _mm256_set1_ps((float)i);
    TWELVE(START)
#undef START
    for (long r = 0; r < rounds; r++) { TWELVE(CHAIN) }
    TWELVE(SUM)
    _mm256_storeu_ps(out, s);
    return out[0];
}
#undef MULTIPLY_ADD
#define MULTIPLY_ADD(x, y, z) _mm512_fmadd_ps(x, y, z)
__attribute__((target("avx512f"), noinline)) static float peak_avx512(long rounds) {
    const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    __m512       s = b;
    float        out[16];
#define START(i) __m512 c##i = _mm512_set1_ps((float)i);
    TWELVE(START)
#undef START
    for (long r = 0; r < rounds; r++) { TWELVE(CHAIN) }
    TWELVE(SUM)
    _mm512_storeu_ps(out, s);
    return out[0];
}
#undef MULTIPLY_ADD
#elif defined(__GNUC__) && defined(__aarch64__)
/* Twice twelve chains: some Arm cores have four units. */
#define MULTIPLY_ADD(x, y, z) vfmaq_f32(z, x, y)
__attribute__((noinline)) static float peak_neon(long rounds) {
    const float32x4_t a = vdupq_n_f32(0.999f), b = vdupq_n_f32(1e-3f);
    float32x4_t       s = b;
#define START(i) float32x4_t c##i = vdupq_n_f32((float)i), d##i = c##i;
#define CHAIN_TWO(i) d##i = MULTIPLY_ADD(d##i, a, b);
#define SUM_TWO(i) s = MULTIPLY_ADD(s, a, d##i);
    TWELVE(START)
    for (long r = 0; r < rounds; r++) { TWELVE(CHAIN) TWELVE(CHAIN_TWO) }
    TWELVE(SUM) TWELVE(SUM_TWO)
    return vgetq_lane_f32(s, 0);
}
#undef START
#undef MULTIPLY_ADD
#endif

/* GFLOP/s of one core: best of eight rounds of `seconds` each. */
static double peak(genai_isa isa, double seconds) {
    float (*run)(long) = peak_scalar;
    volatile float sink;
    double         best = 0, flops = 2 * 12;
    long           rounds = 20000;
#if defined(__GNUC__) && defined(__x86_64__)
    if (isa == GENAI_ISA_AVX2) run = peak_avx2, flops = 2 * 12 * 8;
    if (isa == GENAI_ISA_AVX512) run = peak_avx512, flops = 2 * 12 * 16;
#elif defined(__GNUC__) && defined(__aarch64__)
    if (isa == GENAI_ISA_NEON) run = peak_neon, flops = 2 * 24 * 4;
#else
    (void)isa;
#endif
    for (int i = 0; i < 11; i++) { /* three to find how many make a round */
        double start = now(), rate;
        sink = run(rounds);
        rate = flops * (double)rounds / (now() - start + 1e-9);
        if (i < 3) rounds = 1 + (long)(rate * seconds / flops);
        else if (rate * 1e-9 > best) best = rate * 1e-9;
    }
    (void)sink;
    return best;
}

/* --- timing --- */

typedef struct job { /* what is timed: one product or one convolution */
    genai_ctx             *ctx;
    genai_tensor          *x, *w, *y;      /* y: set where the gradient of a finished forward pass is timed   */
    int                    transpose_x, transpose_w, transposed;
    genai_conv_desc        conv;
    size_t                 mark;
} job;

static void run_matmul(job *j) { genai_matmul(j->x, j->w, j->transpose_x, j->transpose_w); }
static void run_forward(job *j) {
    if (j->transposed) genai_conv2d_transpose(j->x, j->w, NULL, &j->conv);
    else genai_conv2d(j->x, j->w, NULL, &j->conv);
}
static void run_gradient(job *j) {
    genai_tensor *leaf = j->x->requires_grad ? j->x : j->w, *gradient;
    genai_grad(j->y, 1, &leaf, &gradient, 0);
}

/* Runs for about `seconds` and returns the least time of one run, over rounds of at least 2 ms. Zero: it failed. */
static double least_time(job *j, void (*run)(job *), double seconds) {
    double start, best = 0, end;
    long   repeat = 1;
    for (int warm = 0; warm < 2; warm++) {
        start = now();
        run(j);
        genai_tape_release(j->ctx, j->mark);
        if (genai_ctx_result(j->ctx)) return 0;
        best = now() - start;
    }
    if (best < 2e-3) repeat = 1 + (long)(2e-3 / (best > 1e-7 ? best : 1e-7));
    end = now() + seconds;
    do {
        double each;
        start = now();
        for (long i = 0; i < repeat; i++) {
            run(j);
            genai_tape_release(j->ctx, j->mark);
        }
        each = (now() - start) / (double)repeat;
        if (each < best) best = each;
    } while (now() < end);
    return best;
}

/* Times a job and ends the line that the caller has begun. The peak is probed right after it, in rounds as long as the job
 * takes: on a machine that others use too, longer rounds are disturbed more, and so both are. */
static int rate_line(const tool_args *a, job *j, void (*run)(job *), double flops, const char *after) {
    double least = least_time(j, run, a->seconds > 0 ? a->seconds : 0.3), top;
    if (least <= 0) return TOOL_FAILED;
    top = peak(genai_ctx_isa(j->ctx), least < 2e-3 ? 2e-3 : least > 0.05 ? 0.05 : least) * genai_ctx_threads(j->ctx);
    printf("%8.1f GFLOP/s %5.1f %%%s\n", flops / least * 1e-9, 100 * flops / least * 1e-9 / top, after);
    fflush(stdout);
    return TOOL_DONE;
}

static void fill(float *to, size_t n) {
    uint32_t state = 1;
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u;
        to[i] = (float)(state >> 8) / 16777216.0f;
    }
}

static genai_tensor *tensor(genai_ctx *ctx, int ndim, int d0, int d1, int d2, int d3) {
    const int     dim[4] = {d0, d1, d2, d3};
    genai_tensor *t = genai_tensor_create(ctx, ndim, dim);
    if (t) fill(t->data, t->count);
    return t;
}

static genai_ctx *make_ctx(const tool_args *a, const genai_allocator *allocator) {
    genai_ctx_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.threads = (int)a->threads;
    desc.isa = a->isa;
    desc.log = tool_log;
    if (allocator) desc.allocator = *allocator;
    return genai_ctx_create(&desc);
}

/* --- gemm --- */

typedef struct product { int m, n, k, transpose_a, transpose_b; } product;

/* Squares, then what the reference models are made of at batch 64: dense layers forward, data and weight gradient;
 * convolutions seen as products. */
static const product products[] = {
    {64, 64, 64, 0, 0},       {128, 128, 128, 0, 0},    {256, 256, 256, 0, 0},   {512, 512, 512, 0, 0},    {1024, 1024, 1024, 0, 0},
    {2048, 2048, 2048, 0, 0}, {64, 128, 784, 0, 1},     {64, 400, 784, 0, 1},    {64, 784, 400, 0, 0},     {400, 784, 64, 1, 0},
    {64, 500, 784, 0, 1},     {500, 784, 64, 1, 0},     {64, 4096, 100, 0, 1},   {100, 4096, 64, 1, 0},    {4096, 128, 1024, 0, 1},
    {16384, 64, 48, 0, 1},    {128, 1024, 4096, 1, 0},  {4096, 1024, 128, 0, 0}, {1024, 4096, 256, 1, 0},  {16384, 1024, 64, 0, 0},
    {64, 65536, 27, 0, 0},
};

static int gemm_line(const tool_args *a, genai_ctx *ctx, const product *p) {
    static const char *const order[4] = {"", " nt", " tn", " tt"};
    job j;
    int status = TOOL_FAILED;
    memset(&j, 0, sizeof j);
    j.ctx = ctx;
    j.transpose_x = p->transpose_a;
    j.transpose_w = p->transpose_b;
    j.x = p->transpose_a ? tensor(ctx, 2, p->k, p->m, 1, 1) : tensor(ctx, 2, p->m, p->k, 1, 1);
    j.w = p->transpose_b ? tensor(ctx, 2, p->n, p->k, 1, 1) : tensor(ctx, 2, p->k, p->n, 1, 1);
    if (j.x && j.w) {
        printf("%5d x %5d x %5d ", p->m, p->n, p->k);
        status = rate_line(a, &j, run_matmul, 2.0 * p->m * p->n * p->k, order[2 * p->transpose_a + p->transpose_b]);
    }
    genai_tensor_destroy(j.x);
    genai_tensor_destroy(j.w);
    return status;
}

static int bench_gemm(const tool_args *a, genai_ctx *ctx) {
    int status = TOOL_DONE;
    genai_recording(ctx, 0);
    for (int i = 1; i < a->operands && !status; i++) {
        product p = {0, 0, 0, 0, 0};
        char    end;
        if (sscanf(a->operand[i], "%6dx%6dx%6d%c", &p.m, &p.n, &p.k, &end) != 3 || p.m < 1 || p.n < 1 || p.k < 1)
            return tool_usage(a, "'%s' is no shape of a matrix product such as 512x512x512", a->operand[i]);
        status = gemm_line(a, ctx, &p);
    }
    for (size_t i = 0; a->operands == 1 && i < sizeof products / sizeof products[0] && !status; i++) status = gemm_line(a, ctx, &products[i]);
    return status;
}

/* --- conv --- */

typedef struct layer { int transposed, in, out, k, stride, pad, size; } layer;

static const layer layers[] = {
    {0, 3, 64, 4, 2, 1, 32},   {0, 64, 128, 4, 2, 1, 16},  {0, 3, 64, 5, 2, 2, 32},   {0, 64, 128, 5, 2, 2, 16},  {0, 128, 256, 5, 2, 2, 8},
    {0, 1, 64, 4, 2, 1, 28},   {0, 64, 64, 3, 1, 1, 32},   {0, 256, 512, 4, 2, 1, 8}, {0, 128, 256, 4, 2, 1, 16}, {0, 64, 128, 4, 2, 1, 32},
    {1, 256, 128, 4, 2, 1, 4}, {1, 128, 64, 4, 2, 1, 8},   {1, 64, 3, 4, 2, 1, 16},   {1, 256, 128, 5, 1, 2, 4},  {1, 128, 128, 5, 2, 2, 4},
    {1, 512, 256, 4, 2, 1, 4}, {1, 128, 64, 4, 2, 1, 16},  {1, 64, 3, 4, 2, 1, 32},
};

/* One direction: 0 forward, 1 input gradient, 2 weight gradient. */
static int conv_line(const tool_args *a, job *j, const layer *l, int direction, double flops) {
    static const char *const name[3] = {"forward", "input gradient", "weight gradient"};
    int status;
    printf("%s %3d -> %3d k%d s%d %2dx%-2d %-15s ", l->transposed ? "convt" : "conv ", l->in, l->out, l->k, l->stride, l->size, l->size,
           name[direction]);
    j->x->requires_grad = direction == 1;
    j->w->requires_grad = direction == 2;
    genai_recording(j->ctx, direction != 0);
    if (direction) {
        j->y = l->transposed ? genai_conv2d_transpose(j->x, j->w, NULL, &j->conv) : genai_conv2d(j->x, j->w, NULL, &j->conv);
        if (!j->y) return TOOL_FAILED;
    }
    j->mark = direction ? genai_tape_mark(j->ctx) : 0;
    status = rate_line(a, j, direction ? run_gradient : run_forward, flops, "");
    genai_tape_release(j->ctx, 0);
    return status;
}

static int bench_conv(const tool_args *a, genai_ctx *ctx) {
    int n = a->batch ? (int)a->batch : 64, status = TOOL_DONE;
    if (a->operands > 1) return tool_usage(a, "bench conv doesn't take '%s'", a->operand[1]);
    for (size_t i = 0; i < sizeof layers / sizeof layers[0] && !status; i++) {
        const layer *l = &layers[i];
        int          places = l->transposed ? l->size : (l->size + 2 * l->pad - l->k) / l->stride + 1;
        double       flops = 2.0 * n * places * places * l->in * l->out * l->k * l->k;
        job          j;
        memset(&j, 0, sizeof j);
        j.ctx = ctx;
        j.transposed = l->transposed;
        j.conv.stride_h = j.conv.stride_w = l->stride;
        j.conv.pad_h = j.conv.pad_w = l->pad;
        if (l->transposed) j.conv.output_h = j.conv.output_w = l->size * l->stride;
        j.x = tensor(ctx, 4, n, l->size, l->size, l->in);
        j.w = l->transposed ? tensor(ctx, 4, l->k, l->k, l->out, l->in) : tensor(ctx, 4, l->k, l->k, l->in, l->out);
        status = j.x && j.w ? TOOL_DONE : TOOL_FAILED;
        for (int direction = 0; direction < 3 && !status; direction++) status = conv_line(a, &j, l, direction, flops);
        genai_tensor_destroy(j.x);
        genai_tensor_destroy(j.w);
    }
    return status;
}

/* --- train and sample --- */

typedef struct meter { size_t now, most; } meter; /* bytes that the library holds */

static void *meter_alloc(void *user, size_t bytes) {
    meter  *m = (meter *)user;
    size_t *p = bytes > (size_t)-1 - 64 ? NULL : (size_t *)malloc(bytes + 64);
    if (!p) return NULL;
    p[0] = bytes;
    m->now += bytes;
    if (m->now > m->most) m->most = m->now;
    return (unsigned char *)p + 64;
}
static void meter_free(void *user, void *memory) {
    size_t *p = (size_t *)(void *)((unsigned char *)memory - 64);
    ((meter *)user)->now -= p[0];
    free(p);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One line: a preset at one batch size, training or sampling. */
static int model_line(const tool_args *a, const genai_preset *preset, int n, int sampling) {
    enum { MOST = 100000 };
    meter            memory = {0, 0};
    genai_allocator  allocator;
    genai_ctx       *ctx;
    genai_model     *model = NULL;
    genai_model_desc desc;
    float           *images = NULL;
    double          *times = (double *)malloc(MOST * sizeof(double)), end = 0;
    int              count = 0, status = TOOL_FAILED;
    allocator.alloc = meter_alloc;
    allocator.free = meter_free;
    allocator.user = &memory;
    ctx = make_ctx(a, &allocator);
    memset(&desc, 0, sizeof desc);
    desc.preset = preset->name;
    desc.width = (int)a->size[0];
    desc.height = (int)a->size[1];
    desc.channels = (int)a->channels;
    if (times && ctx) model = genai_model_create(ctx, &desc);
    if (model) {
        size_t pixels;
        desc = genai_model_resolved(model);
        pixels = (size_t)n * (size_t)desc.width * (size_t)desc.height * (size_t)desc.channels;
        images = (float *)malloc(pixels * sizeof(float));
        if (images) fill(images, pixels);
    }
    for (int step = -2; images && count < MOST && (count < 3 || now() < end); step++) { /* two steps to warm up */
        double start = now();
        if (sampling ? genai_model_sample(model, (uint64_t)count, n, images) : genai_model_step(model, n, images, NULL)) goto done;
        if (step < 0) end = now() + (a->seconds > 0 ? a->seconds : 3);
        else times[count++] = now() - start;
    }
    if (count) {
        double median;
        qsort(times, (size_t)count, sizeof(double), by_value);
        median = times[count / 2];
        printf("%-16s batch %d threads %d %.1f img/s %.3f %s peak %.1f MiB\n", preset->name, n, genai_ctx_threads(ctx), n / median, 1e3 * median,
               sampling ? "ms" : "ms/step", (double)memory.most / 1048576);
        fflush(stdout);
        status = TOOL_DONE;
    } else if (model) tool_fail("there is no memory to measure %s at batch %d", preset->name, n);
done:
    genai_ctx_destroy(ctx);
    free(images);
    free(times);
    return status;
}

static int bench_models(const tool_args *a, int sampling) {
    int status = TOOL_DONE;
    for (int i = 1; i < a->operands; i++)
        if (!tool_preset(a->operand[i]))
            return tool_usage(a, "there is no preset '%s'; did you mean %s?", a->operand[i], tool_nearest_preset(a->operand[i]));
    for (int i = 0; !status && i < (a->operands > 1 ? a->operands - 1 : genai_preset_count()); i++) {
        const genai_preset *p = a->operands > 1 ? tool_preset(a->operand[i + 1]) : genai_preset_at(i);
        if (sampling && !a->batch) status = model_line(a, p, 1, 1);
        if (!status) status = model_line(a, p, a->batch ? (int)a->batch : 64, sampling);
    }
    return status;
}

int tool_bench(const tool_args *a) {
    const char *what = a->operand[0];
    genai_ctx  *ctx;
    int         status;
    if (!strcmp(what, "train")) return bench_models(a, 0);
    if (!strcmp(what, "sample")) return bench_models(a, 1);
    if (strcmp(what, "gemm") && strcmp(what, "conv"))
        return tool_usage(a, "bench has no '%s'; it has gemm, conv, train and sample", what);
    ctx = make_ctx(a, NULL);
    if (!ctx) return TOOL_FAILED;
    printf("%s, %d threads, peak %.1f GFLOP/s a core\n", genai_isa_name(genai_ctx_isa(ctx)), genai_ctx_threads(ctx), peak(genai_ctx_isa(ctx), 3e-3));
    status = strcmp(what, "gemm") ? bench_conv(a, ctx) : bench_gemm(a, ctx);
    genai_ctx_destroy(ctx);
    return status;
}
