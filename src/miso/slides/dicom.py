"""DICOM slides are folders of files; the file by which openslide opens the one slide in a folder."""

from pathlib import Path

from miso.errors import SlideError

SERIES = b"\x20\x00\x0e\x00UI"
"""Tag (0020,000E), the unique id of a series, in explicit little endian, which slides are written in."""
HEADER_BYTES = 2**18
PREAMBLE = 128


def slide_in(path: Path) -> Path:
    """Return the file to open: the path itself, or a file of the one DICOM slide in a folder.

    Raises
    ------
    SlideError
        If there is no such file, or a folder holds no DICOM slide or several.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise SlideError(f"no image at {path}")
    series: dict[bytes, Path] = {}
    for file in sorted(path.iterdir()):
        if file.is_file() and (found := _series(file)):
            series.setdefault(found, file)
    if not series:
        raise SlideError(f"no image at {path} (that is a folder)")
    if len(series) > 1:
        names = ", ".join(file.name for file in series.values())
        raise SlideError(f"{path} holds {len(series)} DICOM slides; pass a file of one of them: {names}")
    return next(iter(series.values()))


def _series(file: Path) -> bytes | None:
    """Id of the series that a DICOM file belongs to, or None for other files."""
    with file.open("rb") as opened:
        header = opened.read(HEADER_BYTES)
    at = header.find(SERIES, PREAMBLE + 4)
    if header[PREAMBLE : PREAMBLE + 4] != b"DICM" or at < 0:
        return None
    start = at + len(SERIES) + 2
    length = int.from_bytes(header[start - 2 : start], "little")
    return header[start : start + length].rstrip(b"\0 ")
