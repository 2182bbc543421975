"""Looking at a slide: a server until it is interrupted, or a folder."""

import secrets
import threading
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from miso.errors import ConfigError
from miso.verbs.console import tell, track
from miso.view.export import export_view
from miso.view.listen import is_loopback, listen
from miso.view.scene import open_scene
from miso.view.server import application, serve

LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})


def open_(
    slide: Path,
    maps: Sequence[Path],
    samples: Sequence[Path],
    *,
    genes: Sequence[str],
    mpp: float | None,
    host: str,
    port: int | None,
    browser: bool,
) -> None:
    """Serve a view and open the browser on it."""
    scene = open_scene(slide, maps, samples, mpp, genes)
    here = is_loopback(host)
    token = None if here else secrets.token_urlsafe(24)
    app = application(scene, hosts=LOOPBACK | {host} if here else None, token=token)
    listener = listen(host, port)
    url = listener.url + (f"?token={token}" if token else "")

    def started() -> None:
        if scene.maps:  # what the page asks for first, while the browser starts
            threading.Thread(target=scene.maps[0].percentiles, args=("0",), daemon=True).start()
        tell(f"{slide.name} is at {url}   (Ctrl-C stops it)")
        if not here:
            tell("whoever has this address can look at the slide; it is not encrypted on its way")
        if browser and here:
            webbrowser.open(url)

    serve(app, listener, started)


def write(
    slide: Path,
    maps: Sequence[Path],
    samples: Sequence[Path],
    out: Path,
    *,
    genes: Sequence[str],
    mpp: float | None,
) -> None:
    """Write a view as a folder."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} is there already; remove it or choose another --export")
    size = export_view(open_scene(slide, maps, samples, mpp, genes), out, track)
    tell(f"{out}: {size / 1e6:.1f} MB; look at it with: python -m http.server --directory {out}")
