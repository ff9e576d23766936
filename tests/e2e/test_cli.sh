#!/usr/bin/env bash
# The command line over the engine in its own process: what it prints, and how it ends.
set -euo pipefail

bin=${SHOAL_BIN_DIR:?where the programs are}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

fail() {
    echo "$*" >&2
    exit 1
}

shoal() {
    "$bin/shoal" --url "file://$dir/data" "$@"
}

# expect CODE PATTERN WORDS...: the exit code, and a pattern somewhere in what is printed
expect() {
    local code=$1 pattern=$2 out rc=0
    shift 2
    out=$(shoal "$@" 2>&1) || rc=$?
    [[ $rc -eq $code ]] || fail "shoal $*: ended with $rc, not $code: $out"
    grep -qE -- "$pattern" <<<"$out" || fail "shoal $*: no \"$pattern\" in: $out"
}

expect 0 '^Usage: shoal' --help
expect 0 '^libshoal [0-9]' --version
expect 2 '^Usage: shoal'
expect 2 '^Usage: shoal' dance
expect 2 'usage: shoal collection' collection create
expect 2 'usage: shoal search' search vectors
expect 2 '--no-such-flag|no-such-flag' --no-such-flag status

expect 0 '^created vectors$' --dim 3 --distance Euclid --shards 2 collection create vectors
expect 1 'already exists' --dim 3 collection create vectors
expect 1 '.' --dim 3 --distance Furlong collection create others
expect 0 '^vectors$' collection list
expect 0 '^vectors: (green|yellow|grey), 0 points' collection info vectors
expect 0 '"points_count":0' --json collection info vectors
expect 1 "doesn't exist" collection info nothing

expect 0 '^Nothing found' --vector '[1,2,3]' search vectors
expect 0 '"points":\[\]' --json --vector '[1,2,3]' search vectors
expect 1 'expected dim: 3, got 2' --vector '[1,2]' search vectors
expect 2 'vector: ' --vector '[1,2' search vectors
expect 2 'not a JSON array' --vector '7' search vectors

expect 0 '^shoald [0-9.]+, .*: ready$' status
expect 0 '^node +node-[0-9a-f]+ +2 shards' status
expect 0 '^collection +vectors +0 points +green +2 of 2 shards' status
expect 0 '^no generator' status
expect 0 '"ready":true' --json status

# Without a generator there are no documents, and the reason names the way out.
expect 1 'shoald' collection create documents
expect 1 'shoald with a generator' ask vectors 'Why?'
expect 1 'shoald --roles generator' search vectors 'why'

expect 0 '^deleted vectors$' collection delete vectors
expect 1 "doesn't exist" collection delete vectors
expect 1 'cannot find' ingest documents "$dir/nothing"
echo "cli: ok"
