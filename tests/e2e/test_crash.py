"""A loaded server, or any of three that make a cluster, is killed with SIGKILL at random moments.
After each restart every acknowledged write is there as it was last acknowledged, nothing that was
acknowledged as deleted has come back, and everything that is there was once sent. SHOAL_TEST_SEED
repeats a run; SHOAL_TEST_KILLS sets how many kills."""

import http.client
import os
import random
import socket
import threading
import time

import pytest
from shoald import Shoald

KILLS = int(os.environ.get("SHOAL_TEST_KILLS", "25"))
SEED = int(os.environ.get("SHOAL_TEST_SEED", str(random.randrange(2**32))))
CLUSTER_KILLS = max(1, KILLS // 3)
DIM = 8
IDS_PER_WRITER = 200
WRITERS = 3
GONE = (OSError, http.client.HTTPException)


def vector(seed):
    r = random.Random(seed)
    return [round(r.uniform(-1, 1), 4) or 0.5 for _ in range(DIM)]


class Writer(threading.Thread):
    """Owns a range of ids. Before a request the outcome is open: both the old and the new state are
    allowed; an acknowledgement closes it."""

    def __init__(self, server, base, seed, others=()):
        super().__init__(daemon=True)
        self.server = server
        self.others = others    # that may be killed: what they hold is refused then, and open
        self.base = base
        self.random = random.Random(seed)
        self.allowed = {}   # id -> set of allowed states: a sequence number, or None for absent
        self.sequence = 0
        self.acknowledged = 0
        self.refused = []
        self.stopping = False

    def run(self):
        while not self.stopping:
            try:
                self.step()
            except GONE:
                return

    def step(self):
        r = self.random
        ids = r.sample(range(self.base, self.base + IDS_PER_WRITER), r.randint(1, 12))
        self.sequence += 1
        delete = r.random() < 0.25
        state = None if delete else self.sequence
        for i in ids:
            self.allowed.setdefault(i, {None}).add(state)
        if delete:
            status, answer = self.server.call("POST", "/collections/c/points/delete?wait=true",
                                              {"points": ids}, timeout=20)
        else:
            points = [{"id": i, "vector": vector(state * 1000003 + i), "payload": {"seq": state}}
                      for i in ids]
            # Without waiting a write is durable, but may show a little later, or after a restart.
            wait = "true" if self.others else r.choice(["true", "false"])
            status, answer = self.server.call("PUT", f"/collections/c/points?wait={wait}",
                                              {"points": points}, timeout=20)
        if status == 200:
            for i in ids:
                self.allowed[i] = {state}
            self.acknowledged += 1
        elif not self.others or status not in (408, 503):
            self.refused.append((status, answer))


def read_all(server):
    found, offset = {}, None
    while True:
        page = server.ok("POST", "/collections/c/points/scroll",
                         {"limit": 250, "offset": offset, "with_payload": True,
                          "with_vector": True})
        for p in page["points"]:
            assert p["id"] not in found, f"id {p['id']} twice in one scroll"
            found[p["id"]] = p
        offset = page["next_page_offset"]
        if offset is None:
            return found


def verify(server, writers, round_number):
    found = read_all(server)
    allowed = {}
    for w in writers:
        assert not w.refused, f"a write was refused: {w.refused[0]}"
        allowed.update(w.allowed)
    for i, states in allowed.items():
        state = found[i]["payload"]["seq"] if i in found else None
        assert state in states, (
            f"seed {SEED}, kill {round_number}: id {i} is {state}, acknowledged or open: {states}")
    assert set(found) <= set(allowed), "a point that was never sent"
    sample = random.Random(round_number).sample(sorted(found), min(20, len(found)))
    for i in sample:
        hits = server.ok("POST", "/collections/c/points/query",
                         {"query": found[i]["vector"], "limit": 1,
                          "params": {"exact": True}})["points"]
        assert hits and abs(hits[0]["score"] - 1) < 1e-4, f"id {i} is not its own nearest neighbour"
    count = server.ok("POST", "/collections/c/points/count", {"exact": True})["count"]
    assert count == len(found)
    # What was open is now known.
    for w in writers:
        for i in w.allowed:
            w.allowed[i] = {found[i]["payload"]["seq"] if i in found else None}


def test_no_acknowledged_write_is_lost(tmp_path):
    print(f"SHOAL_TEST_SEED={SEED} SHOAL_TEST_KILLS={KILLS}")
    chance = random.Random(SEED)
    server = Shoald(tmp_path / "data")
    server.start()
    try:
        server.ok("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Cosine"},
                                            "shard_number": 2, "shoal": {"seal_rows": 300}})
        states = [{} for _ in range(WRITERS)]
        sequences = [0] * WRITERS
        acknowledged = 0
        for kill in range(KILLS):
            writers = []
            for n in range(WRITERS):
                w = Writer(server, n * 10000, chance.random())
                w.allowed, w.sequence = states[n], sequences[n]
                writers.append(w)
                w.start()
            time.sleep(chance.uniform(0.05, 0.6))  # the moment of the kill is what is drawn
            server.kill()
            for w in writers:
                w.stopping = True
                w.join(timeout=30)
                assert not w.is_alive()
            server.start()
            verify(server, writers, kill)
            for n, w in enumerate(writers):
                states[n], sequences[n] = w.allowed, w.sequence
                acknowledged += w.acknowledged
        print(f"{KILLS} kills, {acknowledged} acknowledged writes, 0 lost")
        assert acknowledged > KILLS
        code, _ = server.stop()
        assert code == 0
    finally:
        server.kill()


def test_no_acknowledged_write_is_lost_in_a_cluster(tmp_path):
    """Three processes with two shards each; each writer has a gateway of its own."""
    print(f"SHOAL_TEST_SEED={SEED} SHOAL_TEST_KILLS={KILLS}")
    chance = random.Random(SEED)
    first = Shoald(tmp_path / "a", name="a").start()
    nodes = [first]
    try:
        for name in ("b", "c"):
            nodes.append(Shoald(tmp_path / name, roles="gateway,node", join=first.nng,
                                name=name).start())
        first.ok("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Cosine"},
                                           "shard_number": 6, "shoal": {"seal_rows": 300}})
        states = [{} for _ in range(WRITERS)]
        sequences = [0] * WRITERS
        acknowledged = 0
        for kill in range(CLUSTER_KILLS):
            writers = []
            for n in range(WRITERS):
                w = Writer(nodes[n], n * 10000, chance.random(), others=nodes)
                w.allowed, w.sequence = states[n], sequences[n]
                writers.append(w)
                w.start()
            time.sleep(chance.uniform(0.05, 0.4))  # the moment of the kill is what is drawn
            victims = chance.sample(nodes, chance.choice([1, 1, 2, 3]))
            for v in victims:
                v.kill()
            for w in writers:
                w.stopping = True
            for v in sorted(victims, key=nodes.index):
                v.start()
            for w in writers:
                w.join(timeout=30)
                assert not w.is_alive()
            verify(chance.choice(nodes), writers, kill)
            for n, w in enumerate(writers):
                states[n], sequences[n] = w.allowed, w.sequence
                acknowledged += w.acknowledged
        print(f"{CLUSTER_KILLS} kills in a cluster, {acknowledged} acknowledged writes, 0 lost")
        assert acknowledged > CLUSTER_KILLS
        for n in reversed(nodes):
            assert n.stop()[0] == 0
    finally:
        for n in nodes:
            n.kill()
