/* A variational autoencoder (Kingma and Welling 2014) in a loop of one's own: nets, ops and an optimiser, no genai_model.
 *   cc -O2 -I. examples/custom_loop.c -o custom_loop -lm
 *   ./custom_loop [PATH]     PATH: an IDX file or a folder of images; without it the built-in sprites
 * Writes custom_loop.png: one row of images, one of their reconstructions, six of samples. */
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#define GENAI_IMPLEMENTATION
#include "genai.h"
#include <stdio.h>
#include <string.h>

enum { SIDE = 16, CHANNELS = 3, PIXELS = SIDE * SIDE * CHANNELS, BATCH = 64, Z = 32, STEPS = 2000 };

static genai_net *net(genai_ctx *g, const char *name, const char *text, int ndim, int d0, int d1, int d2) {
    return genai_net_create(g, &(genai_net_desc){ .name = name, .text = text, .ndim = ndim, .dim = { d0, d1, d2 } });
}

/* q(z|x): mean and log-variance of each latent. */
static void encode(genai_net *encoder, genai_tensor *x, genai_mode mode, genai_tensor **mean, genai_tensor **log_var) {
    genai_tensor *h = genai_net_forward(encoder, x, mode);
    *mean    = genai_slice(h, 1, 0, Z);
    *log_var = genai_slice(h, 1, Z, Z);
}

int main(int argc, char **argv) {
    static float       images[BATCH * PIXELS];
    genai_ctx         *g    = genai_ctx_create(&(genai_ctx_desc){ .seed = 7 });
    genai_dataset_desc size = { .width = SIDE, .height = SIDE, .channels = CHANNELS };
    genai_dataset     *data = argc > 1 ? genai_dataset_open(g, argv[1], &size) : genai_dataset_sprites(g, 4096, &size);
    size_t per_epoch = genai_dataset_describe(data).count / BATCH;
    if (!per_epoch && data) fprintf(stderr, "%s: fewer than %d images\n", argv[1], BATCH);

    genai_net *encoder = net(g, "encoder", "conv 32 k4 s2 | batchnorm | lrelu 0.2 | conv 64 k4 s2 | batchnorm | lrelu 0.2 | dense 64",
                             3, SIDE, SIDE, CHANNELS);
    genai_net *decoder = net(g, "decoder", "dense 4*4*64 | reshape 4x4x64 | batchnorm | relu | convt 32 k4 s2 | batchnorm | relu | "
                             "convt 3 k4 s2", 1, Z, 0, 0); /* logits: a sigmoid makes pixels of them */
    genai_optimizer *adam = genai_optimizer_create(g, &(genai_optimizer_desc){ .lr = 1e-3f });
    genai_optimizer_add(adam, encoder, 1);
    genai_optimizer_add(adam, decoder, 1);

    for (size_t step = 0; per_epoch && step < STEPS && !genai_ctx_result(g); step++) {
        genai_tensor *x, *mean, *log_var, *z, *y, *reconstruction, *kl;
        genai_dataset_batch(data, (long)(step / per_epoch), step % per_epoch * BATCH, BATCH, images, NULL);
        x = genai_tensor_of(g, 4, (int[]){ BATCH, SIDE, SIDE, CHANNELS }, images);
        encode(encoder, x, GENAI_TRAIN, &mean, &log_var);
        z = genai_random_normal(g, 2, (int[]){ BATCH, Z });
        z = genai_add(mean, genai_mul(genai_exp(genai_scale(log_var, 0.5f, 0)), z));    /* reparameterised, section 2.4 */
        y = genai_net_forward(decoder, z, GENAI_TRAIN);
        reconstruction = genai_bce_loss(y, x, 0);                                       /* -log p(x|z), Bernoulli      */
        kl             = genai_kl_loss(mean, log_var);                                  /* appendix B                  */
        genai_optimizer_zero(adam);
        genai_backward(genai_add(reconstruction, kl));
        genai_optimizer_step(adam);
        if (step % 200 == 199)
            printf("step %d  reconstruction %.1f  kl %.1f\n", (int)step + 1, (double)genai_value(reconstruction), (double)genai_value(kl));
        genai_tape_release(g, 0);
    }

    /* The picture: recording off, running statistics. */
    genai_tensor *mean, *log_var, *y;
    genai_recording(g, 0);
    genai_dataset_batch(data, -1, 0, 8, images, NULL);
    encode(encoder, genai_tensor_of(g, 4, (int[]){ 8, SIDE, SIDE, CHANNELS }, images), GENAI_EVAL, &mean, &log_var);
    y = genai_concat(mean, genai_random_normal(g, 2, (int[]){ 48, Z }), 0);
    y = genai_sigmoid(genai_net_forward(decoder, y, GENAI_EVAL));
    if (y) memcpy(images + 8 * PIXELS, y->data, y->count * sizeof(float));
    if (per_epoch) genai_image_save_grid(g, "custom_loop.png", BATCH, 8, SIDE, SIDE, CHANNELS, images);

    int failed = genai_ctx_report(g) || !per_epoch;
    genai_ctx_destroy(g);
    if (!failed) printf("custom_loop.png: images, their reconstructions, samples\n");
    return failed;
}
