/* What every test program shares: counting checks, and contexts that count what they allocate. */
#ifndef GENAI_TESTS_CHECK_H
#define GENAI_TESTS_CHECK_H
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check_passed, check_failed;

#define CHECK(condition, ...)                                                                                          \
    do {                                                                                                               \
        if (condition) check_passed++;                                                                                 \
        else {                                                                                                         \
            check_failed++;                                                                                            \
            printf("%s:%d: FAILED %s: ", __FILE__, __LINE__, #condition);                                              \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
        }                                                                                                              \
    } while (0)

/* The call fails with this code and leaves a sentence; the context is clean again afterwards. */
#define CHECK_RESULT(ctx, code, call)                                                                                  \
    do {                                                                                                               \
        (void)(call);                                                                                                  \
        CHECK(genai_ctx_result(ctx) == (code) && ((code) == GENAI_OK || genai_ctx_error(ctx)[0]), "%s gives %d (%s)",  \
              #call, (int)genai_ctx_result(ctx), genai_ctx_error(ctx));                                                \
        genai_ctx_clear(ctx);                                                                                          \
    } while (0)

#define CHECK_DONE(name) (printf("%s: %d passed, %d failed\n", name, check_passed, check_failed), check_failed != 0)

/* Where each operation costs many times its usual (emulators, sanitizers), CHECK_SHORT leaves out what differs in a number only. */
static inline int check_short(void) { return getenv("CHECK_SHORT") != NULL; }

/* A log that says nothing: for tests that provoke errors. */
static inline void check_quiet(void *user, genai_log_level level, const char *text) { (void)user; (void)level; (void)text; }

/* Where the real images are: GENAI_DATA, else ../shared/data; NULL (with a printed reason) if neither is there. */
static inline const char *check_data(const char *what) {
    static char path[1024];
    const char *root = getenv("GENAI_DATA");
    FILE       *f;
    snprintf(path, sizeof path, "%s/%s", root ? root : "../shared/data", what);
    f = fopen(path, "rb");
    if (!f) {
        printf("skipped: no %s (set GENAI_DATA)\n", path);
        return NULL;
    }
    fclose(f);
    return path;
}
#endif
