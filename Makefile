# Shoal's front door. The work is done by CMake (presets in CMakePresets.json), by deps/install.sh and by the
# scripts named below; each target here says what it calls.
#
#   SHOAL_MARCH=x86-64-v3   build for other hosts than this one (default: native)
#   SHOAL_CACHE=DIR         where dependencies that must be built are kept (default: ~/.cache/shoal)
#   JOBS=N                  parallel jobs (default: one per core)

SHELL := /bin/bash
.DEFAULT_GOAL := all
JOBS ?= $(shell nproc)
SHOAL_MARCH ?= native
FUZZ_SECONDS ?= 60
PREFIX ?= /usr/local
export SHOAL_MARCH JOBS

configure = cmake --preset $(1) -DSHOAL_MARCH=$(SHOAL_MARCH) $(2) --log-level=WARNING
build = cmake --build --preset $(1) -j $(JOBS)

.PHONY: all deps release demo run test asan tsan ubsan fuzz chaos bench lint format check install pins clean help

all: release ## build/bin/shoald, build/bin/shoal, build/lib/libshoal.so (the default)

deps: ## install and build what is missing: packages, native libraries, models
	@deps/install.sh

release: deps ## the optimised build
	@$(call configure,release)
	@$(call build,release)

demo: release ## a cluster on this machine, a real corpus, three questions with cited answers
	@scripts/demo.sh

run: release ## the demo's cluster, kept running until Ctrl-C
	@scripts/demo.sh run

test: deps ## every check and test; what CI runs
	@scripts/test.sh

asan: deps ## unit tests under AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/test.sh asan

tsan: deps ## unit and simulation tests under ThreadSanitizer
	@scripts/test.sh tsan

ubsan: deps ## unit tests under UndefinedBehaviorSanitizer alone
	@scripts/test.sh ubsan

fuzz: deps ## each libFuzzer target for FUZZ_SECONDS
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/fuzz.sh

chaos: release ## the crash tests for longer: more kills, a new seed each time
	@scripts/chaos.sh

bench: release ## recall, speed and memory beside faiss-cpu and hnswlib
	@deps/venv.sh build bench/requirements.txt >/dev/null
	@scripts/bench.sh

check: ## include directions and style, without building
	@scripts/check_layers.py
	@scripts/check_style.py

lint: deps check ## formatting and clang-tidy over the whole tree
	@scripts/lint.sh

format: ## rewrite the C and C++ sources as .clang-format says
	@git ls-files '*.c' '*.h' '*.cpp' '*.hpp' | xargs clang-format -i

install: release ## programs, libraries, headers and package files under PREFIX
	@cmake --install build/release --prefix "$(DESTDIR)$(PREFIX)"

pins: ## resolve the *.in requirement files anew, with hashes
	@deps/pins.sh

clean: ## remove what was built here; the cache of dependencies stays
	rm -rf build

help: ## this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)/  \1|\2/' | column -t -s '|'
