#!/bin/sh
# The pages of compare and train in a browser: all pictures load, nothing comes from elsewhere, nothing is wider than the window,
# the numbers are those of results.csv. Needs Chromium; skipped, with a line that says so, where there is none. Run in the
# project's root after make. Last line: "test_report: N passed, N failed".
case ${GENAI_TOOL:=build/genai} in /*) ;; *) GENAI_TOOL=$(pwd)/$GENAI_TOOL ;; esac
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -z "$browser" ]; then
    echo "test_report: skipped: there is no Chromium (Debian: apt-get install chromium)"
    echo "test_report: 0 passed, 0 failed"
    exit 0
fi
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
passed=0 failed=0
is() { # is NAME COMMAND...: the command succeeds
    name=$1
    shift
    if "$@" >/dev/null 2>&1; then passed=$((passed + 1)); else failed=$((failed + 1)); echo "test_report: FAILED $name: $*"; fi
}
seed=0
bytes() { # bytes N: the same in every run, others in every call
    seed=$((seed + 1))
    LC_ALL=C awk -v n="$1" -v x=$seed 'BEGIN { for (; n > 0; n--) { x = (x * 69069 + 1) % 4294967296; printf "%c", int(x / 65536) % 255 + 1 } }'
}
mkdir seen unseen
for d in seen/a seen/b unseen/a unseen/b; do
    mkdir $d
    for i in 1 2 3 4 5 6 7 8 9 10 11 12; do { printf 'P5 8 8 255\n'; bytes 64; } >$d/$i.pgm; done
done
# What the page has become in the browser, as text of its last element: a line for each picture, number and thing too wide.
asked='<pre id="told"></pre><script>
addEventListener("load", () => {
    let told = "";
    for (const i of document.images) told += "picture " + (i.complete && i.naturalWidth > 0) + "\n";
    for (const e of document.querySelectorAll("[data-measure]")) told += "number," + e.dataset.name + "," + e.dataset.measure + "," + e.textContent + ",\n";
    for (const e of document.querySelectorAll(".card, figure, h2, p, img"))
        if (e.getBoundingClientRect().right > document.documentElement.clientWidth + 1) told += "wide " + e.outerHTML.slice(0, 80) + "\n";
    for (const e of document.querySelectorAll(".bar > span"))
        if (e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).textOverflow != "ellipsis") told += "wide " + e.textContent + "\n";
    told += "loaded " + performance.getEntriesByType("resource").filter(r => !r.name.startsWith("data:")).length + "\n";
    document.getElementById("told").textContent = told;
});
</script>'
look() { # look PAGE WIDTH: what the browser tells of it, in the file told
    { cat "$1"; printf '%s\n' "$asked"; } >page.html
    timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" --window-size="$2,900" --virtual-time-budget=5000 \
        --dump-dom "file://$work/page.html" >dom 2>/dev/null
    sed -n '/<pre id="told">/,/<\/pre>/p' dom | sed 's/.*<pre id="told">//; s/<\/pre>.*//' >told
}
echo '<p>an empty page</p>' >empty.html
if ! timeout 60 "$browser" --headless --no-sandbox --disable-gpu --user-data-dir="$work/browser" --dump-dom "file://$work/empty.html" 2>/dev/null | grep -q 'an empty page'; then
    echo "test_report: skipped: $browser doesn't start here"
    echo "test_report: 0 passed, 0 failed"
    exit 0
fi
is "training" "$GENAI_TOOL" train --preset vae_mlp --size 8 --channels 1 --data seen --batch 8 --steps 12 --threads 1 --out run
is "training" "$GENAI_TOOL" train --preset gan --size 8 --channels 1 --data seen --batch 8 --steps 2 --threads 1 --out "a <b> & \"c\""
is "comparing" "$GENAI_TOOL" compare run "a <b> & \"c\"" unseen --data seen --test unseen --steps 3 --threads 1 -o out -n 24
for width in 1300 500; do
    look out/report.html $width
    is "pictures at $width" grep -q '^picture true' told
    is "all pictures load at $width" sh -c '! grep -q "^picture false" told'
    is "nothing comes from elsewhere" grep -qx 'loaded 0' told
    is "nothing is wider than a window of $width" sh -c '! grep "^wide" told'
    is "numbers are on the page" [ "$(grep -c '^number' told)" -gt 100 ]
    # name,measure,value, as the browser shows them and as results.csv has them (csv quotes names, HTML escapes them)
    sed -n 's/^number,//p' told | sed 's/&lt;/</g; s/&gt;/>/g; s/&amp;/\&/g' | sort -u >shown
    sed '1d; s/^"//; s/""/"/g; s/",/,/' out/results.csv | awk -F, '$3 != "" { print $1 "," $2 "," $3 "," }' | sort -u >measured
    is "the numbers of the page at $width are those of results.csv" cmp shown measured
done
look run/report.html 500
is "pictures of a training" [ "$(grep -c '^picture true' told)" -ge 4 ]
is "all of them load" sh -c '! grep -q "^picture false" told'
is "curves of a training" [ "$(grep -c '<polyline' run/report.html)" -ge 3 ]
is "its page is not wider than a narrow window" sh -c '! grep "^wide" told'

echo "test_report: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
