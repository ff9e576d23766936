#!/usr/bin/env bash
# Both client libraries as their users see them: nothing but shoal_* is exported, and a program that
# includes shoal.h alone compiles as C99 and as C++, links, and runs.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
lib=${SHOAL_LIB_DIR:?where the libraries are}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
    echo "$*" >&2
    exit 1
}

# A library with a sanitizer inside wants its programs built with it.
sanitize=()
for pair in __asan_init:address __tsan_init:thread __ubsan_handle_add_overflow:undefined; do
    if nm -D "$lib/libshoal.so" | grep -q " U ${pair%%:*}"; then
        sanitize+=("-fsanitize=${pair#*:}")
    fi
done

for name in libshoal libshoal-embedded; do
    symbols=$(nm -D --defined-only "$lib/$name.so" | awk '{ print $3 }')
    others=$(grep -v '^shoal_' <<<"$symbols" || true)
    [[ -z $others ]] || fail "$name.so exports more than shoal_*: $(head -5 <<<"$others")"
    declared=$(grep -oE '\bshoal_[a-z_]+\(' "$here/../../client/shoal.h" | tr -d '(' | sort -u)
    missing=$(comm -23 <(echo "$declared") <(sort -u <<<"$symbols"))
    [[ -z $missing ]] || fail "$name.so lacks $missing"
done

build() { # compiler, standard, library, output
    "$1" -std="$2" -pedantic -Wall -Wextra -Werror "${sanitize[@]}" ${5:+-x "$5"} \
        -I"$here/../../client" "$here/client_library.c" -x none -L"$lib" -l"$3" \
        -Wl,-rpath,"$lib" -Wl,-rpath-link,"$lib" -o "$dir/$4"
}

build "${CC:-cc}" c99 shoal network_c
build "${CXX:-c++}" c++11 shoal network_cpp c++
build "${CC:-cc}" c99 shoal-embedded engine_c
build "${CXX:-c++}" c++11 shoal-embedded engine_cpp c++

for kind in network engine; do
    for language in c cpp; do
        "$dir/${kind}_$language" "$kind" "file://$dir/data-$language" ||
            fail "the program over $kind in $language failed"
    done
done
echo "client library: ok"
