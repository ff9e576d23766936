"""Measures Shoal beside its peers in one run on one machine, and prints what was measured.

    in process   bench_index: HNSW over the rows; beside it faiss-cpu's and hnswlib's own HNSW with
                 the same parameters, in their own processes
    over HTTP    bench_server against a shoald with 1 and with 3 shards
    over NNG     the same through libshoal

The rows are GloVe's (glove.py). Queries go one after another on one connection unless a line says
otherwise; the server has its own process. Server CPU is what the kernel charged to shoald while the
queries ran; "beyond" is that less what bench_index's search of the same rows costs a query.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import glove

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "build/release/bench"
BIN = ROOT / "build/bin"
CLOCK_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
START_WAIT_S = 120


def say(text: str) -> None:
    print(text, flush=True)


def fields(line: str) -> dict:
    """`name key=value ...` as a dict of numbers and words."""
    found = {"what": line.split()[0]}
    for word in line.split()[1:]:
        key, _, value = word.partition("=")
        try:
            found[key] = float(value) if "." in value else int(value)
        except ValueError:
            found[key] = value
    return found


def run_lines(command: list) -> list[dict]:
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{Path(command[0]).name} ended with {done.returncode}:\n{done.stdout}")
    return [fields(line) for line in done.stdout.splitlines() if line.strip()]


class Server:
    """A shoald over a data directory, stopped at the end of the `with`."""

    def __init__(self, data: Path):
        self.data = data

    def __enter__(self):
        self.log = open(self.data.with_suffix(".log"), "ab")
        start = time.perf_counter()
        self.process = subprocess.Popen(
            [BIN / "shoald", "--data", self.data, "--roles", "gateway,node,catalog",
             "--http", "127.0.0.1:0", "--nng", "tcp://127.0.0.1:0", "--log-level", "warn"],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        if not line.startswith("shoald ready"):
            raise SystemExit(f"shoald did not start: {line!r}; see {self.log.name}")
        self.ready_s = time.perf_counter() - start
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        self.http = f"http://{words['http']}"
        self.nng = words["nng"].replace("tcp://", "shoal://")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def cpu_s(self) -> float:
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) * CLOCK_TICK_S

    def memory_mb(self) -> dict:
        found = {}
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssFile:")):
                found[line.split(":")[0]] = int(line.split()[1]) / 1024
        return {"private_mb": round(found["RssAnon"], 1), "mapped_mb": round(found["RssFile"], 1)}


class Bench:
    def __init__(self, args):
        self.args = args
        self.results = []
        if not (args.data / "base.f32").exists():
            glove.make(args.data)
        self.base, self.query = args.data / "base.f32", args.data / "query.f32"
        self.work = Path(tempfile.mkdtemp(prefix="shoal-bench-", dir=args.work))
        self.truth = self.work / "truth.f32"
        self.rows = self.base.stat().st_size // 4 // glove.DIM
        if args.rows and args.rows < self.rows:
            self.rows = args.rows
            cut = self.work / "base.f32"
            with open(self.base, "rb") as source, open(cut, "wb") as target:
                target.write(source.read(self.rows * glove.DIM * 4))
            self.base = cut

    def keep(self, **result) -> dict:
        self.results.append(result)
        return result

    def in_process(self) -> None:
        args = self.args
        say(f"\n== in process: HNSW, m {args.m}, ef_construction {args.ef_construction}, "
            f"{args.threads} threads to build")
        lines = run_lines([
            BENCH / "bench_index", "--base", self.base, "--query", self.query, "--dim", glove.DIM,
            "--m", args.m, "--ef-construction", args.ef_construction, "--threads", args.threads,
            "--settings", args.ef, "--repeat", args.repeat, "--stored", self.work / "index",
            "--truth", self.truth])
        build = next(line for line in lines if line["what"] == "build")
        memory = [line for line in lines if line["what"] == "memory"][-1]
        self.keep(where="in process", engine="shoal", build_s=build["seconds"],
                  private_mb=memory["private_mb"], mapped_mb=memory["file_mb"])
        say(f"shoal    build {build['seconds']:7.1f} s   private {memory['private_mb']} MB, "
            f"mapped {memory['file_mb']} MB")
        for line in lines:
            if line["what"] == "search":
                self.search_line("shoal", "in process", line["setting"], line)
        for peer in ("faiss", "hnswlib"):
            self.peer(peer)

    def peer(self, peer: str) -> None:
        args = self.args
        done = subprocess.run(
            [sys.executable, ROOT / "bench/peers.py", peer, self.base, self.query, self.truth,
             "--dim", str(glove.DIM), "--m", str(args.m), "--ef-construction",
             str(args.ef_construction), "--threads", str(args.threads), "--ef", args.ef,
             "--repeat", str(args.repeat)], stdout=subprocess.PIPE, text=True, check=True)
        for line in map(json.loads, done.stdout.splitlines()):
            if "build_s" in line:
                self.keep(where="in process", engine=peer, build_s=line["build_s"],
                          private_mb=line["rss_mb"])
                say(f"{peer:8} build {line['build_s']:7.1f} s   private {line['rss_mb']} MB")
            else:
                self.search_line(peer, "in process", line["ef"], line)

    def search_line(self, engine, where, ef, line, **more) -> None:
        kept = {key: line[key] for key in ("recall", "qps", "p50_us", "p95_us", "p99_us")}
        self.keep(engine=engine, where=where, ef=ef, **kept, **more)
        text = (f"{engine:8} ef {ef:4}  recall@10 {line['recall']:.4f}  {line['qps']:9.1f} QPS  "
                f"p50 {line['p50_us']:7.1f}  p95 {line['p95_us']:7.1f}  "
                f"p99 {line['p99_us']:7.1f} us")
        for key, value in more.items():
            text += f"  {key} {value}"
        say(text)

    def in_process_us(self, ef) -> float:
        """Mean time of one search in process, to be taken off the server's."""
        qps = next(r["qps"] for r in self.results
                   if r.get("engine") == "shoal" and r.get("ef") == ef
                   and r["where"] == "in process")
        return 1e6 / qps

    def served(self, shards: int) -> None:
        args, data = self.args, self.work / f"data-{shards}"
        say(f"\n== served: {shards} shard{'s' if shards > 1 else ''} in one shoald")
        common = ["--collection", "glove", "--dim", glove.DIM]
        # One segment for each shard, as the in-process index is one: slots are dealt by hash, so a
        # shard of several gets its share but for a few rows.
        seal = self.rows if shards == 1 else int(self.rows / shards * 0.99)
        with Server(data) as server:
            line = run_lines([BENCH / "bench_server", "--url", server.nng, *common, "--load",
                              self.base, "--shards", shards, "--m", args.m, "--ef-construction",
                              args.ef_construction, "--seal-rows", seal])[0]
            self.keep(where=f"load, {shards} shards", **line)
            say(f"load     {line['rows_per_s']:.0f} rows/s written, all indexed after "
                f"{line['indexed_s']:.1f} s")
        with Server(data) as server:  # opened anew, as after a restart
            for name, url in (("http", server.http), ("nng", server.nng)):
                self.over(server, name, url, shards, common)
            memory = server.memory_mb()
            self.keep(where=f"memory, {shards} shards", **memory)
            say(f"memory   private {memory['private_mb']} MB, mapped {memory['mapped_mb']} MB")
        self.cold_start(data, shards)

    def over(self, server, name, url, shards, common) -> None:
        args = self.args
        for ef in args.ef.split(","):
            for threads in args.connections.split(","):
                before = server.cpu_s()
                line = run_lines([BENCH / "bench_server", "--url", url, *common, "--query",
                                  self.query, "--truth", self.truth, "--ef", ef, "--threads",
                                  threads, "--repeat", args.repeat])[0]
                # The pass that checks recall asks every query once more.
                asked = line["queries"] + line["queries"] // args.repeat
                cpu_us = (server.cpu_s() - before) / asked * 1e6
                more = {"connections": int(threads), "server_cpu_us": round(cpu_us, 1)}
                if shards == 1:
                    more["beyond_us"] = round(cpu_us - self.in_process_us(int(ef)), 1)
                self.search_line(name, f"{name}, {shards} shards", int(ef), line, **more)

    def cold_start(self, data: Path, shards: int) -> None:
        """From exec to the answer of the first query, the page cache warm; median of several."""
        times = []
        for _ in range(5):
            start = time.perf_counter()
            with Server(data) as server:
                run_lines([BENCH / "bench_server", "--url", server.http, "--collection", "glove",
                           "--dim", glove.DIM, "--query", self.one_query(), "--truth",
                           self.one_truth(), "--ef", self.args.ef.split(",")[0], "--repeat", 1])
                times.append((time.perf_counter() - start) * 1e3)
                memory = server.memory_mb()
        times.sort()
        self.keep(where=f"cold start, {shards} shards", ms=round(times[2], 1), **memory)
        say(f"start    first answer {times[2]:.0f} ms after exec (median of 5, the harness's own "
            f"start in it), private {memory['private_mb']} MB")

    def one_query(self) -> Path:
        one = self.work / "one-query.f32"
        one.write_bytes(self.query.read_bytes()[:glove.DIM * 4])
        return one

    def one_truth(self) -> Path:
        one = self.work / "one-truth.f32"
        one.write_bytes(self.truth.read_bytes()[:4])
        return one

    def ratios(self) -> None:
        say("\n== ratios: shoal's QPS to each peer's at the same ef, in process")
        for ef in map(int, self.args.ef.split(",")):
            ours = 1e6 / self.in_process_us(ef)
            ratios = [f"{r['engine']} {ours / r['qps']:.2f}" for r in self.results
                      if r["where"] == "in process" and r.get("ef") == ef
                      and r["engine"] != "shoal"]
            say(f"ef {ef:4}  " + "  ".join(ratios))


def machine() -> dict:
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo")
                if line.startswith("model name")), "unknown")
    memory = int(open("/proc/meminfo").readline().split()[1]) // 1024 // 1024
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gib": memory,
            "kernel": platform.release(), "python": platform.python_version()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="where GloVe's rows are kept")
    parser.add_argument("--work", help="where indexes and data directories go for the run")
    parser.add_argument("--rows", type=int, default=0, help="use the first rows only")
    parser.add_argument("--m", type=int, default=32)
    parser.add_argument("--ef-construction", type=int, default=200)
    parser.add_argument("--ef", default="112,128", help="settings to measure, comma separated")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the builds")
    parser.add_argument("--connections", default="1,8")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--shards", default="1,3")
    parser.add_argument("--json", type=Path, default=ROOT / "build/bench/results.json")
    args = parser.parse_args()
    bench = Bench(args)
    try:
        about = machine()
        say(f"{about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB; "
            f"{bench.rows} rows x {glove.DIM}, angular, k 10")
        bench.in_process()
        for shards in map(int, filter(None, args.shards.split(","))):
            bench.served(shards)
        bench.ratios()
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps({"machine": about, "results": bench.results}, indent=1))
        say(f"\nkept in {args.json.relative_to(ROOT)}")
    finally:
        shutil.rmtree(bench.work, ignore_errors=True)


if __name__ == "__main__":
    main()
