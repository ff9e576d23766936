"""How the process starts and ends: what it says when it cannot, and that signals are obeyed
whatever it is doing."""

import http.client
import json
import os
import signal
import socket
import subprocess
import time

import pytest
from shoald import ALL_ROLES, BIN, Shoald


def run(*args):
    return subprocess.run([BIN / "shoald", *map(str, args)], capture_output=True, text=True,
                          timeout=30)


@pytest.fixture
def taken():
    with socket.create_server(("127.0.0.1", 0)) as s:
        yield s.getsockname()[1]


def test_a_taken_port_is_named(tmp_path, taken):
    free = ["--data", tmp_path / "d", "--roles", "gateway,node,catalog"]
    http_taken = run(*free, "--http", f"127.0.0.1:{taken}", "--nng", "tcp://127.0.0.1:0")
    assert http_taken.returncode == 1
    assert str(taken) in http_taken.stderr and "in use" in http_taken.stderr
    nng_taken = run(*free, "--http", "127.0.0.1:0", "--nng", f"tcp://127.0.0.1:{taken}")
    assert nng_taken.returncode == 1
    assert str(taken) in nng_taken.stderr and "in use" in nng_taken.stderr


@pytest.mark.parametrize("args, code, says", [
    (["--roles", "gatway"], 2, "is no role"),
    (["--roles", "generator"], 2, "--join"),
    (["--roles", "gateway,catalog", "--join", "tcp://127.0.0.1:1"], 2, "exclude each other"),
    (["--log-level", "loud"], 2, "none of debug"),
    (["--log-format", "xml"], 2, "neither"),
    (["--limits", "req=requests:many/s"], 1, "--limits"),
    (["--http", "nowhere"], 1, "nowhere"),
    (["--nng", "smoke://signal"], 1, "smoke"),
    (["--models", "/does/not/exist"], 1, "/does/not/exist"),
    (["word"], 2, "--help"),
])
def test_wrong_options_are_refused_with_a_reason(tmp_path, args, code, says):
    given = {"--data": tmp_path / "d", "--http": "127.0.0.1:0", "--nng": "tcp://127.0.0.1:0"}
    words = [w for key, value in given.items() if key not in args for w in (key, value)]
    out = run(*words, *args)
    assert out.returncode == code, out.stderr
    assert says in out.stderr
    assert out.stderr.startswith("shoald: ") or "\nshoald: " in out.stderr


def test_the_version_is_told():
    out = run("--version")
    assert out.returncode == 0 and out.stdout.startswith("shoald 0.")


@pytest.mark.parametrize("which", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_waits_for_its_catalog_can_be_ended(tmp_path, which):
    server = Shoald(tmp_path / "d", roles="gateway,node", join="tcp://127.0.0.1:1")
    server.start(wait=False)
    deadline = time.monotonic() + 10
    while not (tmp_path / "d" / "identity").exists():  # it has come so far
        assert time.monotonic() < deadline, server.tail()
        time.sleep(0.02)
    begin = time.monotonic()
    server.process.send_signal(which)
    assert server.process.wait(timeout=10) == 0
    assert time.monotonic() - begin < 5
    server.kill()


def test_a_node_is_ready_when_its_catalog_comes_later(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as s:
        url = f"tcp://127.0.0.1:{s.getsockname()[1]}"
    node = Shoald(tmp_path / "n", roles="gateway,node", join=url, name="n").start(wait=False)
    try:
        with Shoald(tmp_path / "c", roles="gateway,catalog", nng=url, name="c") as catalog:
            node.wait_ready()
            catalog.ok("PUT", "/collections/x", {"vectors": {"size": 2, "distance": "Dot"}})
            assert node.ok("GET", "/collections/x/exists") == {"exists": True}
            assert catalog.call("GET", "/readyz")[0] == 200
    finally:
        node.kill()


def children_of(pid):
    out = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
    return [int(p) for p in out.split()]


def is_alive(pid):
    try:
        os.kill(pid, 0)
        return True
    except ProcessLookupError:
        return False


def begin_long_answer(server):
    host, port = server.http.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("POST", "/v1/chat/completions", body=json.dumps(
        {"messages": [{"role": "user", "content": "Tell a very long story."}], "max_tokens": 4000,
         "stream": True, "seed": 5}))
    response = connection.getresponse()
    assert response.status == 200
    response.readline()  # the model is talking now
    return connection, response


def test_sigterm_ends_a_talking_server_and_its_child_within_five_seconds(tmp_path):
    server = Shoald(tmp_path / "d", roles=ALL_ROLES).start()
    try:
        server.wait_models()
        children = children_of(server.process.pid)
        assert len(children) == 1
        connection, response = begin_long_answer(server)
        code, seconds = server.stop()
        assert code == 0 and seconds < 5
        assert not any(map(is_alive, children))
        try:
            rest = response.read()
        except (http.client.IncompleteRead, ConnectionError):
            pass
        else:  # a stream that was cut does not look whole
            assert b"[DONE]" not in rest and b'data: {"error":' in rest
        connection.close()
    finally:
        server.kill()


def test_kill_9_takes_the_child_along(tmp_path):
    server = Shoald(tmp_path / "d", roles=ALL_ROLES).start()
    try:
        server.wait_models()
        children = children_of(server.process.pid)
        assert len(children) == 1
    finally:
        server.kill()
    deadline = time.monotonic() + 5
    while any(map(is_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
