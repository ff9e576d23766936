"""A disk with no room left: writes that grow are refused with a reason, all else goes on, nothing
that was acknowledged is lost, also not by kill -9, and room is all it takes to go on. Each server
has a small file system of its own; and one a limit on the length of its files, which stands for a
full map."""

import errno
import os
import resource
import subprocess
import time

import pytest
from shoald import Shoald

DISK_MIB = 72
DIM = 8
PAYLOAD_BYTES = 20_000
BATCH = 16
C = "/collections/c"
FULL = {"status": 507, "code": "storage_full"}


@pytest.fixture
def disk(tmp_path):
    """A file system of DISK_MIB, mounted where the data goes."""
    data = tmp_path / "data"
    data.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "shoal-test", data],
                           capture_output=True, text=True)
    if mount.returncode != 0:
        pytest.skip(f"a small file system cannot be mounted here: {mount.stderr.strip()}")
    yield data
    subprocess.run(["umount", "--lazy", data], check=True)


@pytest.fixture
def server(disk):
    running = Shoald(disk)
    running.start()
    yield running
    running.kill()


def create(server, name="c", **more):
    return server.call("PUT", f"/collections/{name}",
                       {"vectors": {"size": DIM, "distance": "Euclid"}, **more})


def point(i):
    # Not compressible, and different for each point.
    return {"id": i, "vector": [float(i), 1, 2, 3, 4, 5, 6, 7],
            "payload": {"n": i, "text": os.urandom(PAYLOAD_BYTES // 2).hex()}}


class Books:
    """What was acknowledged as written and not as deleted."""

    def __init__(self, server):
        self.server = server
        self.payloads = {}
        self.next = 0

    def upsert(self):
        """One batch of new points; the status, and the answer."""
        points = [point(self.next + i) for i in range(BATCH)]
        status, answer = self.server.call("PUT", f"{C}/points?wait=true", {"points": points})
        if status == 200:
            self.next += BATCH
            self.payloads.update({p["id"]: p["payload"] for p in points})
        return status, answer

    def upsert_until_full(self):
        for _ in range(4 * (DISK_MIB << 20) // (BATCH * PAYLOAD_BYTES)):
            status, answer = self.upsert()
            if status != 200:
                return status, answer
        raise AssertionError("the disk does not fill up")

    def delete(self, ids):
        for at in range(0, len(ids), 10):
            self.server.ok("POST", f"{C}/points/delete?wait=true", {"points": ids[at:at + 10]})
            for i in ids[at:at + 10]:
                del self.payloads[i]

    def check(self):
        """Reads everything that there is, in every way."""
        found, offset = {}, None
        while True:
            page = self.server.ok("POST", f"{C}/points/scroll", {"limit": 100, "offset": offset})
            found.update({p["id"]: p["payload"] for p in page["points"]})
            offset = page["next_page_offset"]
            if offset is None:
                break
        assert sorted(found) == sorted(self.payloads)
        assert found == self.payloads
        assert self.server.ok("POST", f"{C}/points/count", {})["count"] == len(found)
        for i in list(found)[:: max(1, len(found) // 10)]:
            hits = self.server.ok("POST", f"{C}/points/query",
                                  {"query": point(i)["vector"], "limit": 1})["points"]
            assert [h["id"] for h in hits] == [i]


def is_full(status, answer):
    assert status == FULL["status"], answer
    assert answer["status"]["code"] == FULL["code"], answer
    return answer["status"]["error"]


def ballast(disk):
    """Somebody else's file, as long as the disk allows."""
    path = disk / "somebody-elses"
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(b"x" * 65536)
        except OSError as e:
            assert e.errno == errno.ENOSPC
    return path


def goes_on(call, seconds=10):
    """Room was made: the server finds out by itself."""
    deadline = time.monotonic() + seconds
    while True:
        status, answer = call()
        if status == 200:
            return
        is_full(status, answer)
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)


def test_upserts_fill_the_disk_and_deletes_make_room(server):
    create(server)
    books = Books(server)
    text = is_full(*books.upsert_until_full())
    assert "delete something, or make room" in text
    assert len(books.payloads) * PAYLOAD_BYTES > DISK_MIB << 18  # more than a quarter of it is data
    books.check()
    is_full(*books.upsert())
    books.check()  # a refused batch leaves nothing
    assert server.call("GET", "/readyz")[0] == 200
    # What is there may be deleted, and then there is room.
    books.delete(sorted(books.payloads)[::2])
    books.check()
    goes_on(books.upsert)
    books.check()
    code, _ = server.stop()
    assert code == 0
    server.start()
    books.check()


def test_kill_9_on_a_full_disk_loses_nothing(server, disk):
    create(server, shoal={"seal_rows": 300})
    books = Books(server)
    is_full(*books.upsert_until_full())
    filler = ballast(disk)
    for _ in range(3):
        server.kill()
        server.start()
        books.check()
        is_full(*books.upsert())
        books.delete(sorted(books.payloads)[:20])
        books.check()
    filler.unlink()
    books.delete(sorted(books.payloads)[:200])
    goes_on(books.upsert)
    books.check()
    server.kill()
    server.start()
    books.check()


def test_somebody_else_fills_the_disk_to_the_last_byte(server, disk):
    create(server)
    books = Books(server)
    for _ in range(40):
        assert books.upsert()[0] == 200
    filler = ballast(disk)
    is_full(*books.upsert_until_full())
    books.check()
    # The log has no room for such a batch, but for small ones, at once.
    for i in sorted(books.payloads)[:100]:
        books.delete([i])
    books.check()
    for _ in range(2):
        server.kill()
        server.start()
        books.check()
        is_full(*books.upsert())
        books.delete(sorted(books.payloads)[:10])
    filler.unlink()
    goes_on(books.upsert)
    books.check()


def names(server):
    return [c["name"] for c in server.ok("GET", "/collections")["collections"]]


def test_collections_on_a_full_disk(server, disk):
    create(server)
    books = Books(server)
    assert books.upsert()[0] == 200
    filler = ballast(disk)
    for _ in range(3):
        assert "make room" in is_full(*create(server, "d", shard_number=2))
        assert server.call("GET", "/collections/d")[0] == 404
        assert names(server) == ["c"]
    books.check()
    filler.unlink()
    goes_on(lambda: create(server, "d"))
    assert server.ok("GET", "/collections/d")["points_count"] == 0
    ballast(disk)
    # Deleting one needs no room, and gives some.
    assert server.ok("DELETE", "/collections/c") is True
    assert names(server) == ["d"]
    server.kill()
    server.start()
    assert names(server) == ["d"]


def test_a_file_that_may_grow_no_further(tmp_path):
    server = Shoald(tmp_path / "data")
    server.command = ["prlimit", f"--fsize={24 << 20}:unlimited", *server.command]
    with server:
        create(server)
        books = Books(server)
        is_full(*books.upsert_until_full())
        assert len(books.payloads) > 3 * BATCH
        books.check()
        books.delete(sorted(books.payloads)[:50])
        books.check()
        server.kill()
        server.start()
        books.check()
        is_full(*books.upsert_until_full())
        pid = server.process.pid
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        goes_on(books.upsert)
        books.check()
