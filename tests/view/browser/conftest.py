"""A slide, a map and spots whose values are known; a live viewer of them; Chromium to look at it."""

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import anndata
import numpy as np
import pytest
import uvicorn
from PIL import Image
from starlette.types import ASGIApp

from miso.geometry import Raster
from miso.maps.header import MapHeader, SlideRecord
from miso.maps.store import new_map
from miso.maps.thumbnail import Thumbnail
from miso.view.listen import listen
from miso.view.scene import Scene, open_scene
from miso.view.server import application

from .known import GENES, HEIGHT, MPP, STEP, WIDTH, values
from .looker import Looker

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slide, the map and three predicted spots; look, but do not write."""
    folder = tmp_path_factory.mktemp("view")
    x, y = np.meshgrid(np.arange(WIDTH) * 255 / WIDTH, np.arange(HEIGHT) * 255 / HEIGHT)
    Image.fromarray(np.stack([x, y, np.full_like(x, 120)], axis=-1).astype(np.uint8)).save(folder / "s.png")
    header = MapHeader(
        genes=GENES,
        units="counts per spot",
        pitch_um=STEP * MPP,
        raster=Raster.over((WIDTH, HEIGHT), STEP),
        slide=SlideRecord(
            name="s.png",
            path=str(folder / "s.png"),
            size_px=(WIDTH, HEIGHT),
            mpp=MPP,
            mpp_source="test",
            fingerprint="0",
        ),
        provenance={"encoder": "stain@1"},
        has_std=True,
        has_novelty=True,
        grades={"KRT8": "A", "ERBB2": "D", "=cmd()": "C"},
    )
    small = Thumbnail(rgb=np.zeros((5, 7, 3), np.uint8), slide_size_px=(WIDTH, HEIGHT))
    planes = values()
    novelty = np.full((1, *planes.shape[1:]), 0.25, np.float32)
    keep = np.ones(planes.shape[1:], np.bool_)
    with new_map(folder / "m.zarr", header, small, keep=keep) as writer:
        writer.put(0, [planes, planes / np.float32(10), novelty])
    adata = anndata.AnnData(X=np.array([[1, 8], [3, 4], [5, 2]], np.float32))
    adata.var_names, adata.obs_names = ["KRT8", "ERBB2"], ["first", "second", "<b>third</b>"]
    adata.obsm["spatial"] = np.array([[400.0, 400], [1200, 800], [2000, 1200]])
    adata.uns["miso"] = {"sample": "S1", "units": "counts per spot", "spot_diameter_um": 100.0}
    adata.write_h5ad(folder / "S1.h5ad")
    return folder


@pytest.fixture(scope="session")
def shown(folder: Path) -> Scene:
    """The slide with its map and spots."""
    return open_scene(folder / "s.png", [folder / "m.zarr"], [folder / "S1.h5ad"])


@pytest.fixture(scope="session")
def serving() -> Iterator[Callable[[ASGIApp], str]]:
    """Serve an application until the tests end; say its address."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: ASGIApp) -> str:
        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", ws="none", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener.socket]})
        thread.start()
        running.append((server, thread))
        return listener.url

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def live(shown: Scene, serving: Callable[[ASGIApp], str]) -> str:
    """The address of a live viewer."""
    return serving(application(shown, hosts=None))


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A headless Chromium."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the path")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def look(chromium: "Browser") -> Iterator[Callable[[], Looker]]:
    """Open a page of its own; at the end nothing may have gone wrong on its console."""
    lookers: list[Looker] = []
    context = chromium.new_context(viewport={"width": 1000, "height": 640}, reduced_motion="reduce")

    def new() -> Looker:
        looker = Looker(page=context.new_page())
        looker.page.on("console", lambda message: looker.said.append(message.text))
        looker.page.on("pageerror", lambda error: looker.said.append(str(error)))
        looker.page.on("request", lambda request: looker.asked.append(request.url))
        lookers.append(looker)
        return looker

    yield new
    context.close()
    assert [line for looker in lookers for line in looker.said] == []
