#!/bin/sh
# Guards speed where noise can't reach: the instructions of one training step (one thread; AVX2, since valgrind 3.19 knows
# no AVX-512) as callgrind counts them must lie within 2 % of tests/instructions.txt. Some 40 seconds: valgrind computes
# each lane of a fused multiply-add in software, hence the small batch. What the first step sets up isn't counted.
#   sh tests/instructions.sh            compares
#   sh tests/instructions.sh --update   writes the counts of now into the file: commit it with the change that explains it
# Counts depend on compiler, C library and valgrind. The file's first line names those that it was made with (gcc and glibc
# of Debian 12); where they aren't the same here, or there is no AVX2, the test says so and passes without counting.
# Last line: "instructions: N passed, N failed".
cd "$(dirname "$0")/.." || exit 1
file=tests/instructions.txt B=build/instructions passed=0 failed=0
presets="dcgan_k4:3 vae_mlp:64" # preset:batch
mkdir -p $B
skip() { echo "instructions: skipped: $1"; echo "instructions: 0 passed, 0 failed"; exit 0; }

command -v gcc >/dev/null || skip "there is no gcc"
command -v valgrind >/dev/null || skip "there is no valgrind"
grep -q avx2 /proc/cpuinfo 2>/dev/null || skip "this processor has no AVX2"
here="gcc $(gcc -dumpfullversion) $(gcc -dumpmachine), $(getconf GNU_LIBC_VERSION), $(valgrind --version)"
[ "$1" = --update ] || [ "$(head -n 1 $file)" = "$here" ] || skip "the counts are those of $(head -n 1 $file); here is $here"
gcc -O2 -o $B/step tests/instructions.c -lm || exit 1

count() { # count PRESET BATCH: instructions of the step
    valgrind --tool=callgrind --callgrind-out-file=$B/$1.out --toggle-collect=counted_step $B/step "$1" "$2" >$B/$1.log 2>&1 &&
        sed -n 's/^\(summary\|totals\): \([0-9]*\)$/\2/p' $B/$1.out | head -n 1
}
for p in $presets; do count "${p%:*}" "${p#*:}" >"$B/${p%:*}.count" & done
wait

[ "$1" != --update ] || echo "$here" >$file
for p in $presets; do
    now=$(cat "$B/${p%:*}.count")
    [ "${now:-0}" -gt 1000000 ] || { echo "instructions: FAILED ${p%:*}: not counted"; tail -n 5 "$B/${p%:*}.log"; failed=$((failed + 1)); continue; }
    [ "$1" != --update ] || echo "${p%:*} ${p#*:} $now" >>$file
    then=$(awk -v p="${p%:*}" -v n="${p#*:}" '$1 == p && $2 == n { print $3 }' $file)
    if awk -v a="$now" -v b="${then:-0}" 'BEGIN { printf "instructions: %s of %s, %+.2f %%\n", a, b, b ? 100 * (a / b - 1) : 0; exit !(b && a <= 1.02 * b && a >= 0.98 * b) }'
    then passed=$((passed + 1))
    else
        echo "instructions: FAILED ${p%:*} batch ${p#*:}: more than 2 % from $file; if that is meant: sh tests/instructions.sh --update"
        failed=$((failed + 1))
    fi
done
echo "instructions: $passed passed, $failed failed"
[ $failed -eq 0 ]
