"""A map in the making: a hidden folder, which says whose rows are whose and which of them are done."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import zarr
from zarr.errors import GroupNotFoundError

from miso.errors import MapError
from miso.maps.divided import check_idle
from miso.maps.expression_map import HEADER
from miso.maps.header import MapHeader, essentials
from miso.storage.atomic import replace_folder, write_path
from miso.untrusted.documents import read_json

MAKING, WHAT = "making", "map.json"
"""Inside an unfinished map: what is needed until it is finished, and what it is to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Making:
    """What an unfinished map says of itself: what it is to be, and the edges of its bands, in rows.

    Band i spans rows [edges[i], edges[i + 1]), which may be none.
    """

    folder: Path
    about: Any
    edges: tuple[int, ...]

    @classmethod
    def of(cls, out: Path) -> Self | None:
        """Read what is in the making for `out`; None if that is nothing that can be gone on with."""
        folder = partial_of(out)
        if not (folder / MAKING / WHAT).is_file():
            return None
        said = read_json(folder / MAKING / WHAT)
        return cls(folder=folder, about=said["map"], edges=tuple(int(edge) for edge in said["edges"]))

    @classmethod
    def begin(cls, out: Path, header: MapHeader, edges: Sequence[int]) -> Self:
        """Say what the arrays in the folder are to be."""
        making = cls(folder=partial_of(out), about=plain(header), edges=tuple(edges))
        making.home.mkdir()
        with write_path(making.home / WHAT) as temporary:
            temporary.write_text(json.dumps({"map": making.about, "edges": making.edges}))
        return making

    @property
    def home(self) -> Path:
        """The folder for what is needed until the map is finished."""
        return self.folder / MAKING

    @property
    def bands(self) -> int:
        """How many there are."""
        return len(self.edges) - 1

    def rows(self, band: int) -> tuple[int, int]:
        """Return the first row of a band, and the first below it."""
        return self.edges[band], self.edges[band + 1]

    def written(self, band: int) -> int:
        """Return the first row of a band that is not safe yet; beyond its end if all are."""
        journal = self._journal(band)
        return int(read_json(journal)["written"]) if journal.is_file() else self.edges[band]

    def note(self, band: int, written: int) -> None:
        """Keep how far a band is."""
        with write_path(self._journal(band)) as temporary:
            temporary.write_text(json.dumps({"written": written}))

    def is_begun(self) -> bool:
        """Whether any row is safe."""
        return any(self.written(band) > self.edges[band] for band in range(self.bands))

    def is_done(self) -> bool:
        """Whether all rows are."""
        return all(self.written(band) >= self.edges[band + 1] for band in range(self.bands))

    def finish(self, out: Path, header: MapHeader) -> None:
        """Write the header, and rename the folder."""
        zarr.open_group(self.folder, mode="r+").attrs[HEADER] = header.to_json()
        put_in_place(out)

    def _journal(self, band: int) -> Path:
        return self.home / f"band-{band}.json"


def partial_of(out: Path) -> Path:
    """Return where the map grows."""
    return out.with_name(f".{out.name}.partial")


def going_on(out: Path, header: MapHeader, bands: int) -> Making | None:
    """Return the same map in the making, in as many bands; what else is there is removed.

    The caller has the right to begin.

    Raises
    ------
    Busy
        If somebody is at another map there, or at other bands.
    MapError
        If the same map was begun in other bands, and some of its rows are safe.
    """
    found = Making.of(out)
    if found is not None:
        same = found.about == plain(header)
        if same and found.bands == bands:
            return found
        check_idle(out, found.bands)
        if same and found.is_begun():
            how = "in one go" if found.bands == 1 else f"in {found.bands} bands"
            raise MapError(f"{out} was begun {how}; go on with it like that, or remove {found.folder}")
    if partial_of(out).exists():
        shutil.rmtree(partial_of(out))
    return None


def is_finished(out: Path, header: MapHeader) -> bool:
    """Whether all that lacks is the new name: whoever made it died at that moment."""
    try:
        found = zarr.open_group(partial_of(out), mode="r").attrs.get(HEADER)
        return isinstance(found, Mapping) and essentials(MapHeader.from_json(found)) == essentials(header)
    except (GroupNotFoundError, FileNotFoundError, KeyError, TypeError, ValueError):
        return False


def put_in_place(out: Path) -> None:
    """Rename a finished map."""
    shutil.rmtree(partial_of(out) / MAKING, ignore_errors=True)
    replace_folder(partial_of(out), out)


def plain(header: MapHeader) -> Any:
    """Return what two equal maps share, as JSON gives it back."""
    return json.loads(json.dumps(essentials(header)))
