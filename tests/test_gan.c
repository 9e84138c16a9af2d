/* Adversarial training: losses, what steadies a discriminator, augmentation, labels; T numbers are those of the list of traps. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

/* --- contexts, models, images --- */
static int  traced, traced_back; /* shift ops since somebody set them to 0, and their gradients */
static void count_shifts(void *user, const genai_work *work) {
    (void)user;
    if (work->ended || strcmp(work->name, "shift")) return;
    if (work->backward) traced_back++;
    else traced++;
}
static genai_ctx *make_ctx(int threads, genai_isa isa, allocations *a) {
    genai_ctx_desc d = quiet_desc(11, threads, isa, a);
    d.trace = count_shifts;
    return genai_ctx_create(&d);
}

static genai_model_desc desc_of(int width, int height, int channels) {
    genai_model_desc d;
    memset(&d, 0, sizeof d);
    d.preset = "gan";
    d.width = width;
    d.height = height;
    d.channels = channels;
    d.latent = 3;
    d.init = GENAI_INIT_HE; /* gradients large enough to be compared */
    return d;
}
static genai_model_desc small_desc(void) { /* dense nets on 4x4 grey images */
    genai_model_desc d = desc_of(4, 4, 1);
    d.generator = "dense 8 | relu | dense $D | tanh";
    d.discriminator = "dense 6 | lrelu 0.2 | dense 1";
    return d;
}
static genai_net *critic_of(const genai_model *m) { return m->net[GENAI__DISCRIMINATOR]; }
static genai_net *painter_of(const genai_model *m) { return m->net[GENAI__GENERATOR]; }

static float images[8 * 64 * 64 * 4];
static const int labels[8] = {2, 0, 1, 1, 0, 2, 2, 0};
static void fill(float *to, size_t n, uint32_t seed, float low, float high) {
    size_t i;
    for (i = 0; i < n; i++) {
        uint32_t k = ((uint32_t)i + seed * 7919u) * 2654435761u;
        k = (k ^ k >> 15) * 2246822519u;
        to[i] = low + (high - low) * (float)(k >> 16) / 65536.0f;
    }
}
static genai_tensor *tensor_of(genai_ctx *g, int n, int h, int w, int c, uint32_t seed) {
    int           dim[4];
    genai_tensor *t;
    dim[0] = n; dim[1] = h; dim[2] = w; dim[3] = c;
    t = genai_tensor_of(g, 4, dim, NULL);
    fill(t->data, t->count, seed, -1, 1);
    return t;
}
static void zero_gradients(genai_net *net) { memset(net->gradients, 0, net->size * sizeof(float)); }
static double worst_difference(const float *a, const float *b, size_t n) { /* relative to the largest of b */
    double largest = 1e-12, worst = 0;
    size_t i;
    for (i = 0; i < n; i++) {
        if (fabs((double)b[i]) > largest) largest = fabs((double)b[i]);
        if (!(fabs((double)a[i] - (double)b[i]) <= worst)) worst = fabs((double)a[i] - (double)b[i]);
    }
    return worst / largest;
}

/* --- losses: values and gradients of logits, in double --- */
static double softplus(double x) { return (x > 0 ? x : 0) + log1p(exp(-fabs(x))); }
static double sigmoid(double x) { return x > 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }

/* who: 0 the discriminator on made images, 1 on real ones, 2 the generator. */
static double loss_value(const char *name, int who, double x, double target) {
    if (!strcmp(name, "lsgan")) return 0.5 * (x - target) * (x - target);
    if (!strcmp(name, "hinge")) return who == 2 ? -x : who ? fmax(0, 1 - x) : fmax(0, 1 + x);
    if (!strcmp(name, "wasserstein")) return who ? -x : x;
    if (!strcmp(name, "minimax") && who == 2) return -softplus(x);
    return softplus(x) - target * x;
}
static double loss_slope(const char *name, int who, double x, double target) {
    if (!strcmp(name, "lsgan")) return x - target;
    if (!strcmp(name, "hinge")) return who == 2 ? -1 : who ? -(1 - x > 0) : 1 + x > 0;
    if (!strcmp(name, "wasserstein")) return who ? -1 : 1;
    if (!strcmp(name, "minimax") && who == 2) return -sigmoid(x);
    return sigmoid(x) - target;
}

static const char *const loss_names[] = {"nonsaturating", "minimax", "lsgan", "hinge", "wasserstein", "relativistic"};

static void test_losses(void) { /* T07, T25, T26 */
    static const float logit[8] = {-1e4f, -100, -1.5f, -0.3f, 0.4f, 2, 100, 1e4f};
    genai_ctx         *g = make_ctx(1, GENAI_ISA_BEST, NULL);
    size_t             l;
    int                who, smoothed, i, n = 8, dim[2];
    dim[0] = n;
    dim[1] = 1;
    for (l = 0; l < 5; l++) /* the rows are in this order */
        for (who = 0; who < 3; who++)
            for (smoothed = 0; smoothed < (who == 1 && l < 2 ? 2 : 1); smoothed++) {
                const genai__gan_loss *row = &genai__gan_losses[l];
                double                 target = who ? 1 - 0.1 * smoothed : 0, wanted = 0;
                genai_tensor          *x = genai_tensor_of(g, 2, dim, logit), *loss;
                x->requires_grad = 1;
                loss = who == 2 ? row->generator(x) : row->discriminator(x, (float)target);
                CHECK(!strcmp(row->name, loss_names[l]) && loss && !genai_backward(loss), "%s", genai_ctx_error(g));
                for (i = 0; i < n; i++) {
                    double slope = loss_slope(row->name, who, (double)logit[i], target) / n;
                    wanted += loss_value(row->name, who, (double)logit[i], target) / n;
                    CHECK(fabs((double)x->grad->data[i] - slope) <= 1e-6 * (1 + fabs(slope)), "%s %d: gradient at %g is %g, not %g", row->name, who, (double)logit[i],
                          (double)x->grad->data[i], slope);
                }
                CHECK(fabs((double)genai_value(loss) - wanted) <= 1e-4 + 1e-6 * fabs(wanted), "%s %d: %g, not %g", row->name, who, (double)genai_value(loss), wanted);
                genai_tape_release(g, 0);
            }
    genai_ctx_destroy(g);
}

/* One step with a discriminator that gives what its bias says: the values that are reported, and who is smoothed. */
static void test_reported(void) { /* T26 */
    genai_ctx       *g = make_ctx(1, GENAI_ISA_BEST, NULL);
    genai_model_desc d = small_desc();
    genai_losses     v;
    size_t           l;
    fill(images, 5 * 16, 1, 0, 1);
    d.lr_discriminator = 1e-12f;
    for (l = 0; l < 6; l++) {
        int          smoothed = l == 0 || l == 5;
        double       real = l == 5 ? 0 : 0.75, target = smoothed ? 0.9 : 1, one, two;
        genai_model *m;
        d.loss = loss_names[l];
        d.smoothing = smoothed ? 0.1f : 0;
        d.clip = l == 4 ? 100 : 0; /* it must have a bound */
        m = genai_model_create(g, &d);
        CHECK(m != NULL, "%s", genai_ctx_error(g));
        memset(critic_of(m)->values, 0, critic_of(m)->size * sizeof(float));
        critic_of(m)->layer[2].parameter[1]->data[0] = 0.75f;
        CHECK(!genai_model_step(m, 5, images, NULL, &v) && !v.skipped, "%s", genai_ctx_error(g));
        one = loss_value(d.loss, 1, real, target) + loss_value(d.loss, 0, real, 0);
        two = l == 5 ? 2 * softplus(0) : loss_value(d.loss, 2, real, 1); /* relative logits are 0, and both terms count */
        CHECK(fabs((double)v.value[0] - one) < 1e-5 && fabs((double)v.value[1] - two) < 1e-5, "%s: %g %g, not %g %g", d.loss, (double)v.value[0], (double)v.value[1], one, two);
        genai_model_destroy(m);
    }
    genai_ctx_destroy(g);
}

/* --- the discriminator's gradients against graphs made by hand, real and made images in batches of their own --- */

/* The relativistic average loss of Jolicoeur-Martineau 2019, from logits, with the gradient of each; sign 1: the discriminator's. */
static double relativistic(int n, const float *real, const float *made, int discriminator, double target, double *to_real, double *to_made) {
    double mean_real = 0, mean_made = 0, value = 0, sums[2] = {0, 0};
    int    i;
    for (i = 0; i < n; i++) {
        mean_real += (double)real[i] / n;
        mean_made += (double)made[i] / n;
    }
    for (i = 0; i < n; i++) {
        double r = (double)real[i] - mean_made, f = (double)made[i] - mean_real, tr = discriminator ? target : 0, tf = discriminator ? 0 : 1;
        value += (softplus(r) - tr * r + softplus(f) - tf * f) / n;
        to_real[i] = (sigmoid(r) - tr) / n;
        to_made[i] = (sigmoid(f) - tf) / n;
        sums[0] += to_real[i];
        sums[1] += to_made[i];
    }
    for (i = 0; i < n; i++) {
        to_real[i] -= sums[1] / n;
        to_made[i] -= sums[0] / n;
    }
    return value;
}

static genai_tensor *weighted_sum(genai_tensor *y, const double *weight) {
    genai_tensor *w = genai_tensor_of(y->ctx, y->ndim, y->dim, NULL);
    size_t        i;
    for (i = 0; i < y->count; i++) w->data[i] = (float)weight[i];
    return genai_sum(genai_mul(y, w), 0);
}

static void test_batches(void) { /* T03, T27 */
    int l;
    for (l = 0; l < 6; l += 5) {
        genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
        genai_model_desc d = small_desc();
        genai_model     *m;
        genai_net       *net;
        genai_tensor    *x, *fake, *real, *made, *loss;
        double           to_real[5], to_made[5], wanted;
        float           *got, value, first[16 * 8];
        int              k;
        d.discriminator = "dense 6 | batchnorm | lrelu 0.2 | dense 1";
        d.loss = loss_names[l];
        d.smoothing = 0.2f;
        m = genai_model_create(g, &d);
        net = critic_of(m);
        got = (float *)malloc(net->size * sizeof *got);
        x = tensor_of(g, 5, 4, 4, 1, 1);
        fake = tensor_of(g, 5, 4, 4, 1, 2);
        made = genai_net_forward(net, fake, GENAI_TRAIN_FROZEN); /* before the update */
        real = genai_net_forward(net, x, GENAI_TRAIN_FROZEN);
        CHECK(!genai__learn_discriminator(m, x, fake, NULL, &value), "%s", genai_ctx_error(g));
        memcpy(got, net->gradients, net->size * sizeof *got);
        if (l) wanted = relativistic(5, real->data, made->data, 1, 0.8, to_real, to_made);
        else for (wanted = 0, k = 0; k < 5; k++) {
            double r = (double)real->data[k], f = (double)made->data[k];
            wanted += (softplus(r) - 0.8 * r + softplus(f)) / 5;
            to_real[k] = (sigmoid(r) - 0.8) / 5;
            to_made[k] = sigmoid(f) / 5;
        }
        m = genai_model_create(g, &d); /* the same weights again */
        net = critic_of(m);
        loss = weighted_sum(genai_net_forward(net, x, GENAI_TRAIN_FROZEN), to_real);
        loss = genai_add(loss, weighted_sum(genai_net_forward(net, fake, GENAI_TRAIN_FROZEN), to_made));
        zero_gradients(net);
        CHECK(!genai_backward(loss), "%s", genai_ctx_error(g));
        CHECK(fabs((double)value - wanted) < 1e-5, "%s: %g, not %g", d.loss, (double)value, wanted);
        CHECK(worst_difference(got, net->gradients, net->size) < 1e-4, "%s: gradients are off by %g", d.loss, worst_difference(got, net->gradients, net->size));

        /* G's gradients: of the relativistic loss they depend on the real images */
        genai_net_trainable(net, 0);
        fake->requires_grad = 1;
        for (k = 0; k < 2; k++) {
            x = tensor_of(g, 5, 4, 4, 1, (uint32_t)(k ? 7 : 1));
            real = genai_net_forward(net, x, GENAI_TRAIN_FROZEN);
            made = genai_net_forward(net, fake, GENAI_TRAIN_FROZEN);
            fake->grad = NULL;
            CHECK(!genai_backward(genai__gan_generator_loss(m, x, fake, &value)), "%s", genai_ctx_error(g));
            memcpy(got, fake->grad->data, fake->count * sizeof *got);
            if (k) CHECK((memcmp(first, got, fake->count * sizeof *got) != 0) == (l == 5), "%s: real images %s matter to G", d.loss, l ? "don't" : "do");
            memcpy(first, got, fake->count * sizeof *got);
            if (l) wanted = relativistic(5, real->data, made->data, 0, 1, to_real, to_made);
            else continue;
            CHECK(fabs((double)value - wanted) < 1e-5, "%s: G's loss is %g, not %g", d.loss, (double)value, wanted);
            fake->grad = NULL;
            CHECK(!genai_backward(weighted_sum(made, to_made)), "%s", genai_ctx_error(g));
            CHECK(worst_difference(got, fake->grad->data, fake->count) < 1e-4, "%s: G's gradients", d.loss);
        }
        free(got);
        genai_ctx_destroy(g);
    }
}

/* --- a GAN of one pixel, one latent and linear nets, followed by hand --- */
static void test_trajectory(void) { /* T01, T02, T28: G learns through the updated D, from the latents D saw, in its steps only */
    int every;
    for (every = 1; every < 4; every += 2) {
        genai_ctx       *g = make_ctx(1, GENAI_ISA_BEST, NULL);
        genai_model_desc d = desc_of(1, 1, 1);
        genai_model     *m;
        genai_net       *gen, *dis;
        double           w, b, a, c, ema_w;
        int              step, i, n = 4, dim[2];
        d.latent = 1;
        d.generator = "dense 1";
        d.discriminator = "dense 1";
        d.rule = GENAI_RULE_SGD;
        d.lr = 0.2f;
        d.lr_discriminator = 0.3f;
        d.schedule = GENAI_SCHEDULE_LINEAR;
        d.schedule_steps = 12;
        d.critic_steps = every;
        d.ema = 0.25f;
        m = genai_model_create(g, &d);
        CHECK(m && m->signed_range, "%s", genai_ctx_error(g));
        gen = painter_of(m);
        dis = critic_of(m);
        w = ema_w = (double)gen->layer[0].parameter[0]->data[0];
        b = (double)gen->layer[0].parameter[1]->data[0];
        a = (double)dis->layer[0].parameter[0]->data[0];
        c = (double)dis->layer[0].parameter[1]->data[0];
        dim[0] = n;
        dim[1] = 1;
        for (step = 0; step < 9; step++) {
            double        da = 0, dc = 0, dw = 0, db = 0, lr = 0.3 * (1 - step / 12.0), ratio;
            float        *z;
            fill(images, (size_t)n, (uint32_t)step, 0, 1);
            genai_random_at(g, GENAI__STREAM_STEP, (uint64_t)step);
            z = genai_random_normal(g, 2, dim)->data;
            for (i = 0; i < n; i++) {
                double x = 2 * (double)images[i] - 1, y = w * (double)z[i] + b, p = sigmoid(a * x + c) - 1, q = sigmoid(a * y + c);
                da += (p * x + q * y) / n;
                dc += (p + q) / n;
            }
            a -= lr * da;
            c -= lr * dc;
            for (i = 0; i < n; i++) {
                double q = sigmoid(a * (w * (double)z[i] + b) + c) - 1;
                dw += q * a * (double)z[i] / n;
                db += q * a / n;
            }
            if ((step + 1) % every == 0) { /* its schedule ends with D's */
                double learning = 0.2 * (1 - (double)(step / every) / ((12 + every - 1) / every));
                w -= learning * dw;
                b -= learning * db;
                ratio = (1.0 + (step + 1) / every) / (10.0 + (step + 1) / every); /* by updates of G */
                if (ratio > 0.25) ratio = 0.25;
                ema_w = ratio * ema_w + (1 - ratio) * w;
            }
            CHECK(!genai_model_step(m, n, images, NULL, NULL), "%s", genai_ctx_error(g));
            CHECK(fabs(a - (double)dis->layer[0].parameter[0]->data[0]) < 1e-5 && fabs(c - (double)dis->layer[0].parameter[1]->data[0]) < 1e-5, "step %d, every %d: D is %g %g, not %g %g",
                  step, every, (double)dis->layer[0].parameter[0]->data[0], (double)dis->layer[0].parameter[1]->data[0], a, c);
            CHECK(fabs(w - (double)gen->layer[0].parameter[0]->data[0]) < 1e-5 && fabs(b - (double)gen->layer[0].parameter[1]->data[0]) < 1e-5, "step %d, every %d: G is %g %g, not %g %g",
                  step, every, (double)gen->layer[0].parameter[0]->data[0], (double)gen->layer[0].parameter[1]->data[0], w, b);
            CHECK(fabs(ema_w - (double)m->average[GENAI__GENERATOR]->layer[0].parameter[0]->data[0]) < 1e-5, "step %d, every %d: the average of w", step, every);
        }
        genai_ctx_destroy(g);
    }
}

static void test_critic_statistics(void) { /* T05: steps without G leave its statistics, weights, gradients and optimiser alone */
    genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    genai_model_desc d = small_desc();
    genai_model     *m;
    float           *before;
    int              step;
    d.generator = "dense 8 | batchnorm | relu | dense $D | tanh";
    d.critic_steps = 3;
    m = genai_model_create(g, &d);
    before = (float *)malloc((2 * painter_of(m)->size + painter_of(m)->running_size) * sizeof *before);
    fill(images, 5 * 16, 3, 0, 1);
    for (step = 0; step < 7; step++) {
        genai_net *net = painter_of(m);
        int        same;
        memcpy(before, net->values, net->size * sizeof *before);
        memcpy(before + net->size, net->gradients, net->size * sizeof *before);
        memcpy(before + 2 * net->size, net->running, net->running_size * sizeof *before);
        CHECK(!genai_model_step(m, 5, images, NULL, NULL), "%s", genai_ctx_error(g));
        same = !memcmp(before, net->values, net->size * sizeof *before) && !memcmp(before + net->size, net->gradients, net->size * sizeof *before) &&
               !memcmp(before + 2 * net->size, net->running, net->running_size * sizeof *before);
        CHECK(same == (step % 3 != 2) && m->optimizer[GENAI__GENERATOR]->t == (uint64_t)((step + 1) / 3) && m->optimizer[GENAI__DISCRIMINATOR]->t == (uint64_t)step + 1,
              "step %d: G %s", step, same ? "didn't learn" : "learnt");
    }
    free(before);
    genai_ctx_destroy(g);
}

/* --- gradient penalties --- */
static genai_model *linear_critic(genai_ctx *g, float r1, float penalty) {
    genai_model_desc d = small_desc();
    d.discriminator = "dense 1";
    d.r1 = r1;
    d.r1_every = r1 > 0;
    d.penalty = penalty;
    return genai_model_create(g, &d);
}

/* The penalty, and its gradients in the net; which: 0 WGAN-GP, 1 R1. The same draws each time. */
static double penalty_of(genai_model *m, int n, int which) {
    genai_ctx    *g = m->ctx;
    genai_tensor *x = tensor_of(g, n, m->dim[1], m->dim[2], m->dim[3], 5), *fake = tensor_of(g, n, m->dim[1], m->dim[2], m->dim[3], 6), *loss;
    double        value;
    genai_random_at(g, GENAI__STREAM_STEP, 0);
    if (which) genai__judge_real(m, x, &loss);
    else loss = genai__gradient_penalty(m, x, fake);
    zero_gradients(critic_of(m));
    CHECK(loss && !genai_backward(loss), "%s", genai_ctx_error(g));
    value = (double)genai_value(loss);
    genai_tape_release(g, 0);
    return value;
}

static void test_linear_critic(void) { /* T08, T10 */
    static const int size[] = {1, 3, 7};
    genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    int              s, which, zero, i;
    for (s = 0; s < 3; s++)
        for (which = 0; which < 2; which++)
            for (zero = 0; zero < 2; zero++) {
                genai_model *m = linear_critic(g, which ? 3.0f : 0, which ? 0 : 10.0f);
                float       *w = critic_of(m)->layer[0].parameter[0]->data, *dw = critic_of(m)->layer[0].parameter[0]->grad->data, *db = critic_of(m)->layer[0].parameter[1]->grad->data;
                double       norm = 0, value, wanted;
                fill(w, 16, 9, zero ? 0 : -0.4f, zero ? 0 : 0.7f);
                for (i = 0; i < 16; i++) norm += (double)w[i] * (double)w[i];
                wanted = which ? 1.5 * norm : 10 * (sqrt(norm) - 1) * (sqrt(norm) - 1);
                norm = sqrt(norm);
                value = penalty_of(m, size[s], which);
                CHECK(fabs(value - wanted) < 1e-5 * (1 + wanted), "%s of %d images: %g, not %g", which ? "R1" : "penalty", size[s], value, wanted);
                for (i = 0; i < 16; i++) {
                    double slope = zero ? 0 : which ? 3 * (double)w[i] : 20 * (norm - 1) * (double)w[i] / norm;
                    CHECK(fabs((double)dw[i] - slope) < 1e-5 * (1 + fabs(slope)), "%s of %d images: gradient %d is %g, not %g", which ? "R1" : "penalty", size[s], i, (double)dw[i], slope);
                }
                CHECK(db[0] == 0, "the bias has gradient %g", (double)db[0]);
                genai_model_destroy(m);
            }
    genai_ctx_destroy(g);
}

static void test_penalty_differences(void) { /* T09: finite differences for every weight of D */
    static const char *const text[] = {
        "conv 3 k3 s2 | elu | conv 4 k3 nobias | softplus | flatten | dense 5 | tanh | dense 1",
        "conv 3 k3 | silu | layernorm | conv 3 k2 s2 | gelu | avgpool 2 | flatten | dense 4 | relu | dense 1",
        "conv 4 k3 | sigmoid | groupnorm 2 | conv 3 k3 s2 | instancenorm | tanh | flatten | dense 4 | lrelu 0.1 | dense 1"};
    genai_ctx *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    int        t, which;
    for (t = 0; t < 3; t++)
        for (which = 0; which < 2; which++) {
            genai_model_desc d = desc_of(6, 5, 2);
            genai_model     *m;
            genai_net       *net;
            float           *got;
            double           largest = 0, worst = 0;
            size_t           i;
            d.generator = "dense $D";
            d.discriminator = text[t];
            d.r1 = which ? 0.5f : 0;
            d.r1_every = which;
            d.penalty = which ? 0 : 2.0f;
            m = genai_model_create(g, &d);
            CHECK(m != NULL, "%s", genai_ctx_error(g));
            if (!m) { genai_ctx_clear(g); continue; }
            net = critic_of(m);
            for (i = 0; i < net->size; i++) /* larger than at first, so that the norm of the gradient is */
                if (net->values[i] != 0) net->values[i] *= 1.7f;
            penalty_of(m, 3, which);
            got = (float *)malloc(net->size * sizeof *got);
            memcpy(got, net->gradients, net->size * sizeof *got);
            for (i = 0; i < net->size; i++)
                if (fabs((double)got[i]) > largest) largest = fabs((double)got[i]);
            for (i = 0; i < net->size; i++) {
                float  was = net->values[i], h = t == 0 ? 1e-2f : 2e-3f;
                double up, down, numeric;
                int    p, inside = 0;
                for (p = 0; p < net->parameters; p++) inside |= net->values + i >= net->tensor[p].data && net->values + i < net->tensor[p].data + net->tensor[p].count;
                if (!inside) continue;
                net->values[i] = was + h;
                up = penalty_of(m, 3, which);
                net->values[i] = was - h;
                down = penalty_of(m, 3, which);
                net->values[i] = was;
                numeric = (up - down) / (2 * (double)h);
                if (fabs(numeric - (double)got[i]) > worst) worst = fabs(numeric - (double)got[i]);
            }
            CHECK(largest > 1e-3 && worst < 0.02 * largest, "%s of '%s': gradients are off by %g of %g", which ? "R1" : "penalty", text[t], worst, largest);
            free(got);
            genai_model_destroy(m);
        }
    genai_ctx_destroy(g);
}

static void test_penalty_by_hand(void) { /* T08: one factor for each image, between its real and its made one; the mean over images */
    genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    genai_model_desc d = small_desc();
    genai_model     *m;
    genai_tensor    *x = tensor_of(g, 5, 4, 4, 1, 1), *fake = tensor_of(g, 5, 4, 4, 1, 2), *one, *dx;
    float            u[5];
    double           wanted = 0, got, squares;
    int              dim[4] = {5, 1, 1, 1}, i, k;
    d.discriminator = "dense 6 | tanh | dense 1";
    d.penalty = 4;
    m = genai_model_create(g, &d);
    for (i = 0; (size_t)i < critic_of(m)->size; i++) critic_of(m)->values[i] *= 3;
    genai_random_at(g, GENAI__STREAM_STEP, 5);
    memcpy(u, genai_random_uniform(g, 4, dim)->data, sizeof u);
    genai_random_at(g, GENAI__STREAM_STEP, 5);
    got = (double)genai_value(genai__gradient_penalty(m, x, fake));
    for (i = 0; i < 5; i++) {
        one = tensor_of(g, 1, 4, 4, 1, 1);
        for (k = 0; k < 16; k++) one->data[k] = x->data[16 * i + k] + u[i] * (fake->data[16 * i + k] - x->data[16 * i + k]);
        one->requires_grad = 1;
        CHECK(!genai_grad(genai_net_forward(critic_of(m), one, GENAI_TRAIN), 1, &one, &dx, 0), "%s", genai_ctx_error(g));
        for (squares = 0, k = 0; k < 16; k++) squares += (double)dx->data[k] * (double)dx->data[k];
        wanted += 4 * (sqrt(squares) - 1) * (sqrt(squares) - 1) / 5;
    }
    CHECK(fabs(got - wanted) < 1e-5 * wanted, "%g, not %g", got, wanted);
    genai_ctx_destroy(g);
}

static void test_spectral_norm(void) { /* D has it, G hasn't; larger weights make no larger logits */
    genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    genai_model_desc d = desc_of(9, 8, 2);
    genai_model     *m;
    genai_net       *net;
    genai_tensor    *x = tensor_of(g, 4, 8, 9, 2, 1), *y;
    double           first[4];
    int              round, i;
    d.spectral_norm = 1;
    m = genai_model_create(g, &d);
    net = critic_of(m);
    fill(images, 4 * 144, 1, 0, 1);
    CHECK(net->statistics == 2 && !genai_model_step(m, 4, images, NULL, NULL), "%d vectors of D: %s", net->statistics, genai_ctx_error(g));
    CHECK(!painter_of(m)->spectral && !m->average[GENAI__GENERATOR]->spectral, "G has it too");
    for (i = 0; i < net->layers; i++)
        if (net->layer[i].parameter[1]) memset(net->layer[i].parameter[1]->data, 0, net->layer[i].parameter[1]->count * sizeof(float));
    for (round = 0; round < 2; round++) {
        y = genai_net_forward(net, x, GENAI_TRAIN_FROZEN);
        for (i = 0; i < 4; i++) {
            if (round) CHECK(fabs((double)y->data[i] - first[i]) < 1e-5, "logit %d is %g, not %g", i, (double)y->data[i], first[i]);
            first[i] = (double)y->data[i];
        }
        for (i = 0; (size_t)i < net->size; i++) net->values[i] *= 5;
    }
    genai_ctx_destroy(g);
}

static void test_r1_interval(void) { /* T10 */
    genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    genai_model_desc d = small_desc();
    genai_model     *a, *b;
    int              step;
    size_t           i;
    d.discriminator = "dense 1";
    b = genai_model_create(g, &d);
    d.r1 = 0.3f;
    a = genai_model_create(g, &d);
    CHECK(genai_model_resolved(a).r1_every == 16, "r1_every is %d by itself", genai_model_resolved(a).r1_every);
    genai_model_destroy(a);
    d.r1_every = 4;
    a = genai_model_create(g, &d);
    fill(images, 5 * 16, 4, 0, 1);
    for (step = 0; step < 9; step++) {
        genai_net *na = critic_of(a), *nb = critic_of(b);
        float      before[16];
        double     worst = 0;
        memcpy(nb->values, na->values, na->size * sizeof(float));
        memcpy(painter_of(b)->values, painter_of(a)->values, painter_of(a)->size * sizeof(float));
        memcpy(before, na->layer[0].parameter[0]->data, sizeof before);
        CHECK(!genai_model_step(a, 5, images, NULL, NULL) && !genai_model_step(b, 5, images, NULL, NULL), "%s", genai_ctx_error(g));
        for (i = 0; i < 16; i++) {
            double more = (double)na->layer[0].parameter[0]->grad->data[i] - (double)nb->layer[0].parameter[0]->grad->data[i];
            double wanted = step % 4 ? 0 : 4 * 0.3 * (double)before[i];
            if (fabs(more - wanted) > worst) worst = fabs(more - wanted);
        }
        CHECK(step % 4 ? worst == 0 : worst < 1e-5, "step %d: R1's gradient is off by %g", step, worst);
    }
    genai_ctx_destroy(g);
}

static void test_clip(void) { /* T12 */
    genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    genai_model_desc d = small_desc();
    genai_model     *m;
    int              step, at = 0;
    d.discriminator = "dense 6 | layernorm | lrelu 0.2 | dense 1";
    d.loss = "wasserstein";
    d.clip = 0.02f;
    d.lr = 0.05f;
    m = genai_model_create(g, &d);
    fill(images, 5 * 16, 4, 0, 1);
    for (step = 0; step < 3; step++) {
        int   p;
        float most = 0, scale = 0;
        CHECK(!genai_model_step(m, 5, images, NULL, NULL), "%s", genai_ctx_error(g));
        for (p = 0; p < critic_of(m)->parameters; p++) {
            genai_tensor *t = &critic_of(m)->tensor[p];
            size_t        i;
            for (i = 0; i < t->count; i++) {
                float v = fabsf(t->data[i]);
                if (strstr(t->name, "gamma")) scale = v > scale ? v : scale;
                else if (!strstr(t->name, "beta")) most = v > most ? v : most;
                at += v == 0.02f && !strstr(t->name, "norm");
            }
        }
        CHECK(most == 0.02f && scale > 0.5f, "step %d: weights up to %g, scales up to %g", step, (double)most, (double)scale);
    }
    CHECK(at > 3 && painter_of(m)->layer[0].parameter[0]->count == 24, "only %d weights are clipped", at);
    genai_ctx_destroy(g);
}

/* --- what D sees --- */
static void test_noise(void) {
    genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    genai_model_desc d = small_desc();
    genai_model     *m;
    int              i;
    d.noise = 0.4f;
    d.noise_steps = 8;
    m = genai_model_create(g, &d);
    for (i = 0; i <= 9; i++) {
        genai_tensor *x = tensor_of(g, 8, 16, 16, 4, 1), *y;
        double        squares = 0, wanted = i < 8 ? 0.4 * (1 - i / 8.0) : 0;
        size_t        k;
        m->steps = i;
        x->requires_grad = 1;
        y = genai__seen(m, x);
        for (k = 0; k < x->count; k++) squares += ((double)y->data[k] - (double)x->data[k]) * ((double)y->data[k] - (double)x->data[k]) / (double)x->count;
        CHECK(fabs(sqrt(squares) - wanted) < 0.02 * wanted + 1e-9 && (i < 8 || y == x), "step %d: noise of %g, not %g", i, sqrt(squares), wanted);
        CHECK(!genai_backward(genai_sum(y, 0)) && x->grad->data[7] == 1, "no gradient through noise");
        genai_tape_release(g, 0);
    }
    m->desc.noise_steps = 0;
    m->steps = 1000;
    CHECK(genai__seen(m, tensor_of(g, 1, 4, 4, 1, 1)) != NULL, "%s", genai_ctx_error(g));
    genai_ctx_destroy(g);
}

static genai_model *augmenting(genai_ctx *g, const char *augment, int h, int w, int c) {
    genai_model_desc d = desc_of(w, h, c);
    d.generator = "dense $D | tanh";
    d.discriminator = "dense 1";
    d.augment = augment;
    return genai_model_create(g, &d);
}

/* The sum of weights times what the discriminator sees of x, with the same draws each time. */
static double seen_sum(genai_model *m, genai_tensor *x, genai_tensor **loss) {
    genai_tensor *y;
    double        sum = 0;
    size_t        i;
    genai_random_at(m->ctx, 0, 3);
    y = genai__seen(m, x);
    if (loss) {
        genai_tensor *w = tensor_of(m->ctx, x->dim[0], x->dim[1], x->dim[2], x->dim[3], 17);
        *loss = genai_sum(genai_mul(genai_square(y), w), 0);
        return 0;
    } else {
        float *w = (float *)malloc(y->count * sizeof *w);
        fill(w, y->count, 17, -1, 1);
        for (i = 0; i < y->count; i++) sum += (double)w[i] * (double)y->data[i] * (double)y->data[i];
        free(w);
    }
    return sum;
}

static void test_augment_differences(void) { /* T43: gradients through augmentation, and gradients of gradients */
    static const char *const kind[] = {"color", "translation", "cutout", "cutout color translation"};
    genai_ctx *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    int        k, c;
    for (k = 0; k < 4; k++)
        for (c = 1; c <= 4; c++) {
            genai_model  *m = augmenting(g, kind[k], 7, 9, c);
            genai_tensor *x = tensor_of(g, 3, 7, 9, c, 2), *loss, *dx, *second;
            size_t        i, mark;
            double        worst = 0, worst_second = 0, largest = 0;
            CHECK(m != NULL, "%s", genai_ctx_error(g));
            x->requires_grad = 1;
            mark = genai_tape_mark(g);
            seen_sum(m, x, &loss);
            CHECK(!genai_grad(loss, 1, &x, &dx, 1) && !genai_grad(genai_sum(genai_square(dx), 0), 1, &x, &second, 0), "%s", genai_ctx_error(g));
            for (i = 0; i < x->count; i += 5) {
                float  was = x->data[i], h = 0.02f;
                double up, down, squares[2];
                int    side;
                for (side = 0; side < 2; side++) {
                    genai_tensor *again, *l;
                    size_t        j, here = genai_tape_mark(g);
                    x->data[i] = side ? was - h : was + h;
                    if (side) down = seen_sum(m, x, NULL);
                    else up = seen_sum(m, x, NULL);
                    seen_sum(m, x, &l);
                    genai_grad(l, 1, &x, &again, 0);
                    for (j = 0, squares[side] = 0; j < x->count; j++) squares[side] += (double)again->data[j] * (double)again->data[j];
                    genai_tape_release(g, here);
                }
                x->data[i] = was;
                up = (up - down) / (2 * (double)h) - (double)dx->data[i];
                down = (squares[0] - squares[1]) / (2 * (double)h) - (double)second->data[i];
                if (fabs(up) > worst) worst = fabs(up);
                if (fabs(down) > worst_second) worst_second = fabs(down);
                if (fabs((double)dx->data[i]) > largest) largest = fabs((double)dx->data[i]);
            }
            CHECK(largest > 0.1 && worst < 1e-3 * (1 + largest) && worst_second < 5e-3 * (1 + largest), "%s, %d channels: off by %g and %g of %g", kind[k], c, worst, worst_second, largest);
            (void)mark;
            genai_tape_release(g, 0);
            genai_model_destroy(m);
        }
    genai_ctx_destroy(g);
}

static void test_augment_values(void) {
    genai_ctx *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    int        c, round, i, seen_moves[5][5], cuts[17][17];
    memset(seen_moves, 0, sizeof seen_moves);
    memset(cuts, 0, sizeof cuts);
    for (c = 1; c <= 4; c++) { /* colours: each image a map a x + b of its own, alpha as it is, saturation towards grey */
        genai_model  *m = augmenting(g, "color", 6, 5, c);
        genai_tensor *x = tensor_of(g, 8, 6, 5, c, 3), *y;
        int           colors = c % 2 ? c : c - 1, alike = 0;
        genai_random_at(g, 0, (uint64_t)c);
        y = genai__seen(m, x);
        for (i = 0; i < 8; i++) {
            const float *from = x->data + i * 30 * c, *to = y->data + i * 30 * c, *next = y->data + (i + 1) % 8 * 30 * c;
            double       sum[2] = {0, 0}, spread[2] = {0, 0}, u[3], grey, b;
            int          p, k;
            float       *draws;
            int          dim[2] = {7, 8};
            genai_random_at(g, 0, (uint64_t)c); /* the same numbers again: kind by kind, image by image */
            draws = genai_random_uniform(g, 2, dim)->data;
            for (k = 0; k < 3; k++) u[k] = (double)draws[k * 8 + i];
            for (p = 0; p < 30 * c; p++)
                if (p % c < colors) sum[0] += (double)from[p] / (30 * colors);
            b = u[0] - 0.5;
            for (p = 0; p < 30; p++) {
                for (grey = 0, k = 0; k < colors; k++) grey += (double)from[p * c + k] / colors;
                for (k = 0; k < colors; k++) {
                    double v = grey + (colors > 1 ? 2 * u[1] : 1) * ((double)from[p * c + k] - grey) + b, all = sum[0] + b, wanted = all + (v - all) * (u[2] + 0.5);
                    if (fabs(wanted - (double)to[p * c + k]) > spread[0]) spread[0] = fabs(wanted - (double)to[p * c + k]);
                }
                if (colors < c) spread[1] = fmax(spread[1], fabs((double)from[p * c + colors] - (double)to[p * c + colors]));
            }
            CHECK(spread[0] < 1e-5, "image %d of %d channels is off by %g", i, c, spread[0]);
            CHECK(spread[1] == 0, "alpha changes by %g", spread[1]);
            alike += !memcmp(to, next, (size_t)(30 * c) * sizeof(float));
        }
        CHECK(!alike, "images are changed alike");
        genai_tape_release(g, 0);
        genai_model_destroy(m);
    }
    for (round = 0; round < 400; round++) { /* places: every image by its own whole number of pixels up to an eighth, black around */
        genai_model  *m = round == 0 || round == 200 ? augmenting(g, round < 200 ? "translation" : "cutout", 16, 16, 2) : NULL;
        static genai_model *model;
        genai_tensor *x = tensor_of(g, 4, 16, 16, 2, 3), *y;
        if (m) model = m;
        genai_random_at(g, 0, (uint64_t)round);
        y = genai__seen(model, x);
        for (i = 0; i < 4; i++) {
            const float *from = x->data + i * 512, *to = y->data + i * 512;
            int          a, b, p, q, fits = 0, top = 16, bottom = -1, left = 16, right = -1, count = 0;
            for (a = -2; a <= 2 && round < 200; a++)
                for (b = -2; b <= 2; b++) {
                    int same = 1;
                    for (p = 0; p < 512 && same; p++) {
                        int r = p / 32 - a, s = p / 2 % 16 - b;
                        same = to[p] == (r < 0 || r > 15 || s < 0 || s > 15 ? -1.0f : from[(r * 16 + s) * 2 + p % 2]);
                    }
                    if (same) { seen_moves[a + 2][b + 2]++; fits++; }
                }
            if (round < 200) { CHECK(fits == 1, "image %d of round %d isn't moved", i, round); continue; }
            for (p = 0; p < 512; p++)
                if (to[p] != from[p]) {
                    CHECK(to[p] == -1, "cut to %g", (double)to[p]);
                    q = p / 32;
                    if (q < top) top = q;
                    if (q > bottom) bottom = q;
                    q = p / 2 % 16;
                    if (q < left) left = q;
                    if (q > right) right = q;
                    count++;
                }
            CHECK(count == 2 * (bottom - top + 1) * (right - left + 1) && bottom - top < 8 && right - left < 8 && (bottom - top == 7 || top == 0 || bottom == 15),
                  "what is cut is no half: rows %d to %d, columns %d to %d, %d values", top, bottom, left, right, count);
            cuts[(top == 0 ? bottom - 3 : top + 4) & 15][(left == 0 ? right - 3 : left + 4) & 15]++;
        }
        genai_tape_release(g, 0);
    }
    for (i = 0; i < 25; i++) CHECK(seen_moves[i / 5][i % 5] > 10 && seen_moves[i / 5][i % 5] < 60, "%d of 800 images are moved by (%d,%d)", seen_moves[i / 5][i % 5], i / 5 - 2, i % 5 - 2);
    for (round = 0, i = 0; i < 16; i++) round += cuts[i][5] + cuts[i][6] + cuts[i][7] > 0; /* the middle is anywhere */
    CHECK(round >= 14, "middles of cuts lie in %d of 16 rows", round);
    genai_ctx_destroy(g);
}

static void test_augment_sides(void) { /* T43: real and made images, in D's and in G's step; G's gradient goes through it */
    genai_ctx   *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    genai_model *m = augmenting(g, "translation", 16, 16, 1);
    fill(images, 4 * 256, 1, 0, 1);
    traced = traced_back = 0;
    CHECK(!genai_model_step(m, 4, images, NULL, NULL), "%s", genai_ctx_error(g));
    CHECK(traced == 3 + 1 && traced_back == 1, "%d times moved, %d gradients through that", traced, traced_back); /* a gradient is a move back */
    genai_ctx_destroy(g);
}

/* How many draws a step takes, by its settings: the list in >>gan. */
static void test_draws(void) { /* T28 */
    typedef struct settings { const char *loss, *augment; float noise, penalty, feature_matching, dropout; int draws; } settings;
    static const settings list[] = {
        {NULL, NULL, 0, 0, 0, 0, 1}, {NULL, NULL, 0.1f, 0, 0, 0, 1 + 3}, {NULL, "color cutout", 0, 0, 0, 0, 1 + 3}, {NULL, "translation", 0.1f, 0, 0, 0, 1 + 6},
        {NULL, NULL, 0, 1, 0, 0, 1 + 1}, {"relativistic", "color", 0, 0, 0, 0, 1 + 4}, {NULL, NULL, 0.1f, 0, 1, 0, 1 + 4}, {NULL, NULL, 0, 1, 1, 0.3f, 1 + 1 + 5}};
    genai_ctx *g = make_ctx(1, GENAI_ISA_BEST, NULL);
    size_t     i;
    fill(images, 3 * 64, 1, 0, 1);
    for (i = 0; i < sizeof list / sizeof *list; i++) {
        genai_model_desc d = desc_of(8, 8, 1);
        genai_model     *m;
        float            value[GENAI_MAX_LOSSES];
        d.loss = list[i].loss;
        d.augment = list[i].augment;
        d.noise = list[i].noise;
        d.penalty = list[i].penalty;
        d.feature_matching = list[i].feature_matching;
        d.dropout = list[i].dropout;
        m = genai_model_create(g, &d);
        CHECK(m != NULL, "%s", genai_ctx_error(g));
        if (!m) { genai_ctx_clear(g); continue; }
        genai_random_at(g, GENAI__STREAM_STEP, 0);
        m->mark = genai_tape_mark(g);
        CHECK(!m->family->step(m, genai__model_input(m, 3, images), value), "%s", genai_ctx_error(g));
        CHECK(g->draw == (uint32_t)list[i].draws, "settings %d: %d draws, not %d", (int)i, (int)g->draw, list[i].draws);
        genai_tape_release(g, 0);
        genai_model_destroy(m);
    }
    genai_ctx_destroy(g);
}

/* --- feature matching --- */
static void test_feature_matching(void) {
    genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
    genai_model_desc d = small_desc();
    genai_model     *m, *plain;
    genai_tensor    *x = tensor_of(g, 5, 4, 4, 1, 1), *fake = tensor_of(g, 5, 4, 4, 1, 2), *a, *b;
    const float     *w;
    double           apart[16], feature[3], wanted = 0, slope, worst = 0;
    float            value, other;
    int              i, k;
    fill(fake->data, fake->count, 2, -0.2f, 1);
    d.discriminator = "dense 3 | dense 1";
    plain = genai_model_create(g, &d);
    d.feature_matching = 0.7f;
    m = genai_model_create(g, &d);
    genai_net_trainable(critic_of(m), 0);
    genai_net_trainable(critic_of(plain), 0);
    fake->requires_grad = 1;
    a = genai__gan_generator_loss(m, x, fake, &value);
    b = genai__gan_generator_loss(plain, x, fake, &other);
    w = critic_of(m)->layer[0].parameter[0]->data;
    for (i = 0; i < 16; i++)
        for (apart[i] = 0, k = 0; k < 5; k++) apart[i] += ((double)fake->data[k * 16 + i] - (double)x->data[k * 16 + i]) / 5;
    for (k = 0; k < 3; k++) {
        for (feature[k] = 0, i = 0; i < 16; i++) feature[k] += apart[i] * (double)w[i * 3 + k];
        wanted += 0.7 * feature[k] * feature[k];
    }
    CHECK(value == other && fabs((double)genai_value(a) - (double)genai_value(b) - wanted) < 1e-5 && wanted > 0.01, "%g more, not %g", (double)genai_value(a) - (double)genai_value(b), wanted);
    CHECK(!genai_grad(genai_sub(a, b), 1, &fake, &a, 0), "%s", genai_ctx_error(g));
    for (i = 0; i < 16; i++) {
        for (slope = 0, k = 0; k < 3; k++) slope += 2 * 0.7 * feature[k] * (double)w[i * 3 + k] / 5;
        for (k = 0; k < 5; k++) worst = fmax(worst, fabs(slope - (double)a->data[k * 16 + i]));
    }
    CHECK(worst < 1e-5, "gradients are off by %g", worst);
    genai_ctx_destroy(g);
}

/* --- labels --- */
static void test_conditions(void) {
    static const char *const how[] = {"concat", "projection", "auxiliary"};
    static const char *const own[] = {"label | dense 6 | lrelu 0.2 | dense 1", "dense 6 | lrelu 0.2 | project", "dense 6 | lrelu 0.2 | dense 4"};
    int c;
    for (c = 0; c < 3; c++) {
        genai_ctx       *g = make_ctx(2, GENAI_ISA_BEST, NULL);
        genai_model_desc d = small_desc();
        genai_model     *m, *after;
        genai_net       *net;
        genai_tensor    *x, *fake, *real, *made, *loss, *z;
        float            out[4 * 192], again[4 * 192];
        int              other[4], i;
        genai_losses     v;
        d.generator = c == 1 ? "dense 8 | cbatchnorm | relu | dense $D | tanh" : "label | dense 8 | relu | dense $D | tanh";
        d.discriminator = own[c];
        d.condition = how[c];
        d.classes = 3;
        m = genai_model_create(g, &d);
        after = genai_model_create(g, &d);
        CHECK(m && after, "%s: %s", how[c], genai_ctx_error(g));
        if (!m || !after) return;
        fill(images, 5 * 16, 1, 0, 1);
        CHECK(!genai_model_step(after, 5, images, labels, &v) && !v.skipped, "%s", genai_ctx_error(g));
        net = critic_of(m); /* D's gradients */
        genai_random_at(g, GENAI__STREAM_STEP, 0);
        x = genai__model_input(m, 5, images);
        z = genai__latents(m, 5);
        fake = genai__images(m, genai_net_forward_labels(painter_of(m), z, labels, GENAI_TRAIN));
        real = genai_net_forward_labels(net, x, labels, GENAI_TRAIN);
        made = genai_net_forward_labels(net, genai_detach(fake), labels, GENAI_TRAIN);
        loss = genai_bce_loss(genai_slice(real, 1, 0, 1), NULL, 1);
        loss = genai_add(loss, genai_bce_loss(genai_slice(made, 1, 0, 1), NULL, 0));
        CHECK(fabs((double)genai_value(loss) - (double)v.value[0]) < 1e-5, "%s: D's loss %g, not %g", how[c], (double)v.value[0], (double)genai_value(loss));
        if (c == 2) loss = genai_add(loss, genai_cross_entropy_loss(genai_slice(real, 1, 1, 3), labels));
        zero_gradients(net);
        CHECK(!genai_backward(loss), "%s", genai_ctx_error(g));
        CHECK(worst_difference(critic_of(after)->gradients, net->gradients, net->size) < 1e-5, "%s: D's gradients", how[c]);
        memcpy(net->values, critic_of(after)->values, net->size * sizeof(float)); /* G's */
        made = genai_net_forward_labels(net, fake, labels, GENAI_TRAIN);
        loss = genai_bce_loss(genai_slice(made, 1, 0, 1), NULL, 1);
        if (c == 2) loss = genai_add(loss, genai_cross_entropy_loss(genai_slice(made, 1, 1, 3), labels));
        net = painter_of(m);
        zero_gradients(net);
        CHECK(!genai_backward(loss), "%s", genai_ctx_error(g));
        CHECK(worst_difference(painter_of(after)->gradients, net->gradients, net->size) < 1e-5, "%s: G's gradients", how[c]);
        genai_tape_release(g, 0);
        genai_model_destroy(m);

        d = desc_of(9, 8, 2); /* the standard texts */
        d.condition = how[c];
        d.classes = 3;
        d.ema = GENAI_ZERO;
        m = genai_model_create(g, &d);
        CHECK(m != NULL, "%s: %s", how[c], genai_ctx_error(g));
        if (!m) return;
        CHECK((strstr(genai_model_resolved(m).generator, c == 1 ? "cbatchnorm" : "label | dense") != NULL) && (strstr(genai_model_resolved(m).discriminator, c ? c == 1 ? "| project" : "| dense 4" : "label | conv") != NULL),
              "%s: %s / %s", how[c], genai_model_resolved(m).generator, genai_model_resolved(m).discriminator);
        fill(images, 8 * 144, 1, 0, 1);
        for (i = 0; i < 3; i++) CHECK(!genai_model_step(m, 8, images, labels, &v) && !v.skipped, "%s: %s", how[c], genai_ctx_error(g));
        for (i = 0; i < 4; i++) other[i] = (labels[i] + (i == 2)) % 3;
        CHECK(!genai_model_sample(m, 5, 4, labels, out) && !genai_model_sample(m, 5, 4, other, again), "%s", genai_ctx_error(g));
        for (i = 0; i < 4; i++) CHECK((memcmp(out + i * 144, again + i * 144, 144 * sizeof *out) == 0) == (i != 2), "%s: image %d and its label", how[c], i);
        genai_ctx_destroy(g);
    }
}

/* --- settings that don't fit --- */
static void refused(genai_ctx *g, genai_result code, const char *part, const genai_model_desc *d) {
    genai_model *m = genai_model_create(g, d);
    CHECK(!m && genai_ctx_result(g) == code && strstr(genai_ctx_error(g), part), "gives %d (%s), wanted '%s'", (int)genai_ctx_result(g), genai_ctx_error(g), part);
    genai_ctx_clear(g);
    genai_model_destroy(m);
}

/* The preset's own R1: for its own discriminator and loss only. Its own schedule: until another is given. */
static void test_standard(void) {
    genai_ctx       *g = make_ctx(1, GENAI_ISA_BEST, NULL);
    genai_model_desc d;
    genai_model     *m;
    int              i;
    for (i = 0; i < 8; i++) {
        memset(&d, 0, sizeof d);
        d.width = d.height = 8;
        if (i == 1) d.discriminator = "flatten | dense 1";
        if (i == 2) d.loss = "hinge";
        if (i == 3) d.penalty = 10;
        if (i == 4) d.spectral_norm = 1;
        if (i == 5) d.r1 = GENAI_ZERO;
        if (i == 6) d.preset = "dcgan_k4", d.width = d.height = 32;
        if (i == 7) d.preset = "vaegan";
        m = genai_model_create(g, &d);
        CHECK(m && genai_model_resolved(m).r1 == (i % 7 ? 0 : 2.0f), "%d: r1 %g", i, m ? (double)genai_model_resolved(m).r1 : -1.0);
        CHECK(m && genai_model_resolved(m).schedule == (i == 6 ? GENAI_SCHEDULE_CONSTANT : GENAI_SCHEDULE_INVERSE), "%d: schedule", i);
        CHECK(m && (i < 7 || (!strcmp(genai_model_resolved(m).sampler, "mixture") && genai_model_resolved(m).components == 50)), "%d: sampler", i);
        genai_model_destroy(m);
    }
    memset(&d, 0, sizeof d);
    d.width = d.height = 8;
    for (i = 0; i < 3; i++) {
        d.schedule = i ? i > 1 ? GENAI_SCHEDULE_COSINE : GENAI_SCHEDULE_CONSTANT : GENAI_SCHEDULE_DEFAULT;
        d.schedule_steps = i > 1 ? 7 : 0;
        m = genai_model_create(g, &d);
        CHECK(m && genai_model_resolved(m).schedule == (i ? d.schedule : GENAI_SCHEDULE_INVERSE) && genai_model_resolved(m).schedule_steps == (i ? d.schedule_steps : 2000),
              "schedule %d over %d steps", (int)d.schedule, m ? genai_model_resolved(m).schedule_steps : -1);
        genai_model_destroy(m);
    }
    d.schedule = GENAI_SCHEDULE_DEFAULT;
    d.schedule_steps = 0;
    d.preset = NULL;
    d.r1 = GENAI_ZERO;
    m = genai_model_create(g, &d);
    CHECK(m && !genai_model_save(m, "test_r1.safetensors"), "%s", genai_ctx_error(g));
    genai_model_destroy(m);
    m = genai_model_load(g, "test_r1.safetensors");
    CHECK(m && genai_model_resolved(m).r1 == 0, "a file without R1 came back with it");
    remove("test_r1.safetensors");
    genai_ctx_destroy(g);
}

static void test_refused(void) {
    genai_ctx       *g = make_ctx(1, GENAI_ISA_BEST, NULL);
    genai_model_desc d;
    genai_model     *m;
    size_t           l;
    for (l = 2; l < 5; l++) { d = small_desc(); d.loss = loss_names[l]; d.smoothing = 0.1f; refused(g, GENAI_ERROR_ARGUMENT, "smoothing", &d); }
    d = small_desc(); d.discriminator = "dense 4 | batchnorm | dense 1"; d.penalty = 10; refused(g, GENAI_ERROR_UNSUPPORTED, "batchnorm", &d); /* T09 */
    d.penalty = 0; d.r1 = 1; refused(g, GENAI_ERROR_UNSUPPORTED, "batchnorm", &d);
    d = desc_of(8, 8, 1); d.r1 = 1; d.discriminator = "maxpool 2 | dense 1"; refused(g, GENAI_ERROR_UNSUPPORTED, "maxpool", &d);
    d = small_desc(); d.r1 = 1; d.classes = 2; d.generator = "label | dense $D"; d.discriminator = "dense 4 | cbatchnorm | dense 1"; refused(g, GENAI_ERROR_UNSUPPORTED, "cbatchnorm", &d);
    d = small_desc(); d.loss = "wasserstein"; refused(g, GENAI_ERROR_ARGUMENT, "slope", &d);
    d.r1 = 1; refused(g, GENAI_ERROR_ARGUMENT, "slope", &d);
    d.discriminator = "dense 6 sn | lrelu 0.2 | dense 1"; m = genai_model_create(g, &d); CHECK(m != NULL, "%s", genai_ctx_error(g));
    memset(&d, 0, sizeof d); d.preset = "vaegan"; d.margin = 0.3f; d.loss = "hinge"; refused(g, GENAI_ERROR_ARGUMENT, "margin", &d);
    d = small_desc(); d.dropout = 0.5f; refused(g, GENAI_ERROR_ARGUMENT, "'dropout 0.5'", &d);
    d = small_desc(); d.minibatch_stddev = 1; refused(g, GENAI_ERROR_ARGUMENT, "'stddev'", &d);
    d = small_desc(); d.augment = "color trunslation"; refused(g, GENAI_ERROR_ARGUMENT, "'translation'", &d);
    d = small_desc(); d.discriminator = "dense 1"; d.feature_matching = 1; refused(g, GENAI_ERROR_SHAPE, "feature_matching", &d);
    d = small_desc(); d.smoothing = 0.7f; refused(g, GENAI_ERROR_ARGUMENT, "smoothing", &d);
    d = small_desc(); d.r1 = -0.5f; refused(g, GENAI_ERROR_ARGUMENT, "r1", &d);
    d = small_desc(); d.condition = "concat"; d.classes = 3; refused(g, GENAI_ERROR_ARGUMENT, "generator's text", &d);
    d.generator = "label | dense $D | tanh"; refused(g, GENAI_ERROR_ARGUMENT, "discriminator's text", &d);
    d.condition = "auxiliary"; refused(g, GENAI_ERROR_SHAPE, "'dense 4'", &d);
    d.condition = "auxilary"; refused(g, GENAI_ERROR_ARGUMENT, "'auxiliary'", &d);
    memset(&d, 0, sizeof d); d.preset = "vaegan"; d.loss = "relativistic"; refused(g, GENAI_ERROR_UNSUPPORTED, "relativistic", &d);
    memset(&d, 0, sizeof d); d.preset = "vaegan"; d.augment = "color"; refused(g, GENAI_ERROR_UNSUPPORTED, "augment", &d);
    memset(&d, 0, sizeof d); d.preset = "vae"; d.r1 = 1; refused(g, GENAI_ERROR_UNSUPPORTED, "r1", &d);
    genai_ctx_destroy(g);
}

/* --- everything at once --- */
static genai_model_desc everything(int which) {
    genai_model_desc d = desc_of(13, 10, 4);
    d.loss = which ? "relativistic" : "wasserstein";
    d.condition = which ? "projection" : "auxiliary";
    d.classes = 3;
    d.smoothing = which ? 0.1f : 0;
    d.r1 = 0.2f;
    d.r1_every = 2;
    d.penalty = 3;
    d.clip = 0.3f;
    d.spectral_norm = 1;
    d.minibatch_stddev = 1;
    d.dropout = 0.2f;
    d.augment = "color translation cutout";
    d.noise = 0.3f;
    d.noise_steps = 4;
    d.critic_steps = 2;
    d.feature_matching = 0.1f;
    d.ema = 0.5f;
    return d;
}
static void some_steps(genai_model *m, int n) {
    genai_losses v;
    for (; n > 0; n--) {
        fill(images, 5 * genai__pixels(m), (uint32_t)m->steps, 0, 1);
        CHECK(m && !genai_model_step(m, 5 - m->steps % 2, images, labels, &v) && !v.skipped, "%s", genai_ctx_error(m->ctx));
    }
}
static size_t state_of(const genai_model *m, unsigned char *to) { /* all values of all nets and moments of the optimisers */
    size_t n = 0;
    int    role, average, second;
    for (role = 0; role < GENAI__ROLES; role++)
        for (average = 0; average < 2; average++) {
            genai_net       *net = average ? m->average[role] : m->net[role];
            genai_optimizer *o = average ? NULL : m->optimizer[role];
            if (!net) continue;
            if (to) memcpy(to + n, net->values, net->size * sizeof(float));
            n += net->size * sizeof(float);
            if (to) memcpy(to + n, net->running, net->running_size * sizeof(float));
            n += net->running_size * sizeof(float);
            for (second = 0; second < 2 && o; second++) {
                float *moment[2];
                size_t count = genai__optimizer_state(o, 0, &moment[0], &moment[1]);
                if (to) memcpy(to + n, moment[second], count * sizeof(float));
                n += count * sizeof(float);
            }
        }
    return n;
}
static unsigned char *copy_of(const genai_model *m, size_t *n) {
    unsigned char *p = (unsigned char *)malloc(state_of(m, NULL));
    *n = state_of(m, p);
    return p;
}

static void test_everything(void) {
    static const struct { int threads; genai_isa isa; } other[] = {{1, GENAI_ISA_BEST}, {7, GENAI_ISA_BEST}, {2, GENAI_ISA_SCALAR}};
    const char *path = "test_gan.safetensors";
    int         which, k;
    for (which = 0; which < 2; which++) {
        allocations      a = {0};
        genai_ctx       *g = make_ctx(3, GENAI_ISA_BEST, &a);
        genai_model_desc d = everything(which);
        genai_model     *m = genai_model_create(g, &d);
        unsigned char   *straight, *resumed;
        size_t           n, same;
        long             calls;
        CHECK(m != NULL, "%s", genai_ctx_error(g));
        if (!m) return;
        some_steps(m, 9); /* with R1, with G, with a pass of the averaged G */
        calls = a.calls;
        some_steps(m, 1);
        CHECK(a.calls == calls, "%ld allocations after the first steps", a.calls - calls);
        CHECK(!genai_model_save_checkpoint(m, path), "%s", genai_ctx_error(g));
        calls = a.calls;
        some_steps(m, 8);
        CHECK(a.calls == calls, "%ld allocations after the first steps", a.calls - calls);
        straight = copy_of(m, &n);
        genai_model_destroy(m);
        m = genai_model_load(g, path);
        CHECK(m != NULL, "%s", genai_ctx_error(g));
        if (m) {
            some_steps(m, 8);
            resumed = copy_of(m, &same);
            CHECK(n == same && !memcmp(straight, resumed, n), "a resumed training ends elsewhere");
            free(resumed);
        }
        genai_ctx_destroy(g);
        CHECK(!a.live, "%ld blocks leaked", a.live);
        remove(path);
        for (k = 0; k < 3; k++) {
            g = make_ctx(other[k].threads, other[k].isa, NULL);
            m = genai_model_create(g, &d);
            some_steps(m, 18);
            resumed = copy_of(m, &same);
            CHECK(n == same && !memcmp(straight, resumed, n), "%d threads, %s: other bits", other[k].threads, genai_isa_name(genai_ctx_isa(g)));
            free(resumed);
            genai_ctx_destroy(g);
        }
        free(straight);
    }
}

/* Each loss and each condition with the standard nets, and a vaegan with what it may have. */
static void test_combinations(void) {
    genai_ctx *g = make_ctx(0, GENAI_ISA_BEST, NULL);
    int        l, k;
    fill(images, 4 * 64, 3, 0, 1);
    for (l = 0; l < 6; l++)
        for (k = 0; k < 4; k++) {
            genai_model_desc d = desc_of(8, 8, 1);
            genai_losses     v;
            genai_model     *m;
            d.loss = loss_names[l];
            d.condition = k == 0 ? "none" : k == 1 ? "concat" : k == 2 ? "projection" : "auxiliary";
            d.classes = k ? 3 : 0;
            if (k == 0) { d.preset = "vaegan"; if (l == 5) continue; }
            d.r1 = k == 1 ? 1.0f : 0;
            d.penalty = k == 2 || !k ? 10.0f : 0;
            d.dropout = k == 3 || !k ? 0.25f : 0;
            d.clip = k == 2 ? 0 : 0.1f;
            m = genai_model_create(g, &d);
            CHECK(m && !genai_model_step(m, 4, images, k ? labels : NULL, &v) && !v.skipped && !genai_model_step(m, 4, images, k ? labels : NULL, &v) && !v.skipped, "%s, %s: %s", d.loss, d.condition,
                  genai_ctx_error(g));
            genai_model_destroy(m);
            genai_ctx_clear(g);
        }
    genai_ctx_destroy(g);
}

int main(void) {
    test_losses();
    test_reported();
    test_batches();
    test_trajectory();
    test_critic_statistics();
    test_linear_critic();
    test_penalty_by_hand();
    test_penalty_differences();
    test_spectral_norm();
    test_r1_interval();
    test_clip();
    test_noise();
    test_augment_differences();
    test_augment_values();
    test_augment_sides();
    test_draws();
    test_feature_matching();
    test_conditions();
    test_standard();
    test_refused();
    test_combinations();
    test_everything();
    return CHECK_DONE("test_gan");
}
