#!/bin/sh
# Runs test programs and adds up their last lines "NAME: N passed, N failed". A program that ends without that line, or
# with a failing status and no failure counted, counts as one failure. RUN: what to run compiled programs under (qemu-aarch64).
# usage: tests/run.sh PROGRAM|SCRIPT.sh ...
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
passed=0 failed=0
for program; do
    case $program in
    *.sh) sh "$program" >"$log" 2>&1 ;;
    *) $RUN "$program" >"$log" 2>&1 ;;
    esac
    status=$?
    cat "$log"
    line=$(tail -n 1 "$log" | sed -n 's/^.*: \([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p')
    if [ -z "$line" ]; then
        echo "$program: FAILED, ended with status $status and no count"
        failed=$((failed + 1))
        continue
    fi
    passed=$((passed + ${line% *}))
    failed=$((failed + ${line#* }))
    if [ $status -ne 0 ] && [ "${line#* }" -eq 0 ]; then
        echo "$program: FAILED, status $status"
        failed=$((failed + 1))
    fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
