"""What a server says to requests that it cannot serve: the status, a stable code, a sentence; and
that nothing was changed by any of them."""

import http.client
import json
import socket

import pytest
from shoald import Shoald

BODY_MAX = 32 << 20
KEPT = [
    {"id": 1, "vector": [1, 2, 3, 4], "payload": {"a": 1}},
    {"id": 2, "vector": [4, 3, 2, 1], "payload": {}},
    {"id": "550e8400-e29b-41d4-a716-446655440000", "vector": [0, 1, 0, 1], "payload": {"b": [1]}},
]
GOOD = {"id": 7, "vector": [1, 1, 1, 1]}
C = "/collections/c"
ID_TEXT = "is not a valid point ID, valid values are either an unsigned integer or a UUID"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Shoald(tmp_path_factory.mktemp("bad") / "data") as running:
        running.ok("PUT", C, {"vectors": {"size": 4, "distance": "Euclid"}, "shard_number": 2})
        running.ok("PUT", f"{C}/points?wait=true", {"points": KEPT})
        yield running


def stored(server):
    page = server.ok("POST", f"{C}/points/scroll", {"limit": 100, "with_vector": True})
    assert page["next_page_offset"] is None
    return page["points"]


def collections(server):
    return [c["name"] for c in server.ok("GET", "/collections")["collections"]]


def refused(server, method, path, body, status, code, text):
    got, answer = server.call(method, path, body)
    assert got == status, answer
    assert set(answer) == {"status", "time"}, answer
    assert answer["status"]["code"] == code
    assert text in answer["status"]["error"]
    assert stored(server) == KEPT
    assert collections(server) == ["c"]


def upsert(*points):
    return {"points": list(points)}


def numbers(vector):
    """A body with numbers that json.dumps would not write."""
    return '{"points": [%s, {"id": 8, "vector": %s}]}' % (json.dumps(GOOD), vector)


POINTS = [
    (
        "wrong dimension",
        upsert(GOOD, {"id": 8, "vector": [1, 2, 3]}),
        400,
        "invalid_argument",
        "Wrong input: points[1]: vector: Vector dimension error: expected dim: 4, got 3",
    ),
    (
        "no vector",
        upsert({"id": 8}),
        400,
        "parse_failed",
        'Format error in JSON body: points[0]: key "vector" is missing',
    ),
    (
        "no id",
        upsert({"vector": [1, 2, 3, 4]}),
        400,
        "parse_failed",
        'points[0]: key "id" is missing',
    ),
    ("NaN", numbers("[1, NaN, 3, 4]"), 400, "parse_failed", "Format error in JSON body"),
    ("Infinity", numbers("[1, Infinity, 3, 4]"), 400, "parse_failed", "Format error in JSON body"),
    (
        "beyond a double",
        numbers("[1, 1e999, 3, 4]"),
        400,
        "parse_failed",
        "Format error in JSON body",
    ),
    (
        "beyond a float",
        numbers("[1, 1e300, 3, 4]"),
        422,
        "validation_failed",
        "Validation error in JSON body: [points[1]: vector: component 1 of the vector is infinite",
    ),
    (
        "too large to square",
        numbers("[1, 2, 3, 1e19]"),
        422,
        "validation_failed",
        "points[1]: vector: component 3",
    ),
    (
        "a string for a number",
        numbers('[1, "2", 3, 4]'),
        400,
        "parse_failed",
        "points[1]: vector[1]: must be a number, not string",
    ),
    (
        "negative id",
        upsert(GOOD, {"id": -1, "vector": [1, 2, 3, 4]}),
        400,
        "parse_failed",
        f"points[1]: id: value -1 {ID_TEXT}",
    ),
    (
        "fractional id",
        upsert(GOOD, {"id": 1.5, "vector": [1, 2, 3, 4]}),
        400,
        "parse_failed",
        f"points[1]: id: value 1.5 {ID_TEXT}",
    ),
    (
        "id beyond u64",
        upsert(GOOD, {"id": 1 << 64, "vector": [1, 2, 3, 4]}),
        400,
        "parse_failed",
        "Format error in JSON body",
    ),
    (
        "id that is no UUID",
        upsert(GOOD, {"id": "seven", "vector": [1, 2, 3, 4]}),
        400,
        "parse_failed",
        f'points[1]: id: value "seven" {ID_TEXT}',
    ),
    (
        "number in a string",
        upsert(GOOD, {"id": "7", "vector": [1, 2, 3, 4]}),
        400,
        "parse_failed",
        f'value "7" {ID_TEXT}',
    ),
    (
        "payload that is no object",
        upsert(GOOD, {**GOOD, "id": 8, "payload": [1]}),
        400,
        "parse_failed",
        "points[1]: payload: must be an object, not array",
    ),
    (
        "unknown field of a point",
        upsert({**GOOD, "payloads": {}}),
        400,
        "parse_failed",
        'points[0]: unknown key "payloads"',
    ),
    (
        "unknown field of the body",
        {"points": [GOOD], "pionts": []},
        400,
        "parse_failed",
        'unknown key "pionts"',
    ),
    (
        "field given twice",
        '{"points": [{"id": 8, "id": 9, "vector": [1, 2, 3, 4]}]}',
        400,
        "parse_failed",
        'points[0]: key "id" is given twice',
    ),
    (
        "both forms at once",
        {"points": [GOOD], "batch": {"ids": [8], "vectors": [[1, 2, 3, 4]]}},
        400,
        "parse_failed",
        'give "points" or "batch", not both',
    ),
    (
        "columns of different length",
        {"batch": {"ids": [8, 9], "vectors": [[1, 2, 3, 4]]}},
        400,
        "invalid_argument",
        "number of ids and vectors must be equal (2 != 1)",
    ),
    (
        "unknown vector name",
        upsert({"id": 8, "vector": {"image": [1, 2, 3, 4]}}),
        400,
        "invalid_argument",
        "Not existing vector name error: image",
    ),
    (
        "sparse vector",
        upsert({"id": 8, "vector": {"indices": [1], "values": [1]}}),
        501,
        "not_supported",
        "Not supported: points[0]: vector: sparse vectors are not supported yet",
    ),
    (
        "too many points",
        upsert(*[{"id": i, "vector": [1, 2, 3, 4]} for i in range(65537)]),
        413,
        "too_big",
        "65537 points in one request; send at most 65536 at a time",
    ),
    ("an array", [GOOD], 400, "parse_failed", "must be an object, not array"),
    ("no body", None, 400, "parse_failed", "the body is missing"),
    ("half a body", '{"points": [', 400, "parse_failed", "Format error in JSON body"),
    (
        "not UTF-8",
        b'{"points": [{"id": 8, "vector": [1, 2, 3, 4], "payload": {"a": "\xff"}}]}',
        400,
        "parse_failed",
        "Format error in JSON body",
    ),
    ("two values", '{"points": []} {}', 400, "parse_failed", "Format error in JSON body"),
    (
        "too deep",
        '{"points": [{"id": 8, "vector": [1, 2, 3, 4], "payload": {"a": %s%s}}]}'
        % ("[" * 200, "]" * 200),
        400,
        "parse_failed",
        "Format error in JSON body",
    ),
]


@pytest.mark.parametrize(
    "body, status, code, text", [p[1:] for p in POINTS], ids=[p[0] for p in POINTS]
)
@pytest.mark.parametrize("wait", ["true", "false"])
def test_a_batch_is_applied_whole_or_not_at_all(server, body, status, code, text, wait):
    refused(server, "PUT", f"{C}/points?wait={wait}", body, status, code, text)


UPDATES = [
    ("POST", "/points/delete", {}, 400, "parse_failed", 'key "points" or "filter" is missing'),
    (
        "POST",
        "/points/delete",
        {"points": [1], "filter": {}},
        400,
        "parse_failed",
        'give "points" or "filter", not both',
    ),
    (
        "POST",
        "/points/delete",
        {"filter": {"must": [{"key": "a", "match": {"valu": 1}}]}},
        400,
        "parse_failed",
        "filter: must[0].match.valu: unknown key",
    ),
    (
        "POST",
        "/points/delete",
        {"filter": {"must": [{"key": "a"}]}},
        422,
        "validation_failed",
        "At least one field condition must be specified",
    ),
    ("POST", "/points/delete", {"filter": {"mist": []}}, 400, "parse_failed", 'unknown key "mist"'),
    (
        "POST",
        "/points/payload",
        {"payload": {"a": 2}},
        400,
        "parse_failed",
        'key "points" or "filter" is missing',
    ),
    (
        "POST",
        "/points/payload",
        {"payload": [], "points": [1]},
        400,
        "parse_failed",
        "payload: must be an object, not array",
    ),
    (
        "POST",
        "/points/payload",
        {"payload": {"z": 1}, "points": [1], "key": "a"},
        501,
        "not_supported",
        "key: not supported yet",
    ),
    (
        "POST",
        "/points/payload?wait=true",
        {"payload": {"a": 2}, "points": [77]},
        404,
        "not_found",
        "No point with id 77",
    ),
    ("PUT", "/points/payload", {"points": [1]}, 400, "parse_failed", 'key "payload" is missing'),
    (
        "POST",
        "/points/payload/delete",
        {"keys": ["a."], "points": [1]},
        400,
        "parse_failed",
        "keys: ",
    ),
    (
        "POST",
        "/points/payload/clear",
        {"points": [1, "x"]},
        400,
        "parse_failed",
        "points[1]: value",
    ),
    (
        "POST",
        "/points/batch",
        {"operations": [{"delete": {"points": [1]}}, {"insert": {}}]},
        400,
        "parse_failed",
        'operations[1]: unknown key "insert"',
    ),
    (
        "POST",
        "/points/batch",
        {
            "operations": [
                {"delete": {"points": [1]}},
                {"upsert": {"points": [{"id": 8, "vector": [1]}]}},
            ]
        },
        400,
        "invalid_argument",
        "operations[1]: upsert: points[0]: vector: Vector dimension error",
    ),
    ("PUT", "/points?wiat=true", upsert(GOOD), 400, "invalid_argument", '"wiat" is not known here'),
    ("PUT", "/points?wait=maybe", upsert(GOOD), 400, "invalid_argument", "must be true or false"),
    (
        "PUT",
        "/points?timeout=0",
        upsert(GOOD),
        422,
        "validation_failed",
        "timeout: value 0 invalid",
    ),
    (
        "PUT",
        "/points?ordering=odd",
        upsert(GOOD),
        400,
        "invalid_argument",
        "weak, medium or strong",
    ),
    (
        "PUT",
        "/index",
        {"field_name": "a", "field_schema": "keyword"},
        501,
        "not_supported",
        "payload indexes",
    ),
    ("PUT", "/points/vectors", {"points": []}, 501, "not_supported", "changing vectors alone"),
]


@pytest.mark.parametrize("method, path, body, status, code, text", UPDATES)
def test_bad_updates_change_nothing(server, method, path, body, status, code, text):
    refused(server, method, C + path, body, status, code, text)


READS = [
    (
        "POST",
        "/points/query",
        {"query": [1, 2, 3]},
        400,
        "invalid_argument",
        "Vector dimension error: expected dim: 4, got 3",
    ),
    (
        "POST",
        "/points/query",
        {"query": [1, 2, 3, 4], "limit": 0},
        422,
        "validation_failed",
        "limit: value 0 invalid, must be 1 or larger",
    ),
    (
        "POST",
        "/points/query",
        {"query": [1, 2, 3, 4], "limit": 16384, "offset": 1},
        422,
        "validation_failed",
        "limit + offset: value 16385 invalid",
    ),
    (
        "POST",
        "/points/query",
        {"query": [1, 2, 3, 4], "topk": 3},
        400,
        "parse_failed",
        'unknown key "topk"',
    ),
    (
        "POST",
        "/points/query",
        {"query": [1, 2, 3, 4], "using": "image"},
        400,
        "invalid_argument",
        "Not existing vector name error: image",
    ),
    ("POST", "/points/query", {"query": 77}, 404, "not_found", "No point with id 77 found"),
    ("POST", "/points/query", {"query": {"fusion": "rrf"}}, 501, "not_supported", "fusion queries"),
    (
        "POST",
        "/points/query",
        {"score_threshold": 0.5},
        400,
        "invalid_argument",
        "score_threshold needs a query",
    ),
    (
        "POST",
        "/points/query",
        {"query": [1, 2, 3, 4], "filter": {"must": [{"key": "a", "range": {}}, 5]}},
        400,
        "parse_failed",
        "filter: ",
    ),
    (
        "POST",
        "/points/query/batch",
        {"searches": [{"query": 1}, {"query": [1]}]},
        400,
        "invalid_argument",
        "searches[1]: query: Vector dimension error",
    ),
    (
        "POST",
        "/points/query/batch",
        {"searches": [{}] * 1025},
        413,
        "too_big",
        "1025 searches in one request",
    ),
    (
        "POST",
        "/points/search",
        {"vector": [1, 2, 3, 4]},
        400,
        "parse_failed",
        'key "limit" is missing',
    ),
    ("POST", "/points/scroll", {"limit": 0}, 422, "validation_failed", "limit: value 0 invalid"),
    ("POST", "/points/scroll", {"order_by": "a"}, 501, "not_supported", "order_by"),
    ("POST", "/points/count", {"exact": 1}, 400, "parse_failed", "exact: must be true or false"),
    ("POST", "/points", {"ids": [-1]}, 400, "parse_failed", f"ids[0]: value -1 {ID_TEXT}"),
    ("GET", "/points/77", None, 404, "not_found", "No point with id 77 found"),
    ("GET", "/points/seven", None, 400, "invalid_argument", f"value seven {ID_TEXT}"),
    ("GET", "/points/18446744073709551616", None, 400, "invalid_argument", ID_TEXT),
    ("POST", "/points/query/groups", {"group_by": "a"}, 501, "not_supported", "groups"),
    ("POST", "/facet", {"key": "a"}, 501, "not_supported", "facets"),
    ("PATCH", "/points", {}, 405, "invalid_argument", "this path takes"),
    ("GET", "/nonsense", None, 404, "not_found", "no such path"),
]


@pytest.mark.parametrize("method, path, body, status, code, text", READS)
def test_bad_reads_are_refused(server, method, path, body, status, code, text):
    refused(server, method, C + path, body, status, code, text)


@pytest.mark.parametrize(
    "method, path, body",
    [
        ("GET", "", None),
        ("PUT", "/points", upsert(GOOD)),
        ("GET", "/points/1", None),
        ("POST", "/points", {"ids": [1]}),
        ("POST", "/points/query", {"query": [1]}),
        ("POST", "/points/scroll", {}),
        ("POST", "/points/count", {}),
        ("POST", "/points/delete", {"points": [1]}),
        ("POST", "/points/batch", {"operations": []}),
        ("POST", "/points/payload", {"payload": {}, "points": [1]}),
    ],
)
def test_an_unknown_collection_is_not_found(server, method, path, body):
    refused(
        server,
        method,
        f"/collections/nowhere{path}",
        body,
        404,
        "not_found",
        "Not found: Collection `nowhere` doesn't exist!",
    )


ONE = {"size": 4, "distance": "Dot"}
CREATES = [
    (
        "the same name",
        "c",
        {"vectors": ONE},
        409,
        "already_exists",
        "Collection `c` already exists!",
    ),
    ("no vectors", "d", {}, 400, "invalid_argument", "vectors"),
    (
        "size 0",
        "d",
        {"vectors": {**ONE, "size": 0}},
        422,
        "validation_failed",
        "size: value 0 invalid",
    ),
    (
        "size too large",
        "d",
        {"vectors": {**ONE, "size": 65537}},
        422,
        "validation_failed",
        "size: value 65537 invalid",
    ),
    (
        "no such distance",
        "d",
        {"vectors": {**ONE, "distance": "dot"}},
        400,
        "invalid_argument",
        "distance",
    ),
    (
        "unknown setting",
        "d",
        {"vectors": ONE, "shards": 3},
        400,
        "invalid_argument",
        'unknown key "shards"',
    ),
    ("named vectors", "d", {"vectors": {"a": ONE}}, 501, "not_supported", "named vectors"),
    (
        "sparse vectors",
        "d",
        {"vectors": ONE, "sparse_vectors": {"s": {}}},
        501,
        "not_supported",
        "sparse_vectors",
    ),
    (
        "quantization",
        "d",
        {"vectors": ONE, "quantization_config": {"scalar": {"type": "int8"}}},
        501,
        "not_supported",
        "quantization_config",
    ),
    (
        "two replicas",
        "d",
        {"vectors": ONE, "replication_factor": 2},
        501,
        "not_supported",
        "replication_factor",
    ),
    (
        "no shards",
        "d",
        {"vectors": ONE, "shard_number": 0},
        422,
        "validation_failed",
        "shard_number",
    ),
    ("a name with a slash", "a%2Fb", {"vectors": ONE}, 422, "validation_failed", "name"),
    (
        "a name with a control character",
        "a%0Ab",
        {"vectors": ONE},
        422,
        "validation_failed",
        "name",
    ),
    ("a long name", "x" * 256, {"vectors": ONE}, 422, "validation_failed", "name"),
    ("half a body", "d", '{"vectors"', 400, "parse_failed", "Format error in JSON body"),
]


@pytest.mark.parametrize(
    "name, body, status, code, text", [c[1:] for c in CREATES], ids=[c[0] for c in CREATES]
)
def test_bad_collections_are_not_made(server, name, body, status, code, text):
    refused(server, "PUT", f"/collections/{name}", body, status, code, text)


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server):
    host, port = server.http.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=30)
    connection.putrequest("PUT", f"{C}/points")
    connection.putheader("Content-Length", str(BODY_MAX + 1))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 413
    assert json.loads(answer.read())["status"]["code"] == "too_big"
    connection.close()
    assert stored(server) == KEPT


def test_a_body_of_unannounced_length_is_refused_when_it_is_over_the_limit(server):
    host, port = server.http.rsplit(":", 1)
    piece = b"%x\r\n%s\r\n" % (1 << 20, b" " * (1 << 20))
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(
            f"PUT {C}/points HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range((BODY_MAX >> 20) + 1):
            connection.sendall(piece)
        connection.sendall(b"0\r\n\r\n")
        head = connection.recv(64)
    assert head.startswith(b"HTTP/1.1 413 ")
    assert stored(server) == KEPT


def test_after_all_this_a_good_request_is_served(server):
    server.ok("PUT", f"{C}/points?wait=true", upsert(GOOD))
    assert server.ok("GET", f"{C}/points/7") == {**GOOD, "payload": {}}
    server.ok("POST", f"{C}/points/delete?wait=true", {"points": [7]})
    assert stored(server) == KEPT
