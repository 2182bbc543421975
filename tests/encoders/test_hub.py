"""The hub: a model that it has, one that only has a pickle, and a hub that is slow, down or out of bounds."""

import json
import shlex
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import close_session, constants
from safetensors.torch import save_file

from miso.encoders import hub, load_encoder
from miso.encoders.catalogue import CATALOGUE
from miso.encoders.vit import ViT, ViTConfig
from miso.encoders.weight_files import CONVERT, read_weights, weight_files
from miso.errors import EncoderError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty cache, no token and no network setting of this machine; returns the cache."""
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    folder = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    yield folder
    close_session()


def lead_to(port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    here = f"http://127.0.0.1:{port}"
    monkeypatch.setattr(constants, "ENDPOINT", here)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", here + "/{repo_id}/resolve/{revision}/{filename}"
    )
    return here


@pytest.fixture
def small_uni(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what a repository of `uni` would hold, and the catalogue's entry made to fit."""
    small = {"size_px": 64, "patch_dim": 48, "tile_dim": 48}
    monkeypatch.setitem(CATALOGUE, "uni", replace(CATALOGUE["uni"], **small))
    folder = tmp_path / "uni"
    folder.mkdir()
    args = {"img_size": 64, "num_heads": 3}
    norm = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
    config = {"architecture": "vit_large_patch16_224", "model_args": args, "pretrained_cfg": norm}
    (folder / "config.json").write_text(json.dumps(config))
    vit = ViT(ViTConfig(patch_px=16, grid=4, dim=48, depth=1, heads=3, mlp_dim=96))
    theirs = {"positions": "pos_embed", "patch_embed.": "patch_embed.proj.", ".attention.": ".attn."}
    weights = {}
    for key, value in vit.state_dict().items():
        for one, other in theirs.items():
            key = key.replace(one, other)
        weights[key.replace(".out.", ".proj.")] = torch.randn_like(value)
    save_file(weights, folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    return folder


@pytest.fixture
def server(small_uni: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[list[str], Path]]:
    """A hub that serves a folder as the model that anyone asks for; returns what was asked for, and it."""
    asked: list[str] = []

    class Serve(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            names = sorted(path.name for path in small_uni.iterdir())
            if "/resolve/" in self.path:
                body = (small_uni / self.path.rpartition("/")[2]).read_bytes()
            elif "/tree/" in self.path:
                oid = sha256(b"").hexdigest()[:40]
                sizes = {name: (small_uni / name).stat().st_size for name in names}
                body = json.dumps(
                    [{"type": "file", "path": n, "size": s, "oid": oid} for n, s in sizes.items()]
                ).encode()
            else:
                files = [{"rfilename": name} for name in names]
                body = json.dumps({"id": "MahmoodLab/UNI", "sha": COMMIT, "siblings": files}).encode()
            self.send_response(200)
            self.send_header("ETag", f'"{sha256(body).hexdigest()[:40]}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Serve) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        lead_to(http.server_port, monkeypatch)
        yield asked, small_uni
        close_session()
        http.shutdown()


def refuse(name: str, match: str) -> str:
    with pytest.raises(EncoderError, match=match) as refusal:
        load_encoder(name)
    assert "\n" not in str(refusal.value)
    return str(refusal.value)


def test_a_model_is_fetched_without_its_pickle_and_then_read_from_the_cache_offline(
    server: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, _ = server
    encoder = load_encoder("uni")
    assert encoder.id == f"uni@{COMMIT}"
    assert any(path.endswith("model.safetensors") for path in asked)
    assert not any(path.endswith(".bin") for path in asked)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    count = len(asked)
    assert load_encoder("uni").id == encoder.id
    assert len(asked) == count


def test_a_cached_model_is_used_when_the_hub_is_down(
    server: tuple[list[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    load_encoder("uni")
    close_session()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        lead_to(free.getsockname()[1], monkeypatch)
    assert load_encoder("uni").revision == COMMIT


def test_a_model_with_only_a_pickle_says_how_to_convert_it(server: tuple[list[str], Path]) -> None:
    asked, folder = server
    (folder / "model.safetensors").unlink()
    said = refuse(
        "uni", r"'MahmoodLab/UNI' publishes no safetensors.*weights_only=True.*then pass uni:<folder>"
    )
    assert f"{constants.ENDPOINT}/MahmoodLab/UNI" in said
    assert not any(path.endswith(".bin") for path in asked)


def test_the_line_that_converts_a_pickle_does(small_uni: Path) -> None:
    expected = read_weights(weight_files(small_uni))
    (small_uni / "model.safetensors").unlink()
    said = refuse(f"uni:{small_uni}", r"'pytorch_model\.bin': a pickle can run code and is not read")
    line = CONVERT.format(file="pytorch_model.bin")
    assert said.endswith(line)
    python, *rest = shlex.split(line)
    assert python == "python"
    subprocess.run([sys.executable, *rest], cwd=small_uni, check=True)
    found = read_weights(weight_files(small_uni))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert load_encoder(f"uni:{small_uni}").tile_dim == 48


def test_a_hub_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "ANSWER_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        lead_to(silent.getsockname()[1], monkeypatch)
        refuse("phikon", "cannot be fetched from .*Timeout.*pass phikon:<folder>")


def test_a_cache_without_the_weights_is_not_taken_for_the_model(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = cache / "models--owkin--phikon"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    (home / "snapshots" / COMMIT).mkdir(parents=True)
    (home / "snapshots" / COMMIT / "config.json").write_text("{}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    assert hub.cached_folder("owkin/phikon") == home / "snapshots" / COMMIT
    assert hub.cached_folder("owkin/phikon-v2") is None
    refuse(
        "phikon",
        "'owkin/phikon' is in the cache without its safetensors, and HF_HUB_OFFLINE is set; .*<folder>",
    )
