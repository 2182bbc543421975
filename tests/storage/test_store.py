"""Inputs and results at URLs, against a real S3 server on loopback, memory and files."""

import errno
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import fsspec
import pytest

from miso.errors import StorageError
from miso.storage.fetched import borrow
from miso.storage.store import begin, below, fetch, free, is_url, publish, published

from .s3 import BUCKET, forget_connections, objects

RECORD = {"encoder": "stain", "slide": {"size": 12}}
NUMBERS = count()


@pytest.fixture
def s3(server):
    """A URL in an empty part of the bucket, and the server that answers as S3 does."""
    server.calm()
    yield f"s3://{BUCKET}/{next(NUMBERS)}"
    server.calm()


@pytest.fixture(params=["s3", "memory", "file"])
def base(request, tmp_path):
    """A URL of each kind, nothing there."""
    if request.param == "s3":
        return request.getfixturevalue("s3")
    return f"memory://{next(NUMBERS)}" if request.param == "memory" else f"file://{tmp_path}/store"


@pytest.fixture(params=["s3", "memory"])
def remote(request):
    """A URL of each kind that has to be fetched."""
    return request.getfixturevalue("s3") if request.param == "s3" else f"memory://{next(NUMBERS)}"


def put(url, content):
    fs, path = fsspec.url_to_fs(url)
    if fs.protocol != "memory" and "file" in fs.protocol:
        fs.makedirs(fs._parent(path), exist_ok=True)
    fs.pipe_file(path, content)


def listed(url):
    """Everything below a URL, by path from there."""
    fs, path = fsspec.url_to_fs(url, use_listings_cache=False)
    return sorted(key.removeprefix(path).lstrip("/") for key in fs.find(path))


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def grow(folder, **files):
    for name, content in ({"zarr.json": b"{}", "c/0/0": b"chunk", "c/0/1": b""} | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def run(code, *args):
    """Start a child that runs code with the functions of the store."""
    head = "import sys; from pathlib import Path; from miso.storage.store import *; a = sys.argv;"
    return subprocess.Popen([sys.executable, "-c", head + code, *map(str, args)], stdout=subprocess.PIPE)


def until(true):
    for _ in range(1000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("waited 20 s for nothing")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("s3://bucket/a.svs", True),
        ("gs://bucket/a", True),
        ("memory://a", True),
        ("file:///a", True),
        ("https://host/a.tif?x=1", True),
        ("S3://bucket/a", True),
        (r"C:\slides\a.svs", False),
        ("C://slides/a.svs", False),
        ("/slides/a.svs", False),
        ("a:b", False),
        ("slides/s3://a", False),
        ("", False),
    ],
)
def test_a_url_is_told_from_a_path(text, url):
    assert is_url(text) is url


def test_importing_the_store_imports_no_file_system():
    code = (
        "import sys, miso.storage.store, miso.storage.lease; print({'fsspec', 'numpy'} & sys.modules.keys())"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "set()\n"


def test_a_local_path_is_returned_untouched(tmp_path):
    for place, path in [
        ("a/b.svs", "a/b.svs"),
        ("/a/b.svs", "/a/b.svs"),
        ("file:///a/b%20c.svs", "/a/b c.svs"),
    ]:
        assert fetch(place, tmp_path / "cache") == Path(path)
    free("/a/b.svs", tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_a_file_keeps_its_name_and_is_fetched_once(s3, server, tmp_path):
    put(f"{s3}/a slide µ.svs", b"tissue")
    first = fetch(f"{s3}/a slide µ.svs", tmp_path)
    made, read = first.stat().st_mtime_ns, len(server.asked("GET", "slide"))
    second = fetch(f"{s3}/a slide µ.svs", tmp_path)
    assert (first.name, first.read_bytes(), second) == ("a slide µ.svs", b"tissue", first)
    assert (second.stat().st_mtime_ns, len(server.asked("GET", "slide"))) == (made, read)
    assert read == 1


def test_a_changed_original_is_fetched_anew_to_the_same_place(remote, tmp_path):
    put(f"{remote}/x.tif", b"one")
    first = fetch(f"{remote}/x.tif", tmp_path)
    put(f"{remote}/x.tif", b"two")
    assert (fetch(f"{remote}/x.tif", tmp_path), first.read_bytes()) == (first, b"two")


def test_a_folder_comes_whole(remote, tmp_path):
    names = ["zarr.json", "c/0/0", "c/0/1", "c/[0]*.txt", "empty"]
    for name in names:
        put(f"{remote}/m.zarr/{name}", b"" if name == "empty" else name.encode())
    folder = fetch(f"{remote}/m.zarr/", tmp_path)
    assert folder.name == "m.zarr"
    assert tree(folder) == {name: b"" if name == "empty" else name.encode() for name in names}
    put(f"{remote}/m.zarr/c/0/1", b"changed")
    fsspec.url_to_fs(remote)[0].rm_file(fsspec.url_to_fs(f"{remote}/m.zarr/empty")[1])
    assert tree(fetch(f"{remote}/m.zarr", tmp_path)).keys() == set(names) - {"empty"}
    assert (folder / "c/0/1").read_bytes() == b"changed"


def test_the_empty_objects_of_consoles_are_no_files(s3, tmp_path):
    put(f"{s3}/f/a", b"a")
    objects().touch(f"{s3}/f/".removeprefix("s3://"))
    objects().touch(f"{s3}/f/sub/".removeprefix("s3://"))
    assert tree(fetch(f"{s3}/f", tmp_path)) == {"a": b"a"}


def test_an_mrxs_comes_with_its_folder(remote, tmp_path):
    put(f"{remote}/x.mrxs", b"jpeg")
    put(f"{remote}/x/Slidedat.ini", b"ini")
    put(f"{remote}/xy/other", b"other")
    slide = fetch(f"{remote}/x.mrxs", tmp_path)
    assert tree(slide.parent) == {"x.mrxs": b"jpeg", "x/Slidedat.ini": b"ini"}
    put(f"{remote}/x/Slidedat.ini", b"new")
    assert (fetch(f"{remote}/x.mrxs", tmp_path).parent / "x/Slidedat.ini").read_bytes() == b"new"


@pytest.mark.parametrize(
    "key", ["../out", "a/../../out", "a//b", "./a", "a\\..\\b", "a\u202eb", "..", "/etc/x"]
)
def test_keys_that_lead_out_of_the_folder_are_refused(remote, key, tmp_path, refusal):
    put(f"{remote}/f/zarr.json", b"{}")
    fs, path = fsspec.url_to_fs(f"{remote}/f")
    if fs.protocol == "memory":
        fs.store[f"{path}/{key}"] = fs.store[f"{path}/zarr.json"]
    else:
        fs.pipe_file(f"{path}/{key}", b"x")
    said = refusal(lambda: fetch(f"{remote}/f", tmp_path / "cache"))
    assert "cannot be a file of a folder" in said
    assert "\n" not in said
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"]
    if fs.protocol == "memory":
        del fs.store[f"{path}/{key}"]


@pytest.mark.parametrize(
    "url", ["s3://b/..", "memory://a/..", "https://host/..%2f..%2fetc/%2e%2e", "s3://b/a\\b"]
)
def test_a_name_that_is_no_name_is_refused(url, tmp_path, refusal):
    assert "cannot be a file" in refusal(lambda: fetch(url, tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_chain_of_urls_is_refused(tmp_path, refusal):
    assert "chain" in refusal(lambda: fetch("zip://a.txt::s3://b/x.zip", tmp_path))


@pytest.mark.parametrize("url", ["s3://bucket", "s3://", "memory://", "memory:///"])
def test_a_bucket_is_no_result(url, server, tmp_path, refusal):
    assert "names no object" in refusal(lambda: publish(grow(tmp_path / "m"), url, RECORD))


def test_two_processes_fetch_the_same_once(s3, server, tmp_path):
    for i in range(20):
        put(f"{s3}/m.zarr/{i}", b"x")
    server.delay = 0.01
    code = "print(len(list(fetch(a[1], Path(a[2])).iterdir())))"
    children = [run(code, f"{s3}/m.zarr", tmp_path) for _ in range(2)]
    assert [child.communicate()[0].strip() for child in children] == [b"20", b"20"]
    assert len(server.asked("GET", f"{s3[5:]}/m.zarr/")) == 20


def test_a_killed_fetch_leaves_no_copy_and_the_next_is_whole(s3, server, tmp_path):
    for i in range(40):
        put(f"{s3}/m.zarr/{i}", b"x" * i)
    server.delay = 0.05
    child = run("fetch(a[1], Path(a[2]))", f"{s3}/m.zarr", tmp_path)
    until(lambda: len(server.asked("GET", "m.zarr/")) > 20)
    child.kill()
    child.communicate()
    server.delay = 0
    assert not [p for p in tmp_path.glob("*/copy") if ".partial" not in p.parent.name]
    assert tree(fetch(f"{s3}/m.zarr", tmp_path)) == {str(i): b"x" * i for i in range(40)}
    assert not list(tmp_path.glob("*.partial"))


def test_an_original_that_changes_meanwhile_is_not_taken(s3, server, tmp_path, refusal):
    put(f"{s3}/m.zarr/a", b"1")
    put(f"{s3}/m.zarr/b", b"1")
    changes = iter([True])

    def change(method, path):
        if method == "GET" and path.endswith("/a") and next(changes, False):
            threading.Thread(target=put, args=(f"{s3}/m.zarr/b", b"2")).start()
            time.sleep(0.5)

    server.answer = change
    assert "changed while it was fetched" in refusal(lambda: fetch(f"{s3}/m.zarr", tmp_path))
    assert not list(tmp_path.glob("*/copy"))
    assert (fetch(f"{s3}/m.zarr", tmp_path) / "b").read_bytes() == b"2"


def test_a_copy_is_removed_when_its_unit_is_done(remote, tmp_path):
    put(f"{remote}/x.tif", b"one")
    copy = fetch(f"{remote}/x.tif", tmp_path)
    free(f"{remote}/x.tif", tmp_path)
    free(f"{remote}/x.tif", tmp_path)
    assert not copy.exists()
    assert [p.suffix for p in tmp_path.iterdir()] == [".lock"]
    assert fetch(f"{remote}/x.tif", tmp_path).read_bytes() == b"one"


def test_a_copy_that_was_tampered_with_is_fetched_anew(remote, tmp_path):
    put(f"{remote}/x.tif", b"one")
    copy = fetch(f"{remote}/x.tif", tmp_path)
    copy.unlink()
    assert fetch(f"{remote}/x.tif", tmp_path).read_bytes() == b"one"
    (copy.parents[1] / "version.json").write_text("{")
    assert fetch(f"{remote}/x.tif", tmp_path).read_bytes() == b"one"


def test_what_is_not_there_is_said_in_a_line(remote, tmp_path, refusal):
    said = refusal(lambda: fetch(f"{remote}/absent.svs", tmp_path))
    assert "absent.svs cannot be read: there is no such object" in said
    assert published(f"{remote}/absent") is None


def test_an_absent_bucket_is_said_in_a_line(server, tmp_path, refusal):
    assert "no such object" in refusal(lambda: fetch("s3://nowhere/x.svs", tmp_path))
    assert "cannot be written" in refusal(lambda: publish(grow(tmp_path / "m"), "s3://nowhere/m", RECORD))


def test_absent_credentials_are_said_with_what_to_set(s3, tmp_path, monkeypatch, refusal):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    forget_connections()
    said = refusal(lambda: fetch(f"{s3}/x", tmp_path))
    forget_connections()
    assert "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" in said
    assert "AWS_ENDPOINT_URL" in said


def test_denied_access_is_said_with_what_to_set(s3, server, tmp_path, refusal):
    server.answer = lambda method, path: 403
    for work in (lambda: fetch(f"{s3}/x", tmp_path), lambda: published(f"{s3}/x")):
        assert "access is denied" in refusal(work)
        assert "AWS_ACCESS_KEY_ID" in refusal(work)


def test_an_absent_library_is_said_with_how_to_get_it(tmp_path, monkeypatch, refusal):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    assert "pip install 'miso-spatial[cloud]'" in refusal(lambda: fetch("s3://b/x", tmp_path))
    assert "gcsfs" in refusal(lambda: fetch("gs://b/x", tmp_path))
    assert "nonsense" in refusal(lambda: fetch("nonsense://b/x", tmp_path))


def test_a_busy_store_is_asked_again(s3, server, tmp_path):
    put(f"{s3}/x.tif", b"tissue")
    busy = iter([503, 503, 500])
    server.answer = lambda method, path: next(busy, None) if method == "GET" else None
    assert fetch(f"{s3}/x.tif", tmp_path).read_bytes() == b"tissue"
    assert next(busy, None) is None


def test_a_full_disk_is_said_in_a_line_and_leaves_nothing(tmp_path, monkeypatch, refusal):
    put("memory://full/x.tif", b"tissue")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "cache")

    monkeypatch.setattr("fsspec.implementations.memory.MemoryFileSystem.get_file", full)
    assert "No space left on device: cache; free some" in refusal(
        lambda: fetch("memory://full/x.tif", tmp_path)
    )
    assert [p.suffix for p in tmp_path.iterdir()] == [".lock"]


@pytest.fixture
def web(tmp_path):
    (tmp_path / "www").mkdir()
    handler = functools.partial(Quiet, directory=tmp_path / "www")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield tmp_path / "www", f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    got = 0

    def do_GET(self):
        type(self).got += 1
        super().do_GET()

    def log_message(self, *_):
        pass


def test_a_file_on_the_web_is_fetched_once_and_its_signature_is_not_shown(web, tmp_path, refusal):
    (web[0] / "x y.svs").write_bytes(b"tissue")
    url = f"{web[1]}/x%20y.svs?signature=secret"
    copy = fetch(url, tmp_path / "cache")
    got = Quiet.got
    assert (copy.name, fetch(url, tmp_path / "cache").read_bytes(), Quiet.got) == ("x y.svs", b"tissue", got)
    said = refusal(lambda: fetch(f"{web[1].replace('//', '//me:secret@')}/no.svs?signature=secret", tmp_path))
    assert "no such object" in said
    assert "secret" not in said + "".join(p.read_text() for p in tmp_path.rglob("version.json"))
    assert "can only be read" in refusal(lambda: publish(copy, url, RECORD))


def test_a_folder_is_published_with_its_record(base, tmp_path):
    made = grow(tmp_path / "made", **{"name [1]*?.txt": b"odd"})
    assert published(f"{base}/m.zarr") is None
    publish(made, f"{base}/m.zarr", RECORD)
    assert published(f"{base}/m.zarr") == RECORD
    assert listed(f"{base}/m.zarr") == sorted([".miso.json", *tree(made)])
    assert tree(fetch(f"{base}/m.zarr", tmp_path / "cache")).items() >= tree(made).items()


def test_a_file_is_published_with_its_record(base, tmp_path):
    (tmp_path / "p.h5ad").write_bytes(b"one")
    publish(tmp_path / "p.h5ad", f"{base}/p.h5ad", RECORD)
    (tmp_path / "p.h5ad").write_bytes(b"two")
    publish(tmp_path / "p.h5ad", f"{base}/p.h5ad", {"n": 2})
    assert published(f"{base}/p.h5ad") == {"n": 2}
    assert listed(base) == ["p.h5ad", "p.h5ad.miso.json"]
    assert fetch(f"{base}/p.h5ad", tmp_path / "cache").read_bytes() == b"two"


def test_a_plain_path_is_published_where_it_is_or_elsewhere(tmp_path):
    made = grow(tmp_path / "made")
    publish(made, str(tmp_path / "there"), RECORD)
    publish(made, str(made), RECORD)
    assert published(str(made)) == published(str(tmp_path / "there")) == RECORD
    assert tree(made) == tree(tmp_path / "there")


def test_publishing_again_leaves_nothing_of_before(base, tmp_path):
    publish(grow(tmp_path / "a", old=b"1", **{"c/9/9": b"9"}), f"{base}/m", RECORD)
    publish(grow(tmp_path / "b", new=b"2"), f"{base}/m", {"n": 2})
    assert listed(f"{base}/m") == sorted([".miso.json", *tree(tmp_path / "b")])
    assert published(f"{base}/m") == {"n": 2}


def test_the_old_record_goes_first_and_the_new_one_comes_last(s3, server, tmp_path):
    publish(grow(tmp_path / "a", old=b"1"), f"{s3}/m", RECORD)
    server.calm()
    publish(grow(tmp_path / "b"), f"{s3}/m", RECORD)
    changes = [(m, p.rpartition("/m/")[2]) for m, p in server.requests if m in ("PUT", "DELETE")]
    assert changes[:3] == [("PUT", ".miso.begun"), ("DELETE", ".miso.json"), ("DELETE", "old")]
    assert sorted(changes[3:6]) == [("PUT", "c/0/0"), ("PUT", "c/0/1"), ("PUT", "zarr.json")]
    assert changes[6:] == [("PUT", ".miso.json"), ("DELETE", ".miso.begun")]


def test_files_of_others_are_not_replaced(base, tmp_path, refusal):
    made = grow(tmp_path / "made")
    put(f"{base}/data/slide.svs", b"precious")
    put(f"{base}/one", b"precious")
    for url in (f"{base}/data", f"{base}/one"):
        assert "MISO did not write" in refusal(lambda url=url: publish(made, url, RECORD))
    assert listed(base) == ["data/slide.svs", "one"]


def test_a_result_of_parts_is_whole_with_its_own_record_and_keeps_them(base, tmp_path, refusal):
    part, own = grow(tmp_path / "part"), grow(tmp_path / "own", **{"config.yaml": b"x"})
    begin(base)
    publish(part, f"{base}/fold_0", {"fold": 0})
    publish(part / "zarr.json", f"{base}/predictions/A1.json", {"fold": 0})
    put(f"{base}/fold_1/left", b"by a killed process")
    assert published(base) is None
    if not base.startswith("file"):
        assert "half written" in refusal(lambda: fetch(base, tmp_path / "cache"))
    begin(base)
    publish(own, base, RECORD)
    inside = {f"fold_0/{key}" for key in tree(part)} | {"predictions/A1.json"} | tree(own).keys()
    records = {".miso.json", "fold_0/.miso.json", "predictions/A1.json.miso.json"}
    assert set(listed(base)) == inside | records
    begin(base)
    assert ".miso.begun" not in listed(base)
    if not base.startswith("file"):
        assert tree(fetch(base, tmp_path / "cache")).keys() == inside


def test_a_result_is_not_begun_among_files_of_others(base, refusal):
    put(f"{base}/notes.txt", b"mine")
    assert "holds 1 files that MISO did not write (first: 'notes.txt')" in refusal(lambda: begin(base))
    assert listed(base) == ["notes.txt"]


def test_whole_results_below_a_url_are_told_from_others(base, tmp_path):
    for name in ("B1", "A1", ".hidden"):
        publish(grow(tmp_path / name), f"{base}/{name}", RECORD)
    put(f"{base}/C1/part", b"half")
    put(f"{base}/D1/E1/.miso.json", b"{}")
    put(f"{base}/file", b"no folder")
    assert below(base) == (["A1", "B1"], ["C1", "D1"])


def test_what_was_lost_before_the_end_keeps_its_record_back(base, tmp_path, refusal):
    def lost():
        raise StorageError("the lease was lost")

    publish(grow(tmp_path / "made"), f"{base}/m", RECORD)
    assert "lease" in refusal(lambda: publish(tmp_path / "made", f"{base}/m", {"n": 2}, sure=lost))
    assert published(f"{base}/m") is None


def test_a_killed_publisher_leaves_no_record_and_the_next_makes_it_whole(s3, server, tmp_path, refusal):
    made = grow(tmp_path / "made", **{f"d/{i}": str(i).encode() for i in range(80)})
    publish(grow(tmp_path / "before", old=b"1"), f"{s3}/m", RECORD)
    server.calm()
    server.delay = 0.05
    child = run("publish(Path(a[1]), a[2], {})", made, f"{s3}/m")
    until(lambda: len(server.asked("PUT", "/m/d/")) > 20)
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    server.delay = 0
    assert published(f"{s3}/m") is None
    assert 10 < len(listed(f"{s3}/m")) < 80
    for half in (f"{s3}/m", s3):
        assert "half written" in refusal(lambda half=half: fetch(half, tmp_path / "cache"))
    (made / "d/0").unlink()
    publish(made, f"{s3}/m", RECORD)
    assert published(f"{s3}/m") == RECORD
    assert tree(fetch(f"{s3}/m", tmp_path / "cache")) == tree(made)
    assert listed(f"{s3}/m") == sorted([".miso.json", *tree(made)])


def test_nothing_is_not_published(base, tmp_path, refusal):
    (tmp_path / "made" / "empty").mkdir(parents=True)
    for nothing in (tmp_path / "made", tmp_path / "absent"):
        assert "nothing to publish" in refusal(lambda nothing=nothing: publish(nothing, f"{base}/m", RECORD))
    assert published(f"{base}/m") is None


def test_what_is_wrong_on_this_machine_is_not_blamed_on_the_store(tmp_path, refusal):
    (tmp_path / "file").write_text("")
    put("memory://blame/x.tif", b"tissue")
    said = refusal(lambda: fetch("memory://blame/x.tif", tmp_path / "file" / "cache"))
    assert f"Not a directory: {tmp_path / 'file' / 'cache'}" in said


def test_half_a_file_is_not_fetched(remote, tmp_path, refusal):
    put(f"{remote}/p.h5ad", b"half")
    put(f"{remote}/p.h5ad.miso.begun", b"{}")
    assert "half written" in refusal(lambda: fetch(f"{remote}/p.h5ad", tmp_path))


@pytest.mark.parametrize(
    "text", [b"", b"\xff", b"[1]", b'{"a":', b"[" * 100_000, b"{}" + b" " * 2**20 + b"x"]
)
def test_a_record_that_is_none_is_said_to_be_damaged(base, text, refusal):
    put(f"{base}/m/.miso.json", text)
    said = refusal(lambda: published(f"{base}/m"))
    assert "record" in said or "cannot be read" in said or published(f"{base}/m") == {}


def test_many_threads_may_publish_and_fetch_at_once(remote, tmp_path):
    made = grow(tmp_path / "made")

    def there_and_back(i):
        publish(made, f"{remote}/{i}", {"i": i})
        assert published(f"{remote}/{i}") == {"i": i}
        return tree(fetch(f"{remote}/{i}", tmp_path / "cache"))

    with ThreadPoolExecutor(4) as pool:
        assert all(found == tree(made) for found in pool.map(there_and_back, range(8)))


def test_a_record_is_json_that_anyone_can_read(base, tmp_path):
    publish(grow(tmp_path / "made"), f"{base}/m", RECORD)
    with fsspec.open(f"{base}/m/.miso.json") as file:
        assert json.load(file) == RECORD


def test_a_copy_stays_while_somebody_borrows_it_and_goes_with_the_last(s3, tmp_path):
    publish(grow(tmp_path / "made"), f"{s3}/thing", {})
    with borrow(f"{s3}/thing", tmp_path / "cache") as first:
        with borrow(f"{s3}/thing", tmp_path / "cache") as second:
            assert second == first
        assert first.is_dir()
    assert not first.exists()
