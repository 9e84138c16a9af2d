/* The >>image and >>data rooms: pictures (resizing against values worked out by hand, channels, formats both ways), every
 * source of images with good and damaged input, order and repeatability of batches, faults of disk and memory at every
 * index. Most of it runs on files in memory; the real images are read where they are (see check_data). */
#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image_write.h>
#define GENAI_IMPLEMENTATION
#include "../genai.h"
#include "check.h"

/* --- files in memory: folders are what paths imply --- */
typedef struct mem_file { char path[128]; unsigned char *p; size_t n; } mem_file;
static mem_file mem[1600];
static int      mem_count;
static long     disk_left = -1; /* bytes that may still be written; -1: any number */

static int mem_find(const char *path) {
    int i;
    for (i = 0; i < mem_count; i++)
        if (!strcmp(mem[i].path, path)) return i;
    return -1;
}
static void mem_drop(int i) {
    free(mem[i].p);
    mem[i] = mem[--mem_count];
}
static void mem_clear(void) {
    while (mem_count) mem_drop(0);
}
static void mem_put(const char *path, const void *p, size_t n) {
    int i = mem_find(path);
    if (i >= 0) mem_drop(i);
    snprintf(mem[mem_count].path, sizeof mem[0].path, "%s", path);
    mem[mem_count].p = (unsigned char *)malloc(n + 1);
    if (n) memcpy(mem[mem_count].p, p, n);
    mem[mem_count++].n = n;
}
typedef struct mem_handle { int index; char path[128]; size_t at; } mem_handle;
static void *mem_open(void *user, const char *path, int write) {
    mem_handle *h;
    (void)user;
    if (write) mem_put(path, "", 0);
    if (mem_find(path) < 0) return NULL;
    h = (mem_handle *)malloc(sizeof *h);
    snprintf(h->path, sizeof h->path, "%s", path);
    h->at = 0;
    return h;
}
static long mem_read(void *user, void *file, void *to, size_t n) {
    mem_handle *h = (mem_handle *)file;
    mem_file   *f = &mem[mem_find(h->path)];
    (void)user;
    if (strstr(h->path, "unreadable")) return -1;
    if (n > f->n - h->at) n = f->n - h->at;
    memcpy(to, f->p + h->at, n);
    h->at += n;
    return (long)n;
}
static long mem_write(void *user, void *file, const void *from, size_t n) {
    mem_file *f = &mem[mem_find(((mem_handle *)file)->path)];
    (void)user;
    if (disk_left == 0) return -1;
    if (disk_left > 0 && (long)n > disk_left) n = (size_t)disk_left;
    if (disk_left > 0) disk_left -= (long)n;
    f->p = (unsigned char *)realloc(f->p, f->n + n + 1);
    memcpy(f->p + f->n, from, n);
    f->n += n;
    return (long)n;
}
static int mem_ok(void *user, void *file) { (void)user; (void)file; return 0; }
static int mem_close(void *user, void *file) { (void)user; free(file); return 0; }
static int mem_rename(void *user, const char *from, const char *to) {
    int i = mem_find(to);
    (void)user;
    if (i >= 0) mem_drop(i);
    i = mem_find(from);
    if (i < 0) return -1;
    snprintf(mem[i].path, sizeof mem[i].path, "%s", to);
    return 0;
}
static int mem_remove(void *user, const char *path) {
    int i = mem_find(path);
    (void)user;
    if (i >= 0) mem_drop(i);
    return i < 0;
}
static int mem_make_dir(void *user, const char *path) { (void)user; (void)path; return 0; }
static int mem_list(void *user, const char *path, void (*entry)(void *, const char *, int), void *to) {
    size_t n = strlen(path);
    int    i, k, found = 0;
    (void)user;
    if (n && path[n - 1] == '/') n--;
    for (i = mem_count - 1; i >= 0; i--) { /* backwards: the order must not matter */
        char        name[128];
        const char *rest = mem[i].path + n + 1, *slash;
        size_t      length;
        if (strncmp(mem[i].path, path, n) || mem[i].path[n] != '/') continue;
        found = 1;
        slash = strchr(rest, '/');
        length = slash ? (size_t)(slash - rest) : strlen(rest);
        memcpy(name, rest, length);
        name[length] = 0;
        for (k = mem_count - 1; slash && k > i; k--)
            if (!strncmp(mem[k].path, mem[i].path, n + 2 + length)) break;
        if ((!slash || k <= i) && length) entry(to, name, slash != NULL);
    }
    return !found;
}

static allocations heap;

/* --- a log that remembers --- */
static int  warnings;
static char last_warning[600], first_warning[600];
static void keep_log(void *user, genai_log_level level, const char *text) {
    (void)user;
    if (level != GENAI_LOG_WARNING) return;
    if (!warnings++) snprintf(first_warning, sizeof first_warning, "%s", text);
    snprintf(last_warning, sizeof last_warning, "%s", text);
}

static genai_ctx *context(int threads, int in_memory) {
    genai_ctx_desc d = quiet_desc(7, threads, GENAI_ISA_SCALAR, &heap);
    d.log = keep_log;
    if (in_memory) {
        d.io.open = mem_open;
        d.io.read = mem_read;
        d.io.write = mem_write;
        d.io.append = mem_ok;
        d.io.sync = mem_ok;
        d.io.close = mem_close;
        d.io.rename = mem_rename;
        d.io.remove = mem_remove;
        d.io.make_dir = mem_make_dir;
        d.io.list = mem_list;
    }
    return genai_ctx_create(&d);
}

/* The call gives NULL and this code, with both words in its sentence. */
#define CHECK_SENTENCE(ctx, code, call, word, word2)                                                                   \
    do {                                                                                                               \
        CHECK((call) == 0 && genai_ctx_result(ctx) == (code) && strstr(genai_ctx_error(ctx), word)                     \
              && strstr(genai_ctx_error(ctx), word2), "%s gives %d (%s)", #call, (int)genai_ctx_result(ctx), genai_ctx_error(ctx)); \
        genai_ctx_clear(ctx);                                                                                          \
    } while (0)

static genai_dataset_desc desc_of(int width, int height, int channels) {
    genai_dataset_desc d;
    memset(&d, 0, sizeof d);
    d.width = width;
    d.height = height;
    d.channels = channels;
    return d;
}

static void png_collect(void *to, void *data, int size) {
    mem_file *f = (mem_file *)to;
    f->p = (unsigned char *)realloc(f->p, f->n + (size_t)size);
    memcpy(f->p + f->n, data, (size_t)size);
    f->n += (size_t)size;
}
static void put_png(const char *path, int w, int h, int c, const unsigned char *pixels) {
    mem_file f;
    memset(&f, 0, sizeof f);
    stbi_write_png_to_func(png_collect, &f, w, h, c, pixels, w * c);
    mem_put(path, f.p, f.n);
    free(f.p);
}
static void put_plain_png(const char *path, int w, int h, int c, int r, int g, int b, int a) { /* one colour */
    unsigned char pixels[64 * 64 * 4], colour[4];
    int           i;
    colour[0] = (unsigned char)r;
    colour[1] = (unsigned char)(c == 2 ? a : g);
    colour[2] = (unsigned char)b;
    colour[3] = (unsigned char)a;
    for (i = 0; i < w * h; i++) memcpy(pixels + i * c, colour, (size_t)c);
    put_png(path, w, h, c, pixels);
}
static void put_text(const char *path, const char *text) { mem_put(path, text, strlen(text)); }

static void put_idx(const char *path, int type, int ndim, const unsigned *dim, size_t bytes, unsigned modulus) {
    unsigned char *p = (unsigned char *)calloc(1, 4 + 16 + bytes);
    size_t         at = 4, i;
    int            k;
    p[2] = (unsigned char)type;
    p[3] = (unsigned char)ndim;
    for (k = 0; k < ndim && k < 4; k++, at += 4) {
        p[at] = (unsigned char)(dim[k] >> 24);
        p[at + 1] = (unsigned char)(dim[k] >> 16);
        p[at + 2] = (unsigned char)(dim[k] >> 8);
        p[at + 3] = (unsigned char)dim[k];
    }
    for (i = 0; i < bytes; i++) p[at + i] = (unsigned char)(i % modulus);
    mem_put(path, p, at + bytes);
    free(p);
}

/* --- pictures --- */
static int resized(int w, int h, int c, const unsigned char *in, int to_w, int to_h, genai_filter filter, const unsigned char *want) {
    unsigned char out[256];
    genai__image  image;
    image.width = w;
    image.height = h;
    image.channels = c;
    image.p = (unsigned char *)(uintptr_t)in;
    memset(out, 77, sizeof out);
    genai__image_resize(&image, to_w, to_h, filter, out);
    return !memcmp(out, want, (size_t)(to_w * to_h * c)) && out[to_w * to_h * c] == 77;
}

static void test_resize(void) {
    static const unsigned char row4[] = {0, 100, 200, 40}, half[] = {50, 120}, row3[] = {10, 20, 90}, third2[] = {13, 67}, two[] = {0, 100};
    static const unsigned char up4[] = {0, 25, 75, 100}, up3[] = {0, 50, 100}, near4[] = {0, 0, 100, 100}, near2[] = {100, 40}, one[] = {200};
    static const unsigned char square[] = {0, 40, 80, 120}, mean[] = {60};
    static const unsigned char red_clear[] = {255, 0, 0, 255, 0, 255, 0, 0}, red_half[] = {255, 0, 0, 128};
    static const unsigned char grey_alpha[] = {200, 255, 100, 85}, mixed_alpha[] = {175, 170};
    static const unsigned char clear[] = {9, 9, 9, 0, 7, 7, 7, 0}, none[] = {0, 0, 0, 0};
    unsigned char              big[64 * 3], small[256];
    genai__image               image;
    int                        i, n, m, ok = 1;
    CHECK(resized(4, 1, 1, row4, 2, 1, GENAI_FILTER_SMOOTH, half), "area: (0+100)/2, (200+40)/2");
    CHECK(resized(3, 1, 1, row3, 2, 1, GENAI_FILTER_SMOOTH, third2), "area 3 to 2: (2*10+20)/3 = 13.3, (20+2*90)/3 = 66.7");
    CHECK(resized(1, 4, 1, row4, 1, 2, GENAI_FILTER_SMOOTH, half), "area, vertical");
    CHECK(resized(2, 1, 1, two, 4, 1, GENAI_FILTER_SMOOTH, up4), "bilinear 2 to 4: weights 1/4, 3/4 from pixel centres");
    CHECK(resized(2, 1, 1, two, 3, 1, GENAI_FILTER_SMOOTH, up3), "bilinear 2 to 3");
    CHECK(resized(2, 1, 1, two, 4, 1, GENAI_FILTER_NEAREST, near4), "nearest 2 to 4");
    CHECK(resized(4, 1, 1, row4, 2, 1, GENAI_FILTER_NEAREST, near2), "nearest 4 to 2: pixels 1 and 3");
    CHECK(resized(4, 1, 1, row4, 1, 1, GENAI_FILTER_NEAREST, one), "nearest 4 to 1: pixel 2");
    CHECK(resized(2, 2, 1, square, 1, 1, GENAI_FILTER_SMOOTH, mean), "area of 4 pixels");
    CHECK(resized(2, 2, 1, square, 2, 2, GENAI_FILTER_SMOOTH, square), "the same size");
    { /* 2x3 to 1 column and 6 rows: means 20, 60, 100 shrunk across, enlarged down with weights 1/4, 3/4 */
        static const unsigned char in[] = {0, 40, 20, 100, 80, 120}, want[] = {20, 30, 50, 70, 90, 100};
        CHECK(resized(2, 3, 1, in, 1, 6, GENAI_FILTER_SMOOTH, want), "shrunk one way, enlarged the other");
    }
    CHECK(resized(2, 1, 4, red_clear, 1, 1, GENAI_FILTER_SMOOTH, red_half), "invisible green must not bleed into red");
    CHECK(resized(2, 1, 2, grey_alpha, 1, 1, GENAI_FILTER_SMOOTH, mixed_alpha), "(200*255+100*85)/340 = 175, alpha 170");
    CHECK(resized(2, 1, 4, clear, 1, 1, GENAI_FILTER_SMOOTH, none), "nothing visible is black");
    for (i = 0; i < 64 * 3; i++) big[i] = 255;
    image.channels = 3;
    image.height = 1;
    image.p = big;
    for (n = 1; n <= 64; n++) /* weights sum to one for every pair of sizes: white stays white */
        for (m = 1; m <= 64; m++) {
            image.width = n;
            genai__image_resize(&image, m, 1, GENAI_FILTER_SMOOTH, small);
            for (i = 0; i < 3 * m; i++) ok &= small[i] == 255;
        }
    CHECK(ok, "white does not stay white");
}

static void test_channels(void) {
    static const unsigned char rgba[] = {255, 0, 0, 255, 0, 255, 0, 255, 0, 0, 255, 255, 200, 100, 50, 128};
    static const unsigned char want1[] = {76, 150, 29, 62}, want2[] = {76, 255, 150, 255, 29, 255, 124, 128};
    static const unsigned char want3[] = {255, 0, 0, 0, 255, 0, 0, 0, 255, 100, 50, 25};
    unsigned char              out[16], back[16];
    int                        a, b, i, ok = 1;
    genai__image_convert(rgba, 4, out, 1, 4);
    CHECK(!memcmp(out, want1, 4), "RGBA to grey: %d %d %d %d", out[0], out[1], out[2], out[3]);
    genai__image_convert(rgba, 4, out, 2, 4);
    CHECK(!memcmp(out, want2, 8), "RGBA to grey + alpha: %d %d", out[6], out[7]);
    genai__image_convert(rgba, 4, out, 3, 4);
    CHECK(!memcmp(out, want3, 12), "RGBA to RGB lies on black: %d %d %d", out[9], out[10], out[11]);
    for (a = 1; a <= 4; a++) /* what only adds channels loses nothing */
        for (b = 1; b <= 4; b++) {
            if (((a - 1) & (b - 1)) != a - 1) continue;
            genai__image_convert(rgba, a, out, b, 16 / 4);
            genai__image_convert(out, b, back, a, 16 / 4);
            for (i = 0; i < 4 * a; i++) ok &= back[i] == rgba[i];
        }
    CHECK(ok, "adding channels and removing them again changes pixels");
    CHECK(genai__image_needs(rgba, 4, 3) == 3 && genai__image_needs(rgba, 4, 4) == 4 && genai__image_needs(rgba, 1, 4) == 1, "needs");
    {
        static const unsigned char grey[] = {5, 5, 5, 255, 9, 9, 9, 255}, shaded[] = {5, 5, 5, 255, 9, 9, 9, 254};
        CHECK(genai__image_needs(grey, 4, 2) == 1 && genai__image_needs(shaded, 4, 2) == 2, "needs of grey");
    }
    {
        float    bad[5] = {0, -1.0f, 2.0f, 0.5f, 1.0f / 255};
        uint32_t nan = 0x7fc00000u, inf = 0x7f800000u;
        memcpy(&bad[0], &nan, 4);
        CHECK(genai__to_byte(bad[0]) == 0 && genai__to_byte(bad[1]) == 0 && genai__to_byte(bad[2]) == 255 && genai__to_byte(bad[3]) == 128
              && genai__to_byte(bad[4]) == 1, "bytes from floats");
        memcpy(&bad[0], &inf, 4);
        CHECK(genai__to_byte(bad[0]) == 255, "infinity is white");
        for (i = 0; i < 256; i++) ok &= genai__to_byte((float)i / 255.0f) == i;
        CHECK(ok, "bytes don't survive as floats");
    }
}

static void test_pnm(genai_ctx *g) {
    static const char *const bad[] = {"P5", "P5\n", "P5\n2", "P5\n2 2", "P5\n2 2\n", "P5\n2 2\n255", "P5\n2 2\n255\n", "P5\n2 2\n255\nabc", "P5\n0 2\n255\nabcd",
        "P5\n2 2\n0\nabcd", "P5\n2 2\n65536\nabcdabcd", "P5\n-2 2\n255\nabcd", "P5\n99999999999 2\n255\nabcd", "P5\n16385 1\n255\nabcd",
        "P5\n16384 16384\n65535\nabcd", "P5 # never ends", "P6\n1 1\n255\nab", "P5\n2 2\n100\nzzzz", "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 255\n",
        "P7\nWIDTH 1\nHEIGHT 1\nDEPTH 5\nMAXVAL 255\nENDHDR\nabcde", "P7\nHEIGHT 1\nDEPTH 1\nMAXVAL 255\nENDHDR\na", "P7\nWIDTH x\nENDHDR\n",
        "P4\n8 1\na", "P5x2 2\n255\nabcd", "", "GIF89a", "BM", "\x89PNG\r\n\x1a\n", "\xff\xd8\xff"};
    static const char        good5[] = "P5 # a comment\n# another\n 2\t2 #x\n100\n", good16[] = "P6 1 1 65535 ";
    genai__reason            why;
    genai__bytes             b;
    genai__image             image;
    unsigned char            file[64];
    size_t                   i;
    for (i = 0; i < GENAI__COUNT(bad); i++) {
        unsigned char *exact = (unsigned char *)malloc(strlen(bad[i]) + 1); /* no byte beyond: for the sanitizer */
        unsigned char *p = (unsigned char *)realloc(exact, strlen(bad[i]) ? strlen(bad[i]) : 1);
        genai_result   r;
        memcpy(p, bad[i], strlen(bad[i]));
        b.p = p;
        b.n = strlen(bad[i]);
        why.text[0] = 0;
        r = genai__image_decode(g, &b, &image, &why);
        CHECK(r == GENAI_ERROR_FORMAT && why.text[0] && !genai_ctx_result(g), "picture %d \"%s\" gives %d (%s)", (int)i, bad[i], (int)r, why.text);
        free(p);
    }
    memcpy(file, good5, sizeof good5 - 1);
    memcpy(file + sizeof good5 - 1, "\x00\x32\x64\x01", 4);
    b.p = file;
    b.n = sizeof good5 - 1 + 4;
    CHECK(!genai__image_decode(g, &b, &image, &why) && image.width == 2 && image.height == 2 && image.channels == 1 && image.p[0] == 0 && image.p[1] == 128
          && image.p[2] == 255 && image.p[3] == 3, "PGM of maximum 100");
    genai__free(g, image.p);
    memcpy(file, good16, sizeof good16 - 1);
    memcpy(file + sizeof good16 - 1, "\xff\xff\x80\x00\x00\x81", 6);
    b.n = sizeof good16 - 1 + 6;
    CHECK(!genai__image_decode(g, &b, &image, &why) && image.channels == 3 && image.p[0] == 255 && image.p[1] == 128 && image.p[2] == 1, "PPM of 16 bits");
    genai__free(g, image.p);
}

/* PNG, JPEG, BMP through stb_image: the whole file is read, no beginning of it is. */
static void test_cut(genai_ctx *g) {
    unsigned char pixels[20 * 9 * 3];
    int           kind, i, refused;
    mem_file      f;
    genai__bytes  b;
    genai__image  image;
    genai__reason why;
    for (i = 0; i < 20 * 9 * 3; i++) pixels[i] = (unsigned char)(i * i % 251);
    for (kind = 0; kind < 3; kind++) {
#if defined(__SANITIZE_ADDRESS__) || defined(__clang__) /* stb's JPEG writer shifts bits out of an int */
        if (kind == 1) continue;
#endif
        refused = 0;
        memset(&f, 0, sizeof f);
        if (kind == 0) stbi_write_png_to_func(png_collect, &f, 20, 9, 3, pixels, 60);
        else if (kind == 1) stbi_write_jpg_to_func(png_collect, &f, 20, 9, 3, pixels, 90);
        else stbi_write_bmp_to_func(png_collect, &f, 20, 9, 3, pixels);
        for (i = 0; i < (int)f.n; i++) { /* in a block of its own, for the sanitizer */
            b.p = (unsigned char *)malloc(i ? (size_t)i : 1);
            b.n = (size_t)i;
            memcpy(b.p, f.p, b.n);
            refused += genai__image_decode(g, &b, &image, &why) == GENAI_ERROR_FORMAT && why.text[0];
            free(b.p);
        }
        CHECK(refused == (int)f.n, "kind %d: %d of %d beginnings are refused", kind, refused, (int)f.n);
        b.p = f.p;
        b.n = f.n;
        CHECK(!genai__image_decode(g, &b, &image, &why) && image.width == 20 && image.height == 9 && image.channels == 3
              && (kind == 1 || !memcmp(image.p, pixels, sizeof pixels)), "kind %d: %s", kind, why.text);
        genai__free(g, image.p);
        for (i = 0; kind == 0 && i < (int)f.n; i++) { /* any damaged bit of a PNG is noticed, whatever stb makes of it */
            f.p[i] ^= 4;
            if (!genai__image_decode(g, &b, &image, &why)) {
                CHECK(0, "a PNG with byte %d damaged is read", i);
                genai__free(g, image.p);
            }
            f.p[i] ^= 4;
        }
        free(f.p);
    }
    CHECK(genai_ctx_result(g) == GENAI_OK, "%s", genai_ctx_error(g));
}

static void test_save(genai_ctx *g) {
    static const char *const names[] = {"a.png", "a.PGM", "a.ppm", "a.pam"};
    float                    pixels[3 * 5 * 4];
    int                      c, i, k;
    for (i = 0; i < 60; i++) pixels[i] = (float)((i * 37) % 256) / 255.0f;
    for (c = 1; c <= 4; c++)
        for (k = 0; k < 4; k++) {
            genai_result r = genai_image_save(g, names[k], 5, 3, c, pixels);
            int          fits = k == 0 || k == 3 || (k == 1 && c == 1) || (k == 2 && c == 3), at;
            CHECK(fits ? !r : r == GENAI_ERROR_ARGUMENT && strstr(genai_ctx_error(g), names[k]), "%s with %d channels gives %d (%s)", names[k], c, (int)r, genai_ctx_error(g));
            genai_ctx_clear(g);
            at = mem_find(names[k]);
            if (fits && at >= 0) {
                genai_dataset_desc d = desc_of(0, 0, c);
                genai_dataset     *data = genai_dataset_open(g, names[k], &d);
                float              back[60];
                int                same = 1;
                CHECK(data && !genai_dataset_batch(data, -1, 0, 1, back, NULL) && genai_dataset_describe(data).width == 5, "%s", genai_ctx_error(g));
                for (i = 0; i < 15 * c; i++) same &= back[i] == pixels[i];
                CHECK(data && same, "%s with %d channels is not what was saved", names[k], c);
                genai_dataset_destroy(data);
                genai_ctx_clear(g);
            }
        }
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save(g, "a.gif", 5, 3, 3, pixels));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save(g, "png", 5, 3, 3, pixels));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save(g, NULL, 5, 3, 3, pixels));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save(g, "a.png", 5, 3, 3, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save(g, "a.png", 0, 3, 3, pixels));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save(g, "a.png", 5, 3, 5, pixels));
    CHECK(genai_image_save(NULL, "a.png", 5, 3, 3, pixels) == GENAI_ERROR_ARGUMENT, "no context");
    /* the grid: 3 images of 5x3 in 2 columns are 16x12 with gaps of 2 */
    CHECK(!genai_image_save_grid(g, "grid.ppm", 3, 2, 5, 1, 4, pixels), "%s", genai_ctx_error(g));
    CHECK(mem_find("grid.ppm") >= 0 && !memcmp(mem[mem_find("grid.ppm")].p, "P6\n16 8\n255\n", 12), "size of the grid");
    {
        const unsigned char *p = mem[mem_find("grid.ppm")].p + 12, *at = p + (2 * 16 + 2) * 3;
        float                one[2 * 2 * 2] = {1, 0, 0, 1, 1, 1, 0.5f, 1};
        CHECK(p[0] == GENAI__GRID_GROUND && p[(5 * 16 + 9) * 3] == GENAI__GRID_GROUND, "gap and missing image");
        CHECK(at[0] == (0 * 111 + 128 * 144 + 127) / 255 || at[0] == (unsigned)((genai__to_byte(pixels[0]) * genai__to_byte(pixels[3])
              + 128 * (255 - genai__to_byte(pixels[3])) + 127) / 255), "over the ground: %d", at[0]);
        CHECK(!genai_image_save_grid(g, "grey.pgm", 1, 9, 2, 2, 2, one), "%s", genai_ctx_error(g));
        p = mem[mem_find("grey.pgm")].p;
        CHECK(!memcmp(p, "P5\n6 6\n255\n", 11) && p[11 + 2 * 6 + 2] != 255 && p[11 + 2 * 6 + 2] > 90 && p[11 + 2 * 6 + 3] == 0 && p[11 + 3 * 6 + 2] == 255
              && p[11 + 3 * 6 + 3] == 128, "grey with alpha over a checkered ground");
    }
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save_grid(g, "a.png", 3, 0, 5, 1, 4, pixels));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save_grid(g, "a.png", 0, 1, 5, 1, 4, pixels));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save_grid(g, "a.png", 2147483647, 1, 16384, 16384, 4, pixels));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_image_save_grid(g, "a.png", 2147483647, 2147483647, 5, 5, 4, pixels));
    /* a full disk: an error, and the old file whole */
    CHECK(!genai_image_save(g, "keep.png", 5, 3, 4, pixels), "%s", genai_ctx_error(g));
    {
        size_t        n = mem[mem_find("keep.png")].n;
        unsigned char old[1024];
        long          left;
        int           kept = 1, failed = 1, tidy = 1;
        memcpy(old, mem[mem_find("keep.png")].p, n);
        pixels[0] = 0.9f;
        for (left = 0; left < (long)n - 3; left++) {
            disk_left = left;
            failed &= genai_image_save(g, "keep.png", 5, 3, 4, pixels) == GENAI_ERROR_IO && strstr(genai_ctx_error(g), "keep.png") != NULL;
            genai_ctx_clear(g);
            kept &= mem_find("keep.png") >= 0 && mem[mem_find("keep.png")].n == n && !memcmp(mem[mem_find("keep.png")].p, old, n);
            tidy &= mem_find("keep.png.tmp") < 0;
        }
        disk_left = -1;
        CHECK(failed && kept && tidy, "full disk: failed %d, old file whole %d, nothing left %d", failed, kept, tidy);
        CHECK(!genai_image_save(g, "keep.png", 5, 3, 4, pixels) && memcmp(mem[mem_find("keep.png")].p, old, n), "%s", genai_ctx_error(g));
    }
    mem_clear();
}

/* --- IDX and CIFAR-10 --- */
static void test_idx(genai_ctx *g) {
    static const unsigned    images[4] = {6, 3, 2, 0}, labels[1] = {6}, tests[3] = {2, 5, 4}, test_labels[1] = {2};
    static const unsigned    colour[4] = {2, 3, 2, 3}, huge[4] = {0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}, zero[3] = {6, 0, 2}, five[1] = {5};
    static const unsigned    wide[3] = {1, 1, 16385};
    genai_dataset_desc       d = desc_of(0, 0, 0);
    genai_dataset           *data, *test;
    genai_dataset_info       info;
    float                    batch[6 * 6];
    int                      label[6];
    size_t                   n;
    put_idx("m/train-images-idx3-ubyte", 8, 3, images, 36, 251);
    put_idx("m/train-labels-idx1-ubyte", 8, 1, labels, 6, 4);
    put_idx("m/t10k-images.idx3-ubyte", 8, 3, tests, 40, 251);
    put_idx("m/t10k-labels.idx1-ubyte", 8, 1, test_labels, 2, 4);
    put_text("m/readme.txt", "x");
    data = genai_dataset_open(g, "m", NULL);
    info = genai_dataset_describe(data);
    CHECK(data && info.count == 6 && info.width == 2 && info.height == 3 && info.channels == 1 && info.classes == 4 && !info.skipped && !info.endless, "%s", genai_ctx_error(g));
    CHECK(data && !genai_dataset_batch(data, -1, 0, 6, batch, label) && batch[7] == 7 / 255.0f && label[3] == 3 && label[4] == 0, "IDX pixels and labels");
    CHECK(genai_dataset_class(data, 0) == NULL && genai_dataset_class(NULL, 0) == NULL, "IDX has no names");
    test = genai_dataset_test(data);
    info = genai_dataset_describe(test);
    CHECK(test && info.count == 2 && info.width == 2 && info.height == 3 && info.classes == 4, "the test part is resized alike");
    genai_dataset_destroy(data);
    d.test = 1;
    data = genai_dataset_open(g, "m/", &d);
    info = genai_dataset_describe(data);
    CHECK(data && info.count == 2 && info.width == 4 && info.height == 5 && !genai_dataset_test(data), "test part alone: %s", genai_ctx_error(g));
    genai_dataset_destroy(data);
    d.test = 0;
    d.limit = 4;
    d.holdout = 0.5f; /* ignored: there is a test set */
    data = genai_dataset_open(g, "m", &d);
    CHECK(data && genai_dataset_describe(data).count == 4 && genai_dataset_describe(genai_dataset_test(data)).count == 2, "limit; holdout beside a test set");
    genai_dataset_destroy(data);
    d.limit = 0;
    data = genai_dataset_open(g, "m/train-images-idx3-ubyte", &d); /* one file: labels found beside it */
    CHECK(data && genai_dataset_describe(data).classes == 4 && genai_dataset_describe(data).count == 3 && genai_dataset_describe(genai_dataset_test(data)).count == 3,
          "one file with half held out: %s", genai_ctx_error(g));
    genai_dataset_destroy(data);
    put_idx("alone-images-idx3-ubyte", 8, 3, images, 36, 251);
    put_idx("colour-images-idx4-ubyte", 8, 4, colour, 36, 251);
    put_idx("noname", 8, 3, images, 36, 251);
    data = genai_dataset_open(g, "alone-images-idx3-ubyte", NULL);
    CHECK(data && genai_dataset_describe(data).classes == 0, "without labels: %s", genai_ctx_error(g));
    CHECK(data && !genai_dataset_batch(data, -1, 0, 6, batch, label) && label[5] == 0, "labels asked for where there are none are 0");
    genai_dataset_destroy(data);
    data = genai_dataset_open(g, "noname", NULL);
    CHECK(data && genai_dataset_describe(data).count == 6, "by its first bytes: %s", genai_ctx_error(g));
    genai_dataset_destroy(data);
    data = genai_dataset_open(g, "colour-images-idx4-ubyte", NULL);
    CHECK(data && genai_dataset_describe(data).channels == 3 && !genai_dataset_batch(data, -1, 1, 1, batch, NULL) && batch[0] == 18 / 255.0f, "idx4: %s", genai_ctx_error(g));
    genai_dataset_destroy(data);
    /* damaged */
    put_idx("bad-idx", 9, 3, images, 36, 251);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "00 00 09 03", "bad-idx");
    put_idx("bad-idx", 8, 5, images, 36, 251);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "00 00 08 05", "bad-idx");
    put_text("bad-idx", "IDX!");
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "49 44 58 21", "bad-idx");
    put_idx("bad-idx", 8, 4, huge, 36, 251);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "overflows", "4294967295");
    put_idx("bad-idx", 8, 3, zero, 36, 251);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "dimension 2", "is 0");
    put_idx("bad-idx", 8, 3, images, 37, 251);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "too long", "37");
    put_idx("bad-idx", 8, 3, wide, 16385, 251);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "16385", "no images");
    put_idx("bad-idx", 8, 1, labels, 6, 251);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "1 dimensions", "no images");
    mem_put("bad-idx.gz", "\x1f\x8b\x08\x00\x00", 5);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx.gz", NULL), "gunzip", "bad-idx.gz");
    put_idx("bad-idx", 8, 3, images, 36, 251);
    for (n = 0; n < 52; n++) {
        mem[mem_find("bad-idx")].n = n;
        CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "bad-idx", NULL), "bad-idx", n < 4 ? "few" : "truncated");
    }
    put_idx("m/train-labels-idx1-ubyte", 8, 1, five, 5, 4);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "m", NULL), "train-labels", "6 images");
    put_idx("m/train-labels-idx1-ubyte", 8, 1, labels, 6, 4);
    put_idx("m/t10k-labels.idx1-ubyte", 8, 1, five, 5, 4);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "m", NULL), "t10k-labels", "2 images");
    put_idx("onlytest/t10k-images-idx3-ubyte", 8, 3, tests, 40, 251);
    CHECK_SENTENCE(g, GENAI_ERROR_DATA, genai_dataset_open(g, "onlytest", NULL), "no train-images", "onlytest");
    mem_clear();
}

static void test_cifar(genai_ctx *g) {
    static unsigned char records[3 * 3073];
    genai_dataset       *data;
    genai_dataset_info   info;
    static float         batch[2 * 3072];
    int                  label[2], i;
    for (i = 0; i < 3 * 3073; i++) records[i] = (unsigned char)(i % 3073 == 0 ? i / 3073 * 3 : (i % 3073 - 1) % 253);
    mem_put("c/data_batch_1.bin", records, 3073);
    mem_put("c/data_batch_2.bin", records + 3073, 2 * 3073);
    mem_put("c/test_batch.bin", records, 2 * 3073);
    put_text("c/batches.meta.txt", "x");
    data = genai_dataset_open(g, "c", NULL);
    info = genai_dataset_describe(data);
    CHECK(data && info.count == 3 && info.width == 32 && info.height == 32 && info.channels == 3 && info.classes == 10, "%s", genai_ctx_error(g));
    CHECK(data && !strcmp(genai_dataset_class(data, 0), "airplane") && !strcmp(genai_dataset_class(data, 9), "truck") && !genai_dataset_class(data, 10), "names");
    CHECK(data && !genai_dataset_batch(data, -1, 1, 2, batch, label) && label[0] == 3 && label[1] == 6, "labels across files");
    CHECK(batch[3 * 5] == 5 / 255.0f && batch[3 * 5 + 1] == (5 + 1024) % 253 / 255.0f && batch[3 * 5 + 2] == (5 + 2048) % 253 / 255.0f, "planes to pixels");
    CHECK(genai_dataset_describe(genai_dataset_test(data)).count == 2, "test batch");
    genai_dataset_destroy(data);
    data = genai_dataset_open(g, "c/data_batch_2.bin", NULL);
    CHECK(data && genai_dataset_describe(data).count == 2 && !genai_dataset_test(data), "one batch");
    genai_dataset_destroy(data);
    mem_put("c/data_batch_2.bin", records, 3072);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "c", NULL), "3072 bytes", "3073");
    records[0] = 10;
    mem_put("c/data_batch_2.bin", records, 3073);
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "c", NULL), "label 10", "data_batch_2.bin");
    mem_clear();
}

/* --- folders --- */
static void test_folder(genai_ctx *g) {
    genai_dataset     *data;
    genai_dataset_info info;
    genai_dataset_desc d = desc_of(0, 0, 0);
    float              batch[5 * 16 * 4];
    int                label[8], i;
    char               path[128];
    put_plain_png("f/b/2.png", 4, 4, 3, 50, 50, 50, 0); /* grey as RGB */
    put_plain_png("f/b/1.PNG", 4, 4, 1, 40, 0, 0, 0);
    put_plain_png("f/a/deep/er/x.png", 8, 8, 1, 10, 0, 0, 0);
    put_plain_png("f/a.b/y.png", 4, 4, 4, 30, 30, 30, 255);
    put_text("f/b/notes.txt", "no picture");
    put_text("f/.hidden/z.png", "no picture");
    put_text("f/b/.hidden.png", "no picture");
    warnings = 0;
    data = genai_dataset_open(g, "f", NULL);
    info = genai_dataset_describe(data);
    CHECK(data && info.count == 4 && info.width == 4 && info.height == 4 && info.channels == 1 && info.classes == 3 && !info.skipped && !warnings, "%s: %s, %d channels",
          genai_ctx_error(g), last_warning, info.channels);
    CHECK(data && !strcmp(genai_dataset_class(data, 0), "a") && !strcmp(genai_dataset_class(data, 1), "a.b") && !strcmp(genai_dataset_class(data, 2), "b"), "classes in order");
    CHECK(data && !genai_dataset_batch(data, -1, 0, 4, batch, label) && batch[0] == 10 / 255.0f && batch[16] == 30 / 255.0f && batch[32] == 40 / 255.0f
          && batch[48] == 50 / 255.0f && label[0] == 0 && label[1] == 1 && label[2] == 2 && label[3] == 2, "order of files");
    genai_dataset_destroy(data);
    put_plain_png("f/b/3.png", 4, 4, 4, 200, 200, 200, 128);
    data = genai_dataset_open(g, "f", NULL);
    CHECK(data && genai_dataset_describe(data).channels == 2 && !genai_dataset_batch(data, -1, 3, 2, batch, NULL) && batch[1] == 1.0f && batch[33] == 128 / 255.0f,
          "grey + alpha where an image is transparent");
    genai_dataset_destroy(data);
    put_plain_png("f/c/colour.png", 4, 4, 3, 200, 100, 50, 0);
    data = genai_dataset_open(g, "f", NULL);
    CHECK(data && genai_dataset_describe(data).channels == 4 && !genai_dataset_batch(data, -1, 5, 1, batch, NULL) && batch[0] == 200 / 255.0f
          && batch[2] == 50 / 255.0f && batch[3] == 1.0f, "RGBA where one has alpha and one has colour");
    genai_dataset_destroy(data);
    mem_drop(mem_find("f/b/3.png"));
    data = genai_dataset_open(g, "f", NULL);
    CHECK(data && genai_dataset_describe(data).channels == 3, "RGB where one has colour");
    genai_dataset_destroy(data);
    put_plain_png("f/root.png", 4, 4, 3, 1, 2, 3, 0);
    data = genai_dataset_open(g, "f", NULL);
    CHECK(data && genai_dataset_describe(data).classes == 5 && !strcmp(genai_dataset_class(data, 0), "."), "pictures beside the folders are a class of their own");
    CHECK(data && !genai_dataset_batch(data, -1, 5, 1, batch, label) && label[0] == 0 && batch[1] == 2 / 255.0f, "and in their place");
    genai_dataset_destroy(data);
    d.limit = 2;
    data = genai_dataset_open(g, "f", &d);
    CHECK(data && genai_dataset_describe(data).count == 2 && genai_dataset_describe(data).classes == 2, "a limit is spread over the files");
    genai_dataset_destroy(data);
    /* damage: skipped, counted, named */
    mem[mem_find("f/b/1.PNG")].p[mem[mem_find("f/b/1.PNG")].n - 18] ^= 1;
    warnings = 0;
    data = genai_dataset_open(g, "f", NULL);
    CHECK(data && genai_dataset_describe(data).skipped == 1 && genai_dataset_describe(data).count == 5 && warnings == 1 && strstr(first_warning, "f/b/1.PNG")
          && strstr(first_warning, "checksum"), "%d warnings: %s", warnings, first_warning);
    genai_dataset_destroy(data);
    mem_clear();
    put_plain_png("s/ok.png", 4, 4, 3, 1, 2, 3, 0);
    for (i = 0; i < 8; i++) {
        snprintf(path, sizeof path, "s/bad%d.%s", i, i == 0 ? "ppm" : i == 1 ? "jpg" : i == 2 ? "bmp" : "png");
        put_text(path, i == 0 ? "P6\n9 9\n255\n" : i == 1 ? "\xff\xd8\xff\xe0 damaged" : i == 2 ? "BM damaged" : "neither");
    }
    put_plain_png("s/unreadable.png", 4, 4, 3, 1, 2, 3, 0);
    put_plain_png("s/cut.png", 4, 4, 3, 1, 2, 3, 0);
    mem[mem_find("s/cut.png")].n -= 12; /* no IEND */
    warnings = 0;
    data = genai_dataset_open(g, "s", NULL);
    CHECK(data && genai_dataset_describe(data).skipped == 10 && genai_dataset_describe(data).count == 1 && warnings == 6 && strstr(last_warning, "10 of 11"),
          "%d warnings: %s", warnings, last_warning);
    CHECK(genai_ctx_result(g) == GENAI_OK, "a skipped file is no error: %s", genai_ctx_error(g));
    genai_dataset_destroy(data);
    mem_drop(mem_find("s/ok.png"));
    CHECK_SENTENCE(g, GENAI_ERROR_DATA, genai_dataset_open(g, "s", NULL), "none of its 10 pictures", "unreadable");
    mem_clear();
    put_text("e/readme.txt", "x");
    put_text("e/a/b/c.bin", "x");
    CHECK_SENTENCE(g, GENAI_ERROR_DATA, genai_dataset_open(g, "e", NULL), "looked for .png", "2 other files");
    CHECK_SENTENCE(g, GENAI_ERROR_IO, genai_dataset_open(g, "nowhere/at/all", NULL), "nowhere/at/all", "");
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_open(g, "", NULL), "path", "");
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_open(g, NULL, NULL), "path", "");
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "e/readme.txt", NULL), "readme.txt", "PNG");
    CHECK_SENTENCE(g, GENAI_ERROR_FORMAT, genai_dataset_open(g, "e/a/b/c.bin", NULL), "3073", "c.bin");
    CHECK(genai_dataset_open(NULL, "e", NULL) == NULL, "no context");
    { /* 16 folders deep is read, 17 not */
        char deep[128] = "d";
        for (i = 0; i < 15; i++) strcat(deep, "/x");
        snprintf(path, sizeof path, "%s/a.png", deep);
        put_plain_png(path, 4, 4, 1, 1, 0, 0, 0);
        snprintf(path, sizeof path, "%s/x/x/a.png", deep);
        put_plain_png(path, 4, 4, 1, 1, 0, 0, 0);
        warnings = 0;
        data = genai_dataset_open(g, "d", NULL);
        CHECK(data && genai_dataset_describe(data).count == 1 && warnings == 1 && strstr(last_warning, "deeper than 16"), "%s", last_warning);
        genai_dataset_destroy(data);
    }
    /* descs that make no sense */
    d = desc_of(-1, 0, 0);
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_open(g, "d", &d), "-1x0", "");
    d = desc_of(0, 16385, 0);
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_open(g, "d", &d), "16385", "");
    d = desc_of(0, 0, 5);
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_open(g, "d", &d), "5 channels", "");
    d = desc_of(0, 0, 0);
    d.holdout = 1.0f;
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_open(g, "d", &d), "held out", "");
    d.holdout = -0.5f;
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_open(g, "d", &d), "held out", "");
    d.holdout = 0.5f;
    CHECK_SENTENCE(g, GENAI_ERROR_DATA, genai_dataset_open(g, "d", &d), "1 image", "");
    mem_clear();
    /* colours that nobody sees are the same in all files */
    put_plain_png("h.png", 4, 4, 4, 9, 8, 7, 0);
    d = desc_of(0, 0, 4);
    data = genai_dataset_open(g, "h.png", &d);
    CHECK(data && !genai_dataset_batch(data, -1, 0, 1, batch, NULL) && batch[0] == 0 && batch[1] == 0 && batch[3] == 0, "hidden colour");
    genai_dataset_destroy(data);
    mem_clear();
}

/* --- order, memory, holdout --- */
static void test_order(genai_ctx *g) {
    static const size_t sizes[] = {1, 2, 3, 10, 1000};
    unsigned char       seen[1000], pixels[1000 * 2];
    int                 labels[1000], got[1000], again[1000];
    static float        a[1000 * 2], b[1000 * 2];
    genai_dataset_desc  d = desc_of(0, 0, 0);
    genai_dataset      *data, *test;
    size_t              s, i, j;
    int                 flips = 0, straight = 0, wrong = 0;
    for (s = 0; s < GENAI__COUNT(sizes); s++) {
        size_t n = sizes[s], fixed = 0, epoch;
        for (epoch = 0; epoch < 3; epoch++) {
            int ok = 1;
            memset(seen, 0, sizeof seen);
            for (i = 0; i < n; i++) {
                size_t k = genai__permute(7, GENAI__STREAM_SHUFFLE, epoch, n, i);
                ok &= k < n && !seen[k];
                seen[k < n ? k : 0] = 1;
                fixed += k == i;
            }
            CHECK(ok, "no permutation of %d", (int)n);
        }
        CHECK(n < 1000 || fixed < 30, "%d of 3000 stay in place", (int)fixed);
    }
    for (i = 0; i < 1000; i++) {
        pixels[2 * i] = (unsigned char)(i % 128);
        pixels[2 * i + 1] = 255;
        labels[i] = (int)i;
    }
    d.flip = 1;
    data = genai_dataset_memory(g, 1000, 2, 1, 1, pixels, labels, &d);
    CHECK(data && genai_dataset_describe(data).classes == 1000, "%s", genai_ctx_error(g));
    CHECK(data && !genai_dataset_batch(data, 3, 0, 1000, a, got), "%s", genai_ctx_error(g));
    for (i = 0; i < 1000; i += 250) CHECK(data && !genai_dataset_batch(data, 3, i, 250, b + 2 * i, again + i), "%s", genai_ctx_error(g));
    CHECK(!memcmp(a, b, sizeof a) && !memcmp(got, again, sizeof got), "an epoch in pieces is the same epoch");
    for (i = 0; i < 1000; i++) {
        float want = (float)(got[i] % 128) / 255.0f;
        if (a[2 * i] == want && a[2 * i + 1] == 1.0f) straight++;
        else if (a[2 * i + 1] == want && a[2 * i] == 1.0f) flips++;
        else wrong++;
    }
    CHECK(!wrong && flips > 400 && straight > 400, "%d flipped, %d not, %d wrong", flips, straight, wrong);
    CHECK(data && !genai_dataset_batch(data, 4, 0, 1000, b, again) && memcmp(got, again, sizeof got), "each epoch has its own order");
    CHECK(data && !genai_dataset_batch(data, -1, 5, 1, b, again) && again[0] == 5 && b[0] == 5 / 255.0f && b[1] == 1.0f, "file order, never flipped");
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_batch(data, 0, 0, 0, a, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_batch(data, 0, 0, -1, a, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_batch(data, -2, 0, 1, a, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_batch(data, 0, 0, 1, NULL, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_batch(data, 0, 1000, 1, a, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_batch(data, 0, 999, 2, a, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_batch(data, 0, (size_t)-1, 2, a, NULL));
    CHECK(genai_dataset_batch(NULL, 0, 0, 1, a, NULL) == GENAI_ERROR_ARGUMENT && !genai_dataset_test(NULL) && genai_dataset_describe(NULL).count == 0, "no data set");
    genai_dataset_destroy(data);
    genai_dataset_destroy(NULL);
    { /* held out: every image is in one of both sets, in order */
        static const float shares[] = {0.1f, 0.0001f, 0.999999f, 0.5f};
        for (s = 0; s < GENAI__COUNT(shares); s++) {
            static const size_t want[] = {100, 1, 999, 500};
            d = desc_of(0, 0, 0);
            d.holdout = shares[s];
            data = genai_dataset_memory(g, 1000, 2, 1, 1, pixels, labels, &d);
            test = genai_dataset_test(data);
            CHECK(data && genai_dataset_describe(test).count == want[s] && genai_dataset_describe(data).count == 1000 - want[s], "share %d of 4: %d", (int)s,
                  (int)genai_dataset_describe(test).count);
            CHECK(genai_dataset_describe(test).classes == 1000 && genai_dataset_describe(data).classes == 1000, "both know all classes");
            genai_dataset_batch(data, -1, 0, (int)(1000 - want[s]), a, got);
            genai_dataset_batch(test, -1, 0, (int)want[s], b, got + 1000 - want[s]);
            memset(seen, 0, sizeof seen);
            for (i = j = 0; i < 1000; i++) j += !seen[got[i]]++;
            if (s == 0) { /* any seed holds out the same */
                genai_dataset_desc plain = d;
                genai_ctx         *elsewhere = genai_ctx_create(NULL);
                genai_dataset     *other = genai_dataset_memory(elsewhere, 1000, 2, 1, 1, pixels, labels, &plain);
                CHECK(genai_dataset_batch(genai_dataset_test(other), -1, 0, 100, b + 200, again) == GENAI_OK && !memcmp(again, got + 900, 100 * sizeof *got), "another holdout");
                genai_ctx_destroy(elsewhere);
            }
            CHECK(j == 1000 && a[0] == (float)(got[0] % 128) / 255.0f && b[0] == (float)(got[1000 - want[s]] % 128) / 255.0f, "%d different images", (int)j);
            genai_dataset_destroy(data);
        }
    }
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_memory(g, 0, 2, 1, 1, pixels, NULL, NULL), "0 images", "");
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_memory(g, 1, 2, 1, 1, NULL, NULL, NULL), "NULL", "");
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_memory(g, 1, 2, 1, 5, pixels, NULL, NULL), "2x1x5", "");
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_memory(g, (size_t)-1, 16384, 16384, 4, pixels, NULL, NULL), "address space", "");
    labels[0] = -1;
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_memory(g, 10, 2, 1, 1, pixels, labels, NULL), "label 0 is -1", "");
    d = desc_of(4, 2, 3);
    data = genai_dataset_memory(g, 10, 2, 1, 1, pixels, NULL, &d);
    CHECK(data && !genai_dataset_batch(data, -1, 8, 1, a, NULL) && genai_dataset_describe(data).channels == 3 && a[0] == 8 / 255.0f && a[1] == a[0] && a[9] == 1.0f
          && a[3] == (float)((3 * 8 + 255 + 2) / 4) / 255.0f, "resized and converted from memory");
    genai_dataset_destroy(data);
}

/* --- sprites --- */
static void test_sprites(genai_ctx *g, genai_ctx *threaded) {
    static const int   sizes[][2] = {{4, 4}, {5, 9}, {16, 16}, {32, 32}, {33, 47}, {64, 32}, {97, 97}, {512, 512}};
    genai_dataset_desc d = desc_of(0, 0, 0);
    genai_dataset     *data = genai_dataset_sprites(g, 64, NULL), *other = genai_dataset_sprites(threaded, 64, NULL);
    genai_dataset_info info = genai_dataset_describe(data);
    static float       a[64 * 4096], b[64 * 4096];
    int                labels[64], again[64], c, i, seen[6] = {0, 0, 0, 0, 0, 0}, mirrored = 0, filled = 0;
    size_t             s;
    uint32_t           hash = 2166136261u;
    long               before;
    CHECK(data && info.count == 64 && info.width == 32 && info.height == 32 && info.channels == 4 && info.endless && info.classes == 6, "%s", genai_ctx_error(g));
    CHECK(data && !strcmp(genai_dataset_class(data, 0), "creature") && !strcmp(genai_dataset_class(data, 5), "gem"), "names");
    CHECK(data && !genai_dataset_batch(data, 0, 0, 64, a, labels) && !genai_dataset_batch(other, 0, 0, 64, b, again), "%s", genai_ctx_error(g));
    CHECK(!memcmp(a, b, sizeof a) && !memcmp(labels, again, sizeof labels), "sprites depend on the number of threads");
    for (i = 0; i < 64 * 4096; i++) hash = (hash ^ genai__to_byte(a[i])) * 16777619u;
    CHECK(hash == 0xec7d6746u, "the first 64 sprites of seed 7 have changed: 0x%08x", (unsigned)hash);
    for (i = 0; i < 64; i++) {
        int x, y, same = 0;
        seen[labels[i] >= 0 && labels[i] < 6 ? labels[i] : 0] = 1;
        for (y = 0; y < 32; y++)
            for (x = 0; x < 32; x++) {
                float alpha = a[((i * 32 + y) * 32 + x) * 4 + 3];
                same += alpha == a[((i * 32 + y) * 32 + 31 - x) * 4 + 3] && (alpha == 0.0f || alpha == 1.0f);
                filled += alpha == 1.0f;
            }
        mirrored += same == 1024;
    }
    CHECK(mirrored == 64 && filled > 64 * 150 && filled < 64 * 800, "%d of 64 outlines are mirrored, %d pixels are filled", mirrored, filled);
    CHECK(seen[0] && seen[1] && seen[2] && seen[3] && seen[4] && seen[5], "every class among 64");
    CHECK(data && !genai_dataset_batch(data, -1, 64, 64, b, again) && memcmp(a, b, sizeof a), "no end");
    CHECK(data && !genai_dataset_batch(data, 1, 0, 64, a, labels) && !memcmp(a, b, sizeof a), "epoch 1 goes on where epoch 0 ended");
    before = heap.calls;
    CHECK(data && !genai_dataset_batch(data, 2, 0, 64, a, labels) && heap.calls == before, "no allocation in later batches");
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_batch(data, 0, 60, 5, a, NULL));
    genai_dataset_destroy(data);
    genai_dataset_destroy(other);
    d.holdout = 0.25f;
    data = genai_dataset_sprites(g, 64, &d);
    CHECK(data && genai_dataset_describe(data).count == 64 && genai_dataset_describe(genai_dataset_test(data)).count == 16, "held out sprites are further ones");
    CHECK(data && !genai_dataset_batch(data, 0, 0, 16, a, NULL) && !genai_dataset_batch(genai_dataset_test(data), -1, 0, 16, b, NULL) && memcmp(a, b, 16 * 4096 * 4), "and others");
    genai_dataset_destroy(data);
    for (s = 0; s < GENAI__COUNT(sizes); s++)
        for (c = 1; c <= 4; c++) {
            static float one[512 * 512 * 4 + 1];
            int          bad = 0, n = sizes[s][0] * sizes[s][1] * c;
            d = desc_of(sizes[s][0], sizes[s][1], c);
            data = genai_dataset_sprites(g, 4, &d);
            one[n] = 77.0f;
            CHECK(data && !genai_dataset_batch(data, 0, 1, 1, one, NULL) && one[n] == 77.0f, "%dx%dx%d: %s", sizes[s][0], sizes[s][1], c, genai_ctx_error(g));
            for (i = 0; i < n; i++) bad += !(one[i] >= 0.0f && one[i] <= 1.0f);
            CHECK(!bad, "%dx%dx%d: %d values outside [0,1]", sizes[s][0], sizes[s][1], c, bad);
            genai_dataset_destroy(data);
        }
    d = desc_of(3, 0, 0);
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_sprites(g, 4, &d), "3x3", "512");
    d = desc_of(513, 513, 0);
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_sprites(g, 4, &d), "513x513", "512");
    CHECK_SENTENCE(g, GENAI_ERROR_ARGUMENT, genai_dataset_sprites(g, 0, NULL), "0 sprites", "");
    CHECK(!genai_dataset_sprites(NULL, 4, NULL), "no context");
}

/* --- memory that runs out --- */
static void use_everything(genai_ctx *g, int *finished) {
    genai_dataset_desc    d = desc_of(0, 0, 0);
    genai_dataset        *data;
    float                 batch[3 * 32 * 32 * 4];
    d.holdout = 0.3f;
    *finished = 0;
    data = genai_dataset_open(g, "f", &d);
    if (!data || genai_dataset_batch(data, 0, 0, 1, batch, NULL) || genai_image_save_grid(g, "out.png", 1, 1, 4, 4, 4, batch)) return;
    genai_dataset_destroy(data);
    data = genai_dataset_open(g, "m", NULL);
    if (!data) return;
    genai_dataset_destroy(data);
    data = genai_dataset_open(g, "c", NULL);
    if (!data) return;
    genai_dataset_destroy(data);
    data = genai_dataset_sprites(g, 3, &d);
    if (!data || genai_dataset_batch(data, 0, 0, 3, batch, NULL)) return;
    *finished = 1;
}

static void test_no_memory(void) {
    static const unsigned images[3] = {3, 2, 2}, labels[1] = {3};
    static unsigned char  record[2 * 3073];
    int                   finished = 0, forever;
    long                  at, live = heap.live, failures = 0;
    put_plain_png("f/a/1.png", 4, 4, 1, 5, 0, 0, 0);
    put_plain_png("f/b/2.png", 4, 4, 4, 9, 5, 1, 100); /* widens */
    put_plain_png("f/b/3.png", 8, 8, 3, 9, 5, 1, 0);   /* is resized */
    put_text("f/b/bad.ppm", "P6 1");
    put_idx("m/train-images-idx3-ubyte", 8, 3, images, 12, 251);
    put_idx("m/train-labels-idx1-ubyte", 8, 1, labels, 3, 251);
    put_idx("m/t10k-images-idx3-ubyte", 8, 3, images, 12, 251);
    mem_put("c/data_batch_1.bin", record, sizeof record);
    mem_put("c/test_batch.bin", record, sizeof record);
    for (forever = 0; forever < 2; forever++)
        for (at = 1, finished = 0; at < 2000 && !finished; at++) {
            genai_ctx *g = context(1, 1);
            heap.fail_at = heap.calls + at;
            heap.persistent = forever;
            use_everything(g, &finished);
            heap.fail_at = 0;
            if (!finished) {
                failures++;
                if (genai_ctx_result(g) != GENAI_ERROR_MEMORY || !genai_ctx_error(g)[0])
                    CHECK(0, "allocation %ld fails: %d (%s)", at, (int)genai_ctx_result(g), genai_ctx_error(g));
            } else CHECK(genai_ctx_result(g) == GENAI_OK, "%s", genai_ctx_error(g));
            genai_ctx_destroy(g);
            if (heap.live != live) CHECK(0, "allocation %ld fails: %ld blocks are left", at, heap.live - live);
        }
    CHECK(finished && failures > 100, "%ld failures", failures);
    mem_clear();
}

/* --- real images --- */
static void test_real(genai_ctx *g) {
    const char        *path = check_data("mnist/train-images-idx3-ubyte");
    char               folder[1024];
    genai_dataset     *data;
    genai_dataset_desc d = desc_of(0, 0, 0);
    genai_dataset_info info;
    if (path) {
        static float batch[16 * 28 * 28];
        int          labels[16], i, ink = 0;
        snprintf(folder, sizeof folder, "%.*s", (int)(strlen(path) - strlen("/train-images-idx3-ubyte")), path);
        data = genai_dataset_open(g, folder, NULL);
        info = genai_dataset_describe(data);
        CHECK(data && info.count == 8000 && info.width == 28 && info.height == 28 && info.channels == 1 && info.classes == 10, "%s", genai_ctx_error(g));
        CHECK(genai_dataset_describe(genai_dataset_test(data)).count == 1000, "MNIST test set");
        CHECK(data && !genai_dataset_batch(data, 2, 0, 16, batch, labels), "%s", genai_ctx_error(g));
        for (i = 0; i < 16 * 784; i++) ink += batch[i] > 0.5f;
        CHECK(ink > 16 * 30 && ink < 16 * 250, "%d dark pixels", ink);
        for (i = 0; i < 16; i++) CHECK(labels[i] >= 0 && labels[i] < 10, "label %d", labels[i]);
        genai_dataset_destroy(data);
        d.test = 1;
        data = genai_dataset_open(g, folder, &d);
        CHECK(data && genai_dataset_describe(data).count == 1000 && !genai_dataset_test(data), "MNIST test part");
        genai_dataset_destroy(data);
        genai_ctx_clear(g);
    }
    path = check_data("tiles/wall");
    if (path) {
        snprintf(folder, sizeof folder, "%.*s", (int)(strlen(path) - strlen("/wall")), path);
        warnings = 0;
        data = genai_dataset_open(g, folder, NULL);
        info = genai_dataset_describe(data);
        CHECK(data && info.count == 4128 && info.width == 32 && info.height == 32 && info.channels == 4 && info.classes == 4 && !info.skipped && !warnings,
              "%d images, %d channels, %d classes: %s%s", (int)info.count, info.channels, info.classes, genai_ctx_error(g), last_warning);
        CHECK(data && !strcmp(genai_dataset_class(data, 0), "floor") && !strcmp(genai_dataset_class(data, 3), "wall"), "classes of the tiles");
        genai_dataset_destroy(data);
        d = desc_of(16, 24, 3);
        d.filter = GENAI_FILTER_NEAREST;
        d.limit = 100;
        data = genai_dataset_open(g, folder, &d);
        info = genai_dataset_describe(data);
        CHECK(data && info.count == 100 && info.width == 16 && info.height == 24 && info.channels == 3 && info.classes == 4, "%s", genai_ctx_error(g));
        genai_dataset_destroy(data);
    }
}

/* --- pairs: aligned ones keep together, mirrored alike; others meet anew in each epoch --- */
static genai_dataset *numbered(genai_ctx *g, int n, int from, const genai_dataset_desc *d) { /* image i: 2x1 pixels from+i, 0 */
    unsigned char pixels[80];
    int           labels[40], i;
    for (i = 0; i < n; i++) {
        pixels[2 * i] = (unsigned char)(from + i);
        pixels[2 * i + 1] = 0;
        labels[i] = i % 3;
    }
    return genai_dataset_memory(g, (size_t)n, 2, 1, 1, pixels, labels, d);
}
static int number_of(const float *image) { return (int)(255 * (image[0] + image[1]) + 0.5f); } /* whichever side it is on */

static void test_pairs(genai_ctx *g) {
    genai_dataset_desc d;
    genai_dataset     *a, *b, *pairs, *other;
    float              x[160];
    int                labels[40], seen[40], again[40], i, epoch, met = 0;
    memset(&d, 0, sizeof d);
    d.flip = 1;
    d.holdout = 0.2f;
    pairs = genai_dataset_pairs(a = numbered(g, 40, 0, &d), b = numbered(g, 40, 100, &d), 1);
    CHECK(pairs && genai_dataset_describe(pairs).pairs && genai_dataset_describe(pairs).count == 32 && genai_dataset_describe(genai_dataset_test(pairs)).count == 8, "%s",
          genai_ctx_error(g));
    for (epoch = 0; pairs && epoch < 3; epoch++) {
        CHECK(!genai_dataset_batch(pairs, epoch, 0, 32, x, labels), "%s", genai_ctx_error(g));
        for (i = 0; i < 32; i++)
            CHECK(number_of(x + 64 + 2 * i) == number_of(x + 2 * i) + 100 && (x[64 + 2 * i] > 0) == (x[2 * i + 1] == 0) && labels[i] == number_of(x + 2 * i) % 3,
                  "epoch %d, pair %d: %d and %d", epoch, i, number_of(x + 2 * i), number_of(x + 64 + 2 * i));
    }
    CHECK(!genai_dataset_batch(genai_dataset_test(pairs), -1, 0, 8, x, NULL) && number_of(x + 16) == number_of(x) + 100, "the test pairs: %s", genai_ctx_error(g));
    genai_dataset_destroy(pairs);

    memset(&d, 0, sizeof d);
    pairs = genai_dataset_pairs(a = numbered(g, 30, 0, &d), b = numbered(g, 20, 100, &d), 0);
    memset(seen, 0, sizeof seen);
    for (epoch = 0; pairs && epoch < 2; epoch++) { /* 2 epochs of 30 are 3 passes over 20 */
        CHECK(!genai_dataset_batch(pairs, epoch, 0, 30, x, NULL), "%s", genai_ctx_error(g));
        for (i = 0; i < 30; i++) {
            seen[number_of(x + 60 + 2 * i) - 100]++;
            if (epoch) met += again[number_of(x + 2 * i)] == number_of(x + 60 + 2 * i);
            else again[number_of(x + 2 * i)] = number_of(x + 60 + 2 * i);
        }
    }
    for (i = 0; i < 20; i++) CHECK(seen[i] == 3, "target %d was seen %d times", i, seen[i]);
    CHECK(met < 10, "%d of 30 met the same target again", met);
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_pairs(pairs, a, 0));
    genai_dataset_destroy(pairs);
    a = numbered(g, 5, 0, NULL);
    b = numbered(g, 6, 0, NULL);
    d.width = d.height = 4;
    other = numbered(g, 5, 0, &d);
    CHECK(!genai_dataset_pairs(a, b, 1) && strstr(genai_ctx_error(g), "has 5 and") && strstr(genai_ctx_error(g), "the second 6"), "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK_RESULT(g, GENAI_ERROR_SHAPE, genai_dataset_pairs(a, other, 1));
    for (i = 0; i < 2; i++) { /* as many to train with, but other test sets; mirrored on one side only */
        genai_dataset *first, *second;
        memset(&d, 0, sizeof d);
        if (i) d.flip = 1;
        else d.holdout = 0.2f;
        first = numbered(g, i ? 8 : 10, 0, &d);
        second = numbered(g, 8, 0, NULL);
        CHECK(!genai_dataset_pairs(first, second, 1) && genai_ctx_result(g) == (i ? GENAI_ERROR_ARGUMENT : GENAI_ERROR_DATA) &&
              strstr(genai_ctx_error(g), i ? "flip 1, the second 0" : "has 2, the second 0"), "%s", genai_ctx_error(g));
        genai_ctx_clear(g);
        pairs = genai_dataset_pairs(first, second, 0);
        CHECK(pairs != NULL, "%s", genai_ctx_error(g));
        genai_dataset_destroy(pairs);
    }
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai_dataset_pairs(a, a, 1));
    CHECK(!genai_dataset_pairs(NULL, a, 1), "NULL");
    genai_dataset_destroy(a);
    genai_dataset_destroy(b);
    genai_dataset_destroy(other);
}

int main(void) {
    genai_ctx *g = context(1, 1), *threaded = context(3, 1), *real = context(1, 0);
    long       live;
    if (!g || !threaded || !real) return 1;
    live = heap.live;
    test_resize();
    test_channels();
    test_pnm(g);
    test_cut(g);
    test_save(g);
    test_idx(g);
    test_cifar(g);
    test_folder(g);
    test_order(g);
    test_sprites(g, threaded);
    test_pairs(g);
    test_real(real);
    CHECK(heap.live == live, "%ld blocks are left", heap.live - live);
    test_no_memory();
    genai_ctx_destroy(g);
    genai_ctx_destroy(threaded);
    genai_ctx_destroy(real);
    CHECK(heap.live == 0, "%ld blocks are left at the end", heap.live);
    return CHECK_DONE("test_data");
}
