/* Without stb_image.h and stb_image_write.h: PGM, PPM and PAM work, PNG says what is missing. */
#define GENAI_IMPLEMENTATION
#include "../genai.h"
#include "check.h"

static int  warnings;
static void keep_log(void *user, genai_log_level level, const char *text) {
    (void)user; (void)text;
    warnings += level == GENAI_LOG_WARNING && !strstr(text, "-O2");
}

static const char *png_only; /* the only file there is, or "mixed": a PPM too */
static void *one_open(void *user, const char *path, int write) {
    (void)user;
    if (write || !strstr(path, "folder/")) return NULL;
    return calloc(1, 256);
}
static long one_read(void *user, void *file, void *to, size_t n) {
    static const char png[] = "\x89PNG\r\n\x1a\n____________";
    (void)user;
    if (*(char *)file || n < sizeof png) return 0;
    *(char *)file = 1;
    memcpy(to, png, sizeof png);
    return (long)sizeof png;
}
static int  one_close(void *user, void *file) { (void)user; free(file); return 0; }
static int  one_list(void *user, const char *path, void (*entry)(void *, const char *, int), void *to) {
    (void)user;
    if (strcmp(path, "folder")) return -1;
    entry(to, png_only, 0);
    return 0;
}

int main(void) {
    genai_ctx_desc     desc;
    genai_ctx         *g, *plain;
    genai_dataset     *data;
    genai_dataset_info info;
    float              pixels[12] = {0, 0.5f, 1, 0, 0, 0, 1, 1, 1, 0.25f, 0, 0}, back[12];
    memset(&desc, 0, sizeof desc);
    desc.threads = 1;
    desc.log = keep_log;
    plain = genai_ctx_create(&desc);
    desc.io = genai__default_io();
    desc.io.open = one_open;
    desc.io.read = one_read;
    desc.io.close = one_close;
    desc.io.list = one_list;
    g = genai_ctx_create(&desc);
    png_only = "a.png";
    CHECK(!genai_dataset_open(g, "folder", NULL) && genai_ctx_result(g) == GENAI_ERROR_UNSUPPORTED && strstr(genai_ctx_error(g), "stb_image.h") && warnings == 1,
          "%d warnings, %s", warnings, genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK(!genai_dataset_open(g, "folder/a.png", NULL) && genai_ctx_result(g) == GENAI_ERROR_UNSUPPORTED && strstr(genai_ctx_error(g), "stb_image.h"), "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK(genai_image_save(g, "a.png", 2, 2, 3, pixels) == GENAI_ERROR_UNSUPPORTED && strstr(genai_ctx_error(g), "stb_image_write.h"), "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK(!genai_image_save(plain, "test_data_plain.ppm", 2, 2, 3, pixels), "%s", genai_ctx_error(plain));
    data = genai_dataset_open(plain, "test_data_plain.ppm", NULL);
    info = genai_dataset_describe(data);
    CHECK(data && info.count == 1 && info.channels == 3 && !genai_dataset_batch(data, -1, 0, 1, back, NULL) && back[0] == 0 && back[1] == 128 / 255.0f && back[9] == 64 / 255.0f,
          "%s", genai_ctx_error(plain));
    remove("test_data_plain.ppm");
    genai_ctx_destroy(plain);
    genai_ctx_destroy(g);
    return CHECK_DONE("test_data_plain");
}
