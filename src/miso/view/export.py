"""A view as a folder that any web server can host: the page and everything it asks for, written once."""

from pathlib import Path

from miso.launch.progress import Track, silent
from miso.storage import write_path
from miso.view.resources import Resources
from miso.view.scene import Scene


def export_view(scene: Scene, folder: Path, track: Track = silent) -> int:
    """Write a folder, or none if it is interrupted; return its size in bytes."""
    resources, size = Resources(scene, live=False), 0
    with write_path(folder) as temporary:
        for resource in track(resources.all(), resources.count(), "writing the view"):
            path = temporary / resource.address
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(resource.content)
            size += len(resource.content)
    return size
