/* genai_matmul in all transpositions and batch forms: against a double reference with the bound of Higham (2002, 3.5)
 * K*eps*sum|ab|; against one chain of fma over k in order, bit for bit (as long as k isn't cut into parts); and every
 * instruction set and thread count against the scalar pass, bit for bit. All tails: M, N, K of 1 to 20, and around the
 * sizes of tiles and blocks. */
#define GENAI_IMPLEMENTATION
#include "../genai.h"
#include "check.h"

#define MAX_CONTEXTS 8
static genai_ctx *contexts[MAX_CONTEXTS]; /* [0]: scalar, one thread */
static int        context_count;
#define CHAIN_K 2047 /* up to this depth a product is one chain */

static float value(uint32_t seed, uint32_t i) {
    uint32_t x = seed * 0x9e3779b9u + i;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    x ^= x >> 16;
    return (float)(x >> 8) / 8388608.0f - 1;
}

/* The context's tensor with rows*columns of `from` (row-major), stored as it is or transposed. */
static genai_tensor *stored(genai_ctx *ctx, const float *from, int rows, int columns, int transposed) {
    int           dim[2], i, j;
    genai_tensor *t;
    dim[0] = transposed ? columns : rows;
    dim[1] = transposed ? rows : columns;
    t = genai_tensor_of(ctx, 2, dim, transposed ? NULL : from);
    for (i = 0; t && transposed && i < rows; i++)
        for (j = 0; j < columns; j++) t->data[j * rows + i] = from[i * columns + j];
    return t;
}

static float a_values[1 << 21], b_values[1 << 21], chain[1 << 20];

/* One product in all 4 transpositions on the contexts first, first + step, ... */
static void check_shape(int m, int n, int k, int first, int step) {
    int    i, j, p, c, form, exact = k <= CHAIN_K;
    float *scalar = NULL;
    for (i = 0; i < m * k; i++) a_values[i] = value(1, (uint32_t)i);
    for (i = 0; i < k * n; i++) b_values[i] = value(2, (uint32_t)i);
    if (exact)
        for (i = 0; i < m; i++)
            for (j = 0; j < n; j++) {
                float sum = 0;
                for (p = 0; p < k; p++) sum = fmaf(a_values[i * k + p], b_values[p * n + j], sum);
                chain[i * n + j] = sum;
            }
    for (c = first; c < context_count; c += step)
        for (form = 0; form < 4; form++) {
            genai_ctx    *ctx = contexts[c];
            genai_tensor *y = genai_matmul(stored(ctx, a_values, m, k, form & 1), stored(ctx, b_values, k, n, form >> 1), form & 1, form >> 1);
            long          wrong = 0, at = 0;
            CHECK(y && y->ndim == 2 && y->dim[0] == m && y->dim[1] == n, "%dx%dx%d: %s", m, n, k, genai_ctx_error(ctx));
            if (!y) { genai_ctx_clear(ctx); continue; }
            if (exact) {
                for (i = 0; i < m * n; i++)
                    if (memcmp(chain + i, y->data + i, sizeof(float)) != 0) { wrong++; at = i; }
                CHECK(!wrong, "%dx%dx%d transposed %d %d, %s, %d threads: %ld elements aren't the chain, the last at %ld: %.9g, not %.9g", m, n, k, form & 1, form >> 1,
                      genai_isa_name(genai_ctx_isa(ctx)), genai_ctx_threads(ctx), wrong, at, (double)y->data[at], (double)chain[at]);
            } else if (!scalar) {
                scalar = (float *)malloc((size_t)(m * n) * sizeof(float));
                if (!scalar) exit(2);
                memcpy(scalar, y->data, (size_t)(m * n) * sizeof(float));
            } else
                CHECK(!memcmp(scalar, y->data, (size_t)(m * n) * sizeof(float)), "%dx%dx%d transposed %d %d, %s, %d threads differs from scalar", m, n, k, form & 1, form >> 1,
                      genai_isa_name(genai_ctx_isa(ctx)), genai_ctx_threads(ctx));
            if (c == first && form == 0) { /* the bound, on up to 500 elements */
                int step_by = 1 + m * n / 500;
                for (i = 0; i < m * n; i += step_by) {
                    double sum = 0, size = 0;
                    for (p = 0; p < k; p++) {
                        double product = (double)a_values[i / n * k + p] * (double)b_values[p * n + i % n];
                        sum += product;
                        size += fabs(product);
                    }
                    if (fabs((double)y->data[i] - sum) > k * 5.97e-8 * size + 1e-30) { wrong++; at = i; }
                }
                CHECK(!wrong, "%dx%dx%d: %ld elements beyond the bound, the last at %ld", m, n, k, wrong, at);
            }
            genai_tape_release(ctx, 0);
        }
    free(scalar);
}

/* Batches: each with its own B, or one B for all; 3 and 4 dims; each equal to the product of its own matrices. */
static void check_batch(int m, int n, int k) {
    static const int leads[4][2] = { { 0, 3 }, { 2, 3 }, { 0, 1 }, { 1, 5 } };
    int              l, form, shared, c, b;
    for (l = 0; l < 4; l++)
        for (form = 0; form < 4; form++)
            for (shared = 0; shared < 2; shared++)
                for (c = 0; c < context_count; c++) {
                    genai_ctx    *ctx = contexts[c];
                    int           ad[4], bd[4], at = 0, count = (leads[l][0] ? leads[l][0] : 1) * leads[l][1], wrong = 0;
                    genai_tensor *x, *w, *y;
                    size_t        i;
                    if (leads[l][0]) { ad[at] = bd[at] = leads[l][0]; at++; }
                    ad[at] = bd[at] = leads[l][1];
                    at++;
                    ad[at] = form & 1 ? k : m;
                    ad[at + 1] = form & 1 ? m : k;
                    bd[at] = form & 2 ? n : k;
                    bd[at + 1] = form & 2 ? k : n;
                    x = genai_tensor_of(ctx, at + 2, ad, NULL);
                    w = shared ? genai_tensor_of(ctx, 2, bd + at, NULL) : genai_tensor_of(ctx, at + 2, bd, NULL);
                    for (i = 0; i < x->count; i++) x->data[i] = value(3, (uint32_t)i);
                    for (i = 0; i < w->count; i++) w->data[i] = value(4, (uint32_t)i);
                    y = genai_matmul(x, w, form & 1, form >> 1);
                    CHECK(y && y->ndim == at + 2 && y->count == (size_t)(count * m * n), "batch: %s", genai_ctx_error(ctx));
                    for (b = 0; y && b < count; b++) {
                        genai_tensor *one = genai_matmul(genai_tensor_of(ctx, 2, ad + at, x->data + b * m * k),
                                                         genai_tensor_of(ctx, 2, bd + at, w->data + (shared ? 0 : b * k * n)), form & 1, form >> 1);
                        wrong += !one || memcmp(one->data, y->data + b * m * n, (size_t)(m * n) * sizeof(float)) != 0;
                    }
                    CHECK(!wrong, "batch of %d %dx%dx%d transposed %d %d%s, %s, %d threads: %d differ from their own products", count, m, n, k, form & 1, form >> 1,
                          shared ? ", one B" : "", genai_isa_name(genai_ctx_isa(ctx)), genai_ctx_threads(ctx), wrong);
                    genai_ctx_clear(ctx);
                    genai_tape_release(ctx, 0);
                }
}

int main(void) {
    static const int       large[][3] = {
        { 95, 95, 95 },    { 96, 96, 96 },   { 97, 97, 97 },   { 255, 33, 255 }, { 33, 255, 256 }, { 64, 48, 257 },  { 257, 257, 17 }, { 97, 47, 511 },
        { 96, 49, 512 },   { 95, 48, 513 },  { 1, 1, 1000 },   { 1, 513, 300 },  { 513, 1, 300 },  { 3, 511, 100 },  { 7, 512, 128 },  { 13, 1025, 5 },
        { 193, 65, 384 },  { 192, 64, 385 }, { 191, 63, 383 }, { 1025, 3, 16 },  { 2, 2, 2047 },   { 385, 31, 20 },  { 384, 32, 1 },   { 383, 16, 769 },
        { 100, 400, 784 }, { 8, 8, 2048 },   { 5, 17, 4097 }, { 256, 512, 4096 },  { 17, 5, 10001 }, { 1, 1, 100000 }, { 20, 33, 16385 } };
    static const genai_isa isas[] = { GENAI_ISA_SCALAR, GENAI_ISA_AVX2, GENAI_ISA_AVX512, GENAI_ISA_NEON };
    genai_ctx_desc         desc;
    size_t                 s;
    int                    m, n, k, all;
    memset(&desc, 0, sizeof desc);
    desc.log = check_quiet;
    for (s = 0; s < 4; s++) {
        desc.isa = isas[s];
        desc.threads = 1;
        contexts[context_count] = genai_ctx_create(&desc);
        if (!contexts[context_count]) { printf("skipped: this processor has no %s\n", genai_isa_name(isas[s])); continue; }
        context_count++;
        desc.threads = 3;
        contexts[context_count++] = genai_ctx_create(&desc);
    }
    for (s = 0; s < (size_t)context_count; s++) {
        if (!contexts[s]) return 2;
        genai_recording(contexts[s], 0);
    }
    all = context_count;
    for (m = 1; m <= 20; m += check_short() ? 3 : 1)
        for (n = 1; n <= 20; n += check_short() ? 3 : 1)
            for (k = 1; k <= 20; k += check_short() ? 3 : 1) check_shape(m, n, k, 0, 2);
    for (n = 21; n <= 49; n++) check_shape(15, n, 9, 0, 2); /* tails of 2 and 3 panels */
    for (m = 21; m <= 40; m++) check_shape(m, 17, 9, 0, 2);
    for (s = 0; s < sizeof large / sizeof large[0]; s++)
        if (!check_short() || large[s][0] * large[s][1] * large[s][2] < 50000000) check_shape(large[s][0], large[s][1], large[s][2], 0, 1);
    check_batch(3, 5, 4);
    check_batch(17, 33, 20);
    check_batch(1, 1, 1);
    check_batch(20, 18, 300);
    for (n = 0; n < all; n++) genai_ctx_destroy(contexts[n]);
    return CHECK_DONE("gemm");
}
