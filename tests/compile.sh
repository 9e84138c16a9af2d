#!/bin/sh
# Holds genai.h against its promises to whoever includes it: compilers, languages, warnings, switches, symbols, compile time.
# Run in the project's root; needs gcc and clang (what is missing is said and skipped). Last line: "compile: N passed, N failed".
# usage: tests/compile.sh [time]   only how long compiling takes: for a machine that does nothing else meanwhile
root=$(pwd)
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cp genai.h "$work/genai.h"
cd "$work" || exit 1
passed=0 failed=0 log=$work/log
strict="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wdouble-promotion -Wcast-qual -Wundef -Werror"

check() { # check NAME COMMAND...: passes if the command succeeds and says nothing
    name=$1
    shift
    if "$@" >"$log" 2>&1 && [ ! -s "$log" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "compile: FAILED $name"
        head -n 12 "$log" | sed 's/^/    /'
    fi
}
runs() { # runs NAME PROGRAM...: passes if the program ends with status 0
    name=$1
    shift
    if "$@" >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "compile: FAILED $name (status $?)"
        tail -n 12 "$log" | sed 's/^/    /'
    fi
}
end() {
    cd "$root" || exit 1
    echo "compile: $passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}
have() { command -v "$1" >/dev/null || { echo "compile: skipped $1: it isn't installed"; false; }; }

# --- what is compiled ---
printf '#include "genai.h"\n' >plain.c
printf '#define GENAI_IMPLEMENTATION\n#include "genai.h"\n' >whole.c
cat >stb.c <<'END'
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#endif
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#define GENAI_IMPLEMENTATION
#include "genai.h"
END
# A small training: from memory, so that it runs without a file system too. Valid C99 and C++11.
cat >small.h <<'END'
#include <string.h>
static void *small_no_open(void *user, const char *path, int write) { (void)user; (void)path; (void)write; return NULL; }
static int small(void) {
    static float       images[4 * 8 * 8 * 3], made[4 * 8 * 8 * 3];
    genai_ctx_desc     desc;
    genai_model_desc   what;
    genai_losses       losses;
    genai_ctx         *ctx;
    genai_model       *model;
    int                i, status = 1;
    memset(&desc, 0, sizeof desc);
    memset(&what, 0, sizeof what);
    for (i = 0; i < 4 * 8 * 8 * 3; i++) images[i] = (float)(i % 7) / 7.0f;
    desc.threads = 2;
#ifdef GENAI_NO_SIMD
    desc.isa = GENAI_ISA_SCALAR;
#endif
    ctx = genai_ctx_create(&desc);
    if (!ctx) return 1;
    what.preset = "vae";
    what.width = what.height = 8;
    what.channels = 3;
    what.decoder = "dense 32 | relu | dense $D | reshape $Hx$Wx$C";
    what.encoder = "flatten | dense 32 | relu | dense 2*$Z";
    model = genai_model_create(ctx, &what);
    for (i = 0; i < 3; i++) genai_model_step(model, 4, images, NULL, &losses);
    genai_model_sample(model, 1, 4, NULL, made);
    if (!genai_ctx_report(ctx) && made[0] >= 0 && made[0] <= 1) status = 0;
    (void)small_no_open;
    genai_ctx_destroy(ctx);
    return status;
}
END
printf '#define GENAI_IMPLEMENTATION\n#include "genai.h"\n#include "small.h"\nint main(void) { return small(); }\n' >run.c
printf '#define GENAI_STATIC\n#define GENAI_IMPLEMENTATION\n#include "genai.h"\n#include "small.h"\nint other(void);\nint other(void) { return small(); }\n' >other.c
printf '#define GENAI_STATIC\n#define GENAI_IMPLEMENTATION\n#include "genai.h"\n#include "small.h"\nint other(void);\nint main(void) { return small() || other(); }\n' >main.c
printf '#include "genai.h"\n#include "small.h"\nint other(void);\nint other(void) { return small(); }\n' >user.c
printf '#include "genai.h"\n#include "small.h"\nint other(void);\nint main(void) { return small() || other(); }\n' >user_main.c
# Non-finite numbers are noticed under -ffast-math too.
cat >fast.c <<'END'
#define GENAI_IMPLEMENTATION
#include "genai.h"
#include <string.h>
static void quiet(void *user, genai_log_level level, const char *text) { (void)user; (void)level; (void)text; }
int main(void) {
    const uint32_t       nan_bits = 0x7fc00000u;
    const int            dim[1] = {4}, many[1] = {1000};
    float                bad, before;
    genai_ctx_desc       desc;
    genai_optimizer_desc rule;
    genai_ctx           *ctx;
    genai_tensor        *t, *loss;
    genai_optimizer     *optimizer;
    double               squares = 0;
    int                  i;
    memcpy(&bad, &nan_bits, sizeof bad);
    memset(&desc, 0, sizeof desc);
    memset(&rule, 0, sizeof rule);
    desc.log = quiet;
    ctx = genai_ctx_create(&desc);
    t = genai_tensor_create(ctx, 1, dim);
    if (!t) return 1;
    t->requires_grad = 1;
    t->data[0] = before = 0.5f;
    optimizer = genai_optimizer_create(ctx, &rule);
    genai_optimizer_add_tensor(optimizer, t, 1);
    genai_optimizer_zero(optimizer);
    loss = genai_sum(genai_mul(t, genai_scalar(ctx, bad)), 0);
    if (genai_backward(loss) == GENAI_OK && genai_optimizer_step(optimizer) != GENAI_ERROR_NONFINITE) return 2;
    if (t->data[0] != before) return 3;
    for (desc.isa = GENAI_ISA_SCALAR; desc.isa <= GENAI_ISA_NEON; desc.isa = (genai_isa)(desc.isa + 1)) {
        t = genai_square(genai_random_normal(genai_ctx_create(&desc), 1, many)); /* NULL: not on this processor */
        for (squares = 0, i = 0; t && i < many[0]; i++) squares += t->data[i] > 0 ? (double)t->data[i] : 1000;
        if (t && !(squares > 800 && squares < 1200)) return 4; /* 1000, with a standard deviation of 45, and none 0 */
    }
    return 0;
}
END

# Compiled without optimisation: one warning for each context where that matters, which is with clang.
cat >slow.c <<'END'
#define GENAI_IMPLEMENTATION
#include "genai.h"
static void count(void *user, genai_log_level level, const char *text) { *(int *)user += level == GENAI_LOG_WARNING && strstr(text, "-O2"); }
int main(int argc, char **argv) {
    int            warnings = 0;
    genai_ctx_desc desc;
    genai_ctx     *ctx;
    memset(&desc, 0, sizeof desc);
    desc.log = count;
    desc.log_user = &warnings;
    ctx = genai_ctx_create(&desc);
    genai_matmul(genai_scalar(ctx, 1), genai_scalar(ctx, 1), 0, 0);
    genai_ctx_destroy(ctx);
    return argc != 2 || warnings != atoi(argv[1]);
}
END

# --- compile time: processor time, since others may use the machine too; the best of three ---
best() {
    least=999999
    for i in 1 2 3; do
        took=$(sh -c '"$@" >/dev/null 2>&1; times' sh "$@" | awk 'NR == 2 { split($1, t, /[ms]/); print int(1000 * (60 * t[1] + t[2])) }')
        [ "$took" -lt $least ] && least=$took
    done
    echo $least
}
if [ "$1" = time ] && have gcc; then
    : >empty.c
    # In units of stb_image and stb_image_write, since machines differ by twice: 1.4 s where the limit of 6 s was set.
    printf '#define STB_IMAGE_IMPLEMENTATION\n#include <stb/stb_image.h>\n#define STB_IMAGE_WRITE_IMPLEMENTATION\n#include <stb/stb_image_write.h>\n' >unit.c
    unit=$(best gcc -O2 -c unit.c -o unit.o)
    whole=$(best gcc -O2 -c whole.c -o whole.o)
    i=0 include=999999
    while [ $((i += 1)) -le 10 ]; do # too short for the processor's clock: by the wall's
        a=$(date +%s%N) && gcc -O2 -fsyntax-only empty.c && b=$(date +%s%N) && gcc -O2 -fsyntax-only plain.c && c=$(date +%s%N)
        took=$(((c - b - (b - a)) / 1000000))
        [ $took -lt $include ] && include=$took
    done
    echo "compile: implementation $whole ms, stb_image and stb_image_write $unit ms, plain include $include ms (gcc -O2)"
    check "implementation compiles in less than 4.3 times stb's" [ "$((10 * whole))" -lt "$((43 * unit))" ]
    check "a plain include costs less than 0.03 s" [ "$include" -lt 30 ]
    end
fi

# --- compilers, languages, optimisation, warnings ---
for one in "gcc -std=c99" "clang -std=c99" "g++ -std=c++11 -xc++" "clang++ -std=c++11 -xc++"; do
    have "${one%% *}" || continue
    extra=
    case $one in *c99) extra="-Wstrict-prototypes -Wmissing-prototypes" ;; esac
    how=-fsyntax-only # gcc says more when it optimises
    case $one in gcc*) how="-O2 -c -o whole.o" ;; esac
    check "$one: plain include" $one $strict $extra -fsyntax-only plain.c
    check "$one $how: implementation" $one $strict $extra $how whole.c
    check "$one: with stb" $one $strict $extra -fsyntax-only stb.c
done
have gcc && check "gcc -std=c11 -O3 -march=native" gcc -std=c11 -O3 -march=native $strict -c whole.c -o native.o

# --- switches, each alone, in both languages: compiled without a warning, and a small training runs ---
for one in "gcc -std=c99" "clang++ -std=c++11 -xc++"; do
    have "${one%% *}" || continue
    for switch in "" -DGENAI_STATIC -DGENAI_NO_STDIO -DGENAI_NO_THREADS -DGENAI_NO_SIMD; do
        check "$one $switch" $one $strict $switch -O0 -c run.c -o run.o
        ${one%% *} run.o -o run -lm >/dev/null 2>&1
        runs "$one $switch: a small training" ./run
    done
done

# --- several files in one program ---
if have gcc; then
    check "one implementation, two users" gcc -std=c99 -O0 $strict whole.c user.c user_main.c -o run -lm
    runs "one implementation, two users: run" ./run
    check "two GENAI_STATIC files" gcc -std=c99 -O0 $strict main.c other.c -o run -lm
    runs "two GENAI_STATIC files: run" ./run
    mkdir renamed
    cp genai.h renamed/images.h
    sed 's/genai\.h/images.h/' run.c >renamed/run.c
    cp small.h renamed/
    check "GENAI_HEADER_FILENAME" gcc -std=c99 -O0 $strict '-DGENAI_HEADER_FILENAME="images.h"' renamed/run.c -o run -lm
    runs "GENAI_HEADER_FILENAME: run" ./run
    for fast in "gcc -O2" "gcc -O3 -march=native" "clang -O2"; do
        have "${fast%% *}" || continue
        $fast -ffast-math fast.c -o fast -lm >/dev/null 2>&1
        runs "$fast -ffast-math: not a number is noticed, numbers are right" ./fast
    done
fi

for one in "gcc -O0:0" "clang -O0:1" "clang -O1:0"; do
    have "${one%% *}" || continue
    rm -f slow
    ${one%:*} slow.c -o slow -lm >/dev/null 2>&1
    runs "${one%:*}: warnings that it is slow" ./slow "${one#*:}"
done

# --- the flags of the user hold for the code after the file: it compiles to the same with and without the file before it ---
printf 'int user(float *a, int n);\nint user(float *a, int n) { int i, s = 0; for (i = 0; i < n; i++) s += a[i] != a[i] * a[i] + 1; return s; }\n' >after.h
printf '#include "after.h"\n' >without.c
printf '#define GENAI_IMPLEMENTATION\n#include "genai.h"\n#include "after.h"\n' >with.c
same_code() { # same_code COMPILER FLAGS...
    for one in without with; do "$@" -S $one.c -o - | awk '/^user:/ { on = 1 } on { sub(/#.*/, ""); gsub(/\.?L[A-Za-z_]*[0-9_]+/, "L"); gsub(/[ \t]+/, " "); print } /^[ \t]*\.size[ \t]+user/ { on = 0 }' >$one.s; done
    cmp without.s with.s
}
for one in "gcc -O3 -ffast-math -march=native" "clang -O2 -ffast-math"; do
    have "${one%% *}" && check "$one after the include" same_code $one
done

# --- symbols: only genai_ defined; nothing that ends, prints, asks or changes the process; no mutable data ---
for cc in gcc clang; do
    have $cc || continue
    [ $cc = gcc ] || $cc -std=c99 -O0 -c whole.c -o whole.o # gcc's is there
    check "$cc: only genai_ symbols" sh -c 'nm whole.o | awk '\''$2 ~ /^[A-TV-Z]$/ && $3 !~ /^genai_/'\'
    check "$cc: no call that a guest may not make" sh -c \
        'nm whole.o | awk '\''$1 == "U"'\'' | grep -E " (abort|exit|_exit|printf|puts|signal|rand|srand|getenv|setlocale|__assert_fail|atexit|system)$"; true'
    check "$cc: no mutable data" sh -c "size -A whole.o | awk '\$1 ~ /^[.]t?(data|bss)/ && \$1 !~ /^[.]data[.]rel[.]ro/ && \$2 != 0 { print \$1, \$2 }'"
    $cc -std=c99 -O0 -DGENAI_NO_STDIO -c whole.c -o bare.o
    check "$cc: GENAI_NO_STDIO uses no file and no stream" sh -c \
        'nm bare.o | awk '\''$1 == "U"'\'' | grep -E " (fopen|fclose|fread|fwrite|fputs|fputc|stderr|stdout|open|read|write|rename|unlink|mkdir|opendir)$"; true'
done

end
