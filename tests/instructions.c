/* One training step of a preset, for tests/instructions.sh to count: instructions PRESET BATCH. */
#define GENAI_IMPLEMENTATION
#include "../genai.h"

/* The only part that is counted; it stands apart so that callgrind finds it by its name. */
__attribute__((noinline)) genai_result counted_step(genai_model *model, int n, const float *images);
genai_result counted_step(genai_model *model, int n, const float *images) { return genai_model_step(model, n, images, NULL, NULL); }

int main(int argc, char **argv) {
    genai_ctx_desc   ctx_desc;
    genai_model_desc desc;
    genai_ctx       *ctx;
    genai_model     *model;
    float           *images;
    size_t           i, count;
    int              n = argc == 3 ? atoi(argv[2]) : 0;
    if (n < 2) return 2;
    memset(&ctx_desc, 0, sizeof ctx_desc);
    memset(&desc, 0, sizeof desc);
    ctx_desc.threads = 1;
    ctx_desc.isa = GENAI_ISA_AVX2;
    desc.preset = argv[1];
    ctx = genai_ctx_create(&ctx_desc);
    model = genai_model_create(ctx, &desc);
    if (!model) return 1;
    desc = genai_model_resolved(model);
    count = (size_t)n * (size_t)desc.width * (size_t)desc.height * (size_t)desc.channels;
    images = (float *)malloc(count * sizeof *images);
    if (!images) return 1;
    for (i = 0; i < count; i++) images[i] = (float)(i * 2654435761u % 1000u) / 1000.0f;
    if (genai_model_step(model, 2, images, NULL, NULL) || counted_step(model, n, images)) return 1; /* a small first one sets up */
    free(images);
    genai_ctx_destroy(ctx);
    return 0;
}
