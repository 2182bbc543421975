"""`miso view` serves what it is told to, opens the browser only on this machine, and writes a folder."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from miso.maps import open_map
from miso.verbs import _view as module
from miso.view.listen import Listener

Run = Callable[..., tuple[int, str, str]]
Served = list[tuple[Starlette, Listener, list[str]]]


@pytest.fixture
def slide_and_map(map_at: Path) -> tuple[Path, Path]:
    return Path(open_map(map_at).header.slide.path), map_at


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """What would be served, and the pages that the browser would be opened on."""
    found: Served = []

    def serve(app: Starlette, listener: Listener, started: Callable[[], None]) -> None:
        opened: list[str] = []
        monkeypatch.setattr(module.webbrowser, "open", opened.append)
        started()
        listener.socket.close()
        found.append((app, listener, opened))

    monkeypatch.setattr(module, "serve", serve)
    return found


def test_on_this_machine_the_browser_opens_and_no_token_is_asked_for(
    run_miso: Run, slide_and_map: tuple[Path, Path], served: Served
) -> None:
    slide, map_ = slide_and_map
    code, _, err = run_miso("view", slide, "--map", map_, "--port", "0")
    assert code == 0
    ((app, listener, opened),) = served
    assert opened == [listener.url]
    assert f"{slide.name} is at {listener.url} " in err
    scene = TestClient(app, base_url=listener.url).get("scene.json").json()
    assert scene["maps"][0]["genes"] == ["KRT8", "CD3D"]


def test_ctrl_c_ends_it_without_a_word(slide_and_map: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "miso", "view", str(slide_and_map[0]), "--mpp", "0.5"]
    with subprocess.Popen(
        [*command, "--no-browser", "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        url = re.search(r"http://\S+", process.stderr.readline())
        assert url is not None
        assert httpx.get(f"{url[0]}scene.json").json()["slide"]["mpp"] == 0.5
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
        assert process.stderr.read() == ""


def test_beyond_this_machine_a_token_is_made_and_no_browser_opened(
    run_miso: Run, slide_and_map: tuple[Path, Path], served: Served
) -> None:
    code, _, err = run_miso("view", slide_and_map[0], "--mpp", "0.5", "--host", "0.0.0.0", "--port", "0")
    assert code == 0
    ((app, _, opened),) = served
    assert opened == []
    assert "it is not encrypted on its way" in err
    token = err.split("?token=")[1].split()[0]
    assert len(token) >= 32
    client = TestClient(app, base_url="http://node7:1")
    assert client.get("/scene.json").status_code == 403
    assert client.get(f"/scene.json?token={token}").status_code == 200


def test_an_export_is_a_folder_and_is_not_written_over(
    run_miso: Run, slide_and_map: tuple[Path, Path], tmp_path: Path
) -> None:
    slide, map_ = slide_and_map
    words = ("view", slide, "--map", map_, "--genes", "CD3D", "--export", tmp_path / "site")
    code, _, err = run_miso(*words)
    assert code == 0
    assert "look at it with: python -m http.server --directory" in err
    scene = json.loads((tmp_path / "site" / "scene.json").read_text())
    assert scene["maps"][0]["genes"] == ["CD3D"]
    assert (tmp_path / "site" / "index.html").is_file()
    code, _, err = run_miso(*words)
    assert (code, "is there already; remove it or choose another --export" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("none.jpg",), "none.jpg"),
        (("{slide}",), "pass --mpp"),
        (("{slide}", "--map", "none.zarr"), "no map at none.zarr"),
        (("{slide}", "--map", "{map}", "--genes", "CD3"), "did you mean 'CD3D'"),
        (("{slide}", "--mpp", "0.5", "--sample", "nowhere"), "nowhere"),
        (("{slide}", "--mpp", "0.5", "--host", "192.0.2.1"), "try another --port or --host"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_line(
    run_miso: Run, slide_and_map: tuple[Path, Path], served: Served, words: tuple[str, ...], why: str
) -> None:
    slide, map_ = slide_and_map
    code, _, err = run_miso("view", *(word.format(slide=slide, map=map_) for word in words))
    assert (code, served) == (2, [])
    assert why in err
    assert err.count("\n") == 1
