/* What fit says about how a training fares: measures against closed forms on nets whose weights are set by hand, troubles made
 * on purpose and told once, metrics.csv, and that looking changes nothing. */
#define GENAI_IMPLEMENTATION
#define GENAI__POISON /* memory that was given back reads as NaN */
#include "../genai.h"
#include "check.h"

#define PIXELS 16 /* 4x4 grey */
#define IMAGES 32

/* --- contexts that count allocations and warnings --- */
static allocations heap;
static struct { int warnings; char last[512]; } heard;
static void hear(void *user, genai_log_level level, const char *text) {
    (void)user;
    if (level != GENAI_LOG_WARNING) return;
    if (strstr(text, "-O2")) return; /* compiled without */
    heard.warnings++;
    snprintf(heard.last, sizeof heard.last, "%s", text);
}

static genai_ctx *make_ctx(void) {
    genai_ctx_desc d = quiet_desc(5, 1, GENAI_ISA_BEST, &heap);
    d.log = hear;
    d.io = disk_io();
    memset(&heard, 0, sizeof heard);
    return genai_ctx_create(&d);
}

/* --- data and models --- */

/* IMAGES images, the first half of value a in every pixel, the other of b. */
static genai_dataset *two_kinds(genai_ctx *g, unsigned char a, unsigned char b) {
    unsigned char pixels[IMAGES * PIXELS];
    memset(pixels, a, sizeof pixels / 2);
    memset(pixels + sizeof pixels / 2, b, sizeof pixels / 2);
    return genai_dataset_memory(g, IMAGES, 4, 4, 1, pixels, NULL, NULL);
}

static int is_translator(const char *family) { return !strcmp(family, "translate") || !strcmp(family, "cycle"); }
/* The same for a family; those that turn images into images make b of a. */
static genai_dataset *data_of(genai_ctx *g, const char *family, unsigned char a, unsigned char b) {
    genai_dataset *data = two_kinds(g, a, b);
    return is_translator(family) ? genai_dataset_pairs(data, two_kinds(g, b, a), 1) : data;
}

/* Nets of one layer; lr is too small to move them. */
static genai_model_desc linear_desc(const char *family) {
    genai_model_desc d;
    memset(&d, 0, sizeof d);
    d.preset = family;
    d.width = d.height = 4;
    d.channels = 1;
    d.lr = d.lr_discriminator = 1e-12f;
    if (is_translator(family)) {
        d.generator = "conv 1 k1";
        d.discriminator = "dense 1";
        return d;
    }
    if (!strcmp(family, "vqvae")) {
        d.encoder = "conv 2 k1";
        d.decoder = "dense $D";
        d.code_size = 2;
        d.latent = 32;
        d.lr_discriminator = 0;
        return d;
    }
    d.latent = 3;
    if (!strcmp(family, "vae")) d.lr_discriminator = 0;
    if (!strcmp(family, "gan")) d.generator = "dense $D | tanh";
    else d.decoder = strcmp(family, "aae") ? "dense $D | sigmoid" : "dense $D";
    if (strcmp(family, "gan")) d.encoder = strcmp(family, "aae") ? "dense 2*$Z" : "dense $Z";
    if (strcmp(family, "vae")) d.discriminator = "dense 1";
    if (strcmp(family, "gan")) d.likelihood = "mse";
    return d;
}
/* A dense layer's weights [in,out] and biases [out], also of the averaged copy. */
static void set(genai_model *m, int role, float weight, float bias) {
    genai_net *nets[2];
    size_t     i;
    int        k;
    nets[0] = m->net[role];
    nets[1] = m->average[role];
    for (k = 0; k < 2 && nets[k]; k++) {
        genai_tensor *w = nets[k]->layer[0].parameter[0], *b = nets[k]->layer[0].parameter[1];
        for (i = 0; i < w->count; i++) w->data[i] = weight;
        for (i = 0; i < b->count; i++) b->data[i] = bias;
    }
    m->ctx->changes++;
}

typedef struct seen { genai_health health; float kl[16]; long first_told, calls; } seen;
static int rest; /* 1: after the first step nobody judges */
static int look(void *user, const genai_progress *p) {
    seen *s = (seen *)user;
    if (p->health.told & ~s->health.told) s->first_told = p->step;
    s->health = p->health;
    if (p->health.kl) memcpy(s->kl, p->health.kl, (size_t)p->health.latents * sizeof(float));
    if (p->step == 251 && !p->finished) s->calls = heap.calls;
    if (p->step == 801 && !p->finished) s->calls = heap.calls - s->calls;
    if (rest) p->model->desc.vae_steps = 10;
    return 0;
}
static seen fit(genai_model *m, genai_dataset *data, long steps, int batch, const char *out, long sample_every) {
    genai_fit_desc f;
    seen           s;
    memset(&f, 0, sizeof f);
    memset(&s, 0, sizeof s);
    f.steps = steps;
    f.batch = batch;
    f.on_step = look;
    f.user = &s;
    f.out = out;
    f.sample_every = sample_every;
    f.checkpoint_every = 1000000;
    CHECK(m && !genai_model_fit(m, data, &f), "%s", m ? genai_ctx_error(m->ctx) : "no model");
    return s;
}
static int hear_measure(void *user, const genai_progress *p) {
    if (p->measure) *(double *)user = !strcmp(p->measure, "test squared error + KL") ? p->value : -1;
    return 0;
}
static int close_to(double x, double y) { return fabs(x - y) <= 1e-5 * (1 + fabs(y)); }

/* --- balance, by the logit's sign: of 32 real images half are white, half black, all 32 made ones black; logit = sum + b --- */
static void test_balance(void) {
    static const struct { const char *loss; float w, b; double balance; } cases[] = {
        {"nonsaturating", 1, 0, 0.75}, {"nonsaturating", 1, 15, 0.75}, {"nonsaturating", 1, 17, 0.5}, {"nonsaturating", -1, 0, 0.25}, {"nonsaturating", 0, 1, 0.5},
        {"minimax", 1, 0, 0.75}, {"hinge", 1, 0, 0.75}, {"lsgan", 0.025f, 0, 0.5}, {"lsgan", 0.05f, 0, 0.75}, {"relativistic", 1, 100, 0.75}, {"wasserstein", 1, 0, -1},
    };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        genai_ctx       *g = make_ctx();
        genai_model_desc d = linear_desc("gan");
        genai_model     *m;
        seen             s;
        d.loss = cases[i].loss;
        if (cases[i].balance < 0) d.clip = 100;
        m = genai_model_create(g, &d);
        set(m, GENAI__GENERATOR, 0, -50);
        set(m, GENAI__DISCRIMINATOR, cases[i].w, cases[i].b);
        s = fit(m, two_kinds(g, 255, 0), 1, IMAGES, NULL, 0);
        CHECK(close_to((double)s.health.balance, cases[i].balance), "%s, case %d: %g of the images", cases[i].loss, (int)i, (double)s.health.balance);
        genai_ctx_destroy(g);
    }
    { /* two batches of made images: black reconstructions and samples */
        genai_ctx       *g = make_ctx();
        genai_model_desc d = linear_desc("vaegan");
        genai_model     *m = genai_model_create(g, &d);
        seen             s;
        set(m, GENAI__DECODER, 0, -50);
        set(m, GENAI__DISCRIMINATOR, 1, -1); /* pixels in [0,1] */
        s = fit(m, two_kinds(g, 255, 0), 1, IMAGES, NULL, 0);
        CHECK(close_to((double)s.health.balance, 5.0 / 6), "vaegan: %g of the images", (double)s.health.balance);
        rest = 1;
        s = fit(m, two_kinds(g, 255, 0), 3, IMAGES, NULL, 0);
        rest = 0;
        CHECK(s.health.balance < 0, "vaegan without judging: %g", (double)s.health.balance);
        genai_ctx_destroy(g);
    }
    { /* a vae has none */
        genai_ctx       *g = make_ctx();
        genai_model_desc d = linear_desc("vae");
        seen             s = fit(genai_model_create(g, &d), two_kinds(g, 255, 0), 1, IMAGES, NULL, 0);
        CHECK(s.health.balance < 0, "vae: %g", (double)s.health.balance);
        genai_ctx_destroy(g);
    }
}

/* --- gradient norms: a discriminator w.x with w = 0, real images white (1), made ones black (-1): d loss / d w = -1 each --- */
static void test_norms(void) {
    genai_ctx       *g = make_ctx();
    genai_model_desc d = linear_desc("gan");
    genai_model     *m;
    seen             s;
    d.clip_norm = 0.5f; /* the norm is that before clipping */
    m = genai_model_create(g, &d);
    set(m, GENAI__GENERATOR, 0, -50);
    set(m, GENAI__DISCRIMINATOR, 0, 0);
    s = fit(m, two_kinds(g, 255, 255), 1, IMAGES, NULL, 0);
    CHECK(s.health.norms == 2 && !strcmp(s.health.norm_name[0], "generator") && !strcmp(s.health.norm_name[1], "discriminator"), "%d norms", s.health.norms);
    CHECK(close_to((double)s.health.norm[1], 4), "norm %g of the discriminator's gradient", (double)s.health.norm[1]);
    CHECK(s.health.norm[0] == genai_optimizer_norm(m->optimizer[GENAI__GENERATOR]), "norm %g of the generator's", (double)s.health.norm[0]);
    d = linear_desc("aae");
    m = genai_model_create(g, &d);
    s = fit(m, two_kinds(g, 255, 255), 1, IMAGES, NULL, 0);
    CHECK(s.health.norms == 3 && !strcmp(s.health.norm_name[2], "encoder") && s.health.norm[2] > 0, "aae: %d norms", s.health.norms);
    genai_ctx_destroy(g);
}

/* --- KL and activity: means w x_0 and biases, log-variances by hand; x_0 is 0 or 1, of variance 1/4 n/(n-1) over the images --- */
static void test_posterior(void) {
    genai_ctx       *g = make_ctx();
    genai_model_desc d = linear_desc("vae");
    genai_dataset   *data = two_kinds(g, 255, 0);
    genai_model     *m = genai_model_create(g, &d);
    genai_tensor    *w = m->net[GENAI__ENCODER]->layer[0].parameter[0], *b = m->net[GENAI__ENCODER]->layer[0].parameter[1];
    seen             s;
    int              i;
    set(m, GENAI__ENCODER, 0, 0);
    w->data[1] = 0.21f; /* of pixel 0: w is [16,6], three means and three log-variances; variance 0.0114 */
    b->data[0] = 2;     /* a constant mean costs 2 nats and says nothing */
    b->data[5] = 1;     /* log-variance 1 */
    w->data[2] = 0.19f; /* variance 0.0093 */
    m->ctx->changes++;
    s = fit(m, data, 1, IMAGES, NULL, 0);
    CHECK(s.health.measured == 1 && s.health.latents == 3 && s.health.active == 1, "%d of %d latents are active", s.health.active, s.health.latents);
    CHECK(close_to((double)s.kl[0], 2), "KL %g, not 2", (double)s.kl[0]);
    CHECK(close_to((double)s.kl[1], 0.5 * (0.19 * 0.19 / 2 + exp(1.0) - 1 - 1)), "KL %g", (double)s.kl[1]);
    CHECK(close_to((double)s.kl[2], 0.5 * 0.21 * 0.21 / 2), "KL %g", (double)s.kl[2]);
    w->data[1] = 0.5f;
    w->data[2] = 0.5f;
    m->ctx->changes++;
    s = fit(m, data, 2, IMAGES, NULL, 0);
    CHECK(s.health.active == 2 && heard.warnings == 0, "%d latents are active", s.health.active);
    for (i = 0; i < 2; i++) { /* no posterior */
        d = linear_desc(i ? "gan" : "vae");
        if (!i) { d.beta = GENAI_ZERO; d.encoder = "dense $Z"; }
        s = fit(genai_model_create(g, &d), data, 1, IMAGES, NULL, 0);
        CHECK(s.health.latents < 0 && s.health.active < 0 && !s.health.kl && (s.health.diversity >= 0) == i && (s.health.saturated >= 0) == i, "a posterior in a %s without", d.preset);
    }
    d = linear_desc("vae"); /* a plain autoencoder, whose samples mean something once they come from where its latents are */
    d.beta = GENAI_ZERO;
    d.encoder = "dense $Z";
    d.sampler = "gaussian";
    s = fit(genai_model_create(g, &d), data, 1, IMAGES, NULL, 0);
    CHECK(s.health.diversity > 0 && s.health.saturated >= 0, "diversity %g with a sampler", (double)s.health.diversity);
    genai_ctx_destroy(g);
}

/* --- diversity: images 0.5 + 0.05 z_0 + ... against images of 0 and 1; saturation --- */
static void test_diversity(void) {
    genai_ctx       *g = make_ctx();
    genai_model_desc d = linear_desc("gan");
    genai_model     *m;
    seen             s;
    float            z[64 * 3];
    double           mean = 0, squares = 0;
    int              i;
    d.generator = "dense $D"; /* 2 pixel - 1 */
    m = genai_model_create(g, &d);
    set(m, GENAI__GENERATOR, 0.1f, 0);
    s = fit(m, two_kinds(g, 255, 0), 1, IMAGES, NULL, 0);
    genai_model_latents(m, 0, 64, z);
    for (i = 0; i < 192; i++) mean += (double)z[i] / 64;
    for (i = 0; i < 64; i++) {
        double sum = (double)z[3 * i] + (double)z[3 * i + 1] + (double)z[3 * i + 2] - mean;
        squares += 0.0025 * sum * sum / 63;
    }
    CHECK(close_to((double)s.health.diversity, squares / (0.25 * 32 / 31)), "diversity %g, not %g", (double)s.health.diversity, squares / (0.25 * 32 / 31));
    CHECK(s.health.saturated == 0, "%g saturated", (double)s.health.saturated);
    set(m, GENAI__GENERATOR, 0, 0.993f);
    s = fit(m, two_kinds(g, 255, 0), 2, IMAGES, NULL, 0);
    CHECK(s.health.diversity == 0 && s.health.saturated == 1, "%g, saturated %g", (double)s.health.diversity, (double)s.health.saturated);
    set(m, GENAI__GENERATOR, 0, 0.991f);
    s = fit(m, two_kinds(g, 128, 128), 3, IMAGES, NULL, 0);
    CHECK(s.health.diversity < 0 && s.health.saturated == 0, "%g of data all alike; saturated %g", (double)s.health.diversity, (double)s.health.saturated);
    genai_ctx_destroy(g);
}

/* --- troubles, made on purpose; each is told once, at its time, and no other --- */
typedef struct trouble { const char *family; float g, gb, e, d; const char *set, *value; int told; long at; const char *says, *not_this; } trouble;
static void test_troubles(void) {
    static const trouble cases[] = {
        /* family, the painter's weights and biases, the encoder's weights (gan: the discriminator's biases), the discriminator's */
        {"gan", 0.01f, 0, 0, 0, NULL, NULL, GENAI_TROUBLE_COLLAPSED, 400, "try r1 1, augment 'translation cutout', minibatch_stddev 1, a lower lr or another seed", "saturated"},
        {"gan", 0.01f, 0, 0, 0, "r1", "5", GENAI_TROUBLE_COLLAPSED, 400, "collapsed; try augment", "r1"},
        {"gan", 1, 0, 0, 0, NULL, NULL, 0, 0, NULL, NULL}, /* a generator as diverse as need be */
        {"vaegan", 0.01f, 0, 0.1f, 0, NULL, NULL, GENAI_TROUBLE_COLLAPSED, 400, "the decoder has collapsed", "augment"},
        {"vae", 0.01f, 0, 0.1f, 0, NULL, NULL, 0, 0, NULL, NULL}, /* whose samples are alike for other reasons */
        {"gan", 1000, 0, 0, 0, NULL, NULL, GENAI_TROUBLE_SATURATED, 400, "of the data's only 0 %: the generator is saturated and learns little; try a lower lr, clip_norm 1 or", "collapsed"},
        {"vae", 0, -50, 0.1f, 0, "beta", "0", 0, 0, NULL, NULL}, /* from the prior, which isn't its own */
        {"vae", 0, -50, 0.1f, 0, NULL, NULL, GENAI_TROUBLE_SATURATED, 400, "the decoder is saturated", "collapsed"},
        {"vae", 1, 0, 0, 0, NULL, NULL, GENAI_TROUBLE_IGNORED, 400, "none of the 3 latents", "saturated"},
        {"vae", 1, 0, 0, 0, "beta_warmup", "400", GENAI_TROUBLE_IGNORED, 600, "try a lower beta or free_bits 0.1", "beta_warmup"},
        {"vae", 1, 0, 0, 0, "beta_warmup", "900", 0, 0, NULL, NULL}, /* still rising */
        {"vae", 1, 0, 0, 0, "free_bits", "0.1", GENAI_TROUBLE_IGNORED, 400, "try a lower beta or beta_warmup 1000", "free_bits"},
        {"gan", 0.3f, -2, 0, 9, NULL, NULL, GENAI_TROUBLE_OVERRULED, 459, "try a lower lr_discriminator, r1 1, augment 'translation cutout' or more data", "collapsed"},
        {"gan", 0.3f, -2, 0, 9, "loss", "lsgan", 0, 0, NULL, NULL}, /* right, but far from 0 and 1 */
        {"gan", 0.3f, -2, 0.5f, 0.03125f, "loss", "lsgan", GENAI_TROUBLE_OVERRULED, 459, "the generator learns little", "collapsed"}, /* about 1 and 0 */
        {"gan", 0.3f, -2, 0, 9, "loss", "hinge", GENAI_TROUBLE_OVERRULED, 459, "has told 99.5 % of the images rightly", "collapsed"}, /* beyond both margins */
        {"gan", 0.3f, -2, 0, 0.01f, "loss", "hinge", 0, 0, NULL, NULL}, /* right, but within them */
        {"gan", 0.3f, -2, 0, 9, "loss", "relativistic", GENAI_TROUBLE_OVERRULED, 459, "has told 99.5 % of the images rightly", "collapsed"},
        {"aae", 0.01f, 0.5f, 0.1f, 0, NULL, NULL, GENAI_TROUBLE_COLLAPSED, 400, "the decoder has collapsed; try r1 1, a lower lr or another seed", "augment"},
        {"aae", 1, 0, 9, 9, NULL, NULL, GENAI_TROUBLE_OVERRULED, 459, "the encoder learns little from it; try a lower lr_discriminator, r1 1 or more data", "augment"},
        {"translate", 0.01f, 0, 0, 0, NULL, NULL, GENAI_TROUBLE_COLLAPSED, 400, "the translations are nearly alike (diversity 0.0001 of the data's): the generator", "augment"},
        {"translate", -0.5f, 0, 0, 0, NULL, NULL, 0, 0, NULL, NULL},
        {"translate", 1000, 0, 0, 0, NULL, NULL, GENAI_TROUBLE_SATURATED, 400, "100 % of the translations' pixel values", "alike"},
        {"cycle", 0.01f, 0, 0, 0, NULL, NULL, GENAI_TROUBLE_COLLAPSED, 400, "the translations are nearly alike", "augment"},
        {"vqvae", 0, 0.5f, 0, 0, NULL, NULL, GENAI_TROUBLE_IGNORED, 300, "for nearly all (perplexity 1): the encoder gives the same vectors for all images; try a lower beta or a lower lr", "free_bits"},
        {"vqvae", 0.01f, 0.5f, 0.1f, 0, NULL, NULL, 0, 0, NULL, NULL}, /* a code for each kind of image */
    };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        const trouble   *t = &cases[i];
        genai_ctx       *g = make_ctx();
        genai_model_desc d = linear_desc(t->family);
        genai_model     *m;
        genai_dataset   *data;
        seen             s;
        if (t->set) genai_model_set(g, &d, t->set, t->value);
        if (d.beta < 0) d.encoder = "dense $Z";
        m = genai_model_create(g, &d);
        data = data_of(g, t->family, t->d != 0 ? 250 : 60, t->d != 0 ? 240 : 190);
        set(m, m->family->painter, t->g, t->gb);
        if (m->net[GENAI__ENCODER]) set(m, GENAI__ENCODER, t->e, 0);
        if (m->net[GENAI__DISCRIMINATOR]) set(m, GENAI__DISCRIMINATOR, t->d, strcmp(t->family, "gan") ? 0 : t->e);
        if (!strcmp(t->family, "aae") && t->d != 0) { /* latents near -100, which the discriminator knows for certain from the prior's */
            set(m, GENAI__ENCODER, 0, -100);
            set(m, GENAI__DISCRIMINATOR, 9, 90);
        }
        s = fit(m, data, 1000, 8, t->at == 459 ? NULL : "run", 100);
        CHECK(s.health.told == t->told && heard.warnings == (t->told != 0), "case %d, %s: told %d in %d warnings: %s", (int)i, t->family, s.health.told, heard.warnings, heard.last);
        CHECK(!t->told || (strstr(heard.last, t->says) && !strstr(heard.last, t->not_this)), "case %d, %s: %s", (int)i, t->family, heard.last);
        CHECK(labs(s.first_told - t->at) <= 3 || !t->told, "case %d, %s: told at step %ld, not %ld", (int)i, t->family, s.first_told, t->at);
        genai_ctx_destroy(g);
        disk_clear();
    }
}

static void test_codes(void) { /* counted through the steps at which pictures are made */
    genai_ctx       *g = make_ctx();
    genai_model_desc d = linear_desc("vqvae");
    genai_dataset   *data = two_kinds(g, 60, 190);
    genai_model     *m = genai_model_create(g, &d);
    seen             s;
    set(m, GENAI__DECODER, 0, 0.5f);
    set(m, GENAI__ENCODER, 0, 0);
    m->steps = 350;
    s = fit(m, data, 700, 8, "run", 100);
    CHECK(s.health.told == GENAI_TROUBLE_IGNORED && s.first_told == 650, "told %d, first at step %ld", s.health.told, s.first_told);
    genai_ctx_destroy(g);
    disk_clear();
}

/* --- metrics.csv: as many fields in each row as in the header, also after a resume; health where it was measured --- */
static int fields(const char *from, const char *end) {
    int n = 1;
    for (; from < end; from++) n += *from == ',';
    return n;
}
static const char *field(const char *row, int k) {
    for (; k; k--) row = strchr(row, ',') + 1;
    return row;
}
static void test_rows(void) {
    static const struct { const char *family, *columns; } cases[] = {
        {"gan", ",measure,balance,norm_generator,norm_discriminator,diversity,saturated\n"},
        {"vae", ",measure,norm_encoder,diversity,saturated,active,kl_latents\n"},
        {"translate", ",measure,balance,norm_generator,norm_discriminator,diversity,saturated\n"},
        {"vaegan", ",measure,balance,norm_discriminator,norm_encoder,diversity,saturated,active,kl_latents\n"},
    };
    size_t i;
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        genai_ctx       *g = make_ctx();
        genai_model_desc d = linear_desc(cases[i].family);
        genai_dataset   *data = data_of(g, cases[i].family, 255, 0);
        genai_model     *m = genai_model_create(g, &d);
        const char      *text, *end, *row;
        memory_file     *csv;
        int              columns, rows = 0;
        fit(m, data, 4, 8, "run", 3);
        genai_model_destroy(m);
        m = genai_model_load(g, "run/checkpoint.safetensors");
        fit(m, data, 7, 8, "run", 3);
        csv = disk_find("run/metrics.csv");
        CHECK(csv, "no metrics.csv");
        if (!csv) continue;
        text = (const char *)csv->p;
        end = strchr(text, '\n');
        CHECK(!strncmp(end + 1 - strlen(cases[i].columns), cases[i].columns, strlen(cases[i].columns)), "columns %.*s", (int)(end - text), text);
        columns = fields(text, end);
        for (row = end + 1; *row; row = end + 1, rows++) {
            int wanted, last = columns - 1, first = strchr(cases[i].family, 'v') ? last - 3 : last - 1;
            end = strchr(row, '\n');
            wanted = rows + 1 == 3 || rows + 1 == 4 || rows + 1 == 6 || rows + 1 == 7; /* pictures, and the ends of both runs */
            CHECK(fields(row, end) == columns, "%s: %d fields of %d: %.*s", cases[i].family, fields(row, end), columns, (int)(end - row), row);
            CHECK((*field(row, first) != ',') == wanted && (field(row, last) != end) == wanted, "%s: row %.*s", cases[i].family, (int)(end - row), row);
            if (wanted && first < last - 1) {
                double a = -1, b = -1, c = -1;
                CHECK(sscanf(field(row, last), "%lf %lf %lf\n", &a, &b, &c) == 3 && a >= b && b >= c && c >= 0, "KL %s", field(row, last));
            }
        }
        CHECK(rows == 7, "%d rows", rows);
        genai_ctx_destroy(g);
        disk_clear();
    }
}

static void test_row_of_occasion(void) { /* where there would be none */
    genai_ctx       *g = make_ctx();
    genai_model_desc d = linear_desc("vae");
    const char      *text;
    fit(genai_model_create(g, &d), two_kinds(g, 255, 0), 107, 8, "run", 103);
    text = disk_find("run/metrics.csv") ? (const char *)disk_find("run/metrics.csv")->p : "";
    CHECK(strstr(text, "\n103,") && strstr(text, "\n107,") && !strstr(text, "\n106,"), "rows %s", text);
    genai_ctx_destroy(g);
    disk_clear();
}

/* --- looking changes nothing: equal checkpoints with pictures at each step, at few, and with other health --- */
static void test_same_bits(void) {
    static const char *const families[] = {"gan", "vae", "vaegan", "aae", "vqvae"};
    size_t i;
    int    k;
    for (i = 0; i < sizeof families / sizeof *families; i++) {
        char  *first = NULL;
        size_t n = 0;
        for (k = 0; k < 3; k++) {
            genai_ctx         *g = make_ctx();
            genai_model_desc   d;
            genai_dataset_desc dd;
            genai_dataset     *data;
            memory_file       *file;
            memset(&d, 0, sizeof d);
            memset(&dd, 0, sizeof dd);
            dd.width = dd.height = 8;
            dd.channels = 1;
            data = genai_dataset_sprites(g, 40, &dd);
            d.preset = families[i];
            d.data = data;
            if (strcmp(families[i], "vqvae")) d.latent = 4;
            if (!i) d.discriminator = "conv 8 k4 s2 sn | lrelu 0.2 | dropout 0.3 | stddev | flatten | dense 1 sn";
            fit(genai_model_create(g, &d), data, 5, 8, "run", k == 0 ? 1 : k == 1 ? 3 : 1000);
            file = disk_find("run/checkpoint.safetensors");
            CHECK(file, "no checkpoint");
            if (!k && file) {
                n = file->n;
                first = (char *)malloc(n);
                memcpy(first, file->p, n);
            }
            CHECK(k == 0 || (file && n == file->n && !memcmp(first, file->p, n)), "%s: pictures at other steps give another model", families[i]);
            genai_ctx_destroy(g);
            disk_clear();
        }
        free(first);
    }
}

/* --- nothing is allocated after the first time --- */
static void test_no_allocation(void) {
    static const char *const families[] = {"gan", "vae", "vaegan", "aae", "translate", "cycle"};
    size_t i;
    for (i = 0; i < sizeof families / sizeof *families; i++) {
        genai_ctx       *g = make_ctx();
        genai_model_desc d = linear_desc(families[i]);
        seen             s = fit(genai_model_create(g, &d), data_of(g, families[i], 255, 0), 802, 8, NULL, 0);
        CHECK(s.calls == 0, "%s: %ld allocations after the first time", families[i], s.calls);
        genai_ctx_destroy(g);
    }
}

/* --- images into images: pictures of translations, the balance; diversity of y = x/2 against targets, which vary as x does --- */
static void test_translate(void) {
    static const char *const families[] = {"translate", "cycle"};
    size_t i;
    for (i = 0; i < sizeof families / sizeof *families; i++) {
        genai_ctx       *g = make_ctx();
        genai_dataset   *data = genai_dataset_pairs(two_kinds(g, 200, 0), two_kinds(g, 0, 100), 1);
        genai_model_desc d = linear_desc(families[i]);
        genai_model     *m = genai_model_create(g, &d);
        seen             s;
        set(m, GENAI__GENERATOR, 0.5f, -0.25f);
        s = fit(m, data, 2, 8, "run", 0);
        CHECK(disk_find("run/samples/step-000002" GENAI__PICTURE), "%s: no picture", families[i]);
        CHECK(s.health.balance >= 0 && s.health.latents < 0, "%s: balance %g", families[i], (double)s.health.balance);
        CHECK(close_to((double)s.health.diversity, 1) && s.health.saturated == 0, "%s: diversity %g", families[i], (double)s.health.diversity);
        genai_ctx_destroy(g);
        disk_clear();
    }
}

/* --- the test set that fit is given is the one that is measured, not the data's own --- */
static void test_test_set(void) {
    genai_ctx         *g = make_ctx();
    genai_model_desc   d = linear_desc("vae");
    genai_model       *m = genai_model_create(g, &d);
    genai_dataset_desc dd;
    genai_dataset     *data, *given = two_kinds(g, 10, 20);
    genai_fit_desc     f;
    unsigned char      pixels[IMAGES * PIXELS];
    double             own = 0, other = 0, told = 0;
    const char        *name;
    memset(&dd, 0, sizeof dd);
    memset(&f, 0, sizeof f);
    memset(pixels, 255, sizeof pixels);
    dd.holdout = 0.25f;
    data = genai_dataset_memory(g, IMAGES, 4, 4, 1, pixels, NULL, &dd);
    f.epochs = 1;
    f.on_step = hear_measure;
    f.user = &told;
    CHECK(!genai_model_evaluate(m, genai_dataset_test(data), &name, &own) && !genai_model_evaluate(m, given, &name, &other) && fabs(own - other) > 0.1, "%g and %g", own, other);
    CHECK(!genai_model_fit(m, data, &f) && close_to(told, own), "without one: %g, not %g", told, own);
    f.test = given;
    f.epochs = 2;
    CHECK(!genai_model_fit(m, data, &f) && close_to(told, other), "with one: %g, not %g", told, other);
    genai_ctx_destroy(g);
}

int main(void) {
    test_balance();
    test_norms();
    test_posterior();
    test_diversity();
    test_troubles();
    test_codes();
    test_rows();
    test_row_of_occasion();
    test_same_bits();
    test_no_allocation();
    test_translate();
    test_test_set();
    return CHECK_DONE("test_health");
}
