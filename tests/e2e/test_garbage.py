"""Clients that send garbage: noise, requests that were valid before some bytes changed, lengths
that are not true, connections that end in the middle; to both ports, many at once. The server stays
up, the others are answered meanwhile, and its memory stays where it was. SHOAL_TEST_SEED repeats a
run; SHOAL_TEST_ROUNDS sets how much is sent."""

import os
import pathlib
import random
import socket
import struct
import threading

from shoald import Shoald

ROUNDS = int(os.environ.get("SHOAL_TEST_ROUNDS", "1000"))
SEED = int(os.environ.get("SHOAL_TEST_SEED", str(random.randrange(2**32))))
HOSTILE = 4
GROWTH_MAX = 64 << 20
CORPUS = pathlib.Path(__file__).parent.parent / "fuzz" / "corpus"
DIM = 4
ROUTES = {
    "upsert": ("PUT", "points"), "delete": ("POST", "points/delete"),
    "payload": ("POST", "points/payload"), "query": ("POST", "points/query"),
    "query-batch": ("POST", "points/query/batch"), "retrieve": ("POST", "points"),
    "scroll": ("POST", "points/scroll"), "search": ("POST", "points/search"),
    "batch": ("POST", "points/batch"),
}
# NNG's protocol over TCP: both sides greet with their protocol, then frames with a length.
REQUESTER = b"\0SP\0" + struct.pack(">HH", 0x30, 0)


def read_corpus(name):
    return {f.name: f.read_bytes() for f in sorted((CORPUS / name).iterdir())}


BODIES = read_corpus("fuzz_rest_body")
MESSAGES = list(read_corpus("fuzz_message").values())


def mutate(r, data):
    data = bytearray(data)
    for _ in range(r.randint(0, 6)):
        how = r.randrange(5)
        at = r.randrange(len(data) + 1)
        if how == 0 and at < len(data):
            data[at] = r.randrange(256)
        elif how == 1:
            data[at:at] = r.randbytes(r.randint(1, 8))
        elif how == 2:
            del data[at:at + r.randint(1, 8)]
        elif how == 3:
            data[at:at] = data[at:at + 64]
        elif how == 4:
            data[at:at + 4] = struct.pack("<I", r.choice([0, 1, 0x7fffffff, 0xffffffff]))
    return bytes(data)


# --- what is sent to the HTTP port ----------------------------------------------------------------


def http_noise(r):
    return r.randbytes(r.randint(1, 2000))


def http_request(r):
    name = r.choice(sorted(ROUTES))
    method, path = ROUTES[name]
    body = mutate(r, BODIES[name])
    head = (f"{method} /collections/victim/{path}?wait=true HTTP/1.1\r\nHost: x\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")
    return head.encode() + body


def http_request_changed(r):
    return mutate(r, http_request(r))


def http_untrue_length(r):
    length = r.choice([-1, 2**31, 2**63, 2**64, 10**30, 1 << 20])
    head = f"PUT /collections/victim/points HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"
    return head.encode() + b"{}"


def http_chunks(r):
    chunk = b"%x\r\n" % r.choice([0, 5, 2**31, 2**64]) + r.randbytes(5) + b"\r\n"
    return (b"POST /collections/victim/points/query HTTP/1.1\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n") + chunk * r.randint(1, 50)


def http_endless_head(r):
    return b"GET / HTTP/1.1\r\n" + b"X-%d: y\r\n" % r.randrange(100) * r.randint(1, 20000)


# --- what is sent to the NNG port -----------------------------------------------------------------


def framed(body, length=None):
    return struct.pack(">Q", len(body) if length is None else length) + body


def request(r, message):
    return framed(struct.pack(">I", 0x80000000 | r.randrange(2**31)) + message)


def nng_noise(r):
    return r.choice([b"", b"\0SP", b"\0SP\0\0\x31\0\0", REQUESTER]) + r.randbytes(r.randint(1, 500))


def nng_messages(r):
    return REQUESTER + b"".join(request(r, mutate(r, r.choice(MESSAGES)))
                                for _ in range(r.randint(1, 20)))


def nng_untrue_length(r):
    length = r.choice([2**26 + 5, 2**31, 2**63, 2**64 - 1, 0, 3])
    return REQUESTER + framed(r.randbytes(50), length)


def nng_requests_without_id(r):
    return REQUESTER + framed(r.randbytes(r.randint(0, 8))) + framed(r.choice(MESSAGES))


HTTP = [http_noise, http_request, http_request, http_request_changed, http_request_changed,
        http_untrue_length, http_chunks, http_endless_head]
NNG = [nng_noise, nng_messages, nng_messages, nng_untrue_length, nng_requests_without_id]


def send(address, data, r):
    """Sends it, perhaps in two pieces, reads a little or nothing, and goes away."""
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as s:
        s.settimeout(r.choice([0.001, 0.02]))
        at = r.randrange(len(data) + 1)
        try:
            s.sendall(data[:at])
            s.sendall(data[at:])
            if r.random() < 0.3:
                s.shutdown(socket.SHUT_WR)
            if r.random() < 0.7:
                s.recv(65536)
        except OSError:
            pass  # it may hang up, or not answer what is half a request


class Sender(threading.Thread):
    def __init__(self, server, seed, rounds):
        super().__init__(daemon=True)
        self.server, self.random, self.rounds = server, random.Random(seed), rounds
        self.failure = None

    def run(self):
        nng = self.server.nng.removeprefix("tcp://")
        try:
            for _ in range(self.rounds):
                r = self.random
                if r.random() < 0.5:
                    send(self.server.http, r.choice(HTTP)(r), r)
                else:
                    send(nng, r.choice(NNG)(r), r)
        except OSError as e:
            self.failure = e


def one_of_us(server, n):
    """A client that does nothing wrong."""
    point = {"id": n % 50, "vector": [n, 1, 2, 3], "payload": {"n": n}}
    server.ok("PUT", "/collections/good/points?wait=true", {"points": [point]})
    got = server.ok("POST", "/collections/good/points/query",
                    {"query": [n, 1, 2, 3], "limit": 1, "with_payload": True})["points"]
    assert got[0]["payload"] == {"n": n}


def memory(server):
    """Without the files that it maps."""
    for line in open(f"/proc/{server.process.pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


def round_of_all(server, seed, rounds):
    senders = [Sender(server, f"{seed} {i}", rounds) for i in range(HOSTILE)]
    for s in senders:
        s.start()
    n = 0
    while any(s.is_alive() for s in senders):
        one_of_us(server, n)
        n += 1
    for s in senders:
        assert s.failure is None, f"{s.failure!r}\n{server.tail()}"
    one_of_us(server, n)
    return n


def test_garbage_hurts_nobody(tmp_path):
    print(f"SHOAL_TEST_SEED={SEED} SHOAL_TEST_ROUNDS={ROUNDS}")
    asan = os.environ.get("ASAN_OPTIONS", "")
    server = Shoald(tmp_path / "data", args=["--log-level", "error"],
                    env={"ASAN_OPTIONS": f"{asan}:quarantine_size_mb=8".lstrip(":")})
    with server:
        for name in ("good", "victim"):
            server.ok("PUT", f"/collections/{name}",
                      {"vectors": {"size": DIM, "distance": "Euclid"}})
        round_of_all(server, f"{SEED} warm", ROUNDS // 2)
        before = memory(server)
        answered = round_of_all(server, SEED, ROUNDS)
        growth = memory(server) - before
        print(f"{answered} answered meanwhile, {growth >> 20} MiB more")
        assert answered > 10
        assert growth < GROWTH_MAX
        assert server.process.poll() is None
        assert server.stop()[0] == 0
