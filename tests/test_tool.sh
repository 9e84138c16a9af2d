#!/bin/sh
# The command line as a user meets it: every command, every kind of bad input with its sentence and exit status, stopping and
# resuming. Run in the project's root after make. GENAI_TOOL: the binary. Last line: "test_tool: N passed, N failed".
case ${GENAI_TOOL:=build/genai} in /*) ;; *) GENAI_TOOL=$(pwd)/$GENAI_TOOL ;; esac
work=$(mktemp -d) || exit 1
trap 'umount "$work/small" 2>/dev/null; chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work" || exit 1
passed=0 failed=0 seed=0

genai() { "$GENAI_TOOL" "$@"; }
bytes() { # bytes N: the same in every run, others in every call; none is 0
    seed=$((seed + 1))
    LC_ALL=C awk -v n="$1" -v x=$seed 'BEGIN { for (; n > 0; n--) { x = (x * 69069 + 1) % 4294967296; printf "%c", int(x / 65536) % 255 + 1 } }'
}
tell() { # tell OK NAME [WHY]: counts one check
    if [ "$1" = yes ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "test_tool: FAILED $2: $3"
        sed 's/^/    /' err | head -n 6
    fi
}
# check STATUS PATTERN ARGUMENTS...: genai ends with this status. 0: PATTERN (or "") is found in what it prints. 1 and 2: it says
# exactly one sentence on stderr, "genai: ...", in which PATTERN is found.
check() {
    want=$1 pattern=$2
    shift 2
    genai "$@" >out 2>err </dev/null
    status=$?
    if [ $status -ne "$want" ]; then
        tell no "genai $*" "status $status, not $want"
    elif [ "$want" -eq 0 ]; then
        if grep -q -- "$pattern" out err; then tell yes; else tell no "genai $*" "doesn't say '$pattern'"; fi
    elif [ "$(grep -vc '^genai: warning: \|^step \|^ *[0-9]* %  ' err)" -ne 1 ] || ! grep -q '^genai: ' err; then
        tell no "genai $*" "not one sentence on stderr"
    elif ! grep -v '^genai: warning: \|^step \|^ *[0-9]* %  ' err | grep -q -- "$pattern"; then
        tell no "genai $*" "doesn't say '$pattern'"
    else
        tell yes
    fi
}
is() { # is NAME COMMAND...: the command succeeds
    name=$1
    shift
    if "$@" >/dev/null 2>&1; then tell yes; else tell no "$name" "$*"; fi
}
small="--preset vae_mlp --size 28 --channels 1 --limit 24 --batch 8 --threads 1" # some milliseconds a step

# --- usage: status 2 and the nearest word ---
check 2 'Say train, sample'
check 2 "did you mean train?" trian
check 2 "did you mean --epochs?" train --epoch 3
check 2 "did you mean vaegan?" train --preset vaegann --out run
check 2 "did you mean dcgan_k4?" bench train dcgan_k
check 2 "did you mean nearest?" train --filter neerest --out run
check 2 "did you mean avx2?" train --isa avx --out run
check 2 "did you mean 'beta'" train $small --set betta=1 --out run
check 2 "whole number from 1 to" train --steps 0 --out run
check 2 "whole number from 1 to" train --steps 12x --out run
check 2 "number from" train --lr nan --out run
check 2 "WIDTHxHEIGHT" train --size 32y32 --out run
check 2 "wants a value" train --preset
check 2 "KEY=VALUE" train --set beta --out run
check 2 "takes no value" train --flip=yes --out run
check 2 "wants --out" train --preset gan
check 2 "wants -o FILE" sample model
check 2 "wants --data" reconstruct model -o x.png
check 2 "short of a word" info
check 2 "doesn't take 'b'" info a b
check 2 "it has gemm, conv, train, sample and scale" bench speed
for shape in 12x 0x1x1 1x1x0 4x4 4x4x4x4 4x4x4q 4x4x4ntn 99999999x1x1 4x-4x4 999999999999999999999999x1x1; do check 2 "no shape" bench gemm $shape; done
check 2 "more than 268435456 values" bench gemm 999999x999999x999999
check 2 "more than 268435456 values" bench gemm 1x65536x65536nt
check 2 "no option '-4x4x4'" bench gemm -4x4x4
check 2 "doesn't take 'gan'" bench conv gan
check 2 "at most 4096" bench conv --batch 65536
for n in 0 -3 65537 99999999999999999999; do check 2 "whole number from 1 to 65536" bench conv --batch=$n; done
for n in 0 -4x4 4x0 16385 99999999999999999999x4; do check 2 "WIDTHxHEIGHT" bench train gan --size=$n; done
for n in 0 5 -1; do check 2 "whole number from 1 to 4" bench train gan --channels=$n; done
for n in -1 257 10000 99999999999999999999 two; do
    check 2 "whole number from 0 to 256" bench gemm --threads=$n
    check 2 "whole number from 0 to 256" train $small --threads=$n --out run
done
check 2 "did you mean avx512?" bench gemm --isa avx51
for n in -1 99999999999999999999; do check 2 "whole number from 1 to" train $small --steps=$n --out run; done
check 2 "from 0 to 18446744073709551615" train --seed -1 --out run
is "nothing was made by wrong usage" [ ! -e run ]

# --- help, presets, version ---
check 0 "usage: genai train" train --help
check 0 "genai reconstruct MODEL" --help
check 0 "genai [0-9]*\.[0-9]*\.[0-9]*" version
check 0 "vaegan_mlp" presets
for command in presets sample reconstruct interpolate traverse change inpaint denoise anomaly nearest translate measure compare info bench; do check 0 "usage: genai $command" $command -h; done

# --- a training and what can be done with it ---
check 0 "24 images 28x28x1" train $small --steps 6 --out 'a run' --seed 3
for file in model.safetensors checkpoint.safetensors metrics.csv samples; do is "a run/$file is there" [ -e "a run/$file" ]; done
model="a run/model.safetensors"
check 0 "one.png: 9 images 28x28x1" sample "$model" -n 9 -o one.png
check 0 "" sample "$model" -n 9 -o two.png --threads 2
is "sampling twice gives the same picture" cmp one.png two.png
check 0 "" sample "$model" -n 9 -o two.png --seed 5
is "another seed gives another picture" sh -c '! cmp one.png two.png'
check 0 "rec.png: 3 images" reconstruct "$model" --data sprites -n 3 -o rec.png
check 0 "rec.png: 20 images" reconstruct "$model" --data sprites -n 20 -o rec.png
check 0 "12 images" interpolate "$model" -o way.png --rows 3 -n 4
check 0 "5 latents" traverse "$model" -o traverse.png --rows 5 -n 3
check 0 "2 images on their way" change "$model" --data sprites --from 0 --to 1 --rows 2 -n 3 -o change.png
check 1 "of classes 0 and 900 there are" change "$model" --data sprites --from 0 --to 900 -o change.png
{ printf 'P5 28 28 255\n'; bytes 784; } >mask.pgm
for mask in left bottom center mask.pgm; do check 0 "3 images, what is known" inpaint "$model" --data sprites --limit 3 --mask $mask -o inpaint.png; done
{ printf 'P5 28 27 255\n'; bytes 756; } >mask.pgm
check 1 "mask.pgm is 28x27, but the images are 28x28" inpaint "$model" --data sprites --limit 3 --mask mask.pgm -o no.png
check 0 "3 images, what is known" inpaint "$model" --data sprites --limit 3 --completions 4 -o inpaint.png
check 2 "completions" inpaint "$model" --data sprites --limit 3 --completions 65 -o no.png
check 1 "nowhere" inpaint "$model" --data sprites --limit 3 --mask nowhere -o no.png
check 0 "4 images above them denoised" denoise "$model" --data sprites -n 4 --noise 0.2 -o denoise.png
check 0 "^image,score" anomaly "$model" --data sprites --limit 5 -o anomaly.png
is "anomaly: a line for each image" [ "$(wc -l <out)" -eq 7 ]
check 2 "wants --data" anomaly "$model"
check 0 "6 samples above the nearest" nearest "$model" --data sprites --limit 20 -n 6 -o nearest.png
check 1 "can't translate" translate "$model" --data sprites -o no.png
check 2 "wants --target" train --preset cycle --data sprites --out no
mkdir from to
for i in 1 2 3 4 5 6; do for d in from to; do { printf 'P5 8 8 255\n'; bytes 64; } >$d/$i.pgm; done; done
check 0 "translate: translate on 6 images 8x8x1" train --preset translate --data from --target to --steps 3 --batch 3 --threads 1 --out pairs
check 0 "at step 3" train --preset translate --data from --target to --steps 5 --batch 3 --threads 1 --out pairs --resume
is "a picture of translations" [ -s pairs/samples/step-000003.png ]
check 0 "6 images above what became" translate pairs/model.safetensors --data from -o translated.png
check 1 "one way only" translate pairs/model.safetensors --data from --back -o no.png
check 1 "no latents" sample pairs/model.safetensors -o no.png
check 0 "" train --preset cycle --data from --target to --steps 2 --batch 2 --threads 1 --out ring
check 0 "6 images above what became" translate ring/model.safetensors --data to --back -o translated.png
rm to/6.pgm
check 1 "as many images in both sets: the first has 6 .* the second 5" train --preset translate --data from --target to --steps 3 --out no
check 0 "6 images" train --preset cycle --data from --target to --steps 2 --batch 2 --threads 1 --out ring2
check 2 "wants -o" inpaint "$model" --data sprites
check 1 "isn't conditional" sample "$model" --label 3 -o no.png
is "nothing is written by half" [ ! -e no.png ]
check 0 "decoder.*\|total" info "$model"
check 1 "holds a run already" train $small --steps 6 --out 'a run'
cp "a run/checkpoint.safetensors" before
check 1 "preset vae_mlp, so --preset gan can't" train --preset gan --resume --out 'a run'
check 1 "which --size and --channels can't change" train --resume --size 16 --out 'a run'
check 1 "which --seed can't change" train --resume --seed 4 --out 'a run'
check 1 "which --lr can't change" train --resume --lr 0.5 --out 'a run'
check 1 "with beta '1', which can't become '4'" train --resume --set beta=4 --out 'a run'
check 1 "with likelihood 'mse', which can't become 'l1'" train --resume --set beta=1.0 --set likelihood=l1 --out 'a run'
check 1 "with encoder 'dense 128 .* can't become 'dense 2" train --resume --encoder 'dense 2*$Z' --out 'a run'
check 1 "with generator '', which can't" train --resume --generator 'dense $D' --out 'a run'
check 1 "began with no --flip, which --flip can't change" train --resume --flip --out 'a run'
check 1 "began with no --holdout, which --holdout=0.25 can't" train --resume --holdout 0.25 --out 'a run'
check 1 "began with --limit=24, which --limit=25 can't" train --resume --limit 25 --out 'a run'
check 1 "began with --batch=8, which --batch=9 can't" train --resume --batch 9 --out 'a run'
check 1 "began with --filter=smooth, which --filter=nearest can't" train --resume --filter nearest --out 'a run'
check 1 "began with --data=sprites, which --data=from can't" train --resume --data from --out 'a run'
is "a refused resume changes nothing" cmp before "a run/checkpoint.safetensors"
check 1 "no nowhere/checkpoint.safetensors to resume from" train --resume --out nowhere
check 0 "at step 6" train $small --steps 8 --resume --out 'a run' # with the seed of the checkpoint
decoder='dense 64 | relu | dense 128 | relu | dense $D | sigmoid'
check 0 "24 images 28x28x1" train --steps 9 --resume --data sprites --set beta=1e0 --set latent=20 --decoder "$decoder" --out 'a run' # what is so may be said
check 0 "  grad [0-9.]*  [0-9]*/20 latents  diversity " train $small --steps 2 --out 'healthy run'
is "metrics.csv says what health was" sh -c 'head -n 1 "healthy run/metrics.csv" | grep -q "measure,norm_encoder,diversity,saturated,active,kl_latents$"'
is "metrics.csv has one header and grew" sh -c '[ "$(grep -c step "a run/metrics.csv")" = 1 ]'
case $(uname -m) in x86_64) lacks=neon ;; *) lacks=avx2 ;; esac
check 1 "hasn't got the instruction set $lacks" bench gemm --isa $lacks
check 1 "hasn't got the instruction set $lacks" train $small --steps 1 --isa $lacks --out run
check 1 "must be from 1 to 4096" bench train gan --size 16384 --batch 1
check 1 "more than 268435456 values" bench train vae_mlp --size 4096x2048 --batch 65536
check 1 "makes images of 64x64" bench train dcgan64 --size 32
is "nothing was made by bad sizes" [ ! -e run ]

# --- bench ---
check 0 "^vae_mlp .*batch 4 threads 1 [0-9.]* img/s [0-9.]* ms/step peak [0-9.]* MiB .* 0 allocations" bench train vae_mlp --batch 4 --seconds 0.01 --threads 1
check 0 "[0-9.]* GFLOP/s *dense backward: matmul" bench train vae_mlp --batch 4 --seconds 0.01 --threads 1 --profile
for op in adam random kl_loss "softplus backward" "between the ops" "neither matrix product nor convolution"; do
    check 0 "$op" bench train vae_400_20 --batch 4 --seconds 0.01 --threads 1 --profile
done
check 0 "vae_mlp .*batch 1 .*median [0-9.]* us min" bench sample vae_mlp --seconds 0.01 --threads 1
check 0 "32 x    16 x     8 .*GFLOP/s .*% tn" bench gemm 32x16x8tn --seconds 0.01 --threads 1
check 0 "peak of one core afterwards" bench gemm 8x8x8 --seconds 0.01 --threads 0 # 0: one per core, here as in the library
check 0 "compiled by .* optimised" bench gemm 8x8x8 --seconds 0.01 --isa scalar
check 0 '"allocations": 0' bench train vae_mlp --batch 4 --seconds 0.01 --threads 1 --json --profile
if command -v python3 >/dev/null; then
    is "--json prints one document" sh -c 'python3 -c "import json; d = json.load(open(\"out\")); assert d[\"train\"][0][\"step\"][\"flops\"] > 0; assert d[\"train\"][0][\"profile\"]"'
else echo "test_tool: skipped --json: there is no python3"; fi
genai bench gemm 8x8x8 --seconds 0.01 >out 2>err
is "piped bench has no control characters" sh -c '! cat out err | tr -d "\n\t" | LC_ALL=C grep -q "[[:cntrl:]]"'
# Where memory ends, a sentence; AddressSanitizer needs too much itself to be limited.
if (ulimit -v 200000 && genai version) >/dev/null 2>&1; then
    (ulimit -v 200000 && genai bench train gan --size 512 --seconds 0.01) >out 2>err
    [ $? -eq 1 ] && [ "$(grep -c '^genai: .*memory' err)" = 1 ] && tell yes || tell no "out of memory" "no sentence"
else echo "test_tool: skipped: memory can't be limited here"; fi

# --- measure ---
npy() { # npy FILE SHAPE BYTES [KIND]: an .npy file of bytes
    text="{'descr': '${4:-|u1}', 'fortran_order': False, 'shape': ($2), }"
    { printf '\223NUMPY\1\0'"$(printf '\\%03o' ${#text})"'\0%s' "$text"; bytes "$3"; } >"$1"
}
quick="--data sprites --size 8 --limit 120 --threads 1"
npy noise.npy "24, 8, 8, 3" 4608
npy framed.npy "24, 10, 12" 2880
npy short.npy "24, 8, 8, 3" 4607
npy long.npy "24, 8, 8, 3" 4609
npy wide.npy "24, 8, 8, 3" 4608 "<f4"
npy none.npy "0, 8, 8, 3" 0
check 2 "wants --data" measure noise.npy
check 0 "^made  *24 .*[0-9]$" measure noise.npy $quick --steps 5 --judge sprites.judge
grep -q '^real  *120 .* 1.00$' out && tell yes || tell no "measure" "no line for real images"
is "the judge was kept" [ -s sprites.judge ]
cp sprites.judge before
check 0 '^{"judge_accuracy": .*"made": {"images": 20, "frechet": .*"real": {' measure noise.npy $quick --judge sprites.judge -n 20 --json
is "a judge that is there stays as it is" cmp before sprites.judge
if command -v python3 >/dev/null; then is "measure --json" sh -c 'python3 -c "import json; assert json.load(open(\"out\"))[\"made\"][\"frechet\"] > 1"'; fi
check 0 "images 8x8x1" measure framed.npy $quick --steps 2 --crop 8
check 1 "can't cut 12x12" measure framed.npy $quick --crop 12
check 1 "a judge of images 8x8x3, not 8x8x4" measure noise.npy $quick --channels 4 --judge sprites.judge
check 1 "not of a judge" measure noise.npy $quick --judge "$model"
check 1 "which --size and --channels can't change" measure "$model" $quick
check 1 "shorter or longer" measure short.npy $quick
check 1 "shorter or longer" measure long.npy $quick
check 1 "an .npy file of bytes" measure wide.npy $quick
check 1 "an .npy file of bytes" measure none.npy $quick
check 1 "could not be opened" measure missing.npy $quick
check 1 "missing" measure missing $quick
mkdir alike
for i in 1 2 3 4 5 6 7 8; do { printf 'P5 8 8 255\n'; bytes 64; } >alike/$i.pgm; done
check 1 "tell classes apart" measure noise.npy --data alike
check 1 "at least 6 are needed" measure noise.npy $quick --judge sprites.judge -n 5

# --- compare ---
: >plain
# A file as a later version would write it: the digest says "none", which readers take for changed by hand.
LC_ALL=C sed 's/"genai.version":"[0-9]/"genai.version":"9/; s/"genai.digest":"[0-9a-f]*"/"genai.digest":"none"            /' "$model" >newer.safetensors
picture() { printf 'P5 8 8 255\n'; bytes 64; }
mkdir seen unseen three one_only
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    picture >seen/$i.pgm
    picture >unseen/$i.pgm
done
cp unseen/[1-3].pgm three
cp unseen/1.pgm one_only
npy made.npy "16, 8, 8, 1" 1024
tiny="--size 8 --channels 1 --limit 20 --batch 8 --threads 1 --steps 2 --data seen"
check 0 "" train --preset vae_mlp $tiny --out tiny
check 0 "" train --preset gan $tiny --out tiny_gan
check 2 "wants --data" compare tiny
check 2 "wants -o DIR" compare tiny --data seen
check 2 "short of a word" compare --data seen -o no
check 2 "at least 20 temperatures" compare tiny --data seen --test unseen -o no --ais 19
check 2 "at least 10" compare tiny --data seen --test unseen -o no -n 9
check 0 "^tiny_gan .*[0-9]" compare tiny tiny_gan/model.safetensors made.npy unseen --data seen --test unseen --threads 1 --ais 20 -o compared -n 16
is "a line for each of ours and theirs" sh -c 'grep -q "^noise " out && grep -q "^made " out && grep -q "^unseen " out'
for file in report.html results.csv results.json pictures/2-samples.png pictures/2-reconstructions.png pictures/3-interpolations.png; do is "$file is there" [ -s "compared/$file" ]; done
is "what can't be had says why" grep -q '^"tiny_gan",mse,,,".*encode' compared/results.csv
is "labels are missed by name" grep -q '^"tiny",frechet.judge,,,".*labels' compared/results.csv
is "a decoder's likelihood, and how far it is to be trusted" grep -qE '^"tiny_gan",ais_gap,[-0-9]' compared/results.csv
is "images have no parameters" grep -q '^"made",parameters,,,"images are given' compared/results.csv
is "as many lines as measures for each" [ "$(($(wc -l <compared/results.csv) % 6))" = 1 ]
is "no address of another place in the page" sh -c '! grep -qE "(src|href)=\"(http|//)" compared/report.html'
is "the page is whole and nothing lies beside it" sh -c 'tail -n 1 compared/report.html | grep -q "</html>" && [ ! -e compared/report.html.tmp ]'
if command -v python3 >/dev/null; then
    is "results.json is JSON" sh -c 'python3 -c "import json; assert len(json.load(open(\"compared/results.json\"))[\"subjects\"]) == 6"'
else echo "test_tool: skipped results.json: there is no python3"; fi
cp compared/results.csv before
check 0 "" compare tiny tiny_gan/model.safetensors made.npy unseen --data seen --test unseen --threads 2 --ais 20 -o compared -n 16
is "the same numbers again, but for time" sh -c 'grep -v sample_ms before >b && grep -v sample_ms compared/results.csv | cmp b -'
check 1 "28x28x1, but tiny has 8x8x1" compare tiny "$model" --data seen --test unseen -o no
check 1 "8x8x3, but tiny has 8x8x1" compare tiny noise.npy --data seen --test unseen -o no
check 1 "three: has 3 images, but at least 10" compare tiny --data seen --test three -o no
check 1 "20 of 20 test images are training images too" compare tiny --data seen --test seen -o no
check 1 "one_only: has 1 image, but at least 10" compare tiny one_only --data seen --test unseen -o no
check 1 "newer" compare newer.safetensors --data seen --test unseen -o no
check 1 "missing" compare tiny missing --data seen --test unseen -o no
check 1 "images of images" compare pairs/model.safetensors --data seen --test unseen -o no
check 1 "plain/results.csv" compare tiny --data seen --test unseen -o plain
is "train writes a page" sh -c 'tail -n 1 tiny/report.html | grep -q "</html>" && grep -q "data:image/png;base64" tiny/report.html'

# --- bad data ---
check 1 "nothing/here" train $small --steps 1 --data nothing/here --out bad
mkdir empty
check 1 "no pictures" train $small --steps 1 --data empty --out bad
mkdir mixed
for i in 1 2 3 4; do { printf 'P5 28 28 255\n'; bytes 784; } >mixed/$i.pgm; done
head -c 400 mixed/1.pgm >mixed/short.pgm
printf 'no picture' >mixed/broken.png
: >mixed/empty.png
check 0 "3 files skipped" train $small --steps 1 --data mixed --out mixed_run
is "the files skipped are named" sh -c 'grep -q short.pgm err && grep -q broken.png err && grep -q empty.png err'
rm mixed/[1-4].pgm
check 1 "none of its 3 pictures can be used" train $small --steps 1 --data mixed --out bad
printf 'hello' >note.txt
check 1 "note.txt" train $small --steps 1 --data note.txt --out bad
printf '\0\0\15\3\0\0\0\2\0\0\0\2\0\0\0\2' >magic-idx3-ubyte
check 1 "begins with 00 00 0d 03" train $small --steps 1 --data magic-idx3-ubyte --out bad
printf '\0\0\10\3\0\0\0\2\0\0\0\2\0\0\0\2abc' >short-idx3-ubyte
check 1 "8 bytes follow, but 3 do" train $small --steps 1 --data short-idx3-ubyte --out bad
printf '\0\0\10\3\377\377\377\377\377\377\377\377\377\377\377\377abc' >huge-idx3-ubyte
check 1 "overflows" train $small --steps 1 --data huge-idx3-ubyte --out bad
printf '\0\0\10\3\0\0' >head-idx3-ubyte
check 1 "truncated" train $small --steps 1 --data head-idx3-ubyte --out bad
is "bad data left no run behind" [ ! -e bad/checkpoint.safetensors ]

# --- bad models ---
check 1 "missing.safetensors" info missing.safetensors
check 1 "a folder" info .
check 1 "safetensors" info note.txt
size=$(wc -c <"$model")
for n in 0 7 8 100 1000 $((size / 2)) $((size - 1)); do
    head -c "$n" "$model" >cut.safetensors
    check 1 "cut.safetensors" sample cut.safetensors -o cut.png
done
# One bit changed, at places in the length, the header and the tensors.
for at in 0 3 8 9 40 200 700 1500 $((size / 3)) $((size / 2)) $((size - 1)); do
    cp "$model" flip.safetensors
    byte=$(od -An -tu1 -j"$at" -N1 flip.safetensors | tr -d ' ')
    printf "$(printf '\\%03o' $((byte ^ 4)))" | dd of=flip.safetensors bs=1 seek="$at" conv=notrunc 2>/dev/null
    check 1 "flip.safetensors" sample flip.safetensors -o flip.png
done
# A network text changed in the metadata, at the same length.
LC_ALL=C sed 's/dense 64/dense 65/' "$model" >edited.safetensors
is "the text was there to edit" sh -c '! cmp "a run/model.safetensors" edited.safetensors'
check 1 "edited.safetensors" sample edited.safetensors -o edited.png
is "a bad model makes no picture" sh -c '! ls cut.png flip.png edited.png 2>/dev/null'

# --- output that can't be written ---
check 1 "no/such/folder" sample "$model" -o no/such/folder/x.png
check 1 "written as .png" sample "$model" -o picture.xyz
if [ -c /dev/full ]; then
    check 1 "/dev/full" sample "$model" -o /dev/full
    is "/dev/full is still a device" [ -c /dev/full ]
    genai presets >/dev/full 2>err
    is "a full standard output is a failure" [ $? -eq 1 ]
else echo "test_tool: skipped: there is no /dev/full"; fi
: >plain
check 1 "plain" train $small --steps 1 --out plain/run
check 1 "plain" train $small --steps 1 --out plain
if [ "$(id -u)" = 0 ]; then echo "test_tool: skipped: root may write into any folder"
else
    mkdir locked
    chmod a-w locked
    check 1 "locked" train $small --steps 1 --out locked/run
    check 1 "locked" sample "$model" -o locked/x.png
fi
mkdir small
if mount -t tmpfs -o size=256k tmpfs small 2>/dev/null; then
    cp one.png small/old.png
    head -c 1000000 /dev/zero >small/filler 2>/dev/null
    check 1 "No space left" sample "$model" -o small/old.png
    is "the old picture is whole" cmp one.png small/old.png
    check 1 "No space left" train $small --steps 1 --out small/run
    is "nothing half is left" sh -c '! ls small/*.tmp small/run/*.tmp 2>/dev/null'
    umount small
else echo "test_tool: skipped full disk: no tmpfs can be mounted here"; fi

# --- models that can't be ---
check 2 "dense" train $small --steps 1 --decoder 'dence 5' --out bad
check 1 "conv" train --preset gan --size 4x4 --limit 8 --steps 1 --discriminator 'conv 8 k7 valid | flatten | dense 1' --out bad
check 1 "batch" train --preset vae_mlp --limit 4 --batch 1 --steps 1 --out bad1 --encoder 'dense 32 | batchnorm | relu | dense 40' \
    --threads 1
check 1 "finite" train $small --steps 400 --lr 100 --set rule=sgd --sample-every 1000 --out bad2
check 2 "number from" train $small --lr 1e50 --out bad

# --- stopped and resumed: the same bits as without a stop ---
check 0 "" train $small --steps 60 --holdout 0.25 --flip --out whole --seed 9
check 0 "" train $small --steps 30 --holdout 0.25 --flip --out short --seed 9
check 0 "at step 30" train --steps 60 --out short --resume
is "a resumed training remembers its options" cmp whole/model.safetensors short/model.safetensors
# The program itself, not the function above: the signal must reach it.
"$GENAI_TOOL" train $small --steps 60 --holdout 0.25 --flip --out 'in two' --seed 9 --sample-every 1 >out 2>err &
pid=$!
for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    [ -e 'in two/metrics.csv' ] && break
    sleep 0.05
done
kill -INT $pid
wait $pid
status=$?
if [ $status -eq 130 ]; then
    tell yes
    command=$(sed -n '/this goes on:/{n;p;}' out)
    is "the command that resumes is printed" test -n "$command"
    is "it runs" sh -c "$command"
else tell no "a stopped training" "status $status"; fi
is "resumed training equals the whole one" cmp whole/model.safetensors 'in two/model.safetensors'
is "its samples too" sh -c 'cmp "$(ls whole/samples/* | tail -n 1)" "in two/samples/$(basename "$(ls whole/samples/* | tail -n 1)")"'

# --- terminal and pipe ---
genai train $small --steps 3 --out piped >out 2>err
is "piped output has no control characters" sh -c '! cat out err | tr -d "\n\t" | LC_ALL=C grep -q "[[:cntrl:]]"'
if command -v script >/dev/null; then
    script -qec "'$GENAI_TOOL' train $small --steps 3 --out terminal" /dev/null >out 2>err </dev/null
    is "on a terminal the progress line is rewritten" sh -c 'LC_ALL=C grep -q "$(printf "\r")." out'
else echo "test_tool: skipped terminal: there is no script(1)"; fi

echo "test_tool: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
