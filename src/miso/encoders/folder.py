"""A pretrained model's folder, read into an `Encoder`: `config.json`, the input contract and safetensors.

Our own ViT reads what it can; another architecture goes to timm or transformers, whichever saved it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from miso.encoders.built import Built
from miso.encoders.catalogue import Entry, check_entry, config_of
from miso.encoders.contract import brightest, patches_along
from miso.encoders.encoder import Encoder
from miso.encoders.input_contract import read_contract, read_json
from miso.encoders.pooling import ClsAndMean, attention_pooled
from miso.encoders.timm_models import build_timm
from miso.encoders.transformers_models import build_transformers
from miso.encoders.vit import ViT
from miso.encoders.vit_weights import NotOurs, build_vit
from miso.encoders.weight_files import hash_of, read_weights, weight_files
from miso.errors import EncoderError

UNSTATED = "see the model's page"


def read_folder(
    folder: Path,
    *,
    name: str,
    entry: Entry | None = None,
    source: str | None = None,
    revision: str | None = None,
) -> Encoder:
    """Read a model's folder; its revision is a hash of the weights unless it is given.

    `source` is what messages call the folder; what it holds is checked against `entry`, if there is one.

    Raises
    ------
    EncoderError
        If something is absent, damaged or of another kind, or an extra is needed that is not installed.
    """
    source = str(folder) if source is None else source
    try:
        files = weight_files(folder)
        config = read_json(folder / "config.json") or (config_of(entry) if entry else {})
        if not config:
            raise EncoderError("no config.json; without it the architecture is unknown")
        contract = read_contract(folder, config)
        built = build(config, read_weights(files), folder, contract.size_px, entry)
        if contract.size_px % built.patch_px:
            sides = f"{contract.size_px} px are not whole patches of {built.patch_px} px"
            raise EncoderError(f"its images of {sides}; correct the size in its configuration")
    except EncoderError as err:
        raise EncoderError(f"model {source!r}: {err}") from err.__cause__
    encoder = Encoder(
        name=name,
        revision=hash_of(files) if revision is None else revision,
        module=built.module,
        contract=contract,
        patch_px=built.patch_px,
        tile_dim=built.tile_dim,
        patch_dim=built.patch_dim,
        licence=entry.licence if entry else UNSTATED,
    )
    if entry:
        check_entry(source, entry, encoder, built.prefix_tokens)
    if getattr(built.module, "theirs", False):
        require_order(encoder, source)
    return encoder


def require_order(encoder: Encoder, source: str) -> None:
    """Refuse a model of somebody else's code whose patches do not come row by row.

    A token whose receptive field overlaps its neighbours' may be half a patch off, but no more.
    """
    side = patches_along(encoder)
    places = [(0, side - 1), (side // 2, side // 4)]
    found = brightest(encoder, places)
    if any(max(abs(a - c), abs(b - d)) > 1 for (a, b), (c, d) in zip(places, found, strict=True)):
        raise EncoderError(
            f"model {source!r}: its patches do not come row by row (lit in {places}, seen in {found}), so "
            "that no map can be made of them; take another encoder"
        )


def build(
    config: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    folder: Path,
    size_px: int,
    entry: Entry | None,
) -> Built:
    """Make the network: our ViT if it is one, else that of timm or transformers."""
    trunk = entry.trunk if entry else ""
    vit_weights = {k.removeprefix(trunk): v for k, v in weights.items() if k.startswith(trunk)}
    if trunk and not vit_weights:
        raise EncoderError(f"no tensors like {trunk}cls_token; is this the whole model?")
    try:
        vit = build_vit(config, vit_weights)
    except NotOurs as ours:
        try:
            if "architecture" in config:
                return build_timm(config, weights, size_px)
            return build_transformers(config, folder, size_px)
        except EncoderError as err:
            raise EncoderError(f"{ours}; {err}") from err.__cause__
    return pooled(vit, weights, entry)


def pooled(vit: ViT, weights: Mapping[str, Tensor], entry: Entry | None) -> Built:
    """Give our ViT the tile feature of its entry; the cls token where there is none."""
    dim, patch_px, prefix_tokens = vit.config.dim, vit.config.patch_px, 1 + vit.config.registers
    if entry and entry.tile == "cls+mean":
        return Built(ClsAndMean(vit), patch_px, 2 * dim, dim, prefix_tokens)
    if entry and entry.tile == "attention":
        module = attention_pooled(vit, weights)
        return Built(module, patch_px, module.query.shape[-1], dim, prefix_tokens)
    return Built(vit, patch_px, dim, dim, prefix_tokens)
