"""What would load here: told from the cache, the token, the permission to go online, the installed extras."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session, constants

from miso.encoders import availability
from miso.encoders.availability import Availability, survey
from miso.encoders.catalogue import CATALOGUE
from miso.encoders.extras import import_extra, is_installed
from miso.errors import EncoderError

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty cache and no token; any use of a socket is a failure."""
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setitem(sys.modules, "timm", type(sys)("timm"))  # there, as far as anyone looks
    return tmp_path / "cache"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_, **__: pytest.fail("a socket was opened"))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: pytest.fail("a name was looked up"))


def put(cache: Path, repo: str, *names: str) -> None:
    home = cache / f"models--{repo.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text(COMMIT)
    (home / "snapshots" / COMMIT).mkdir(parents=True)
    for name in names:
        (home / "snapshots" / COMMIT / name).touch()


def found(**options: bool) -> dict[str, Availability]:
    return {encoder.name: encoder for encoder in survey(**options)}


@pytest.mark.usefixtures("no_network")
def test_an_empty_machine_has_stain_and_can_download_what_is_open() -> None:
    encoders = found()
    assert encoders["stain"].state == "ready"
    assert {name for name, e in encoders.items() if e.state == "downloads"} == {
        "phikon",
        "phikon-v2",
        "ctranspath",
    }
    assert encoders["virchow2"].fix == (
        f"ask for access at {constants.ENDPOINT}/paige-ai/Virchow2, then set HF_TOKEN"
    )
    assert "only a pickle" in encoders["uni"].fix
    assert "uni:<folder>" in encoders["uni"].fix
    assert set(CATALOGUE) <= set(encoders)
    for encoder in encoders.values():
        assert "\n" not in encoder.fix
        assert encoder.fix or encoder.state != "no"


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", CATALOGUE)
def test_an_encoder_in_the_cache_is_ready_whoever_may_download_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    put(cache, CATALOGUE[name].repo, "config.json", "model.safetensors")
    encoder = found()[name]
    assert (encoder.state, encoder.fix, encoder.cached) == ("ready", "", True)
    assert encoder.licence == CATALOGUE[name].licence
    assert encoder.gated == CATALOGUE[name].gated


@pytest.mark.usefixtures("no_network")
def test_a_cache_without_the_weights_is_not_the_model(cache: Path) -> None:
    put(cache, "owkin/phikon", "config.json")
    assert (found()["phikon"].state, found()["phikon"].cached) == ("downloads", False)


@pytest.mark.usefixtures("no_network")
def test_a_pickle_in_the_cache_has_to_be_converted(cache: Path) -> None:
    put(cache, "owkin/phikon", "config.json", "pytorch_model.bin")
    assert found()["phikon"].state == "no"
    assert "convert it once, pass phikon:<folder>" in found()["phikon"].fix


@pytest.mark.usefixtures("no_network")
def test_offline_what_is_not_cached_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    encoders = found()
    assert {name for name in CATALOGUE if encoders[name].state == "no"} == set(CATALOGUE)
    assert "HF_HUB_OFFLINE is set" in encoders["phikon"].fix


@pytest.mark.usefixtures("no_network")
def test_with_a_token_a_gated_model_may_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_something")
    encoder = found()["h0-mini"]
    assert encoder.state == "downloads"
    assert encoder.fix.startswith("if access was granted at ")


@pytest.mark.usefixtures("no_network")
def test_without_timm_its_encoders_say_how_to_install_it(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    put(cache, CATALOGUE["ctranspath"].repo, "config.json", "model.safetensors")
    encoders = found()
    assert (encoders["ctranspath"].state, encoders["ctranspath"].fix) == ("no", "pip install --no-deps timm")
    timm = next(e for name, e in encoders.items() if name.startswith("timm:"))
    assert (timm.state, timm.fix) == (
        "ready",
        "ViTs only; for other architectures: pip install --no-deps timm",
    )


@pytest.mark.usefixtures("no_network")
def test_an_encoder_of_another_package_is_named_but_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("my-vit", "no_such_package:my_vit", "miso.encoders")
    monkeypatch.setattr(availability, "entry_points", lambda group: [point])
    assert found()["my-vit"].state == "unknown"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, tuple[int, str | None]]]:
    """A hub that answers for each repository with a status and an error code; 200 unless it is told."""
    answers: dict[str, tuple[int, str | None]] = {}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            repo = next((repo for repo in answers if repo in self.path), "")
            status, code = answers.get(repo, (200, None))
            about = {"id": "a/b", "sha": COMMIT, "siblings": [{"rfilename": "model.safetensors"}]}
            body = json.dumps(about).encode() if status == 200 else b""
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as http:
        threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{http.server_port}")
        yield answers
        close_session()
        http.shutdown()


def test_online_the_hub_has_the_last_word(hub: dict[str, tuple[int, str | None]]) -> None:
    hub["owkin/phikon-v2"] = (404, "RepoNotFound")
    hub["bioptimus/H0-mini"] = (403, "GatedRepo")
    encoders = found(online=True)
    assert encoders["phikon"].state == "downloads"
    assert encoders["phikon-v2"].fix.startswith("no model 'owkin/phikon-v2' without a token")
    assert encoders["h0-mini"].fix.startswith("model 'bioptimus/H0-mini' is gated; ask for access at")
    assert encoders["uni"].state == "downloads"  # this hub has safetensors of it
    assert encoders["virchow2"].state == "downloads"


@pytest.mark.usefixtures("no_network")
def test_online_is_not_asked_for_where_the_network_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert found(online=True)["phikon"].state == "no"


# ---- the extras


def test_a_missing_extra_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert not is_installed("timm")
    with pytest.raises(EncoderError, match=r"needs the extra 'timm', .*: pip install --no-deps timm"):
        import_extra("timm")


def test_an_extra_that_cannot_be_imported_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "transformers.py").write_text("raise RuntimeError('made for another torch')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "transformers", raising=False)
    with pytest.raises(EncoderError, match=r"cannot be imported \(made for another torch\)"):
        import_extra("transformers")


def test_timm_is_imported_without_torchvision_and_leaves_no_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in ("timm", "torchvision")]:
        monkeypatch.delitem(sys.modules, name)
    if not is_installed("timm"):
        pytest.skip("timm is not installed")
    finders = list(sys.meta_path)
    assert import_extra("timm").is_model("swin_tiny_patch4_window7_224")
    assert sys.meta_path == finders
    if not is_installed("torchvision"):
        assert not any(name.partition(".")[0] == "torchvision" for name in sys.modules)
