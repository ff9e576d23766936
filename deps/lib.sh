# Shared by the scripts beside it: where built things live, what their names are made of, and how a
# long step shows its progress. Sourced, never run.
#
# Everything that is downloaded or compiled goes into one cache outside the checkout, as
# <cache>/<name>-<key>/, where the key is a hash over the versions, flags and compilers that went
# into it. A directory of that name is complete: it is filled under another name and renamed at the
# end.

set -euo pipefail

DEPS_DIR=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SHOAL_CACHE=${SHOAL_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/shoal}
SHOAL_MARCH=${SHOAL_MARCH:-native}
SHOAL_PYTHON=${SHOAL_PYTHON:-python3}
SHOAL_CC=${SHOAL_CC:-cc}
SHOAL_CXX=${SHOAL_CXX:-c++}

# How often a long step says where it is when it writes to a file or a pipe.
PROGRESS_INTERVAL_S=15

say() {
    printf '[deps] %s\n' "$*" >&2
}

die() {
    printf '[deps] error: %s\n' "$*" >&2
    exit 1
}

# key_of <text>...: the hash that names a cache entry.
key_of() {
    printf '%s\n' "$@" | sha256sum | cut -c1-16
}

# The compiler's own words on what SHOAL_MARCH means here. "native" differs from one host to the
# next, and a cache may be shared between hosts, so the expansion goes into the key, not the word.
march_expanded() {
    "$SHOAL_CXX" "-march=$SHOAL_MARCH" -E -v -x c++ /dev/null 2>&1 >/dev/null |
        grep -m1 -E 'cc1plus|-cc1' | tr ' ' '\n' | grep -E '^-?-?(m|target|param|l[12]-)|=' |
        grep -v '/' | sort -u
}

compiler_version() {
    "$SHOAL_CXX" -dumpfullversion -dumpversion
    "$SHOAL_CXX" -dumpmachine
}

# with_lock <name> <command>...: one run at a time per cache entry; the second waits, and then
# finds the entry complete.
with_lock() {
    local name=$1
    shift
    mkdir -p "$SHOAL_CACHE/locks"
    (
        if ! flock -n 9; then
            say "$name: another run is building it, waiting"
            flock 9
        fi
        "$@"
    ) 9>"$SHOAL_CACHE/locks/$name"
}

# run_logged <label> <log> <command>...: runs the command with its output in the log, showing the
# elapsed time and the step it has reached. When it fails, the end of the log is shown.
run_logged() {
    local label=$1 log=$2
    shift 2
    mkdir -p "$(dirname "$log")"
    local start=$SECONDS said=$SECONDS
    say "$label ..."
    "$@" >"$log" 2>&1 9>&- &
    local pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        if [ -t 2 ]; then
            printf '\r[deps] %s: %ds %s\033[K' "$label" $((SECONDS - start)) \
                "$(log_position "$log")" >&2
        elif [ $((SECONDS - said)) -ge "$PROGRESS_INTERVAL_S" ]; then
            said=$SECONDS
            say "$label: $((SECONDS - start))s $(log_position "$log")"
        fi
    done
    local rc=0
    wait "$pid" || rc=$?
    if [ -t 2 ]; then
        printf '\r\033[K' >&2
    fi
    if [ "$rc" -ne 0 ]; then
        say "$label: failed after $((SECONDS - start))s; the end of $log:"
        tail -n 30 "$log" | sed 's/^/    /' >&2
        exit "$rc"
    fi
    say "$label: done in $((SECONDS - start))s"
}

# The last "[12/240]" or "[ 40%]" that a build tool wrote, or how many crates are done.
log_position() {
    local at
    at=$(tail -c 20000 "$1" 2>/dev/null | grep -oE '\[ *[0-9]+(/[0-9]+|%)\]' | tail -n 1 |
        tr -d ' ' || true)
    if [ -z "$at" ]; then
        at=$(grep -cE '^ +(Compiling|Downloaded) ' "$1" 2>/dev/null || true)
        at="${at:-0} crates"
    fi
    printf '%s' "$at"
}

# publish <partial> <final>: the rename that makes an entry complete.
publish() {
    rm -rf "$2"
    mv "$1" "$2"
}
