/* A GAN on handwritten digits.
 *   cc -O2 -I. examples/gan_mnist.c -o gan_mnist -lm
 *   ./gan_mnist [FOLDER]     the folder with MNIST's train-images-idx3-ubyte; else $GENAI_DATA/mnist, else
 *                            ../shared/data/mnist; and if there is none, built-in sprites, in grey
 * Writes gan_mnist.png and gan_mnist.safetensors. A minute on two free cores gives the first digits; MINUTES for more. */
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#define GENAI_IMPLEMENTATION
#include "genai.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MINUTES 1

/* The folder with MNIST, or NULL. */
static const char *find_mnist(int argc, char **argv) {
    static char path[1000];
    const char *root = getenv("GENAI_DATA");
    FILE       *file;
    if (argc > 1) return argv[1];
    snprintf(path, sizeof path, "%s/mnist/train-images-idx3-ubyte", root ? root : "../shared/data");
    file = fopen(path, "rb");
    if (!file) return NULL;
    fclose(file);
    *strrchr(path, '/') = 0;
    return path;
}

/* One line every ten seconds. */
static int progress(void *next, const genai_progress *p) {
    if (p->seconds < *(double *)next && !p->finished) return 0;
    *(double *)next += 10;
    printf("step %ld, %.0f images a second:", p->step, p->images_per_s);
    for (int i = 0; i < p->losses->count; i++) printf("  %s %.3f", p->losses->name[i], (double)p->losses->value[i]);
    printf("\n");
    fflush(stdout);
    return 0;
}

int main(int argc, char **argv) {
    genai_ctx         *g     = genai_ctx_create(&(genai_ctx_desc){ .seed = 7 });
    const char        *mnist = find_mnist(argc, argv);
    genai_dataset_desc grey  = { .width = 28, .height = 28, .channels = 1 };
    genai_dataset     *data  = mnist ? genai_dataset_open(g, mnist, &grey) : genai_dataset_sprites(g, 8192, &grey);
    double             next  = 10;
    printf("training on %s, 28x28, grey\n", mnist ? mnist : "built-in sprites, since no MNIST was found");

    genai_model_desc desc = { .preset = "gan", .data = data, .latent = 64, .lr = 5e-4f, .ema = 0.99f };
    desc.generator     = "dense $H/4*$W/4*64 nobias | reshape $H/4x$W/4x64 | batchnorm | relu | convt 32 k4 s2 | batchnorm | relu | "
                         "convt 1 k4 s2 | tanh"; /* half as wide as the preset's own nets, and several times as fast */
    desc.discriminator = "conv 32 k4 s2 | lrelu 0.2 | conv 64 k4 s2 | lrelu 0.2 | flatten | dense 1";
    genai_model *model = genai_model_create(g, &desc);
    genai_model_fit(model, data, &(genai_fit_desc){ .minutes = MINUTES, .on_step = progress, .user = &next });
    genai_model_sample_grid(model, "gan_mnist.png", 8, 8);
    genai_model_save(model, "gan_mnist.safetensors");

    int failed = genai_ctx_report(g);
    genai_ctx_destroy(g);
    if (!failed) printf("gan_mnist.png: 64 samples; gan_mnist.safetensors: the model\n");
    return failed;
}
