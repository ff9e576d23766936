"""Real shoald processes for the end-to-end tests: started on free ports, found by the line they
print when they are ready, and ended for sure."""

import http.client
import json
import os
import pathlib
import queue
import signal
import subprocess
import threading
import time

import pytest

BIN = pathlib.Path(os.environ.get("SHOAL_BIN_DIR", "build/bin"))
MODELS = pathlib.Path(os.environ.get("SHOAL_MODELS") or BIN.parent / "models")
READY_SECONDS = 60
ALL_ROLES = "gateway,node,catalog,generator"


class Shoald:
    """One process. `args` are further options; `roles` and `join` as on the command line."""

    def __init__(self, data, *, roles="gateway,node,catalog", join=None, name=None, args=(),
                 env=None, http="127.0.0.1:0", nng="tcp://127.0.0.1:0"):
        self.data = pathlib.Path(data)
        self.command = [str(BIN / "shoald"), "--data", str(data), "--roles", roles,
                        "--http", http, "--nng", nng]
        if join:
            self.command += ["--join", join]
        if name:
            self.command += ["--name", name]
        self.command += [str(a) for a in args]
        self.env = {**os.environ, **(env or {})}
        self.process = None
        self.http = None
        self.nng = None
        self.log = None

    def start(self, wait=True):
        self.data.mkdir(parents=True, exist_ok=True)
        self.log = open(self.data.with_suffix(".log"), "ab")
        self.started = time.monotonic()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, env=self.env)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        lines = queue.Queue()
        stdout = self.process.stdout

        def read():
            for line in stdout:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=read, daemon=True).start()
        try:
            line = lines.get(timeout=READY_SECONDS)
        except queue.Empty:
            line = None
        if not line or not line.startswith("shoald ready"):
            self.kill()
            raise AssertionError(f"shoald is not ready ({line!r}):\n{self.tail()}")
        words = dict(w.split("=", 1) for w in line.split() if "=" in w)
        self.http = words.get("http")
        self.nng = words.get("nng")
        self.ready_seconds = time.monotonic() - self.started
        self.keep_ports()

    def keep_ports(self):
        """The next start takes the same ports: others were told of them."""
        for option, value in (("--http", self.http), ("--nng", self.nng)):
            self.command[self.command.index(option) + 1] = value

    def wait_models(self, seconds=120):
        """Until the generator's process has loaded an embedder and a language model. Skips the test
        when the build has no models."""
        if not MODELS.is_dir():
            pytest.skip(f"no models in {MODELS}")
        deadline = time.monotonic() + seconds
        while True:
            models = self.ok("GET", "/v1/status")["models"]
            if {m["kind"] for m in models} == {"embedder", "generator"}:
                return {m["kind"]: m["name"] for m in models}
            assert time.monotonic() < deadline, f"no models after {seconds} s:\n{self.tail()}"
            time.sleep(0.05)

    def tail(self):
        text = self.data.with_suffix(".log").read_text(errors="replace")
        return "\n".join(text.splitlines()[-40:])

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()
            self.log.close()
            self.process = None

    def stop(self, seconds=10):
        """SIGTERM; returns the exit code and how long it took."""
        begin = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            tail = self.tail()
            self.kill()
            raise AssertionError(f"shoald did not end within {seconds} s of SIGTERM:\n{tail}")
        self.log.close()
        self.process = None
        return code, time.monotonic() - begin

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()

    def call(self, method, path, body=None, timeout=30, headers=None):
        """Status and decoded body of one request."""
        host, port = self.http.rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=timeout)
        try:
            data = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
            connection.request(method, path, body=data,
                               headers={"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            text = response.read()
            try:
                return response.status, json.loads(text)
            except ValueError:
                return response.status, text.decode(errors="replace")
        finally:
            connection.close()

    def ok(self, method, path, body=None, **more):
        """The result of a request that must succeed."""
        status, answer = self.call(method, path, body, **more)
        assert status == 200, f"{method} {path}: {status} {answer}"
        return answer["result"] if isinstance(answer, dict) and "result" in answer else answer
