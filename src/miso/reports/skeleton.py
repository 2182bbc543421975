"""The skeleton of every page: one HTML file that loads nothing, its style and script in it, text escaped."""

import hashlib
import json
import platform
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from miso.errors import ConfigError
from miso.launch.provenance import stamp
from miso.reports.numbers import integer, number, percent, share, short
from miso.storage import write_path

PACKAGES = ("miso-spatial", "torch", "numpy", "pandas", "scipy", "scikit-learn", "anndata", "zarr")
FILTERS = {"number": number, "integer": integer, "short": short, "percent": percent, "share": share}
MARK = '<meta name="miso-page" content="'
"""What a page of ours has near its beginning; what it was made of follows."""
HEAD_BYTES = 4096


def render(template: str, made_of: str = "", **content: Any) -> str:
    """Write a page.

    Parameters
    ----------
    template
        File in `templates`, which extends `base.html`.
    made_of
        Names what the page was made of; see `identity`.
    content
        What the template shows; text is escaped, only `Markup` of ours is not.
    """
    style, script = _part("page.css"), _part("page.js")
    page = _environment().get_template(template)
    return page.render(
        policy=Markup(_policy(style, script)),  # nosec B704  # hashes of our own files
        style=Markup(style),  # nosec B704  # our own file
        script=Markup(script),  # nosec B704  # our own file
        made_of=made_of,
        about=stamp(),
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        **content,
    )


def identity(template: str, content: Mapping[str, Any]) -> str:
    """Name what a page is made of: plain JSON, this version, and the templates."""
    shared = ("base.html", "parts.html", "page.css", "page.js")
    parts = [version("miso-spatial"), *map(_part, (template, *shared))]
    said = json.dumps([parts, content], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def is_made_of(page: Path, made_of: str) -> bool:
    """Whether a page is there already and was made of the same."""
    return f'{MARK}{made_of}">' in _head(page)


def check_ours(page: Path) -> None:
    """Refuse to write over a file that is no page of ours.

    Raises
    ------
    ConfigError
        If it is one.
    """
    if page.exists() and MARK not in _head(page):
        raise ConfigError(f"{page} is there and is no page that miso wrote; move it, and run this again")


def write_page(page: Path, text: str) -> None:
    """Write a page under a temporary name, then rename it.

    Raises
    ------
    ConfigError
        If another file is in its place.
    """
    check_ours(page)
    with write_path(page) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _head(page: Path) -> str:
    if not page.is_file():
        return ""
    with page.open("rb") as file:
        return file.read(HEAD_BYTES).decode("utf-8", "replace")


@cache
def _part(name: str) -> str:
    return (files("miso.reports") / "templates" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Allow pictures inside the page, and this very style and script; nothing else, from nowhere."""
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_part),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment
