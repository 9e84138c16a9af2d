/* The smallest program: sprites in, a picture and a model out. In the repository's root:
 *   cc -O2 -I. examples/hello.c -o hello -lm
 *   ./hello          built-in sprites, 16x16; under a minute on two cores
 *   ./hello PATH     your own: a folder of images, MNIST, CIFAR-10
 * Writes samples.png and sprites.safetensors. It needs stb (Debian: libstb-dev). */
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#define GENAI_IMPLEMENTATION
#include "genai.h"

int main(int argc, char **argv) {
    genai_ctx     *g     = genai_ctx_create(&(genai_ctx_desc){ .seed = 7 });
    genai_dataset *data  = argc > 1 ? genai_dataset_open(g, argv[1], NULL)      /* IDX, CIFAR-10, folder of images */
                                    : genai_dataset_sprites(g, 4096, &(genai_dataset_desc){ .width = 16 }); /* built in */
    genai_model   *model = genai_model_create(g, &(genai_model_desc){ .preset = "vaegan", .data = data });
    genai_model_fit(model, data, &(genai_fit_desc){ .epochs = 10, .on_step = genai_progress_bar });
    genai_model_sample_grid(model, "samples.png", 8, 8);
    genai_model_save(model, "sprites.safetensors");
    int failed = genai_ctx_report(g);             /* prints the first error, if any */
    genai_ctx_destroy(g);                         /* frees everything made from it  */
    return failed;
}
