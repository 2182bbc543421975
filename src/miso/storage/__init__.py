"""Where results lie: whole or absent, on disk or at a URL, made by one process at a time."""

from miso.storage.atomic import replace_folder, write_path
from miso.storage.claim import Busy, claim

__all__ = ["Busy", "claim", "replace_folder", "write_path"]
