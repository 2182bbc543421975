"""One maker at a time for a result at a URL, against a real S3 server on loopback, memory and files."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import fsspec
import pytest

from miso.errors import StorageError
from miso.storage.claim import Busy
from miso.storage.lease import lease
from miso.storage.store import publish, published

from .s3 import BUCKET

NUMBERS = count()
CHILD = """
import sys, time
from miso.errors import StorageError
from miso.storage.claim import Busy
from miso.storage.lease import lease

url, seconds = sys.argv[1], float(sys.argv[2])
sys.stdin.readline()
try:
    with lease(url, seconds=seconds) as held:
        print("held", flush=True)
        sys.stdin.readline()
        held.check()
        print("checked", flush=True)
except Busy:
    print("busy", flush=True)
except StorageError as err:
    print("lost" if "lost" in str(err) else err, flush=True)
"""


@pytest.fixture
def s3(server):
    server.calm()
    yield f"s3://{BUCKET}/{next(NUMBERS)}/map.zarr"
    server.calm()


@pytest.fixture(params=["s3", "memory"])
def url(request):
    """A URL of a result in each kind of store."""
    return request.getfixturevalue("s3") if request.param == "s3" else f"memory://{next(NUMBERS)}/map.zarr"


@pytest.fixture
def drivers(s3):
    """Start a process that takes a lease when told to go on, and goes on when told so again."""
    started = []

    def start(seconds):
        command = [sys.executable, "-c", CHILD, s3, str(seconds)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for child in started:
        child.kill()
        child.communicate()


def go_on(child):
    child.stdin.write("\n")
    child.stdin.flush()


def says(child):
    return child.stdout.readline().strip()


def write(url, told):
    fs, path = fsspec.url_to_fs(url)
    fs.pipe_file(f"{path}.lease", told if isinstance(told, bytes) else json.dumps(told).encode())


def lies_there(url):
    fs, path = fsspec.url_to_fs(url, use_listings_cache=False)
    return fs.exists(f"{path}.lease")


def attempts(url, n):
    """Let `n` threads try at once; return how many have it, and how many are told that it is taken."""
    together, hold = threading.Barrier(n), threading.Barrier(n)

    def attempt(_):
        together.wait()
        try:
            with lease(url, seconds=30):
                hold.wait()
                return True
        except Busy:
            hold.wait()
            return False

    with ThreadPoolExecutor(n) as pool:
        had = list(pool.map(attempt, range(n)))
    return had.count(True), had.count(False)


def test_of_many_that_begin_at_once_one_has_it(url):
    assert attempts(url, 8) == (1, 7)


def test_a_lease_whose_time_is_over_is_taken_over_by_one(url):
    write(url, {"maker": "host:1", "token": "x", "until": time.time() - 1})
    assert attempts(url, 8) == (1, 7)


def test_of_two_processes_one_has_it(drivers):
    children = [drivers(30) for _ in range(2)]
    for child in children:
        go_on(child)
    assert sorted(says(child) for child in children) == ["busy", "held"]


def test_a_second_maker_is_told_who_has_it_until_when(url, refusal):
    def take():
        with lease(url):
            pass

    with lease(url):
        said = refusal(take)
    assert f"'{socket.gethostname()}:{os.getpid()}'" in said
    assert time.strftime("%Y-%m-%d") in said
    assert "\n" not in said


def test_what_is_released_is_free_at_once(url):
    for _ in range(2):
        with lease(url):
            assert lies_there(url)
        assert not lies_there(url)


def test_an_error_inside_frees_it_too(url):
    with pytest.raises(ZeroDivisionError), lease(url):
        raise ZeroDivisionError
    assert not lies_there(url)


def test_it_lasts_while_it_is_held(url):
    with lease(url, seconds=1.0) as held:
        began = time.time()
        while time.time() < began + 2.5:
            with pytest.raises(Busy), lease(url):
                pass
            time.sleep(0.2)
        held.check()


def test_a_killed_holder_is_followed_after_its_time_and_not_before(s3, drivers):
    child = drivers(3)
    go_on(child)
    assert says(child) == "held"
    child.kill()
    with pytest.raises(Busy), lease(s3):
        pass
    began = time.time()
    while True:
        try:
            with lease(s3):
                break
        except Busy:
            assert time.time() < began + 10
            time.sleep(0.1)
    assert time.time() > began + 0.5


def test_a_suspended_holder_finds_out_that_it_lost(s3, drivers):
    child = drivers(1)
    go_on(child)
    assert says(child) == "held"
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(1.2)
    with lease(s3):
        os.kill(child.pid, signal.SIGCONT)
        go_on(child)
        assert says(child) == "lost"
        child.wait()
        assert lies_there(s3)


def test_who_lost_it_publishes_no_record_and_leaves_the_new_lease(url, tmp_path, refusal):
    (tmp_path / "map.zarr").mkdir()
    (tmp_path / "map.zarr" / "zarr.json").write_text("{}")
    with lease(url) as held:
        write(url, {"maker": "other:1", "token": "x", "until": time.time() + 60})
        said = refusal(lambda: publish(tmp_path / "map.zarr", url, {"n": 1}, sure=held.check))
        assert "was lost" in said
        assert "\n" not in said
    assert published(url) is None
    assert lies_there(url)


def test_a_removed_lease_is_lost(url):
    with lease(url) as held:
        fs, path = fsspec.url_to_fs(url)
        fs.rm_file(f"{path}.lease")
        with pytest.raises(StorageError, match="lost"):
            held.check()
        with pytest.raises(StorageError, match="lost"):
            held.check()


@pytest.mark.parametrize("nth", [1, 2])
def test_a_lost_answer_loses_no_lease(s3, server, nth):
    writes = count(1)
    server.lose = lambda method, path: method == "PUT" and next(writes) == nth
    with lease(s3) as held:
        held.check()
        assert next(writes) > nth + 1
        with pytest.raises(Busy), lease(s3):
            pass


def test_a_store_that_is_away_for_a_while_loses_no_lease(s3, server, refusal):
    with lease(s3, seconds=60) as held:
        server.answer = lambda method, path: 403
        assert "access is denied" in refusal(held.check)
        server.answer = lambda method, path: None
        held.check()
    assert not lies_there(s3)


@pytest.mark.parametrize(
    "text", [b"", b"{}", b"[" * 4000, b'{"maker": 1, "until": 1e400, "token": ""}', b"\xff"]
)
def test_an_object_that_is_no_lease_is_left_alone(url, text, refusal):
    def take():
        with lease(url):
            pass

    write(url, text)
    said = refusal(take)
    assert "is no lease" in said or "cannot be" in said
    assert lies_there(url)


def test_creating_asks_the_store_to_refuse_if_it_is_there(s3):
    fs, path = fsspec.url_to_fs(s3)
    fs.pipe_file(path, b"1", mode="create")
    with pytest.raises(FileExistsError):
        fs.pipe_file(path, b"2", mode="create")
    with pytest.raises(OSError, match="pre-conditions"):
        fs.pipe_file(path, b"2", IfMatch='"other"')
    assert fs.cat_file(path) == b"1"


def test_a_store_without_conditions_is_refused(s3, server, refusal):
    def take():
        with lease(s3):
            pass

    server.conditional = False
    assert "ignores the conditions" in refusal(take)


def test_a_local_result_is_held_by_a_lock_of_the_system(tmp_path):
    for place in (tmp_path / "map.zarr", (tmp_path / "map.zarr").as_uri()):
        with lease(str(place)) as held:
            held.check()
            with pytest.raises(Busy), lease(str(place)):
                pass
    with lease(str(tmp_path / "map.zarr")):
        pass
