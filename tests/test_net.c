/* Networks as text: every layer's shape and sentence, syntax errors with their position and the nearest word, forward
 * passes against the same ops by hand, initial weights, averaging, freezing, the layer table, learning, allocation
 * failures, and texts changed at random. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

static allocations heap;
static genai_ctx *context(int threads, genai_isa isa) {
    genai_ctx_desc d = quiet_desc(11, threads, isa, &heap);
    heap.most = (size_t)1 << 26;
    return genai_ctx_create(&d);
}

static int net_classes, net_spectral; /* of the nets below */

/* h 0: [w]; otherwise [h,w,c]. */
static genai_net *net_named(genai_ctx *ctx, const char *name, const char *text, int h, int w, int c, genai_init init) {
    genai_net_desc d;
    memset(&d, 0, sizeof d);
    d.text = text;
    d.name = name;
    d.ndim = h ? 3 : 1;
    d.dim[0] = h ? h : w;
    d.dim[1] = w;
    d.dim[2] = c;
    d.init = init;
    d.classes = net_classes;
    d.spectral_norm = net_spectral;
    return genai_net_create(ctx, &d);
}
static genai_net *net_of(genai_ctx *ctx, const char *text, int h, int w, int c) { return net_named(ctx, NULL, text, h, w, c, GENAI_INIT_DEFAULT); }

static genai_tensor *input_of(genai_ctx *ctx, const genai_net *net, int n) {
    int dim[4], i;
    dim[0] = n;
    for (i = 0; i < net->ndim; i++) dim[i + 1] = net->dim[i];
    return genai_random_normal(ctx, net->ndim + 1, dim);
}

/* --- shapes: what comes out, and that the ops agree --- */
typedef struct shape_case {
    const char *text;
    int         h, w, c, ndim, out[3];
    size_t      parameters;
} shape_case;

static const shape_case shape_cases[] = {
    {"dense 10", 0, 7, 0, 1, {10, 1, 1}, 80},
    {"dense 10 nobias", 0, 7, 0, 1, {10, 1, 1}, 70},
    {"dense 5", 3, 4, 2, 1, {5, 1, 1}, 125},
    {"dense 2*3*4", 0, 1, 0, 1, {24, 1, 1}, 48},
    {"dense 28/4*28/4*2", 0, 1, 0, 1, {98, 1, 1}, 196},
    {"conv 4", 9, 7, 2, 3, {9, 7, 4}, 76},
    {"conv 4 k5", 9, 7, 2, 3, {9, 7, 4}, 204},
    {"conv 4 k4 s2", 9, 7, 2, 3, {5, 4, 4}, 132},
    {"conv 4 k4 s2 same", 8, 6, 1, 3, {4, 3, 4}, 68},
    {"conv 4 k4 s2 valid", 9, 7, 2, 3, {3, 2, 4}, 132},
    {"conv 4 k4 s2 p1", 8, 7, 2, 3, {4, 3, 4}, 132},
    {"conv 3 k3x5 s2x1 p1x2 nobias", 8, 7, 2, 3, {4, 7, 3}, 90},
    {"conv 3 k3x5 s2x3", 8, 7, 2, 3, {4, 3, 3}, 93},
    {"conv 3 k5 s2", 2, 2, 1, 3, {1, 1, 3}, 78},
    {"conv 1 k1 s3", 7, 8, 3, 3, {3, 3, 1}, 4},
    {"conv 2 s1*2", 6, 6, 1, 3, {3, 3, 2}, 20},
    {"convt 4", 5, 3, 2, 3, {5, 3, 4}, 76},
    {"convt 4 k4 s2", 5, 3, 2, 3, {10, 6, 4}, 132},
    {"convt 4 k5 s2 nobias", 5, 3, 2, 3, {10, 6, 4}, 200},
    {"convt 4 k2 s3", 5, 3, 2, 3, {15, 9, 4}, 36},
    {"convt 4 k4 s2 p1", 5, 3, 2, 3, {10, 6, 4}, 132},
    {"convt 4 k3 s2 p1", 5, 3, 2, 3, {9, 5, 4}, 76},
    {"convt 4 k3 s2 p1 o1", 5, 3, 2, 3, {10, 6, 4}, 76},
    {"convt 4 k4 valid", 1, 1, 6, 3, {4, 4, 4}, 388},
    {"convt 4 k4 s2 valid", 5, 3, 2, 3, {12, 8, 4}, 132},
    {"convt 2 k3x4 s1x2", 5, 3, 2, 3, {5, 6, 2}, 50},
    {"batchnorm", 4, 4, 3, 3, {4, 4, 3}, 6},
    {"cbatchnorm", 4, 4, 3, 3, {4, 4, 3}, 30},
    {"cbatchnorm momentum 0.8 eps 0.001", 0, 9, 0, 1, {9, 1, 1}, 90},
    {"label", 4, 3, 2, 3, {4, 3, 7}, 0},
    {"label", 0, 9, 0, 1, {14, 1, 1}, 0},
    {"label 3", 4, 3, 2, 3, {4, 3, 5}, 15},
    {"label 2*2", 0, 9, 0, 1, {13, 1, 1}, 20},
    {"project", 0, 9, 0, 1, {1, 1, 1}, 55},
    {"attention", 3, 4, 17, 3, {3, 4, 17}, 2 * 17 * 2 + 2 * 17 * 8 + 1},
    {"attention sn", 2, 2, 1, 3, {2, 2, 1}, 5},
    {"stddev", 3, 4, 2, 3, {3, 4, 3}, 0},
    {"stddev momentum 0.5", 0, 4, 0, 1, {5, 1, 1}, 0},
    {"project nobias", 2, 2, 3, 1, {1, 1, 1}, 72},
    {"batchnorm momentum 0.8 eps 0.001", 0, 9, 0, 1, {9, 1, 1}, 18},
    {"layernorm", 4, 4, 3, 3, {4, 4, 3}, 6},
    {"layernorm eps 1e-3", 0, 9, 0, 1, {9, 1, 1}, 18},
    {"instancenorm", 4, 4, 3, 3, {4, 4, 3}, 6},
    {"groupnorm 2", 4, 4, 6, 3, {4, 4, 6}, 12},
    {"relu", 2, 3, 4, 3, {2, 3, 4}, 0},
    {"lrelu 0.2", 0, 5, 0, 1, {5, 1, 1}, 0},
    {"elu", 0, 5, 0, 1, {5, 1, 1}, 0},
    {"elu 0.5", 0, 5, 0, 1, {5, 1, 1}, 0},
    {"gelu | silu | tanh | sigmoid | softplus", 0, 5, 0, 1, {5, 1, 1}, 0},
    {"dropout 0.3", 2, 3, 4, 3, {2, 3, 4}, 0},
    {"flatten", 2, 3, 4, 1, {24, 1, 1}, 0},
    {"flatten", 0, 4, 0, 1, {4, 1, 1}, 0},
    {"reshape 2x3x4", 0, 24, 0, 3, {2, 3, 4}, 0},
    {"reshape 8/4x12/4x2*2", 0, 24, 0, 3, {2, 3, 4}, 0},
    {"reshape 24", 2, 3, 4, 1, {24, 1, 1}, 0},
    {"upsample 3", 2, 3, 4, 3, {6, 9, 4}, 0},
    {"avgpool 2", 5, 4, 3, 3, {2, 2, 3}, 0},
    {"avgpool 3 s1", 5, 4, 3, 3, {3, 2, 3}, 0},
    {"maxpool 2", 5, 4, 3, 3, {2, 2, 3}, 0},
    {"maxpool 2 s3", 5, 4, 3, 3, {2, 1, 3}, 0},
    {"globalavgpool", 5, 4, 3, 1, {3, 1, 1}, 0},
    {"keep a | relu | add a", 5, 4, 3, 3, {5, 4, 3}, 0},
    {"keep a | relu | concat a", 5, 4, 3, 3, {5, 4, 6}, 0},
    {"keep 1 | dense 4 | concat 1", 0, 7, 0, 1, {11, 1, 1}, 32},
    {"keep a | dense 4 | swap a | dense 4 nobias | add a", 0, 7, 0, 1, {4, 1, 1}, 60},
    {"keep a | batchnorm | relu | upsample 2 | conv 6 | batchnorm | relu | conv 6 | swap a | upsample 2 | conv 6 k1 | add a", 5, 4, 3, 3, {10, 8, 6},
     6 + 168 + 12 + 330 + 24},
    {"conv 4 k4 s2 | keep a | lrelu 0.2 | conv 5 k4 s2 | keep b | relu | conv 5 | concat b | convt 3 k4 s2 | concat a | convt 2 k4 s2", 8, 8, 1, 3, {8, 8, 2},
     68 + 325 + 230 + 483 + 226},
    {"globalmaxpool", 5, 4, 3, 1, {3, 1, 1}, 0},
    {"softmax", 0, 6, 0, 1, {6, 1, 1}, 0},
    {"logsoftmax", 0, 6, 0, 1, {6, 1, 1}, 0},
    {"crop 3x2", 6, 5, 2, 3, {3, 2, 2}, 0},
    {"crop 4", 6, 5, 2, 3, {4, 4, 2}, 0},
    {"pad 2", 6, 5, 2, 3, {10, 9, 2}, 0},
    {"  dense\t2*2*3 |\n reshape 2x2x3|convt 1 k4 s2 init normal |tanh\n", 0, 4, 0, 3, {4, 4, 1}, 109},
    {"conv 8 k4 s2 | lrelu 0.3 | conv 16 k4 s2 | lrelu 0.3 | flatten | dense 1", 28, 28, 1, 1, {1, 1, 1}, 2985},
};

static void test_shapes(genai_ctx *ctx) {
    static const int labels[4] = {3, 0, 4, 3};
    size_t           k;
    net_classes = 5;
    for (k = 0; k < sizeof shape_cases / sizeof *shape_cases; k++) {
        const shape_case *c = &shape_cases[k];
        genai_net        *net = net_of(ctx, c->text, c->h, c->w, c->c);
        genai_tensor     *y;
        int               out[3] = {0, 0, 0}, ndim = genai_net_output(net, out), mode, n, i;
        CHECK(net && ndim == c->ndim && !memcmp(out, c->out, sizeof out), "%s: %d dims %dx%dx%d (%s)", c->text, ndim, out[0], out[1], out[2],
              genai_ctx_error(ctx));
        CHECK(genai_net_parameters(net) == c->parameters, "%s: %lu parameters", c->text, (unsigned long)genai_net_parameters(net));
        for (mode = 0; net && mode < 3; mode++)
            for (n = 2; n < 5; n += 2) {
                int as_told;
                y = genai_net_forward_labels(net, input_of(ctx, net, n), labels, (genai_mode)mode);
                as_told = y && y->ndim == ndim + 1 && y->dim[0] == n;
                for (i = 0; as_told && i < ndim; i++) as_told = y->dim[i + 1] == out[i];
                CHECK(as_told, "%s: the ops give another shape: %s", c->text, y ? "" : genai_ctx_error(ctx));
                for (i = 0; y && i < (int)y->count; i++) as_told = as_told && genai__finite(y->data[i]);
                CHECK(as_told, "%s: not finite", c->text);
                genai_tape_release(ctx, 0);
            }
        genai_net_destroy(net);
        genai_ctx_clear(ctx);
    }
    net_classes = 0;
}

/* --- sentences --- */
typedef struct error_case {
    const char  *text;
    int          h, w, c;
    genai_result code;
    const char  *words[3]; /* that the sentence holds */
} error_case;

static const error_case error_cases[] = {
    {"dense 64 | batchnrom", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 12", "unknown layer 'batchnrom'", "'batchnorm'"}},
    {"denze 64", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 1:", "'denze'", "'dense'"}},
    {"leakyrelu 0.2", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 1:", "'leakyrelu'", "did you mean"}},
    {"relu |\n  rlu", 0, 4, 0, GENAI_ERROR_SYNTAX, {"line 2, column 3", "'rlu'", "'relu'"}},
    {"", 0, 4, 0, GENAI_ERROR_SYNTAX, {"empty", NULL, NULL}},
    {"  \n ", 0, 4, 0, GENAI_ERROR_SYNTAX, {"empty", NULL, NULL}},
    {"relu | ", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 8", "a layer is missing", NULL}},
    {"relu || tanh", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 7", "a layer is missing", NULL}},
    {"| relu", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 1", "a layer is missing", NULL}},
    {"dense", 0, 4, 0, GENAI_ERROR_SYNTAX, {"'dense' needs a number", "dense N", NULL}},
    {"lrelu", 0, 4, 0, GENAI_ERROR_SYNTAX, {"'lrelu' needs a number", "lrelu SLOPE", NULL}},
    {"reshape", 0, 4, 0, GENAI_ERROR_SYNTAX, {"'reshape' needs a number", "HxWxC", NULL}},
    {"dense 10 nobais", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 10", "'nobais'", "'nobias'"}},
    {"dense 10 relu", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 10", "'relu'", "'|' is missing"}},
    {"dense 10 20", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 10", "'20'", "before"}},
    {"tanh sn", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 6", "'sn'", NULL}},
    {"dense 10 sn sn", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 13", "'sn'", "before"}},
    {"dense 10 k3", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 10", "'k3'", "nobias"}},
    {"relu 3", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 6", "'3' should not be here", "'relu'"}},
    {"dense 0", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 7", "at least 1", NULL}},
    {"dense -3", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 7", "whole number", NULL}},
    {"dense 3.5", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 8", "'3.5'", "end here"}},
    {"dense 4*", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 9", "missing", NULL}},
    {"dense 30/4*2", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 7", "30 can't be divided by 4", NULL}},
    {"dense 4/0", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 7", "can't be divided", NULL}},
    {"dense 16777217", 0, 4, 0, GENAI_ERROR_SYNTAX, {"larger than 16777216", NULL, NULL}},
    {"dense 99999999999999999999999999", 0, 4, 0, GENAI_ERROR_SYNTAX, {"larger than 16777216", NULL, NULL}},
    {"dense 65536*65536*65536*65536*65536", 0, 4, 0, GENAI_ERROR_SYNTAX, {"larger than 16777216", NULL, NULL}},
    {"conv 4 kK", 8, 8, 1, GENAI_ERROR_SYNTAX, {"column 8", "'kK'", NULL}},
    {"conv 4 k3x", 8, 8, 1, GENAI_ERROR_SYNTAX, {"column 11", "missing", NULL}},
    {"conv 4 k3x3x3", 8, 8, 1, GENAI_ERROR_SYNTAX, {"should end here", NULL, NULL}},
    {"conv 4 k0", 8, 8, 1, GENAI_ERROR_SYNTAX, {"at least 1", NULL, NULL}},
    {"conv 4 k3 k5", 8, 8, 1, GENAI_ERROR_SYNTAX, {"column 11", "'k5'", "before"}},
    {"conv 4 same p1", 8, 8, 1, GENAI_ERROR_SYNTAX, {"'p1'", "before", NULL}},
    {"conv 4 vaild", 8, 8, 1, GENAI_ERROR_SYNTAX, {"column 8", "'vaild'", "'valid'"}},
    {"conv 4 o1", 8, 8, 1, GENAI_ERROR_SYNTAX, {"column 8", "'o1'", NULL}},
    {"conv 4 init hee", 8, 8, 1, GENAI_ERROR_SYNTAX, {"column 13", "'hee'", "'he'"}},
    {"conv 4 init", 8, 8, 1, GENAI_ERROR_SYNTAX, {"column 12", "unknown init ''", NULL}},
    {"conv 4 init | relu", 8, 8, 1, GENAI_ERROR_SYNTAX, {"unknown init ''", NULL, NULL}},
    {"lrelu 1.5", 0, 4, 0, GENAI_ERROR_SYNTAX, {"lrelu must be from 0 to 1", "1.5", NULL}},
    {"lrelu 0.2x", 0, 4, 0, GENAI_ERROR_SYNTAX, {"lrelu needs a number", "'0.2x'", NULL}},
    {"lrelu -", 0, 4, 0, GENAI_ERROR_SYNTAX, {"lrelu needs a number", NULL, NULL}},
    {"dropout 1", 0, 4, 0, GENAI_ERROR_SYNTAX, {"dropout must be from 0 to 0.999", NULL, NULL}},
    {"batchnorm momentum", 0, 4, 0, GENAI_ERROR_SYNTAX, {"momentum needs a number", NULL, NULL}},
    {"batchnorm momentum 2", 0, 4, 0, GENAI_ERROR_SYNTAX, {"momentum must be", NULL, NULL}},
    {"batchnorm eps x", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 15", "eps needs a number, not 'x'", NULL}},
    {"batchnorm momentun 0.8", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 11", "'momentun'", "'momentum'"}},
    {"reshape 2x2x2x2", 0, 16, 0, GENAI_ERROR_SYNTAX, {"should end here", NULL, NULL}},
    {"conv 4", 0, 100, 0, GENAI_ERROR_SHAPE, {"layer 0 (conv 4)", "needs an image", "100 values"}},
    {"flatten | convt 4 k4", 4, 4, 1, GENAI_ERROR_SHAPE, {"layer 1 (convt 4 k4)", "needs an image", "16 values"}},
    {"conv 4 k4 s2 | conv 8 k5 valid", 8, 6, 1, GENAI_ERROR_SHAPE, {"layer 1 (conv 8 k5 valid)", "4x3", "kernel 5x5"}},
    {"conv 4 k3x9 p1", 8, 6, 1, GENAI_ERROR_SHAPE, {"layer 0", "10x8", "3x9"}},
    {"convt 4 k3 s2 o1", 4, 4, 1, GENAI_ERROR_SHAPE, {"layer 0", "same", NULL}},
    {"convt 4 k3 s2 p1 o2", 4, 4, 1, GENAI_ERROR_SHAPE, {"output padding 2", "stride 2", NULL}},
    {"convt 4 k2 p3", 4, 4, 1, GENAI_ERROR_SHAPE, {"-1x-1", NULL, NULL}},
    {"reshape 4x4x2", 0, 30, 0, GENAI_ERROR_SHAPE, {"4x4x2 is 32 values", "there are 30", NULL}},
    {"reshape 4x8", 0, 32, 0, GENAI_ERROR_SHAPE, {"HxWxC", NULL, NULL}},
    {"reshape 16777216x16777216x16777216", 0, 32, 0, GENAI_ERROR_SHAPE, {"there are 32", NULL, NULL}},
    {"upsample 2", 0, 32, 0, GENAI_ERROR_SHAPE, {"needs an image", NULL, NULL}},
    {"upsample 16777216", 32, 32, 1, GENAI_ERROR_SHAPE, {"536870912x536870912", NULL, NULL}},
    {"upsample 65536", 8, 8, 1, GENAI_ERROR_SHAPE, {"more than 268435456 values", NULL, NULL}},
    {"pad 16777216", 8, 8, 1, GENAI_ERROR_SHAPE, {"33554440", NULL, NULL}},
    {"avgpool 9", 8, 12, 1, GENAI_ERROR_SHAPE, {"8x12", "window 9x9", NULL}},
    {"maxpool 2 s1x2", 8, 12, 1, GENAI_ERROR_SHAPE, {"same in both", NULL, NULL}},
    {"globalavgpool", 0, 12, 0, GENAI_ERROR_SHAPE, {"needs an image", NULL, NULL}},
    {"globalmaxpool", 0, 12, 0, GENAI_ERROR_SHAPE, {"needs an image", NULL, NULL}},
    {"crop 9x2", 8, 12, 1, GENAI_ERROR_SHAPE, {"only 8x12", NULL, NULL}},
    {"crop 2x2x2", 8, 12, 1, GENAI_ERROR_SHAPE, {"HxW", NULL, NULL}},
    {"crop 2", 0, 12, 0, GENAI_ERROR_SHAPE, {"needs an image", NULL, NULL}},
    {"pad 2", 0, 12, 0, GENAI_ERROR_SHAPE, {"needs an image", NULL, NULL}},
    {"groupnorm 4", 4, 4, 6, GENAI_ERROR_SHAPE, {"6 channels", "4 groups", NULL}},
    {"groupnorm 6", 0, 6, 0, GENAI_ERROR_SHAPE, {"only 1 value", NULL, NULL}},
    {"instancenorm", 0, 6, 0, GENAI_ERROR_SHAPE, {"needs an image", NULL, NULL}},
    {"instancenorm", 1, 1, 6, GENAI_ERROR_SHAPE, {"only 1 value", NULL, NULL}},
    {"layernorm", 0, 1, 0, GENAI_ERROR_SHAPE, {"only 1 value", NULL, NULL}},
    {"label", 0, 4, 0, GENAI_ERROR_SHAPE, {"layer 0 (label)", "needs labels", "0 classes"}},
    {"dense 4 | cbatchnorm", 0, 4, 0, GENAI_ERROR_SHAPE, {"layer 1 (cbatchnorm)", "needs labels", NULL}},
    {"project", 0, 4, 0, GENAI_ERROR_SHAPE, {"layer 0 (project)", "needs labels", NULL}},
    {"label 0", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 7", "at least 1", NULL}},
    {"project 3", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 9", "nobias", NULL}},
    {"keep", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 1", "'keep' needs a name", "keep NAME"}},
    {"keep a b", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 8", "before", NULL}},
    {"keep a-b", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 7", "'a-b'", "letters and digits"}},
    {"keep a | relu | add b", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 21", "nothing was kept as 'b'", NULL}},
    {"add a | keep a | add a", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 5", "nothing was kept as 'a'", NULL}},
    {"keep a | relu", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 1", "'a'", "never used"}},
    {"relu | keep a | relu | keep a | add a", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 8", "'a'", "never used"}},
    {"keep a | add a | relu | swap a", 0, 4, 0, GENAI_ERROR_SYNTAX, {"column 25", "'a'", "never used"}},
    {"keep a | conv 3 s2 | add a", 8, 8, 3, GENAI_ERROR_SHAPE, {"layer 2 (add a)", "8x8x3", "4x4x3"}},
    {"keep a | flatten | add a", 8, 8, 3, GENAI_ERROR_SHAPE, {"layer 2 (add a)", "8x8x3", "192"}},
    {"keep a | conv 3 s2 | concat a", 8, 8, 3, GENAI_ERROR_SHAPE, {"layer 2 (concat a)", "8x8x3", "4x4x3"}},
    {"keep a | conv 3 s2 | swap a | concat a", 8, 8, 3, GENAI_ERROR_SHAPE, {"layer 3 (concat a)", "of 4x4x3", "of 8x8x3"}},
    {"attention", 0, 4, 0, GENAI_ERROR_SHAPE, {"needs an image", NULL, NULL}},
    {"attention", 129, 128, 1, GENAI_ERROR_SHAPE, {"129x128", "smaller", NULL}},
    {"attention 3", 8, 8, 1, GENAI_ERROR_SYNTAX, {"column 11", "'3'", "attention [sn]"}},
    {"dense 16777216 | dense 16777216", 0, 1, 0, GENAI_ERROR_SHAPE, {"layer 1", "weights", NULL}},
};

static void test_sentences(genai_ctx *ctx) {
    static char    text[70000];
    genai_net_desc d;
    size_t         k;
    int            i;
    long           before = heap.live;
    for (k = 0; k < sizeof error_cases / sizeof *error_cases; k++) {
        const error_case *c = &error_cases[k];
        genai_net        *net = net_named(ctx, "critic", c->text, c->h, c->w, c->c, GENAI_INIT_DEFAULT);
        int               told = strstr(genai_ctx_error(ctx), "critic") != NULL;
        for (i = 0; i < 3 && c->words[i]; i++) told = told && strstr(genai_ctx_error(ctx), c->words[i]);
        CHECK(!net && genai_ctx_result(ctx) == c->code && told, "%s: %d %s", c->text, (int)genai_ctx_result(ctx), genai_ctx_error(ctx));
        genai_ctx_clear(ctx);
    }
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_net_create(ctx, NULL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, net_of(ctx, NULL, 0, 4, 0));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, net_of(ctx, "relu", 0, 0, 0));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, net_of(ctx, "relu", 4, -1, 1));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, net_of(ctx, "relu", 1 << 20, 1 << 20, 1 << 20));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, net_named(ctx, NULL, "relu", 0, 4, 0, (genai_init)9));
    memset(&d, 0, sizeof d);
    d.text = "relu";
    d.ndim = 2;
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_net_create(ctx, &d));
    memset(text, ' ', sizeof text - 1);
    memcpy(text, "relu", 4);
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, net_of(ctx, text, 0, 4, 0));
    for (i = 0; i < 257; i++) memcpy(text + 5 * i, "relu|", 5);
    text[5 * 257 - 1] = 0;
    CHECK_RESULT(ctx, GENAI_ERROR_SYNTAX, net_of(ctx, text, 0, 4, 0));
    text[5 * 256 - 1] = 0;
    genai_net_destroy(net_of(ctx, text, 0, 4, 0));
    CHECK(!genai_ctx_result(ctx), "256 layers: %s", genai_ctx_error(ctx));
    memset(text, 'x', 60000);
    text[60000] = 0;
    CHECK_RESULT(ctx, GENAI_ERROR_SYNTAX, net_of(ctx, text, 0, 4, 0));
    CHECK(heap.live == before, "%ld blocks are left", heap.live - before);
}

/* --- forward --- */
static int equal(const genai_tensor *a, const genai_tensor *b) {
    return a && b && a->count == b->count && !memcmp(a->data, b->data, a->count * sizeof(float));
}

static void test_forward(genai_ctx *ctx) {
    static const char *const names[] = {"g.0.dense.weight", "g.0.dense.bias", "g.1.batchnorm.gamma", "g.1.batchnorm.beta", "g.4.convt.weight",
                                        "g.6.conv.weight", "g.6.conv.bias", "g.1.batchnorm.mean", "g.1.batchnorm.var"};
    genai_net       *net = net_named(ctx, "g", "dense 2*3*4 | batchnorm momentum 0.8 | lrelu 0.2 | reshape 2x3x4 | convt 3 k4 s2 nobias | elu | "
                                               "conv 2 k3x2 s2 p1 | maxpool 2 | crop 1x1 | pad 1 | tanh", 0, 5, 0, GENAI_INIT_DEFAULT);
    genai_tensor    *x, *y, *z, *feature, *p[9], *twin_mean, *twin_var;
    genai_conv_desc  c;
    int              dim[4], i, out[3];
    size_t           n;
    CHECK(net && genai__net_tensor_count(net) == 9, "%s", genai_ctx_error(ctx));
    if (!net) return;
    for (i = 0; i < 9; i++) {
        p[i] = genai__net_tensor(net, i);
        CHECK(!strcmp(p[i]->name, names[i]), "tensor %d is %s", i, p[i]->name);
        CHECK((uintptr_t)p[i]->data % 64 == 0, "%s isn't aligned", names[i]);
        for (n = 0; n < p[i]->count; n++) p[i]->data[n] += i == 8 ? 0 : 0.01f * (float)(n % 7); /* so that biases count */
    }
    CHECK(net->size >= genai_net_parameters(net) && net->size % 16 == 0, "block of %lu", (unsigned long)net->size);
    x = input_of(ctx, net, 3);
    twin_mean = genai_tensor_create(ctx, 1, p[7]->dim);
    twin_var = genai_tensor_create(ctx, 1, p[8]->dim);
    memcpy(twin_mean->data, p[7]->data, p[7]->count * sizeof(float));
    memcpy(twin_var->data, p[8]->data, p[8]->count * sizeof(float));
    y = genai_net_forward_features(net, x, GENAI_TRAIN, 3, &feature);
    z = genai_dense(x, p[0], p[1]);
    z = genai_leaky_relu(genai_batch_norm(z, p[2], p[3], twin_mean, twin_var, GENAI_TRAIN, 0.8f, 1e-5f), 0.2f);
    dim[0] = 3;
    dim[1] = 2;
    dim[2] = 3;
    dim[3] = 4;
    z = genai_reshape(z, 4, dim);
    CHECK(equal(feature, z), "the features of layer 3 differ");
    memset(&c, 0, sizeof c);
    c.stride_h = c.stride_w = 2;
    c.pad_h = c.pad_w = GENAI_SAME;
    z = genai_elu(genai_conv2d_transpose(z, p[4], NULL, &c), 1);
    c.pad_h = c.pad_w = 1;
    z = genai_max_pool(genai_conv2d(z, p[5], p[6], &c), 2, 2);
    z = genai_slice(genai_slice(z, 1, (z->dim[1] - 1) / 2, 1), 2, (z->dim[2] - 1) / 2, 1);
    z = genai_tanh(genai_pad(genai_pad(z, 1, 1, 1), 2, 1, 1));
    CHECK(equal(y, z), "the net and the ops by hand differ: %s", genai_ctx_error(ctx));
    CHECK(equal(twin_mean, p[7]) && equal(twin_var, p[8]) && p[7]->data[0] != 0, "the running statistics differ");
    CHECK(genai_net_output(net, out) == 3 && out[0] == 3 && out[1] == 3 && out[2] == 2, "output %dx%dx%d", out[0], out[1], out[2]);

    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_net_forward_features(net, x, GENAI_EVAL, 11, &feature));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_net_forward(net, z, GENAI_EVAL));
    CHECK(!genai_net_forward(net, NULL, GENAI_EVAL) && !genai_net_forward(NULL, x, GENAI_EVAL) && !genai_ctx_result(ctx), "NULL passes");
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);

    /* pools over the whole image, against plain loops */
    net = net_of(ctx, "globalmaxpool", 3, 5, 2);
    x = input_of(ctx, net, 2);
    x->requires_grad = 1;
    y = genai_net_forward(net, x, GENAI_TRAIN);
    for (n = 0; n < 4; n++) {
        float most = -1e30f;
        for (i = 0; i < 15; i++) most = fmaxf(most, x->data[(n / 2 * 15 + (size_t)i) * 2 + n % 2]);
        CHECK(y && y->data[n] == most, "globalmaxpool: value %lu", (unsigned long)n);
    }
    CHECK(genai_grad(genai_sum(y, 0), 1, &x, &z, 0) == GENAI_OK, "%s", genai_ctx_error(ctx));
    for (n = 0, i = 0; i < 60; i++) n += z && z->data[i] == 1 && x->data[i] == y->data[i / 30 * 2 + i % 2] ? 1 : z && z->data[i] == 0 ? 0 : 100;
    CHECK(n == 4, "globalmaxpool: the gradient goes to the 4 largest, %lu", (unsigned long)n);
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
    net = net_of(ctx, "globalavgpool", 3, 5, 2);
    x = input_of(ctx, net, 2);
    y = genai_net_forward(net, x, GENAI_TRAIN);
    for (n = 0; n < 4; n++) {
        double sum = 0;
        for (i = 0; i < 15; i++) sum += (double)x->data[(n / 2 * 15 + (size_t)i) * 2 + n % 2];
        CHECK(y && fabs((double)y->data[n] - sum / 15) < 1e-6, "globalavgpool: value %lu", (unsigned long)n);
    }
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
    net = net_of(ctx, "dropout 0.5", 0, 5, 0);
    x = input_of(ctx, net, 2);
    CHECK(equal(x, genai_net_forward(net, x, GENAI_EVAL)), "dropout does something in EVAL");
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
}

/* --- labels: against plain loops --- */
static double variance(const genai_tensor *t, double mean) {
    double sum = 0;
    size_t i;
    for (i = 0; i < t->count; i++) sum += ((double)t->data[i] - mean) * ((double)t->data[i] - mean);
    return sum / (double)t->count;
}

static genai_tensor *owned(genai_net *net, const char *name) { /* by the end of its name */
    int i;
    for (i = 0; i < genai__net_tensor_count(net); i++) {
        genai_tensor *t = genai__net_tensor(net, i);
        size_t        n = strlen(t->name), m = strlen(name);
        if (n >= m && !strcmp(t->name + n - m, name)) return t;
    }
    CHECK(0, "there is no %s", name);
    exit(1);
}

static void vary(genai_net *net) { /* what begins as all 0 or 1, so that it counts */
    int    i;
    size_t k, same;
    for (i = 0; i < genai__net_tensor_count(net); i++) {
        genai_tensor *t = genai__net_tensor(net, i);
        for (same = 1; same < t->count && t->data[same] == t->data[0]; same++) {}
        for (k = 0; k < t->count && same == t->count; k++) t->data[k] += 0.25f * (float)((k * 7 + 3) % 5);
    }
    net->ctx->changes++;
}

static void test_labels(genai_ctx *ctx) {
    static const int labels[6] = {2, 0, 2, 1, 2, 0}, wrong[6] = {0, 1, 3, 0, 0, 0}, negative[6] = {0, -1, 0, 0, 0, 0};
    genai_net       *net, *by_class;
    genai_tensor    *x, *y, *z, *table, *w;
    int              n, i, c, d, mode, same = 1, copy[6];
    net_classes = 3;

    net = net_of(ctx, "label 4 | label", 2, 3, 2);
    table = owned(net, "0.label.embed");
    CHECK(fabs(variance(table, 0) - 1) < 0.7, "an embedding is drawn from normal(0, 1): variance %g", variance(table, 0));
    x = input_of(ctx, net, 6);
    memcpy(copy, labels, sizeof copy);
    y = genai_net_forward_labels(net, x, copy, GENAI_TRAIN);
    memset(copy, 0, sizeof copy);
    CHECK(y && y->dim[3] == 2 + 4 + 3, "%s", genai_ctx_error(ctx));
    for (n = 0; y && n < 6; n++)
        for (i = 0; i < 6; i++)
            for (c = 0; c < 9; c++)
                same = same && y->data[(n * 6 + i) * 9 + c] == (c < 2 ? x->data[(n * 6 + i) * 2 + c] : c < 6 ? table->data[labels[n] * 4 + c - 2] : (float)(labels[n] == c - 6));
    CHECK(same, "label: the planes aren't the class's");
    CHECK(genai_backward(genai_sum(genai_slice(y, 3, 3, 1), 0)) == GENAI_OK, "%s", genai_ctx_error(ctx));
    for (i = 0; i < 12; i++) CHECK(table->grad->data[i] == (i % 4 == 1 ? i / 4 == 0 ? 12 : i / 4 == 1 ? 6 : 18 : 0), "gradient %d of a table: %g", i, (double)table->grad->data[i]);
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_net_forward(net, x, GENAI_TRAIN));
    CHECK(!genai_net_forward_labels(net, x, wrong, GENAI_TRAIN) && strstr(genai_ctx_error(ctx), "label 3 of image 2 isn't in 0..2"), "%s", genai_ctx_error(ctx));
    genai_ctx_clear(ctx);
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_net_forward_labels(net, x, negative, GENAI_EVAL));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_net_forward_features(net, x, GENAI_EVAL, 0, &y));
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);

    net = net_of(ctx, "label 2", 0, 4, 0);
    x = input_of(ctx, net, 6);
    y = genai_net_forward_labels(net, x, labels, GENAI_TRAIN);
    CHECK(y && y->data[6 * 3 + 3] == x->data[15] && y->data[6 * 3 + 4] == genai__net_tensor(net, 0)->data[2], "label beside a vector");
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);

    /* batch norm with each class's gamma and beta in turn; the statistics are those of all */
    net = net_of(ctx, "cbatchnorm momentum 0.5 eps 0.01", 2, 2, 3);
    vary(net);
    x = input_of(ctx, net, 6);
    for (mode = GENAI_EVAL; mode <= GENAI_TRAIN_FROZEN; mode++) {
        y = genai_net_forward_labels(net, x, labels, (genai_mode)mode);
        for (c = 0, same = y != NULL; c < 3; c++) {
            by_class = net_of(ctx, "batchnorm momentum 0.5 eps 0.01", 2, 2, 3);
            memcpy(owned(by_class, "gamma")->data, owned(net, "gamma")->data + 3 * c, 3 * sizeof(float));
            memcpy(owned(by_class, "beta")->data, owned(net, "beta")->data + 3 * c, 3 * sizeof(float));
            if (mode == GENAI_EVAL) memcpy(by_class->running, net->running, net->running_size * sizeof(float));
            z = genai_net_forward(by_class, x, (genai_mode)mode);
            for (n = 0; same && n < 72; n++)
                if (labels[n / 12] == c) same = same && fabsf(y->data[n] - z->data[n]) < 2e-6f * (1 + fabsf(z->data[n]));
            genai_net_destroy(by_class);
        }
        CHECK(same, "cbatchnorm isn't batch norm class by class, mode %d", mode);
    }
    genai_tape_release(ctx, 0);
    by_class = net_of(ctx, "batchnorm momentum 0.5 eps 0.01", 2, 2, 3); /* and they learn as batch norm's do */
    vary(by_class);
    memcpy(net->running, by_class->running, net->running_size * sizeof(float));
    genai_net_forward_labels(net, x = input_of(ctx, net, 6), labels, GENAI_TRAIN);
    genai_net_forward(by_class, x, GENAI_TRAIN);
    CHECK(!memcmp(net->running, by_class->running, net->running_size * sizeof(float)), "running statistics");
    genai_tape_release(ctx, 0);
    genai_net_destroy(by_class);
    genai_net_destroy(net);

    net = net_named(ctx, NULL, "project", 2, 2, 3, GENAI_INIT_NORMAL);
    vary(net);
    x = input_of(ctx, net, 6);
    y = genai_net_forward_labels(net, x, labels, GENAI_TRAIN);
    table = owned(net, "embed");
    w = owned(net, "weight");
    for (n = 0; y && n < 6; n++) {
        double sum = (double)owned(net, "bias")->data[0];
        for (d = 0; d < 12; d++) sum += (double)x->data[n * 12 + d] * (double)(w->data[d] + table->data[labels[n] * 12 + d]);
        CHECK(fabs(sum - (double)y->data[n]) < 1e-5, "project: image %d: %g, not %g", n, (double)y->data[n], sum);
    }
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
    net_classes = 0;

    net = net_of(ctx, "dense 2", 0, 4, 0); /* takes none: none are looked at */
    CHECK(genai_net_forward_labels(net, input_of(ctx, net, 6), wrong, GENAI_TRAIN) != NULL, "%s", genai_ctx_error(ctx));
    net_classes = 4;
    by_class = net_of(ctx, "dense 2", 0, 4, 0);
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_net_average(net, by_class, 0));
    genai_net_destroy(by_class);
    net_classes = -1;
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, net_of(ctx, "dense 2", 0, 4, 0));
    net_classes = 0;
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
}

/* --- derivatives --- */

/* Sum of weights times y, y of the net; in double. */
static double weighted(const genai_tensor *y, genai_tensor *weight) {
    double sum = 0;
    size_t i;
    for (i = 0; i < y->count; i++) {
        uint32_t k = (uint32_t)i * 2654435761u;
        float    w = (float)(k >> 8) / 8388608.0f - 1;
        if (weight) weight->data[i] = w;
        sum += (double)w * (double)y->data[i];
    }
    return sum;
}

/* order 1: the weighted sum of the net's values. order 2: the sum of squares of its gradient at x, whose own gradient is a second
 * derivative. With `backward` gradients are left in the leaves. */
static double objective(genai_net *net, genai_tensor *x, const int *labels, int order, int backward) {
    genai_ctx    *ctx = net->ctx;
    genai_tensor *y = genai_net_forward_labels(net, x, labels, GENAI_TRAIN_FROZEN), *w, *loss, *dx;
    double        value;
    if (!y) return NAN;
    w = genai_tensor_of(ctx, y->ndim, y->dim, NULL);
    value = weighted(y, w);
    loss = genai_sum(genai_mul(y, w), 0);
    if (order == 2) {
        size_t i;
        if (genai_grad(loss, 1, &x, &dx, 1)) return NAN;
        for (i = 0, value = 0; i < dx->count; i++) value += (double)dx->data[i] * (double)dx->data[i];
        loss = genai_sum(genai_square(dx), 0);
    }
    if (backward && genai_backward(loss)) return NAN;
    return value;
}

/* Gradients of all parameters and of x against central differences along random directions, one tensor after another. Where lrelu
 * makes jumps a short step passes few of them. */
static void check_derivatives(genai_ctx *ctx, const char *text, int h, int w, int c, int order) {
    static const int labels[6] = {1, 0, 2, 2, 1, 0};
    genai_net       *net;
    genai_tensor    *x, *t;
    int              i, way;
    size_t           k, mark;
    net_classes = 3;
    net = net_of(ctx, text, h, w, c);
    net_classes = 0;
    CHECK(net != NULL, "%s", genai_ctx_error(ctx));
    if (!net) return;
    vary(net);
    x = genai_tensor_create(ctx, net->ndim + 1, (int[4]){6, net->dim[0], net->dim[1], net->dim[2]});
    t = input_of(ctx, net, 6);
    memcpy(x->data, t->data, x->count * sizeof(float));
    x->requires_grad = 1;
    mark = genai_tape_mark(ctx);
    CHECK(isfinite(objective(net, x, labels, order, 1)), "%s: %s", text, genai_ctx_error(ctx));
    genai_tape_release(ctx, mark);
    for (i = -1; i < net->parameters; i++)
        for (way = 0; way < 2; way++) {
            float  *saved, *data;
            double  got = 0, along[2], size = 0, step = strstr(text, "lrelu") ? 0.0003 : 0.01, wanted, largest = 0;
            int     side;
            t = i < 0 ? x : &net->tensor[i];
            data = t->data;
            saved = (float *)malloc(t->count * sizeof(float));
            memcpy(saved, data, t->count * sizeof(float));
            for (k = 0; k < t->count; k++) largest = fmax(largest, fabs((double)data[k]));
            step *= fmax(largest, 0.1);
            for (side = 0; side < 2; side++) {
                for (k = 0; k < t->count; k++) {
                    double d = ((uint32_t)(k + 1) * 2654435761u >> (13 + way)) & 1 ? 1 : -1;
                    data[k] = saved[k] + (float)(d * (side ? -step : step));
                    if (side) continue;
                    got += d * (t->grad ? (double)t->grad->data[k] : 0);
                    size += t->grad ? (double)t->grad->data[k] * (double)t->grad->data[k] : 0;
                }
                along[side] = objective(net, x, labels, order, 0);
                genai_tape_release(ctx, mark);
            }
            memcpy(data, saved, t->count * sizeof(float));
            free(saved);
            wanted = (along[0] - along[1]) / (2 * step);
            CHECK(fabs(got - wanted) <= 0.006 * (sqrt(size) + fabs(wanted)) + 1e-7 * fabs(along[0]) / step + 1e-3, "%s: derivative %d of %s is %g along direction %d, should be %g (norm %g)", text, order, t->name ? t->name : "x",
                  got, way, wanted, sqrt(size));
        }
    genai_tape_release(ctx, 0);
    genai_tensor_destroy(x);
    genai_net_destroy(net);
}

static void test_derivatives(genai_ctx *ctx) {
    check_derivatives(ctx, "label 3 sn | conv 4 k3 sn | silu | cbatchnorm | convt 3 k4 s2 sn | silu | label | dense 5 sn | silu | project sn", 4, 3, 2, 1);
    check_derivatives(ctx, "label 3 sn | conv 4 k3 sn | silu | convt 3 k4 s2 sn | silu | label | dense 5 sn | silu | label 2 | project sn", 4, 3, 2, 2);
    check_derivatives(ctx, "keep a | conv 4 k3 | silu | conv 2 k3 | add a | keep a | silu | avgpool 2 | swap a | conv 2 k2 s2 | concat a | dense 3", 4, 4, 2, 2);
    check_derivatives(ctx, "conv 16 k3 | attention | silu | stddev | conv 3 k3 | attention sn | dense 2 | stddev", 3, 2, 2, 1);
    check_derivatives(ctx, "conv 16 k3 sn | silu | attention sn | silu | stddev | conv 3 k3 sn | stddev | project sn", 3, 2, 2, 2);
    check_derivatives(ctx, "conv 4 k3 sn | lrelu 0.2 | attention sn | stddev | project sn", 3, 2, 2, 2);
    check_derivatives(ctx, "conv 4 k3 s2 sn | lrelu 0.2 | conv 5 k3 sn | lrelu 0.2 | project sn", 5, 3, 2, 2);
}

/* --- skips --- */
static void test_skips(genai_ctx *ctx) {
    genai_net       *net = net_of(ctx, "keep a | batchnorm | relu | upsample 2 | conv 6 | swap a | upsample 2 | conv 6 k1 | add a | concat a", 5, 4, 3);
    genai_tensor    *x, *y, *z, *p[8], *dx, *dz, *held;
    genai_conv_desc  same;
    int              i;
    CHECK(net != NULL, "%s", genai_ctx_error(ctx));
    if (!net) return;
    memset(&same, 0, sizeof same);
    same.pad_h = same.pad_w = GENAI_SAME;
    for (i = 0; i < 8; i++) p[i] = genai__net_tensor(net, i);
    x = input_of(ctx, net, 3);
    x->requires_grad = 1;
    for (i = GENAI_EVAL; i <= GENAI_TRAIN_FROZEN; i += 2) {
        y = genai_net_forward_features(net, x, (genai_mode)i, 4, &held);
        z = genai_batch_norm(x, p[0], p[1], p[6], p[7], (genai_mode)i, 0.9f, 1e-5f);
        z = genai_conv2d(genai_upsample(genai_relu(z), 2), p[2], p[3], &same);
        CHECK(equal(z, held), "what was kept of the net");
        z = genai_concat(genai_add(genai_conv2d(genai_upsample(x, 2), p[4], p[5], &same), z), z, 3);
        CHECK(equal(y, z), "a net with skips and the ops by hand differ: %s", genai_ctx_error(ctx));
        CHECK(!genai_grad(genai_sum(genai_square(y), 0), 1, &x, &dx, 0) && !genai_grad(genai_sum(genai_square(z), 0), 1, &x, &dz, 0) && equal(dx, dz), "gradients");
    }
    CHECK(x->held == 0, "the input is held %d times", x->held);
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
}

/* --- attention, standard deviation: against plain loops --- */
static double product(const float *x, const float *w, int rows, int columns, int column) { /* one of x w */
    double sum = 0;
    int    i;
    for (i = 0; i < rows; i++) sum += (double)x[i] * (double)w[i * columns + column];
    return sum;
}

static void test_attention(genai_ctx *ctx) {
    enum { N = 2, P = 6, C = 16 };
    genai_net    *net = net_of(ctx, "attention", 2, 3, C);
    genai_tensor *x = input_of(ctx, net, N), *y;
    const float  *f = owned(net, ".f")->data, *g = owned(net, ".g")->data, *h = owned(net, ".h")->data, *v = owned(net, ".v")->data;
    int           n, i, j, k, c, e;
    CHECK(equal(x, genai_net_forward(net, x, GENAI_TRAIN)), "attention begins as the identity");
    owned(net, ".gate")->data[0] = 0.75f;
    y = genai_net_forward(net, x, GENAI_TRAIN);
    for (n = 0; y && n < N; n++)
        for (j = 0; j < P; j++) {
            double beta[P], sum = 0, o[C / 2] = {0};
            for (i = 0; i < P; sum += beta[i], i++) {
                double s = 0;
                for (k = 0; k < C / 8; k++) s += product(x->data + (n * P + i) * C, f, C, C / 8, k) * product(x->data + (n * P + j) * C, g, C, C / 8, k);
                beta[i] = exp(s);
            }
            for (e = 0; e < C / 2; e++)
                for (i = 0; i < P; i++) o[e] += beta[i] / sum * product(x->data + (n * P + i) * C, h, C, C / 2, e);
            for (c = 0; c < C; c++) {
                double want = (double)x->data[(n * P + j) * C + c], got = (double)y->data[(n * P + j) * C + c];
                for (e = 0; e < C / 2; e++) want += 0.75 * o[e] * (double)v[e * C + c];
                CHECK(fabs(want - got) < 1e-5, "attention: image %d, place %d, channel %d: %g, not %g", n, j, c, got, want);
            }
        }
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
}

static void test_stddev(genai_ctx *ctx) {
    static const int sizes[10] = {0, 1, 2, 3, 4, 5, 6, 7, 4, 9}; /* of the groups of N images */
    genai_net       *net = net_of(ctx, "stddev momentum 0.75", 2, 1, 3);
    int              n, size, group, i, k;
    double           level = 1;
    for (n = 1; n < 10; n++) {
        genai_tensor *x = input_of(ctx, net, n), *y = genai_net_forward(net, x, GENAI_TRAIN), *alone, *first;
        double        all = 0;
        size = sizes[n];
        for (group = 0; y && group < n / size; group++) {
            double deviation = 0;
            for (k = 0; k < 6; k++) {
                double mean = 0, square = 0;
                for (i = 0; i < size; i++) mean += (double)x->data[(group * size + i) * 6 + k] / size;
                for (i = 0; i < size; i++) square += pow((double)x->data[(group * size + i) * 6 + k] - mean, 2) / size;
                deviation += sqrt(square + 1e-8) / 6;
            }
            all += deviation / (n / size);
            for (i = 0; i < size * 2; i++) {
                const float *at = y->data + (group * size * 2 + i) * 4;
                CHECK(fabs((double)at[3] - deviation) < 1e-6 && at[1] == x->data[(group * size * 2 + i) * 3 + 1], "stddev: %d images, group %d: %g, not %g", n, group, (double)at[3], deviation);
            }
        }
        level = 0.75 * level + 0.25 * all;
        CHECK(fabs((double)net->running[0] - level) < 1e-6, "the running level is %g, not %g", (double)net->running[0], level);
        y = genai_net_forward(net, x, GENAI_TRAIN_FROZEN);
        CHECK(fabs((double)net->running[0] - level) < 1e-6, "a frozen level has changed");
        y = genai_net_forward(net, x, GENAI_EVAL);
        first = genai_slice(x, 0, n - 1, 1);
        alone = genai_net_forward(net, first, GENAI_EVAL);
        CHECK(y && alone && y->data[3] == net->running[0] && !memcmp(alone->data, y->data + 8 * (n - 1), 8 * sizeof(float)), "in use a result depends on the other images");
        genai_tape_release(ctx, 0);
    }
    genai_net_destroy(net);
}

/* --- spectral norm --- */

/* A layer of 4 inputs and 3 outputs (`in` rows of its weight as a matrix) whose singular values are 4, 2, 1: Householder reflections
 * of a diagonal. rank 1: 4, 0, 0. */
static void test_sigma_of(genai_ctx *ctx, const char *text, int h, int w, int c, int rows, int across, int rank) {
    genai_net    *net = net_of(ctx, text, h, w, c);
    genai_tensor *t, *u, *x, *y;
    double        a[32], b[3] = {1, -2, 0.5}, m[32][3], aa = 0, bb = 5.25, sigma;
    float         before[3], unnormed[3];
    int           i, j, k, step;
    CHECK(net && net->statistics == 1, "%s", genai_ctx_error(ctx));
    if (!net) return;
    t = owned(net, ".weight");
    u = owned(net, ".weight_u");
    CHECK(u->count == 3 && (size_t)rows * 3 == t->count, "%s: u has %lu values", text, (unsigned long)u->count);
    for (i = 0; i < rows; i++) {
        a[i] = (double)(i * 5 % 7) - 2.5;
        aa += a[i] * a[i];
    }
    for (i = 0; i < rows; i++)
        for (j = 0; j < 3; j++) {
            m[i][j] = 0;
            for (k = 0; k < rank; k++)
                m[i][j] += (k == 0 ? 4 : k == 1 ? 2 : 1) * ((i == k) - 2 * a[i] * a[k] / aa) * ((j == k) - 2 * b[j] * b[k] / bb);
            t->data[across ? (i / c * 3 + j) * c + i % c : i * 3 + j] = (float)m[i][j];
        }
    ctx->changes++;
    x = input_of(ctx, net, 2);
    for (step = 0; step < (rank == 1 ? 1 : 40); step++) {
        memcpy(before, u->data, sizeof before);
        genai_net_forward(net, x, GENAI_TRAIN);
        CHECK(step > 8 || memcmp(before, u->data, sizeof before), "%s: u stands still in training", text);
    }
    memcpy(before, u->data, sizeof before);
    sigma = (double)genai_value(genai__sigma(&net->layer[0], 0, GENAI_EVAL));
    CHECK(fabs(sigma - 4) < 4e-6, "%s: the largest singular value is 4, not %g", text, sigma);
    y = genai_net_forward(net, x, GENAI_EVAL);
    for (i = 0; i < 3; i++) u->data[i] *= 3.7f; /* as an average of several is shorter than 1 */
    CHECK(fabs((double)genai_value(genai__sigma(&net->layer[0], 0, GENAI_EVAL)) - 4) < 4e-6, "%s: the length of u counts", text);
    memcpy(unnormed, u->data, sizeof unnormed);
    genai_net_forward(net, x, GENAI_EVAL);
    genai_net_forward(net, x, GENAI_TRAIN_FROZEN);
    genai_recording(ctx, 0);
    genai_net_forward(net, x, GENAI_EVAL);
    genai_recording(ctx, 1);
    CHECK(!memcmp(unnormed, u->data, sizeof unnormed), "%s: u changes outside of training", text);
    for (i = 0; i < (int)t->count; i++) t->data[i] /= 4;
    net->layer[0].spectral = 0;
    x = genai_net_forward(net, x, GENAI_EVAL);
    for (i = 0; y && i < (int)y->count; i++) CHECK(fabs((double)(x->data[i] - y->data[i])) < 1e-5, "%s: value %d isn't that of W / sigma", text, i);
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
}

static void test_spectral(genai_ctx *ctx) {
    const char      *plain = "conv 6 k3 | batchnorm | relu | convt 5 k4 s2 nobias | relu | label 3 | dense 4 | tanh | project";
    const char      *words = "conv 6 k3 sn | batchnorm | relu | convt 5 k4 s2 nobias sn | relu | label 3 sn | dense 4 sn | tanh | project sn";
    static const int labels[2] = {1, 0};
    genai_net       *a, *b;
    genai_tensor    *x, *y, *w;
    double           v[6], u[3], g[18], n, sigma = 0, dot = 0;
    int              i, j;
    test_sigma_of(ctx, "dense 3 sn", 0, 7, 0, 7, 0, 3);
    test_sigma_of(ctx, "dense 3 sn nobias", 0, 7, 0, 7, 0, 1);
    test_sigma_of(ctx, "conv 3 k2x3 sn", 4, 4, 2, 12, 0, 3);
    test_sigma_of(ctx, "conv 3 k2x3 sn", 4, 4, 2, 12, 0, 1);
    test_sigma_of(ctx, "convt 3 k2x3 s2 sn", 4, 4, 2, 12, 1, 3);
    test_sigma_of(ctx, "convt 3 k2x3 sn", 4, 4, 5, 30, 1, 1);

    /* one step of training in double: v from u, u from v, and the gradient (G - <G,W'> u v') / sigma, W' = W / sigma */
    a = net_of(ctx, "dense 3 nobias sn", 0, 6, 0);
    w = owned(a, "weight");
    x = input_of(ctx, a, 5);
    for (i = 0, n = 0; i < 6; n += v[i] * v[i], i++)
        for (v[i] = 0, j = 0; j < 3; j++) v[i] += (double)w->data[3 * i + j] * (double)owned(a, "_u")->data[j];
    for (i = 0; i < 6; i++) v[i] /= sqrt(n);
    for (j = 0, n = 0; j < 3; n += u[j] * u[j], j++)
        for (u[j] = 0, i = 0; i < 6; i++) u[j] += (double)w->data[3 * i + j] * v[i];
    for (j = 0; j < 3; j++) u[j] /= sqrt(n);
    for (i = 0; i < 18; i++) sigma += (double)w->data[i] * v[i / 3] * u[i % 3];
    y = genai_net_forward(a, x, GENAI_TRAIN);
    for (j = 0; j < 3; j++) CHECK(fabs((double)owned(a, "_u")->data[j] - u[j]) < 1e-6, "u[%d] after one step", j);
    for (i = 0; i < 15; i++) {
        double sum = 0;
        for (j = 0; j < 6; j++) sum += (double)x->data[i / 3 * 6 + j] * (double)w->data[3 * j + i % 3] / sigma;
        CHECK(fabs(sum - (double)y->data[i]) < 1e-5, "value %d: %g, not %g", i, (double)y->data[i], sum);
    }
    genai_backward(genai_sum(genai_square(y), 0));
    for (i = 0; i < 18; dot += g[i] * (double)w->data[i] / sigma, i++)
        for (g[i] = 0, j = 0; j < 5; j++) g[i] += 2 * (double)x->data[j * 6 + i / 3] * (double)y->data[j * 3 + i % 3];
    for (i = 0; i < 18; i++) {
        double want = (g[i] - dot * v[i / 3] * u[i % 3]) / sigma;
        CHECK(fabs(want - (double)w->grad->data[i]) < 1e-4 * (1 + fabs(want)), "gradient %d: %g, not %g", i, (double)w->grad->data[i], want);
    }
    genai_tape_release(ctx, 0);
    genai_net_destroy(a);

    net_classes = 3;
    a = net_named(ctx, "n", words, 4, 4, 2, GENAI_INIT_DEFAULT);
    net_spectral = 1;
    b = net_named(ctx, "n", plain, 4, 4, 2, GENAI_INIT_DEFAULT);
    net_spectral = 0;
    CHECK(a && b && a->statistics == 8 && owned(a, "n.0.conv.weight_u") && owned(a, "n.5.label.embed_u") && owned(a, "n.8.project.embed_u"), "%s", genai_ctx_error(ctx));
    x = input_of(ctx, a, 2);
    for (i = 0; i < 3; i++) {
        genai_mode mode = i == 2 ? GENAI_EVAL : GENAI_TRAIN;
        CHECK(equal(y = genai_net_forward_labels(a, x, labels, mode), genai_net_forward_labels(b, x, labels, mode)) && y->data[0] != 0, "sn in the text and in the desc differ");
    }
    CHECK(!memcmp(a->running, b->running, a->running_size * sizeof(float)), "u differs");
    CHECK(!genai_net_average(b, b, 0) && genai_net_average(b, a, 0) == GENAI_ERROR_SHAPE, "averages of other texts");
    genai_ctx_clear(ctx);
    genai_tape_release(ctx, 0);
    genai_net_destroy(a);
    genai_net_destroy(b);
    net_classes = 0;
}

/* --- initial weights --- */
typedef struct init_case {
    const char *text;
    int         h, w, c;
    genai_init  init;
    double      variance; /* of the first layer's weights */
} init_case;

static const init_case init_cases[] = {
    {"dense 400 | relu", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 300},
    {"dense 400 | batchnorm | dropout 0.3 | lrelu 0.5", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 1.25 / 300},
    {"dense 400 | gelu", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 300},
    {"dense 400", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 700},
    {"dense 400 | tanh | relu", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 700},
    {"dense 400 | dense 2 | relu", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 700},
    {"dense 400 init normal | relu", 0, 300, 0, GENAI_INIT_DEFAULT, 0.0004},
    {"dense 400 | relu", 0, 300, 0, GENAI_INIT_GLOROT, 2.0 / 700},
    {"dense 400 init he | tanh", 0, 300, 0, GENAI_INIT_GLOROT, 2.0 / 300},
    {"dense 400 | keep a | relu | dense 300 | swap a | dense 300 | add a", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 300},
    {"keep a | dense 300 | swap a | relu | add a | tanh", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 600},
    {"keep a | dense 300 | swap a | tanh | swap a | relu | add a", 0, 300, 0, GENAI_INIT_DEFAULT, 2.0 / 300},
    {"conv 64 k5 | relu", 8, 8, 32, GENAI_INIT_DEFAULT, 2.0 / (25 * 32)},
    {"conv 64 k5", 8, 8, 32, GENAI_INIT_DEFAULT, 2.0 / (25 * 96)},
    {"convt 64 k4 s2 | relu", 8, 8, 32, GENAI_INIT_DEFAULT, 2.0 / (4 * 32)},
    {"convt 64 k4 s2 | tanh", 8, 8, 32, GENAI_INIT_DEFAULT, 2.0 / (16 * 96)},
    {"convt 64 k4 s2 | tanh", 8, 8, 32, GENAI_INIT_NORMAL, 0.0004},
};

static void orthogonal(genai_ctx *ctx, const char *text, int h, int w, int c) {
    genai_net    *net = net_of(ctx, text, h, w, c);
    genai_tensor *t = net ? genai__net_tensor(net, 0) : NULL;
    size_t        columns, rows, i, j, k;
    double        worst = 0;
    CHECK(t != NULL, "%s", genai_ctx_error(ctx));
    if (!t) return;
    columns = (size_t)t->dim[t->ndim - 1];
    rows = t->count / columns;
    for (i = 0; i < (rows < columns ? rows : columns); i++)
        for (j = 0; j <= i; j++) {
            double dot = 0;
            if (rows < columns) for (k = 0; k < columns; k++) dot += (double)t->data[i * columns + k] * (double)t->data[j * columns + k];
            else for (k = 0; k < rows; k++) dot += (double)t->data[k * columns + i] * (double)t->data[k * columns + j];
            worst = fmax(worst, fabs(dot - (i == j ? 1.0 : 0.0)));
        }
    CHECK(worst < 1e-6, "%s: off by %g", text, worst);
    genai_net_destroy(net);
}

static void test_init(genai_ctx *ctx) {
    genai_net *net, *again, *other;
    size_t     k;
    for (k = 0; k < sizeof init_cases / sizeof *init_cases; k++) {
        const init_case *c = &init_cases[k];
        genai_tensor    *t;
        double           v;
        net = net_named(ctx, NULL, c->text, c->h, c->w, c->c, c->init);
        CHECK(net != NULL, "%s: %s", c->text, genai_ctx_error(ctx));
        if (!net) continue;
        t = genai__net_tensor(net, 0);
        v = variance(t, 0);
        CHECK(fabs(v / c->variance - 1) < 0.03, "%s: variance %g, should be %g", c->text, v, c->variance);
        CHECK(variance(genai__net_tensor(net, 1), 0) == 0, "%s: biases aren't 0", c->text);
        genai_net_destroy(net);
    }
    orthogonal(ctx, "dense 30 init orthogonal", 0, 90, 0);
    orthogonal(ctx, "dense 90 init orthogonal", 0, 30, 0);
    orthogonal(ctx, "dense 40 init orthogonal", 0, 40, 0);
    orthogonal(ctx, "conv 16 k3 init orthogonal", 8, 8, 4);
    orthogonal(ctx, "dense 1 init orthogonal", 0, 1, 0);
    net = net_named(ctx, NULL, "batchnorm", 8, 8, 4000, GENAI_INIT_NORMAL);
    CHECK(fabs(variance(genai__net_tensor(net, 0), 1) / 0.0004 - 1) < 0.1 && genai__net_tensor(net, 3)->data[5] == 1, "gamma from normal(1, 0.02)");
    genai_net_destroy(net);
    net = net_named(ctx, "a", "dense 9 | relu | dense 9", 0, 9, 0, GENAI_INIT_NORMAL);
    again = net_named(ctx, "a", "dense 9 | relu | dense 9", 0, 9, 0, GENAI_INIT_NORMAL);
    other = net_named(ctx, "b", "dense 9 | relu | dense 9", 0, 9, 0, GENAI_INIT_NORMAL);
    CHECK(equal(genai__net_tensor(net, 0), genai__net_tensor(again, 0)), "the same name and seed give the same weights");
    CHECK(!equal(genai__net_tensor(net, 0), genai__net_tensor(other, 0)) && !equal(genai__net_tensor(net, 0), genai__net_tensor(net, 2)),
          "other nets and layers have weights of their own");
    genai_net_destroy(net);
    genai_net_destroy(again);
    genai_net_destroy(other);
}

/* --- averaging, freezing, the table --- */
static void test_average(genai_ctx *ctx) {
    const char *text = "dense 6 | batchnorm | relu | dense 2";
    genai_net  *a = net_named(ctx, "a", text, 0, 3, 0, GENAI_INIT_DEFAULT), *b = net_named(ctx, "b", text, 0, 3, 0, GENAI_INIT_DEFAULT);
    genai_net  *c = net_of(ctx, "dense 6 | relu | dense 2", 0, 3, 0), *d = net_of(ctx, text, 0, 4, 0);
    int         i, n = genai__net_tensor_count(a);
    size_t      k;
    genai__net_tensor(b, n - 2)->data[3] = 8;
    CHECK(genai_net_average(a, b, 0) == GENAI_OK, "%s", genai_ctx_error(ctx));
    for (i = 0; i < n; i++) CHECK(equal(genai__net_tensor(a, i), genai__net_tensor(b, i)), "decay 0 doesn't copy tensor %d", i);
    for (i = 0; i < n; i++)
        for (k = 0; k < genai__net_tensor(b, i)->count; k++) genai__net_tensor(b, i)->data[k] += 1;
    CHECK(genai_net_average(a, b, 0.75f) == GENAI_OK, "%s", genai_ctx_error(ctx));
    for (i = 0; i < n; i++) {
        double want = (double)genai__net_tensor(b, i)->data[1] - 0.75, got = (double)genai__net_tensor(a, i)->data[1];
        CHECK(fabs(got - want) < 1e-6, "tensor %d: %g, not %g", i, got, want);
    }
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_net_average(a, c, 0.5f));
    CHECK_RESULT(ctx, GENAI_ERROR_SHAPE, genai_net_average(a, d, 0.5f));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_net_average(a, b, 1.5f));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_net_average(a, b, NAN));
    genai_net_destroy(a);
    genai_net_destroy(b);
    genai_net_destroy(c);
    genai_net_destroy(d);
}

static void test_frozen(genai_ctx *ctx) {
    genai_net    *net = net_of(ctx, "dense 4 | relu | dense 1", 0, 3, 0);
    genai_tensor *x = input_of(ctx, net, 2), *w = genai__net_tensor(net, 2);
    size_t        mark;
    CHECK(genai_net_trainable(net, 0) == 1 && genai_net_trainable(net, 0) == 0, "former state");
    x->requires_grad = 1;
    mark = genai_tape_mark(ctx);
    CHECK(genai_backward(genai_sum(genai_net_forward(net, x, GENAI_TRAIN), 0)) == GENAI_OK, "%s", genai_ctx_error(ctx));
    CHECK(w->grad->data[0] == 0 && w->grad->data[3] == 0, "a frozen net gets gradients");
    genai_tape_release(ctx, mark);
    genai_net_trainable(net, 1);
    CHECK(genai_backward(genai_sum(genai_net_forward(net, x, GENAI_TRAIN), 0)) == GENAI_OK, "%s", genai_ctx_error(ctx));
    CHECK(genai__net_tensor(net, 3)->grad->data[0] == 2, "the last bias's gradient is %g", (double)genai__net_tensor(net, 3)->grad->data[0]);
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
}

/* A net writes activations and dropout over what they come from, runs batch norm and activation as one, lets results go and
 * makes them again. Layer by layer nothing of that happens: both give the same bits, forward and backward, again over the
 * same record, and where values go on the way back. */
static void test_memory_of_chains(genai_ctx *ctx) {
    static const char *const texts[] = {
        "conv 6 k4 s2 | lrelu 0.2 | dropout 0.3 | conv 12 k4 s2 | batchnorm | lrelu 0.3 | conv 24 k3 | batchnorm | tanh | flatten | dense 40 | elu 0.5",
        "conv 8 k5 | relu | dropout 0.5 | convt 6 k4 s2 | batchnorm | dropout 0.25 | elu | conv 9 k3 | batchnorm | gelu | conv 3 k3 | sigmoid | maxpool 2",
        "conv 6 k4 s2 sn | lrelu 0.2 | dropout 0.3 | convt 12 k4 s2 sn | batchnorm | lrelu 0.3 | conv 24 k3 sn | batchnorm | tanh | flatten | dense 40 sn | elu 0.5",
        "conv 6 k3 | keep a | relu | conv 6 k3 | keep b | dropout 0.2 | tanh | add a | concat b | conv 8 k3 | batchnorm | keep c | gelu | conv 8 k3 | swap c | "
        "conv 8 k1 | add c | batchnorm | reshape 1x192x8 | keep d | conv 5 k1 | elu | concat d | keep d | lrelu 0.1 | flatten | dense 30 | swap d | flatten | dense 30 | add d",
        "conv 16 k4 s2 | lrelu 0.2 | attention sn | relu | conv 8 k4 s2 | batchnorm | attention | stddev | tanh | conv 5 k3 | elu | stddev | flatten | dense 3",
        "keep in | conv 6 k4 s2 | keep a | lrelu 0.2 | conv 12 k4 s2 | batchnorm | relu | convt 6 k4 s2 | batchnorm | concat a | relu | convt 3 k4 s2 | add in | sigmoid",
        "flatten | dense 5000 | batchnorm | sigmoid | dense 600 | tanh | batchnorm | relu | dense 700 | batchnorm | elu | dense 30 | batchnorm"};
    size_t k, mark = 0, way, i, n;
    static genai__pass pass;
    pass.mode = GENAI_TRAIN_FROZEN;
    for (k = 0; k < sizeof texts / sizeof *texts; k++) {
        genai_net    *net = net_of(ctx, texts[k], 16, 12, 3);
        genai_tensor *x = input_of(ctx, net, 9), *y = NULL, *loss = NULL, *t;
        float        *first = NULL, *image = (float *)malloc(x->count * sizeof *image), *gradient = (float *)malloc(net->size * sizeof *gradient);
        x->requires_grad = 1;
        for (way = 0; way < 4; way++) { /* layer by layer; the net; again over its record; giving values back */
            if (way != 2) {
                mark = genai_tape_mark(ctx);
                genai_random_at(ctx, 0, 5);
                if (way) y = genai_net_forward(net, x, GENAI_TRAIN_FROZEN);
                else for (i = 0, y = x; (int)i < net->layers; i++) y = net->layer[i].kind->forward(&net->layer[i], y, &pass);
                if (!first && y) first = (float *)malloc(y->count * sizeof *first);
                if (y && !way) memcpy(first, y->data, y->count * sizeof *first);
                CHECK(y && !memcmp(first, y->data, y->count * sizeof *first), "%s: way %d gives another result", texts[k], (int)way);
                loss = genai_sum(genai_square(genai_scale(y, 1, -0.25f)), 0);
            }
            memset(net->gradients, 0, net->size * sizeof *net->gradients);
            if (x->grad) memset(x->grad->data, 0, x->count * sizeof *image);
            for (i = 0; way == 3 && (int)i < net->parameters; i++) net->gradient[i].flags |= GENAI__UNSET;
            CHECK(genai__backward(loss, way == 3 ? mark : (size_t)-1) == GENAI_OK, "%s", genai_ctx_error(ctx));
            if (!way) {
                memcpy(gradient, net->gradients, net->size * sizeof *gradient);
                memcpy(image, x->grad->data, x->count * sizeof *image);
            }
            CHECK(!memcmp(image, x->grad->data, x->count * sizeof *image), "%s: way %d gives the input another gradient", texts[k], (int)way);
            CHECK(!memcmp(gradient, net->gradients, net->size * sizeof *gradient), "%s: way %d gives the parameters another gradient", texts[k], (int)way);
            for (t = loss; way == 3 && t && t->at >= mark; t = t->previous) CHECK(!(t->flags & GENAI__HOLDS), "%s: values were kept", texts[k]);
            if (way != 1) genai_tape_release(ctx, mark);
        }
        for (n = 0, i = 0; i < net->size; i++) n += net->gradients[i] != 0;
        CHECK(n > net->count / 2, "%s: most gradients are 0", texts[k]);
        genai_tensor_destroy(x);
        genai_net_destroy(net);
        free(first);
        free(image);
        free(gradient);
    }
}

/* What the manual promises a loop of one's own: results hold until the tape is released, whatever is differentiated. */
static void test_values_hold(genai_ctx *ctx) {
    genai_net    *net = net_of(ctx, "conv 8 k3 | batchnorm | relu | conv 8 k3 | tanh", 16, 16, 3);
    genai_tensor *x = input_of(ctx, net, 8), *kept[6], *dx, *loss;
    float        *copy[6];
    int           i;
    x->requires_grad = 1;
    kept[0] = genai_net_forward_features(net, x, GENAI_TRAIN, 2, &kept[1]);
    kept[2] = genai_reshape(kept[0], 2, (int[2]){8, -1});
    kept[3] = genai_square(kept[2]);
    kept[4] = genai_add(kept[3], kept[2]);
    loss = genai_sum(kept[4], 0);
    CHECK(genai_grad(loss, 1, &x, &kept[5], 0) == GENAI_OK, "%s", genai_ctx_error(ctx));
    for (i = 0; i < 6; i++) {
        copy[i] = (float *)malloc(kept[i]->count * sizeof(float));
        memcpy(copy[i], kept[i]->data, kept[i]->count * sizeof(float));
    }
    CHECK(genai_backward(loss) == GENAI_OK && genai_grad(loss, 1, &x, &dx, 0) == GENAI_OK, "%s", genai_ctx_error(ctx));
    CHECK(dx != kept[5] && equal(dx, kept[5]) && equal(dx, x->grad), "three gradients of the same differ");
    loss = genai_add(genai_sum(kept[3], 0), genai_sum(kept[2], 0)); /* the same, but no gradient goes to two inputs */
    CHECK(genai_grad(loss, 1, &x, &dx, 0) == GENAI_OK && equal(dx, kept[5]), "a gradient that two inputs share was written over");
    for (i = 0; i < 6; i++) {
        CHECK(!memcmp(copy[i], kept[i]->data, kept[i]->count * sizeof(float)), "result %d doesn't hold", i);
        free(copy[i]);
    }
    genai_tape_release(ctx, 0);
    genai_tensor_destroy(x);
    genai_net_destroy(net);
}

static void test_describe(genai_ctx *ctx) {
    const char *want = "      input                   8x8x3           \n"
                       "   0  conv 4 k4 s2 nobias     4x4x4                    192\n"
                       "   1  batchnorm momentum 0.8  4x4x4                      8\n"
                       "   2  dense 10                10                       650\n"
                       "      total                                            850\n";
    char        text[1024], little[20];
    genai_net  *net = net_of(ctx, " conv 4\tk4  s2\n nobias | batchnorm momentum 0.8|dense 10 ", 8, 8, 3);
    size_t      n = genai_net_describe(net, text, sizeof text);
    CHECK(!strcmp(text, want) && n == strlen(want), "%lu characters:\n%s", (unsigned long)n, text);
    CHECK(genai_net_describe(net, NULL, 0) == n && genai_net_describe(net, little, sizeof little) == n && strlen(little) == 19 &&
              !memcmp(little, want, 19), "a buffer that is too small");
    CHECK(genai_net_layers(net) == 3, "%d layers", genai_net_layers(net));
    CHECK(genai_net_describe(NULL, text, sizeof text) == 0 && !text[0] && !genai_net_parameters(NULL) && !genai_net_layers(NULL) &&
              !genai_net_output(NULL, NULL) && !genai_net_trainable(NULL, 1), "NULL");
    genai_net_destroy(net);
    genai_net_destroy(NULL);
}

/* --- learning --- */
static double learn_xor(genai_ctx *ctx, float *weights, size_t size) {
    static const float xs[8] = {0, 0, 0, 1, 1, 0, 1, 1}, ys[4] = {0, 1, 1, 0};
    static const int   x_dim[2] = {4, 2}, y_dim[2] = {4, 1};
    genai_net         *net = net_of(ctx, "dense 8 | tanh | dense 1", 0, 2, 0);
    genai_optimizer_desc d;
    genai_optimizer   *o;
    double             last = 1e9;
    int                step;
    memset(&d, 0, sizeof d);
    d.lr = 0.05f;
    o = genai_optimizer_create(ctx, &d);
    genai_optimizer_add(o, net, 0);
    for (step = 0; step < 300; step++) {
        genai_tensor *loss;
        genai_optimizer_zero(o);
        loss = genai_bce_loss(genai_net_forward(net, genai_tensor_of(ctx, 2, x_dim, xs), GENAI_TRAIN), genai_tensor_of(ctx, 2, y_dim, ys), 0);
        genai_backward(loss);
        last = (double)genai_value(loss);
        genai_optimizer_step(o);
        genai_tape_release(ctx, 0);
    }
    memcpy(weights, net->values, size);
    genai_optimizer_destroy(o);
    genai_net_destroy(net);
    return last;
}

static void test_learning(void) {
    float      a[64], b[64]; /* the whole block */
    genai_ctx *ctx = context(1, GENAI_ISA_SCALAR), *other = context(2, GENAI_ISA_BEST);
    double     loss = learn_xor(ctx, a, sizeof a);
    CHECK(loss < 0.05, "XOR isn't learnt: loss %g (%s)", loss, genai_ctx_error(ctx));
    learn_xor(other, b, sizeof b);
    CHECK(!memcmp(a, b, sizeof a), "scalar and %s learn different weights", genai_isa_name(genai_ctx_isa(other)));
    genai_ctx_destroy(ctx);
    genai_ctx_destroy(other);
}

/* --- all newer layers together: the same bits everywhere; and without memory --- */
static const char *const whole = "keep in | label 3 sn | conv 16 k3 sn | keep a | cbatchnorm | lrelu 0.2 | attention sn | conv 16 k3 sn | add a | conv 2 k1 | add in | conv 16 | keep a | silu | convt 8 k4 s2 sn | "
                                 "conv 8 k4 s2 sn | concat a | stddev | keep a | conv 25 k3 | swap a | gelu | add a | dense 20 sn | silu | project sn | batchnorm";

/* Steps of a critic with a gradient penalty on what needs no batch norm, and one of each in use; into to: parameters, statistics,
 * results. */
static void learn_whole(genai_ctx *ctx, float *to, size_t *size) {
    static const int labels[5] = {2, 0, 1, 1, 2};
    genai_net       *net, *critic;
    genai_optimizer *o = genai_optimizer_create(ctx, NULL);
    genai_tensor    *x, *y, *dx;
    size_t           n = 0;
    int              step;
    long             before;
    net_classes = 3;
    net = net_named(ctx, "whole", whole, 6, 4, 2, GENAI_INIT_DEFAULT);
    critic = net_named(ctx, "critic", "conv 16 k3 sn | lrelu 0.2 | attention sn | stddev | conv 24 k4 s2 sn | lrelu 0.2 | project sn", 6, 4, 2, GENAI_INIT_DEFAULT);
    net_classes = 0;
    genai_optimizer_add(o, net, 0);
    genai_optimizer_add(o, critic, 0);
    for (step = 0; step < 3; step++) {
        before = heap.calls;
        genai_random_at(ctx, 0, (uint64_t)step);
        x = input_of(ctx, net, 5);
        x->requires_grad = 1;
        genai_optimizer_zero(o);
        y = genai_net_forward_labels(critic, x, labels, GENAI_TRAIN);
        CHECK(!genai_grad(genai_sum(y, 0), 1, &x, &dx, 1), "%s", genai_ctx_error(ctx));
        y = genai_add(genai_sum(genai_square(dx), 0), genai_mean(y, 0));
        y = genai_add(y, genai_sum(genai_square(genai_net_forward_labels(net, x, labels, GENAI_TRAIN)), 0));
        CHECK(!genai_backward(y) && !genai_optimizer_step(o), "%s", genai_ctx_error(ctx));
        CHECK(!step || heap.calls == before, "step %d allocates %ld times", step, heap.calls - before);
        to[n++] = genai_value(y);
        genai_tape_release(ctx, 0);
    }
    for (step = 0; step < 2; step++) {
        genai_net *of = step ? critic : net;
        genai_recording(ctx, 0);
        y = genai_net_forward_labels(of, input_of(ctx, net, 5), labels, GENAI_EVAL);
        genai_recording(ctx, 1);
        memcpy(to + n, y->data, 5 * sizeof(float));
        n += 5;
        memcpy(to + n, of->values, of->size * sizeof(float));
        memcpy(to + n + of->size, of->running, of->running_size * sizeof(float));
        n += of->size + of->running_size;
    }
    genai_tape_release(ctx, 0);
    *size = n;
    genai_optimizer_destroy(o);
    genai_net_destroy(net);
    genai_net_destroy(critic);
}

static void test_whole_bits(void) {
    static float a[40000], b[40000];
    size_t       n = 0, m = 0, i, moved = 0;
    int          isa, threads;
    genai_ctx   *ctx = context(1, GENAI_ISA_SCALAR);
    learn_whole(ctx, a, &n);
    genai_ctx_destroy(ctx);
    for (i = 0; i < n; i++) moved += genai__finite(a[i]) && a[i] != 0;
    CHECK(n < 40000 && moved > n / 2, "%lu of %lu values are numbers", (unsigned long)moved, (unsigned long)n);
    for (isa = GENAI_ISA_SCALAR; isa <= GENAI_ISA_NEON; isa++)
        for (threads = isa == GENAI_ISA_SCALAR ? 2 : 1; threads < 8; threads += threads == 3 ? 4 : 1) {
            ctx = context(threads, (genai_isa)isa);
            if (!ctx) continue; /* this machine has not */
            learn_whole(ctx, b, &m);
            CHECK(m == n && !memcmp(a, b, n * sizeof(float)), "%s with %d threads learns other bits", genai_isa_name((genai_isa)isa), threads);
            genai_ctx_destroy(ctx);
        }
}

/* Whatever allocation fails, in training and in use: a sentence, nothing left behind, and the next call works. */
static void test_whole_memory(void) {
    static const int labels[3] = {2, 0, 1};
    int              use, done;
    long             at;
    for (use = 0; use < 2; use++)
        for (at = 1, done = 0; !done && at < 200; at++) {
            genai_ctx    *ctx = context(1, GENAI_ISA_BEST);
            genai_net    *net;
            genai_tensor *x, *y;
            long          before;
            net_classes = 3;
            net = net_of(ctx, whole, 12, 8, 2);
            net_classes = 0;
            x = genai_tensor_create(ctx, 4, (int[4]){3, 12, 8, 2});
            x->requires_grad = 1;
            before = heap.live;
            genai_recording(ctx, !use);
            heap.calls = 0;
            heap.fail_at = at;
            y = genai_net_forward_labels(net, x, labels, use ? GENAI_EVAL : GENAI_TRAIN);
            done = y && (use || !genai_backward(genai_sum(y, 0)));
            heap.fail_at = 0;
            CHECK(done || genai_ctx_result(ctx) == GENAI_ERROR_MEMORY, "allocation %ld: %s", at, genai_ctx_error(ctx));
            CHECK(x->held == 0 && heap.live >= before, "allocation %ld: the input is held %d times", at, x->held);
            genai_ctx_clear(ctx);
            genai_tape_release(ctx, 0);
            CHECK(genai_net_forward_labels(net, x, labels, use ? GENAI_EVAL : GENAI_TRAIN) != NULL, "after allocation %ld: %s", at, genai_ctx_error(ctx));
            genai_tensor_destroy(x);
            genai_ctx_destroy(ctx);
            CHECK(heap.live == 0, "allocation %ld: %ld blocks are left", at, heap.live);
            heap.live = 0;
        }
    CHECK(done && at > 5, "%ld allocations", at);
}

/* --- a net in use: packed weights, batch norm folded in; never those of before a change --- */
static int use_differs(genai_net *net, genai_tensor *x, float *out) { /* from the plain forward pass; out: what it makes */
    static const int labels[4] = {2, 0, 1, 2};
    genai_tensor    *plain = genai_net_forward_labels(net, x, labels, GENAI_EVAL), *used;
    double           worst = 0, most = 0;
    size_t           i;
    genai_recording(net->ctx, 0);
    used = genai_net_forward_labels(net, x, labels, GENAI_EVAL);
    genai_recording(net->ctx, 1);
    if (!plain || !used) return 1;
    for (i = 0; i < plain->count; i++) {
        double d = fabs((double)plain->data[i] - (double)used->data[i]), v = fabs((double)plain->data[i]);
        if (d > worst) worst = d;
        if (v > most) most = v;
        out[i] = used->data[i];
    }
    return !(worst <= 1e-5 * most);
}

/* What isn't packed or folded beside what is. */
static void test_use_of_whole(genai_ctx *ctx) {
    static const int labels[4] = {2, 0, 1, 2};
    genai_net       *net;
    genai_tensor    *x, *y;
    float            out[4];
    int              i;
    net_classes = 3;
    net = net_of(ctx, whole, 6, 4, 2);
    net_classes = 0;
    vary(net);
    x = input_of(ctx, net, 4);
    CHECK(!use_differs(net, x, out) && out[0] != out[1], "%g %g", (double)out[0], (double)out[1]);
    genai_recording(ctx, 0);
    for (i = 0; i < 4; i++) {
        y = genai_net_forward_labels(net, genai_slice(x, 0, i, 1), labels + i, GENAI_EVAL);
        CHECK(y && y->data[0] == out[i], "image %d alone gives other bits", i);
    }
    genai_recording(ctx, 1);
    genai_tape_release(ctx, 0);
    genai_net_destroy(net);
}

static void test_use(genai_ctx *ctx) {
    /* dense with its norm behind a reshape; transposed: whole, few tiles, phases, few channels; conv: tiles, windows, whole; a norm alone */
    static const char *const texts[] = {
        "dense 4*4*16 nobias | reshape 4x4x16 | batchnorm | relu | convt 24 k4 s2 | batchnorm | lrelu 0.2 | convt 20 k3 s2 | batchnorm | convt 3 k5 s2 | batchnorm | tanh",
        "reshape 1x1x6 | convt 17 k4 valid | batchnorm | relu | convt 33 k5 | relu | batchnorm | conv 16 k4 s2 | batchnorm | conv 5 k2 s2 | relu | conv 9 k1 | batchnorm",
        "dense 4*4*16 nobias | reshape 4x4x16 | keep a | batchnorm | relu | upsample 2 | conv 20 | keep b | batchnorm | relu | conv 20 | add b | swap a | upsample 2 | "
        "conv 20 k1 | batchnorm | add a | keep c | conv 20 s2 | keep d | batchnorm | convt 20 k4 s2 | add c | keep c | tanh | conv 20 s2 | add d | swap c | conv 20 s2 | concat c",
        "dense 4*4*8 sn | reshape 4x4x8 | batchnorm | relu | convt 24 k4 s2 sn | batchnorm | lrelu 0.2 | convt 20 k3 s2 sn | convt 3 k5 s2 nobias sn | "
        "conv 16 k4 s2 sn | batchnorm | relu | conv 5 k3 sn nobias | tanh | conv 20 k3 sn | conv 3 k3 | batchnorm"};
    static const int x_dim[2] = {4, 6};
    static float    out[3][4 * 32 * 32 * 3];
    size_t          t, bytes;
    genai_optimizer_desc d;
    memset(&d, 0, sizeof d);
    for (t = 0; t < sizeof texts / sizeof *texts; t++) {
        genai_net       *net = net_of(ctx, texts[t], 0, 6, 0), *other = net_of(ctx, texts[t], 0, 6, 0);
        genai_optimizer *o = genai_optimizer_create(ctx, &d);
        genai_tensor    *x = genai_tensor_create(ctx, 2, x_dim), *y;
        long             before, at;
        int              i, failed;
        CHECK(net && other && o && x && !genai_optimizer_add(o, net, 0), "%s", genai_ctx_error(ctx));
        if (!net || !other || !o || !x) return;
        for (i = 0; i < 24; i++) x->data[i] = (float)(i * 7 % 11) / 5 - 1;
        bytes = 4 * sizeof(float) * (size_t)net->layer[net->layers - 1].dim[0] * (size_t)net->layer[net->layers - 1].dim[1] * (size_t)net->layer[net->layers - 1].dim[2];
        for (at = 1, failed = 1; failed && at < 100; at++) { /* without memory: a sentence, and nothing half made is used */
            genai_recording(ctx, 0);
            heap.calls = 0;
            heap.fail_at = at;
            failed = !genai_net_forward(net, x, GENAI_EVAL);
            heap.fail_at = 0;
            CHECK(!failed || genai_ctx_result(ctx) == GENAI_ERROR_MEMORY, "allocation %ld: %s", at, genai_ctx_error(ctx));
            genai_ctx_clear(ctx);
            genai_recording(ctx, 1);
        }
        CHECK(at > 4 && !use_differs(net, x, out[0]), "text %d, %ld allocations", (int)t, at);
        before = heap.calls;
        CHECK(!use_differs(net, x, out[1]) && !memcmp(out[0], out[1], bytes) && heap.calls == before, "text %d: again, %ld allocations", (int)t, heap.calls - before);
        genai_net_forward(net, x, GENAI_TRAIN);
        CHECK(!use_differs(net, x, out[1]) && memcmp(out[0], out[1], bytes), "text %d: statistics", (int)t);
        genai_optimizer_zero(o);
        y = genai_net_forward(net, x, GENAI_TRAIN_FROZEN);
        CHECK(!genai_backward(genai_sum(genai_square(y), 0)) && !genai_optimizer_step(o), "%s", genai_ctx_error(ctx));
        CHECK(!use_differs(net, x, out[2]) && memcmp(out[1], out[2], bytes), "text %d: a step", (int)t);
        genai_net_forward(other, x, GENAI_TRAIN);
        use_differs(other, x, out[1]);
        CHECK(!genai_net_average(other, net, 0) && !use_differs(other, x, out[1]) && !memcmp(out[1], out[2], bytes), "text %d: a copy", (int)t);
        genai_tape_release(ctx, 0);
        genai_tensor_destroy(x);
        genai_optimizer_destroy(o);
        genai_net_destroy(net);
        genai_net_destroy(other);
    }
}

/* --- memory and fuzz --- */
static void test_memory(genai_ctx *ctx) {
    long       before = heap.live;
    int        done = 0;
    genai_net *net;
    for (heap.fail_at = 1; !done && heap.fail_at < 100; heap.fail_at++) {
        heap.calls = 0;
        net = net_of(ctx, "dense 2*2*3 init orthogonal | batchnorm | relu | reshape 2x2x3 | convt 1", 0, 4, 0);
        done = net != NULL;
        CHECK(done || genai_ctx_result(ctx) == GENAI_ERROR_MEMORY, "allocation %ld: %s", heap.fail_at, genai_ctx_error(ctx));
        genai_net_destroy(net);
        genai_ctx_clear(ctx);
        CHECK(heap.live == before, "allocation %ld leaves %ld blocks", heap.fail_at, heap.live - before);
    }
    CHECK(done && heap.fail_at > 10, "%ld allocations", heap.fail_at);
    heap.fail_at = 0;
}

static void test_fuzz(genai_ctx *ctx) {
    static const char alphabet[] = " |xkspo0123456789*/.-+eabcdefghijlmnqrtuvwyz\n\t";
    uint32_t          state = 12345;
    long              before = heap.live, made = 0, i;
    net_classes = 5;
    for (i = 0; i < 20000; i++) {
        char              text[128];
        const shape_case *c = &shape_cases[(size_t)i % (sizeof shape_cases / sizeof *shape_cases)];
        size_t            n = strlen(c->text), k;
        genai_net        *net;
        memcpy(text, c->text, n + 1);
        for (k = 0; k < (size_t)(i % 3) + 1; k++) {
            state = state * 1664525u + 1013904223u;
            text[(state >> 8) % n] = (state >> 5 & 7) == 0 ? (char)(state >> 24 | 1) : alphabet[(state >> 16) % (sizeof alphabet - 1)];
        }
        net = net_of(ctx, text, c->h, c->w, c->c);
        made += net != NULL;
        CHECK(net || (genai_ctx_result(ctx) && genai_ctx_error(ctx)[0]), "'%s' fails without a sentence", text);
        genai_net_destroy(net);
        genai_ctx_clear(ctx);
    }
    net_classes = 0;
    CHECK(heap.live == before && made > 100, "%ld blocks are left; %ld were nets", heap.live - before, made);
}

int main(void) {
    genai_ctx *ctx = context(1, GENAI_ISA_BEST);
    test_shapes(ctx);
    test_sentences(ctx);
    test_forward(ctx);
    test_labels(ctx);
    test_derivatives(ctx);
    test_skips(ctx);
    test_attention(ctx);
    test_stddev(ctx);
    test_spectral(ctx);
    test_init(ctx);
    test_average(ctx);
    test_frozen(ctx);
    test_memory_of_chains(ctx);
    test_values_hold(ctx);
    test_describe(ctx);
    test_use(ctx);
    test_use_of_whole(ctx);
    test_memory(ctx);
    test_fuzz(ctx);
    genai_ctx_destroy(ctx);
    test_learning();
    test_whole_bits();
    CHECK(heap.live == 0, "%ld blocks are left before the failures", heap.live);
    test_whole_memory();
    CHECK(heap.live == 0, "%ld blocks are left at the end", heap.live);
    return CHECK_DONE("test_net");
}
