/* A model of your own images: train, save, load, sample, interpolate.
 *   cc -O2 -I. examples/own_images.c -o own_images -lm
 *   ./own_images FOLDER [MINUTES]    PNG, JPEG or BMP, one size (others are resized to the one that most have)
 *   ./own_images                     first makes a folder own_images_data of 512 sprites, and trains on that
 * Writes own_images.safetensors, own_images_samples.png, own_images_between.png. */
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#define GENAI_IMPLEMENTATION
#include "genai.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A folder of PNGs, drawn by the built-in generator. */
static const char *make_folder(genai_ctx *g) {
    enum { SIDE = 16, COUNT = 512 };
    static float   image[SIDE * SIDE * 4];
    const char    *folder  = "own_images_data";
    genai_dataset *sprites = genai_dataset_sprites(g, COUNT, &(genai_dataset_desc){ .width = SIDE });
    char           path[64];
    mkdir(folder, 0777); /* if it is there already, so much the better; else saving will tell */
    for (int i = 0; i < COUNT && !genai_ctx_result(g); i++) {
        snprintf(path, sizeof path, "%s/sprite-%03d.png", folder, i);
        genai_dataset_batch(sprites, -1, (size_t)i, 1, image, NULL);
        genai_image_save(g, path, SIDE, SIDE, 4, image);
    }
    genai_dataset_destroy(sprites);
    return folder;
}

/* Eight rows, each from one real image to another by way of their latents. */
static void save_between(genai_ctx *g, genai_model *model, genai_dataset *data, const char *path) {
    enum { ROWS = 8, COLUMNS = 10 };
    genai_dataset_info info   = genai_dataset_describe(data);
    size_t             pixels = (size_t)info.width * info.height * info.channels, latent = genai_model_resolved(model).latent;
    float             *ends   = malloc(2 * pixels * sizeof(float));
    float             *z      = malloc(2 * latent * sizeof(float));
    float             *rows   = malloc(ROWS * COLUMNS * pixels * sizeof(float));
    for (size_t r = 0; ends && z && rows && r < ROWS && info.count > 1; r++) {
        genai_dataset_batch(data, 0, 2 * r % (info.count - 1), 2, ends, NULL);
        genai_model_encode(model, 2, ends, NULL, z);
        genai_model_interpolate(model, z, z + latent, 0, COLUMNS, rows + r * COLUMNS * pixels);
    }
    if (ends && z && rows) genai_image_save_grid(g, path, ROWS * COLUMNS, COLUMNS, info.width, info.height, info.channels, rows);
    free(ends);
    free(z);
    free(rows);
}

int main(int argc, char **argv) {
    double         minutes = argc > 2 ? atof(argv[2]) : argc > 1 ? 10 : 0.7;
    genai_ctx     *g       = genai_ctx_create(&(genai_ctx_desc){ .seed = 7 });
    const char    *folder  = argc > 1 ? argv[1] : make_folder(g);
    genai_dataset *data    = genai_dataset_open(g, folder, &(genai_dataset_desc){ .flip = 1 });
    genai_model   *model   = genai_model_create(g, &(genai_model_desc){ .preset = "vaegan", .data = data });
    genai_dataset_info info = genai_dataset_describe(data);
    printf("%s: %d images of %dx%d with %d channels, %d files skipped\n", folder, (int)info.count, info.width, info.height, info.channels,
           (int)info.skipped);
    genai_model_fit(model, data, &(genai_fit_desc){ .minutes = minutes, .on_step = genai_progress_bar });
    genai_model_save(model, "own_images.safetensors");
    genai_model_destroy(model);

    model = genai_model_load(g, "own_images.safetensors"); /* as another program would */
    genai_model_sample_grid(model, "own_images_samples.png", 8, 8);
    if (model && data) save_between(g, model, data, "own_images_between.png");

    int failed = genai_ctx_report(g);
    genai_ctx_destroy(g);
    if (!failed) printf("own_images_samples.png: new images; own_images_between.png: from image to image\n");
    return failed;
}
