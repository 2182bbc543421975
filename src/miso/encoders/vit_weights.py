"""Vision Transformers as others save them: the names in safetensors and `config.json`, read into our ViT.

Two layouts are known. That of transformers (`vit`, `dinov2`, `dinov2_with_registers`) has separate query, key
and value; its names here are those *on disk*, which its version 5 no longer uses in memory. That of timm
(`vit_*`) has them fused. What is not understood is an `EncoderError` that names it, and never skipped.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from miso.encoders.input_contract import section
from miso.encoders.vit import ViT, ViTConfig
from miso.encoders.weight_files import listed
from miso.errors import EncoderError

Config = Mapping[str, Any]
Weights = Mapping[str, Tensor]

TRANSFORMERS_NAMES = {
    "embeddings.cls_token": "cls_token",
    "embeddings.register_tokens": "registers",
    "embeddings.position_embeddings": "positions",
    "embeddings.patch_embeddings.projection.": "patch_embed.",
    "encoder.layer.": "blocks.",
    ".layernorm_before.": ".norm1.",
    ".layernorm_after.": ".norm2.",
    "layernorm.": "norm.",
    ".attention.output.dense.": ".attention.out.",
    ".attention.attention.": ".attention.",
    ".layer_scale1.lambda1": ".scale1",
    ".layer_scale2.lambda1": ".scale2",
    ".intermediate.dense.": ".mlp.fc1.",
    ".output.dense.": ".mlp.fc2.",
    ".mlp.weights_in.": ".mlp.fc1.",
    ".mlp.weights_out.": ".mlp.fc2.",
}
TIMM_NAMES = {
    "reg_token": "registers",
    "pos_embed": "positions",
    "patch_embed.proj.": "patch_embed.",
    ".attn.qkv.": ".attention.qkv.",
    ".attn.proj.": ".attention.out.",
    ".ls1.gamma": ".scale1",
    ".ls2.gamma": ".scale2",
}
TRANSFORMERS_WRAPPERS = (
    "vit.",
    "dinov2.",
    "dinov2_with_registers.",
)  # around the encoder in a model with a head
UNUSED = (
    "pooler.",
    "classifier.",
    "head.",
    "embeddings.mask_token",
)  # heads and training aids, after the last norm

TIMM_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16, 1408: 16, 1536: 24, 1664: 16}
"""Attention heads by width in timm's vit_ family, for a config that leaves them out."""
TIMM_HARMLESS = {
    *(
        "img_size",
        "patch_size",
        "in_chans",
        "num_classes",
        "global_pool",
        "embed_dim",
        "depth",
        "num_heads",
        "qkv_bias",
    ),
    *(
        "mlp_ratio",
        "init_values",
        "class_token",
        "reg_tokens",
        "no_embed_class",
        "dynamic_img_size",
        "strict_img_size",
    ),
    *("drop_rate", "pos_drop_rate", "patch_drop_rate", "proj_drop_rate", "attn_drop_rate", "drop_path_rate"),
    *("mlp_layer", "act_layer", "weight_init", "fix_init"),
}
"""Model arguments that the shapes settle, that matter in training only, or that are checked below."""


class NotOurs(EncoderError):
    """A model is of another architecture than our ViT; what saved it can read it."""


def build_vit(config: Config, weights: Weights) -> ViT:
    """Make a ViT in float32 from a parsed `config.json` and the tensors beside it.

    Raises
    ------
    NotOurs
        If the architecture is not one of ours.
    EncoderError
        If a tensor is unknown, missing, or of another shape.
    """
    if "architecture" in config:
        ours = rename(weights, TIMM_NAMES)
        return fill(timm_config(config, ours), ours, unknown=NotOurs)  # its config.json does not say all
    expected = transformers_config(config)
    return fill(expected, fuse_qkv(rename(strip(weights, TRANSFORMERS_WRAPPERS), TRANSFORMERS_NAMES)))


def transformers_config(config: Config) -> ViTConfig:
    """Read the config of a transformers `vit`, `dinov2` or `dinov2_with_registers`."""
    kind = config.get("model_type")
    if kind not in ("vit", "dinov2", "dinov2_with_registers"):
        known = "vit, dinov2, dinov2_with_registers, or a timm vit_*"
        raise NotOurs(f"model_type {kind!r} in config.json is not read by our own ViT (known: {known})")
    dinov2, act = kind != "vit", config.get("hidden_act", "gelu")
    swiglu = dinov2 and bool(config.get("use_swiglu_ffn", False))
    if act != "gelu" and not swiglu:
        raise NotOurs(f"hidden_act {act!r} in config.json is not read by our own ViT (expected 'gelu')")
    dim, patch_px = need_int(config, "hidden_size"), need_int(config, "patch_size")
    if dinov2:
        mlp_dim = int(dim * need_number(config, "mlp_ratio", 4))
        mlp_dim = (mlp_dim * 2 // 3 + 7) // 8 * 8 if swiglu else mlp_dim  # a gate costs a third matrix
    else:
        mlp_dim = need_int(config, "intermediate_size")
    return ViTConfig(
        patch_px=patch_px,
        grid=need_int(config, "image_size") // patch_px,
        dim=dim,
        depth=need_int(config, "num_hidden_layers"),
        heads=need_int(config, "num_attention_heads"),
        mlp_dim=mlp_dim,
        registers=need_int(config, "num_register_tokens") if kind == "dinov2_with_registers" else 0,
        eps=need_number(config, "layer_norm_eps", 1e-6 if dinov2 else 1e-12),
        layer_scale=dinov2,
        swiglu=swiglu,
        qkv_bias=bool(config.get("qkv_bias", True)),
        antialias=kind == "dinov2_with_registers",
    )


def timm_config(config: Config, ours: Weights) -> ViTConfig:
    """Read the config of a timm `vit_*`, with the weights under our names.

    Most sizes live in timm's code, not in its `config.json`, so they are read off the weights' shapes.
    """
    name, args = str(config["architecture"]), section(config, "model_args")
    strange = sorted(key for key, value in args.items() if value and key not in TIMM_HARMLESS)
    if not name.startswith("vit_") or strange:
        why = f"its model_args {', '.join(strange)}" if strange else "its architecture"
        raise NotOurs(f"timm model {name!r} is not read by our own ViT ({why})")
    dim, patch_px = shape_of(ours, "patch_embed.weight")[0], shape_of(ours, "patch_embed.weight")[2]
    mlp_dim = shape_of(ours, "blocks.0.mlp.fc2.weight")[1]
    swiglu = shape_of(ours, "blocks.0.mlp.fc1.weight")[0] == 2 * mlp_dim
    act = str(args.get("act_layer", "silu" if swiglu else "gelu")).rpartition(".")[2].lower()
    if act != ("silu" if swiglu else "gelu"):
        raise NotOurs(f"timm model {name!r} is not read by our own ViT (act_layer {args['act_layer']!r})")
    heads = args.get("num_heads", TIMM_HEADS.get(dim))
    if heads is None:
        raise NotOurs(f"timm model {name!r} is not read by our own ViT (num_heads is not in model_args)")
    blocks = [int(found[1]) for key in ours if (found := re.match(r"blocks\.(\d+)\.", key))]
    registers = shape_of(ours, "registers")[1] if "registers" in ours else 0
    prefix, grid = split_positions(shape_of(ours, "positions")[1], registers)
    return ViTConfig(
        patch_px=patch_px,
        grid=grid,
        dim=dim,
        depth=need_int({"depth": 1 + max(blocks)} | dict(args), "depth"),
        heads=need_int({"num_heads": heads}, "num_heads"),
        mlp_dim=mlp_dim,
        registers=registers,
        prefix_positions=prefix,
        layer_scale="blocks.0.scale1" in ours,
        swiglu=swiglu,
        qkv_bias="blocks.0.attention.qkv.bias" in ours,
        antialias=True,
    )


def split_positions(count: int, registers: int) -> tuple[int, int]:
    """How many positions are of the prefix (none, cls, or all), and the side of the patches' square."""
    fits = [(p, math.isqrt(count - p)) for p in sorted({0, 1, 1 + registers}) if count > p]
    fits = [(p, side) for p, side in fits if side**2 == count - p]
    if len(fits) != 1:
        raise EncoderError(
            f"{count} position embeddings with {registers} registers do not make one square of patches"
        )
    return fits[0]


def strip(weights: Weights, wrappers: Sequence[str]) -> dict[str, Tensor]:
    """Take the name of a wrapping model off the names."""
    return {next((k.removeprefix(w) for w in wrappers if k.startswith(w)), k): v for k, v in weights.items()}


def rename(weights: Weights, names: Mapping[str, str]) -> dict[str, Tensor]:
    """Give the tensors our names, in the order of `names`; heads and training aids are left out."""
    ours = {}
    for key, value in weights.items():
        new = key
        for theirs, name in names.items():
            new = new.replace(theirs, name)
        if not key.startswith(UNUSED):
            ours[new] = value
    return ours


def fuse_qkv(weights: Weights) -> dict[str, Tensor]:
    """Stack query, key and value into the fused tensor; one that lacks its partners is left as it is."""
    fused = dict(weights)
    for key in weights:
        parts = [key.replace(".query.", f".{part}.") for part in ("query", "key", "value")]
        if ".query." in key and all(part in weights for part in parts):
            fused[key.replace(".query.", ".qkv.")] = torch.cat([fused.pop(part) for part in parts])
    return fused


def fill(config: ViTConfig, ours: Weights, unknown: type[EncoderError] = EncoderError) -> ViT:
    """Make the ViT and give it its weights, in float32; none may be left over (`unknown`) or missing."""
    with torch.device("meta"):  # no time or random numbers are spent on values that are replaced at once
        vit = ViT(config)
    expected = vit.state_dict()
    if config.dim % config.heads:
        raise EncoderError(f"{config.heads} attention heads do not divide a width of {config.dim}")
    if over := sorted(set(ours) - set(expected)):
        raise unknown(f"unknown weights for this architecture: {listed(over)}; is config.json of this model?")
    if missing := sorted(set(expected) - set(ours)):
        raise EncoderError(
            f"weights are missing: {listed(missing)}; is the file whole, and config.json its own?"
        )
    for key, value in expected.items():
        if value.shape != ours[key].shape:
            found, wanted = tuple(ours[key].shape), tuple(value.shape)
            raise EncoderError(f"weights {key!r} have shape {found}, but config.json asks for {wanted}")
    vit.load_state_dict({key: value.float() for key, value in ours.items()}, assign=True)
    return vit.eval().requires_grad_(False)


def shape_of(ours: Weights, key: str) -> torch.Size:
    """Shape of a tensor that a ViT of timm has."""
    if key not in ours:
        raise NotOurs(f"weights are missing: {key!r}; is this a Vision Transformer with a cls token?")
    return ours[key].shape


def need_int(config: Config, key: str) -> int:
    """Whole number above 0 under `key` of config.json; the two numbers of a square count as one."""
    value = config.get(key)
    if isinstance(value, list) and value and all(one == value[0] for one in value):
        value = value[0]
    if not isinstance(value, int) or value < (0 if "register" in key else 1):
        raise EncoderError(f"config.json has {key} = {value!r}; expected one whole number")
    return value


def need_number(config: Config, key: str, default: float) -> float:
    """Return the number above 0 under `key` of config.json, or `default` if there is none."""
    value = config.get(key, default)
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise EncoderError(f"config.json has {key} = {value!r}; expected a number above 0")
    return float(value)
