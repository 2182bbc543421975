"""Which encoder a model was trained on, as `name@revision`, and which other ones make the same features."""

from pathlib import PurePath

from miso.encoders.catalogue import CATALOGUE
from miso.encoders.precision import INT8

HASHED = "sha256:"
"""What a revision that is a hash of the weights begins with."""


def name_and_revision(encoder: str) -> tuple[str, str]:
    """Split an encoder's id; the revision is empty where it is not known."""
    name, at, revision = encoder.rpartition("@")
    return (name, revision) if at else (encoder, "")


def same_encoder(found: str, wanted: str) -> bool:
    """Whether features of one encoder are features of the one that a model wants.

    They are if the ids agree; if both revisions are the same hash of the weights, wherever those lie; or if
    the model does not know the revision (an imported one) and the names agree.
    """
    (name, revision), (wanted_name, wanted_revision) = map(name_and_revision, (found, wanted))
    if found == wanted:
        return True
    if not wanted_revision:
        return wanted_name in (name, name.partition(":")[0]) and not revision.endswith(INT8)
    kinds = {one.partition(":")[0] for one in (name, wanted_name)}
    return len(kinds) == 1 and revision == wanted_revision and revision.startswith(HASHED)


def without_folder(encoder: str) -> str:
    """Leave of a local folder in an encoder's id only its own name: other disks have other folders."""
    name, revision = name_and_revision(encoder)
    scheme, colon, rest = name.partition(":")
    if not revision.startswith(HASHED) or not colon:
        return encoder
    return f"{scheme}:{PurePath(rest).name}@{revision}"


def licence_of(encoder: str) -> str:
    """Terms of an encoder's weights, in a word."""
    name, _ = name_and_revision(encoder)
    scheme = name.partition(":")[0]
    if scheme == "stain":
        return "Apache-2.0 (embedded in MISO)"
    return CATALOGUE[scheme].licence if scheme in CATALOGUE else "see its own page"


def known_dims(encoder: str) -> tuple[int, int] | None:
    """Lengths of the tile and patch features of an encoder of the catalogue."""
    name, _ = name_and_revision(encoder)
    entry = CATALOGUE.get(name.partition(":")[0])
    return (entry.tile_dim, entry.patch_dim) if entry else None
