#!/usr/bin/env bash
# The libraries that come as crates, pinned by native/Cargo.lock.
#
#   native.sh path         prints the directory with FAISS and NNG: lib/*.a and include/
#   native.sh build        makes it when it is not there
#   native.sh face <file>  builds the raft face and puts the archive there
#
# FAISS and NNG are keyed by the lock file and the flags alone, so that a change to the raft face
# rebuilds Rust code only. The cargo directory is a workshop: it may be deleted at the cost of a
# rebuild.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

CARGO_MIN_MINOR=85
CRATE="$DEPS_DIR/native"

native_flags() {
    printf -- '-O3 -march=%s' "$SHOAL_MARCH"
}

native_key() {
    key_of 1 "$(native_flags)" "$(march_expanded)" "$(compiler_version)" \
        "$(cat "$CRATE/Cargo.lock")" \
        "$(sed -n '/^\[dependencies\]/,/^$/p' "$CRATE/Cargo.toml")"
}

check_cargo() {
    command -v cargo >/dev/null || die "cargo is missing: install Rust 1.$CARGO_MIN_MINOR or later"
    local minor
    minor=$(cargo --version | sed -E 's/^cargo 1\.([0-9]+)\..*/\1/')
    [ "$minor" -ge "$CARGO_MIN_MINOR" ] ||
        die "cargo 1.$minor is too old for the pinned crates: Rust 1.$CARGO_MIN_MINOR is needed"
}

cargo_run() {
    (
        cd "$CRATE"
        CC=$SHOAL_CC CXX=$SHOAL_CXX CFLAGS=$(native_flags) CXXFLAGS=$(native_flags) \
            CARGO_TARGET_DIR="$SHOAL_CACHE/cargo-$KEY" CARGO_TERM_COLOR=never \
            cargo "$@"
    )
}

# Copies headers and archives out of the directories where the crates' build scripts installed them.
collect() {
    local messages=$1 to=$2
    "$SHOAL_PYTHON" "$DEPS_DIR/collect_native.py" "$messages" "$to"
}

build_libraries() {
    local messages="$SHOAL_CACHE/logs/native-$KEY.json"
    cargo_run build --release --locked -vv -p faiss-sys -p nng-c-sys \
        --message-format=json-render-diagnostics | tee "$messages"
    rm -rf "$FINAL.partial"
    collect "$messages" "$FINAL.partial"
    publish "$FINAL.partial" "$FINAL"
}

build_native() {
    [ ! -d "$FINAL" ] || return 0
    check_cargo
    mkdir -p "$SHOAL_CACHE/logs"
    run_logged "FAISS and NNG (about 3 minutes on 2 cores)" \
        "$SHOAL_CACHE/logs/native-$KEY.log" build_libraries
}

face_key() {
    key_of "$KEY" "$(cargo --version)" "$(cat "$CRATE"/src/*.rs "$CRATE/Cargo.toml")"
}

compile_face() {
    cargo_run build --release --locked -vv -p shoal_native --no-default-features
    rm -rf "$FACE.partial"
    mkdir -p "$FACE.partial"
    # The debug information of Rust's own library is most of the archive and of no use here.
    objcopy --strip-debug "$SHOAL_CACHE/cargo-$KEY/release/libshoal_native.a" \
        "$FACE.partial/libshoal_raft_face.a"
    publish "$FACE.partial" "$FACE"
}

build_face() {
    [ ! -d "$FACE" ] || return 0
    check_cargo
    run_logged "raft face" "$SHOAL_CACHE/logs/face.log" compile_face
}

KEY=$(native_key)
FINAL="$SHOAL_CACHE/native-$KEY"
case ${1:-} in
path)
    echo "$FINAL"
    ;;
build)
    [ -d "$FINAL" ] || with_lock "native-$KEY" build_native
    ;;
face)
    FACE="$SHOAL_CACHE/face-$(face_key)"
    [ -d "$FACE" ] || with_lock "native-$KEY" build_face
    if [ -n "${2:-}" ]; then
        mkdir -p "$(dirname "$2")"
        cp "$FACE/libshoal_raft_face.a" "$2.partial"
        mv "$2.partial" "$2"
    fi
    ;;
*)
    die "usage: native.sh path | build | face [file]"
    ;;
esac
