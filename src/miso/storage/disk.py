"""The local disk as one more store, so that results go to paths and to URLs by the same steps."""

import shutil
from pathlib import Path

from miso.storage.atomic import write_path


class Disk:
    """What is used here of `fsspec.AbstractFileSystem`, on local paths; a file is whole or absent."""

    protocol: str | tuple[str, ...] = "file"
    async_impl: bool = False

    def info(self, path: str) -> dict[str, object]:
        """Name, size (bytes), type and time of change."""
        told = Path(path).stat()
        kind = "directory" if Path(path).is_dir() else "file"
        return {"name": path, "size": told.st_size, "type": kind, "mtime": told.st_mtime_ns}

    def find(self, path: str, *, detail: bool) -> dict[str, dict[str, object]]:
        """List all files under a folder, or the file itself."""
        place = Path(path)
        files = [place] if place.is_file() else [file for file in place.rglob("*") if file.is_file()]
        return {file.as_posix(): self.info(file.as_posix()) if detail else {} for file in files}

    def cat_file(self, path: str, *, end: int) -> bytes:
        """Read the first bytes of a file."""
        with Path(path).open("rb") as file:
            return file.read(end)

    def pipe_file(self, path: str, value: bytes, **options: str) -> None:
        """Write a file."""
        with write_path(Path(path)) as temporary:
            temporary.write_bytes(value)

    def put(self, lpath: list[str], rpath: list[str], **options: int) -> None:
        """Copy files, except those that are where they should be."""
        for source, target in zip(lpath, rpath, strict=True):
            if not (Path(target).exists() and Path(source).samefile(target)):
                with write_path(Path(target)) as temporary:
                    shutil.copyfile(source, temporary)

    def get(self, rpath: list[str], lpath: list[str], **options: int) -> None:
        """Copy files, which is the same the other way round."""
        self.put(rpath, lpath)

    def rm_file(self, path: str) -> None:
        """Remove one file."""
        Path(path).unlink()
