/* Optimisers: each rule against the same formulas in double, clipping, schedules, what happens with bad gradients,
 * allocation failures, and the same bits for any number of threads and any instruction set. */
#define GENAI_IMPLEMENTATION
#include "../genai.h"
#include "check.h"

#define N 40003 /* three chunks, and a rest that fills no vector */
#define STEPS 4

static float gradient_at(int step, int i) { return (float)((i * 37 + step * 101) % 211 - 105) * 0.01f; }

static genai_ctx *context(int threads, genai_isa isa) {
    genai_ctx_desc d;
    memset(&d, 0, sizeof d);
    d.seed = 5;
    d.threads = threads;
    d.isa = isa;
    d.log = check_quiet;
    return genai_ctx_create(&d);
}

/* A leaf with a gradient of its own that the test fills in. */
static genai_tensor *leaf(genai_ctx *ctx, int n, const char *name) {
    genai_tensor *t = genai_tensor_create(ctx, 1, &n);
    t->grad = genai_tensor_create(ctx, 1, &n);
    t->requires_grad = 1;
    t->name = name;
    return t;
}

static void run(genai_ctx *ctx, const genai_optimizer_desc *d, float lr_scale, float *out) {
    genai_optimizer *o = genai_optimizer_create(ctx, d);
    genai_tensor    *t = leaf(ctx, N, "t");
    int              i, step;
    for (i = 0; i < N; i++) t->data[i] = (float)(i % 17) * 0.1f - 0.8f;
    CHECK(genai_optimizer_add_tensor(o, t, lr_scale) == GENAI_OK, "%s", genai_ctx_error(ctx));
    for (step = 0; step < STEPS; step++) {
        genai_optimizer_zero(o);
        CHECK(t->grad->data[7] == 0, "zero leaves %g", (double)t->grad->data[7]);
        for (i = 0; i < N; i++) t->grad->data[i] = gradient_at(step, i);
        CHECK(genai_optimizer_step(o) == GENAI_OK, "%s", genai_ctx_error(ctx));
    }
    memcpy(out, t->data, N * sizeof *out);
    genai_optimizer_destroy(o);
}

/* The same in double, straight from the papers (as PyTorch writes them). */
static void reference(const genai_optimizer_desc *d, double lr_scale, double *p) {
    static double m[N], v[N];
    double        beta1 = d->beta1 < 0 ? 0 : d->beta1 > 0 ? (double)d->beta1 : (double)0.9f, norm, scale, lr, eps = d->eps > 0 ? (double)d->eps : 1e-8;
    double        beta2 = d->beta2 > 0 ? (double)d->beta2 : d->rule == GENAI_RULE_RMSPROP ? (double)0.99f : (double)0.999f;
    double        momentum = (double)d->momentum, decay = (double)d->weight_decay;
    int           i, step, adamw = d->rule == GENAI_RULE_ADAMW;
    lr = lr_scale * (d->lr > 0 ? (double)d->lr : d->rule == GENAI_RULE_SGD ? 0.01 : 0.001);
    for (i = 0; i < N; i++) {
        p[i] = (double)((float)(i % 17) * 0.1f - 0.8f);
        m[i] = v[i] = 0;
    }
    for (step = 0; step < STEPS; step++) {
        for (norm = 0, i = 0; i < N; i++) norm += (double)gradient_at(step, i) * (double)gradient_at(step, i);
        norm = sqrt(norm);
        scale = d->clip_norm > 0 && norm > (double)d->clip_norm ? (double)d->clip_norm / norm : 1;
        for (i = 0; i < N; i++) {
            double g = (double)gradient_at(step, i) * scale;
            if (d->clip_value > 0) g = g > (double)d->clip_value ? (double)d->clip_value : g < -(double)d->clip_value ? -(double)d->clip_value : g;
            if (!adamw) g += decay * p[i];
            if (d->rule == GENAI_RULE_SGD) {
                m[i] = momentum * m[i] + g;
                p[i] -= lr * (d->nesterov ? g + momentum * m[i] : momentum > 0 ? m[i] : g);
            } else if (d->rule == GENAI_RULE_RMSPROP) {
                v[i] = beta2 * v[i] + (1 - beta2) * g * g;
                m[i] = momentum * m[i] + g / (sqrt(v[i]) + eps);
                p[i] -= lr * m[i];
            } else {
                if (adamw) p[i] *= 1 - lr * decay;
                m[i] = beta1 * m[i] + (1 - beta1) * g;
                v[i] = beta2 * v[i] + (1 - beta2) * g * g;
                p[i] -= lr * (m[i] / (1 - pow(beta1, step + 1))) / (sqrt(v[i] / (1 - pow(beta2, step + 1))) + eps);
            }
        }
    }
}

typedef struct rule_case {
    const char          *name;
    genai_rule           rule;
    float                lr, beta1, beta2, eps, momentum;
    int                  nesterov;
    float                weight_decay, clip_norm, clip_value, lr_scale;
} rule_case;

static const rule_case rule_cases[] = {
    {"adam", GENAI_RULE_DEFAULT, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"adam 0.5", GENAI_RULE_ADAM, 0.0002f, 0.5f, 0.9f, 1e-6f, 0, 0, 0, 0, 0, 3},
    {"adam without first moment", GENAI_RULE_ADAM, 0.01f, GENAI_ZERO, 0, 0, 0, 0, 0, 0, 0, 0},
    {"adam with decay", GENAI_RULE_ADAM, 0, 0, 0, 0, 0, 0, 0.1f, 0, 0, 0},
    {"adamw", GENAI_RULE_ADAMW, 0.01f, 0, 0, 0, 0, 0, 0.5f, 0, 0, 0.5f},
    {"adam clipped to a norm", GENAI_RULE_ADAM, 0.01f, 0, 0, 0.1f, 0, 0, 0, 2, 0, 0},
    {"sgd", GENAI_RULE_SGD, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"sgd momentum", GENAI_RULE_SGD, 0.1f, 0, 0, 0, 0.9f, 0, 0.01f, 0, 0, 0},
    {"sgd nesterov", GENAI_RULE_SGD, 0.1f, 0, 0, 0, 0.9f, 1, 0.01f, 0, 0, 0},
    {"sgd clipped to a norm", GENAI_RULE_SGD, 0.1f, 0, 0, 0, 0, 0, 0, 1.5f, 0, 0},
    {"sgd clipped by norm not reached", GENAI_RULE_SGD, 0.1f, 0, 0, 0, 0, 0, 0, 1e6f, 0, 0},
    {"sgd clipped by value", GENAI_RULE_SGD, 0.1f, 0, 0, 0, 0, 0, 0, 0, 0.25f, 0},
    {"sgd clipped both ways", GENAI_RULE_SGD, 0.1f, 0, 0, 0, 0.5f, 0, 0, 100, 0.25f, 0},
    {"rmsprop", GENAI_RULE_RMSPROP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"rmsprop momentum", GENAI_RULE_RMSPROP, 0.01f, 0, 0.9f, 1e-4f, 0.8f, 0, 0.01f, 0, 0, 0},
};

static genai_optimizer_desc desc_of(const rule_case *c) {
    genai_optimizer_desc d;
    memset(&d, 0, sizeof d);
    d.rule = c->rule;
    d.lr = c->lr;
    d.beta1 = c->beta1;
    d.beta2 = c->beta2;
    d.eps = c->eps;
    d.momentum = c->momentum;
    d.nesterov = c->nesterov;
    d.weight_decay = c->weight_decay;
    d.clip_norm = c->clip_norm;
    d.clip_value = c->clip_value;
    return d;
}

static void test_rules(void) {
    static double want[N];
    static float  got[N], again[N];
    genai_ctx    *ctx = context(2, GENAI_ISA_BEST), *other = context(1, GENAI_ISA_SCALAR);
    size_t        k;
    int           i;
    for (k = 0; k < sizeof rule_cases / sizeof *rule_cases; k++) {
        genai_optimizer_desc d = desc_of(&rule_cases[k]);
        double               worst = 0;
        reference(&d, rule_cases[k].lr_scale > 0 ? (double)rule_cases[k].lr_scale : 1, want);
        run(ctx, &d, rule_cases[k].lr_scale, got);
        run(other, &d, rule_cases[k].lr_scale, again);
        for (i = 0; i < N; i++) worst = fmax(worst, fabs((double)got[i] - want[i]));
        CHECK(worst < 1e-6, "%s: off by %g", rule_cases[k].name, worst);
        CHECK(!memcmp(got, again, sizeof got), "%s: 2 threads and 1 thread, %s and scalar differ", rule_cases[k].name, genai_isa_name(genai_ctx_isa(ctx)));
    }
    genai_ctx_destroy(ctx);
    genai_ctx_destroy(other);
}

/* Two groups: one norm over both; its value. */
static void test_norm(void) {
    genai_ctx           *ctx = context(1, GENAI_ISA_BEST);
    genai_optimizer_desc d;
    genai_optimizer     *o;
    genai_tensor        *a = leaf(ctx, 2, "a"), *b = leaf(ctx, 1, "b"), *never;
    int                  one = 1;
    memset(&d, 0, sizeof d);
    d.rule = GENAI_RULE_SGD;
    d.lr = 1;
    d.clip_norm = 1;
    o = genai_optimizer_create(ctx, &d);
    genai_optimizer_add_tensor(o, a, 0);
    genai_optimizer_add_tensor(o, b, 0.5f);
    a->grad->data[0] = 2;
    a->grad->data[1] = 4;
    b->grad->data[0] = 4; /* norm 6 */
    CHECK(genai_optimizer_step(o) == GENAI_OK, "%s", genai_ctx_error(ctx));
    CHECK(genai_optimizer_norm(o) == 6, "norm is %g", (double)genai_optimizer_norm(o));
    CHECK(fabs((double)a->data[1] + 4.0 / 6) < 1e-6 && fabs((double)b->data[0] + 2.0 / 6) < 1e-6, "%g %g", (double)a->data[1], (double)b->data[0]);
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_optimizer_add_tensor(o, b, 0)); /* twice */
    never = genai_tensor_create(ctx, 1, &one);
    never->data[0] = 3;
    CHECK(genai_optimizer_add_tensor(o, never, 0) == GENAI_OK && genai_optimizer_step(o) == GENAI_OK && never->data[0] == 3,
          "a tensor without gradient is left alone");
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_optimizer_add_tensor(o, genai_scale(a, 2, 0), 0)); /* not a leaf */
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_optimizer_add_tensor(o, NULL, 0));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_optimizer_add(o, NULL, 0));
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_optimizer_add_tensor(o, leaf(ctx, 1, "c"), -2));
    genai_ctx_destroy(ctx);
}

static double schedule(const genai_optimizer_desc *d, int t) {
    double x, final = (double)d->final;
    if (t < d->warmup) return (t + 1.0) / d->warmup;
    if (!d->steps) return 1;
    t -= d->warmup;
    x = fmin(1.0, (double)t / d->steps);
    if (d->schedule == GENAI_SCHEDULE_LINEAR) return 1 + (final - 1) * x;
    if (d->schedule == GENAI_SCHEDULE_COSINE) return final + (1 - final) * 0.5 * (1 + cos(3.14159265358979323846 * x));
    if (d->schedule == GENAI_SCHEDULE_EXPONENTIAL) return pow(final > 0 ? final : 0.5, t / d->steps);
    if (d->schedule == GENAI_SCHEDULE_INVERSE) return 1 / (1 + (double)t / d->steps);
    return 1;
}

static void test_schedules(void) {
    genai_ctx *ctx = context(1, GENAI_ISA_BEST);
    int        kind, warmup, steps, f, t;
    for (kind = GENAI_SCHEDULE_DEFAULT; kind <= GENAI_SCHEDULE_INVERSE; kind++)
        for (warmup = 0; warmup < 6; warmup += 5)
            for (steps = 0; steps < 20; steps += 7)
                for (f = 0; f < 2; f++) {
                    genai_optimizer_desc d;
                    genai_optimizer     *o;
                    genai_tensor        *a = leaf(ctx, 1, "a");
                    double               worst = 0, sum = 0;
                    memset(&d, 0, sizeof d);
                    d.rule = GENAI_RULE_SGD;
                    d.lr = 0.25f;
                    d.schedule = (genai_schedule)kind;
                    d.warmup = warmup;
                    d.steps = steps;
                    d.final = f ? 0.1f : 0;
                    o = genai_optimizer_create(ctx, &d);
                    genai_optimizer_add_tensor(o, a, 0);
                    a->grad->data[0] = -1;
                    for (t = 0; t < 40; t++) {
                        double want = 0.25 * schedule(&d, t);
                        worst = fmax(worst, fabs((double)genai_optimizer_lr(o) - want) / 0.25);
                        sum += want;
                        genai_optimizer_step(o);
                    }
                    CHECK(worst < 1e-7, "schedule %d, warmup %d, steps %d: off by %g", kind, warmup, steps, worst);
                    CHECK(fabs((double)a->data[0] - sum) < 1e-5, "schedule %d: the steps add up to %g, not %g", kind, (double)a->data[0], sum);
                    genai_optimizer_destroy(o);
                }
    genai_ctx_destroy(ctx);
}

static void test_nonfinite(void) {
    static const float   bad_values[] = {INFINITY, -INFINITY, NAN, 1e30f};
    genai_ctx           *ctx = context(1, GENAI_ISA_BEST);
    genai_optimizer     *o = genai_optimizer_create(ctx, NULL);
    genai_tensor        *a = leaf(ctx, 5, "first"), *b = leaf(ctx, 30000, "second");
    genai_net_desc       nd;
    genai_net           *net;
    const char          *bad;
    float               *m, *v;
    int                  i, k;
    genai_optimizer_add_tensor(o, a, 0);
    genai_optimizer_add_tensor(o, b, 0);
    for (i = 0; i < 5; i++) a->grad->data[i] = 1;
    genai_optimizer_step(o);
    for (k = 0; k < 4; k++) {
        float before = a->data[2], norm = genai_optimizer_norm(o);
        b->grad->data[29999] = bad_values[k];
        CHECK(genai_optimizer_step(o) == GENAI_ERROR_NONFINITE && strstr(genai_ctx_error(ctx), "second"), "%s", genai_ctx_error(ctx));
        genai_ctx_clear(ctx);
        CHECK(genai__optimizer_try(o, &bad) == GENAI_ERROR_NONFINITE && !strcmp(bad, "second") && !genai_ctx_result(ctx), "the quiet step");
        CHECK(a->data[2] == before && b->data[29999] == 0 && o->t == 1 && genai_optimizer_norm(o) == norm, "something has changed");
    }
    CHECK(genai__optimizer_state(o, 1, &m, &v) == 30000 && m && v && m[29999] == 0 && v[29999] == 0, "the moments have changed");
    genai_optimizer_zero(o);
    CHECK(genai_optimizer_step(o) == GENAI_OK && o->t == 2, "%s", genai_ctx_error(ctx));
    genai_optimizer_destroy(o);

    memset(&nd, 0, sizeof nd);
    nd.text = "dense 8 | batchnorm | relu | dense 3";
    nd.name = "critic";
    nd.ndim = 1;
    nd.dim[0] = 4;
    net = genai_net_create(ctx, &nd);
    o = genai_optimizer_create(ctx, NULL);
    CHECK(genai_optimizer_add(o, net, 0) == GENAI_OK, "%s", genai_ctx_error(ctx));
    genai__net_tensor(net, 3)->grad->data[1] = NAN;
    CHECK(genai_optimizer_step(o) == GENAI_ERROR_NONFINITE && strstr(genai_ctx_error(ctx), "critic.1.batchnorm.beta"), "%s", genai_ctx_error(ctx));
    genai_ctx_clear(ctx);
    genai_ctx_destroy(ctx);
}

static void test_arguments(void) {
    genai_ctx           *ctx = context(1, GENAI_ISA_BEST);
    genai_optimizer_desc d, none, r;
    genai_optimizer     *o;
    memset(&none, 0, sizeof none);
#define REFUSED(field, value)                                                                                          \
    d = none;                                                                                                          \
    d.field = value;                                                                                                   \
    CHECK_RESULT(ctx, GENAI_ERROR_ARGUMENT, genai_optimizer_create(ctx, &d))
    REFUSED(rule, (genai_rule)77);
    REFUSED(schedule, (genai_schedule)-3);
    REFUSED(lr, -0.1f);
    REFUSED(lr, NAN);
    REFUSED(lr, INFINITY);
    REFUSED(beta1, 1);
    REFUSED(beta2, 1.5f);
    REFUSED(beta2, -0.5f);
    REFUSED(eps, -1);
    REFUSED(momentum, 1);
    REFUSED(nesterov, 1);
    REFUSED(weight_decay, -1);
    REFUSED(clip_norm, NAN);
    REFUSED(clip_value, -1);
    REFUSED(warmup, -1);
    REFUSED(steps, -1);
    REFUSED(final, -1);
#undef REFUSED
    CHECK(!genai_optimizer_create(NULL, NULL), "no context");
    d = none;
    d.beta1 = GENAI_ZERO;
    o = genai_optimizer_create(ctx, &d);
    r = genai_optimizer_resolved(o);
    CHECK(r.rule == GENAI_RULE_ADAM && r.lr == 0.001f && r.beta1 == GENAI_ZERO && r.beta2 == 0.999f && r.eps == 1e-8f, "resolved");
    CHECK(genai_optimizer_step(o) == GENAI_OK, "a step without groups: %s", genai_ctx_error(ctx));
    CHECK(genai_optimizer_step(NULL) == GENAI_ERROR_ARGUMENT && genai_optimizer_lr(NULL) == 0 && genai_optimizer_norm(NULL) == 0, "NULL");
    genai_optimizer_zero(NULL);
    genai_optimizer_destroy(NULL);
    genai_ctx_destroy(ctx);
}

/* Every allocation fails in turn: MEMORY, and nothing is left. */
static allocations heap;

static void test_memory(void) {
    genai_ctx_desc   d = quiet_desc(0, 1, GENAI_ISA_BEST, &heap);
    genai_ctx       *ctx;
    genai_optimizer *o = NULL;
    genai_tensor    *t;
    long             before;
    int              done = 0;
    ctx = genai_ctx_create(&d);
    t = leaf(ctx, 20000, "t");
    before = heap.live;
    for (heap.fail_at = 1; !done && heap.fail_at < 100; heap.fail_at++) {
        heap.calls = 0;
        o = genai_optimizer_create(ctx, NULL);
        done = o && genai_optimizer_add_tensor(o, t, 0) == GENAI_OK;
        CHECK(done || genai_ctx_result(ctx) == GENAI_ERROR_MEMORY, "allocation %ld: %s", heap.fail_at, genai_ctx_error(ctx));
        if (done) break;
        genai_optimizer_destroy(o);
        genai_ctx_clear(ctx);
        CHECK(heap.live == before, "allocation %ld leaves %ld blocks", heap.fail_at, heap.live - before);
    }
    CHECK(done && heap.fail_at > 4, "%ld allocations", heap.fail_at);
    before = heap.live;
    heap.calls = 0;
    heap.fail_at = 1;
    CHECK(genai_optimizer_step(o) == GENAI_OK && !heap.calls && heap.live == before, "a step allocates");
    heap.fail_at = 0;
    genai_ctx_destroy(ctx);
    CHECK(heap.live == 0, "%ld blocks are left", heap.live);
}

int main(void) {
    test_rules();
    test_norm();
    test_schedules();
    test_nonfinite();
    test_arguments();
    test_memory();
    return CHECK_DONE("test_optim");
}
