"""What can be wrong with the user's input, by noun; each error speaks to the person running MISO."""

import errno

DISK = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the disk quota is used up"}
WRONG_KIND = {errno.EEXIST: "there already", errno.ENOTDIR: "a file or in one", errno.EISDIR: "a folder"}
ACCESS = {errno.EACCES, errno.EPERM, errno.EROFS}


class MisoError(Exception):
    """The input is at fault: say what was found, what was expected, and what to do.

    The command line prints the message on one line and exits with code 2; a traceback means our own fault.
    """


class SlideError(MisoError):
    """An image cannot be opened or read, or its resolution is unknown."""


class AlignmentError(MisoError):
    """Spots, counts and image do not belong together."""


class SampleError(MisoError):
    """A Sample folder is absent, damaged, or was made with other settings."""


class CohortError(MisoError):
    """The Samples of a cohort do not fit together, or its genes are not there."""


class SplitError(MisoError):
    """A split is malformed, overlaps, or names nothing that exists."""


class EncoderError(MisoError):
    """An encoder is unknown or its weights cannot be had."""


class ConfigError(MisoError):
    """A setting is unknown or impossible."""


class CheckpointError(MisoError):
    """A run or checkpoint is absent, damaged, or does not fit what it is used on."""


class MapError(MisoError):
    """An expression map is absent, damaged, or lacks what is asked of it."""


class RegionError(MisoError):
    """Regions drawn on a slide cannot be read, or do not lie on it."""


class StorageError(MisoError):
    """A URL cannot be read or written."""


def in_words(error: OSError) -> str | None:
    """Say what the person running MISO can do something about; None where it is no such error."""
    where = error.filename or error.strerror
    if error.errno in DISK:
        return f"{DISK[error.errno]} ({where})"
    if error.errno in ACCESS:
        return f"no permission for {error.filename or 'a file'}: {error.strerror}"
    if error.errno in WRONG_KIND:
        return f"{error.filename or 'a path'} is {WRONG_KIND[error.errno]}; choose another path"
    return None
