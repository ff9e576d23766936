"""The process itself: options, start, stop, and what happens to requests meanwhile."""

import subprocess
import time

from shoald import BIN, Shoald


def test_help_names_every_option():
    out = subprocess.run([BIN / "shoald", "--help"], capture_output=True, text=True,
                         check=True).stdout
    for option in ("--data", "--roles", "--http", "--nng", "--join", "--name", "--config",
                   "--log-level"):
        assert option in out, option
    assert "SHOALD_DATA" in out


def test_a_wrong_option_is_refused_with_a_suggestion():
    run = subprocess.run([BIN / "shoald", "--dta", "x"], capture_output=True, text=True)
    assert run.returncode != 0
    assert 'did you mean "data"' in run.stderr


def test_a_second_process_on_the_same_directory_is_refused(tmp_path):
    with Shoald(tmp_path / "data"):
        run = subprocess.run([BIN / "shoald", "--data", tmp_path / "data", "--http", "127.0.0.1:0",
                              "--nng", "tcp://127.0.0.1:0", "--roles", "gateway,node,catalog"],
                             capture_output=True, text=True, timeout=30)
        assert run.returncode != 0
        assert "in use by another process" in run.stderr


def test_sigterm_ends_it_cleanly_within_five_seconds(tmp_path):
    server = Shoald(tmp_path / "data").start()
    server.ok("PUT", "/collections/c", {"vectors": {"size": 4, "distance": "Dot"}})
    server.ok("PUT", "/collections/c/points?wait=true",
              {"points": [{"id": 1, "vector": [1, 2, 3, 4], "payload": {"a": 1}}]})
    code, seconds = server.stop()
    assert code == 0
    assert seconds < 5
    server.start()
    try:
        assert server.ok("GET", "/collections/c/points/1")["payload"] == {"a": 1}
    finally:
        server.kill()


def test_options_come_from_file_environment_and_flags_in_that_order(tmp_path):
    config = tmp_path / "shoald.conf"
    config.write_text("# a comment\nname = from-file\nlog-level = debug\n")
    server = Shoald(tmp_path / "data", args=["--config", config], env={"SHOALD_NAME": "from-env"})
    server.start()
    try:
        text = server.tail()
        assert "name=from-env" in text
        assert "level=debug" in text or "level=info" in text
    finally:
        server.kill()


def test_health_and_metrics(tmp_path):
    with Shoald(tmp_path / "data") as server:
        assert server.call("GET", "/healthz")[0] == 200
        assert server.call("GET", "/livez")[0] == 200
        assert server.call("GET", "/readyz")[0] == 200
        status, text = server.call("GET", "/metrics")
        assert status == 200 and "# TYPE" in text


def test_a_deleted_collection_leaves_the_disk(tmp_path):
    with Shoald(tmp_path / "data") as server:
        server.ok("PUT", "/collections/gone", {"vectors": {"size": 4, "distance": "Dot"}})
        shards = list((tmp_path / "data" / "shards").iterdir())
        assert len(shards) == 1
        assert server.ok("DELETE", "/collections/gone") is True
        deadline = time.monotonic() + 20
        while shards[0].exists():
            assert time.monotonic() < deadline, "the shard's directory is still there"
            time.sleep(0.05)
        assert server.call("GET", "/collections/gone")[0] == 404
