"""Questions to documents: text in, answers out, with citations that hold."""

import http.client
import json
import subprocess
import time

import pytest
from shoald import ALL_ROLES, BIN, Shoald

DOCUMENTS = [
    {"id": "harbour.txt", "title": "Harbour rules",
     "text": "The harbour of Norvik opens at six in the morning. Boats longer than forty metres "
             "need a pilot. The harbour master is Ingrid Solberg. Fishing inside the harbour is "
             "forbidden."},
    {"id": "bread.md", "type": "text/markdown",
     "text": "# Rye bread\n\nRye bread needs a sourdough starter.\n\n## Baking\n\nBake the rye "
             "bread for fifty minutes at 210 degrees. Let it rest for one day before cutting "
             "it.\n"},
    {"id": "clock.html", "type": "text/html",
     "text": "<html><head><title>The tower clock</title></head><body><h1>The tower clock</h1>"
             "<p>The tower clock of Lindau was built in 1604 by Jost Burgi. It strikes every "
             "quarter of an hour.</p></body></html>"},
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with Shoald(tmp_path_factory.mktemp("ask") / "data", roles=ALL_ROLES) as s:
        s.wait_models()
        s.ok("PUT", "/v1/collections/docs", {"shard_number": 2})
        stored = s.ok("PUT", "/v1/collections/docs/documents", {"documents": DOCUMENTS}, timeout=60)
        assert {d["id"] for d in stored["documents"]} == {d["id"] for d in DOCUMENTS}
        assert all(d["chunks"] >= 1 for d in stored["documents"])
        yield s


def events_of(server, path, body, headers=None):
    """The events of a stream as they come."""
    host, port = server.http.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=120)
    connection.request("POST", path, body=json.dumps(body), headers=headers or {})
    response = connection.getresponse()
    assert response.status == 200, response.read()
    assert response.getheader("Content-Type").startswith("text/event-stream")
    for line in response:
        if line.startswith(b"data: "):
            yield json.loads(line[6:])
    connection.close()


def test_passages_are_found_by_their_meaning(server):
    found = server.ok("POST", "/v1/collections/docs/search",
                      {"text": "how long is rye bread baked?", "limit": 2})
    best = found["passages"][0]
    assert best["document"] == "bread.md"
    assert "fifty minutes" in best["text"]
    assert best["number"] == 1 and best["score"] > 0.4


def test_an_answer_cites_the_passage_that_says_it(server):
    answer = server.ok("POST", "/v1/collections/docs/ask",
                       {"question": "Who built the tower clock of Lindau?"}, timeout=120)
    assert answer["abstained"] is False
    assert "Burgi" in answer["answer"]
    assert [c["document"] for c in answer["citations"]] == ["clock.html"]
    assert answer["sentences"] and answer["supported"] >= 1
    said = answer["sentences"][0]
    assert said["supported"] and said["passage"] == 1 and "Burgi" in said["quote"]
    assert answer["coverage"] == {"shards_asked": 2, "shards_answered": 2}
    timings = answer["timings"]
    assert timings["tokens"] > 0 and timings["prompt_tokens"] > 0
    assert {"embed_ms", "search_ms", "merge_ms", "prompt_ms", "first_token_ms"} <= timings.keys()
    assert len(timings["shards"]) == 2


def test_what_the_documents_do_not_say_is_not_made_up(server):
    answer = server.ok("POST", "/v1/collections/docs/ask",
                       {"question": "What is the boiling point of tungsten?"}, timeout=120)
    assert answer["abstained"] is True
    assert answer["finish"] == "abstained"
    assert answer["citations"] == [] and answer["timings"]["tokens"] == 0


def test_a_streamed_answer_comes_in_order_and_says_the_same(server):
    events = list(events_of(server, "/v1/collections/docs/ask",
                            {"question": "Who built the tower clock of Lindau?", "stream": True}))
    kinds = [e["type"] for e in events]
    assert kinds[0] == "passages" and kinds[-2:] == ["citations", "done"]
    assert set(kinds[1:-2]) == {"token"}
    text = "".join(e["text"] for e in events if e["type"] == "token")
    assert text == events[-1]["answer"]
    assert "Burgi" in text


def test_a_filter_narrows_what_is_looked_at(server):
    only = {"must": [{"key": "document", "match": {"value": "clock.html"}}]}
    found = server.ok("POST", "/v1/collections/docs/search", {"text": "bread", "filter": only})
    assert {p["document"] for p in found["passages"]} == {"clock.html"}
    status, answer = server.call("POST", "/v1/collections/docs/search",
                                 {"text": "bread", "filter": {"moost": []}})
    assert status == 400, answer


def test_documents_that_are_unchanged_are_known(server):
    check = [{"id": "harbour.txt", "hash": "x"}, {"id": "nobody", "hash": "y"}]
    known = server.ok("POST", "/v1/collections/docs/documents/check", {"documents": check})
    assert known == {"unchanged": []}
    put = {"documents": [{"id": "h", "text": "A text about herons.", "hash": "v1"}]}
    server.ok("PUT", "/v1/collections/docs/documents", put)
    known = server.ok("POST", "/v1/collections/docs/documents/check",
                      {"documents": [{"id": "h", "hash": "v1"}]})
    assert known == {"unchanged": ["h"]}


def test_a_new_version_replaces_the_old_one_and_a_deleted_one_is_gone(server):
    long = " ".join(f"Sentence number {i} tells of the otter's day {i}." for i in range(120))
    first = server.ok("PUT", "/v1/collections/docs/documents",
                      {"documents": [{"id": "otter", "text": long}]}, timeout=120)
    assert first["chunks"] > 2
    second = server.ok("PUT", "/v1/collections/docs/documents",
                       {"documents": [{"id": "otter", "text": "The otter sleeps."}]})
    assert second["chunks"] == 1
    otter = {"filter": {"must": [{"key": "document", "match": {"value": "otter"}}]}, "exact": True}
    assert server.ok("POST", "/collections/docs/points/count", otter)["count"] == 1
    assert server.ok("POST", "/v1/collections/docs/documents/delete",
                     {"documents": ["otter", "nobody"]}) == {"deleted": 1}
    assert server.ok("POST", "/collections/docs/points/count", otter)["count"] == 0


@pytest.mark.parametrize("body", [
    {}, {"documents": "x"}, {"documents": [{"id": "a"}]}, {"documents": [{"id": "", "text": "x"}]},
    {"documents": [{"id": "a", "text": "x", "titel": "t"}]},
    {"documents": [{"id": "a", "text": "x"}, {"id": "a", "text": "y"}]},
    {"documents": [{"id": "a", "text": 1}]},
])
def test_bad_documents_are_refused_whole(server, body):
    status, answer = server.call("PUT", "/v1/collections/docs/documents", body)
    assert 400 <= status < 500, answer
    assert answer["status"]["error"]


def test_bad_questions_are_refused(server):
    for body, want in (({}, 422), ({"question": ""}, 422), ({"question": "x", "limitt": 3}, 400),
                       ({"question": "x", "temperature": 9}, 400)):
        status, answer = server.call("POST", "/v1/collections/docs/ask", body)
        assert status == want, answer
    assert server.call("POST", "/v1/collections/none/ask", {"question": "x"})[0] == 404


def test_a_listener_that_leaves_stops_the_model(server):
    """The model's next answer does not wait for the one that nobody hears."""
    question = {"messages": [{"role": "user", "content": "Tell a very long story about a king."}],
                "max_tokens": 2000, "stream": True, "temperature": 1, "seed": 3}
    events = events_of(server, "/v1/chat/completions", question)
    next(events)
    next(events)
    events.close()
    begin = time.monotonic()
    server.ok("POST", "/v1/chat/completions", {**question, "stream": False, "max_tokens": 1},
              timeout=60)
    deadline = time.monotonic() + 30
    while True:  # shown by the metrics: the request has ended
        metrics = server.call("GET", "/metrics")[1]
        lines = [x for x in metrics.splitlines()
                 if x.startswith("shoal_rest_requests_total") and "/v1/chat/completions" in x]
        if sum(float(x.rsplit(" ", 1)[1]) for x in lines) >= 2:
            break
        assert time.monotonic() < deadline, metrics
        time.sleep(0.05)
    assert time.monotonic() - begin < 30


def test_the_command_line_ingests_once_and_asks(server, tmp_path):
    if not (BIN / "shoal").exists():
        pytest.skip("the command line is not built")
    (tmp_path / "a.txt").write_text("The lighthouse keeper of Skagen is called Pernille Dahl.")
    (tmp_path / "b.md").write_text("# Wells\n\nThe old well is thirty metres deep.\n")
    url = "shoal://" + server.nng.removeprefix("tcp://")

    def shoal(*words):
        return subprocess.run([BIN / "shoal", "--url", url, *words], capture_output=True, text=True,
                              timeout=120)

    first = shoal("ingest", "cli", str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "2 documents stored" in first.stdout
    second = shoal("ingest", "cli", str(tmp_path))
    assert "0 documents stored" in second.stdout and "2 unchanged" in second.stdout
    asked = shoal("ask", "cli", "Who is the lighthouse keeper of Skagen?")
    assert asked.returncode == 0, asked.stderr
    assert "a.txt" in asked.stdout  # what a small model makes of it is another matter


def test_limits_hold_requests_and_tokens(tmp_path):
    rules = "req=requests:6/h; gen=generated_tokens:40/h"
    with Shoald(tmp_path / "data", roles=ALL_ROLES, args=["--limits", rules]) as server:
        server.wait_models()
        say = {"messages": [{"role": "user", "content": "Count to ten."}], "max_tokens": 30,
               "temperature": 0}
        host, port = server.http.rsplit(":", 1)

        def post(body, key):
            connection = http.client.HTTPConnection(host, int(port), timeout=120)
            connection.request("POST", "/v1/chat/completions", body=json.dumps(body),
                               headers={"Authorization": f"Bearer {key}"})
            response = connection.getresponse()
            text = response.read()
            connection.close()
            return response, text

        response, text = post(say, "a")
        assert response.status == 200, text
        used = json.loads(text)["usage"]["completion_tokens"]
        response, text = post({**say, "max_tokens": 40 - used + 1}, "a")
        assert response.status == 429, text
        assert int(response.getheader("Retry-After")) > 0
        assert '"gen";r=' in response.getheader("RateLimit")
        assert '"gen";q=40;w=3600' in response.getheader("RateLimit-Policy")
        assert post(say, "b")[0].status == 200  # another key, another budget
        for _ in range(4):
            response, text = post({**say, "max_tokens": 1}, "a")
        response, text = post({**say, "max_tokens": 1}, "a")
        assert response.status == 429 and b"req" in text
