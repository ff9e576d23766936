"""Three processes, three shards of one collection."""

import random
import time

import pytest
from shoald import Shoald

DIM = 16
POINTS = 600
LOST_NODE_SECONDS = 2


def vectors(seed, n):
    r = random.Random(seed)
    return [[r.gauss(0, 1) for _ in range(DIM)] for _ in range(n)]


@pytest.fixture
def cluster(tmp_path):
    first = Shoald(tmp_path / "a", name="a").start()
    others = [Shoald(tmp_path / name, roles="gateway,node", join=first.nng, name=name).start()
              for name in ("b", "c")]
    nodes = [first, *others]
    yield nodes
    for n in nodes:
        n.kill()


def fill(node):
    data = vectors(7, POINTS)
    node.ok("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Euclid"},
                                      "shard_number": 3})
    for at in range(0, POINTS, 100):
        points = [{"id": i, "vector": data[i], "payload": {"n": i}} for i in range(at, at + 100)]
        node.ok("PUT", "/collections/c/points?wait=true", {"points": points})
    return data


def timed(node, method, path, body):
    begin = time.monotonic()
    status, answer = node.call(method, path, body, timeout=90)
    return time.monotonic() - begin, status, answer


def nearest(data, q, k):
    order = sorted(range(len(data)), key=lambda i: sum((a - b) ** 2 for a, b in zip(data[i], q)))
    return order[:k]


def test_every_gateway_gives_the_exact_answer_over_all_shards(cluster):
    data = fill(cluster[1])
    for q in vectors(11, 10):
        want = nearest(data, q, 10)
        for node in cluster:
            status, answer = node.call("POST", "/collections/c/points/query",
                                       {"query": q, "limit": 10, "with_payload": True,
                                        "params": {"exact": True}})
            assert status == 200, answer
            got = answer["result"]["points"]
            assert [p["id"] for p in got] == want
            assert [p["payload"]["n"] for p in got] == want
            assert answer["coverage"] == {"shards_asked": 3, "shards_answered": 3}


def test_scroll_count_and_fetch_go_over_all_shards(cluster):
    fill(cluster[0])
    seen, offset = [], None
    while True:
        page = cluster[2].ok("POST", "/collections/c/points/scroll",
                             {"limit": 77, "offset": offset})
        seen += [p["id"] for p in page["points"]]
        offset = page["next_page_offset"]
        if offset is None:
            break
    assert seen == list(range(POINTS))
    assert cluster[1].ok("POST", "/collections/c/points/count", {})["count"] == POINTS
    got = cluster[1].ok("POST", "/collections/c/points", {"ids": [500, 3, 77777, 3, 42]})
    assert [p["id"] for p in got] == [500, 3, 42]


def test_a_lost_node_gives_a_partial_answer_that_says_so_and_heals(cluster):
    data = fill(cluster[0])
    cluster[2].kill()
    q = vectors(13, 1)[0]
    # The deadline is the default, a minute: a lost node must not be waited for so long.
    for _ in range(3):
        seconds, status, answer = timed(cluster[0], "POST", "/collections/c/points/query",
                                        {"query": q, "limit": 10, "params": {"exact": True}})
        assert status == 200, answer
        assert answer["coverage"] == {"shards_asked": 3, "shards_answered": 2}
        assert len(answer["result"]["points"]) == 10
        assert seconds < LOST_NODE_SECONDS
    # Counting, scrolling and writing need every shard: an error, not a wrong answer.
    for method, path, body in (
            ("POST", "/collections/c/points/count", {}),
            ("POST", "/collections/c/points/scroll", {"limit": 5}),
            ("PUT", "/collections/c/points?wait=true",
             {"points": [{"id": i, "vector": data[i], "payload": {"n": i}} for i in range(50)]})):
        seconds, status, answer = timed(cluster[0], method, path, body)
        assert status == 503, answer
        assert seconds < LOST_NODE_SECONDS
    cluster[2].start()
    status, answer = cluster[0].call("POST", "/collections/c/points/query",
                                     {"query": q, "limit": 10, "params": {"exact": True}})
    assert [p["id"] for p in answer["result"]["points"]] == nearest(data, q, 10)
    assert answer["coverage"]["shards_answered"] == 3


def test_searches_and_writes_go_on_while_the_catalog_is_away(cluster):
    # One of the three shards lies on the catalog's process and is away with it.
    data = fill(cluster[1])
    cluster[0].kill()
    q = vectors(17, 1)[0]
    seconds, status, answer = timed(cluster[1], "POST", "/collections/c/points/query",
                                    {"query": q, "limit": 5})
    assert status == 200 and answer["coverage"]["shards_answered"] == 2
    assert seconds < LOST_NODE_SECONDS
    seconds, status, answer = timed(cluster[1], "PUT", "/collections/d",
                                    {"vectors": {"size": 4, "distance": "Dot"}})
    assert status == 503, answer
    assert seconds < LOST_NODE_SECONDS
    cluster[0].start()
    cluster[1].ok("PUT", "/collections/d", {"vectors": {"size": 4, "distance": "Dot"}})
    assert len(data) == POINTS
