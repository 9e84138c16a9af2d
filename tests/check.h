/* What test programs share: counting checks, memory that counts and can fail, files in memory that can fail, quiet contexts.
 * Include it after genai.h. */
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

/* --- an allocator that counts, and can fail: user is an allocations, all zero at first --- */
typedef struct allocations {
    long   live, calls;  /* blocks; allocations so far                 */
    long   fail_at;      /* the so manieth call fails; 0: none         */
    int    persistent;   /* and all after it                           */
    size_t bytes, peak;  /* live ones; the most that were              */
    size_t most;         /* that are given at once; 0: any number      */
} allocations;
#define CHECK_HEADER 64 /* before each block: its size */
static inline void *counted_alloc(void *user, size_t bytes) {
    allocations *a = (allocations *)user;
    size_t      *p;
    a->calls++;
    if (a->fail_at > 0 && (a->calls == a->fail_at || (a->persistent && a->calls > a->fail_at))) return NULL;
    p = a->most && bytes > a->most ? NULL : (size_t *)malloc(bytes + CHECK_HEADER);
    if (!p) return NULL;
    *p = bytes;
    a->live++;
    a->bytes += bytes;
    if (a->bytes > a->peak) a->peak = a->bytes;
    return (char *)p + CHECK_HEADER;
}
static inline void counted_free(void *user, void *p) {
    allocations *a = (allocations *)user;
    size_t      *start = (size_t *)(void *)((char *)p - CHECK_HEADER);
    if (!p) return;
    a->live--;
    a->bytes -= *start;
    free(start);
}

/* A context's desc that says nothing; counted: NULL, or what it allocates from. */
static inline genai_ctx_desc quiet_desc(uint64_t seed, int threads, genai_isa isa, allocations *counted) {
    genai_ctx_desc d;
    memset(&d, 0, sizeof d);
    d.seed = seed;
    d.threads = threads;
    d.isa = isa;
    d.log = check_quiet;
    if (!counted) return d;
    d.allocator.alloc = counted_alloc;
    d.allocator.free = counted_free;
    d.allocator.user = counted;
    return d;
}

/* --- files in memory, the same for all contexts of a program; any call can fail --- */
typedef struct memory_file { char path[96]; unsigned char *p; size_t n, capacity; int dirty; } memory_file; /* p[n] is 0 */
typedef struct memory_handle { memory_file *file; size_t at; int open; } memory_handle;
#define DISK_FILES 64
#define DISK_HANDLES 4
static struct {
    memory_file   file[DISK_FILES];
    memory_handle handle[DISK_HANDLES];
    long          calls, fail_at;   /* the so manieth call fails; 0: none                     */
    int           persistent;       /* and all after it                                       */
    size_t        most;             /* bytes a read or write does at most; 0: any number      */
    int           full;             /* 1: `left` more bytes can be written                    */
    size_t        left;
    const char   *failed;           /* the call that failed first                             */
    int           misuse;           /* renamed while open or unsynced, used after close       */
} disk;

static inline int disk_fails(const char *what) {
    disk.calls++;
    if (!disk.fail_at || disk.calls < disk.fail_at || (disk.calls > disk.fail_at && !disk.persistent)) return 0;
    if (!disk.failed) disk.failed = what;
    return 1;
}
static inline memory_file *disk_find(const char *path) {
    int i;
    for (i = 0; i < DISK_FILES; i++)
        if (!strcmp(disk.file[i].path, path)) return &disk.file[i];
    return NULL;
}
static inline memory_file *disk_make(const char *path) {
    memory_file *f = disk_find(path);
    if (f) return f;
    f = disk_find("");
    if (!f) return NULL;
    snprintf(f->path, sizeof f->path, "%s", path);
    f->n = 0;
    return f;
}
static inline void disk_room(memory_file *f, size_t n) {
    if (n < f->capacity) return;
    f->capacity = 2 * n + 1;
    f->p = (unsigned char *)realloc(f->p, f->capacity);
}
static inline void disk_put(const char *path, const void *p, size_t n) {
    memory_file *f = disk_make(path);
    disk_room(f, n);
    if (n) memcpy(f->p, p, n);
    f->p[n] = 0;
    f->n = n;
    f->dirty = 0;
}
static inline void *disk_open(void *user, const char *path, int write) {
    int i = 0;
    (void)user;
    if (disk_fails("open")) return NULL;
    while (i < DISK_HANDLES && disk.handle[i].open) i++;
    if (i == DISK_HANDLES) return NULL;
    disk.handle[i].file = write ? disk_make(path) : disk_find(path);
    if (!disk.handle[i].file) return NULL;
    if (write == 1) disk.handle[i].file->n = 0;
    disk.handle[i].at = 0;
    disk.handle[i].open = 1;
    return &disk.handle[i];
}
static inline memory_handle *disk_handle(void *file) {
    memory_handle *h = (memory_handle *)file;
    if (!h->open) disk.misuse++;
    return h;
}
static inline long disk_read(void *user, void *file, void *to, size_t n) {
    memory_handle *h = disk_handle(file);
    (void)user;
    if (disk_fails("read")) return -1;
    if (n > h->file->n - h->at) n = h->file->n - h->at;
    if (disk.most && n > disk.most) n = disk.most;
    if (n) memcpy(to, h->file->p + h->at, n);
    h->at += n;
    return (long)n;
}
static inline long disk_write(void *user, void *file, const void *p, size_t n) {
    memory_handle *h = disk_handle(file);
    (void)user;
    if (disk_fails("write") || (disk.full && !disk.left)) return -1;
    if (disk.most && n > disk.most) n = disk.most;
    if (disk.full && n > disk.left) n = disk.left;
    if (disk.full) disk.left -= n;
    disk_room(h->file, h->at + n);
    memcpy(h->file->p + h->at, p, n);
    h->at += n;
    h->file->n = h->at;
    h->file->p[h->at] = 0;
    h->file->dirty = 1;
    return (long)n;
}
static inline int disk_append(void *user, void *file) {
    memory_handle *h = disk_handle(file);
    (void)user;
    if (disk_fails("append")) return -1;
    h->at = h->file->n;
    return 0;
}
static inline int disk_sync(void *user, void *file) {
    memory_handle *h = disk_handle(file);
    (void)user;
    if (disk_fails("sync")) return -1;
    h->file->dirty = 0;
    return 0;
}
static inline int disk_close(void *user, void *file) {
    memory_handle *h = disk_handle(file);
    (void)user;
    h->open = 0; /* as on Linux: closed whatever it says */
    return disk_fails("close");
}
static inline int disk_remove(void *user, const char *path) { /* its memory stays for the next one */
    memory_file *f = disk_find(path);
    (void)user;
    if (disk_fails("remove") || !f) return -1;
    f->path[0] = 0;
    return 0;
}
static inline int disk_rename(void *user, const char *from, const char *to) {
    memory_file *f = disk_find(from), *old = disk_find(to);
    int          i;
    (void)user;
    if (disk_fails("rename") || !f) return -1;
    for (i = 0; i < DISK_HANDLES; i++) disk.misuse += disk.handle[i].open;
    disk.misuse += f->dirty;
    if (old) old->path[0] = 0;
    snprintf(f->path, sizeof f->path, "%s", to);
    return 0;
}
static inline int disk_make_dir(void *user, const char *path) { (void)user; (void)path; return 0; }
static inline int disk_list(void *user, const char *path, void (*entry)(void *, const char *, int), void *to) {
    (void)user; (void)path; (void)entry; (void)to;
    disk_fails("list");
    return -1;
}
static inline genai_io disk_io(void) {
    genai_io io;
    memset(&io, 0, sizeof io);
    io.open = disk_open;
    io.read = disk_read;
    io.write = disk_write;
    io.append = disk_append;
    io.sync = disk_sync;
    io.close = disk_close;
    io.rename = disk_rename;
    io.remove = disk_remove;
    io.make_dir = disk_make_dir;
    io.list = disk_list;
    return io;
}
static inline int disk_open_handles(void) {
    int i, n = 0;
    for (i = 0; i < DISK_HANDLES; i++) n += disk.handle[i].open;
    return n;
}
static inline void disk_reset(void) { /* no faults; the files stay */
    disk.calls = disk.fail_at = 0;
    disk.persistent = disk.full = 0;
    disk.most = 0;
    disk.failed = NULL;
}
static inline void disk_clear(void) {
    int i;
    for (i = 0; i < DISK_FILES; i++) free(disk.file[i].p);
    memset(&disk, 0, sizeof disk);
}

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
