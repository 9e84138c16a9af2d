#!/bin/sh
# make lint: rules about the source text that no compiler checks. Shows each breach with file and line; the last line is
# "lint: N passed, N failed". Run in the project's root.
passed=0 failed=0
none() { # none RULE BREACHES: passes if there are no breaches
    if [ -z "$2" ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "lint: $1:"
        echo "$2" | head -n 20 | sed 's/^/    /'
    fi
}
sources=$(ls genai.h tools/*.[ch] tests/*.[ch] examples/*.c 2>/dev/null)
scripts=$(ls tools/*.sh tests/*.sh .ci/run 2>/dev/null)
tab=$(printf '\t') return=$(printf '\r')

# --- every file ---
none "blanks at the end of a line" "$(grep -nE "[ $tab$return]+\$" $sources $scripts Makefile)"
none "tabs" "$(grep -n "$tab" $sources $scripts)"
none "lines over 200 characters" "$(awk 'length($0) > 200 { print FILENAME ":" FNR ": " length($0) " characters" }' genai.h tools/*.[ch] $(ls examples/*.c 2>/dev/null))"
none "unfinished places" "$(grep -nE '(TO''DO|FIX''ME)' $sources $scripts)"

# --- genai.h: rooms ---
# Headings have one form: a rule, then " * >>tag (public)". The table of contents stands before the first heading, from the
# word "contents" on; its tags are those of the headings, in their order.
heading='^ \* >>[a-z_]+ \((public|private)\)$'
headings=$(awk -v form="$heading" 'before ~ /^\/\* =+$/ && $0 ~ form { sub(/^ \* >>/, ""); sub(/ .*/, ""); print } { before = $0 }' genai.h)
contents=$(awk -v form="$heading" '
    $0 ~ form { exit }
    tolower($0) ~ /contents/ { inside = 1 }
    inside { while (match($0, />>[a-z_]+/)) { print substr($0, RSTART + 2, RLENGTH - 2); $0 = substr($0, RSTART + RLENGTH) } }' genai.h)
none "a table of contents that isn't the list of rooms" "$([ "$contents" = "$headings" ] || { echo "contents:" $contents; echo "rooms:   " $headings; })"
none "headings of another form" "$(awk -v form="$heading" 'before ~ /^\/\* =+$/ && /^ \* >>/ && $0 !~ form { print FILENAME ":" FNR ": " $0 } { before = $0 }' genai.h)"
none "two rooms of one name" "$(echo "$headings" | sort | uniq -d)"
none "tags of no room" "$(grep -oE '>>[a-z_]+' genai.h | sort -u | while read -r tag; do echo "$headings" | grep -qx "${tag#>>}" || echo "$tag"; done)"

# --- genai.h: names, calls, size ---
none "macros without GENAI_" "$(awk '/^#ifndef GENAI_H$/ { code = 1 } code && /^ *# *define +/ && !/define +(GENAI_|genai__)/ { print FILENAME ":" FNR ": " $0 }' genai.h)"
# Definitions and prototypes at file scope begin in the first column; the name is the last word before "(", "[", "=", "{" or ";".
none "names at file scope without genai_" "$(awk '
    /^(GENAI_API|GENAI__INLINE|GENAI__NOINLINE|static|const|unsigned|int|void|float|double|size_t|char|struct|enum|union) / {
        line = $0
        sub(/[(=;\[{].*/, "", line)
        sub(/ +$/, "", line)
        n = split(line, word, /[ *]+/)
        if ($0 ~ /^enum \{ GENAI_/ || $0 ~ /\} genai__[a-z_]+\[/ || $0 ~ /struct \{$/) next
        if (word[n] !~ /^(genai_|GENAI_)/) print FILENAME ":" FNR ": " $0
    }' genai.h)"
none "types without genai_" "$(grep -nE '^typedef (struct|enum|union) ' genai.h | grep -vE 'typedef (struct|enum|union) (genai_|\{)'
    grep -nE '^} *[A-Za-z_]' genai.h | grep -vE ':\} *(genai_|while|else)')"
none "calls that a library may not make" "$(
    grep -nE '(^|[^A-Za-z0-9_"])(abort|exit|_exit|printf|puts|putchar|getenv|setlocale|rand|srand|assert|system|signal) *\(' genai.h |
    grep -vE '^[0-9]+: \*|//|\* .*\*/')"
none "genai.h is longer than 15400 lines" "$(awk 'END { if (NR > 15400) print NR " lines" }' genai.h)"
none "a first screen without the cc command" "$(head -n 60 genai.h | grep -q 'cc -O2' || echo 'no "cc -O2" in the first 60 lines')"

# --- every op has a test, and every known mistake ---
# Ops without a public function of their name are parts of others' gradients, and tested there.
ops=$(grep -oE 'genai__op_[a-z0-9_]+ *= *\{' genai.h | sed 's/genai__op_//; s/ *= *{//' | sort -u)
none "ops without a test in tests/test_ops.c" "$(for op in $ops; do
    ! grep -q "^GENAI_API genai_tensor \*genai_$op(" genai.h || grep -qE "CHECK_OP\($op,|genai_$op\(" tests/test_ops.c || echo "$op"
done)"

# The last column of a row: "file: function, function; file: function", or a script alone.
none "tests in docs/traps.md that aren't there" "$(sed -n 's/^| T.*| \(.*\) |$/\1/p' docs/traps.md | tr ';' '\n' | sed 's/,//g; s/^ *//' | while read -r file names; do
    [ -e "tests/${file%:}" ] || echo "tests/${file%:}"
    for name in $names; do grep -q "^static void $name(" "tests/${file%:}" || echo "${file%:}: $name"; done
done)"

# --- examples ---
none "examples without their cc command in the first comment" "$(for example in examples/*.c; do
    [ ! -e "$example" ] || awk '{ print } /\*\// { exit }' "$example" | grep -q "cc .*$(basename "$example")" || echo "$example"
done)"

echo "lint: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
