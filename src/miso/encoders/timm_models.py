"""Models that timm builds (the extra `timm`), which our own ViT does not, such as Swin; sizes in px."""

import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from miso.encoders.built import NOT_UNDERSTOOD, Built, probe
from miso.encoders.encoder import Tokens
from miso.encoders.extras import import_extra
from miso.encoders.input_contract import section
from miso.encoders.weight_files import listed
from miso.errors import EncoderError

CONV_STEM = "patch_embed.proj.0.weight"
"""A tensor that only a stem of several convolutions has."""


def build_timm(config: Mapping[str, Any], weights: Mapping[str, Tensor], size_px: int) -> Built:
    """Make a model of timm from a parsed `config.json` and the tensors beside it.

    Raises
    ------
    EncoderError
        If timm is not installed, does not know the model, or the tensors do not fit it.
    """
    timm = import_extra("timm")
    name = str(config["architecture"])
    if not timm.is_model(name):
        raise EncoderError(f"timm {timm.__version__} knows no model {name!r}; a newer one may")
    args = {key: value for key, value in section(config, "model_args").items() if key != "num_classes"}
    if CONV_STEM in weights:
        args["embed_layer"] = ConvStem
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, **args)
    except NOT_UNDERSTOOD as err:
        raise EncoderError(f"timm cannot make {name!r} of its model_args ({_first(err)})") from err
    fill(model, weights)
    module = TimmModule(model, size_px)
    return probe(module.eval().requires_grad_(False), size_px, name, module.prefix_tokens)


def fill(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give a model of timm its weights; only those of a head that was left off may remain over."""
    rename = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    named = {key: value.float() if value.is_floating_point() else value for key, value in weights.items()}
    try:
        named = dict(named if rename is None else rename(named, model))
        missing, over = model.load_state_dict(named, strict=False)
    except NOT_UNDERSTOOD as err:
        raise EncoderError(f"its weights do not fit its architecture ({_first(err)})") from err
    cfg = getattr(model, "pretrained_cfg", None) or {}
    heads = cfg.get("classifier", "head")
    heads = tuple(heads) if isinstance(heads, tuple | list) else (str(heads),)
    if over := [key for key in over if not key.startswith(heads)]:
        raise EncoderError(f"unknown weights for this architecture: {listed(sorted(over))}")
    if missing:
        raise EncoderError(f"weights are missing: {listed(sorted(missing))}; is the file whole?")


class TimmModule(nn.Module):
    """A model of timm that gives `Tokens`: the feature its own pooling makes, and its last map row by row."""

    autocast = True
    theirs = True

    def __init__(self, model: Any, size_px: int) -> None:
        super().__init__()
        self.model, self.size_px = model, size_px
        self.prefix_tokens = int(getattr(model, "num_prefix_tokens", 0))
        self.channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"

    def forward(self, x: Float[Tensor, "tile 3 height width"]) -> Tokens:
        """Encode normalised tiles of the size the model was trained on."""
        require_size(x, self.size_px)
        features = self.model.forward_features(x)
        tile = self.model.forward_head(features, pre_logits=True)
        if features.ndim == 4:
            features = features if self.channels_last else features.permute(0, 2, 3, 1)  # (b, h, w, d)
        patches = features.flatten(1, -2)[:, self.prefix_tokens :]
        if tile.ndim != 2:  # its pooling is switched off
            tile = features[:, 0] if self.prefix_tokens else patches.mean(1)
        return Tokens(tile, patches)


class ConvStem(nn.Module):
    """CTransPath's stem (Wang et al., Med. Image Anal. 2022): three convolutions where Swin has one."""

    def __init__(self, in_chans: int = 3, embed_dim: int = 96, norm_layer: Any = None, **size: Any) -> None:
        super().__init__()
        side = size.get("img_size") or 224
        rows, cols = side if isinstance(side, tuple | list) else (side, side)
        self.grid_size = (rows // 4, cols // 4)
        widths = (in_chans, embed_dim // 8, embed_dim // 4)
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(wide), nn.ReLU()]
        self.proj = nn.Sequential(*layers, nn.Conv2d(widths[-1], embed_dim, 1))
        self.norm = norm_layer(embed_dim) if norm_layer else nn.Identity()

    def forward(self, x: Float[Tensor, "tile 3 height width"]) -> Float[Tensor, "tile row col dim"]:
        """Embed patches of 4 px."""
        return self.norm(self.proj(x).permute(0, 2, 3, 1))  # type: ignore[no-any-return]


def require_size(x: Tensor, size_px: int) -> None:
    """Refuse tiles of another size than a model of fixed size takes."""
    if tuple(x.shape[2:]) != (size_px, size_px):
        raise EncoderError(
            f"a tile of {x.shape[3]} × {x.shape[2]} px, but this model takes {size_px} px; change its size"
        )


def _first(err: BaseException) -> str:
    return " ".join(str(err).split())[:300]
