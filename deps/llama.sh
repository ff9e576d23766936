#!/usr/bin/env bash
# libllama and ggml as static libraries with their headers.
#
#   llama.sh path    prints their directory: lib/*.a and include/
#   llama.sh build   makes it when it is not there
#
# The sources are those of the pinned Python package, of which only llama.cpp is built: without the
# bindings, tools and HTTP parts this takes half the time of an ordinary pip install, and static
# libraries leave shoald one file that needs nothing beside it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cmake_flags() {
    printf '%s\n' -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=OFF \
        -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_INSTALL_LIBDIR=lib \
        -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_TOOLS=OFF \
        -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
        -DLLAMA_OPENSSL=OFF -DGGML_OPENMP=ON -DGGML_CCACHE=OFF
    # The compiler's own -march says which instructions there are; ggml's switches would only repeat
    # it. AMX is left out: ggml's kernels for it, built by GCC 12, load a tile configuration that
    # was not wholly written, and die of it at the first generated token.
    local arch="-march=$SHOAL_MARCH"
    if [[ $(march_expanded) == *amx* ]]; then
        arch="$arch -mno-amx-tile -mno-amx-int8 -mno-amx-bf16"
    fi
    printf '%s\n' -DGGML_NATIVE=OFF -DGGML_SSE42=OFF -DGGML_AVX=OFF -DGGML_AVX2=OFF \
        -DGGML_BMI2=OFF -DGGML_FMA=OFF -DGGML_F16C=OFF "-DCMAKE_C_FLAGS=$arch" \
        "-DCMAKE_CXX_FLAGS=$arch"
}

fetch_sources() {
    local work=$1 venv=$2
    "$venv/bin/python" -m pip download --disable-pip-version-check --no-input --no-deps \
        --no-build-isolation --no-binary :all: --require-hashes -r "$DEPS_DIR/llama.txt" \
        -d "$work/sdist"
    mkdir "$work/source"
    tar -xf "$work"/sdist/*.tar.gz -C "$work/source" --strip-components=1
}

compile() {
    local work=$1
    local flags
    mapfile -t flags < <(cmake_flags)
    cmake -S "$work/source/vendor/llama.cpp" -B "$work/build" -G Ninja \
        -DCMAKE_C_COMPILER="$SHOAL_CC" -DCMAKE_CXX_COMPILER="$SHOAL_CXX" \
        -DCMAKE_INSTALL_PREFIX="$FINAL.partial" "${flags[@]}"
    cmake --build "$work/build"
    cmake --install "$work/build"
}

build_llama() {
    [ ! -d "$FINAL" ] || return 0
    local work="$FINAL.work" venv
    rm -rf "$work" "$FINAL.partial"
    mkdir -p "$work"
    venv=$("$DEPS_DIR/venv.sh" build "$DEPS_DIR/tools.txt")
    run_logged "llama.cpp: download" "$SHOAL_CACHE/logs/llama-fetch-$KEY.log" \
        fetch_sources "$work" "$venv"
    run_logged "llama.cpp: build (about 2 minutes on 2 cores)" "$SHOAL_CACHE/logs/llama-$KEY.log" \
        compile "$work"
    rm -rf "$work"
    publish "$FINAL.partial" "$FINAL"
}

KEY=$(key_of 1 "$(cat "$DEPS_DIR/llama.txt")" "$(cmake_flags)" "$(march_expanded)" \
    "$(compiler_version)")
FINAL="$SHOAL_CACHE/llama-$KEY"
case ${1:-} in
path) echo "$FINAL" ;;
build) [ -d "$FINAL" ] || with_lock "llama-$KEY" build_llama ;;
*) die "usage: llama.sh path | build" ;;
esac
