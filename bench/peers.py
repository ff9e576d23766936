"""faiss-cpu's and hnswlib's own HNSW over the same rows, measured as bench_index measures Shoal's:
one query after another on one thread, the best of several passes.

    peers.py PEER BASE QUERY TRUTH --dim N --m N --ef-construction N --threads N --ef N,N,..

Prints one JSON object a line: {"peer", "build_s", "rss_mb"}, then {"peer", "ef", "recall", "qps",
"p50_us", "p95_us", "p99_us"} for each ef. TRUTH holds the score of the k-th best row for each
query, as bench_index leaves it with --truth.
"""

import argparse
import json
import time

import numpy as np

K = 10
# A hit as good as the k-th best counts; the libraries sum in another order than ours.
TOLERANCE = 1e-5


def resident_mb() -> float:
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


class Faiss:
    def __init__(self, dim, m, ef_construction, threads):
        import faiss

        self.faiss = faiss
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexHNSWFlat(dim, m, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = ef_construction

    def build(self, base):
        self.index.add(base)
        self.faiss.omp_set_num_threads(1)

    def set_ef(self, ef):
        self.index.hnsw.efSearch = ef

    def search(self, query):
        return self.index.search(query, K)[0][0]


class Hnswlib:
    def __init__(self, dim, m, ef_construction, threads):
        import hnswlib

        self.index = hnswlib.Index(space="ip", dim=dim)
        self.m, self.ef_construction, self.threads = m, ef_construction, threads

    def build(self, base):
        self.index.init_index(max_elements=len(base), M=self.m,
                              ef_construction=self.ef_construction)
        self.index.set_num_threads(self.threads)
        self.index.add_items(base)
        self.index.set_num_threads(1)

    def set_ef(self, ef):
        self.index.set_ef(ef)

    def search(self, query):
        return 1 - self.index.knn_query(query, k=K)[1][0]


PEERS = {"faiss": Faiss, "hnswlib": Hnswlib}


def one_pass(peer, queries, truth):
    times, found = [], 0
    for query, worst in zip(queries, truth):
        row = query[None]
        start = time.perf_counter_ns()
        scores = peer.search(row)
        times.append(time.perf_counter_ns() - start)
        found += int((scores >= worst - TOLERANCE).sum())
    return np.array(times), found / (len(queries) * K)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("base")
    parser.add_argument("query")
    parser.add_argument("truth")
    for name in ("dim", "m", "ef-construction", "threads"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--ef", type=lambda text: [int(n) for n in text.split(",")], required=True)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    base = np.fromfile(args.base, np.float32).reshape(-1, args.dim)
    queries = np.fromfile(args.query, np.float32).reshape(-1, args.dim)
    truth = np.fromfile(args.truth, np.float32)
    before = resident_mb()
    peer = PEERS[args.peer](args.dim, args.m, args.ef_construction, args.threads)
    start = time.perf_counter()
    peer.build(base)
    print(json.dumps({"peer": args.peer, "build_s": round(time.perf_counter() - start, 2),
                      "rss_mb": round(resident_mb() - before, 1)}), flush=True)
    for ef in args.ef:
        peer.set_ef(ef)
        passes = [one_pass(peer, queries, truth) for _ in range(args.repeat)]
        times, recall = min(passes, key=lambda p: p[0].sum())
        p50, p95, p99 = np.percentile(times, (50, 95, 99)) / 1e3
        print(json.dumps({"peer": args.peer, "ef": ef, "recall": round(recall, 4),
                          "qps": round(len(times) / times.sum() * 1e9, 1),
                          "p50_us": round(p50, 1), "p95_us": round(p95, 1),
                          "p99_us": round(p99, 1)}), flush=True)


if __name__ == "__main__":
    main()
