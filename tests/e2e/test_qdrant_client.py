"""The official Python client, unmodified, against a running server; wherever the client's own local
mode (":memory:") can do the same, both are given the same calls and must answer the same."""

import os
import random
import time
import uuid

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.http.exceptions import UnexpectedResponse
from shoald import Shoald

DIM = 16
POINTS = 500
SEED = int(os.environ.get("SHOAL_TEST_SEED", "0")) or random.randrange(1, 1 << 31)
EXACT = models.SearchParams(exact=True)
U64_MAX = (1 << 64) - 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    print(f"seed {SEED} (repeat with SHOAL_TEST_SEED={SEED})")
    with Shoald(tmp_path_factory.mktemp("qdrant") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    made = QdrantClient(url=f"http://{server.http}", timeout=30)
    yield made
    made.close()


@pytest.fixture
def local():
    made = QdrantClient(":memory:")
    yield made
    made.close()


@pytest.fixture(params=[1, 3], ids=["1shard", "3shards"])
def shards(request):
    return request.param


@pytest.fixture
def name(client):
    made = f"c{uuid.uuid4().hex}"
    yield made
    client.delete_collection(made)


def create(client, local, name, shards, distance=models.Distance.COSINE):
    config = models.VectorParams(size=DIM, distance=distance)
    assert client.create_collection(name, vectors_config=config, shard_number=shards) is True
    local.create_collection(name, vectors_config=config)


def payload(r, i):
    """Fields of every kind, some of them missing, null or empty now and then."""
    made = {
        "n": i,
        "color": r.choice(["red", "green", "blue"]),
        "weight": round(r.uniform(-10, 10), 3),
        "even": i % 2 == 0,
        "tags": r.sample(["a", "b", "c", "d"], r.randrange(4)),
        "nested": {"kind": r.choice(["x", "y"]), "list": [{"v": r.randrange(5)} for _ in range(2)]},
        "text": r.choice(["the quick brown fox", "jumps over", "the lazy dog"]),
        "where": {"lon": r.uniform(-180, 180), "lat": r.uniform(-80, 80)},
        "when": f"2024-{r.randrange(1, 13):02d}-{r.randrange(1, 28):02d}T00:00:00Z",
    }
    if i % 7 == 0:
        made["maybe"] = None
    elif i % 3 == 0:
        made["maybe"] = r.randrange(3)
    return made


def points(seed=SEED, count=POINTS):
    r = random.Random(seed)
    rows = np.random.default_rng(seed).normal(size=(count, DIM)).astype(np.float32)
    return [
        models.PointStruct(id=i, vector=rows[i].tolist(), payload=payload(r, i) if i % 11 else None)
        for i in range(count)
    ]


def queries(count=5):
    return np.random.default_rng(SEED + 1).normal(size=(count, DIM)).astype(np.float32)


def fill(client, local, name, shards, distance=models.Distance.COSINE):
    create(client, local, name, shards, distance)
    made = points()
    for at in range(0, POINTS, 100):
        part = made[at : at + 100]
        assert client.upsert(name, part, wait=True).status == models.UpdateStatus.COMPLETED
        local.upsert(name, part)
    return made


def same_hits(got, want):
    assert [h.id for h in got] == [h.id for h in want]
    assert [h.score for h in got] == pytest.approx([h.score for h in want], rel=1e-4, abs=1e-4)
    assert [h.payload for h in got] == [h.payload or {} for h in want]


def same_records(got, want):
    assert [r.id for r in got] == [r.id for r in want]
    assert [r.payload or {} for r in got] == [r.payload or {} for r in want]


def field(key, **test):
    return models.FieldCondition(key=key, **test)


FILTERS = {
    "match string": models.Filter(must=[field("color", match=models.MatchValue(value="red"))]),
    "match integer": models.Filter(must=[field("n", match=models.MatchValue(value=42))]),
    "match bool": models.Filter(must=[field("even", match=models.MatchValue(value=True))]),
    "match in array": models.Filter(must=[field("tags", match=models.MatchValue(value="b"))]),
    "match any": models.Filter(must=[field("color", match=models.MatchAny(any=["red", "blue"]))]),
    "match except": models.Filter(
        must=[field("color", match=models.MatchExcept(**{"except": ["red"]}))]
    ),
    "match text": models.Filter(must=[field("text", match=models.MatchText(text="lazy"))]),
    "range": models.Filter(must=[field("weight", range=models.Range(gt=-3, lte=4.5))]),
    "datetime range": models.Filter(
        must=[
            field(
                "when",
                range=models.DatetimeRange(gte="2024-03-01T00:00:00Z", lt="2024-09-01T00:00:00Z"),
            )
        ]
    ),
    "nested path": models.Filter(must=[field("nested.kind", match=models.MatchValue(value="x"))]),
    "path through arrays": models.Filter(
        must=[field("nested.list[].v", range=models.Range(gte=3))]
    ),
    "nested filter": models.Filter(
        must=[
            models.NestedCondition(
                nested=models.Nested(
                    key="nested.list",
                    filter=models.Filter(must=[field("v", match=models.MatchValue(value=2))]),
                )
            )
        ]
    ),
    "should": models.Filter(
        should=[
            field("color", match=models.MatchValue(value="red")),
            field("n", range=models.Range(lt=50)),
        ]
    ),
    "must not": models.Filter(must_not=[field("even", match=models.MatchValue(value=True))]),
    "min should": models.Filter(
        min_should=models.MinShould(
            min_count=2,
            conditions=[
                field("color", match=models.MatchValue(value="red")),
                field("n", range=models.Range(lt=200)),
                field("even", match=models.MatchValue(value=False)),
            ],
        )
    ),
    "has id": models.Filter(must=[models.HasIdCondition(has_id=[1, 2, 3, 499, 100000])]),
    "is empty": models.Filter(
        must=[models.IsEmptyCondition(is_empty=models.PayloadField(key="maybe"))]
    ),
    "is null": models.Filter(
        must=[models.IsNullCondition(is_null=models.PayloadField(key="maybe"))]
    ),
    "values count": models.Filter(must=[field("tags", values_count=models.ValuesCount(gte=2))]),
    "geo radius": models.Filter(
        must=[
            field(
                "where",
                geo_radius=models.GeoRadius(
                    center=models.GeoPoint(lon=10, lat=20), radius=5_000_000
                ),
            )
        ]
    ),
    "geo box": models.Filter(
        must=[
            field(
                "where",
                geo_bounding_box=models.GeoBoundingBox(
                    top_left=models.GeoPoint(lon=-60, lat=50),
                    bottom_right=models.GeoPoint(lon=60, lat=-30),
                ),
            )
        ]
    ),
    "clauses in clauses": models.Filter(
        must=[
            models.Filter(
                should=[
                    field("color", match=models.MatchValue(value="red")),
                    field("color", match=models.MatchValue(value="green")),
                ]
            )
        ],
        must_not=[
            models.Filter(
                must=[
                    field("even", match=models.MatchValue(value=True)),
                    field("n", range=models.Range(gt=250)),
                ]
            )
        ],
    ),
    "nothing matches": models.Filter(must=[field("color", match=models.MatchValue(value="pink"))]),
}


@pytest.fixture(scope="module", params=[1, 3], ids=["1shard", "3shards"])
def filled(request, client):
    """A collection that no test changes, and the local client that has the same."""
    made, twin = f"filled{request.param}", QdrantClient(":memory:")
    fill(client, twin, made, request.param)
    yield made, twin
    client.delete_collection(made)
    twin.close()


# --- collections ------------------------------------------------------------------------------


def test_a_collection_comes_and_goes(client, name, shards):
    assert client.collection_exists(name) is False
    assert (
        client.create_collection(
            name,
            shard_number=shards,
            vectors_config=models.VectorParams(
                size=4,
                distance=models.Distance.DOT,
                on_disk=True,
                hnsw_config=models.HnswConfigDiff(m=24, ef_construct=200),
            ),
        )
        is True
    )
    assert client.collection_exists(name) is True
    assert name in [c.name for c in client.get_collections().collections]
    info = client.get_collection(name)
    assert info.status == models.CollectionStatus.GREEN
    assert info.optimizer_status == models.OptimizersStatusOneOf.OK
    assert (info.points_count, info.indexed_vectors_count) == (0, 0)
    params = info.config.params
    assert params.vectors.size == 4
    assert params.vectors.distance == models.Distance.DOT
    assert params.vectors.on_disk is True
    assert params.vectors.hnsw_config.m == 24
    assert params.vectors.datatype is None  # nothing is filled in that was not given
    assert params.shard_number == shards
    assert info.config.hnsw_config.m == 16
    assert info.payload_schema == {}
    with pytest.raises(UnexpectedResponse) as refused:
        client.create_collection(name, vectors_config=models.VectorParams(size=4, distance="Dot"))
    assert refused.value.status_code == 409
    assert b"already exists" in refused.value.content
    assert client.delete_collection(name) is True
    assert client.collection_exists(name) is False
    assert client.delete_collection(name) is False
    with pytest.raises(UnexpectedResponse) as missing:
        client.get_collection(name)
    assert missing.value.status_code == 404
    assert f"Collection `{name}` doesn't exist!".encode() in missing.value.content


def test_settings_are_echoed(client, name):
    assert client.create_collection(
        name,
        vectors_config={"": models.VectorParams(size=4, distance=models.Distance.EUCLID)},
        on_disk_payload=False,
        hnsw_config=models.HnswConfigDiff(ef_construct=77),
        optimizers_config=models.OptimizersConfigDiff(indexing_threshold=123),
        wal_config=models.WalConfigDiff(wal_capacity_mb=7),
        metadata={"owner": {"name": "me"}},
    )
    config = client.get_collection(name).config
    assert list(config.params.vectors) == [""]
    assert config.params.vectors[""].distance == models.Distance.EUCLID
    assert config.params.on_disk_payload is False
    assert (config.hnsw_config.m, config.hnsw_config.ef_construct) == (16, 77)
    assert config.optimizer_config.indexing_threshold == 123
    assert config.optimizer_config.deleted_threshold == pytest.approx(0.2)
    assert config.wal_config.wal_capacity_mb == 7
    assert config.metadata == {"owner": {"name": "me"}}
    client.upsert(name, [models.PointStruct(id=1, vector={"": [1, 2, 3, 4]})], wait=True)
    assert client.query_points(name, query=[1, 2, 3, 4], using="").points[0].id == 1


def test_a_lost_node_shows_in_the_state_of_a_collection(tmp_path):
    with Shoald(tmp_path / "a", name="a") as first:
        second = Shoald(tmp_path / "b", roles="gateway,node", join=first.nng, name="b").start()
        client = QdrantClient(url=f"http://{first.http}", timeout=30)
        config = models.VectorParams(size=2, distance=models.Distance.DOT)
        client.create_collection("c", vectors_config=config, shard_number=2)
        client.upsert("c", [models.PointStruct(id=i, vector=[i, 1]) for i in range(100)])
        assert client.get_collection("c").points_count == 100
        second.kill()
        info = client.get_collection("c")
        assert info.status == models.CollectionStatus.RED
        assert info.optimizer_status.error.startswith("shard ")
        assert 0 < info.points_count < 100
        client.close()


# --- searches ---------------------------------------------------------------------------------


@pytest.mark.parametrize("distance", list(models.Distance))
def test_queries_answer_as_local_mode_does(client, local, name, shards, distance):
    fill(client, local, name, shards, distance)
    for q in queries():
        got = client.query_points(name, query=q, limit=20, search_params=EXACT, with_vectors=True)
        want = local.query_points(name, query=q, limit=20, with_vectors=True)
        same_hits(got.points, want.points)
        for g, w in zip(got.points, want.points):
            assert g.vector == pytest.approx(w.vector, rel=1e-4, abs=1e-5)
        threshold = want.points[9].score + (1e-3 if distance in ("Cosine", "Dot") else -1e-3)
        same_hits(
            client.query_points(
                name, query=q, limit=20, offset=3, score_threshold=threshold, search_params=EXACT
            ).points,
            local.query_points(name, query=q, limit=20, offset=3, score_threshold=threshold).points,
        )


@pytest.mark.parametrize("which", FILTERS)
def test_filters_choose_as_local_mode_does(client, filled, which):
    name, twin = filled
    chosen = FILTERS[which]
    q = queries(1)[0]
    same_hits(
        client.query_points(name, query=q, query_filter=chosen, limit=30).points,
        twin.query_points(name, query=q, query_filter=chosen, limit=30).points,
    )
    got, _ = client.scroll(name, scroll_filter=chosen, limit=POINTS)
    want, _ = twin.scroll(name, scroll_filter=chosen, limit=POINTS)
    same_records(got, want)
    assert client.count(name, count_filter=chosen).count == len(want)


def test_a_query_by_id_leaves_the_point_out(client, filled):
    name, twin = filled
    got = client.query_points(name, query=17, limit=5, offset=2, search_params=EXACT).points
    same_hits(got, twin.query_points(name, query=17, limit=5, offset=2).points)
    assert 17 not in [h.id for h in got]
    with pytest.raises(UnexpectedResponse) as missing:
        client.query_points(name, query=99999)
    assert missing.value.status_code == 404
    assert b"No point with id 99999 found" in missing.value.content


def test_a_query_without_a_query_gives_points_by_id(client, filled):
    name, _ = filled
    hits = client.query_points(name, limit=4, offset=3).points
    assert [h.id for h in hits] == [3, 4, 5, 6]
    assert {h.score for h in hits} == {1.0}


def test_batches_of_queries_keep_their_order(client, filled):
    name, twin = filled
    requests = [
        models.QueryRequest(query=q.tolist(), limit=7, with_payload=True, params=EXACT)
        for q in queries()
    ]
    got = client.query_batch_points(name, requests=requests)
    want = twin.query_batch_points(name, requests=requests)
    assert len(got) == len(requests)
    for g, w in zip(got, want):
        same_hits(g.points, w.points)


@pytest.mark.parametrize(
    "select",
    [
        False,
        True,
        ["n", "nested.kind"],
        models.PayloadSelectorInclude(include=["color", "nope"]),
        models.PayloadSelectorExclude(exclude=["nested", "text", "where"]),
    ],
    ids=str,
)
def test_payloads_are_shown_in_part(client, filled, select):
    name, twin = filled
    got = client.retrieve(name, ids=[3, 1, 2], with_payload=select)
    want = twin.retrieve(name, ids=[3, 1, 2], with_payload=select)
    same_records(got, want)
    q = queries(1)[0]
    hits = client.query_points(
        name, query=q, limit=3, with_payload=select, search_params=EXACT
    ).points
    expected = twin.query_points(name, query=q, limit=3, with_payload=select).points
    assert [h.payload or {} for h in hits] == [h.payload or {} for h in expected]


def test_sealed_rows_answer_as_local_mode_does(client, server, local, name, shards):
    """The same through segments with an index: exact search must not notice."""
    config = models.VectorParams(size=DIM, distance=models.Distance.COSINE)
    server.ok(
        "PUT",
        f"/collections/{name}",
        {
            "vectors": {"size": DIM, "distance": "Cosine"},
            "shard_number": shards,
            "shoal": {"seal_rows": 64},
        },
    )
    local.create_collection(name, vectors_config=config)
    made = points()
    client.upload_points(name, made, batch_size=50, wait=True)
    local.upload_points(name, made)
    client.delete(name, points_selector=list(range(0, POINTS, 5)), wait=True)
    local.delete(name, points_selector=list(range(0, POINTS, 5)))
    give_up = time.monotonic() + 60
    while (info := client.get_collection(name)).status != models.CollectionStatus.GREEN:
        assert time.monotonic() < give_up, info
        time.sleep(0.05)
    assert info.indexed_vectors_count > 0
    assert info.points_count == POINTS - POINTS // 5
    for q in queries():
        want = local.query_points(name, query=q, limit=20).points
        same_hits(client.query_points(name, query=q, limit=20, search_params=EXACT).points, want)
        found = client.query_points(
            name, query=q, limit=20, search_params=models.SearchParams(hnsw_ef=256)
        ).points
        assert len({h.id for h in found} & {h.id for h in want}) >= 18


# --- reads ------------------------------------------------------------------------------------


def test_scrolling_sees_every_point_once(client, filled):
    name, twin = filled
    seen, offset = [], None
    while True:
        page, offset = client.scroll(name, limit=77, offset=offset, with_vectors=True)
        seen += page
        if offset is None:
            break
    want, _ = twin.scroll(name, limit=POINTS, with_vectors=True)
    same_records(seen, want)
    for g, w in zip(seen, want):
        assert g.vector == pytest.approx(w.vector, rel=1e-4, abs=1e-5)


def test_retrieve_keeps_the_order_and_drops_what_is_not_there(client, filled):
    name, _ = filled
    got = client.retrieve(name, ids=[400, 3, 77777, 3, 42], with_vectors=True)
    assert [r.id for r in got] == [400, 3, 42]
    assert all(len(r.vector) == DIM for r in got)
    assert client.retrieve(name, ids=[]) == []


def test_ids_of_every_kind(client, name, shards):
    client.create_collection(
        name,
        shard_number=shards,
        vectors_config=models.VectorParams(size=2, distance=models.Distance.DOT),
    )
    ids = [0, 1 << 53, (1 << 53) + 1, U64_MAX, str(uuid.UUID(int=1)), str(uuid.UUID(int=1 << 127))]
    client.upsert(
        name, models.Batch(ids=ids, vectors=[[i, 1.0] for i in range(len(ids))]), wait=True
    )
    page, offset = client.scroll(name, limit=100)
    assert [r.id for r in page] == ids  # numbers first, then UUIDs
    assert offset is None
    assert [r.id for r in client.retrieve(name, ids=list(reversed(ids)))] == list(reversed(ids))
    hex_form = uuid.UUID(ids[4]).hex.upper()
    assert client.retrieve(name, ids=[hex_form])[0].id == ids[4]
    page, offset = client.scroll(name, limit=4)
    assert offset == ids[4]


# --- writes -----------------------------------------------------------------------------------


def everything(client, name):
    records, _ = client.scroll(name, limit=POINTS, with_vectors=True)
    return {r.id: (r.payload or {}, pytest.approx(r.vector, rel=1e-4, abs=1e-5)) for r in records}


def values(client, name):
    records, _ = client.scroll(name, limit=POINTS, with_vectors=True)
    return {r.id: (r.payload or {}, r.vector) for r in records}


def test_updates_leave_what_local_mode_leaves(client, local, name, shards):
    made = fill(client, local, name, shards)
    red = models.Filter(must=[field("color", match=models.MatchValue(value="red"))])
    twice = [
        models.PointStruct(id=9, vector=made[1].vector, payload={"a": 1}),
        models.PointStruct(id=9, vector=made[2].vector, payload={"b": 2}),
    ]
    steps = [
        lambda c: c.upsert(name, twice),  # the later one counts, and nothing of the old point stays
        lambda c: c.upsert(
            name,
            models.Batch(
                ids=[5, 6],
                vectors=[made[7].vector, made[8].vector],
                payloads=[{"x": [1, None]}, {}],
            ),
        ),
        lambda c: c.set_payload(name, payload={"set": True, "n": 7}, points=[1, 2]),
        lambda c: c.set_payload(name, payload={"filtered": {"deep": 1}}, points=red),
        lambda c: c.overwrite_payload(name, payload={"only": "this"}, points=[3]),
        lambda c: c.delete_payload(name, keys=["color", "nested"], points=[4, 8]),
        lambda c: c.clear_payload(name, points_selector=[10, 12]),
        lambda c: c.delete(name, points_selector=[20, 21, 999999]),
        lambda c: c.delete(
            name,
            points_selector=models.FilterSelector(
                filter=models.Filter(must=[field("n", range=models.Range(gte=450))])
            ),
        ),
        lambda c: c.batch_update_points(
            name,
            update_operations=[
                models.UpsertOperation(
                    upsert=models.PointsList(
                        points=[
                            models.PointStruct(id=1000, vector=made[0].vector, payload={"new": 1})
                        ]
                    )
                ),
                models.SetPayloadOperation(
                    set_payload=models.SetPayload(payload={"y": 1}, points=[1000])
                ),
                models.DeleteOperation(delete=models.PointIdsList(points=[30])),
            ],
        ),
    ]
    for number, step in enumerate(steps):
        results = step(client)
        step(local)
        for result in results if isinstance(results, list) else [results]:
            assert result.status == models.UpdateStatus.COMPLETED
            assert isinstance(result.operation_id, int)
        want, got = everything(local, name), values(client, name)
        assert got == want, f"step {number}"
    assert client.count(name).count == local.count(name).count


def test_null_in_set_payload_removes_the_key(client, name):
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance="Dot"))
    client.upsert(name, [models.PointStruct(id=1, vector=[1, 2], payload={"a": 1, "b": 2})])
    client.set_payload(name, payload={"a": None, "c": 3}, points=[1])
    assert client.retrieve(name, ids=[1])[0].payload == {"b": 2, "c": 3}
    with pytest.raises(UnexpectedResponse) as missing:
        client.set_payload(name, payload={"a": 1}, points=[2])
    assert missing.value.status_code == 404


def test_keys_to_delete_are_paths(client, name):
    """Local mode takes them for plain names; a server does not."""
    client.create_collection(name, vectors_config=models.VectorParams(size=2, distance="Dot"))
    payload = {"a": {"b": 1, "c": 2}, "d": [{"e": 1, "f": 2}, {"e": 3}], "a.b": 4}
    client.upsert(name, [models.PointStruct(id=1, vector=[1, 2], payload=payload)])
    client.delete_payload(name, keys=["a.b", "d[].e"], points=[1])
    assert client.retrieve(name, ids=[1])[0].payload == {
        "a": {"c": 2},
        "d": [{"f": 2}, {}],
        "a.b": 4,
    }


def test_uploads_in_parallel_and_without_waiting(client, name, shards):
    client.create_collection(
        name,
        shard_number=shards,
        vectors_config=models.VectorParams(size=DIM, distance=models.Distance.DOT),
    )
    client.upload_points(name, points(), batch_size=32)  # wait=False
    rows = np.random.default_rng(SEED + 2).normal(size=(300, DIM)).astype(np.float32)
    client.upload_collection(
        name,
        vectors=rows,
        ids=list(range(1000, 1300)),
        batch_size=64,
        payload=[{"k": i} for i in range(300)],
        wait=True,
    )
    give_up = time.monotonic() + 20
    while client.count(name).count < POINTS + 300:  # durable at once, visible a moment later
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert client.count(name).count == POINTS + 300
    best = client.query_points(
        name,
        query=rows[5] / np.linalg.norm(rows[5]) * 100,
        limit=1,
        query_filter=models.Filter(must=[models.HasIdCondition(has_id=[1005])]),
    )
    assert best.points[0].payload == {"k": 5}


def test_a_write_is_seen_by_the_next_read(client, name, shards):
    client.create_collection(
        name,
        shard_number=shards,
        vectors_config=models.VectorParams(size=DIM, distance=models.Distance.EUCLID),
    )
    for i, q in enumerate(queries(50)):
        client.upsert(name, [models.PointStruct(id=i, vector=q.tolist())], wait=True)
        nearest = client.query_points(name, query=q, limit=1).points[0]
        assert (nearest.id, nearest.score) == (i, pytest.approx(0, abs=1e-4))


# --- what is not built ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda c, name: c.create_payload_index(name, "color", models.PayloadSchemaType.KEYWORD),
        lambda c, name: c.query_points_groups(name, group_by="color", query=[0.5] * DIM),
        lambda c, name: c.scroll(name, order_by="n"),
        lambda c, name: c.facet(name, key="color"),
        lambda c, name: c.create_snapshot(name),
        lambda c, name: c.update_vectors(
            name, points=[models.PointVectors(id=1, vector=[0.5] * DIM)]
        ),
        lambda c, name: c.query_points(name, query=models.FusionQuery(fusion=models.Fusion.RRF)),
        lambda c, name: c.query_points(name, query=models.SparseVector(indices=[1], values=[1.0])),
        lambda c, name: c.create_collection(
            f"{name}x",
            vectors_config={"a": models.VectorParams(size=4, distance=models.Distance.DOT)},
        ),
        lambda c, name: c.create_collection(
            f"{name}x",
            replication_factor=2,
            vectors_config=models.VectorParams(size=4, distance=models.Distance.DOT),
        ),
    ],
)
def test_what_is_not_built_says_so(client, filled, call):
    name, _ = filled
    with pytest.raises(UnexpectedResponse) as refused:
        call(client, name)
    assert refused.value.status_code == 501
    assert b"Not supported: " in refused.value.content
    assert b'"code":"not_supported"' in refused.value.content
