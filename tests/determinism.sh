#!/bin/sh
# One hash per preset (those in tests/test_determinism.c) for gcc and clang at -O0, -O2, -O3 (for Arm -O2, with clang -O3 too),
# the scalar, AVX2, AVX-512 and NEON passes (the last under qemu, without dcgan64 and gan_dense_conv, which take it minutes),
# threads 1, 2, 3, 7, and a resume half-way. About 3 minutes on 2 cores: threads and resumes vary where a run is fast; slow passes train the large presets once (with clang: one of them).
# Usage: tests/determinism.sh (from the repository's root). JOBS: how many programs at once (2). Exit status 1: a hash
# differs, or something could not be built; what this machine has not is said and skipped.
set -u
cd "$(dirname "$0")/.." || exit 1
B=build/determinism
JOBS=${JOBS:-2}
CPU=$(cat /proc/cpuinfo 2>/dev/null)
mkdir -p $B
rm -f $B/*.log $B/*.failed $B/builds $B/runs

build() { # name compiler flags
    if command -v "$2" >/dev/null 2>&1; then echo "$*" >>$B/builds
    else echo "skipped: no $2"; fi
}
for o in 2 0 3; do
    build gcc-O$o gcc -O$o
    build clang-O$o clang -O$o
done
if command -v qemu-aarch64 >/dev/null 2>&1; then
    build arm-O2 aarch64-linux-gnu-gcc -O2 -static
    for o in 2 3; do build armclang-O$o clang --target=aarch64-linux-gnu -O$o -static; done
else
    echo "skipped: no qemu-aarch64"
fi

run() { # build isa arguments
    [ -x "$B/$1" ] || return
    case $2 in
        avx2) case $CPU in *avx2*) ;; *) return ;; esac ;;
        avx512) case $CPU in *avx512f*) ;; *) return ;; esac ;;
    esac
    echo "$*" >>$B/runs
}

xargs -P "$JOBS" -L 1 sh -c 'name=$1; cc=$2; shift 2
    $cc -std=c99 "$@" tests/test_determinism.c -o '$B'/$name.new -lm -lpthread >'$B'/$name.log 2>&1 && mv '$B'/$name.new '$B'/$name ||
    { echo "FAILED to build $name:"; cat '$B'/$name.log; touch '$B'/$name.failed; }' - <$B/builds

case $CPU in *avx512f*) ;; *) echo "skipped: this processor has no avx512" ;; esac
case $CPU in *avx2*) ;; *) echo "skipped: this processor has no avx2" ;; esac
run arm-O2 neon threads=2 straight most # the longest first
run gcc-O2 scalar threads=2 straight
run clang-O2 scalar threads=3 straight preset=dcgan_k4
for isa in avx2 avx512; do
    run gcc-O2 $isa threads=1
    for t in 2 7; do run gcc-O2 $isa threads=$t straight; done
    run clang-O2 $isa threads=3
    for b in gcc-O0 gcc-O3 clang-O3; do run $b $isa threads=2 straight; done
    run clang-O0 $isa threads=2 straight small
    run clang-O0 $isa threads=2 straight preset=dcgan_k4
done
for t in 3 7; do run gcc-O2 scalar threads=$t small; done
run arm-O2 neon threads=7 small straight
for b in gcc-O0 gcc-O3 clang-O0 clang-O2 clang-O3 arm-O2; do run $b scalar threads=2 small straight; done
for b in armclang-O2 armclang-O3; do run $b neon threads=2 small; done
run armclang-O2 neon threads=3 straight preset=dcgan_k4

xargs -P "$JOBS" -L 1 sh -c 'name=$1; isa=$2; shift 2
    log='$B'/$name-$isa-$(echo "$*" | tr " =" "-_").log
    case $name in arm*) with=qemu-aarch64 ;; *) with= ;; esac
    if $with '$B'/$name isa=$isa "$@" >$log 2>&1; then echo "same bits: $name $isa $*"
    else echo "FAILED: $name $isa $*"; cat $log; touch $log.failed; fi' - <$B/runs

failed=$(ls $B/*.failed 2>/dev/null | wc -l)
echo "determinism: $(wc -l <$B/runs) runs of $(wc -l <$B/builds) builds, $failed failed"
[ "$failed" = 0 ]
