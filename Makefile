# make            the command line, build/genai
# make demo       trains on the built-in sprites, or on DATA=folder, and says where the pictures are (under 90 s)
# make test       builds and runs all tests (under 3 minutes on 2 cores)
# make compare    a model of each family on DATA for MINUTES each, then a report on them side by side
# make lint       rules about the source text        make bench      speed, a short round
# make install    genai.h and genai under PREFIX     make clean
# It needs a C compiler and stb (PNG); stb is installed from Debian's libstb-dev where it is missing.

CC      ?= cc
CFLAGS  ?= -O2
PREFIX  ?= /usr/local
DATA    ?= sprites
DEMO    ?= build/demo
COMPARE ?= build/compare
MINUTES ?= 2
# One of each family, with what its training wants beside the data.
FAMILIES ?= gan vae vaegan ae wae aae vqvae rbm dbn
JOBS    ?= $(shell nproc 2>/dev/null || echo 2)
STRICT   = -Wall -Wextra
OWN      = -DGENAI_STATIC # what a test doesn't call isn't compiled
TESTS    = $(patsubst tests/%.c,%,$(sort $(wildcard tests/test_*.c)))
COMMON   = genai.h $(wildcard tests/*.h)

# On Arm under emulation: what differs there is the kernels and the order of arithmetic.
NEON_CC    ?= aarch64-linux-gnu-gcc
NEON_RUN   ?= qemu-aarch64
NEON_TESTS ?= $(filter test_gemm test_ops test_optim,$(TESTS))

build/genai: $(wildcard tools/*.c) tools/tool.h genai.h | stb
	@mkdir -p build
	$(CC) $(CFLAGS) $(STRICT) -o $@ $(wildcard tools/*.c) -lm

# Says what it installs; nothing is installed where stb is there already.
stb:
	@if ! printf '#include <stb/stb_image.h>\n#include <stb/stb_image_write.h>\n' | $(CC) $(CPPFLAGS) -E -x c - >/dev/null 2>&1; then \
	    if [ "$$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi; \
	    echo "<stb/stb_image.h> isn't there; installing it: $$sudo apt-get install -y --no-install-recommends libstb-dev"; \
	    if ! command -v apt-get >/dev/null || ! { $$sudo apt-get update && $$sudo apt-get install -y --no-install-recommends libstb-dev; }; then \
	        echo "stb can't be installed here: put stb_image.h and stb_image_write.h (github.com/nothings/stb) into a folder" \
	             "stb/ on the include path, say /usr/local/include/stb/" >&2; \
	        exit 1; \
	    fi; \
	fi

demo: build/genai
	@rm -rf $(DEMO)
	build/genai train --preset vaegan --data "$(DATA)" --size 32x32 --out $(DEMO) --minutes 0.9
	build/genai sample $(DEMO)/model.safetensors -n 64 -o $(DEMO)/samples.png
	build/genai reconstruct $(DEMO)/model.safetensors --data "$(DATA)" -o $(DEMO)/reconstructions.png
	build/genai interpolate $(DEMO)/model.safetensors -o $(DEMO)/interpolations.png
	@echo
	@echo "Look at: $(DEMO)/samples.png          new images"
	@echo "         $(DEMO)/reconstructions.png  real images (odd rows) above what the model makes of them"
	@echo "         $(DEMO)/interpolations.png   from one image to another"
	@echo "         $(DEMO)/samples/             how they came about"

compare: build/genai
	@mkdir -p $(COMPARE)
	@for preset in $(FAMILIES); do \
	    [ -e $(COMPARE)/$$preset/model.safetensors ] || \
	        build/genai train --preset $$preset --data "$(DATA)" $(TRAIN) --holdout 0.12 --minutes $(MINUTES) --out $(COMPARE)/$$preset || exit 1; \
	done
	build/genai compare $(FAMILIES:%=$(COMPARE)/%) --data "$(DATA)" $(TEST) --holdout 0.12 -o $(COMPARE)
	@echo "Look at: $(COMPARE)/report.html"

build/test_%: tests/test_%.c $(COMMON) | stb
	@mkdir -p build
	$(CC) $(CFLAGS) $(STRICT) $(OWN) -o $@ $< -lm

# The programs are built side by side, then run one after the other: each uses all cores itself.
test:
	@$(MAKE) --no-print-directory -j$(JOBS) build/genai $(TESTS:%=build/%)
	@sh tests/run.sh $(TESTS:%=build/%) tests/test_tool.sh tests/test_report.sh

build/neon/test_%: tests/test_%.c $(COMMON) | stb
	@mkdir -p build/neon
	$(NEON_CC) -O2 $(OWN) -static -idirafter /usr/include -o $@ $< -lm

test-neon:
	@$(MAKE) --no-print-directory -j$(JOBS) $(NEON_TESTS:%=build/neon/%)
	@RUN="$(NEON_RUN)" sh tests/run.sh $(NEON_TESTS:%=build/neon/%)

lint:
	@sh tools/lint.sh

bench: build/genai
	build/genai bench

install: build/genai
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/bin
	install -m 644 genai.h $(DESTDIR)$(PREFIX)/include/genai.h
	install -m 755 build/genai $(DESTDIR)$(PREFIX)/bin/genai

clean:
	rm -rf build

.PHONY: stb demo compare test test-neon lint bench install clean
