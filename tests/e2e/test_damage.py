"""Files of a stopped server are damaged. The server started on them says what is bad, gives no
wrong vector or payload, and keeps in service what is not touched.

Damaged is what our own checksums cover: entries of the log, values of state.mdb; files lose all
they had, and segments any part of their end. Two things are not covered. LMDB trusts the pages of
its trees, so that a flipped page number, or a tree that lost some pages, may still end the process.
And a flipped vector in a segment is found when segments are merged, not when one is opened, since
opening reads no segment whole.

SHOAL_TEST_SEED repeats a run; SHOAL_TEST_DAMAGES sets how often each file is damaged."""

import os
import random
import shutil
import struct
import time

import pytest
from shoald import Shoald

DAMAGES = int(os.environ.get("SHOAL_TEST_DAMAGES", "5"))
SEED = int(os.environ.get("SHOAL_TEST_SEED", str(random.randrange(2**32))))
DIM = 16
POINTS = 900
NAMES = ("c", "d")
TEXT = "x" * 50


def vector(i):
    r = random.Random(i)
    return [r.uniform(-1, 1) for _ in range(DIM)]


def fill(server):
    for name in NAMES:
        server.ok("PUT", f"/collections/{name}", {"vectors": {"size": DIM, "distance": "Euclid"},
                                                  "shard_number": 2, "shoal": {"seal_rows": 300}})
        for at in range(0, POINTS, 100):
            points = [{"id": i, "vector": vector(i), "payload": {"n": i, "text": TEXT}}
                      for i in range(at, at + 100)]
            server.ok("PUT", f"/collections/{name}/points?wait=true", {"points": points})
        server.ok("POST", f"/collections/{name}/points/delete?wait=true",
                  {"points": list(range(0, 50))})


def await_segments(server, name):
    deadline = time.monotonic() + 30
    while server.ok("GET", f"/collections/{name}")["segments_count"] < 2:
        assert time.monotonic() < deadline, "the rows are not sealed"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A data directory as a killed server leaves it, with segments and growing rows."""
    data = tmp_path_factory.mktemp("damage") / "whole"
    with Shoald(data) as server:
        fill(server)
        for name in NAMES:
            await_segments(server, name)
            server.ok("POST", f"/collections/{name}/points/delete?wait=true",
                      {"points": list(range(50, 60))})
    return data


def cut(r, data):
    del data[r.randrange(len(data)):]


def cut_all(r, data):
    del data[r.choice([0, 1, 100, 4095]):]


def flip_in(r, data, needle):
    """In one of the places where this lies, which may be a page that is free."""
    places = []
    at = data.find(needle)
    while at >= 0:
        places.append(at)
        at = data.find(needle, at + len(needle))
    if places:
        data[r.choice(places) + r.randrange(len(needle))] ^= 1 << r.randrange(8)


def flip_a_payload(r, data):
    flip_in(r, data, TEXT.encode())


def flip_a_vector(r, data):
    flip_in(r, data, struct.pack(f"<{DIM}f", *vector(POINTS - 1 - r.randrange(10))))


KINDS = {
    "segment": ("shards/*/segments/*.mdb", [cut]),
    "state": ("shards/*/state.mdb", [cut_all, flip_a_payload, flip_a_vector]),
    "log": ("log.mdb", [cut_all, flip_a_payload]),
    "catalog": ("catalog.mdb", [cut_all]),
}


def damage(r, path, ways):
    how = r.choice(ways)
    data = bytearray(path.read_bytes())
    how(r, data)
    path.write_bytes(data)
    return f"{how.__name__} of {path.name}"


def refused(status, answer):
    """An error that a reader of it can do something about."""
    assert status in (404, 408, 500, 503, 507), (status, answer)
    assert len(answer["status"]["error"]) > 30, answer
    return answer["status"]["error"]


def check_points(points):
    for p in points:
        assert p["payload"] == {"n": p["id"], "text": TEXT}
        if "vector" in p:
            assert all(abs(a - b) < 1e-6 for a, b in zip(p["vector"], vector(p["id"])))


def check_collection(server, name):
    """True when all of it is served."""
    path = f"/collections/{name}"
    whole = True
    status, answer = server.call("POST", f"{path}/points/scroll",
                                 {"limit": 2000, "with_vector": True})
    if status == 200:
        points = answer["result"]["points"]
        check_points(points)
        assert [p["id"] for p in points] == list(range(60, POINTS))
    else:
        refused(status, answer)
        whole = False
    for i in (60, 333, POINTS - 1):
        status, answer = server.call("POST", f"{path}/points/query",
                                     {"query": vector(i), "limit": 3, "with_payload": True})
        if status != 200:
            refused(status, answer)
            whole = False
            continue
        coverage = answer["coverage"]
        check_points(answer["result"]["points"])
        if coverage["shards_answered"] == coverage["shards_asked"]:
            assert answer["result"]["points"][0]["id"] == i
        else:
            whole = False
    status, answer = server.call("GET", path)
    if status != 200:
        refused(status, answer)
    elif not whole:
        assert answer["result"]["status"] == "red", answer
    return whole


def start(server):
    """Whether it is ready. When not, it has ended by itself and says why."""
    server.start(wait=False)
    line = server.process.stdout.readline()
    if line:
        server.http = dict(w.split("=", 1) for w in line.split() if "=" in w)["http"]
        return True
    code = server.process.wait(timeout=20)
    assert code == 1, f"ended with {code}:\n{server.tail()}"
    assert ".mdb" in server.tail() or "log" in server.tail()
    return False


@pytest.mark.parametrize("kind", KINDS)
def test_damage_is_found_and_named(whole, tmp_path, kind):
    r = random.Random(f"{SEED} {kind}")
    print(f"SHOAL_TEST_SEED={SEED} SHOAL_TEST_DAMAGES={DAMAGES}")
    for n in range(DAMAGES):
        data = tmp_path / str(n)
        shutil.copytree(whole, data, ignore=shutil.ignore_patterns("*-reserve", "*-lock"))
        pattern, ways = KINDS[kind]
        path = r.choice(sorted(data.glob(pattern)))
        what = f"seed {SEED}, {n}: {damage(r, path, ways)}"
        server = Shoald(data)
        try:
            ready = start(server)
            served = [name for name in NAMES if ready and check_collection(server, name)]
            if kind in ("segment", "state"):
                assert ready and served, server.tail()
            if ready:
                assert server.stop()[0] == 0
        except BaseException:
            print(what)
            raise
        finally:
            server.kill()
        shutil.rmtree(data)
