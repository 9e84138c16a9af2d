/* The >>files room: hostile and damaged safetensors, I/O faults and failing allocations at every index, the operating
 * system's files, and an independent reader. Most of it runs on a file system in memory that can fail at any call. */
#define GENAI_IMPLEMENTATION
#include "../genai.h"
#include "check.h"
#include <time.h>

static allocations heap;

static genai_ctx *test_ctx(int in_memory) {
    genai_ctx_desc desc = quiet_desc(0, 1, GENAI_ISA_BEST, &heap);
    memset(&heap, 0, sizeof heap);
    if (in_memory) desc.io = disk_io();
    return genai_ctx_create(&desc);
}

/* --- files to test with --- */
static float test_values[40];

/* Five tensors, unsorted, one empty, and two texts with characters that need care. */
static genai_result save_sample(genai_ctx *g, const char *path, int reversed) {
    static const char *const names[5] = {"net.1.weight", "net.0.bias", "empty", "scalar", "caf\xc3\xa9 \"q\"\n"};
    static const int         dims[5][4] = {{2, 3, 1, 4}, {5, 1, 1, 1}, {3, 0, 1, 1}, {1, 1, 1, 1}, {2, 2, 1, 1}}, ndim[5] = {4, 1, 2, 0, 2};
    genai__pair              pairs[2] = {{"text", "conv 64 k4 s2 | \"x\" \\ \t\xf0\x9f\x98\x80"}, {"genai.version", "1"}};
    genai__entry             entries[5];
    size_t                   at = 0;
    int                      i, d;
    for (i = 0; i < 40; i++) test_values[i] = (float)i * 0.37f - 3.0f;
    for (i = 0; i < 5; i++) {
        genai__entry *e = &entries[reversed ? 4 - i : i];
        e->name = names[i];
        e->ndim = ndim[i];
        for (d = 0, e->count = 1; d < 4; d++) e->dim[d] = dims[i][d];
        for (d = 0; d < ndim[i]; d++) e->count *= (size_t)dims[i][d];
        e->data = test_values + at;
        at += e->count;
    }
    if (reversed) {
        genai__pair t = pairs[0];
        pairs[0] = pairs[1];
        pairs[1] = t;
    }
    return genai__safetensors_write(g, path, 5, entries, 2, pairs);
}

static genai_result load(genai_ctx *g, const char *path) { /* and forget */
    genai__safetensors file;
    genai_result       result = genai__safetensors_read(g, path, &file);
    if (result) CHECK(!file.n && !file.entries && !file.metadata && !file.header && !file.data, "%s: half loaded", path);
    genai__safetensors_free(g, &file);
    return result;
}

static void test_round_trip(genai_ctx *g, const char *path) {
    genai__safetensors  file;
    const genai__entry *e;
    genai__bytes        first, second;
    const char         *value;
    CHECK(save_sample(g, path, 0) == GENAI_OK, "%s", genai_ctx_error(g));
    CHECK(genai__safetensors_read(g, path, &file) == GENAI_OK, "%s", genai_ctx_error(g));
    CHECK(file.n == 5 && file.pairs == 4, "%zu tensors, %zu texts", file.n, file.pairs);
    e = genai__safetensors_find(&file, "net.1.weight");
    CHECK(e && e->ndim == 4 && e->dim[0] == 2 && e->dim[1] == 3 && e->dim[2] == 1 && e->dim[3] == 4 && e->count == 24 &&
          !memcmp(e->data, test_values, 24 * 4), "net.1.weight");
    e = genai__safetensors_find(&file, "net.0.bias");
    CHECK(e && e->ndim == 1 && e->dim[0] == 5 && e->dim[1] == 1 && !memcmp(e->data, test_values + 24, 20), "net.0.bias");
    e = genai__safetensors_find(&file, "empty");
    CHECK(e && e->ndim == 2 && e->dim[0] == 3 && e->dim[1] == 0 && e->count == 0, "empty");
    e = genai__safetensors_find(&file, "scalar");
    CHECK(e && e->ndim == 0 && e->count == 1 && e->data[0] == test_values[29], "scalar");
    e = genai__safetensors_find(&file, "caf\xc3\xa9 \"q\"\n");
    CHECK(e && e->count == 4 && !memcmp(e->data, test_values + 30, 16), "name with escapes");
    CHECK(!genai__safetensors_find(&file, "net") && !genai__safetensors_find(&file, "zzz") && !genai__safetensors_find(&file, ""), "found too much");
    value = genai__safetensors_get(&file, "text");
    CHECK(value && !strcmp(value, "conv 64 k4 s2 | \"x\" \\ \t\xf0\x9f\x98\x80"), "text is %s", value ? value : "missing");
    CHECK(!genai__safetensors_get(&file, "nothing"), "found too much");
    genai__safetensors_free(g, &file);

    CHECK(genai__read_file(g, path, &first) == GENAI_OK, "%s", genai_ctx_error(g));
    CHECK(save_sample(g, path, 1) == GENAI_OK, "%s", genai_ctx_error(g));
    CHECK(genai__read_file(g, path, &second) == GENAI_OK, "%s", genai_ctx_error(g));
    CHECK(first.n == second.n && !memcmp(first.p, second.p, first.n), "the order of the arguments changes the file");
    CHECK((first.n - 34 * 4) % 8 == 0 && first.p[8] == '{', "the data begin at %zu", first.n - 34 * 4);
    genai__free(g, first.p);
    genai__free(g, second.p);

    CHECK(genai__safetensors_write(g, path, 0, NULL, 0, NULL) == GENAI_OK, "%s", genai_ctx_error(g));
    CHECK(genai__safetensors_read(g, path, &file) == GENAI_OK && !file.n && file.pairs == 2, "empty file: %s", genai_ctx_error(g));
    CHECK(!genai__safetensors_find(&file, "a"), "found in nothing");
    genai__safetensors_free(g, &file);
}

/* --- headers by hand --- */
static void put_header(const char *header, size_t length, size_t data) {
    unsigned char *p = (unsigned char *)calloc(8 + length + data + 1, 1);
    int            i;
    for (i = 0; i < 8; i++) p[i] = (unsigned char)((unsigned long long)length >> (8 * i));
    memcpy(p + 8, header, length);
    disk_put("hand", p, 8 + length + data);
    free(p);
}

typedef struct test_case { genai_result result; size_t data; const char *header; } test_case;
#define T(shape, begin, end) "{\"dtype\":\"F32\",\"shape\":[" shape "],\"data_offsets\":[" begin "," end "]}"
#define BAD GENAI_ERROR_FORMAT
static const test_case cases[] = {
    {GENAI_OK, 0, "{}"}, {GENAI_OK, 0, " \t\r\n{ } \n"}, {GENAI_OK, 4, "{\"a\":" T("", "0", "4") "}   "},
    {GENAI_OK, 4, "{\"a\":" T("0", "0", "0") ",\"b\":" T("3,0", "0", "0") ",\"c\":" T("1", "0", "4") ",\"d\":" T("0", "4", "4") "}"},
    {GENAI_OK, 12, "{\"b\":" T("2", "4", "12") ",\"a\":" T("1", "0", "4") "}"},
    {GENAI_OK, 4, " { \"a\" : { \"shape\" : [ 1 , 1 ] , \"data_offsets\" : [ 0 , 4 ] , \"\\u0064type\" : \"F\\u00332\" } } "},
    {GENAI_OK, 4, "{\"\":" T("1", "0", "4") "}"}, {GENAI_OK, 0, "{\"__metadata__\":{}}"},
    {GENAI_OK, 0, "{\"__metadata__\":{\"format\":\"pt\",\"\":\"\"}}"}, {GENAI_OK, 0, "{\"__metadata__\":{\"genai.digest\":\"none\",\"genai.x\":\"\"}}"},
    {GENAI_OK, 4, "{\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\uDE00\":" T("1", "0", "4") "}"},
    /* framing */
    {BAD, 0, ""}, {BAD, 0, "    "}, {BAD, 0, "[]"}, {BAD, 0, "{"}, {BAD, 0, "{}}"}, {BAD, 0, "{}x"}, {BAD, 0, "{},"}, {BAD, 0, "{,}"}, {BAD, 0, "\xef\xbb\xbf{}"},
    {BAD, 0, "null"}, {BAD, 0, "\"a\""}, {BAD, 0, "[[[[[[[[[[[[[[[["}, {BAD, 0, "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{}}}}}}"}, {BAD, 0, "{\"a\":[]}"},
    {BAD, 4, "{\"a\":" T("1", "0", "4") ",}"}, {BAD, 8, "{\"a\":" T("1", "0", "4") "\"b\":" T("1", "4", "8") "}"}, {BAD, 4, "{\"a\" " T("1", "0", "4") "}"},
    {BAD, 4, "{a:" T("1", "0", "4") "}"}, {BAD, 4, "{'a':" T("1", "0", "4") "}"}, {BAD, 4, "{\"a\":/**/" T("1", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("1", "0", "4")},
    /* layout */
    {BAD, 0, "{\"a\":" T("1", "0", "4") "}"}, {BAD, 3, "{\"a\":" T("1", "0", "4") "}"}, {BAD, 5, "{\"a\":" T("1", "0", "4") "}"}, {BAD, 1, "{}"},
    {BAD, 8, "{\"a\":" T("1", "4", "8") "}"}, {BAD, 12, "{\"a\":" T("1", "0", "4") ",\"b\":" T("1", "8", "12") "}"},
    {BAD, 12, "{\"a\":" T("2", "0", "8") ",\"b\":" T("2", "4", "12") "}"}, {BAD, 4, "{\"a\":" T("1", "0", "4") ",\"b\":" T("1", "0", "4") "}"},
    {BAD, 4, "{\"a\":" T("1", "4", "0") "}"}, {BAD, 4, "{\"a\":" T("2", "0", "4") "}"}, {BAD, 8, "{\"a\":" T("1", "0", "8") "}"}, {BAD, 4, "{\"a\":" T("0", "0", "4") "}"},
    {BAD, 0, "{\"a\":" T("1", "18446744073709551612", "18446744073709551616") "}"}, {BAD, 0, "{\"a\":" T("1", "18446744073709551615", "3") "}"},
    {BAD, 0, "{\"a\":" T("4611686018427387903", "0", "18446744073709551612") "}"}, {BAD, 0, "{\"a\":" T("0", "5", "5") "}"},
    /* shapes */
    {BAD, 16, "{\"a\":" T("4194305,4194305,211106198978564", "0", "16") "}"}, {BAD, 0, "{\"a\":" T("4294967296,4294967296", "0", "0") "}"},
    {BAD, 0, "{\"a\":" T("1073741824,4294967296,0", "0", "0") "}"}, {BAD, 0, "{\"a\":" T("0,4294967296", "0", "0") "}"}, {BAD, 0, "{\"a\":" T("2147483648", "0", "8589934592") "}"},
    {BAD, 0, "{\"a\":" T("2147483647,2147483647,4", "0", "0") "}"}, {BAD, 0, "{\"a\":" T("1073741824,1073741824,16", "0", "0") "}"},
    {BAD, 4, "{\"a\":" T("1,1,1,1,1,1,1,1,1", "0", "4") "}"}, {GENAI_ERROR_UNSUPPORTED, 4, "{\"a\":" T("1,1,1,1,1", "0", "4") "}"},
    {GENAI_ERROR_UNSUPPORTED, 4, "{\"a\":" T("1,1,1,1,1,1,1,1", "0", "4") "}"}, {GENAI_OK, 4, "{\"a\":" T("1,1,1,1", "0", "4") "}"},
    {BAD, 0, "{\"a\":" T("1,1,1,1,1,1,2147483647,2147483647", "0", "0") "}"},
    /* numbers */
    {BAD, 4, "{\"a\":" T("-1", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("1.0", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("1e0", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("01", "0", "4") "}"},
    {BAD, 4, "{\"a\":" T("1", "00", "4") "}"}, {BAD, 4, "{\"a\":" T("18446744073709551617", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("+1", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("0x1", "0", "4") "}"},
    {BAD, 4, "{\"a\":" T("1,", "0", "4") "}"}, {BAD, 4, "{\"a\":" T(",1", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("1 1", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("\"1\"", "0", "4") "}"},
    {BAD, 4, "{\"a\":" T("[1]", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("null", "0", "4") "}"}, {BAD, 4, "{\"a\":" T("1", "-0", "4") "}"}, {BAD, 4, "{\"a\":" T("1", "0", "4.0") "}"},
    {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}"}, {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}"},
    {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[]}}"}, {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}"},
    /* keys of a tensor */
    {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}"}, {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}"}, {BAD, 4, "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}"},
    {BAD, 0, "{\"a\":{}}"}, {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}"},
    {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"}, {BAD, 4, "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}"},
    {BAD, 4, "{\"a\":{\"dtype\":\"f32\",\"shape\":[1],\"data_offsets\":[0,4]}}"}, {BAD, 4, "{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}"},
    {BAD, 4, "{\"a\":{\"dtype\":32,\"shape\":[1],\"data_offsets\":[0,4]}}"}, {BAD, 4, "{\"a\":{\"dtype\":\"F32AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\",\"shape\":[1],\"data_offsets\":[0,4]}}"},
    {GENAI_ERROR_UNSUPPORTED, 2, "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}"}, {GENAI_ERROR_UNSUPPORTED, 8, "{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]}}"},
    {GENAI_ERROR_UNSUPPORTED, 1, "{\"a\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}"}, {BAD, 1, "{\"a\":{\"dtype\":\"F4\",\"shape\":[1],\"data_offsets\":[0,1]}}"},
    {GENAI_ERROR_UNSUPPORTED, 3, "{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}"}, {BAD, 4, "{\"a\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}"},
    /* repeated names */
    {BAD, 0, "{\"a\":" T("0", "0", "0") ",\"a\":" T("0", "0", "0") "}"}, {BAD, 8, "{\"a\":" T("1", "0", "4") ",\"a\":" T("1", "4", "8") "}"},
    {BAD, 8, "{\"a\":" T("1", "0", "4") ",\"\\u0061\":" T("1", "4", "8") "}"}, {BAD, 0, "{\"__metadata__\":{\"a\":\"\",\"b\":\"\",\"a\":\"\"}}"},
    {BAD, 0, "{\"__metadata__\":{},\"__metadata__\":{}}"}, {BAD, 0, "{\"__metadata__\":{},\"__met\\u0061data__\":{}}"},
    /* metadata */
    {BAD, 0, "{\"__metadata__\":{\"a\":1}}"}, {BAD, 0, "{\"__metadata__\":{\"a\":null}}"}, {BAD, 0, "{\"__metadata__\":{\"a\":{\"b\":\"c\"}}}"}, {BAD, 0, "{\"__metadata__\":{\"a\":[\"b\"]}}"},
    {BAD, 0, "{\"__metadata__\":null}"}, {BAD, 0, "{\"__metadata__\":[]}"}, {BAD, 0, "{\"__metadata__\":\"a\"}"}, {BAD, 0, "{\"__metadata__\":{\"a\"}}"}, {BAD, 0, "{\"__metadata__\":{\"a\":\"b\",}}"},
    {BAD, 0, "{\"__metadata__\":{\"genai.version\":\"1\"}}"}, {BAD, 0, "{\"__metadata__\":{\"genai.digest\":\"0000000000000000\"}}"}, {BAD, 0, "{\"__metadata__\":{\"genai.digest\":\"None\"}}"},
    {BAD, 0, "{\"__metadata__\":{\"genai.digest\":\"000000000000000\"}}"}, {BAD, 0, "{\"__metadata__\":{\"genai.digest\":\"000000000000000g\"}}"}, {BAD, 0, "{\"__metadata__\":{\"genai.digest\":\"\\u0030000000000000000\"}}"},
    /* strings */
    {BAD, 4, "{\"\\u0000\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"a\\u0000b\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\\ud800\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\\udc00\":" T("1", "0", "4") "}"},
    {BAD, 4, "{\"\\ud800\\u0041\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\\ud800\\ud800\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\\ud800x\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\\x41\":" T("1", "0", "4") "}"},
    {BAD, 4, "{\"\\u12g4\":" T("1", "0", "4") "}"}, {BAD, 0, "{\"\\u12"}, {BAD, 0, "{\"\\"}, {BAD, 0, "{\"a"}, {BAD, 0, "{\"\\ud800\\u"}, {BAD, 4, "{\"a\nb\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"a\tb\":" T("1", "0", "4") "}"},
    {BAD, 4, "{\"\xc0\x80\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\xed\xa0\x80\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\xf5\x80\x80\x80\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\xe2\x82\":" T("1", "0", "4") "}"},
    {BAD, 4, "{\"\xf4\x90\x80\x80\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\xe0\x80\xaf\":" T("1", "0", "4") "}"}, {BAD, 4, "{\"\x80\":" T("1", "0", "4") "}"}, {BAD, 0, "{}\xe2\x82"},
};

static void test_headers(genai_ctx *g) {
    static const unsigned long long lengths[] = {0, 1, 3, 63, 64, 65, 1000, 16777216, 16777217, 100000000, 100000001, 0x7fffffffu, 0x80000000u, 0xffffffffu, 0x100000000ull,
                                                 0x7fffffffffffffffull, 0x8000000000000000ull, 0xfffffffffffffff7ull, 0xfffffffffffffff8ull, 0xffffffffffffffffull};
    size_t             i, k;
    long               blocks = heap.live;
    genai__safetensors file;
    genai_result       result;
    char               text[256];
    for (i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_header(cases[i].header, strlen(cases[i].header), cases[i].data);
        result = load(g, "hand");
        CHECK(result == cases[i].result && !result == !genai_ctx_error(g)[0], "%s gives %d, not %d (%s)", cases[i].header, (int)result,
              (int)cases[i].result, genai_ctx_error(g));
        genai_ctx_clear(g);
        CHECK(heap.live == blocks, "%s leaks", cases[i].header);
    }
    put_header(cases[10].header, strlen(cases[10].header), 4);
    CHECK(!genai__safetensors_read(g, "hand", &file) && genai__safetensors_find(&file, "\"\\/\b\f\n\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"), "escapes: %s", genai_ctx_error(g));
    genai__safetensors_free(g, &file);

    put_header("{}\0\0\0\0\0\0", 8, 0);
    CHECK_RESULT(g, BAD, load(g, "hand"));
    put_header("{\"a\0b\":" T("0", "0", "0") "}", sizeof "{\"a\0b\":" T("0", "0", "0") "}" - 1, 0);
    CHECK_RESULT(g, BAD, load(g, "hand"));
    for (i = 0; i < sizeof lengths / sizeof *lengths; i++) { /* a wrong N before a header of 64 bytes and 8 of data */
        memset(text, ' ', sizeof text);
        for (k = 0; k < 8; k++) text[k] = (char)(unsigned char)(lengths[i] >> (8 * k));
        memcpy(text + 8, "{\"a\":" T("2", "0", "8") "}", strlen("{\"a\":" T("2", "0", "8") "}"));
        memset(text + 72, 0, 8);
        disk_put("hand", text, 80);
        heap.peak = heap.bytes;
        k = heap.bytes;
        CHECK_RESULT(g, lengths[i] == 64 ? GENAI_OK : BAD, load(g, "hand"));
        CHECK(heap.peak - k < 100000, "N = %llu takes %zu bytes", lengths[i], heap.peak - k);
    }
    for (i = 0; i < 8; i++) {
        disk_put("hand", text, i);
        CHECK_RESULT(g, BAD, load(g, "hand"));
    }
    put_header("{\"a\":" T("1000000000", "0", "4000000000") "}", strlen("{\"a\":" T("1000000000", "0", "4000000000") "}"), 8);
    heap.peak = heap.bytes;
    k = heap.bytes;
    CHECK_RESULT(g, BAD, load(g, "hand"));
    CHECK(heap.peak - k < 200000, "4 GB promised: %zu bytes are taken", heap.peak - k);
    put_header("{\"a\\u001b[31m" "0123456789012345678901234567890123456789012345678901234567890123456789" "\":" T("2", "0", "4") "}",
               strlen("{\"a\\u001b[31m" "0123456789012345678901234567890123456789012345678901234567890123456789" "\":" T("2", "0", "4") "}"), 4);
    CHECK(load(g, "hand") == BAD && !strchr(genai_ctx_error(g), 27) && strstr(genai_ctx_error(g), "a?[31m0123"), "escape sequence in %s", genai_ctx_error(g));
    genai_ctx_clear(g);
    for (i = 0; i < 3; i++) {
        static const unsigned char bad[3][4] = {{0, 0, 0x80, 0x7f}, {0, 0, 0xc0, 0xff}, {1, 0, 0x80, 0x7f}};
        put_header("{\"a\":" T("1", "0", "4") "}", strlen("{\"a\":" T("1", "0", "4") "}"), 4);
        memcpy(disk_find("hand")->p + disk_find("hand")->n - 4, bad[i], 4);
        CHECK_RESULT(g, GENAI_ERROR_NONFINITE, load(g, "hand"));
    }
    CHECK(heap.live == blocks, "%ld blocks leaked", heap.live - blocks);
}

/* Large headers: time n log n, memory at most 4 times the header plus the file. */
static void test_abuse(genai_ctx *g) {
    char *text = (char *)malloc(17 << 20);
    int   kind, i;
    for (kind = 0; kind < 6; kind++) {
        static const char *const what[6] = {"overlapping", "large and overlapping", "smallest tensors", "one repeated name", "metadata", "long names"};
        size_t       n = 1, live = heap.bytes;
        clock_t      start = clock();
        genai_result result;
        double       seconds;
        text[0] = '{';
        if (kind == 4) n = (size_t)sprintf(text, "{\"__metadata__\":{");
        for (i = 0; n < ((size_t)16 << 20) - 1100 && i < (kind == 1 ? 100000 : 2000000); i++) {
            if (i) text[n++] = ',';
            if (kind == 0) n += (size_t)sprintf(text + n, "\"%d\":" T("1", "0", "4"), i);
            else if (kind == 1) n += (size_t)sprintf(text + n, "\"%d\":" T("40000", "0", "160000"), i);
            else if (kind == 2) n += (size_t)sprintf(text + n, "\"%x\":" T("0", "0", "0"), (unsigned)((long long)i * 7919 % 1000003));
            else if (kind == 3) n += (size_t)sprintf(text + n, "\"a\":" T("0", "0", "0"));
            else if (kind == 4) n += (size_t)sprintf(text + n, "\"%x\":\"\"", i);
            else {
                text[n] = '"';
                memset(text + n + 1, 'a', 1000);
                n += 1001 + (size_t)sprintf(text + n + 1001, "%d\":" T("0", "0", "0"), i);
            }
        }
        if (kind == 4) text[n++] = '}';
        text[n++] = '}';
        put_header(text, n, kind == 1 ? 160000 : 4);
        heap.peak = heap.bytes;
        start = clock();
        result = load(g, "hand");
        seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        CHECK(result == BAD, "%s: %d", what[kind], (int)result); /* 2, 4 and 5: trailing bytes */
        CHECK(strstr(genai_ctx_error(g), kind < 2 ? "begins at byte 0" : kind == 3 ? "twice" : "more bytes"), "%s: %s", what[kind], genai_ctx_error(g));
        genai_ctx_clear(g);
        CHECK(heap.peak - live <= 4 * n + 300000, "%s: %zu bytes of heap for a header of %zu", what[kind], heap.peak - live, n);
        CHECK(seconds < 20, "%s: %d names took %g s", what[kind], i, seconds);
        CHECK(heap.bytes == live, "%s leaks", what[kind]);
    }
    free(text);
}

/* Every prefix and every flipped bit: with a digest all are refused; without one nothing worse than a wrong value. */
static void test_damage(genai_ctx *g) {
    static const char header[] = "{\"__metadata__\":{\"format\":\"pt\"},\"a\":" T("2,1", "0", "8") ",\"b\\u00e9\":" T("", "8", "12") ",\"c\":" T("0", "12", "12") "}  ";
    static const int  values[] = {0, 255, ' ', '"', '{', '}', '9', ','};
    unsigned char    *whole;
    size_t            n, i, k;
    long              blocks;
    int               digest, refused;
    for (digest = 1; digest >= 0; digest--) {
        if (digest) save_sample(g, "hand", 0);
        else put_header(header, sizeof header - 1, 12);
        n = disk_find("hand")->n;
        whole = (unsigned char *)malloc(n);
        memcpy(whole, disk_find("hand")->p, n);
        CHECK(load(g, "hand") == GENAI_OK, "%s", genai_ctx_error(g));
        blocks = heap.live;
        for (i = 0; i < n; i++) {
            disk_put("hand", whole, i);
            CHECK(load(g, "hand") == BAD && genai_ctx_error(g)[0], "cut to %zu of %zu bytes", i, n);
            genai_ctx_clear(g);
        }
        for (i = 0, refused = 0; i < n; i++)
            for (k = 0; k < 8 + sizeof values / sizeof *values; k++) {
                int value = k < 8 ? whole[i] ^ 1 << k : values[k - 8];
                if (value == whole[i]) continue;
                disk_put("hand", whole, n);
                disk_find("hand")->p[i] = (unsigned char)value;
                if (load(g, "hand")) {
                    refused++;
                    CHECK(genai_ctx_error(g)[0], "byte %zu: no sentence", i);
                } else CHECK(!digest, "byte %zu of %zu changed from %d to %d is not noticed", i, n, whole[i], value);
                genai_ctx_clear(g);
            }
        CHECK(refused > (int)n, "only %d refused", refused);
        CHECK(heap.live == blocks && !disk_open_handles(), "leaks");
        free(whole);
    }
}

/* --- faults --- */
static genai_result do_write(genai_ctx *g) { return save_sample(g, "model", 0); }
static genai_result do_read(genai_ctx *g) { return load(g, "model"); }
static genai_result do_append(genai_ctx *g) { return genai__append_file(g, "model", "row\n", 4); }
static genai_result do_bytes(genai_ctx *g) {
    genai__bytes b;
    genai_result result = genai__read_file(g, "model", &b);
    CHECK(!result == (b.p != NULL), "half a file");
    genai__free(g, b.p);
    return result;
}
static genai_result (*const jobs[])(genai_ctx *) = {do_write, do_read, do_append, do_bytes};
static const char *const job_names[] = {"write", "read", "append", "read_file"};

static void test_faults(genai_ctx *g) {
    static const char old[] = "the old file";
    unsigned char     whole[4096];
    size_t            n, most;
    long              blocks = heap.live;
    int               job, persistent, memory;
    long              k, left, reached;
    save_sample(g, "model", 0);
    n = disk_find("model")->n;
    memcpy(whole, disk_find("model")->p, n);
    for (job = 0; job < 4; job++)
        for (memory = 0; memory < 2; memory++)
            for (persistent = 0; persistent < 2; persistent++)
                for (most = 0; most < 4; most += 3)
                    for (k = 1, reached = 1; reached && k < 5000; k++) {
                        genai_result result, wanted = memory ? GENAI_ERROR_MEMORY : GENAI_ERROR_IO;
                        memory_file *f;
                        disk_reset();
                        heap.calls = heap.fail_at = 0;
                        if (job == 1 || job == 3) disk_put("model", whole, n);
                        else disk_put("model", old, sizeof old);
                        disk.most = most;
                        *(memory ? &heap.fail_at : &disk.fail_at) = k;
                        disk.persistent = heap.persistent = persistent;
                        result = jobs[job](g);
                        reached = (memory ? heap.calls : disk.calls) >= k;
                        heap.fail_at = 0;
                        f = disk_find("model");
                        if (!reached) CHECK(result == GENAI_OK, "%s without a fault: %s", job_names[job], genai_ctx_error(g));
                        else if ((job == 1 || job == 3) && !memory && !strcmp(disk.failed, "close")) CHECK(result == GENAI_OK, "close after reading");
                        else {
                            CHECK(result == wanted && genai_ctx_error(g)[0], "%s, %s %ld: %d (%s)", job_names[job], memory ? "allocation" : "call", k,
                                  (int)result, genai_ctx_error(g));
                            CHECK(memory || strstr(genai_ctx_error(g), "model"), "no path in: %s", genai_ctx_error(g));
                            if (!job) {
                                CHECK(f && f->n == sizeof old && !memcmp(f->p, old, sizeof old), "%s %ld: the old file is lost", memory ? "allocation" : "call", k);
                                CHECK(persistent || !disk_find("model.tmp"), "the temporary file stays");
                            }
                        }
                        if (!job && !result) CHECK(f && f->n == n && !memcmp(f->p, whole, n), "another file was written");
                        if (job == 2) CHECK(f && f->n >= sizeof old && !memcmp(f->p, old, sizeof old), "appending changed what was there");
                        if (job == 2 && !result) CHECK(f && f->n == sizeof old + 4 && !memcmp(f->p + sizeof old, "row\n", 4), "nothing was appended");
                        CHECK(heap.live == blocks && !disk_open_handles() && !disk.misuse, "%s %ld: %ld blocks, %d handles, %d misuses",
                              job_names[job], k, heap.live - blocks, disk_open_handles(), disk.misuse);
                        genai_ctx_clear(g);
                        if (disk_find("model.tmp")) disk_find("model.tmp")->path[0] = 0;
                    }
    for (left = 0; left < (long)n; left += 7) { /* a disk that fills up */
        disk_reset();
        disk_put("model", old, sizeof old);
        disk.full = 1;
        disk.left = (size_t)left;
        CHECK_RESULT(g, GENAI_ERROR_IO, do_write(g));
        CHECK(disk_find("model")->n == sizeof old && !disk_find("model.tmp"), "full after %ld bytes", left);
    }
    disk_reset();
}

static void test_arguments(genai_ctx *g) {
    float        x[2] = {1, 2}, infinite[1];
    uint32_t     bits = 0x7f800000u;
    genai__entry e = {"a", 1, {2, 1, 1, 1}, NULL, 2}, two[2];
    genai__pair  p = {"k", "v"};
    genai__bytes b;
    memcpy(infinite, &bits, 4);
    e.data = x;
    disk_put("keep", "old", 3);
#define WRONG(code, change)                                                                                            \
    do {                                                                                                               \
        genai__entry kept = e;                                                                                         \
        genai__pair  pair = p;                                                                                         \
        change;                                                                                                        \
        CHECK_RESULT(g, code, genai__safetensors_write(g, "keep", 1, &e, 1, &p));                                      \
        CHECK(disk_find("keep")->n == 3 && !disk_find("keep.tmp"), "%s: the file was touched", #change);               \
        e = kept;                                                                                                      \
        p = pair;                                                                                                      \
    } while (0)
    WRONG(GENAI_ERROR_ARGUMENT, e.count = 3);
    WRONG(GENAI_ERROR_ARGUMENT, e.ndim = 5);
    WRONG(GENAI_ERROR_ARGUMENT, e.ndim = -1);
    WRONG(GENAI_ERROR_ARGUMENT, e.dim[0] = -2);
    WRONG(GENAI_ERROR_ARGUMENT, e.name = "__metadata__");
    WRONG(GENAI_ERROR_ARGUMENT, e.name = "\xff");
    WRONG(GENAI_ERROR_ARGUMENT, p.key = "genai.digest");
    WRONG(GENAI_ERROR_ARGUMENT, p.key = "genai.format");
    WRONG(GENAI_ERROR_ARGUMENT, p.key = "\xc3");
    WRONG(GENAI_ERROR_ARGUMENT, p.value = "\xed\xa0\x80");
    WRONG(GENAI_ERROR_NONFINITE, (e.data = infinite, e.dim[0] = 1, e.count = 1));
    two[0] = two[1] = e;
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai__safetensors_write(g, "keep", 2, two, 0, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai__safetensors_write(g, NULL, 1, &e, 0, NULL));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai__read_file(g, NULL, &b));
    CHECK_RESULT(g, GENAI_ERROR_ARGUMENT, genai__append_file(g, NULL, "", 0));
    CHECK_RESULT(g, GENAI_ERROR_IO, genai__read_file(g, "nothing", &b));
    disk_find("keep")->path[0] = 0;
}

static int by_text(const void *a, const void *b) { return genai__by_name(a, b); }
static void test_parts(genai_ctx *g) {
    genai__crc64 crc;
    char         digits[17] = {0}, names[257][8];
    const char  *list[257];
    size_t       n, i, k;
    genai__crc64_begin(&crc);
    genai__crc64_add(&crc, (const unsigned char *)"123456789", 9);
    genai__crc64_digits(&crc, digits);
    CHECK(!strcmp(digits, "995dc9bbdf1939fa"), "CRC-64/XZ of 123456789 is %s", digits); /* the catalogue's check value */
    for (n = 0; n < 257; n++) {
        for (i = 0; i < n; i++) {
            sprintf(names[i], "%u", (unsigned)(i * 7919 % 251));
            list[i] = names[i];
        }
        genai__sort(list, n, sizeof *list, by_text);
        for (i = 1, k = 1; i < n; i++) k &= strcmp(list[i - 1], list[i]) <= 0;
        CHECK(k, "%zu names are not sorted", n);
        for (i = 0; i < n; i++) k &= genai__find_name(list, n, sizeof *list, names[i]) != NULL;
        CHECK(k && !genai__find_name(list, n, sizeof *list, "x"), "%zu names are not found", n);
        CHECK((genai__repeated_name(list, n, sizeof *list) != NULL) == (n > 251), "repeated name in %zu", n);
    }
    (void)g;
}

/* --- the operating system's files --- */
#if !defined(_WIN32) && !defined(GENAI_NO_STDIO)
#define DIR_NAME "test_files.dir"
static void count_entry(void *to, const char *name, int is_dir) {
    int *seen = (int *)to;
    if (!strcmp(name, "model.safetensors") && !is_dir) seen[0]++;
    else if (!strcmp(name, "inner") && is_dir) seen[1]++;
    else seen[2]++;
}

static void test_python(const char *path) {
    static const char expected[] =
        "digest right aligned\nmetadata 'genai.format' '1'\nmetadata 'genai.version' '1'\nmetadata 'text' 'conv 64 k4 s2 | \"x\" \\\\ \\t\\U0001f600'\n"
        "'caf\\xe9 \"q\"\\n' F32 [2, 2] [";
    char   command[1024], text[4096];
    const char *slash = strrchr(__FILE__, '/');
    FILE  *f;
    size_t n;
    if (system("python3 -c pass >/dev/null 2>&1")) {
        printf("skipped: the independent reader, since there is no python3\n");
        return;
    }
    snprintf(command, sizeof command, "python3 %.*sread_safetensors.py %s > " DIR_NAME "/out", slash ? (int)(slash - __FILE__) + 1 : 0, __FILE__, path);
    CHECK(!system(command), "%s", command);
    f = fopen(DIR_NAME "/out", "rb");
    n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (f) fclose(f);
    text[n] = 0;
    CHECK(!strncmp(text, expected, sizeof expected - 1), "Python reads:\n%s", text);
    CHECK(strstr(text, "'empty' F32 [3, 0] []\n") && strstr(text, "'scalar' F32 [] [7.7") && strstr(text, "'net.1.weight' F32 [2, 3, 1, 4] [-3.0, -2.63"),
          "Python reads:\n%s", text);
    remove(DIR_NAME "/out");
}

static void test_system(genai_ctx *g) {
    static const char path[] = DIR_NAME "/model.safetensors";
    const genai_io   *io = &g->desc.io;
    genai__bytes      b = {NULL, 0};
    struct stat       st;
    int               seen[3] = {0, 0, 0};
    size_t            i;
    long              blocks = heap.live;
    unsigned char    *large = (unsigned char *)malloc(300001);
    CHECK(!system("rm -rf " DIR_NAME), "clearing");
    CHECK(!io->make_dir(io->user, DIR_NAME) && !io->make_dir(io->user, DIR_NAME), "make_dir, twice");
    CHECK(!io->make_dir(io->user, DIR_NAME "/inner"), "make_dir inside");
    CHECK(io->make_dir(io->user, DIR_NAME "/no/where"), "make_dir below nothing");
    test_round_trip(g, path);
    CHECK(io->make_dir(io->user, path), "make_dir on a file");
    CHECK(stat(DIR_NAME "/model.safetensors.tmp", &st), "the temporary file stays");
    CHECK(!chmod(path, 0640) && save_sample(g, path, 0) == GENAI_OK && !stat(path, &st) && (st.st_mode & 0777) == 0640, "permissions are now %o",
          (unsigned)st.st_mode & 0777u);
    test_python(path);
    for (i = 0; i < 300001; i++) large[i] = (unsigned char)(i * 31 >> 3);
    CHECK(!genai__write_file(g, DIR_NAME "/large", large, 300001) && !genai__read_file(g, DIR_NAME "/large", &b) && b.n == 300001 && !memcmp(b.p, large, b.n),
          "large file: %s", genai_ctx_error(g));
    genai__free(g, b.p);
    CHECK(!genai__write_file(g, DIR_NAME "/large", "", 0) && !genai__read_file(g, DIR_NAME "/large", &b) && b.n == 0, "empty file: %s", genai_ctx_error(g));
    genai__free(g, b.p);
    CHECK(!genai__append_file(g, DIR_NAME "/large", "one\n", 4) && !genai__append_file(g, DIR_NAME "/large", "two\n", 4) &&
          !genai__read_file(g, DIR_NAME "/large", &b) && b.n == 8 && !memcmp(b.p, "one\ntwo\n", 8), "appending: %s", genai_ctx_error(g));
    genai__free(g, b.p);
    CHECK(!io->remove(io->user, DIR_NAME "/large") && io->remove(io->user, DIR_NAME "/large"), "removing");
    CHECK(!system("mkfifo " DIR_NAME "/pipe"), "mkfifo"); /* must not be listed: opening it would wait for ever */
    CHECK(!io->list(io->user, DIR_NAME, count_entry, seen) && seen[0] == 1 && seen[1] == 1 && !seen[2], "list: %d %d %d", seen[0], seen[1], seen[2]);
    CHECK(io->list(io->user, path, count_entry, seen) && io->list(io->user, DIR_NAME "/none", count_entry, seen), "list of no folder");
    CHECK(genai__read_file(g, DIR_NAME, &b) == GENAI_ERROR_IO && strstr(genai_ctx_error(g), "folder"), "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK(genai__read_file(g, DIR_NAME "/none", &b) == GENAI_ERROR_IO && strstr(genai_ctx_error(g), "No such file"), "%s", genai_ctx_error(g));
    genai_ctx_clear(g);
    CHECK_RESULT(g, GENAI_ERROR_IO, genai__write_file(g, DIR_NAME "/no/where", "x", 1));
    CHECK_RESULT(g, GENAI_ERROR_IO, genai__write_file(g, DIR_NAME "/inner", "x", 1)); /* a folder */
    CHECK_RESULT(g, GENAI_ERROR_IO, genai__append_file(g, DIR_NAME "/inner", "x", 1));
    CHECK(!system("ln -s /dev/full " DIR_NAME "/full"), "ln");
    CHECK_RESULT(g, GENAI_ERROR_IO, genai__write_file(g, DIR_NAME "/full", "x", 1)); /* a device is never replaced */
    CHECK(!stat(DIR_NAME "/full", &st) && !S_ISREG(st.st_mode) && stat(DIR_NAME "/full.tmp", &st), "the device was replaced");
    CHECK_RESULT(g, GENAI_ERROR_IO, genai__append_file(g, DIR_NAME "/full", "x", 1)); /* ENOSPC */
    CHECK(heap.live == blocks, "leaks");
    CHECK(!system("rm -r " DIR_NAME), "removing");
    free(large);
}
#endif

int main(void) {
    genai_ctx *g = test_ctx(1);
    if (!g) return 1;
    test_parts(g);
    test_round_trip(g, "model");
    disk.most = 1; /* a byte at a time */
    test_round_trip(g, "model");
    disk_reset();
    test_arguments(g);
    test_headers(g);
    test_damage(g);
    test_faults(g);
    test_abuse(g);
    genai_ctx_destroy(g);
    CHECK(!heap.bytes, "%zu bytes are left", heap.bytes);
    disk_clear();
#ifdef DIR_NAME
    g = test_ctx(0);
    test_system(g);
    genai_ctx_destroy(g);
    CHECK(!heap.bytes, "%zu bytes are left", heap.bytes);
#endif
    return CHECK_DONE("files");
}
