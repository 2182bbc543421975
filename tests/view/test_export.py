"""An exported view is the same files that the live server gives, and is whole or not there."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from miso.view.export import export_view
from miso.view.resources import Resources
from miso.view.scene import Scene
from miso.view.server import application


def test_every_file_is_what_the_server_answers(scene: Scene, tmp_path: Path) -> None:
    size = export_view(scene, tmp_path / "site")
    files = [path for path in (tmp_path / "site").rglob("*") if path.is_file()]
    assert len(files) == Resources(scene, live=False).count()
    assert sum(path.stat().st_size for path in files) == size
    client = TestClient(application(scene, hosts=None))
    for path in files:
        address = path.relative_to(tmp_path / "site").as_posix()
        if address != "scene.json":
            assert client.get(f"/{address}").content == path.read_bytes(), address
    assert '"live": false' in (tmp_path / "site" / "scene.json").read_text()


def test_an_interrupted_export_leaves_nothing(scene: Scene, tmp_path: Path) -> None:
    def interrupt(things: Iterable[object], total: int, description: str) -> Iterable[object]:
        for number, thing in enumerate(things):
            if number == total - 3:
                raise KeyboardInterrupt
            yield thing

    with pytest.raises(KeyboardInterrupt):
        export_view(scene, tmp_path / "out" / "site", interrupt)  # type: ignore[arg-type]
    assert list((tmp_path / "out").iterdir()) == []
