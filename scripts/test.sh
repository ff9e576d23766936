#!/usr/bin/env bash
# Checks, builds and tests; ends with one line "N passed, N failed" over everything that it ran.
#
#   test.sh                       the checks, every test of the debug build, and those that run in
#                                 one process under ASan + UBSan
#   test.sh asan | ubsan | tsan   unit and simulation tests of that preset alone
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
JOBS=${JOBS:-$(nproc)}
SHOAL_MARCH=${SHOAL_MARCH:-native}

passed=0
failed=0
failures=()
start=$SECONDS

say() {
    printf '\n== %s (%d s)\n' "$*" $((SECONDS - start))
}

# check <name> <command>...: one check counts as one test.
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        failures+=("$name")
    fi
}

finish() {
    if [ "$failed" -gt 0 ]; then
        printf '\nfailed: %s\n' "${failures[*]}"
    fi
    printf '%d passed, %d failed\n' "$passed" "$failed"
    [ "$failed" -eq 0 ]
    exit
}

# build <preset>: a tree that does not build is a failure that ends the run.
build() {
    say "build: $1"
    if ! cmake --preset "$1" -DSHOAL_MARCH="$SHOAL_MARCH" --log-level=WARNING >/dev/null ||
        ! cmake --build --preset "$1" -j "$JOBS"; then
        failed=$((failed + 1))
        failures+=("build:$1")
        finish
    fi
}

# run_tests <preset> <label pattern>
run_tests() {
    local report="build/$1/tests.xml"
    say "test: $1 ($2)"
    rm -f "$report"
    ctest --preset "$1" -L "$2" -j "$JOBS" --output-junit "$PWD/$report" --no-tests=error
    local rc=$?
    local counts
    if ! counts=$(python3 scripts/junit_counts.py "$report"); then
        failed=$((failed + 1))
        failures+=("ctest:$1")
        return
    fi
    local run_passed run_failed names
    read -r run_passed run_failed names <<<"$counts"
    passed=$((passed + run_passed))
    failed=$((failed + run_failed))
    [ "$run_failed" -eq 0 ] || failures+=("$1:" $names)
    if [ "$rc" -ne 0 ] && [ "$run_failed" -eq 0 ]; then
        failed=$((failed + 1))
        failures+=("ctest:$1")
    fi
}

case ${1:-all} in
all)
    say "checks"
    check layers scripts/check_layers.py
    check style scripts/check_style.py
    check checks scripts/test_checks.py
    say "Python packages for the tests"
    deps/venv.sh build tests/requirements.txt >/dev/null || exit 1
    build debug
    run_tests debug '.*'
    build asan
    run_tests asan '^(unit|sim|fuzz-smoke)$'
    ;;
asan | ubsan | tsan)
    build "$1"
    run_tests "$1" '^(unit|sim|fuzz-smoke)$'
    ;;
*)
    echo "usage: test.sh [asan | ubsan | tsan]" >&2
    exit 2
    ;;
esac
finish
