"""The named encoders and what is known of each: where it is, its terms, its tile in px, its dims.

The facts are those of the models' pages, papers and reference code. What a model's own files say is held
against them when it is loaded, so a mistake here, or a model that changed, is an error and no wrong number.
"""

from dataclasses import dataclass
from typing import Literal

from miso.encoders.encoder import Encoder
from miso.errors import EncoderError

Triple = tuple[float, float, float]
IMAGENET: tuple[Triple, Triple] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP: tuple[Triple, Triple] = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
BIOPTIMUS: tuple[Triple, Triple] = ((0.707223, 0.578729, 0.703617), (0.211883, 0.230117, 0.177517))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A published encoder.

    Attributes
    ----------
    repo
        `owner/name` on the hub; its page bears the same name.
    licence, gated
        Terms of the weights, in a word, and whether access has to be asked for.
    weights
        What the repository publishes: safetensors; a pickle only, which is not read and has to be converted
        once; or a pickle for certain and safetensors perhaps (`unverified`).
    route
        Who builds it: our own ViT, or the extra `timm`.
    architecture
        timm's name, for a folder that has no config.json; empty if its files are those of transformers.
    size_px, patch_px, native_mpp
        Side of its tiles and patches in px, and µm per px that its authors use it at.
    tile_dim, patch_dim, prefix_tokens
        Lengths of the features, and how many leading tokens (cls, registers) stand for no place.
    tile
        The tile feature that its authors recommend: the cls token, cls and the mean of the patches side by
        side, the pooled output of an attention head, or the mean of the patches.
    norm
        Mean and standard deviation of the channels, scaled to 0–1.
    paper
        DOI or arXiv number.
    trunk
        Where in a larger model the ViT's tensors lie.
    """

    repo: str
    licence: str
    gated: bool
    weights: Literal["safetensors", "pickle", "unverified"]
    route: Literal["vit", "timm"] = "vit"
    architecture: str = ""
    size_px: int = 224
    patch_px: int
    native_mpp: float = 0.5
    tile_dim: int
    patch_dim: int
    prefix_tokens: int
    tile: Literal["cls", "cls+mean", "attention", "mean"] = "cls"
    norm: tuple[Triple, Triple] = IMAGENET
    paper: str
    trunk: str = ""


CATALOGUE: dict[str, Entry] = {
    "phikon": Entry(
        repo="owkin/phikon",
        licence="Owkin non-commercial",
        gated=False,
        weights="safetensors",
        patch_px=16,
        tile_dim=768,
        patch_dim=768,
        prefix_tokens=1,
        paper="10.1101/2023.07.21.23292757",
    ),
    "phikon-v2": Entry(
        repo="owkin/phikon-v2",
        licence="Owkin non-commercial",
        gated=False,
        weights="safetensors",
        patch_px=16,
        tile_dim=1024,
        patch_dim=1024,
        prefix_tokens=1,
        paper="arXiv:2409.09173",
    ),
    "h0-mini": Entry(
        repo="bioptimus/H0-mini",
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        weights="safetensors",
        architecture="vit_base_patch14_reg4_dinov2",
        patch_px=14,
        tile_dim=768,
        patch_dim=768,
        prefix_tokens=5,
        norm=BIOPTIMUS,
        paper="arXiv:2501.16239",
    ),
    "h-optimus-0": Entry(
        repo="bioptimus/H-optimus-0",
        licence="Apache-2.0",
        gated=True,
        weights="unverified",
        architecture="vit_giant_patch14_reg4_dinov2",
        patch_px=14,
        tile_dim=1536,
        patch_dim=1536,
        prefix_tokens=5,
        norm=BIOPTIMUS,
        paper="bioptimus/releases (no paper)",
    ),
    "uni": Entry(
        repo="MahmoodLab/UNI",
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        weights="pickle",
        architecture="vit_large_patch16_224",
        patch_px=16,
        tile_dim=1024,
        patch_dim=1024,
        prefix_tokens=1,
        paper="10.1038/s41591-024-02857-3",
    ),
    "uni2-h": Entry(
        repo="MahmoodLab/UNI2-h",
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        weights="pickle",
        architecture="vit_giant_patch14_224",
        patch_px=14,
        tile_dim=1536,
        patch_dim=1536,
        prefix_tokens=9,
        paper="10.1038/s41591-024-02857-3",
    ),
    "virchow2": Entry(
        repo="paige-ai/Virchow2",
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        weights="safetensors",
        architecture="vit_huge_patch14_224",
        patch_px=14,
        tile_dim=2560,
        patch_dim=1280,
        prefix_tokens=5,
        tile="cls+mean",
        paper="arXiv:2408.00738",
    ),
    "conch": Entry(
        repo="MahmoodLab/CONCH",
        licence="CC-BY-NC-ND-4.0",
        gated=True,
        weights="pickle",
        architecture="vit_base_patch16_224",
        size_px=448,
        patch_px=16,
        tile_dim=512,
        patch_dim=768,
        prefix_tokens=1,
        tile="attention",
        norm=CLIP,
        paper="10.1038/s41591-024-02856-4",
        trunk="visual.trunk.",
    ),
    "gigapath": Entry(
        repo="prov-gigapath/prov-gigapath",
        licence="Apache-2.0",
        gated=True,
        weights="pickle",
        architecture="vit_giant_patch14_dinov2",
        patch_px=16,
        tile_dim=1536,
        patch_dim=1536,
        prefix_tokens=1,
        paper="10.1038/s41586-024-07441-w",
    ),
    "ctranspath": Entry(
        repo="1aurent/swin_tiny_patch4_window7_224.CTransPath",
        licence="GPL-3.0",
        gated=False,
        weights="safetensors",
        route="timm",
        architecture="swin_tiny_patch4_window7_224",
        patch_px=32,
        native_mpp=1.0,
        tile_dim=768,
        patch_dim=768,
        prefix_tokens=0,
        tile="mean",
        paper="10.1016/j.media.2022.102559",
    ),
}
"""By the name that `--encoder` takes."""


def config_of(entry: Entry) -> dict[str, object]:
    """Return what timm's config.json would say, for a folder without; empty for a model of transformers."""
    if not entry.architecture:
        return {}
    mean, std = map(list, entry.norm)
    size = [3, entry.size_px, entry.size_px]
    return {
        "architecture": entry.architecture,
        "pretrained_cfg": {"input_size": size, "mean": mean, "std": std},
    }


def check_entry(source: str, entry: Entry, encoder: Encoder, prefix_tokens: int) -> None:
    """Hold an encoder that was loaded from `source`, a folder or repository, against its entry.

    Raises
    ------
    EncoderError
        If they differ; it names what each of them says.
    """
    stated = {
        "tile px": entry.size_px,
        "patch px": entry.patch_px,
        "tile dims": entry.tile_dim,
        "patch dims": entry.patch_dim,
        "prefix tokens": entry.prefix_tokens,
        "mean": entry.norm[0],
        "std": entry.norm[1],
    }
    found = {
        "tile px": encoder.contract.size_px,
        "patch px": encoder.patch_px,
        "tile dims": encoder.tile_dim,
        "patch dims": encoder.patch_dim,
        "prefix tokens": prefix_tokens,
        "mean": encoder.contract.mean,
        "std": encoder.contract.std,
    }
    differ = [
        f"{key} {found[key]}, not {stated[key]}" for key in stated if not _alike(found[key], stated[key])
    ]
    if differ:
        name = encoder.name.partition(":")[0]
        raise EncoderError(
            f"model {source!r} is not the {name!r} of the catalogue: its files say {'; '.join(differ)}; "
            f"hf:{source} takes it as it is"
        )


def _alike(one: object, other: object) -> bool:
    if isinstance(one, tuple) and isinstance(other, tuple):
        return all(abs(a - b) < 1e-3 for a, b in zip(one, other, strict=True))
    return one == other
