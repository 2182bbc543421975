"""Importing a checkpoint of the original MISO: what its user says of it, and the folder it becomes."""

from pathlib import Path

from miso.encoders import load_encoder
from miso.encoders.catalogue import CATALOGUE
from miso.errors import ConfigError
from miso.geometry import PatchGrid, TileSpec
from miso.models import Checkpoint
from miso.models.bundle import HERE, Bundle, write_bundle
from miso.models.card import Facts
from miso.models.encoder_id import known_dims, name_and_revision
from miso.models.original import Given, import_original
from miso.models.reliability import untested
from miso.samples.genes import read_gene_list
from miso.samples.targets import targets


def import_file(
    file: Path,
    genes: str,
    encoder: str,
    out: Path,
    *,
    heads: int = 64,
    knn: int = 37,
    tile_size: int = 224,
    mpp: float = 0.5,
    target: str = "raw",
    spot_diameter_um: float = 55.0,
    patch_px: int | None = None,
) -> tuple[Checkpoint, bool]:
    """Import a file; also say whether the folder is new, or was there already and is the same."""
    numbers = {
        "--knn": knn,
        "--tile-size": tile_size,
        "--mpp": mpp,
        "--spot-diameter-um": spot_diameter_um,
        "--patch-px": 1 if patch_px is None else patch_px,
    }
    for option, value in numbers.items():
        if not 0 < value < float("inf"):
            raise ConfigError(f"{option} is {value}, expected a number above 0")
    encoder_id, dims, side = _encoder(encoder, patch_px)
    chosen = targets[target]
    checkpoint = import_original(
        file,
        Given(
            genes=read_gene_list(genes),
            encoder=encoder_id,
            feature_dims=dims,
            target=chosen.name,
            units=chosen.units,
            tile=_tile(tile_size, mpp, side),
            patch_px=side,
            knn=knn,
            spot_diameter_um=spot_diameter_um,
            heads=heads,
        ),
    )
    facts = Facts(name=f"{file.stem}, imported", data="as the original checkpoint's own documentation says")
    bundle = Bundle(checkpoints={HERE: checkpoint}, reliability=untested(checkpoint.genes), facts=facts)
    return checkpoint, write_bundle(bundle, out)


def _encoder(encoder: str, patch_px: int | None) -> tuple[str, tuple[int, int] | None, int]:
    """Return the encoder's id, the lengths of its features where known, and the side of its patches.

    One of the catalogue need not be here, and its revision may stay open; another one is loaded, unless its
    revision is given.
    """
    name, revision = name_and_revision(encoder)
    entry = CATALOGUE.get(name.partition(":")[0])
    if entry is not None:
        return encoder, known_dims(encoder), patch_px or entry.patch_px
    if revision and name != "stain":
        if patch_px is None:
            raise ConfigError(f"the patches of {name!r} are not known here; pass --patch-px")
        return encoder, None, patch_px
    loaded = load_encoder(name)
    if revision not in ("", loaded.revision):
        raise ConfigError(f"the encoder {name!r} here has the revision {loaded.revision}, not {revision}")
    return loaded.id, (loaded.tile_dim, loaded.patch_dim), patch_px or loaded.patch_px


def _tile(tile_size: int, mpp: float, patch_px: int) -> TileSpec:
    tile = TileSpec(size_px=tile_size, mpp=mpp)
    try:
        PatchGrid(tile=tile, patch_px=patch_px)
    except ValueError as err:
        raise ConfigError(f"{err}; pass --tile-size or --patch-px") from err
    return tile
