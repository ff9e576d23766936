#!/usr/bin/env bash
# A cluster on this machine, a real corpus, three questions.
#
#   demo.sh        starts three shoald processes (three shards of one collection, one generator) on
#                  free ports, ingests the Debian Reference, asks, and stops what it started; ends
#                  with 0 only if every answer came with citations
#   demo.sh run    the same cluster and corpus on the default ports, until Ctrl-C
#
# What is stored stays in build/demo, so a second run ingests nothing that has not changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
BIN=build/bin
DATA=build/demo
CORPUS=/usr/share/debian-reference
COLLECTION=debian
START_WAIT_S=60
QUESTIONS=(
    "Which command shows the disk space used by each directory?"
    "What is the root account?"
    "Which file holds the encrypted passwords?"
)

declare -A PIDS=()

say() {
    printf '\n\033[1m%s\033[0m\n' "$*" >&2
}

die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

stop_all() {
    local name
    for name in "${!PIDS[@]}"; do
        kill "${PIDS[$name]}" 2>/dev/null || true
    done
    for name in "${!PIDS[@]}"; do
        wait "${PIDS[$name]}" 2>/dev/null || true
    done
    PIDS=()
}
trap stop_all EXIT

# start <name> <shoald option>...: starts one process and waits for the line that says it is ready;
# READY is that line.
start() {
    local name=$1
    shift
    local out="$DATA/$name.ready" deadline=$((SECONDS + START_WAIT_S))
    : >"$out"
    "$BIN/shoald" --data "$DATA/$name" --name "$name" "$@" >"$out" 2>"$DATA/$name.log" &
    PIDS[$name]=$!
    until READY=$(grep -m1 '^shoald ready' "$out"); do
        kill -0 "${PIDS[$name]}" 2>/dev/null || die "$name ended: $(tail -n 3 "$DATA/$name.log")"
        [ $SECONDS -lt $deadline ] ||
            die "$name is not ready after $START_WAIT_S s; see $DATA/$name.log"
        sleep 0.05
    done
    printf '%s: %s\n' "$name" "$READY" >&2
}

# word <key>: its value in READY.
word() {
    sed -nE "s/.*(^| )$1=([^ ]+).*/\2/p" <<<"$READY"
}

# start_cluster <http> <nng>: the addresses of the first process; the others take free ports.
start_cluster() {
    mkdir -p "$DATA"
    say "Starting three shoald processes"
    start a --http "$1" --nng "$2"
    HTTP=$(word http)
    NNG=$(word nng)
    start b --roles gateway,node --http 127.0.0.1:0 --nng tcp://127.0.0.1:0 --join "$NNG"
    start c --roles gateway,node --http 127.0.0.1:0 --nng tcp://127.0.0.1:0 --join "$NNG"
}

shoal() {
    "$BIN/shoal" --url "shoal://${NNG#tcp://}" "$@"
}

# The generator loads its models in a process of its own, while the rest serves already.
wait_for_models() {
    local deadline=$((SECONDS + START_WAIT_S))
    until shoal status 2>/dev/null | grep -q '^model .*generate'; do
        [ $SECONDS -lt $deadline ] || die "no model after $START_WAIT_S s; see $DATA/a.log"
        sleep 0.2
    done
}

ingest() {
    deps/apt.sh apt_demo.txt
    [ -d "$CORPUS" ] || die "the corpus is missing: install the Debian package debian-reference-en"
    say "Ingesting $CORPUS (three shards; embedded on this machine)"
    shoal ingest --shards 3 "$COLLECTION" "$CORPUS"
    shoal status
}

ask_all() {
    local question answer failed=0
    for question in "${QUESTIONS[@]}"; do
        say "$question"
        answer="$DATA/answer.txt"
        shoal ask "$COLLECTION" "$question" | tee "$answer" || failed=1
        grep -q '^\[1\] ' "$answer" || {
            printf 'demo: this answer came without citations\n' >&2
            failed=1
        }
    done
    return $failed
}

case ${1:-demo} in
demo)
    start_cluster 127.0.0.1:0 tcp://127.0.0.1:0
    wait_for_models
    ingest
    ask_all || exit 1
    say "All answers came with citations. \`make run\` keeps this cluster running (port 6333)."
    ;;
run)
    start_cluster 127.0.0.1:6333 tcp://127.0.0.1:6334
    wait_for_models
    ingest
    say "Running: HTTP on $HTTP, NNG on $NNG. Try, from another terminal:"
    printf '  %s\n' "build/bin/shoal ask $COLLECTION \"How do I change my password?\"" \
        "curl -s http://$HTTP/collections" "Ctrl-C ends it." >&2
    wait
    ;;
*)
    echo "usage: demo.sh [run]" >&2
    exit 2
    ;;
esac
