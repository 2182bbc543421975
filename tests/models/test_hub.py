"""Bundles go to a hub and come back, by a stand-in that answers as the hub does; no network is touched."""

import base64
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha1, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
import yaml
from huggingface_hub import close_session, constants

import miso
from miso.encoders import hub as encoder_hub
from miso.errors import CheckpointError
from miso.maps import from_pretrained, load
from miso.models import hub
from miso.models.bundle import Bundle, read_bundle, write_bundle
from miso.models.hub import HubName, fetch_bundle, push_to_hub

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the hub's own client
Make = Callable[..., Bundle]
TOKEN = "hf_standin"


@dataclass
class StandIn:
    """Repositories as commits, each a table of files; commits are named by a hash of what they hold."""

    url: str = ""
    repos: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    broken: bool = False

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.repos[repo]
        if revision == "main":
            return commits[-1] if commits else ("0" * 40, {})
        return next((commit for commit in commits if commit[0] == revision), None)

    def commit(self, repo: str, lines: list[dict[str, Any]]) -> str:
        files = dict(self.repos[repo][-1][1]) if self.repos[repo] else {}
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]
        content = "".join(f"{name}{sha256(body).hexdigest()}" for name, body in sorted(files.items()))
        oid = sha1(f"{len(self.repos[repo])}{content}".encode()).hexdigest()
        self.repos[repo].append((oid, files))
        return oid


class Handler(BaseHTTPRequestHandler):
    """The few addresses that pushing and fetching call."""

    hub: StandIn
    protocol_version = "HTTP/1.1"

    def reply(self, body: object, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def fail(self, status: int, code: str) -> None:
        self.reply({"error": code}, status, X_Error_Code=code, X_Error_Message=code)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def may(self, repo: str) -> bool:
        allowed = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo in self.hub.closed:
            self.fail(403, "GatedRepo")
        elif repo not in self.hub.repos or (self.hub.private[repo] and not allowed):
            self.fail(401 if not allowed else 404, "RepoNotFound")
        else:
            return True
        return False

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        path = unquote(urlsplit(self.path).path)
        if self.hub.broken:
            return self.reply(b"no", 503)
        if path.startswith("/api/models/"):
            owner, name, *rest = path.removeprefix("/api/models/").split("/")
            repo, revision = f"{owner}/{name}", rest[1] if len(rest) > 1 else "main"
            if not self.may(repo):
                return None
            found = self.hub.at(repo, revision)
            if found is None:
                return self.fail(404, "RevisionNotFound")
            if rest and rest[0] == "tree":
                files = [
                    {"type": "file", "path": n, "size": len(b), "oid": sha1(b).hexdigest()}
                    for n, b in found[1].items()
                ]
                return self.reply(files)
            siblings = [{"rfilename": n} for n in found[1]]
            return self.reply(
                {"id": repo, "sha": found[0], "siblings": siblings, "private": self.hub.private[repo]}
            )
        owner, name, resolve, revision, *rest = path.strip("/").split("/")
        if resolve != "resolve" or not self.may(f"{owner}/{name}"):
            return None
        found = self.hub.at(f"{owner}/{name}", revision)
        if found is None or "/".join(rest) not in found[1]:
            return self.fail(404, "EntryNotFound")
        body = found[1]["/".join(rest)]
        return self.reply(body, ETag=f'"{sha256(body).hexdigest()}"', X_Repo_Commit=found[0])

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        path, body = unquote(urlsplit(self.path).path), self.body()
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.reply({"error": "no token"}, 401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            if repo in self.hub.repos:
                return self.reply({"url": f"{self.hub.url}/{repo}", "error": "there"}, 409)
            self.hub.repos[repo] = []
            self.hub.private[repo] = asked.get("private", asked.get("visibility") == "private")
            return self.reply({"url": f"{self.hub.url}/{repo}"})
        if path == "/api/validate-yaml":
            head = yaml.safe_load(json.loads(body)["content"].split("---\n", 2)[1])
            good = isinstance(head.get("license"), str) and isinstance(head.get("tags"), list)
            return self.reply(
                {"errors": [] if good else [{"message": "head"}], "warnings": []}, 200 if good else 400
            )
        if path.endswith("/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            done = [
                {**o, "actions": {"upload": {"href": f"{self.hub.url}/upload/{o['oid']}", "header": {}}}}
                for o in objects
            ]
            return self.reply({"transfer": "basic", "objects": done})
        repo = "/".join(path.removeprefix("/api/models/").split("/")[:2])
        if not self.may(repo):
            return None
        if "/preupload/" in path:
            files = [
                {
                    "path": f["path"],
                    "uploadMode": "lfs" if f["path"].endswith(".safetensors") else "regular",
                    "shouldIgnore": False,
                    "oid": None,
                }
                for f in json.loads(body)["files"]
            ]
            return self.reply({"files": files})
        assert path == f"/api/models/{repo}/commit/main"
        oid = self.hub.commit(repo, [json.loads(line) for line in body.splitlines()])
        return self.reply({"commitUrl": f"{self.hub.url}/{repo}/commit/{oid}", "commitOid": oid})

    def do_PUT(self) -> None:
        body = self.body()
        self.hub.stored[self.path.rpartition("/")[2]] = body
        assert sha256(body).hexdigest() == self.path.rpartition("/")[2]
        self.reply(b"", ETag='"stored"')

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty cache, no token and no network setting of this machine; returns the cache."""
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
    yield tmp_path / "cache"
    close_session()


@pytest.fixture
def server() -> Iterator[StandIn]:
    stand_in = StandIn()
    handler = type("Bound", (Handler,), {"hub": stand_in})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        stand_in.url = f"http://127.0.0.1:{http.server_port}"
        yield stand_in
        close_session()
        http.shutdown()


@pytest.fixture
def folder(small_bundle: Make, tmp_path: Path) -> Path:
    write_bundle(small_bundle(2), tmp_path / "bundle")
    return tmp_path / "bundle"


def push(folder: Path, server: StandIn, repo: str = "lab/breast", **options: Any) -> str:
    return push_to_hub(folder, repo, token=TOKEN, endpoint=server.url, **options)


def test_a_bundle_comes_back_from_the_hub_as_it_was_pushed(folder: Path, server: StandIn) -> None:
    commit = push(folder, server)
    found = fetch_bundle(HubName(repo="lab/breast"), token=TOKEN, endpoint=server.url)
    assert found.name == commit
    for file in (path for path in folder.rglob("*") if path.is_file()):
        assert (found / file.relative_to(folder)).read_bytes() == file.read_bytes(), file
    predictor = from_pretrained("lab/breast", token=TOKEN, endpoint=server.url)
    made = read_bundle(folder)
    assert predictor.source == f"hf:lab/breast@{commit}"
    assert predictor.provenance()["run"] == f"hf:lab/breast@{commit}"
    assert list(predictor.reliability["grade"]) == list(made.reliability["grade"]) == ["A", "C", "untested"]
    for one, other in zip(predictor.checkpoints, made.checkpoints.values(), strict=True):
        ours, theirs = one.model.state_dict(), other.model.state_dict()
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_push_is_one_commit_of_the_bundles_files_alone(folder: Path, server: StandIn) -> None:
    (folder / "notes.txt").write_text("mine")
    (folder / "model_0" / "optimizer.pt").write_bytes(b"mine")
    push(folder, server)
    assert sum("/commit/" in line for line in server.asked) == 1
    members = {f"model_{i}/{name}" for i in (0, 1) for name in ("config.json", "model.safetensors")}
    assert set(server.repos["lab/breast"][-1][1]) == members | {"bundle.json", "README.md"}


def test_a_new_repository_is_private_unless_told_otherwise(folder: Path, server: StandIn) -> None:
    push(folder, server)
    push(folder, server, "lab/open", private=False)
    assert server.private == {"lab/breast": True, "lab/open": False}
    with pytest.raises(CheckpointError, match="no model 'lab/breast' without a token"):
        fetch_bundle(HubName(repo="lab/breast"), endpoint=server.url)
    assert (fetch_bundle(HubName(repo="lab/open"), endpoint=server.url) / "bundle.json").is_file()


def test_a_revision_is_the_one_that_is_fetched(
    folder: Path, server: StandIn, small_bundle: Make, tmp_path: Path
) -> None:
    first = push(folder, server)
    write_bundle(small_bundle(2, "patch"), tmp_path / "later")
    second = push(tmp_path / "later", server)
    kinds = {
        revision: from_pretrained(
            "lab/breast", revision=revision, token=TOKEN, endpoint=server.url
        ).first.kind
        for revision in (first, second, None)
    }
    assert kinds == {first: "miso", second: "patch", None: "patch"}
    with pytest.raises(CheckpointError, match="has no revision 'v9'"):
        fetch_bundle(HubName(repo="lab/breast", revision="v9"), token=TOKEN, endpoint=server.url)


def test_load_takes_hf_names(folder: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = push(folder, server, private=False)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    for name in ("hf:lab/breast", f"hf:lab/breast@{commit}", Path("hf:lab/breast")):
        assert load(name).source == f"hf:lab/breast@{commit}"
    assert miso.load("hf:lab/breast").genes == ("ERBB2", "KRT8", "µ-gene")


@pytest.mark.parametrize(
    "name", ["hf:", "hf:alone", "hf:a/b/c", "hf:../b", "hf:a/b@", "hf:a/b@-x", "hf:a/b@x y"]
)
def test_what_names_no_model_is_refused(name: str) -> None:
    with pytest.raises(CheckpointError, match="names no model; expected hf:owner/model"):
        load(name)


def test_offline_the_cache_is_used_and_no_socket_is_opened(
    folder: Path, server: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = push(folder, server)
    fetch_bundle(HubName(repo="lab/breast"), token=TOKEN, endpoint=server.url)
    close_session()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    assert load("hf:lab/breast").source == f"hf:lab/breast@{commit}"
    with pytest.raises(CheckpointError, match="'lab/other' is not in the cache, and HF_HUB_OFFLINE is set"):
        load("hf:lab/other")
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set, so 'lab/breast' cannot be pushed"):
        push(folder, server)


def test_when_the_hub_is_down_what_was_fetched_before_is_used(
    folder: Path, server: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    commit = push(folder, server)
    fetch_bundle(HubName(repo="lab/breast"), token=TOKEN, endpoint=server.url)
    server.broken = True
    found = fetch_bundle(HubName(repo="lab/breast"), token=TOKEN, endpoint=server.url)
    assert found.name == commit
    assert "what was fetched before is used" in caplog.text
    with pytest.raises(CheckpointError, match="'lab/other' cannot be fetched from"):
        fetch_bundle(HubName(repo="lab/other"), token=TOKEN, endpoint=server.url)


def test_a_model_that_was_closed_is_not_taken_from_the_cache(folder: Path, server: StandIn) -> None:
    push(folder, server)
    fetch_bundle(HubName(repo="lab/breast"), token=TOKEN, endpoint=server.url)
    server.closed.add("lab/breast")
    with pytest.raises(CheckpointError, match=r"is gated; ask for access at .*lab/breast"):
        fetch_bundle(HubName(repo="lab/breast"), token=TOKEN, endpoint=server.url)


def test_a_hub_that_never_answers_is_not_waited_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CheckpointError, match=r"cannot be fetched from .*Timeout"):
            fetch_bundle(HubName(repo="lab/breast"), endpoint=endpoint)
        with pytest.raises(CheckpointError, match=r"cannot be pushed to .*Timeout"):
            push_to_hub(folder, "lab/breast", token=TOKEN, endpoint=endpoint)
    assert encoder_hub.ANSWER_S > 1


def test_a_push_without_the_right_token_says_so(folder: Path, server: StandIn) -> None:
    with pytest.raises(CheckpointError, match="set HF_TOKEN") as caught:
        push_to_hub(folder, "lab/breast", token="hf_wrong", endpoint=server.url)
    assert "\n" not in str(caught.value)
    assert server.repos == {}


def test_what_is_damaged_or_no_bundle_is_not_pushed(folder: Path, server: StandIn, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match=r"no bundle at .*miso share RUN --out"):
        push(tmp_path / "empty", server)
    weights = folder / "model_0/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="sha256 differs"):
        push(folder, server)
    assert server.asked == []


def test_what_is_damaged_on_the_way_is_refused(folder: Path, server: StandIn) -> None:
    push(folder, server)
    files = server.repos["lab/breast"][-1][1]
    files["model_1/model.safetensors"] = files["model_1/model.safetensors"][:-1] + b"\x01"
    with pytest.raises(CheckpointError, match="sha256 differs"):
        from_pretrained("lab/breast", token=TOKEN, endpoint=server.url)
    server.repos["lab/nothing"], server.private["lab/nothing"] = [("1" * 40, {"README.md": b"hello"})], False
    with pytest.raises(CheckpointError, match=r"no bundle at .*bundle\.json is missing"):
        from_pretrained("lab/nothing", endpoint=server.url)


def test_no_code_and_no_pickle_is_fetched(folder: Path, server: StandIn) -> None:
    push(folder, server)
    others = {"pytorch_model.bin": b"x", "modeling.py": b"x", "model_0/a.pkl": b"x"}
    server.repos["lab/breast"][-1][1].update(others)
    found = fetch_bundle(HubName(repo="lab/breast"), token=TOKEN, endpoint=server.url)
    assert not [path for path in found.rglob("*") if path.suffix in (".bin", ".py", ".pkl")]
