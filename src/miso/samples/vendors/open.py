"""Reading a section from whatever a vendor or another tool left: the layout is told by what is there."""

from collections.abc import Callable
from pathlib import Path

from miso.errors import SampleError
from miso.samples.sample import MANIFEST
from miso.samples.vendors.original.files import is_original
from miso.samples.vendors.scverse.h5ad import is_h5ad, is_hdf5, read_h5ad
from miso.samples.vendors.scverse.spatial_data import is_spatial_data, read_spatial_data
from miso.samples.vendors.section import VendorOptions, VendorSection
from miso.samples.vendors.space_ranger.folder import is_space_ranger, read_space_ranger
from miso.samples.vendors.st.legacy import is_legacy_st, read_legacy_st

KNOWN = (
    "a Space Ranger folder (outs with spatial/), a folder of legacy ST tables (counts and spot positions), "
    "an .h5ad or a SpatialData .zarr"
)

Reader = Callable[[Path, VendorOptions], VendorSection]


def read_vendor(path: Path, options: VendorOptions) -> VendorSection:
    """Recognise a layout and read its section.

    Raises
    ------
    MisoError
        If nothing lies there, it is none of the layouts that are known, or its reader refuses it.
    """
    if not path.exists():
        raise SampleError(f"nothing at {path}")
    for is_it, read in READERS:
        if is_it(path):
            return read(path, options)
    raise SampleError(f"{path} {_what_it_is(path)}")


READERS: list[tuple[Callable[[Path], bool], Reader]] = [
    (is_h5ad, read_h5ad),
    (is_spatial_data, read_spatial_data),
    (is_space_ranger, read_space_ranger),
    (is_legacy_st, read_legacy_st),
]
"""Each recognises its layout; the first that does reads it."""


def _what_it_is(path: Path) -> str:
    """Say what was found instead of a section, and what to do with it."""
    if path.is_file():
        return _what_the_file_is(path)
    if (path / MANIFEST).is_file():
        return "is a Sample already: it is ready for miso train"
    if (path / "count-matrices").is_dir():
        return f"is a HER2ST folder of several sections; run miso process-her2st --path-dataset {path}"
    if is_original(path):
        return (
            "holds features that the original MISO made, and no image; take them over with miso process-data "
            f"--path-visium {path} --encoder NAME, what made them (h0-mini)"
        )
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    tables = [name for name in names if name.lower().endswith((".h5ad", ".zarr"))]
    if tables:
        return f"holds {', '.join(tables[:6])}: pass {'it' if len(tables) == 1 else 'one of them'} instead"
    there = f"holds {', '.join(names[:6])}{' …' * (len(names) > 6)}" if names else "is an empty folder"
    return f"{there}; expected {KNOWN}"


def _what_the_file_is(path: Path) -> str:
    if is_hdf5(path):
        return "is an HDF5 file without spots; of a count matrix, pass the folder with spatial/ beside it"
    if path.suffix.lower() in (".tif", ".tiff", ".jpg", ".jpeg", ".png", ".svs", ".ndpi"):
        return f"is an image: pass it as --path-slide; --path-visium is {KNOWN}"
    return f"is a file that MISO does not know; expected {KNOWN}"
