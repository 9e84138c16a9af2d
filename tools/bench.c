/* genai bench: speed of matrix products, convolutions, training steps and sampling, and how they grow with batch and size.
 * In order: clock and machine, the peak, timing, a process for each line, output, the benchmarks, their table.
 *
 * Machines are noisy, so each line gives the best round, or the median and the best, beside the peak of fused multiply-adds
 * that one core reached at that very time with the same instruction set, times the number of threads. FLOPs are nominal,
 * two for each multiply-add with padding counted: an algorithm that needs fewer can pass 100 %. */
#include "tool.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(_WIN32)
#include <io.h>
#else
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#endif
#if defined(__GNUC__) && defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#elif defined(__GNUC__) && defined(__aarch64__)
#include <arm_neon.h>
#endif

/* --- clock and machine --- */

static double now(void) {
#if defined(CLOCK_MONOTONIC)
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
#elif defined(_WIN32)
    return (double)clock() / CLOCKS_PER_SEC;
#else
    struct timeval t;
    gettimeofday(&t, NULL);
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
#endif
}

static int on_terminal(void) {
#if defined(_WIN32)
    return _isatty(2);
#else
    return isatty(2);
#endif
}

/* The processor's own name, without the blanks that fill it. */
static void cpu_name(char to[64]) {
    char *end;
    memset(to, 0, 64);
#if defined(__GNUC__) && defined(__x86_64__)
    for (unsigned i = 0; i < 3; i++) {
        unsigned r[4] = {0, 0, 0, 0};
        if (__get_cpuid(0x80000002u + i, &r[0], &r[1], &r[2], &r[3])) memcpy(to + 16 * i, r, 16);
    }
#elif defined(__linux__)
    char  line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    while (f && !to[0] && fgets(line, sizeof line, f)) /* "model name : ..."; many Arm kernels don't say */
        if (!strncmp(line, "model name", 10) && strchr(line, ':')) snprintf(to, 64, "%.63s", strchr(line, ':') + 1);
    if (f) fclose(f);
#endif
    memmove(to, to + strspn(to, " \t"), strlen(to + strspn(to, " \t")) + 1);
    for (end = to + strlen(to); end > to && (end[-1] == ' ' || end[-1] == '\n'); end--) end[-1] = 0;
    if (!to[0]) strcpy(to, "a processor that doesn't tell its name");
}

static int cores(void) {
#if defined(_SC_NPROCESSORS_ONLN)
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
#else
    return 1;
#endif
}

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define COMPILER "gcc " __VERSION__
#else
#define COMPILER "an unknown compiler"
#endif
#if defined(__OPTIMIZE__)
#define OPTIMISED 1
#else
#define OPTIMISED 0
#endif

/* Most memory that this process ever held, in bytes; 0: this system doesn't tell. */
static double peak_resident(void) {
#if defined(_WIN32)
    return 0;
#else
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage)) return 0;
#if defined(__APPLE__)
    return (double)usage.ru_maxrss;
#else
    return 1024.0 * (double)usage.ru_maxrss;
#endif
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

typedef struct figures { /* what one measurement gives */
    double best, median, mean; /* seconds of one run                                             */
    long   rounds;             /* that were timed                                                */
    double flops;              /* of one run                                                     */
    double resident, held;     /* bytes at most: of the process (0: unknown), of the library     */
    long   allocations;        /* in all runs but the first                                      */
} figures;

enum { MOST_ROUNDS = 100000 };

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Times run(arg), which returns non-zero when it has failed: two runs to warm up, then rounds of about `round` seconds, at
 * least one run each, for `seconds` in all and at least `least` of them. */
static int measure(int (*run)(void *arg), void *arg, double seconds, double round, int least, figures *f) {
    double *times = (double *)malloc(MOST_ROUNDS * sizeof *times), start = 0, once, end, sum = 0;
    long    repeat, count = 0;
    int     status = times ? TOOL_DONE : tool_fail("there is no memory for %d figures", (int)MOST_ROUNDS);
    for (int warm = 0; warm < 2 && !status; warm++) {
        start = now();
        status = run(arg);
    }
    once = now() - start;
    repeat = once < round ? (long)(round / (once > 1e-7 ? once : 1e-7)) + 1 : 1;
    for (end = now() + seconds; !status && count < MOST_ROUNDS && (count < least || now() < end); count++) {
        start = now();
        for (long i = 0; i < repeat && !status; i++) status = run(arg);
        times[count] = (now() - start) / (double)repeat;
        sum += times[count];
    }
    if (!status) {
        qsort(times, (size_t)count, sizeof *times, by_value);
        f->best = times[0];
        f->median = 0.5 * (times[(count - 1) / 2] + times[count / 2]);
        f->mean = sum / (double)count;
        f->rounds = count;
    }
    free(times);
    return status;
}

/* --- the profile: own time, flops and bytes of each piece of work, by name --- */

enum { MOST_PIECES = 64, MOST_DEPTH = 16 };

typedef struct piece {
    char   name[80];
    double seconds, flops, bytes;
    long   calls;
} piece;

typedef struct profile {
    int    on, depth, pieces;
    piece  piece[MOST_PIECES];
    struct { const char *name; int backward; double start, inside; } open[MOST_DEPTH]; /* inside: taken by pieces in this one */
    double seconds;            /* of all runs                                                    */
    long   runs;
} profile;

/* For genai_ctx_desc.trace. A piece that lies in another counts as part of the outermost, but for products: what
 * differentiates a convolution is of interest one by one. */
static void trace(void *user, const genai_work *w) {
    profile *p = (profile *)user;
    double   t, took;
    char     name[80];
    int      i, apart_from_it;
    if (!p->on) return;
    t = now();
    if (!w->ended) {
        if (p->depth < MOST_DEPTH) {
            p->open[p->depth].name = w->name;
            p->open[p->depth].backward = w->backward;
            p->open[p->depth].start = t;
            p->open[p->depth].inside = 0;
        }
        p->depth++;
        return;
    }
    if (--p->depth >= MOST_DEPTH) return;
    took = t - p->open[p->depth].start;
    if (p->depth) p->open[p->depth - 1].inside += took;
    apart_from_it = p->depth && w->flops > 0;
    snprintf(name, sizeof name, "%.40s%s%s%.20s", p->open[0].name, p->open[0].backward ? " backward" : "", apart_from_it ? ": " : "",
             apart_from_it ? w->name : "");
    for (i = 0; i < p->pieces && strcmp(p->piece[i].name, name); i++) {}
    if (i == MOST_PIECES) return;
    if (i == p->pieces) {
        memset(&p->piece[i], 0, sizeof p->piece[i]);
        strcpy(p->piece[i].name, name);
        p->pieces++;
    }
    p->piece[i].seconds += took - p->open[p->depth].inside;
    p->piece[i].flops += w->flops;
    p->piece[i].bytes += w->bytes;
    p->piece[i].calls += !p->depth || apart_from_it;
}

static int by_share(const void *a, const void *b) {
    double x = ((const piece *)a)->seconds, y = ((const piece *)b)->seconds;
    return (x < y) - (x > y);
}

static double profile_flops(const profile *p) { /* of one run */
    double sum = 0;
    for (int i = 0; i < p->pieces; i++) sum += p->piece[i].flops;
    return p->runs ? sum / (double)p->runs : 0;
}

/* --- a process for each line: its memory is its own, and should it be killed the rest goes on to say so --- */

typedef struct results {
    figures f[4];
    profile profile;
} results;

typedef struct bench bench;

/* Runs job in a process of its own (where there is no fork: in this one) and hands over its results. */
static int apart(const bench *b, int (*job)(const bench *b, const void *arg, results *r), const void *arg, results *r) {
#if defined(_WIN32)
    memset(r, 0, sizeof *r);
    return job(b, arg, r);
#else
    int    ends[2], status = 0;
    size_t got = 0;
    pid_t  child;
    memset(r, 0, sizeof *r);
    fflush(NULL);
    if (pipe(ends)) return tool_fail("no pipe could be made");
    child = fork();
    if (!child) {
        const char *from = (const char *)r;
        close(ends[0]);
        status = job(b, arg, r);
        fflush(NULL);
        for (ssize_t n; !status && got < sizeof *r; got += (size_t)n)
            if ((n = write(ends[1], from + got, sizeof *r - got)) <= 0) status = TOOL_FAILED;
        _exit(status);
    }
    close(ends[1]);
    for (ssize_t n; child > 0 && got < sizeof *r && (n = read(ends[0], (char *)r + got, sizeof *r - got)) > 0;) got += (size_t)n;
    close(ends[0]);
    if (child < 0) return tool_fail("no process could be started");
    if (waitpid(child, &status, 0) < 0) return tool_fail("the process that measures was lost");
    if (WIFSIGNALED(status))
        return tool_fail("the process that measures was ended by signal %d%s", WTERMSIG(status),
                         WTERMSIG(status) == 9 ? ": most likely memory ran out" : "");
    if (WEXITSTATUS(status)) return WEXITSTATUS(status); /* it has said why */
    return got == sizeof *r ? TOOL_DONE : tool_fail("the process that measures ended early");
#endif
}

/* --- output: lines for people, or with --json one document at the end --- */

struct bench {
    const tool_args *a;
    double           seconds;  /* for each measurement                                           */
    int              least;    /* rounds                                                         */
    genai_isa        isa;
    int              threads;
    double           top;      /* the peak of one core in FLOP/s, as probed last                 */
    char            *json;     /* the document so far                                            */
    size_t           length, size;
    int              started;  /* the object or array that is open has a member                  */
    int lost; /* no memory for some of the document */
};

static void say(const bench *b, const char *format, ...) GENAI__PRINTF(2, 3);
static void say(const bench *b, const char *format, ...) {
    va_list args;
    if (b->a->json) return;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    fflush(stdout);
}

/* What is being measured, on a terminal only; NULL wipes it out. */
static void progress(const char *format, ...) GENAI__PRINTF(1, 2);
static void progress(const char *format, ...) {
    va_list args;
    if (!on_terminal()) return;
    fputs("\r\033[K", stderr);
    if (!format) return;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fflush(stderr);
}

static void json_add(bench *b, const char *text, size_t n) {
    if (b->length + n >= b->size) {
        size_t size = 2 * (b->length + n) + 1024;
        char  *more = (char *)realloc(b->json, size);
        if (!more) {
            b->lost = 1;
            return;
        }
        b->json = more;
        b->size = size;
    }
    memcpy(b->json + b->length, text, n);
    b->length += n;
}
static void json_quote(bench *b, const char *text) {
    json_add(b, "\"", 1);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') json_add(b, "\\", 1);
        json_add(b, (unsigned char)*text < 32 ? " " : text, 1);
    }
    json_add(b, "\"", 1);
}
static void json_name(bench *b, const char *name) { /* NULL: a member of an array */
    json_add(b, b->started ? ", " : "", b->started ? 2 : 0);
    b->started = 1;
    if (!name) return;
    json_quote(b, name);
    json_add(b, ": ", 2);
}
static void json_text(bench *b, const char *name, const char *text) { json_name(b, name), json_quote(b, text); }
static void json_number(bench *b, const char *name, double x) {
    char text[40];
    json_name(b, name);
    json_add(b, text, (size_t)snprintf(text, sizeof text, "%.9g", x));
}
static void json_open(bench *b, const char *name, const char *bracket) {
    json_name(b, name);
    json_add(b, bracket, 1);
    b->started = 0;
}
static void json_close(bench *b, const char *bracket) {
    json_add(b, bracket, 1);
    json_add(b, "\n", bracket[0] == '}');
    b->started = 1;
}

/* Of the peak of as many cores as there are threads, or as there are at all. */
static double percent(const bench *b, double flops, double seconds) {
    return 100 * flops / seconds / (b->top * (b->threads < cores() ? b->threads : cores()));
}

static void json_figures(bench *b, const char *name, const figures *f) {
    json_open(b, name, "{");
    json_number(b, "best_s", f->best);
    json_number(b, "median_s", f->median);
    json_number(b, "mean_s", f->mean);
    json_number(b, "rounds", (double)f->rounds);
    json_number(b, "flops", f->flops);
    json_number(b, "best_percent_of_peak", percent(b, f->flops, f->best));
    json_close(b, "}");
}

static void json_profile(bench *b, const profile *p) {
    json_open(b, "profile", "[");
    for (int i = 0; i < p->pieces; i++) {
        const piece *e = &p->piece[i];
        json_open(b, NULL, "{");
        json_text(b, "name", e->name);
        json_number(b, "share", e->seconds / p->seconds);
        json_number(b, "seconds", e->seconds / (double)p->runs);
        json_number(b, "calls", (double)e->calls / (double)p->runs);
        json_number(b, "flops", e->flops / (double)p->runs);
        json_number(b, "bytes", e->bytes / (double)p->runs);
        json_close(b, "}");
    }
    json_close(b, "]");
}

/* Probed beside each line, in rounds about as long as the line's: on a machine that others use too, longer rounds are
 * disturbed more, and so both are. */
static void probe(bench *b, double round) { b->top = 1e9 * peak(b->isa, round < 2e-3 ? 2e-3 : round > 0.02 ? 0.02 : round); }

/* --- what the benchmarks share --- */

static genai_ctx *make_ctx(const bench *b, const genai_allocator *allocator, profile *p) {
    genai_ctx_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.threads = (int)b->a->threads;
    desc.isa = b->a->isa;
    desc.log = tool_log;
    if (allocator) desc.allocator = *allocator;
    desc.trace = p ? trace : NULL;
    desc.trace_user = p;
    return genai_ctx_create(&desc);
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

static int batch_of(const bench *b, int usual) { return b->a->batch ? (int)b->a->batch : usual; }

#define MOST_VALUES 268435456.0 /* of one array here: a gigabyte */

typedef struct job { /* what is timed: a product, or a convolution and its gradients */
    genai_ctx      *ctx;
    genai_tensor   *x, *w, *bias, *y, *dy; /* y: where a gradient of a finished forward pass is timed */
    int             transpose_x, transpose_w, transposed;
    genai_conv_desc conv;
    size_t          mark;
} job;

static int job_end(job *j) {
    genai_tape_release(j->ctx, j->mark);
    return genai_ctx_result(j->ctx) ? TOOL_FAILED : TOOL_DONE;
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

static int run_matmul(void *arg) {
    job *j = (job *)arg;
    genai_matmul(j->x, j->w, j->transpose_x, j->transpose_w);
    return job_end(j);
}

static int gemm_job(const bench *b, const void *arg, results *r) {
    const product *p = (const product *)arg;
    int            status = TOOL_FAILED;
    job            j;
    memset(&j, 0, sizeof j);
    j.ctx = make_ctx(b, NULL, NULL);
    j.transpose_x = p->transpose_a;
    j.transpose_w = p->transpose_b;
    j.x = p->transpose_a ? tensor(j.ctx, 2, p->k, p->m, 1, 1) : tensor(j.ctx, 2, p->m, p->k, 1, 1);
    j.w = p->transpose_b ? tensor(j.ctx, 2, p->n, p->k, 1, 1) : tensor(j.ctx, 2, p->k, p->n, 1, 1);
    genai_recording(j.ctx, 0);
    r->f[0].flops = 2.0 * p->m * p->n * p->k;
    if (j.x && j.w) status = measure(run_matmul, &j, b->seconds, 0.05, b->least, &r->f[0]); /* rounds as blas_gemm.c has them */
    genai_ctx_destroy(j.ctx);
    return status;
}

static int gemm_line(bench *b, const product *p) {
    static const char *const order[4] = {"nn", "nt", "tn", "tt"};
    const char              *which = order[2 * p->transpose_a + p->transpose_b];
    results                  r;
    int                      status;
    progress("%d x %d x %d", p->m, p->n, p->k);
    status = apart(b, gemm_job, p, &r);
    progress(NULL);
    if (status) return status;
    probe(b, r.f[0].best);
    say(b, "%5d x %5d x %5d %8.1f GFLOP/s %5.1f %% %s median %8.1f\n", p->m, p->n, p->k, 1e-9 * r.f[0].flops / r.f[0].best,
        percent(b, r.f[0].flops, r.f[0].best), which, 1e-9 * r.f[0].flops / r.f[0].median);
    json_open(b, NULL, "{");
    json_number(b, "m", p->m);
    json_number(b, "n", p->n);
    json_number(b, "k", p->k);
    json_text(b, "order", which);
    json_figures(b, "forward", &r.f[0]);
    json_close(b, "}");
    return TOOL_DONE;
}

/* "512x512x512", with "nt", "tn" or "tt" behind it where factors are transposed. */
static int parse_product(const char *text, product *p) {
    char a = 'n', b = 'n', end;
    int  n = sscanf(text, "%6dx%6dx%6d%c%c%c", &p->m, &p->n, &p->k, &a, &b, &end);
    p->transpose_a = a == 't';
    p->transpose_b = b == 't';
    return (n == 3 || n == 5) && (a == 'n' || a == 't') && (b == 'n' || b == 't') && p->m > 0 && p->n > 0 && p->k > 0;
}

static int check_gemm(const tool_args *a) {
    for (int i = 1; i < a->operands; i++) {
        product p;
        if (!parse_product(a->operand[i], &p))
            return tool_usage(a, "'%s' is no shape of a matrix product such as 512x512x512 or 64x128x784nt", a->operand[i]);
        if ((double)p.m * p.n > MOST_VALUES || (double)p.m * p.k > MOST_VALUES || (double)p.k * p.n > MOST_VALUES)
            return tool_usage(a, "a matrix of %s has more than %.0f values, the most that are measured", a->operand[i], MOST_VALUES);
    }
    return TOOL_DONE;
}

static int bench_gemm(bench *b) {
    int status = TOOL_DONE, named = b->a->operands > 1 ? b->a->operands - 1 : 0;
    say(b, "gemm: C[m,n] = A[m,k] B[k,n], t where a factor is stored transposed; best of rounds of 50 ms, then the median\n");
    for (int i = 0; i < (named ? named : (int)(sizeof products / sizeof products[0])) && !status; i++) {
        product p = products[named ? 0 : i];
        if (named) parse_product(b->a->operand[i + 1], &p);
        status = gemm_line(b, &p);
    }
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

static genai_tensor *forward(job *j) {
    return j->transposed ? genai_conv2d_transpose(j->x, j->w, j->bias, &j->conv) : genai_conv2d(j->x, j->w, j->bias, &j->conv);
}
static int run_forward(void *arg) {
    forward((job *)arg);
    return job_end((job *)arg);
}
static int run_gradient(void *arg) { /* of the one that requires it */
    job          *j = (job *)arg;
    genai_tensor *leaf = j->x->requires_grad ? j->x : j->w, *gradient;
    genai_grad_from(j->y, j->dy, 1, &leaf, &gradient, 0);
    return job_end(j);
}
static int run_all(void *arg) {
    job          *j = (job *)arg;
    genai_tensor *leaf[3], *gradient[3];
    leaf[0] = j->x;
    leaf[1] = j->w;
    leaf[2] = j->bias;
    genai_grad_from(forward(j), j->dy, 3, leaf, gradient, 0);
    return job_end(j);
}

enum { FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, FORWARD_BACKWARD };

static int conv_job(const bench *b, const void *arg, results *r) {
    const layer *l = (const layer *)arg;
    int          n = batch_of(b, 64), status, shrunk = (l->size + 2 * l->pad - l->k) / l->stride + 1;
    int          places = l->transposed ? l->size : shrunk, out = l->transposed ? l->size * l->stride : shrunk;
    double       flops = 2.0 * n * places * places * l->in * l->out * l->k * l->k;
    job          j;
    memset(&j, 0, sizeof j);
    j.ctx = make_ctx(b, NULL, NULL);
    j.transposed = l->transposed;
    j.conv.stride_h = j.conv.stride_w = l->stride;
    j.conv.pad_h = j.conv.pad_w = l->pad;
    if (l->transposed) j.conv.output_h = j.conv.output_w = out;
    j.x = tensor(j.ctx, 4, n, l->size, l->size, l->in);
    j.w = l->transposed ? tensor(j.ctx, 4, l->k, l->k, l->out, l->in) : tensor(j.ctx, 4, l->k, l->k, l->in, l->out);
    j.bias = tensor(j.ctx, 1, l->out, 1, 1, 1);
    j.dy = tensor(j.ctx, 4, n, out, out, l->out);
    status = j.x && j.w && j.bias && j.dy ? TOOL_DONE : TOOL_FAILED;
    for (int what = 0; what < 4 && !status; what++) {
        j.x->requires_grad = what == INPUT_GRADIENT || what == FORWARD_BACKWARD;
        j.w->requires_grad = what == WEIGHT_GRADIENT || what == FORWARD_BACKWARD;
        j.bias->requires_grad = what == FORWARD_BACKWARD;
        genai_recording(j.ctx, what != FORWARD);
        if (what == INPUT_GRADIENT || what == WEIGHT_GRADIENT) j.y = forward(&j);
        j.mark = genai_tape_mark(j.ctx);
        r->f[what].flops = what == FORWARD_BACKWARD ? 3 * flops : flops;
        status = measure(what == FORWARD ? run_forward : what == FORWARD_BACKWARD ? run_all : run_gradient, &j, b->seconds, 0, b->least,
                         &r->f[what]);
        j.mark = 0;
        genai_tape_release(j.ctx, 0);
    }
    genai_ctx_destroy(j.ctx);
    return status;
}

static int conv_line(bench *b, const layer *l) {
    static const char *const name[4] = {"forward", "input_gradient", "weight_gradient", "forward_backward"};
    results                  r;
    char                     text[64];
    int                      status;
    snprintf(text, sizeof text, "%s %3d -> %3d k%d s%d %2dx%-2d", l->transposed ? "convt" : "conv ", l->in, l->out, l->k, l->stride, l->size,
             l->size);
    progress("%s", text);
    status = apart(b, conv_job, l, &r);
    progress(NULL);
    if (status) return status;
    probe(b, r.f[FORWARD_BACKWARD].best);
    say(b, "%s", text);
    json_open(b, NULL, "{");
    json_text(b, "kind", l->transposed ? "convt" : "conv");
    json_number(b, "in", l->in);
    json_number(b, "out", l->out);
    json_number(b, "kernel", l->k);
    json_number(b, "stride", l->stride);
    json_number(b, "size", l->size);
    for (int i = 0; i < 4; i++) {
        say(b, " %9.1f %5.1f %%", 1e-9 * r.f[i].flops / r.f[i].best, percent(b, r.f[i].flops, r.f[i].best));
        json_figures(b, name[i], &r.f[i]);
    }
    say(b, "\n");
    json_close(b, "}");
    return TOOL_DONE;
}

static int check_conv(const tool_args *a) {
    if (a->operands > 1) return tool_usage(a, "bench conv doesn't take '%s'", a->operand[1]);
    if ((double)a->batch * 65536 > MOST_VALUES) /* the largest here is 32x32x64 */
        return tool_usage(a, "bench conv takes a --batch of at most %.0f, so that no array has more than %.0f values", MOST_VALUES / 65536,
                          MOST_VALUES);
    return TOOL_DONE;
}

static int bench_conv(bench *b) {
    int status = TOOL_DONE;
    say(b, "conv: batch %d, with bias; best run, GFLOP/s and %% of peak, of nominal FLOPs: above 100 %% where fewer multiplications do\n",
        batch_of(b, 64));
    say(b, "%-27s %9s %7s %17s %17s %17s\n", "", "forward", "", "input gradient ", "weight gradient ", "forward + both ");
    for (size_t i = 0; i < sizeof layers / sizeof layers[0] && !status; i++) status = conv_line(b, &layers[i]);
    return status;
}

/* --- train, sample, scale --- */

typedef struct meter { size_t now, most; long allocations; } meter; /* what the library holds in bytes, and how often it asked */

static void *meter_alloc(void *user, size_t bytes) {
    meter  *m = (meter *)user;
    size_t *p = bytes > (size_t)-1 - 64 ? NULL : (size_t *)malloc(bytes + 64);
    if (!p) return NULL;
    p[0] = bytes;
    m->now += bytes;
    m->allocations++;
    if (m->now > m->most) m->most = m->now;
    return (unsigned char *)p + 64;
}
static void meter_free(void *user, void *memory) {
    size_t *p = (size_t *)(void *)((unsigned char *)memory - 64);
    ((meter *)user)->now -= p[0];
    free(p);
}

typedef struct run { /* of a model; width 0: the preset's size */
    const genai_preset *preset;
    int                 batch, width, height, channels, sampling;
    genai_model        *model;
    float              *images, *latents;
} run;

static int run_model(void *arg) {
    run *j = (run *)arg;
    if (j->sampling) return genai_model_decode(j->model, j->batch, j->latents, NULL, j->images) ? TOOL_FAILED : TOOL_DONE;
    return genai_model_step(j->model, j->batch, j->images, NULL, NULL) ? TOOL_FAILED : TOOL_DONE;
}

static int too_many(long n, long width, long height, long channels) {
    if ((double)n * (double)width * (double)height * (double)channels <= MOST_VALUES) return TOOL_DONE;
    return tool_fail("%ld images %ldx%ldx%ld have more than %.0f values, the most that are measured", n, width, height, channels, MOST_VALUES);
}

static int model_job(const bench *b, const void *arg, results *r) {
    run              j = *(const run *)arg;
    meter            memory = {0, 0, 0};
    genai_allocator  allocator;
    genai_model_desc desc;
    genai_ctx       *ctx;
    double           pixels, end;
    long             before;
    int              status = TOOL_FAILED;
    allocator.alloc = meter_alloc;
    allocator.free = meter_free;
    allocator.user = &memory;
    if (too_many(j.batch, j.width, j.height, j.channels ? j.channels : 1)) return TOOL_FAILED; /* before a net of that size is made */
    ctx = make_ctx(b, &allocator, &r->profile);
    memset(&desc, 0, sizeof desc);
    desc.preset = j.preset->name;
    desc.width = j.width;
    desc.height = j.height;
    desc.channels = j.channels;
    j.model = ctx ? genai_model_create(ctx, &desc) : NULL;
    if (!j.model) goto done;
    desc = genai_model_resolved(j.model);
    pixels = (double)j.batch * desc.width * desc.height * desc.channels;
    if (too_many(j.batch, desc.width, desc.height, desc.channels)) goto done;
    j.images = (float *)malloc((size_t)pixels * sizeof(float));
    j.latents = (float *)malloc((size_t)j.batch * (size_t)desc.latent * sizeof(float));
    if (!j.images || !j.latents) {
        tool_fail("there is no memory for %d images %dx%dx%d", j.batch, desc.width, desc.height, desc.channels);
        goto done;
    }
    fill(j.images, (size_t)pixels);
    if (genai_model_latents(j.model, 0, j.batch, j.latents) || run_model(&j)) goto done;
    before = memory.allocations;
    status = measure(run_model, &j, b->seconds, 0, b->least, &r->f[0]);
    r->f[0].resident = peak_resident();
    r->f[0].held = (double)memory.most;
    r->f[0].allocations = memory.allocations - before;
    r->profile.on = 1; /* one run counts the flops */
    for (end = now() + b->seconds; !status && (!r->profile.runs || (b->a->profile && now() < end)); r->profile.runs++) {
        double start = now();
        status = run_model(&j);
        r->profile.seconds += now() - start;
    }
    r->f[0].flops = profile_flops(&r->profile);
    qsort(r->profile.piece, (size_t)r->profile.pieces, sizeof(piece), by_share);
done:
    genai_ctx_destroy(ctx);
    free(j.images);
    free(j.latents);
    return status;
}

static void say_profile(const bench *b, const profile *p) {
    double rest = p->seconds, products = 0, ms = 1e3 / (double)p->runs;
    say(b, "   share      ms  calls              each op, forward and backward; products inside others apart\n");
    for (int i = 0; i < p->pieces; i++) {
        const piece *e = &p->piece[i];
        int          product = e->flops > 0;
        double       count = product ? e->flops : e->bytes, rate = e->seconds > 0 ? 1e-9 * count / e->seconds : 0;
        char         text[40] = "";
        rest -= e->seconds;
        if (product) products += e->seconds;
        if (count > 0) snprintf(text, sizeof text, "%8.1f %s", rate, product ? "GFLOP/s" : "GB/s");
        say(b, "  %5.1f %% %7.3f %6.1f %-17s %s\n", 100 * e->seconds / p->seconds, e->seconds * ms, (double)e->calls / (double)p->runs, text,
            e->name);
    }
    say(b, "  %5.1f %% %7.3f %24s between the ops\n", 100 * rest / p->seconds, rest * ms, "");
    say(b, "  100.0 %% %7.3f        %8.1f GFLOP/s  in all; %.1f %% are neither matrix product nor convolution\n", p->seconds * ms,
        1e-9 * profile_flops(p) * (double)p->runs / p->seconds, 100 * (1 - products / p->seconds));
}

/* Measures one model and adds it to the document. */
static int model_measure(bench *b, const run *j, results *r) {
    int status;
    progress("%s batch %d", j->preset->name, j->batch);
    status = apart(b, model_job, j, r);
    progress(NULL);
    if (status) return status;
    probe(b, r->f[0].best);
    json_open(b, NULL, "{");
    json_text(b, "preset", j->preset->name);
    json_number(b, "batch", j->batch);
    if (j->width) json_number(b, "width", j->width);
    if (j->width) json_number(b, "height", j->height);
    json_number(b, "images_per_s", j->batch / r->f[0].median);
    json_figures(b, j->sampling ? "sample" : "step", &r->f[0]);
    json_number(b, "peak_resident_bytes", r->f[0].resident);
    json_number(b, "peak_library_bytes", r->f[0].held);
    json_number(b, "allocations", (double)r->f[0].allocations);
    if (b->a->profile) json_profile(b, &r->profile);
    json_close(b, "}");
    return TOOL_DONE;
}

static const char *mebibytes(double bytes, char to[32]) {
    if (bytes > 0) snprintf(to, 32, "%.1f MiB", bytes / 1048576);
    else strcpy(to, "n/a");
    return to;
}

static int model_line(bench *b, const genai_preset *preset, int n, int sampling) {
    char           text[32];
    results        r;
    const figures *f = &r.f[0];
    run            j;
    int            status;
    memset(&j, 0, sizeof j);
    j.preset = preset;
    j.batch = n;
    j.sampling = sampling;
    j.width = (int)b->a->size[0];
    j.height = (int)b->a->size[1];
    j.channels = (int)b->a->channels;
    status = model_measure(b, &j, &r);
    if (status) return status;
    say(b, "%-14s batch %d threads %d %.1f img/s ", preset->name, n, b->threads, n / f->median);
    if (sampling) say(b, "median %.1f us min %.1f us", 1e6 * f->median, 1e6 * f->best);
    else say(b, "%.3f ms/step", 1e3 * f->median);
    say(b, " peak %s (", mebibytes(f->resident, text));
    if (!sampling) say(b, "mean %.3f best %.3f ms, ", 1e3 * f->mean, 1e3 * f->best);
    say(b, "%.1f %% of peak, library %s, %ld allocations in %ld runs)\n", percent(b, f->flops, f->median), mebibytes(f->held, text),
        f->allocations, f->rounds);
    if (b->a->profile) say_profile(b, &r.profile);
    return TOOL_DONE;
}

/* The presets named, or all of them. */
static int bench_models(bench *b, int sampling) {
    const tool_args *a = b->a;
    int              status = TOOL_DONE, named = a->operands > 1 ? a->operands - 1 : 0;
    for (int i = 0; i < (named ? named : genai_preset_count()) && !status; i++) {
        const genai_preset *p = named ? tool_preset(a->operand[i + 1]) : genai_preset_at(i);
        if (sampling && !a->batch) status = model_line(b, p, 1, 1);
        if (!status) status = model_line(b, p, batch_of(b, 64), sampling);
    }
    return status;
}

static int check_presets(const tool_args *a) {
    for (int i = 1; i < a->operands; i++)
        if (!tool_preset(a->operand[i]))
            return tool_usage(a, "there is no preset '%s'; did you mean %s?", a->operand[i], tool_nearest_preset(a->operand[i]));
    return TOOL_DONE;
}

static int bench_train(bench *b) {
    say(b, "train: images/s and ms/step from the median step; peak: resident set of a process that does nothing else\n");
    return bench_models(b, 0);
}
static int bench_sample(bench *b) {
    say(b, "sample: the generator or decoder alone, from given latents\n");
    return bench_models(b, 1);
}

/* Time for an image against the batch, then for a pixel against the size. */
static int scale_curve(bench *b, const genai_preset *preset, int by_size) {
    static const int batches[] = {16, 32, 64, 128, 256, 0}, sizes[] = {32, 64, 128, 256, 0};
    const int       *value = by_size ? sizes : batches;
    double           first = 0;
    if (by_size) say(b, "%s, batch %d, by size:\n  side    ns/pixel  to first   flop/pixel  GFLOP/s  peak\n", preset->name,
                     batch_of(b, 16));
    else say(b, "%s, by batch:\n batch    ms/image  to first  MFLOP/image  GFLOP/s  peak\n", preset->name);
    for (; *value; value++) {
        char    text[32];
        results r;
        run     j;
        double  per, unit;
        int     status;
        memset(&j, 0, sizeof j);
        j.preset = preset;
        j.batch = by_size ? batch_of(b, 16) : *value;
        j.width = by_size ? *value : (int)b->a->size[0];
        j.height = by_size ? *value : (int)b->a->size[1];
        j.channels = (int)b->a->channels;
        status = model_measure(b, &j, &r);
        if (status) return status;
        unit = by_size ? (double)j.batch * j.width * j.height : j.batch;
        per = r.f[0].median / unit;
        if (first <= 0) first = per;
        say(b, "%6d %11.3f %9.2f %12.2f %8.1f  %s\n", *value, per * (by_size ? 1e9 : 1e3), per / first,
            r.f[0].flops / unit * (by_size ? 1 : 1e-6), 1e-9 * r.f[0].flops / r.f[0].median, mebibytes(r.f[0].resident, text));
    }
    return TOOL_DONE;
}

static int bench_scale(bench *b) {
    const tool_args *a = b->a;
    int              status = TOOL_DONE;
    say(b, "scale: median training step; to first: 1.00 is flat\n");
    for (int i = 1; (i < a->operands || i == 1) && !status; i++) {
        const genai_preset *p = tool_preset(i < a->operands ? a->operand[i] : "gan");
        status = scale_curve(b, p, 0);
        if (!status && !p->width) status = scale_curve(b, p, 1);
    }
    return status;
}

/* --- the table --- */

static const struct benchmark {
    const char *name;
    int (*check)(const tool_args *a); /* its words and sizes, before anything is printed                          */
    int (*run)(bench *b);
    double seconds, brief;            /* for each measurement; brief: of `genai bench` alone, 0: left out there   */
} benchmarks[] = {
    {"gemm", check_gemm, bench_gemm, 0.4, 0.1},
    {"conv", check_conv, bench_conv, 0.3, 0.02},
    {"train", check_presets, bench_train, 3, 0.3},
    {"sample", check_presets, bench_sample, 2, 0.05},
    {"scale", check_presets, bench_scale, 1.5, 0},
};

static int run_benchmark(bench *b, const struct benchmark *m, int brief) {
    int status;
    b->seconds = b->a->seconds > 0 ? b->a->seconds : brief ? m->brief : m->seconds;
    b->least = brief ? 3 : 5;
    json_open(b, m->name, "[");
    status = m->run(b);
    json_close(b, "]");
    return status;
}

/* What is measured on, and the peak before. */
static int begin(bench *b) {
    char       name[64];
    genai_ctx *ctx = make_ctx(b, NULL, NULL);
    if (!ctx) return TOOL_FAILED;
    b->isa = genai_ctx_isa(ctx);
    b->threads = genai_ctx_threads(ctx);
    genai_ctx_destroy(ctx);
    cpu_name(name);
    probe(b, 0.02);
    say(b, "genai %s on %s, %d %s; %s, %d %s; compiled by %s, %s; peak of one core %.1f GFLOP/s\n", genai_version(), name, cores(),
        cores() == 1 ? "core" : "cores", genai_isa_name(b->isa), b->threads, b->threads == 1 ? "thread" : "threads", COMPILER,
        OPTIMISED ? "optimised" : "not optimised", 1e-9 * b->top);
    json_open(b, NULL, "{");
    json_text(b, "genai", genai_version());
    json_text(b, "cpu", name);
    json_number(b, "cores", cores());
    json_text(b, "isa", genai_isa_name(b->isa));
    json_number(b, "threads", b->threads);
    json_text(b, "compiler", COMPILER);
    json_number(b, "optimised", OPTIMISED);
    json_number(b, "peak_before_flops", b->top);
    return TOOL_DONE;
}

static void end(bench *b) {
    probe(b, 0.02);
    say(b, "peak of one core afterwards %.1f GFLOP/s\n", 1e-9 * b->top);
    json_number(b, "peak_after_flops", b->top);
    json_close(b, "}");
}

int tool_bench(const tool_args *a) {
    const struct benchmark *chosen = NULL;
    const size_t            count = sizeof benchmarks / sizeof benchmarks[0];
    bench                   b;
    int                     status = TOOL_DONE;
    memset(&b, 0, sizeof b);
    b.a = a;
    for (size_t i = 0; a->operands && i < count; i++)
        if (!strcmp(benchmarks[i].name, a->operand[0])) chosen = &benchmarks[i];
    if (a->operands && !chosen) return tool_usage(a, "bench has no '%s'; it has gemm, conv, train, sample and scale", a->operand[0]);
    for (size_t i = 0; i < count && !status; i++)
        if (!chosen || chosen == &benchmarks[i]) status = benchmarks[i].check(a);
    if (status) return status;
    status = begin(&b);
    if (!status && chosen) status = run_benchmark(&b, chosen, 0);
    for (size_t i = 0; !chosen && i < count && !status; i++)
        if (benchmarks[i].brief > 0) status = run_benchmark(&b, &benchmarks[i], 1);
    if (!status) {
        end(&b);
        if (a->json && (b.lost || !b.json || fwrite(b.json, 1, b.length, stdout) != b.length)) {
            tool_fail("the JSON document could not be written");
            status = TOOL_FAILED;
        }
    }
    free(b.json);
    return status;
}
