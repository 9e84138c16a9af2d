/* Every op of the public interface, from one table: errors, bits on every instruction set and thread count, gradients
 * and second gradients by central differences, values and gradients from PyTorch (tests/fixtures). Then what the table
 * can't say: closed forms, accuracy of the functions, random numbers, the rules of the tape.
 * Run from the repository's root. An argument names the only op, or the only group of checks, to run. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include <fenv.h>
#include <time.h>
#include "../genai.h"
#include "check.h"

/* ---------------------------------------------------------------------------------------------------------------------
 * The table. A row is CHECK_OP(name, inputs, flags, call, cases, bad): `inputs` has a letter for each input (what values
 * it gets, see make_value; a capital letter: no gradient is asked for). A case is "SHAPE SHAPE ... : ints : floats", with
 * () for a scalar and - for NULL; cases are separated by |, and one that begins with ! is large: its bits are compared,
 * but no differences are taken. Each case of `bad` must fail with ARGUMENT or SHAPE and a sentence.
 * ------------------------------------------------------------------------------------------------------------------ */
#define MAX_IN 5
typedef struct args {
    genai_ctx    *ctx;
    genai_tensor *x[MAX_IN];
    int           i[8], ints;
    float         f[4];
} args;

typedef struct op_row {
    const char *name, *inputs;
    unsigned    flags;
    genai_tensor *(*call)(const args *a);
    const char *cases, *bad;
} op_row;

#define TWICE 1u   /* its gradient can be differentiated again: must be; without: it may be, or says UNSUPPORTED */
#define OPTIONAL 2u /* the last input may be NULL */

static int axis_list(const args *a, int *to) {
    int n = a->i[0], k;
    for (k = 0; k < n; k++) to[k] = a->i[k + 1];
    return n;
}
static genai_tensor *call_reshape(const args *a) {
    int dim[8], n = axis_list(a, dim);
    return genai_reshape(a->x[0], n, dim);
}
static genai_tensor *call_conv(const args *a, int transpose) {
    genai_conv_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.stride_h = a->i[0];
    desc.stride_w = a->i[1];
    desc.pad_h = a->i[2];
    desc.pad_w = a->i[3];
    desc.output_h = a->i[4];
    desc.output_w = a->i[5];
    return transpose ? genai_conv2d_transpose(a->x[0], a->x[1], a->x[2], &desc) : genai_conv2d(a->x[0], a->x[1], a->x[2], &desc);
}

#define X0 a->x[0]
#define X1 a->x[1]
#define X2 a->x[2]
#define BROADCAST                                                                                                      \
    "() () | 1 1 | 7 7 | 3x5 () | () 3x5 | 2x3x4x5 5 | 5 2x3x4x5 | 4x1 1x6 | 2x1x4x1 1x3x1x5 | 1x3x1x5 2x1x4x1 | "     \
    "2x3x4x5 3x1x5 | 2x3x2x17 17 | 3x16 3x1 | 1x1x1x1 3 | 2x3x4x5 2x3x4x5 | 33 33 | 2x1 1 | 3x2x2x3 3x1x1x3 | "        \
    "2x4x1x3 4x5x1 | !5x1000 1000 | !64x33x31 33x1 | !3x7x11x129 3x1x1x129 | !70001 70001 | !70001 1 | !300x1 1x301"
#define BROADCAST_BAD "2x3 4 | 2x3 2 | 3x2 2x3x3 | 2x3x4x5 4 | 5 4x1x6"
#define EACH "() | 1 | 7 | 15 | 16 | 17 | 3x5 | 2x3x4x5 | 33x3 | !70001 | !257x129"
#define POOL "1x2x2x1 : 2 2 | 2x4x4x3 : 2 2 | 1x5x7x2 : 2 2 | 1x5x7x2 : 3 2 | 2x5x6x17 : 3 1 | 1x7x4x1 : 1 1 | 1x6x7x3 : 2 3 | 1x3x3x5 : 3 3 | !3x17x23x33 : 3 2 | !8x32x32x16 : 2 2"
#define POOL_BAD "2x4x4x3 : 0 1 | 2x4x4x3 : 5 1 | 2x4x4x3 : 2 -1 | 4x4x3 : 2 2 | 2x4x4x3 : -2 2"
#define NORM                                                                                                           \
    "2x3x3x2 2 2 : : 1e-3 | 3x2x5x3 3 3 : : 1e-5 | 1x4x4x1 1 1 : : 1e-5 | 2x3x1x17 17 17 : : 1e-5 | 1x2x2x16 16 16 : : 1e-2 |"

#define OPS                                                                                                            \
    CHECK_OP(add, "nn", TWICE, genai_add(X0, X1), BROADCAST, BROADCAST_BAD)                                            \
    CHECK_OP(sub, "nn", TWICE, genai_sub(X0, X1), BROADCAST, BROADCAST_BAD)                                            \
    CHECK_OP(mul, "nn", TWICE, genai_mul(X0, X1), BROADCAST, BROADCAST_BAD)                                            \
    CHECK_OP(div, "np", TWICE, genai_div(X0, X1), BROADCAST, BROADCAST_BAD)                                            \
    CHECK_OP(min, "ge", TWICE, genai_min(X0, X1), BROADCAST, BROADCAST_BAD)                                            \
    CHECK_OP(max, "ge", TWICE, genai_max(X0, X1), BROADCAST, BROADCAST_BAD)                                            \
    CHECK_OP(scale, "n", TWICE, genai_scale(X0, a->f[0], a->f[1]),                                                     \
             "() : : 2 1 | 17 : : -0.5 3 | 3x5 : : 0 1 | 2x3x4x5 : : 1 0 | !70001 : : 1.5 -0.25", "")                  \
    CHECK_OP(neg, "n", TWICE, genai_neg(X0), EACH, "")                                                                 \
    CHECK_OP(square, "n", TWICE, genai_square(X0), EACH, "")                                                           \
    CHECK_OP(sqrt, "p", TWICE, genai_sqrt(X0), EACH, "")                                                               \
    CHECK_OP(exp, "n", TWICE, genai_exp(X0), EACH, "")                                                                 \
    CHECK_OP(log, "p", TWICE, genai_log(X0), EACH, "")                                                                 \
    CHECK_OP(tanh, "n", TWICE, genai_tanh(X0), EACH, "")                                                               \
    CHECK_OP(sigmoid, "n", TWICE, genai_sigmoid(X0), EACH, "")                                                         \
    CHECK_OP(softplus, "n", TWICE, genai_softplus(X0), EACH, "")                                                       \
    CHECK_OP(relu, "g", TWICE, genai_relu(X0), EACH, "")                                                               \
    CHECK_OP(leaky_relu, "g", TWICE, genai_leaky_relu(X0, a->f[0]),                                                    \
             "() : : 0.2 | 17 : : 0.3 | 3x5 : : 0.01 | 2x3x4x5 : : 0.2 | !70001 : : 0.2", "")                          \
    CHECK_OP(elu, "g", TWICE, genai_elu(X0, a->f[0]), "() : : 1 | 17 : : 0.5 | 3x5 : : 1 | 2x3x4x5 : : 2 | !70001 : : 1", "") \
    CHECK_OP(gelu, "n", TWICE, genai_gelu(X0), EACH, "")                                                               \
    CHECK_OP(silu, "n", TWICE, genai_silu(X0), EACH, "")                                                               \
    CHECK_OP(abs, "g", TWICE, genai_abs(X0), EACH, "")                                                                 \
    CHECK_OP(clamp, "g", TWICE, genai_clamp(X0, a->f[0], a->f[1]),                                                     \
             "() : : -0.6 0.8 | 17 : : -0.6 0.8 | 3x5 : : 0 1 | 2x3x4x5 : : -1 -0.4 | !70001 : : -0.6 0.8", "") \
    CHECK_OP(sum, "n", TWICE, genai_sum(X0, (unsigned)a->i[0]),                                                        \
             "() : 0 | 1 : 0 | 7 : 1 | 3x5 : 0 | 3x5 : 1 | 3x5 : 2 | 3x5 : 3 | 2x3x17 : 5 | 2x3x4 : 2 | 2x3x4 : 6 | "  \
             "2x3x4x5 : 0 | 2x3x4x5 : 1 | 2x3x4x5 : 2 | 2x3x4x5 : 3 | 2x3x4x5 : 4 | 2x3x4x5 : 5 | 2x3x4x5 : 6 | "      \
             "2x3x4x5 : 7 | 2x3x4x5 : 8 | 2x3x4x5 : 9 | 2x3x4x5 : 10 | 2x3x4x5 : 11 | 2x3x4x5 : 12 | 2x3x4x5 : 13 | "  \
             "2x3x4x5 : 14 | 2x3x4x5 : 15 | 1x1x1x1 : 5 | 3x1x1x2 : 6 | !70001 : 0 | !300x301 : 1 | !300x301 : 2 | "   \
             "!7x33x31x65 : 5 | !7x33x31x65 : 10 | !7x33x31x65 : 7 | !7x33x31x65 : 14 | !7x33x31x65 : 6 | !5000x3 : 1", \
             "3x5 : 4 | () : 1 | 2x3x4x5 : 16")                                                                        \
    CHECK_OP(mean, "n", TWICE, genai_mean(X0, (unsigned)a->i[0]),                                                      \
             "() : 0 | 7 : 0 | 3x5 : 0 | 3x5 : 1 | 3x5 : 2 | 2x3x4x5 : 6 | 2x3x4x5 : 9 | 2x3x4x5 : 7 | 2x3x4x5 : 14 | " \
             "!70001 : 0 | !7x33x31x65 : 6", "3x5 : 4 | 2x3x4x5 : 32")                                                 \
    CHECK_OP(reshape, "n", TWICE, call_reshape(a),                                                                     \
             "6 : 2 2 3 | 2x3 : 1 6 | 2x3x4x5 : 2 2 -1 | 2x3x4x5 : 4 5 4 3 2 | 1 : 0 | () : 4 1 1 1 1 | 7x3 : 1 -1",   \
             "6 : 2 4 2 | 6 : 2 -1 -1 | 6 : 2 -1 4 | 6 : 5 1 1 1 1 6 | 6 : 2 0 6 | 6 : 2 -2 -3")                       \
    CHECK_OP(transpose, "n", TWICE, genai_transpose(X0, a->i),                                                         \
             "7 : 0 | 3x5 : 1 0 | 3x5 : 0 1 | 2x3x4 : 2 0 1 | 2x3x4 : 1 0 2 | 2x3x4x5 : 3 2 1 0 | 2x3x4x5 : 0 3 1 2 | " \
             "2x3x4x5 : 0 2 3 1 | 2x3x4x5 : 1 0 2 3 | 1x1x1x1 : 3 1 0 2 | 17x33 : 1 0 | !129x257 : 1 0 | !3x33x31x17 : 0 3 1 2", \
             "3x5 : 0 0 | 3x5 : 1 2 | 3x5 : -1 0 | 2x3x4x5 : 0 1 2 2")                                                 \
    CHECK_OP(concat, "nn", TWICE, genai_concat(X0, X1, a->i[0]),                                                       \
             "3 4 : 0 | 1 1 : 0 | 2x3 2x5 : 1 | 2x3 4x3 : 0 | 2x3x4x5 2x3x4x1 : 3 | 2x3x4x5 2x3x2x5 : 2 | "            \
             "2x3x4x5 2x1x4x5 : 1 | 2x3x4x5 3x3x4x5 : 0 | !7x33x31x17 7x33x31x16 : 3 | !7x33x31x16 7x33x3x16 : 2",     \
             "2x3 3x3 : 1 | 2x3 2x3 : 2 | 2x3 2x3 : -1 | 2x3 2x3x1 : 0 | 2x3x4x5 2x3x4x4 : 2")                         \
    CHECK_OP(slice, "n", TWICE, genai_slice(X0, a->i[0], a->i[1], a->i[2]),                                            \
             "7 : 0 2 3 | 7 : 0 0 7 | 3x5 : 1 4 1 | 3x5 : 0 1 2 | 2x3x4x5 : 3 1 3 | 2x3x4x5 : 2 1 2 | 2x3x4x5 : 1 0 1 | " \
             "2x3x4x5 : 0 1 1 | !7x33x31x17 : 3 1 15 | !7x33x31x17 : 1 2 30",                                          \
             "7 : 0 5 3 | 7 : 0 -1 3 | 7 : 0 0 0 | 7 : 1 0 1 | 7 : -1 0 1 | 7 : 0 7 1 | 7 : 0 1 2147483647")           \
    CHECK_OP(pad, "n", TWICE, genai_pad(X0, a->i[0], a->i[1], a->i[2]),                                                \
             "7 : 0 2 3 | 7 : 0 0 0 | 3x5 : 1 4 0 | 3x5 : 0 0 2 | 2x3x4x5 : 3 1 3 | 2x3x4x5 : 2 1 2 | 2x3x4x5 : 1 0 1 | " \
             "2x3x4x5 : 0 1 1 | !7x33x31x17 : 3 1 15 | !7x33x31x17 : 1 2 3", "7 : 0 -1 2 | 7 : 1 1 1 | 7 : 0 1 -3 | 7 : -1 1 1") \
    CHECK_OP(matmul, "nn", TWICE, genai_matmul(X0, X1, a->i[0], a->i[1]),                                              \
             "1x1 1x1 : 0 0 | 2x3 3x4 : 0 0 | 3x2 3x4 : 1 0 | 2x3 4x3 : 0 1 | 3x2 4x3 : 1 1 | 17x5 5x33 : 0 0 | "      \
             "2x3x4 2x4x5 : 0 0 | 2x4x3 2x4x5 : 1 0 | 2x3x4 2x5x4 : 0 1 | 2x4x3 2x5x4 : 1 1 | 2x3x4 4x5 : 0 0 | "      \
             "2x3x4 5x4 : 0 1 | 2x2x3x4 2x2x4x1 : 0 0 | 2x2x3x4 4x2 : 0 0 | 2x4x3 4x2 : 1 0 | 2x4x3 5x4 : 1 1 | "      \
             "!65x70 70x67 : 0 0 | !70x65 70x67 : 1 0 | !65x70 67x70 : 0 1 | !3x33x70 70x67 : 0 0 | !130x300 300x97 : 0 0", \
             "2x3 4x3 : 0 0 | 2x3 3 : 0 0 | 3 3x2 : 0 0 | 2x3x4 3x4x5 : 0 0 | 2x3x4 2x3x4 : 0 0 | 2x2x3x4 2x4x1 : 0 0 | 2x3 2x3x4 : 0 0 | () () : 0 0") \
    CHECK_OP(dense, "nnn", TWICE | OPTIONAL, genai_dense(X0, X1, X2),                                                  \
             "1x1 1x1 1 | 2x3 3x4 4 | 2x3 3x4 - | 3x17 17x33 33 | 5x7 7x1 1 | !64x100 100x129 129 | !100x784 784x33 33", \
             "2x3 4x3 3 | 2x3 3x4 3 | 2x3 3x4 1x4 | 3 3x4 4 | 2x3 3x4x1 4 | 2x3 3x4 4x1")                              \
    CHECK_OP(conv2d, "nnn", TWICE | OPTIONAL, call_conv(a, 0),                                                         \
             "1x1x1x1 1x1x1x1 1 : 0 0 0 0 | 1x3x3x1 3x3x1x1 - : 1 1 0 0 | 1x4x5x2 3x3x2x3 3 : 1 1 -1 -1 | "            \
             "2x5x4x3 1x1x3x2 2 : 1 1 0 0 | 1x5x6x1 2x2x1x3 3 : 2 2 -1 -1 | 1x6x5x2 4x4x2x2 - : 2 2 -1 -1 | "          \
             "1x5x5x3 5x5x3x2 2 : 2 2 -1 -1 | 1x7x6x2 3x3x2x2 2 : 2 1 1 0 | 1x7x6x1 3x2x1x2 2 : 1 2 2 1 | "            \
             "1x7x8x2 2x2x2x1 1 : 3 3 0 0 | 1x5x8x1 1x1x1x3 3 : 2 3 0 0 | 1x4x4x1 2x3x1x1 1 : 3 3 -1 -1 | "            \
             "2x3x3x16 3x3x16x1 1 : 1 1 1 1 | 1x3x3x1 3x3x1x17 17 : 1 1 -1 -1 | 1x2x3x17 2x1x17x2 - : 1 1 0 0 | "      \
             "1x2x2x1 3x3x1x1 1 : 1 1 2 2 | 1x6x3x2 5x1x2x2 2 : 1 1 2 0 | 1x5x3x2 1x4x2x2 - : 1 2 0 -1 | "             \
             "1x2x2x3 5x5x3x1 1 : 2 2 -1 -1 | 1x6x7x2 4x3x2x3 3 : 3 2 1 2 | "                                          \
             "!2x28x28x1 4x4x1x64 64 : 2 2 -1 -1 | !2x17x13x64 5x5x64x17 - : 2 2 -1 -1 | !3x9x11x17 3x3x17x65 65 : 1 1 1 1 | " \
             "!1x32x32x3 5x5x3x64 64 : 2 2 -1 -1 | !2x7x7x128 4x4x128x33 33 : 2 2 -1 -1 | !5x8x8x64 1x1x64x64 64 : 1 1 0 0 | " \
             "!1x31x2x5 2x2x5x3 3 : 3 3 0 0", \
             "2x5x5x3 3x3x1x4 4 : 1 1 0 0 | 2x5x5x3 3x3x3x4 3 : 1 1 0 0 | 2x2x2x3 3x3x3x4 4 : 1 1 0 0 | 5x5x3 3x3x3x4 4 : 1 1 0 0 | " \
             "2x5x5x3 3x3x3 4 : 1 1 0 0 | 2x5x5x3 3x3x3x4 4 : -1 1 0 0 | 2x5x5x3 3x3x3x4 4 : 1 1 -2 0 | 2x5x5x3 3x3x3x4 4x1 : 1 1 0 0") \
    CHECK_OP(conv2d_transpose, "nnn", TWICE | OPTIONAL, call_conv(a, 1),                                               \
             "1x1x1x1 1x1x1x1 1 : 0 0 0 0 0 0 | 1x3x3x1 3x3x1x1 - : 1 1 0 0 0 0 | 1x4x5x2 3x3x3x2 3 : 1 1 -1 -1 0 0 | " \
             "1x2x3x2 4x4x2x2 2 : 2 2 -1 -1 0 0 | 1x2x3x1 5x5x3x1 3 : 2 2 -1 -1 0 0 | 1x3x2x3 2x2x1x3 - : 2 2 0 0 0 0 | " \
             "1x3x2x2 4x4x2x2 2 : 2 2 1 1 0 0 | 1x3x2x2 3x3x1x2 1 : 2 2 1 1 6 4 | 1x3x2x2 3x3x1x2 1 : 2 2 1 1 5 3 | "  \
             "1x3x2x2 3x3x1x2 1 : 2 2 -1 -1 5 3 | 1x2x2x1 1x1x2x1 2 : 3 3 0 0 0 0 | 1x2x2x1 2x2x2x1 2 : 3 3 0 0 7 6 | " \
             "1x2x3x2 3x2x1x2 1 : 1 2 0 0 0 0 | 1x3x3x16 3x3x1x16 1 : 1 1 1 1 0 0 | 1x2x2x1 3x3x17x1 17 : 2 2 -1 -1 0 0 | " \
             "1x2x2x17 2x1x2x17 - : 1 1 0 0 0 0 | 1x2x2x3 5x5x1x3 1 : 3 3 -1 -1 0 0 | 1x3x2x1 2x2x2x1 2 : 3 3 -1 -1 0 0 | " \
             "1x4x4x2 3x3x2x2 2 : 1 1 2 2 0 0 | "                                                                      \
             "!2x7x7x128 4x4x65x128 65 : 2 2 -1 -1 0 0 | !1x14x14x64 4x4x1x64 1 : 2 2 -1 -1 0 0 | !2x9x5x17 5x5x33x17 - : 2 2 -1 -1 0 0 | " \
             "!2x16x16x64 5x5x3x64 3 : 2 2 -1 -1 0 0 | !3x5x4x33 3x3x17x33 17 : 1 1 1 1 0 0 | !1x4x4x256 5x5x128x256 128 : 1 1 -1 -1 0 0", \
             "2x5x5x3 3x3x4x1 4 : 1 1 0 0 | 2x5x5x3 3x3x4x3 3 : 1 1 0 0 | 5x5x3 3x3x4x3 4 : 1 1 0 0 | 2x3x3x3 3x3x4x3 4 : 2 2 1 1 9 5 | " \
             "2x3x3x3 3x3x4x3 4 : 2 2 1 1 4 5 | 2x3x3x3 3x3x4x3 4 : -2 2 1 1 | 2x1x1x3 3x3x4x3 4 : 1 1 3 3 | 2x3x3x3 3x3x4x3 4 : 2 2 -1 -1 7 7") \
    CHECK_OP(batch_norm, "nnnNP", 0, genai_batch_norm(X0, X1, X2, a->x[3], a->x[4], (genai_mode)a->i[0], a->f[0], a->f[1]), \
             "4x3 3 3 3 3 : 1 : 0.9 1e-3 | 2x3x4x5 5 5 5 5 : 1 : 0.8 1e-5 | 2x3x2x17 17 17 17 17 : 2 : 0.9 1e-3 | 6x1 1 1 1 1 : 1 : 0.9 1e-3 | " \
             "4x3 3 3 3 3 : 0 : 0.9 1e-3 | 2x3x4x5 5 5 5 5 : 0 : 0.9 1e-3 | 1x3 3 3 3 3 : 0 : 0.9 1e-3 | 3x2x4 4 4 4 4 : 2 : 0.9 1e-3 | " \
             "!64x129 129 129 129 129 : 1 : 0.9 1e-3 | !8x17x19x65 65 65 65 65 : 1 : 0.9 1e-3 | !8x17x19x65 65 65 65 65 : 0 : 0.9 1e-3 | " \
             "!5000x3 3 3 3 3 : 1 : 0.9 1e-3 | !32x8x8x256 256 256 256 256 : 2 : 0.9 1e-3",                            \
             "4x3 2 3 3 3 : 1 : 0.9 1e-3 | 4x3 3 2 3 3 : 1 : 0.9 1e-3 | 4x3 3 3 2 3 : 1 : 0.9 1e-3 | 4x3 3 3 3 2 : 1 : 0.9 1e-3 | " \
             "1x3 3 3 3 3 : 1 : 0.9 1e-3 | 1x1x1x3 3 3 3 3 : 2 : 0.9 1e-3 | () 1 1 1 1 : 0 : 0.9 1e-3")                \
    CHECK_OP(layer_norm, "nnn", TWICE, genai_layer_norm(X0, X1, X2, a->f[0]),                                          \
             NORM " 3x5 5 5 : : 1e-3 | 2x4x3 3 3 : : 1e-3 | !5x129 129 129 : : 1e-5 | !3x17x15x33 33 33 : : 1e-5",      \
             "3x5 4 5 : : 1e-3 | 3x5 5 3 : : 1e-3 | () 1 1 : : 1e-3")                                                  \
    CHECK_OP(instance_norm, "nnn", TWICE, genai_instance_norm(X0, X1, X2, a->f[0]),                                    \
             NORM " !5x8x8x129 129 129 : : 1e-5 | !3x17x15x33 33 33 : : 1e-5", "2x3x3x2 3 2 : : 1e-3 | 2x3x3x2 2 3 : : 1e-3") \
    CHECK_OP(group_norm, "nnn", TWICE, genai_group_norm(X0, X1, X2, a->i[0], a->f[0]),                                 \
             "2x3x2x4 4 4 : 2 : 1e-3 | 2x2x3x6 6 6 : 3 : 1e-5 | 1x2x2x4 4 4 : 1 : 1e-3 | 2x3x2x3 3 3 : 3 : 1e-3 | 2x2x2x34 34 34 : 2 : 1e-3 | " \
             "!3x17x15x64 64 64 : 8 : 1e-5", "2x3x3x4 4 4 : 3 : 1e-3 | 2x3x3x4 4 4 : 0 : 1e-3 | 2x3x3x4 3 4 : 2 : 1e-3 | 2x3x3x4 4 4 : -2 : 1e-3") \
    CHECK_OP(dropout, "n", 0, genai_dropout(X0, a->f[0]), "() : : 0.5 | 17 : : 0.3 | 2x3x4x5 : : 0.5 | 5 : : 0 | !70001 : : 0.3", \
             "5 : : 1 | 5 : : -0.1 | 5 : : 1.5")                                                                       \
    CHECK_OP(upsample, "n", 0, genai_upsample(X0, a->i[0]),                                                            \
             "1x1x1x1 : 2 | 2x3x2x3 : 2 | 1x2x3x17 : 3 | 1x2x2x2 : 1 | !3x17x9x33 : 2", "2x3x3x2 : 0 | 3x3x2 : 2 | 2x3x3x2 : -1 | 1x1x1x1 : 2147483647") \
    CHECK_OP(average_pool, "n", 0, genai_average_pool(X0, a->i[0], a->i[1]), POOL, POOL_BAD)                           \
    CHECK_OP(max_pool, "d", 0, genai_max_pool(X0, a->i[0], a->i[1]), POOL, POOL_BAD)                                   \
    CHECK_OP(softmax, "n", 0, genai_softmax(X0), "1 | 7 | 3x5 | 1x1 | 2x3x17 | 2x3x2x3 | 3x16 | !65x129 | !1000x10 | !3x1000", "()") \
    CHECK_OP(log_softmax, "n", 0, genai_log_softmax(X0), "1 | 7 | 3x5 | 1x1 | 2x3x17 | 2x3x2x3 | 3x16 | !65x129 | !1000x10 | !3x1000", "()") \
    CHECK_OP(mse_loss, "nn", 0, genai_mse_loss(X0, X1), "1 1 | 5 5 | 3x5 3x5 | 2x3x4x5 2x3x4x5 | !33x1029 33x1029", "3x5 5x3 | 3x5 3x4 | 3x5 5") \
    CHECK_OP(l1_loss, "ge", 0, genai_l1_loss(X0, X1), "1 1 | 5 5 | 3x5 3x5 | 2x3x4x5 2x3x4x5 | !33x1029 33x1029", "3x5 5x3 | 3x5 3x4 | 3x5 5") \
    CHECK_OP(bce_loss, "nT", OPTIONAL, genai_bce_loss(X0, X1, a->f[0]),                                                \
             "1 1 | 5 5 | 3x5 3x5 | 2x3x4x5 2x3x4x5 | 7x1 - : : 1 | 7x1 - : : 0 | 3x2 - : : 0.9 | !33x1029 33x1029 | !333 - : : 1", "3x5 5x3 | 3x5 3x4") \
    CHECK_OP(cross_entropy_loss, "n", 0, genai_cross_entropy_loss(X0, a->i),                                           \
             "1x1 : 0 | 3x5 : 4 0 2 | 5x2 : 1 0 0 1 1 | 2x17 : 16 3 | !8x129 : 1 2 3 4 5 6 7 128", "3x5 : 4 5 2 | 3x5 : 4 -1 2 | 3 : 0 0 0") \
    CHECK_OP(gaussian_nll_loss, "nnn", 0, genai_gaussian_nll_loss(X0, X1, X2), "1 1 1 | 3x5 3x5 3x5 | 2x3x2x2 2x3x2x2 2x3x2x2 | !33x1029 33x1029 33x1029", \
             "3x5 3x4 3x5 | 3x5 3x5 5x3")                                                                              \
    CHECK_OP(kl_loss, "nn", 0, genai_kl_loss(X0, X1), "1 1 | 3x5 3x5 | 7x17 7x17 | !100x129 100x129", "3x5 3x4 | 3x5 5x3") \
    CHECK_OP(hinge_loss, "g", 0, genai_hinge_loss(X0, a->f[0]), "1 : : 1 | 7x1 : : 1 | 7x1 : : -1 | 3x5 : : 1 | !333 : : -1", "")

#define CHECK_OP(name, inputs, flags, call, cases, bad) static genai_tensor *call_of_##name(const args *a) { return call; }
OPS
#undef CHECK_OP
#define CHECK_OP(name, inputs, flags, call, cases, bad) { #name, inputs, flags, call_of_##name, cases, bad },
static const op_row rows[] = { OPS };
#undef CHECK_OP
#define ROWS ((int)(sizeof rows / sizeof rows[0]))

/* ---------------------------------------------------------------------------------------------------------------------
 * Values and cases.
 * ------------------------------------------------------------------------------------------------------------------ */
static uint32_t mix(uint32_t a, uint32_t b) { /* lowbias32 of both */
    uint32_t x = a * 0x9e3779b9u + b + 0x7f4a7c15u;
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}
static float unit(uint32_t a, uint32_t b) { return (float)(mix(a, b) >> 8) / 16777216.0f; }

/* Element i of count. n: anything in +-2; p: positive; g and e: odd and even multiples of 0.1, so that a step of 1/32
 * crosses no kink of relu, min, max; d: all distinct; t: a probability. Wild values span zero to huge. */
static float make_value(char kind, uint32_t seed, size_t i, size_t count, int wild) {
    float u = unit(seed, (uint32_t)i);
    int   letter = kind >= 'a' ? kind : kind + 32;
    if (wild && letter != 't') {
        static const float scale[16] = { 1, 1, 1, 1, 1, 1, 10, 100, 1e4f, 1e-4f, 1e-10f, 1e-20f, 1e-37f, 1e10f, 0, -0.0f };
        float              v = (4 * u - 2) * scale[mix(seed + 77, (uint32_t)i) & 15];
        return letter == 'p' && v < 0 ? -v : v;
    }
    switch (letter) {
        case 'p': return 0.3f + 2.2f * u;
        case 'g': return 0.2f * (float)(int)(20 * u) - 1.9f;
        case 'e': return 0.2f * (float)(int)(20 * u) - 1.8f;
        case 'd': return 0.15f * ((float)((i * 7919 + 13) % count) - 0.5f * (float)count) * (count > 60 ? 0.5f : 1);
        case 't': return 0.05f + 0.9f * u;
        default: return 4 * u - 2;
    }
}

typedef struct op_case {
    int  n, ndim[MAX_IN], dim[MAX_IN][4], is_null[MAX_IN], large, ints;
    int  i[8];
    float f[4];
} op_case;

/* Reads the case at *text and moves behind its |; 0 at the end. */
static int next_case(const char **text, op_case *c) {
    const char *p = *text;
    int         part = 0, floats = 0, any = 0;
    memset(c, 0, sizeof *c);
    for (;; p++) {
        while (*p == ' ') p++;
        if (!*p || *p == '|') break;
        any = 1;
        if (*p == '!') c->large = 1;
        else if (*p == ':') part++;
        else if (part == 0) {
            if (*p == '-') c->is_null[c->n] = 1;
            else if (*p == '(') p++;
            else
                for (;;) {
                    char *end;
                    c->dim[c->n][c->ndim[c->n]++] = (int)strtol(p, &end, 10);
                    p = end;
                    if (*p != 'x') { p--; break; }
                    p++;
                }
            c->n++;
        } else {
            char  *end;
            double v = strtod(p, &end);
            if (part == 1) c->i[c->ints++] = (int)v;
            else c->f[floats++] = (float)v;
            p = end - 1;
        }
    }
    if (*p == '|') p++;
    *text = p;
    return any;
}

static const char *case_text(const op_row *row, const op_case *c) {
    static char to[256];
    int         k, d, at = snprintf(to, sizeof to, "%s(", row->name);
    for (k = 0; k < c->n; k++) {
        at += snprintf(to + at, sizeof to - (size_t)at, "%s", k ? " " : "");
        if (c->is_null[k]) at += snprintf(to + at, sizeof to - (size_t)at, "-");
        for (d = 0; d < c->ndim[k]; d++) at += snprintf(to + at, sizeof to - (size_t)at, "%s%d", d ? "x" : "", c->dim[k][d]);
    }
    for (k = 0; k < c->ints; k++) at += snprintf(to + at, sizeof to - (size_t)at, "%s%d", k ? " " : "; ", c->i[k]);
    snprintf(to + at, sizeof to - (size_t)at, "; %g %g)", (double)c->f[0], (double)c->f[1]);
    return to;
}

static void make_args(genai_ctx *ctx, const op_row *row, const op_case *c, uint32_t seed, int wild, args *a) {
    int    k;
    size_t i;
    memset(a, 0, sizeof *a);
    a->ctx = ctx;
    a->ints = c->ints;
    memcpy(a->i, c->i, sizeof a->i);
    memcpy(a->f, c->f, sizeof a->f);
    for (k = 0; k < c->n; k++) {
        genai_tensor *t;
        if (c->is_null[k]) continue;
        a->x[k] = t = genai_tensor_create(ctx, c->ndim[k], c->dim[k]);
        if (!t) continue;
        for (i = 0; i < t->count; i++) t->data[i] = make_value(row->inputs[k], mix(seed, (uint32_t)k), i, t->count, wild);
        t->requires_grad = row->inputs[k] >= 'a';
    }
}
static void free_args(args *a) {
    int k;
    for (k = 0; k < MAX_IN; k++) genai_tensor_destroy(a->x[k]);
}

/* ---------------------------------------------------------------------------------------------------------------------
 * What is computed from a case: y; dx, the gradients of sum(w y); ddx, the gradients of sum(v dx). One after the other.
 * ------------------------------------------------------------------------------------------------------------------ */
typedef struct floats {
    float *p;
    size_t count, capacity;
} floats;

static void append(floats *v, const float *p, size_t count) {
    if (v->count + count > v->capacity) {
        v->capacity = (v->count + count) * 2;
        v->p = (float *)realloc(v->p, v->capacity * sizeof(float));
        if (!v->p) exit(2);
    }
    if (p) memcpy(v->p + v->count, p, count * sizeof(float));
    else memset(v->p + v->count, 0, count * sizeof(float));
    v->count += count;
}

static float weight_of(uint32_t seed, size_t i) { return 2 * unit(seed, (uint32_t)i) - 1; }
static genai_tensor *weights_like(genai_tensor *y, uint32_t seed) {
    genai_tensor *w = genai_tensor_of(y->ctx, y->ndim, y->dim, NULL);
    size_t        i;
    for (i = 0; w && i < w->count; i++) w->data[i] = weight_of(seed, i);
    return w;
}
#define SEED_W 1000u
#define SEED_V 2000u

/* which: a sum of 1 (y), 2 (dx), 4 (ddx). 0 if it failed. */
static int compute(const op_row *row, args *a, unsigned which, floats *out) {
    genai_ctx    *ctx = a->ctx;
    size_t        mark = genai_tape_mark(ctx);
    int           recording = genai_recording(ctx, which > 1), n = 0, k;
    genai_tensor *y, *s, *x[MAX_IN], *dx[MAX_IN];
    genai_random_at(ctx, 3, 1);
    y = row->call(a);
    if (y && (which & 1)) append(out, y->data, y->count);
    if (y && which > 1) {
        for (k = 0; k < MAX_IN; k++)
            if (a->x[k] && a->x[k]->requires_grad) x[n++] = a->x[k];
        s = genai_sum(genai_mul(y, weights_like(y, SEED_W)), 0);
        if (genai_grad(s, n, x, dx, (which & 4) != 0) == GENAI_OK) {
            if (which & 2)
                for (k = 0; k < n; k++) append(out, dx[k]->data, dx[k]->count);
            if (which & 4) {
                genai_tensor *total = NULL;
                for (k = 0; k < n; k++) {
                    const int     flat = -1;
                    genai_tensor *part = genai_sum(genai_reshape(genai_mul(dx[k], weights_like(dx[k], SEED_V + (uint32_t)k)), 1, &flat), 0);
                    total = total ? genai_add(total, part) : part;
                    if (x[k]->grad) memset(x[k]->grad->data, 0, x[k]->count * sizeof(float));
                }
                if (total && (!total->requires_grad || genai_backward(total) == GENAI_OK)) /* of a linear op: constant */
                    for (k = 0; k < n; k++) append(out, x[k]->grad ? x[k]->grad->data : NULL, x[k]->count);
            }
        }
    }
    genai_recording(ctx, recording);
    genai_tape_release(ctx, mark);
    return genai_ctx_result(ctx) == GENAI_OK;
}

/* Index of the first element whose bits differ (two NaNs are equal), or -1. */
static long first_difference(const floats *a, const floats *b) {
    size_t i;
    if (a->count != b->count) return 0;
    for (i = 0; i < a->count; i++)
        if (memcmp(a->p + i, b->p + i, sizeof(float)) != 0 && !(a->p[i] != a->p[i] && b->p[i] != b->p[i])) return (long)i;
    return -1;
}

/* ---------------------------------------------------------------------------------------------------------------------
 * The groups of checks on a row.
 * ------------------------------------------------------------------------------------------------------------------ */
#define MAX_CONTEXTS 20
static genai_ctx *contexts[MAX_CONTEXTS]; /* [0]: scalar, one thread */
static int        context_count;

static genai_ctx *quiet_context(genai_isa isa, int threads) {
    genai_ctx_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = 5;
    desc.isa = isa;
    desc.threads = threads;
    desc.log = check_quiet;
    return genai_ctx_create(&desc);
}

/* A host that runs tasks in the reverse order: no result may depend on it. */
static void host_parallel_for(void *user, int n, void (*task)(void *arg, int index), void *arg) {
    (void)user;
    while (n--) task(arg, n);
}
static genai_ctx *host_context(void) {
    genai_ctx_desc desc;
    memset(&desc, 0, sizeof desc);
    desc.seed = 5;
    desc.threads = 4;
    desc.log = check_quiet;
    desc.parallel_for = host_parallel_for;
    return genai_ctx_create(&desc);
}

static void check_errors(const op_row *row) {
    genai_ctx  *ctx = contexts[0];
    const char *text = row->bad;
    op_case     c;
    args        a;
    int         k;
    while (next_case(&text, &c)) {
        genai_tensor *y;
        genai_result  result;
        make_args(ctx, row, &c, 1, 0, &a);
        y = row->call(&a);
        result = genai_ctx_result(ctx);
        CHECK(!y && (result == GENAI_ERROR_ARGUMENT || result == GENAI_ERROR_SHAPE), "%s gives %p, %d", case_text(row, &c), (void *)y, (int)result);
        CHECK(strlen(genai_ctx_error(ctx)) > 10, "%s has no sentence: \"%s\"", case_text(row, &c), genai_ctx_error(ctx));
        genai_ctx_clear(ctx);
        genai_tape_release(ctx, 0);
        free_args(&a);
    }
    text = row->cases;
    next_case(&text, &c);
    for (k = 0; k < c.n - (row->flags & OPTIONAL ? 1 : 0); k++) { /* NULL passes through, silently */
        genai_tensor *was;
        make_args(ctx, row, &c, 1, 0, &a);
        was = a.x[k];
        a.x[k] = NULL;
        CHECK(!row->call(&a) && genai_ctx_result(ctx) == GENAI_OK, "%s with input %d NULL: %s", row->name, k, genai_ctx_error(ctx));
        genai_ctx_clear(ctx);
        genai_tape_release(ctx, 0);
        a.x[k] = was;
        free_args(&a);
    }
}

/* Can the row's gradient be differentiated again? If not, it must say so. */
static int is_twice(const op_row *row, const op_case *c) {
    genai_ctx   *ctx = contexts[0];
    args         a;
    floats       v = { 0 };
    genai_result result;
    make_args(ctx, row, c, 1, 0, &a);
    compute(row, &a, 4, &v);
    result = genai_ctx_result(ctx);
    CHECK(result == GENAI_OK || (result == GENAI_ERROR_UNSUPPORTED && !(row->flags & TWICE) && genai_ctx_error(ctx)[0]),
          "%s: second gradient gives %d: %s", case_text(row, c), (int)result, genai_ctx_error(ctx));
    genai_ctx_clear(ctx);
    free_args(&a);
    free(v.p);
    return result == GENAI_OK;
}

static void check_bits(const op_row *row) {
    const char *text = row->cases;
    op_case     c;
    uint32_t    seed = 10;
    while (next_case(&text, &c)) {
        int    wild, n, twice = is_twice(row, &c);
        floats oracle = { 0 }, v = { 0 };
        for (wild = 0; wild < 2; wild++)
            for (seed++, n = 0; n < context_count; n++) {
                floats *to = n ? &v : &oracle;
                args    a;
                int     ok;
                long    at;
                if (c.large && (n == 1 || n == 3)) continue; /* scalar with 2 and 7 threads: slow, and 3 does as well */
                to->count = 0;
                make_args(contexts[n], row, &c, seed, wild, &a);
                ok = compute(row, &a, twice ? 7u : 3u, to);
                CHECK(ok, "%s: %s", case_text(row, &c), genai_ctx_error(contexts[n]));
                if (a.x[4]) { /* running statistics */
                    append(to, a.x[3]->data, a.x[3]->count);
                    append(to, a.x[4]->data, a.x[4]->count);
                }
                genai_ctx_clear(contexts[n]);
                free_args(&a);
                if (!n || !ok) continue;
                at = first_difference(&oracle, to);
                CHECK(at < 0, "%s %s: %s with %d threads differs from scalar at %ld of %zu: %.9g, not %.9g", case_text(row, &c), wild ? "wild" : "",
                      genai_isa_name(genai_ctx_isa(contexts[n])), genai_ctx_threads(contexts[n]), at, oracle.count,
                      (double)to->p[at < 0 ? 0 : at], (double)oracle.p[at < 0 ? 0 : at]);
            }
        free(oracle.p);
        free(v.p);
    }
}

/* Central differences of F = sum of weights * outputs, where the outputs are y (order 1) or dx (order 2), against the
 * gradients that the engine gives. Steps h and h/2, extrapolated (Richardson). The tolerance adds up what the floats of
 * the changed outputs can have lost by rounding (32 roundings each, over h), a twentieth of what the extrapolation
 * corrected, and 1e-5. */
static void check_differences(const op_row *row, const op_case *c, int order, uint32_t seed) {
    genai_ctx *ctx = contexts[context_count > 1 ? 1 : 0];
    args       a;
    floats     outputs = { 0 }, gradients = { 0 }, plus = { 0 }, minus = { 0 };
    int        k, j;
    size_t     at = 0, e, n, i;
    double    *weights;
    make_args(ctx, row, c, seed, 0, &a);
    if (!compute(row, &a, order == 1 ? 1u : 2u, &outputs) || !compute(row, &a, order == 1 ? 2u : 4u, &gradients)) {
        CHECK(0, "%s: order %d: %s", case_text(row, c), order, genai_ctx_error(ctx));
        genai_ctx_clear(ctx);
        goto done;
    }
    weights = (double *)malloc((outputs.count + 1) * sizeof(double));
    if (!weights) exit(2);
    if (order == 1)
        for (i = 0; i < outputs.count; i++) weights[i] = (double)weight_of(SEED_W, i);
    else
        for (k = 0, j = 0, e = 0; k < MAX_IN; k++)
            if (a.x[k] && a.x[k]->requires_grad) {
                for (i = 0; i < a.x[k]->count; i++) weights[e++] = (double)weight_of(SEED_V + (uint32_t)j, i);
                j++;
            }
    for (k = 0; k < MAX_IN; k++) {
        genai_tensor *x = a.x[k];
        size_t        tries;
        if (!x || !x->requires_grad) continue;
        tries = x->count < 20 ? x->count : 20;
        for (n = 0; n < tries; n++) {
            double slope[2], noise = 0, estimate, tolerance, given;
            float  was;
            int    half;
            e = x->count < 20 ? n : mix(seed, (uint32_t)n) % x->count;
            was = x->data[e];
            for (half = 0; half < 2; half++) {
                float h = half ? 1.0f / 64 : 1.0f / 32, high = was + h, low = was - h;
                plus.count = minus.count = 0;
                x->data[e] = high;
                compute(row, &a, order == 1 ? 1u : 2u, &plus);
                x->data[e] = low;
                compute(row, &a, order == 1 ? 1u : 2u, &minus);
                x->data[e] = was;
                slope[half] = noise = 0;
                for (i = 0; i < plus.count && i < minus.count; i++) {
                    slope[half] += weights[i] * ((double)plus.p[i] - (double)minus.p[i]);
                    if (memcmp(plus.p + i, minus.p + i, sizeof(float)) != 0)
                        noise += fabs(weights[i]) * 32 * 6e-8 * (1 + fabs((double)plus.p[i]) + fabs((double)minus.p[i]));
                }
                slope[half] /= (double)high - (double)low;
                noise /= (double)high - (double)low;
            }
            estimate = (4 * slope[1] - slope[0]) / 3;
            tolerance = noise + 0.05 * fabs(slope[1] - slope[0]) + 1e-5;
            given = (double)gradients.p[at + e];
            CHECK(fabs(estimate - given) <= tolerance, "%s: order %d, input %d, element %zu: gradient %.7g, difference %.7g (tolerance %.2g)",
                  case_text(row, c), order, k, e, given, estimate, tolerance);
        }
        at += x->count;
    }
    free(weights);
done:
    free_args(&a);
    free(outputs.p);
    free(gradients.p);
    free(plus.p);
    free(minus.p);
}

static void check_gradients(const op_row *row) {
    const char *text = row->cases;
    op_case     c;
    uint32_t    seed = 100;
    while (next_case(&text, &c)) {
        seed++;
        if (c.large) continue;
        check_differences(row, &c, 1, seed);
        if (is_twice(row, &c)) check_differences(row, &c, 2, seed);
    }
}

/* ---------------------------------------------------------------------------------------------------------------------
 * Fixtures: what PyTorch gives (tests/fixtures/make_fixtures.py says how they are written).
 * ------------------------------------------------------------------------------------------------------------------ */
static int fixtures_used[ROWS + 1];

static float *read_tensor(FILE *f, int *ndim, int *dim, size_t *count) {
    int    d;
    size_t i;
    float *p;
    if (fscanf(f, "%d", ndim) != 1 || *ndim > 4) return NULL;
    for (*count = 1, d = 0; d < *ndim; d++) {
        if (fscanf(f, "%d", &dim[d]) != 1) return NULL;
        *count *= (size_t)dim[d];
    }
    p = (float *)malloc((*count + 1) * sizeof(float));
    for (i = 0; p && i < *count; i++) {
        double v;
        if (fscanf(f, "%lf", &v) != 1) { free(p); return NULL; }
        p[i] = (float)v;
    }
    return p;
}

/* Within 1e-5 of the largest magnitude in the tensor. */
static void check_close(const char *what, const float *got, const float *wanted, size_t count) {
    double scale = 0.1, worst = 0;
    size_t i, at = 0;
    for (i = 0; i < count; i++)
        if (fabs((double)wanted[i]) > scale) scale = fabs((double)wanted[i]);
    for (i = 0; i < count; i++) {
        double error = fabs((double)got[i] - (double)wanted[i]);
        if (!(error <= worst)) { worst = error; at = i; }
    }
    CHECK(worst <= 1e-5 * scale, "%s: element %zu is %.9g, PyTorch has %.9g", what, at, (double)got[at], (double)wanted[at]);
}

static void check_fixture_file(const char *path, const char *only) {
    FILE      *f = fopen(path, "r");
    char       word[64], what[200];
    int        line = 0;
    genai_ctx *ctx = contexts[context_count - 1];
    CHECK(f != NULL, "%s can't be opened (run from the repository's root)", path);
    if (!f) return;
    while (fscanf(f, "%63s", word) == 1) {
        const op_row *row = NULL;
        args          a;
        int           k, n, dim[4], ndim, skip, again;
        size_t        count;
        genai_tensor *y, *s, *w = NULL, *x[MAX_IN], *dx[MAX_IN], *v[MAX_IN], *total = NULL;
        float        *p;
        line++;
        memset(&a, 0, sizeof a);
        memset(v, 0, sizeof v);
        a.ctx = ctx;
        if (strcmp(word, "op") != 0 || fscanf(f, "%63s %d", word, &a.ints) != 2) { CHECK(0, "%s: block %d is damaged at %s", path, line, word); break; }
        for (k = 0; k < ROWS; k++)
            if (!strcmp(rows[k].name, word)) { row = &rows[k]; fixtures_used[k] = 1; }
        CHECK(row != NULL, "%s: no op %s", path, word);
        if (!row) break;
        for (k = 0; k < a.ints && k < 8; k++) if (fscanf(f, "%d", &a.i[k]) != 1) break;
        if (fscanf(f, "%d", &n) != 1) break;
        for (k = 0; k < n && k < 4; k++) { double d; if (fscanf(f, "%lf", &d) != 1) break; a.f[k] = (float)d; }
        skip = only && strcmp(only, row->name) != 0;
        y = NULL;
        n = 0;
        genai_random_at(ctx, 3, 1);
        while (fscanf(f, "%63s", word) == 1 && strcmp(word, "end") != 0) {
            int index = 0;
            if (strcmp(word, "y") != 0 && strcmp(word, "w") != 0 && fscanf(f, "%d", &index) != 1) break;
            if (!strcmp(word, "null")) continue;
            p = read_tensor(f, &ndim, dim, &count);
            if (!p) { CHECK(0, "%s: block %d (%s): damaged", path, line, row->name); break; }
            snprintf(what, sizeof what, "%s block %d: %s: %s %d", path, line, row->name, word, index);
            if (!strcmp(word, "x")) {
                a.x[index] = genai_tensor_create(ctx, ndim, dim);
                memcpy(a.x[index]->data, p, count * sizeof(float));
                if (row->inputs[index] >= 'a') { a.x[index]->requires_grad = 1; x[n++] = a.x[index]; }
            } else if (!strcmp(word, "w")) w = genai_tensor_of(ctx, ndim, dim, p);
            else if (!strcmp(word, "v")) v[index] = genai_tensor_of(ctx, ndim, dim, p);
            else if (!strcmp(word, "y") && !skip) {
                y = row->call(&a);
                CHECK(y && y->count == count, "%s: %s", what, genai_ctx_error(ctx));
                if (y && y->count == count) {
                    check_close(what, y->data, p, count);
                    s = genai_sum(genai_mul(y, genai_reshape(w, y->ndim, y->dim)), 0);
                    again = v[0] && genai_grad(s, n, x, dx, 1) == GENAI_OK;
                    if (!again) {
                        CHECK(!v[0] || (genai_ctx_result(ctx) == GENAI_ERROR_UNSUPPORTED && !(row->flags & TWICE)), "%s: %s", what, genai_ctx_error(ctx));
                        genai_ctx_clear(ctx);
                        genai_grad(s, n, x, dx, 0);
                    }
                    if (again) {
                        for (k = 0; k < n; k++) {
                            genai_tensor *part = genai_sum(genai_mul(dx[k], v[k]), 0);
                            int           flat = 1;
                            part = genai_reshape(part, 1, &flat);
                            total = total ? genai_add(total, part) : part;
                        }
                        if (total && total->requires_grad) genai_backward(total);
                    }
                    CHECK(genai_ctx_result(ctx) == GENAI_OK, "%s: %s", what, genai_ctx_error(ctx));
                } else y = NULL;
            } else if (!strcmp(word, "after") && y) check_close(what, a.x[index]->data, p, count);
            else if (!strcmp(word, "dx") && y && genai_ctx_result(ctx) == GENAI_OK) {
                for (k = 0; k < n; k++)
                    if (x[k] == a.x[index]) check_close(what, dx[k]->data, p, count);
            } else if (!strcmp(word, "ddx") && total && genai_ctx_result(ctx) == GENAI_OK) {
                float *zeros = (float *)calloc(count, sizeof(float));
                check_close(what, a.x[index]->grad ? a.x[index]->grad->data : zeros, p, count);
                free(zeros);
            }
            free(p);
        }
        genai_ctx_clear(ctx);
        genai_tape_release(ctx, 0);
        free_args(&a);
    }
    fclose(f);
}

static void check_fixtures(const char *only) {
    static const char *const files[] = { "elementwise", "shapes", "linear", "norm", "loss" };
    size_t                   k;
    char                     path[64];
    for (k = 0; k < sizeof files / sizeof files[0]; k++) {
        snprintf(path, sizeof path, "tests/fixtures/%s.txt", files[k]);
        check_fixture_file(path, only);
    }
    for (k = 0; k < (size_t)ROWS && !only; k++)
        if (strcmp(rows[k].name, "dropout") != 0) CHECK(fixtures_used[k], "no fixture for %s", rows[k].name);
}

/* Optimisers: 5 steps with given gradients. */
static void check_optimizers(void) {
    FILE      *f = fopen("tests/fixtures/optim.txt", "r");
    genai_ctx *ctx = contexts[context_count - 1];
    char       word[64];
    CHECK(f != NULL, "tests/fixtures/optim.txt can't be opened");
    if (!f) return;
    while (fscanf(f, "%63s", word) == 1) {
        genai_optimizer_desc desc;
        genai_optimizer     *optimizer;
        genai_tensor        *x;
        char                 name[64];
        int                  rule, ndim, dim[4], step;
        size_t               count;
        double               d[7];
        float               *p;
        memset(&desc, 0, sizeof desc);
        if (strcmp(word, "optim") != 0 || fscanf(f, "%63s %d %lf %lf %lf %lf %lf %lf %lf", name, &rule, d, d + 1, d + 2, d + 3, d + 4, d + 5, d + 6) != 9) {
            CHECK(0, "optim.txt is damaged at %s", word);
            break;
        }
        desc.rule = (genai_rule)rule;
        desc.lr = (float)d[0];
        desc.beta1 = (float)d[1];
        desc.beta2 = (float)d[2];
        desc.eps = (float)d[3];
        desc.momentum = (float)d[4];
        desc.nesterov = (int)d[5];
        desc.weight_decay = (float)d[6];
        p = read_tensor(f, &ndim, dim, &count);
        if (!p) break;
        x = genai_tensor_create(ctx, ndim, dim);
        x->requires_grad = 1;
        memcpy(x->data, p, count * sizeof(float));
        free(p);
        optimizer = genai_optimizer_create(ctx, &desc);
        genai_optimizer_add_tensor(optimizer, x, 0);
        for (step = 0; step < 5; step++) {
            char what[100];
            p = read_tensor(f, &ndim, dim, &count);
            if (!p) break;
            genai_optimizer_zero(optimizer);
            genai_backward(genai_sum(genai_mul(x, genai_tensor_of(ctx, ndim, dim, p)), 0));
            CHECK(genai_optimizer_step(optimizer) == GENAI_OK, "%s: %s", name, genai_ctx_error(ctx));
            free(p);
            p = read_tensor(f, &ndim, dim, &count);
            if (!p) break;
            snprintf(what, sizeof what, "optim.txt: %s: step %d", name, step + 1);
            check_close(what, x->data, p, count);
            free(p);
            genai_tape_release(ctx, 0);
        }
        genai_optimizer_destroy(optimizer);
        genai_tensor_destroy(x);
        genai_ctx_clear(ctx);
    }
    fclose(f);
}

/* ---------------------------------------------------------------------------------------------------------------------
 * What the table can't say.
 * ------------------------------------------------------------------------------------------------------------------ */
static genai_tensor *leaf(genai_ctx *ctx, int a, int b, const float *values) {
    int           dim[2];
    genai_tensor *t;
    dim[0] = a;
    dim[1] = b;
    t = genai_tensor_create(ctx, b ? 2 : 1, dim);
    if (!t) exit(2);
    if (values) memcpy(t->data, values, t->count * sizeof(float));
    t->requires_grad = 1;
    return t;
}

/* <conv(x), y> == <x, convT(y)> for random shapes, kernels, strides and pads (T39). */
static void check_adjoint(void) {
    genai_ctx *ctx = contexts[context_count - 1];
    uint32_t   n, done = 0;
    for (n = 0; n < 400; n++) {
        static const int sizes[8] = { 1, 3, 16, 17, 64, 2, 5, 4 };
        int              r[16], k, xd[4], wd[4], pads;
        genai_conv_desc  desc;
        genai_tensor    *x, *w, *y, *conv, *back;
        double           left = 0, right = 0, scale = 0;
        size_t           i, mark = genai_tape_mark(ctx);
        for (k = 0; k < 16; k++) r[k] = (int)(mix(n, (uint32_t)k + 500) >> 8);
        memset(&desc, 0, sizeof desc);
        xd[0] = 1 + r[0] % 2;
        xd[1] = 1 + r[1] % 12;
        xd[2] = 1 + r[2] % 12;
        xd[3] = sizes[r[3] % 8];
        wd[0] = 1 + r[4] % 5;
        wd[1] = r[5] % 3 ? wd[0] : 1 + r[5] % 5;
        wd[2] = xd[3];
        wd[3] = sizes[r[6] % 8];
        desc.stride_h = 1 + r[7] % 3;
        desc.stride_w = r[8] % 3 ? desc.stride_h : 1 + r[8] % 3;
        pads = r[9] % 3;
        desc.pad_h = pads == 0 ? 0 : pads == 1 ? GENAI_SAME : r[10] % wd[0];
        desc.pad_w = pads == 0 ? 0 : pads == 1 ? GENAI_SAME : r[11] % wd[1];
        if (pads != 1 && (xd[1] + 2 * desc.pad_h < wd[0] || xd[2] + 2 * desc.pad_w < wd[1])) continue;
        done++;
        x = genai_tensor_of(ctx, 4, xd, NULL);
        w = genai_tensor_of(ctx, 4, wd, NULL);
        if (!x || !w) break;
        for (i = 0; i < x->count; i++) x->data[i] = weight_of(n + 1, i);
        for (i = 0; i < w->count; i++) w->data[i] = weight_of(n + 2, i);
        conv = genai_conv2d(x, w, NULL, &desc);
        y = conv ? weights_like(conv, n + 3) : NULL;
        desc.output_h = xd[1];
        desc.output_w = xd[2];
        back = genai_conv2d_transpose(y, w, NULL, &desc);
        CHECK(conv && back && back->count == x->count, "adjoint %u: x [%d,%d,%d,%d] w [%d,%d,%d,%d] stride %d %d pad %d %d: %s", n, xd[0], xd[1], xd[2], xd[3],
              wd[0], wd[1], wd[2], wd[3], desc.stride_h, desc.stride_w, desc.pad_h, desc.pad_w, genai_ctx_error(ctx));
        genai_ctx_clear(ctx);
        if (conv && back && back->count == x->count) {
            for (i = 0; i < conv->count; i++) left += (double)conv->data[i] * (double)y->data[i];
            for (i = 0; i < x->count; i++) right += (double)x->data[i] * (double)back->data[i];
            for (i = 0; i < conv->count; i++) scale += fabs((double)conv->data[i] * (double)y->data[i]);
            CHECK(fabs(left - right) <= 1e-6 * (scale + 1), "adjoint %u: x [%d,%d,%d,%d] w [%d,%d,%d,%d] stride %d %d pad %d %d: %.9g, %.9g", n, xd[0], xd[1], xd[2],
                  xd[3], wd[0], wd[1], wd[2], wd[3], desc.stride_h, desc.stride_w, desc.pad_h, desc.pad_w, left, right);
        }
        genai_tape_release(ctx, mark);
    }
    CHECK(done > 250, "only %u shapes", done);
}

/* Convolutions large enough for each way to compute them (windows, Winograd's transforms with pieces of two and three taps, few channels), with
 * both gradients, against sums in double; every instruction set and number of threads gives the first context's bits. Winograd's error is
 * larger than that of plain sums: up to 1e-6 of the sum of magnitudes is let pass, a dropped or doubled tap is far outside. */
static void check_conv_paths(void) {
    static const struct { int n, h, w, c, m, kh, kw, sh, sw, pad; } shapes[] = {
        { 3, 16, 14, 18, 17, 3, 3, 1, 1, 1 }, { 3, 17, 15, 16, 33, 4, 4, 2, 2, 1 }, { 2, 15, 16, 33, 16, 5, 5, 2, 2, 2 }, { 3, 9, 10, 17, 18, 5, 5, 1, 1, 2 },
        { 2, 13, 14, 16, 20, 7, 4, 1, 2, 3 }, { 2, 19, 17, 16, 16, 6, 8, 3, 2, 2 }, { 40, 4, 4, 20, 130, 4, 4, 2, 2, 1 }, { 2, 12, 12, 140, 210, 3, 3, 1, 1, 1 },
        { 1, 32, 32, 192, 16, 7, 7, 2, 2, 3 }, { 1, 9, 9, 12, 10, 2, 1, 3, 2, 0 }, /* phases of 9 and 16 products; phases without taps */
        { 2, 21, 20, 3, 24, 4, 4, 2, 2, 1 },  { 2, 20, 21, 1, 70, 5, 5, 2, 2, 2 },  { 2, 14, 13, 4, 16, 3, 3, 1, 1, 1 },   { 2, 16, 18, 24, 3, 4, 4, 2, 2, 1 },
        { 3, 15, 16, 70, 1, 5, 5, 2, 2, 2 },  { 1, 12, 13, 9, 2, 3, 3, 1, 1, 0 },   { 2, 9, 9, 3, 2, 3, 5, 3, 1, 1 },
    };
    for (size_t which = 0; which < sizeof shapes / sizeof shapes[0]; which++) {
        int     n = shapes[which].n, h = shapes[which].h, w = shapes[which].w, c = shapes[which].c, m = shapes[which].m, kh = shapes[which].kh, kw = shapes[which].kw, pad = shapes[which].pad;
        int     oh = (h + 2 * pad - kh) / shapes[which].sh + 1, ow = (w + 2 * pad - kw) / shapes[which].sw + 1;
        size_t  counts[4] = { (size_t)(n * oh * ow * m), (size_t)(n * h * w * c), (size_t)(kh * kw * c * m), (size_t)(n * h * w * c) };
        float  *first[4] = { NULL, NULL, NULL, NULL };
        double *sum[4], *magnitude[4]; /* the fourth: the transposed convolution of g, with bias */
        for (int i = 0; i < 4; i++) {
            sum[i] = (double *)calloc(counts[i], sizeof(double));
            magnitude[i] = (double *)calloc(counts[i], sizeof(double));
            first[i] = (float *)malloc(counts[i] * sizeof(float));
            if (!sum[i] || !magnitude[i] || !first[i]) exit(2);
        }
        for (size_t at = 0; at < (size_t)(n * oh * ow) * (size_t)(kh * kw); at++) {
            int    tap = (int)(at % (size_t)(kh * kw)), pixel = (int)(at / (size_t)(kh * kw)), image = pixel / oh / ow;
            int    y = pixel / ow % oh * shapes[which].sh + tap / kw - pad, x = pixel % ow * shapes[which].sw + tap % kw - pad;
            size_t in = ((size_t)(image * h + y) * (size_t)w + (size_t)x) * (size_t)c, out = (size_t)pixel * (size_t)m, weight = (size_t)tap * (size_t)(c * m);
            if (y < 0 || x < 0 || y >= h || x >= w) continue;
            for (int i = 0; i < c; i++)
                for (int j = 0; j < m; j++) {
                    double a = weight_of(1, in + (size_t)i), b = weight_of(2, weight + (size_t)(i * m + j)), g = weight_of(3, out + (size_t)j);
                    size_t to[3] = { out + (size_t)j, in + (size_t)i, weight + (size_t)(i * m + j) };
                    double product[3] = { a * b, g * b, a * g };
                    for (int k = 0; k < 3; k++) {
                        sum[k][to[k]] += product[k];
                        magnitude[k][to[k]] += fabs(product[k]);
                    }
                }
        }
        for (int i = 0; i < 2; i++)
            for (size_t j = 0; j < counts[i * 3]; j++) {
                double b = weight_of(4, j % (size_t)(i ? c : m));
                sum[i * 3][j] = b + (i ? sum[1][j] : sum[0][j]);
                magnitude[i * 3][j] = fabs(b) + (i ? magnitude[1][j] : magnitude[0][j]);
            }
        for (int at = 0; at < context_count; at++) {
            const int       xd[4] = { n, h, w, c }, wd[4] = { kh, kw, c, m };
            size_t          mark = genai_tape_mark(contexts[at]);
            genai_tensor   *leaf[2] = { genai_tensor_of(contexts[at], 4, xd, NULL), genai_tensor_of(contexts[at], 4, wd, NULL) }, *bias[2] = { genai_tensor_of(contexts[at], 1, &m, NULL), genai_tensor_of(contexts[at], 1, &c, NULL) }, *y, *g, *result[4];
            genai_conv_desc desc;
            double          worst = 0;
            if (!leaf[0] || !leaf[1] || !bias[0] || !bias[1]) exit(2);
            for (int i = 0; i < 2; i++)
                for (size_t j = 0; j < bias[i]->count; j++) bias[i]->data[j] = weight_of(4, j);
            for (int i = 0; i < 2; i++) {
                for (size_t j = 0; j < leaf[i]->count; j++) leaf[i]->data[j] = weight_of((uint32_t)i + 1, j);
                leaf[i]->requires_grad = 1;
            }
            memset(&desc, 0, sizeof desc);
            desc.stride_h = shapes[which].sh;
            desc.stride_w = shapes[which].sw;
            desc.pad_h = desc.pad_w = pad;
            y = genai_conv2d(leaf[0], leaf[1], bias[0], &desc);
            g = y ? genai_tensor_of(contexts[at], y->ndim, y->dim, NULL) : NULL;
            if (!g) exit(2);
            for (size_t j = 0; j < g->count; j++) g->data[j] = weight_of(3, j);
            result[0] = y;
            CHECK(y->count == counts[0] && !genai_grad(genai_sum(genai_mul(y, g), 0), 2, leaf, result + 1, 0), "conv path %zu: %s", which, genai_ctx_error(contexts[at]));
            desc.output_h = h;
            desc.output_w = w;
            result[3] = genai_conv2d_transpose(g, leaf[1], bias[1], &desc);
            CHECK(result[3] && result[3]->count == counts[3], "conv path %zu, transposed: %s", which, genai_ctx_error(contexts[at]));
            for (int i = 0; i < 4 && result[i]; i++) {
                for (size_t j = 0; j < counts[i]; j++) {
                    double off = fabs(result[i]->data[j] - sum[i][j]) / (magnitude[i][j] + 1e-30);
                    if (!(off <= worst)) worst = off;
                }
                CHECK(worst <= 1e-6, "conv path %zu, context %d, %s: off by %g of the sum of magnitudes", which, at, i == 0 ? "forward" : i == 1 ? "input gradient" : i == 2 ? "weight gradient" : "transposed", worst);
                if (!at) memcpy(first[i], result[i]->data, counts[i] * sizeof(float));
                else CHECK(!memcmp(first[i], result[i]->data, counts[i] * sizeof(float)), "conv path %zu, context %d: other bits in result %d", which, at, i);
            }
            genai_tape_release(contexts[at], mark);
        }
        for (int i = 0; i < 4; i++) {
            free(sum[i]);
            free(magnitude[i]);
            free(first[i]);
        }
    }
}

/* Output sizes of the conv family. */
static void check_conv_sizes(void) {
    static const struct { int h, k, stride, pad, out, transpose, wanted; } t[] = {
        { 28, 4, 2, GENAI_SAME, 0, 0, 14 }, { 7, 4, 2, GENAI_SAME, 0, 0, 4 }, { 5, 5, 3, GENAI_SAME, 0, 0, 2 }, { 28, 3, 1, 0, 0, 0, 26 },
        { 28, 3, 1, 1, 0, 0, 28 }, { 7, 3, 2, 1, 0, 0, 4 }, { 8, 3, 2, 1, 0, 0, 4 }, { 4, 1, 3, 0, 0, 0, 2 }, { 2, 3, 1, 2, 0, 0, 4 },
        { 7, 4, 2, GENAI_SAME, 0, 1, 14 }, { 4, 5, 3, GENAI_SAME, 0, 1, 12 }, { 4, 5, 2, GENAI_SAME, 7, 1, 7 }, { 3, 3, 2, 1, 0, 1, 5 },
        { 3, 3, 2, 1, 6, 1, 6 }, { 1, 4, 1, 0, 0, 1, 4 }, { 4, 4, 2, 1, 0, 1, 8 }, { 3, 2, 3, 0, 0, 1, 8 }, { 3, 2, 3, 0, 10, 1, 10 } };
    genai_ctx *ctx = contexts[0];
    size_t     n;
    for (n = 0; n < sizeof t / sizeof t[0]; n++) {
        int             xd[4] = { 1, 0, 0, 1 }, wd[4] = { 0, 0, 1, 1 };
        genai_conv_desc desc;
        genai_tensor   *y;
        memset(&desc, 0, sizeof desc);
        xd[1] = xd[2] = t[n].h;
        wd[0] = wd[1] = t[n].k;
        desc.stride_h = desc.stride_w = t[n].stride;
        desc.pad_h = desc.pad_w = t[n].pad;
        desc.output_h = desc.output_w = t[n].out;
        y = (t[n].transpose ? genai_conv2d_transpose : genai_conv2d)(genai_tensor_of(ctx, 4, xd, NULL), genai_tensor_of(ctx, 4, wd, NULL), NULL, &desc);
        CHECK(y && y->dim[1] == t[n].wanted && y->dim[2] == t[n].wanted && y->dim[3] == 1, "size %zu: %d, not %d: %s", n, y ? y->dim[1] : -1, t[n].wanted, genai_ctx_error(ctx));
        genai_ctx_clear(ctx);
        genai_tape_release(ctx, 0);
    }
    { /* NULL desc, or a refusal with a sentence: never a crash */
        int xd[4] = { 1, 3, 3, 1 }, wd[4] = { 3, 3, 1, 1 };
        genai_tensor *y = genai_conv2d(genai_tensor_of(ctx, 4, xd, NULL), genai_tensor_of(ctx, 4, wd, NULL), NULL, NULL);
        CHECK(y ? y->count == 1 : genai_ctx_result(ctx) != GENAI_OK, "conv2d with desc NULL");
        genai_ctx_clear(ctx);
        genai_tape_release(ctx, 0);
    }
}

/* Batch norm in closed form, with one channel (T04): batch 1, 2, 3, 6 has mean 3, variance 3.5 (biased), 14/3 (unbiased). */
static void check_batch_norm(void) {
    static const float values[4] = { 1, 2, 3, 6 };
    genai_ctx    *ctx = contexts[0];
    genai_tensor *x = leaf(ctx, 4, 1, values), *gamma = leaf(ctx, 1, 0, NULL), *beta = leaf(ctx, 1, 0, NULL);
    genai_tensor *mean = leaf(ctx, 1, 0, NULL), *var = leaf(ctx, 1, 0, NULL), *y, *z;
    const float   eps = 0.5f;
    int           i;
    mean->requires_grad = var->requires_grad = 0;
    gamma->data[0] = 2;
    beta->data[0] = 0.25f;
    mean->data[0] = 10;
    var->data[0] = 4;
    y = genai_batch_norm(x, gamma, beta, mean, var, GENAI_TRAIN, 0.75f, eps);
    for (i = 0; y && i < 4; i++) CHECK(fabs((double)y->data[i] - (2 * ((double)values[i] - 3) / 2 + 0.25)) < 1e-6, "train: y[%d] = %g", i, (double)y->data[i]);
    CHECK(fabs((double)mean->data[0] - (0.75 * 10 + 0.25 * 3)) < 1e-6, "running mean %g", (double)mean->data[0]);
    CHECK(fabs((double)var->data[0] - (0.75 * 4 + 0.25 * 14 / 3)) < 1e-6, "running variance %g", (double)var->data[0]);
    mean->data[0] = 10;
    var->data[0] = 4;
    z = genai_batch_norm(x, gamma, beta, mean, var, GENAI_TRAIN_FROZEN, 0.75f, eps);
    CHECK(y && z && !memcmp(y->data, z->data, 4 * sizeof(float)), "frozen differs from train");
    CHECK(mean->data[0] == 10 && var->data[0] == 4, "frozen changed the running statistics");
    z = genai_batch_norm(x, gamma, beta, mean, var, GENAI_EVAL, 0.75f, eps);
    for (i = 0; z && i < 4; i++)
        CHECK(fabs((double)z->data[i] - (2 * ((double)values[i] - 10) / sqrt(4.5) + 0.25)) < 2e-6, "eval: y[%d] = %g", i, (double)z->data[i]);
    CHECK(mean->data[0] == 10 && var->data[0] == 4, "eval changed the running statistics");
    { /* in EVAL an image's output doesn't depend on the batch around it */
        genai_tensor *one = genai_batch_norm(genai_slice(x, 0, 3, 1), gamma, beta, mean, var, GENAI_EVAL, 0.75f, eps);
        CHECK(one && z && one->data[0] == z->data[3], "eval of one image");
    }
    { /* a channel of equal values: finite */
        static const float same[4] = { 3, 3, 3, 3 };
        memcpy(x->data, same, sizeof same);
        y = genai_batch_norm(x, gamma, beta, mean, var, GENAI_TRAIN, 0.75f, 1e-5f);
        genai_backward(genai_sum(genai_mul(y, y), 0));
        CHECK(y && fabs((double)y->data[0] - 0.25) < 1e-6 && x->grad && fabs((double)x->grad->data[0]) < 1e30, "equal values: %g", y ? (double)y->data[0] : 0);
    }
    CHECK(genai_ctx_result(ctx) == GENAI_OK, "%s", genai_ctx_error(ctx));
    genai_ctx_clear(ctx);
    genai_tape_release(ctx, 0);
    genai_tensor_destroy(x);
    genai_tensor_destroy(gamma);
    genai_tensor_destroy(beta);
    genai_tensor_destroy(mean);
    genai_tensor_destroy(var);
}

static void check_dropout(void) {
    genai_ctx    *ctx = contexts[context_count - 1];
    int           n = 200000, zeros = 0, wrong = 0, other = 0, i;
    genai_tensor *x = leaf(ctx, n, 0, NULL), *y, *z, *dx = NULL;
    for (i = 0; i < n; i++) x->data[i] = 1 + (float)i / (float)n;
    genai_random_at(ctx, 9, 4);
    y = genai_dropout(x, 0.3f);
    genai_grad(genai_sum(y, 0), 1, &x, &dx, 0);
    z = genai_dropout(x, 0.3f);
    CHECK(y && z && dx, "%s", genai_ctx_error(ctx));
    for (i = 0; y && z && dx && i < n; i++) {
        float kept = y->data[i] / x->data[i];
        zeros += y->data[i] == 0;
        wrong += y->data[i] == 0 ? dx->data[i] != 0 : fabs((double)kept - 1 / 0.7) > 1e-6 || fabs((double)dx->data[i] - 1 / 0.7) > 1e-6;
        other += (y->data[i] == 0) != (z->data[i] == 0);
    }
    CHECK(abs(zeros - 60000) < 5 * 205, "%d zeros of %d at p = 0.3", zeros, n);
    CHECK(wrong == 0, "%d values or gradients are not x/(1-p) under one mask", wrong);
    CHECK(abs(other - 84000) < 1500, "two calls: %d masks differ, 2*0.3*0.7 expected", other);
    genai_random_at(ctx, 9, 4);
    z = genai_dropout(x, 0.3f);
    CHECK(y && z && !memcmp(y->data, z->data, (size_t)n * sizeof(float)), "same place, other mask");
    z = genai_dropout(x, 0);
    CHECK(z && !memcmp(x->data, z->data, (size_t)n * sizeof(float)), "p = 0 changes x");
    genai_tape_release(ctx, 0);
    genai_tensor_destroy(x);
}

static void check_losses(void) {
    genai_ctx         *ctx = contexts[0];
    static const float logits[10] = { -1e4f, -100, -30, -1, 0, 1, 30, 100, 1e4f, 88.8f };
    int                target, i, k;
    for (target = 0; target < 3; target++) /* T07: finite, and the gradient is sigmoid(x) - t exactly (as near as floats are) */
        for (i = 0; i < 10; i++) {
            double        t = target * 0.5, x = (double)logits[i], s = 1 / (1 + exp(-x)), value = (x > 0 ? x : 0) + log1p(exp(-fabs(x))) - t * x;
            genai_tensor *l = leaf(ctx, 1, 1, &logits[i]), *y = genai_bce_loss(l, NULL, (float)t);
            genai_backward(y);
            CHECK(y && fabs((double)y->data[0] - value) <= 1e-6 * (fabs(value) + 1e-3), "bce(%g, %g) = %.9g, not %.9g", x, t, y ? (double)y->data[0] : 0, value);
            CHECK(l->grad && fabs((double)l->grad->data[0] - (s - t)) <= 4e-7 * (s + t) + 1e-37, "bce'(%g, %g) = %.9g, not %.9g", x, t,
                  l->grad ? (double)l->grad->data[0] : -99, s - t);
            CHECK(genai_ctx_result(ctx) == GENAI_OK, "%s", genai_ctx_error(ctx));
            genai_ctx_clear(ctx);
            genai_tape_release(ctx, 0);
            genai_tensor_destroy(l);
        }
    { /* softmax of large logits: shifted by the maximum */
        static const float big[6] = { 1e4f, 1e4f - 1, -1e4f, -3e38f, 3e38f, 0 };
        genai_tensor      *x = leaf(ctx, 2, 3, big), *y = genai_softmax(x), *z = genai_log_softmax(x);
        double             e = 1 / (1 + exp(-1.0));
        CHECK(y && fabs((double)y->data[0] - e) < 1e-6 && y->data[2] == 0 && y->data[3] == 0 && y->data[4] == 1 && y->data[5] == 0, "softmax of large logits");
        CHECK(z && fabs((double)z->data[0] - log(e)) < 1e-6 && z->data[4] == 0 && z->data[2] == -2e4f - (float)log1p(exp(-1.0)), "log softmax of large logits: %.9g %.9g %.9g",
              z ? (double)z->data[0] : 0, z ? (double)z->data[4] : 0, z ? (double)z->data[2] : 0);
        genai_tape_release(ctx, 0);
        genai_tensor_destroy(x);
    }
    { /* cross entropy copies its labels; KL is 0 at the prior; mse and l1 sum over all but the first dim */
        static const float zero[6] = { 0, 0, 0, 0, 0, 0 }, values[6] = { 1, 2, 3, -1, -2, -3 };
        int                labels[2] = { 1, 2 };
        genai_tensor      *x = leaf(ctx, 2, 3, values), *o = leaf(ctx, 2, 3, zero), *y = genai_cross_entropy_loss(x, labels);
        labels[0] = labels[1] = 0;
        genai_backward(y);
        CHECK(x->grad && x->grad->data[1] < 0 && x->grad->data[5] < 0 && x->grad->data[0] > 0, "labels are not copied");
        CHECK(genai_value(genai_kl_loss(o, o)) == 0, "KL of the prior is %g", (double)genai_value(genai_kl_loss(o, o)));
        CHECK(genai_value(genai_mse_loss(x, o)) == 14, "mse %g", (double)genai_value(genai_mse_loss(x, o)));
        CHECK(genai_value(genai_l1_loss(x, o)) == 6, "l1 %g", (double)genai_value(genai_l1_loss(x, o)));
        CHECK(fabs((double)genai_value(genai_gaussian_nll_loss(o, o, o)) - 1.5 * 1.8378770664) < 1e-5, "nll %g", (double)genai_value(genai_gaussian_nll_loss(o, o, o)));
        CHECK(fabs((double)genai_value(genai_hinge_loss(x, 1)) - (2 + 3 + 4) / 6.0) < 1e-6, "hinge %g", (double)genai_value(genai_hinge_loss(x, 1)));
        for (k = 0; k < 3; k++) CHECK(genai_mse_loss(x, o)->count == 1, "a loss has one element");
        genai_ctx_clear(ctx);
        genai_tape_release(ctx, 0);
        genai_tensor_destroy(x);
        genai_tensor_destroy(o);
    }
}

/* --- accuracy: units in the last place against the C library's doubles --- */
static double ref_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double ref_softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double ref_silu(double x) { return x / (1 + exp(-x)); }
static double ref_gelu(double x) { return x * (1 / (1 + exp(-2 * 0.79788456080286535588 * (x + 0.044715 * x * x * x)))); }
static double ref_elu(double x) { return x > 0 ? x : expm1(x); }
static genai_tensor *elu_one(genai_tensor *x) { return genai_elu(x, 1); }

static void check_accuracy(void) {
    static const struct {
        const char *name;
        genai_tensor *(*op)(genai_tensor *);
        double (*ref)(double);
        double low, high, bound; /* over [low, high]; over positive floats by their bits if low > 0 */
        double floor;            /* below this magnitude the error is counted in its units      */
    } t[] = {
        { "exp", genai_exp, exp, -87.3, 88.7, 2, 0 }, { "log", genai_log, log, 1.2e-38, 3.4e38, 2, 0 }, { "log", genai_log, log, 0.5, 2, 2, 0 },
        { "tanh", genai_tanh, tanh, -12, 12, 4, 0 }, { "tanh", genai_tanh, tanh, 1.2e-38, 100, 4, 0 }, { "sigmoid", genai_sigmoid, ref_sigmoid, -87.3, 89, 4, 0 },
        { "sigmoid", genai_sigmoid, ref_sigmoid, -1, 1, 4, 0 }, { "softplus", genai_softplus, ref_softplus, -87.3, 120, 4, 0 },
        { "softplus", genai_softplus, ref_softplus, -2, 2, 4, 0 }, { "sqrt", genai_sqrt, sqrt, 1.2e-38, 3.4e38, 0.5001, 0 },
        { "silu", genai_silu, ref_silu, -80, 80, 6, 0 }, { "gelu", genai_gelu, ref_gelu, -4, 12, 4, 0.5 }, { "elu", elu_one, ref_elu, -20, 5, 4, 0.1 } };
    genai_ctx *ctx = contexts[context_count - 1];
    enum { COUNT = 1 << 16, ROUNDS = 16 };
    int    dim = COUNT;
    size_t n;
    genai_recording(ctx, 0);
    for (n = 0; n < sizeof t / sizeof t[0]; n++) {
        double worst = 0, worst_x = 0;
        int    round, i;
        for (round = 0; round < ROUNDS; round++) {
            genai_tensor *x = genai_tensor_of(ctx, 1, &dim, NULL), *y;
            if (!x) break;
            for (i = 0; i < COUNT; i++) {
                double at = ((double)i * ROUNDS + round + 0.37) / ((double)COUNT * ROUNDS);
                x->data[i] = (float)(t[n].low > 0 ? t[n].low * exp(at * log(t[n].high / t[n].low)) : t[n].low + at * (t[n].high - t[n].low));
            }
            y = t[n].op(x);
            for (i = 0; y && i < COUNT; i++) {
                double want = t[n].ref((double)x->data[i]), size = fabs(want) > t[n].floor ? fabs(want) : t[n].floor, error;
                int    e;
                if (size < 1.3e-38) continue;
                frexp(size, &e);
                error = fabs((double)y->data[i] - want) / ldexp(1, e - 24);
                if (!(error <= worst)) { worst = error; worst_x = (double)x->data[i]; }
            }
            genai_tape_release(ctx, 0);
        }
        CHECK(worst <= t[n].bound, "%s on [%g, %g]: %.3g units in the last place at %.9g, at most %g wanted", t[n].name, t[n].low, t[n].high, worst, worst_x, t[n].bound);
    }
    genai_recording(ctx, 1);
}

static float apply_one(genai_ctx *ctx, genai_tensor *(*op)(genai_tensor *), float x) { return genai_value(op(genai_scalar(ctx, x))); }

static void check_special_values(void) {
    const float inf = (float)HUGE_VAL, nan = inf - inf;
    int         n;
    for (n = 0; n < context_count; n += context_count > 1 ? context_count - 1 : 1) {
        genai_ctx *c = contexts[n];
#define GIVES(op, x, y) CHECK(apply_one(c, op, x) == (y), #op "(" #x ") = %g", (double)apply_one(c, op, x))
#define GIVES_NAN(op, x) CHECK(apply_one(c, op, x) != apply_one(c, op, x), #op "(" #x ") = %g", (double)apply_one(c, op, x))
        GIVES(genai_exp, inf, inf); GIVES(genai_exp, -inf, 0); GIVES(genai_exp, 0, 1); GIVES(genai_exp, 89, inf); GIVES(genai_exp, 1e30f, inf); GIVES(genai_exp, -1e30f, 0);
        GIVES(genai_log, 0, -inf); GIVES(genai_log, -0.0f, -inf); GIVES(genai_log, 1, 0); GIVES(genai_log, inf, inf); GIVES_NAN(genai_log, -1); GIVES_NAN(genai_log, -inf);
        GIVES(genai_tanh, inf, 1); GIVES(genai_tanh, -inf, -1); GIVES(genai_tanh, 0, 0); GIVES(genai_tanh, 1e30f, 1); GIVES(genai_tanh, -100, -1);
        GIVES(genai_sigmoid, inf, 1); GIVES(genai_sigmoid, -inf, 0); GIVES(genai_sigmoid, 0, 0.5f); GIVES(genai_sigmoid, 1e30f, 1); GIVES(genai_sigmoid, -1e30f, 0);
        GIVES(genai_softplus, inf, inf); GIVES(genai_softplus, -inf, 0); GIVES(genai_softplus, 1e4f, 1e4f); GIVES(genai_softplus, -1e4f, 0);
        GIVES(genai_sqrt, 0, 0); GIVES(genai_sqrt, inf, inf); GIVES_NAN(genai_sqrt, -1);
        GIVES(genai_relu, -inf, 0); GIVES(genai_relu, inf, inf); GIVES(genai_abs, -inf, inf);
        GIVES(genai_silu, -1e30f, 0); GIVES(genai_silu, 1e30f, 1e30f); GIVES(genai_gelu, -1e6f, 0); GIVES(genai_gelu, 1e6f, 1e6f); GIVES(genai_gelu, -1e15f, 0);
        GIVES_NAN(genai_exp, nan); GIVES_NAN(genai_log, nan); GIVES_NAN(genai_tanh, nan); GIVES_NAN(genai_sigmoid, nan); GIVES_NAN(genai_softplus, nan); GIVES_NAN(genai_sqrt, nan);
        GIVES_NAN(genai_relu, nan); GIVES_NAN(genai_abs, nan); GIVES_NAN(genai_silu, nan); GIVES_NAN(genai_gelu, nan); GIVES_NAN(genai_square, nan); GIVES_NAN(elu_one, nan);
        GIVES_NAN(genai_neg, nan);
        CHECK(genai_value(genai_clamp(genai_scalar(c, nan), 0, 1)) != genai_value(genai_clamp(genai_scalar(c, nan), 0, 1)), "clamp(nan) hides it");
        CHECK(genai_value(genai_leaky_relu(genai_scalar(c, nan), 0.2f)) != genai_value(genai_leaky_relu(genai_scalar(c, nan), 0.2f)), "leaky_relu(nan) hides it");
        CHECK(genai_value(genai_div(genai_scalar(c, 1), genai_scalar(c, 0))) == inf, "1/0");
        CHECK(genai_value(genai_min(genai_scalar(c, 1), genai_scalar(c, -inf))) == -inf, "min(1, -inf)");
        { /* ties of min and max go to a; the gradient of relu at 0 is 0, of clamp at its bounds and abs at 0 anything in between */
            float         one = 1, zero = 0;
            genai_tensor *a = leaf(c, 1, 0, &one), *b = leaf(c, 1, 0, &one), *x = leaf(c, 1, 0, &zero);
            genai_backward(genai_min(a, b));
            genai_backward(genai_max(a, b));
            CHECK(a->grad && a->grad->data[0] == 2 && (!b->grad || b->grad->data[0] == 0), "ties don't go to a");
            genai_backward(genai_relu(x));
            CHECK(!x->grad || x->grad->data[0] == 0, "relu'(0) = %g", x->grad ? (double)x->grad->data[0] : 0);
            genai_tensor_destroy(a);
            genai_tensor_destroy(b);
            genai_tensor_destroy(x);
        }
        genai_ctx_clear(c);
        genai_tape_release(c, 0);
    }
}

/* --- random numbers --- */
static void check_random(void) {
    genai_ctx    *ctx = contexts[context_count - 1];
    enum { COUNT = 1000003 };
    int           dim = COUNT, few = 777, i, big = 0, huge = 0, low = 0, bins[64] = { 0 }, equal = 0;
    double        m1 = 0, m2 = 0, m3 = 0, m4 = 0, pair = 0, chi = 0, mean = 0, most = 0;
    genai_tensor *x, *y, *u;
    genai_random_at(ctx, 11, 3);
    x = genai_random_normal(ctx, 1, &dim);
    u = genai_random_uniform(ctx, 1, &dim);
    CHECK(x && u, "%s", genai_ctx_error(ctx));
    if (!x || !u) return;
    for (i = 0; i < COUNT; i++) {
        double v = (double)x->data[i];
        m1 += v; m2 += v * v; m3 += v * v * v; m4 += v * v * v * v;
        if (i) pair += v * (double)x->data[i - 1];
        big += fabs(v) > 2;
        huge += fabs(v) > 4;
        if (fabs(v) > most) most = fabs(v);
        v = (double)u->data[i];
        low += !(v >= 0 && v < 1);
        if (v >= 0 && v < 1) bins[(int)(v * 64)]++;
        mean += v;
    }
    for (i = 0; i < 64; i++) chi += (bins[i] - COUNT / 64.0) * (bins[i] - COUNT / 64.0) / (COUNT / 64.0);
    CHECK(fabs(m1 / COUNT) < 0.004, "normal: mean %g", m1 / COUNT);
    CHECK(fabs(m2 / COUNT - 1) < 0.006, "normal: variance %g", m2 / COUNT);
    CHECK(fabs(m3 / COUNT) < 0.015 && fabs(m4 / COUNT - 3) < 0.04, "normal: third moment %g, fourth %g", m3 / COUNT, m4 / COUNT);
    CHECK(fabs(pair / COUNT) < 0.004, "normal: neighbours correlate by %g", pair / COUNT);
    CHECK(abs(big - 45500) < 900, "normal: %d beyond 2, about 45500 expected", big);
    CHECK(huge > 30 && huge < 105 && most > 4.4 && most < 7, "normal: %d beyond 4 (63 expected), the largest %g", huge, most);
    CHECK(low == 0 && fabs(mean / COUNT - 0.5) < 0.0012 && chi < 115, "uniform: %d outside [0,1), mean %g, chi-square %g of 63", low, mean / COUNT, chi);
    genai_random_at(ctx, 11, 3);
    y = genai_random_normal(ctx, 1, &few); /* the first n don't depend on how many are drawn */
    CHECK(y && !memcmp(x->data, y->data, (size_t)few * sizeof(float)), "the first %d normals depend on n", few);
    y = genai_random_normal(ctx, 1, &few);
    for (i = 0; y && i < few; i++) equal += y->data[i] == x->data[i];
    CHECK(equal < 5, "two draws have %d equal values", equal);
    genai_random_at(ctx, 11, 4);
    y = genai_random_normal(ctx, 1, &few);
    for (equal = 0, i = 0; y && i < few; i++) equal += y->data[i] == x->data[i];
    CHECK(equal < 5, "two steps have %d equal values", equal);
    genai_random_at(ctx, 12, 3);
    y = genai_random_normal(ctx, 1, &few);
    for (equal = 0, i = 0; y && i < few; i++) equal += y->data[i] == x->data[i];
    CHECK(equal < 5, "two streams have %d equal values", equal);
    for (i = 0; i < context_count; i++) { /* on every instruction set and thread count */
        genai_random_at(contexts[i], 11, 3);
        y = genai_random_normal(contexts[i], 1, &dim);
        CHECK(y && !memcmp(x->data, y->data, COUNT * sizeof(float)), "normals of context %d differ", i);
        y = genai_random_uniform(contexts[i], 1, &dim);
        CHECK(y && !memcmp(u->data, y->data, COUNT * sizeof(float)), "uniforms of context %d differ", i);
        if (i < context_count - 1) genai_tape_release(contexts[i], 0);
    }
    genai_tape_release(ctx, 0);
}

/* --- the rules of the tape --- */
static void check_tape(void) {
    static const float values[3] = { 1, 2, 3 };
    allocations        heap = {0};
    genai_ctx_desc     desc = quiet_desc(0, 2, GENAI_ISA_BEST, &heap);
    genai_ctx         *ctx;
    genai_tensor      *a, *b, *y, *s, *dx[2], *in[2], *held;
    size_t             mark, inner, before = 0;
    long               blocks = 0;
    int                step, i;
    ctx = genai_ctx_create(&desc);
    CHECK(ctx != NULL, "no context");
    if (!ctx) return;
    a = leaf(ctx, 3, 0, values);
    b = leaf(ctx, 3, 0, values);
    b->requires_grad = 0;

    y = genai_mul(genai_square(a), b); /* d/da sum(a^2 b) = 2ab = 2, 8, 18 */
    s = genai_sum(y, 0);
    CHECK(y && y->requires_grad && !genai_square(b)->requires_grad, "requires_grad isn't derived");
    CHECK(!a->grad, "grad before the first backward");
    CHECK(genai_backward(s) == GENAI_OK && a->grad && a->grad->data[2] == 18 && a->grad->data[0] == 2, "backward: %g", a->grad ? (double)a->grad->data[2] : 0);
    CHECK(genai_backward(s) == GENAI_OK && a->grad && a->grad->data[2] == 36, "backward twice: %g", a->grad ? (double)a->grad->data[2] : 0);
    CHECK(!b->grad, "a frozen leaf got a gradient");
    CHECK(genai_backward(genai_sum(genai_add(a, genai_add(a, a)), 0)) == GENAI_OK && a->grad && a->grad->data[1] == 16 + 3, "used three times: %g", a->grad ? (double)a->grad->data[1] : 0);

    b->requires_grad = 1;
    in[0] = a;
    in[1] = b;
    CHECK(genai_grad(genai_mul(genai_square(a), b), 2, in, dx, 0) == GENAI_OK && dx[0]->data[2] == 18 && dx[1]->data[2] == 9, "grad: %s", genai_ctx_error(ctx));
    CHECK(a->grad->data[1] == 19 && !b->grad, "genai_grad touched grad");
    CHECK(!dx[0]->requires_grad, "without create_graph the gradient is a constant");
    CHECK(genai_grad(genai_square(a), 2, in, dx, 0) == GENAI_OK && dx[1] && dx[1]->count == 3 && dx[1]->data[0] == 0 && dx[1]->data[2] == 0, "no dependence: zeros");
    in[0] = genai_square(a); /* with respect to the result of an op: d sum(q b) / dq = b */
    CHECK(genai_grad(genai_mul(in[0], b), 2, in, dx, 0) == GENAI_OK && dx[0]->data[2] == 3 && dx[1]->data[2] == 9, "grad of an inner tensor: %s", genai_ctx_error(ctx));
    in[0] = a;
    CHECK(genai_grad(a, 1, in, dx, 0) == GENAI_OK && dx[0]->data[1] == 1, "d sum(a)/da: %s", genai_ctx_error(ctx));
    y = genai_square(a); /* from a gradient of y's: 2 a b */
    CHECK(genai_grad_from(y, b, 1, in, dx, 0) == GENAI_OK && dx[0]->data[1] == 8 && dx[0]->data[2] == 18, "grad_from: %s", genai_ctx_error(ctx));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_grad_from(y, genai_sum(b, 0), 1, in, dx, 0));
    y = genai_mul(genai_mul(a, a), a); /* third derivative of a^3 = 6 */
    for (i = 0; i < 3; i++)
        if (genai_grad(y, 1, in, dx, 1) == GENAI_OK) y = dx[0];
    CHECK(y->data[1] == 6, "third derivative %g: %s", (double)y->data[1], genai_ctx_error(ctx));
    genai_grad(genai_tanh(a), 1, in, dx, 1);
    genai_grad(dx[0], 1, in, dx, 1); /* the third derivative of a function isn't offered, and says so */
    CHECK_RESULT(ctx, GENAI_ERROR_UNSUPPORTED, genai_grad(dx[0], 1, in, dx, 1));

    memset(a->grad->data, 0, 3 * sizeof(float));
    CHECK(genai_backward(genai_sum(genai_mul(genai_detach(genai_square(a)), a), 0)) == GENAI_OK && a->grad->data[1] == 4, "detach: %g", (double)a->grad->data[1]);
    CHECK(genai_recording(ctx, 0) == 1, "recording isn't on at first");
    y = genai_square(a);
    CHECK(y && !y->requires_grad && y->data[2] == 9, "recording off");
    CHECK(genai_recording(ctx, 1) == 0, "former state");
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_backward(genai_sum(genai_square(genai_detach(a)), 0)));
    CHECK(genai_backward(genai_square(a)) != GENAI_OK && genai_ctx_error(ctx)[0], "backward of three elements");
    genai_ctx_clear(ctx);
    CHECK_RESULT(ctx, GENAI_OK, genai_backward(NULL));
    CHECK(genai_value(NULL) == 0, "value of NULL");
    genai_ctx_clear(ctx);
    CHECK(genai_value(genai_scalar(ctx, 2.5f)) == 2.5f && genai_scalar(ctx, 1)->ndim == 0, "scalar");
    genai_tape_release(ctx, 0);

    held = genai_scale(a, 2, 0); /* marks nest: what was made before a mark stays */
    mark = genai_tape_mark(ctx);
    y = genai_scale(held, 2, 0);
    inner = genai_tape_mark(ctx);
    for (i = 0; i < 1000; i++) (void)genai_scale(y, 3, 0);
    genai_tape_release(ctx, inner);
    CHECK(y->data[2] == 12, "released too much");
    for (i = 0; i < 1000; i++) (void)genai_scale(y, 5, 0);
    genai_tape_release(ctx, mark);
    for (i = 0; i < 10; i++) (void)genai_tensor_of(ctx, 1, a->dim, NULL);
    CHECK(held->data[2] == 6, "released too much");
    memset(a->grad->data, 0, 3 * sizeof(float));
    CHECK(genai_backward(genai_sum(held, 0)) == GENAI_OK && a->grad->data[0] == 2, "the graph before the mark is broken");
    genai_tape_release(ctx, 0);

    { /* errors: first one stays, sentence has the op's name */
        int           bad[5] = { 1, 1, 1, 1, 1 }, zero = 0, large[4] = { 2147483647, 2147483647, 2147483647, 4 };
        genai_tensor *n;
        CHECK(!genai_tensor_create(ctx, 5, bad) && genai_ctx_result(ctx) != GENAI_OK, "5 dims");
        genai_ctx_clear(ctx);
        CHECK(!genai_tensor_create(ctx, 1, &zero) && genai_ctx_result(ctx) != GENAI_OK, "a dim of 0");
        genai_ctx_clear(ctx);
        CHECK(!genai_tensor_create(ctx, 4, large) && genai_ctx_result(ctx) != GENAI_OK, "too large");
        genai_ctx_clear(ctx);
        CHECK(!genai_tensor_of(ctx, 4, large, NULL) && genai_ctx_result(ctx) != GENAI_OK, "too large on the tape");
        genai_ctx_clear(ctx);
        CHECK(!genai_random_normal(ctx, 1, &zero) && genai_ctx_result(ctx) != GENAI_OK, "random with a dim of 0");
        genai_ctx_clear(ctx);
        n = genai_tensor_create(ctx, 0, NULL);
        CHECK(n && n->count == 1 && n->ndim == 0, "a scalar leaf");
        genai_tensor_destroy(n);
        genai_tensor_destroy(NULL);
        n = genai_slice(a, 5, 0, 1);
        n = genai_mul(n, genai_slice(a, 0, 9, 9));
        CHECK(!n && strstr(genai_ctx_error(ctx), "slice") && strstr(genai_ctx_error(ctx), "5"), "first error: %s", genai_ctx_error(ctx));
        genai_ctx_clear(ctx);
        genai_tape_release(ctx, 0);
    }

    for (step = 0; step < 100; step++) { /* memory of a step is reused */
        genai_tensor *w = genai_random_normal(ctx, 1, a->dim), *sum = genai_scalar(ctx, 0);
        for (i = 0; i < 20; i++) sum = genai_add(sum, genai_mean(genai_tanh(genai_mul(a, genai_add(w, b))), 0));
        genai_grad(sum, 2, in, dx, 1);
        genai_backward(genai_sum(genai_square(genai_add(dx[0], dx[1])), 0));
        genai_tape_release(ctx, 0);
        if (step == 2) { before = heap.bytes; blocks = heap.calls; }
    }
    CHECK(genai_ctx_result(ctx) == GENAI_OK, "%s", genai_ctx_error(ctx));
    CHECK(heap.bytes == before && heap.calls == blocks, "100 steps: %zu bytes and %ld allocations more", heap.bytes - before, heap.calls - blocks);
    genai_tensor_destroy(a);
    genai_tensor_destroy(b);
    genai_ctx_destroy(ctx);
    CHECK(heap.live == 0, "%ld blocks leaked", heap.live);
}

/* Settings and sizes that can't be: a sentence each. The allocator gives 64 MB at most, so that nothing large is really made. */
static int said;
static void count_log(void *user, genai_log_level level, const char *text) { (void)user; (void)level; said += strlen(text) > 20; }
static void check_bad_sizes(void) {
    static const int threads[] = { -1, 257, 10000, INT32_MAX, INT32_MIN };
    const int        isas[] = { -1, 99, genai__cpu_has(GENAI_ISA_NEON) ? GENAI_ISA_AVX2 : GENAI_ISA_NEON };
    const int        column[2] = { 70000, 1 }, row[2] = { 1, 70000 }, pixel[4] = { 1, 1, 1, 1 }, huge[2] = { 1 << 20, 1 << 20 };
    genai_conv_desc  conv;
    allocations      heap = {0};
    genai_ctx_desc   desc = quiet_desc(0, 1, GENAI_ISA_BEST, &heap);
    genai_ctx       *ctx;
    genai_tensor    *x;
    int              i;
    memset(&conv, 0, sizeof conv);
    desc.log = count_log;
    heap.most = 64u << 20;
    for (i = 0; i < 8; i++) {
        desc.threads = i < 5 ? threads[i] : 1;
        desc.isa = (genai_isa)(i < 5 ? GENAI_ISA_BEST : isas[i - 5]);
        said = 0;
        ctx = genai_ctx_create(&desc);
        CHECK(!ctx && said == 1, "threads %d, isa %d: %d sentences", desc.threads, (int)desc.isa, said);
        genai_ctx_destroy(ctx);
    }
    desc.isa = GENAI_ISA_BEST;
    desc.threads = 0; /* one per core */
    ctx = genai_ctx_create(&desc);
    CHECK(ctx && genai_ctx_threads(ctx) >= 1, "no context with threads 0");
    if (!ctx) return;
    CHECK_RESULT(ctx, GENAI_ERROR_MEMORY, genai_tensor_of(ctx, 2, huge, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_MEMORY, genai_matmul(genai_tensor_of(ctx, 2, column, NULL), genai_tensor_of(ctx, 2, row, NULL), 0, 0));
    x = genai_tensor_of(ctx, 4, pixel, NULL);
    conv.stride_h = conv.stride_w = 1 << 20;
    conv.pad_h = conv.pad_w = GENAI_SAME;
    CHECK_RESULT(ctx, GENAI_ERROR_MEMORY, genai_conv2d_transpose(x, x, NULL, &conv));
    conv.stride_h = INT32_MAX;
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_conv2d_transpose(x, x, NULL, &conv));
    conv.stride_h = -1;
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_conv2d(x, x, NULL, &conv));
    conv.stride_h = 1;
    conv.pad_h = INT32_MAX;
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_conv2d(x, x, NULL, &conv));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_pad(x, 1, INT32_MAX, INT32_MAX));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_upsample(x, INT32_MAX));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_upsample(x, 0));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_max_pool(x, -1, 1));
    genai_ctx_destroy(ctx);
}

/* A gradient penalty, as critics need it, against central differences over a small convolutional critic: first and
 * second gradients through conv, silu (no kinks), layer norm, dense together. */
static double penalty(genai_ctx *ctx, genai_tensor **p, genai_tensor *x, int backward) {
    genai_conv_desc desc;
    int             flat[2] = { 2, -1 };
    genai_tensor   *h, *dx = NULL, *s;
    double          value;
    memset(&desc, 0, sizeof desc);
    desc.stride_h = desc.stride_w = 2;
    desc.pad_h = desc.pad_w = GENAI_SAME;
    h = genai_silu(genai_layer_norm(genai_conv2d(x, p[0], p[1], &desc), p[2], p[3], 1e-3f));
    h = genai_dense(genai_reshape(h, 2, flat), p[4], NULL);
    genai_grad(h, 1, &x, &dx, 1);
    s = genai_mean(genai_square(genai_scale(genai_sqrt(genai_sum(genai_square(dx), 14)), 1, -1)), 0);
    value = (double)genai_value(s);
    if (backward) genai_backward(s);
    genai_tape_release(ctx, 0);
    return value;
}
static void check_penalty(void) {
    static const int dims[6][4] = { { 3, 3, 2, 4 }, { 4, 1, 1, 1 }, { 4, 1, 1, 1 }, { 4, 1, 1, 1 }, { 36, 1, 1, 1 }, { 2, 5, 6, 2 } }, ndims[6] = { 4, 1, 1, 1, 2, 4 };
    genai_ctx       *ctx = contexts[context_count - 1];
    genai_tensor    *p[6];
    int              k;
    size_t           i;
    for (k = 0; k < 6; k++) {
        p[k] = genai_tensor_create(ctx, ndims[k], dims[k]);
        if (!p[k]) return;
        for (i = 0; i < p[k]->count; i++) p[k]->data[i] = k == 2 ? 1 : weight_of(300 + (uint32_t)k, i);
        p[k]->requires_grad = 1;
    }
    penalty(ctx, p, p[5], 1);
    CHECK(genai_ctx_result(ctx) == GENAI_OK, "%s", genai_ctx_error(ctx));
    genai_ctx_clear(ctx);
    for (k = 0; k < 5; k++)
        for (i = 0; i < p[k]->count; i += 1 + p[k]->count / 8) {
            float  was = p[k]->data[i], h = 1.0f / 256, high = was + h, low = was - h;
            double slope, given = p[k]->grad ? (double)p[k]->grad->data[i] : 0;
            p[k]->data[i] = high;
            slope = penalty(ctx, p, p[5], 0);
            p[k]->data[i] = low;
            slope = (slope - penalty(ctx, p, p[5], 0)) / ((double)high - (double)low);
            p[k]->data[i] = was;
            CHECK(fabs(slope - given) < 2e-3 * (1 + fabs(given)), "penalty: parameter %d[%zu]: gradient %.7g, difference %.7g", k, i, given, slope);
        }
    for (k = 0; k < 6; k++) genai_tensor_destroy(p[k]);
}

/* Gradients and marks: what a loop of one's own can do wrong, or right. */
static void check_leaves(void) {
    genai_ctx    *g = quiet_context(GENAI_ISA_BEST, 2);
    int           one[1] = { 2 };
    float         v[2] = { 1, 3 };
    genai_tensor *x = genai_tensor_of(g, 1, one, v), *dx, *p = genai_tensor_create(g, 1, one), *q = genai_tensor_create(g, 1, one);
    genai_optimizer *o = genai_optimizer_create(g, NULL);
    size_t        mark;
    int           i;
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_grad(genai_sum(genai_square(x), 0), 1, &x, &dx, 0)); /* not: zeros in silence */
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_optimizer_add_tensor(o, x, 1));
    x->requires_grad = 1;
    mark = genai_tape_mark(g);
    for (i = 0; i < 3; i++) { /* the gradient of a leaf on the tape goes with the tape */
        CHECK(!genai_backward(genai_sum(genai_square(x), 0)) && x->grad && x->grad->data[1] == 6, "round %d: %s", i, genai_ctx_error(g));
        genai_tape_release(g, mark);
        CHECK(!x->grad, "a gradient outlives its memory");
        genai_tensor_of(g, 1, one, v);
    }
    p->data[0] = p->data[1] = 3;
    p->requires_grad = q->requires_grad = 1;
    CHECK(!genai_grad(p, 1, &q, &dx, 0) && dx->data[0] == 0, "%s", genai_ctx_error(g));
    genai_tape_release(g, 0);
    CHECK(!genai_backward(genai_sum(genai_square(p), 0)) && p->grad->data[0] == 6, "what genai_grad left behind makes it %g", (double)p->grad->data[0]);
    genai_ctx_destroy(g);
}

/* More rows than the pool has tasks. */
static void check_many_rows(void) {
    genai_ctx    *g = quiet_context(GENAI_ISA_BEST, 2);
    int           dim[4] = { (1 << 20) + 3, 1, 1, 1 };
    genai_tensor *x, *y[4];
    size_t        i, k, wrong = 0;
    genai_recording(g, 0);
    x = genai_tensor_of(g, 4, dim, NULL);
    for (i = 0; i < x->count; i++) x->data[i] = (float)i;
    y[0] = genai_upsample(x, 1);
    y[1] = genai_max_pool(x, 1, 1);
    y[2] = genai_average_pool(x, 1, 1);
    y[3] = genai_sum(x, 1u << 2);
    for (k = 0; k < 4; k++)
        for (i = 0; i < x->count; i++) wrong += !y[k] || y[k]->data[i] != x->data[i];
    CHECK(!wrong, "%zu values", wrong);
    genai_ctx_destroy(g);
}

/* The caller's rounding mode changes no bit, and is still there afterwards. */
static void check_rounding_mode(void) {
    genai_ctx    *g = quiet_context(GENAI_ISA_BEST, 2);
    int           dim[4] = { 1, 3, 3, 1 }, half[4] = { 1, 2, 2, 1 }, round;
    float         middle[9] = { 0, 0, 0, 0, 1, 0, 0, 0, 0 }, weight[4] = { 0.1f, 0.2f, 0.3f, 0.7f }, grad[2], mean[2];
    for (round = 0; round < 2; round++) {
        genai_tensor *x = genai_tensor_of(g, 4, dim, middle), *l;
        if (round) fesetround(FE_UPWARD);
        x->requires_grad = 1;
        l = genai_sum(genai_mul(genai_max_pool(x, 2, 1), genai_tensor_of(g, 4, half, weight)), 0);
        genai_backward(l);
        mean[round] = genai_value(genai_mean(x, 0));
        grad[round] = x->grad->data[4];
        CHECK(fegetround() == (round ? FE_UPWARD : FE_TONEAREST), "the rounding mode was changed");
        fesetround(FE_TONEAREST);
    }
    CHECK(!memcmp(&grad[0], &grad[1], 4) && !memcmp(&mean[0], &mean[1], 4), "%.9g %.9g, %.9g %.9g", (double)grad[0], (double)grad[1], (double)mean[0], (double)mean[1]);
    genai_ctx_destroy(g);
}

/* Workers that have nothing to do sleep: half a second of the process takes no processor time, with 7 threads' pool too. */
static void check_idle(void) {
    struct timespec moment = { 0, 50000000 }, half = { 0, 500000000 };
    clock_t         before;
    double          used;
    nanosleep(&moment, NULL); /* they spin for some microseconds first */
    before = clock();
    nanosleep(&half, NULL);
    used = (double)(clock() - before) / CLOCKS_PER_SEC;
    CHECK(used < 0.05, "%d contexts at rest used %.3f s of processor time in half a second", context_count, used);
}

int main(int argc, char **argv) {
    static const genai_isa isas[] = { GENAI_ISA_AVX2, GENAI_ISA_AVX512, GENAI_ISA_NEON };
    static const int       threads[] = { 1, 2, 3, 7 };
    static const struct { const char *name; void (*run)(void); } groups[] = {
        { "adjoint", check_adjoint }, { "conv_sizes", check_conv_sizes }, { "conv_paths", check_conv_paths }, { "bn", check_batch_norm }, { "drop", check_dropout }, { "losses", check_losses },
        { "accuracy", check_accuracy }, { "special", check_special_values }, { "random", check_random }, { "tape", check_tape }, { "penalty", check_penalty },
        { "optim", check_optimizers }, { "leaves", check_leaves }, { "rows", check_many_rows }, { "rounding", check_rounding_mode },
        { "sizes", check_bad_sizes }, { "idle", check_idle } };
    const char *only = argc > 1 ? argv[1] : NULL;
    size_t      k, t, every = check_short() ? 4 : 1; /* of the numbers of threads */
    int         n;
    for (t = 0; t < 4; t += every) contexts[context_count++] = quiet_context(GENAI_ISA_SCALAR, threads[t]);
    for (k = 0; k < 3; k++)
        for (t = every / 2; t < 4; t += every) {
            genai_ctx *ctx = quiet_context(isas[k], threads[t]);
            if (ctx) contexts[context_count++] = ctx;
            else if (t == every / 2) printf("skipped: this processor has no %s\n", genai_isa_name(isas[k]));
        }
    contexts[context_count++] = host_context();
    for (n = 0; n < context_count; n++)
        if (!contexts[n]) { printf("no context\n"); return 2; }
    for (n = 0; n < ROWS; n++) {
        int failed = check_failed;
        if (only && strcmp(only, rows[n].name) != 0) continue;
        check_errors(&rows[n]);
        check_bits(&rows[n]);
        check_gradients(&rows[n]);
        if (check_failed > failed) printf("%s: %d failed\n", rows[n].name, check_failed - failed);
    }
    if (!only || !strcmp(only, "fixtures")) check_fixtures(NULL);
    else check_fixtures(only);
    for (k = 0; k < sizeof groups / sizeof groups[0]; k++)
        if (!only || !strcmp(only, groups[k].name)) groups[k].run();
    for (n = 0; n < context_count; n++) genai_ctx_destroy(contexts[n]);
    return CHECK_DONE("ops");
}
