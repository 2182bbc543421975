"""The named encoders: their facts against timm's own architectures, and against what a model's files say."""

import json
import sys
import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from miso.encoders import load_encoder
from miso.encoders.catalogue import CATALOGUE, Entry, config_of
from miso.encoders.extras import import_timm, is_installed
from miso.encoders.pooling import AttentionPooled
from miso.encoders.registry import encoders
from miso.encoders.timm_models import ConvStem
from miso.encoders.vit import ViT, ViTConfig
from miso.encoders.vit_weights import build_vit
from miso.errors import EncoderError

NAMED = "phikon phikon-v2 h0-mini h-optimus-0 uni uni2-h virchow2 conch gigapath ctranspath"
needs_timm = pytest.mark.skipif(not is_installed("timm"), reason="timm is not installed")


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def randomise(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.05)


def refuse(name: str, match: str) -> None:
    with pytest.raises(EncoderError, match=match) as refusal:
        load_encoder(name)
    assert "\n" not in str(refusal.value)


# ---- the facts


def test_every_promised_name_is_there_and_registered() -> None:
    assert set(CATALOGUE) == set(NAMED.split())
    assert set(CATALOGUE) | {"stain", "hf", "timm"} <= set(encoders)


@pytest.mark.parametrize("name", CATALOGUE)
def test_an_entry_agrees_with_itself(name: str) -> None:
    entry = CATALOGUE[name]
    assert entry.size_px % entry.patch_px == 0
    assert entry.tile_dim == {"cls+mean": 2 * entry.patch_dim, "attention": 512}.get(
        entry.tile, entry.patch_dim
    )
    assert 0.2 < entry.native_mpp < 2
    assert entry.repo.count("/") == 1
    assert entry.licence
    assert entry.paper


PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "h0-mini": ("vit_base_patch14_reg4_dinov2", {"swiglu": True, "mlp_ratio": 5.33334}),
    "h-optimus-0": ("vit_giant_patch14_reg4_dinov2", {}),
    "uni": ("vit_large_patch16_224", {"init_values": 1e-5}),
    "uni2-h": (
        "vit_giant_patch14_224",
        {
            "depth": 24,
            "num_heads": 24,
            "embed_dim": 1536,
            "mlp_ratio": 2.66667 * 2,
            "init_values": 1e-5,
            "no_embed_class": True,
            "reg_tokens": 8,
            "swiglu": True,
        },
    ),
    "virchow2": (
        "vit_huge_patch14_224",
        {"init_values": 1e-5, "reg_tokens": 4, "mlp_ratio": 5.3375, "global_pool": "", "swiglu": True},
    ),
    "conch": ("vit_base_patch16_224", {"img_size": 448}),
    "gigapath": ("vit_giant_patch14_dinov2", {"patch_size": 16, "mlp_ratio": 5.33334}),
}
"""How the models' pages have timm build them."""


@needs_timm
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_facts_are_those_of_timms_architecture(name: str) -> None:
    timm = import_timm()
    entry, (architecture, args) = CATALOGUE[name], PUBLISHED[name]
    if args.get("swiglu"):
        args = args | {"mlp_layer": import_module("timm.layers").SwiGLUPacked, "act_layer": nn.SiLU}
    args = {"img_size": entry.size_px, "num_classes": 0} | {k: v for k, v in args.items() if k != "swiglu"}
    with torch.device("meta"):
        theirs = timm.create_model(architecture, **args)
    vit = build_vit(config_of(entry), theirs.state_dict())  # of shapes alone: nothing is computed
    assert vit.config.patch_px == entry.patch_px
    assert vit.config.dim == entry.patch_dim
    assert 1 + vit.config.registers == theirs.num_prefix_tokens == entry.prefix_tokens
    assert vit.config.heads == theirs.blocks[0].attn.num_heads
    assert vit.config.depth == len(theirs.blocks)
    assert vit.config.swiglu == (
        theirs.blocks[0].mlp.fc1.out_features == 2 * theirs.blocks[0].mlp.fc2.in_features
    )
    assert sum(p.numel() for p in vit.parameters()) == sum(p.numel() for p in theirs.parameters())


# ---- a folder under its name


SMALL = {"size_px": 64, "patch_px": 16, "patch_dim": 48, "tile_dim": 48, "prefix_tokens": 1}


def small_vit(**changes: Any) -> ViT:
    sizes = {"patch_px": 16, "grid": 4, "dim": 48, "depth": 2, "heads": 3, "mlp_dim": 96}
    vit = ViT(ViTConfig(**sizes | changes)).eval()
    randomise(vit)
    return vit


def as_timm(vit: ViT) -> dict[str, Tensor]:
    names = {
        "registers": "reg_token",
        "positions": "pos_embed",
        "patch_embed.": "patch_embed.proj.",
        ".attention.qkv.": ".attn.qkv.",
        ".attention.out.": ".attn.proj.",
        ".scale1": ".ls1.gamma",
        ".scale2": ".ls2.gamma",
    }
    theirs = {}
    for key, value in vit.state_dict().items():
        for ours, name in names.items():
            key = key.replace(ours, name) if ours != "registers" or key == "registers" else key
        theirs[key] = value.contiguous()
    return theirs


def list_as(monkeypatch: pytest.MonkeyPatch, name: str, **facts: Any) -> Entry:
    entry = replace(CATALOGUE[name], **SMALL | facts)
    monkeypatch.setitem(CATALOGUE, name, entry)
    return entry


@pytest.fixture(autouse=True)
def _heads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Timm's ViTs have no width of 48; ours for tests has three heads."""
    monkeypatch.setitem(sys.modules["miso.encoders.vit_weights"].TIMM_HEADS, 48, 3)


def test_a_folder_without_config_is_read_under_a_name_with_its_input_and_terms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = list_as(monkeypatch, "uni")
    vit = small_vit()
    save_file(as_timm(vit), tmp_path / "model.safetensors")
    encoder = load_encoder(f"uni:{tmp_path}")
    assert encoder.name == f"uni:{tmp_path}"
    assert encoder.revision.startswith("sha256:")
    assert encoder.licence == "CC-BY-NC-ND-4.0"
    assert (encoder.contract.mean, encoder.contract.std) == entry.norm
    assert encoder.contract.size_px == 64
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(encoder.module(x).patches, vit(x).patches)


def test_the_tile_of_virchow2_is_cls_beside_the_mean_of_the_patches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_as(monkeypatch, "virchow2", tile_dim=96, prefix_tokens=5)
    vit = small_vit(registers=4, swiglu=True, layer_scale=True)
    save_file(as_timm(vit), tmp_path / "model.safetensors")
    encoder = load_encoder(f"virchow2:{tmp_path}")
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        plain, found = vit(x), encoder.module(x)
    assert (encoder.tile_dim, encoder.patch_dim) == (96, 48)
    assert torch.equal(found.cls[:, :48], plain.cls)
    torch.testing.assert_close(found.cls[:, 48:], plain.patches.mean(1))
    assert torch.equal(found.patches, plain.patches)


def conch_weights(vit: ViT, pool: AttentionPooled) -> dict[str, Tensor]:
    """Everything under the names it has in the published file, with some of the text model."""
    weights = {f"visual.trunk.{key}": value for key, value in as_timm(vit).items()}
    for key, value in pool.state_dict().items():
        if key.startswith("norm."):
            weights[key.replace("norm.", "visual.ln_contrast.")] = value
        elif not key.startswith("vit."):
            weights[f"visual.attn_pool_contrast.{key}"] = value
    extra = {
        "logit_scale": torch.ones(1),
        "text.cls_emb": torch.ones(8),
        "visual.proj_contrast": torch.ones(32, 32),
    }
    return {key: value.contiguous() for key, value in (weights | extra).items()}


def test_the_tile_of_conch_is_what_its_query_finds_among_all_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list_as(monkeypatch, "conch", tile_dim=32)
    vit = small_vit()
    pool = AttentionPooled(vit, dim=32, heads=8)
    randomise(pool)
    save_file(conch_weights(vit, pool), tmp_path / "model.safetensors")
    encoder = load_encoder(f"conch:{tmp_path}")
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        cls, patches = vit(x)
        found = encoder.module(x)
        keys = pool.ln_k(torch.cat([cls[:, None], patches], 1))
        q_bias, k_bias, v_bias = pool.attn.in_proj_bias.chunk(3)
        q = (pool.ln_q(pool.query) @ pool.attn.q_proj_weight.T + q_bias).view(8, 4)
        k = (keys @ pool.attn.k_proj_weight.T + k_bias).view(2, -1, 8, 4)
        v = (keys @ pool.attn.v_proj_weight.T + v_bias).view(2, -1, 8, 4)
        weight = (torch.einsum("hd,bnhd->bhn", q, k) / 2).softmax(-1)  # √4 wide
        mixed = torch.einsum("bhn,bnhd->bhd", weight, v).flatten(1)
        expected = pool.norm(pool.attn.out_proj(mixed))
    torch.testing.assert_close(found.cls, expected, atol=1e-5, rtol=1e-4)
    assert torch.equal(found.patches, patches)


def test_a_part_of_conch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    list_as(monkeypatch, "conch", tile_dim=32)
    weights = conch_weights(small_vit(), AttentionPooled(small_vit(), dim=32, heads=8))
    save_file({k: v for k, v in weights.items() if "attn_pool" not in k}, tmp_path / "model.safetensors")
    refuse(f"conch:{tmp_path}", r"no tensors like visual\.attn_pool_contrast\.query")
    save_file({k: v for k, v in weights.items() if "ln_contrast" not in k}, tmp_path / "model.safetensors")
    refuse(f"conch:{tmp_path}", r"lacks or has other tensors: 'norm\.bias', 'norm\.weight'")
    save_file({k: v for k, v in weights.items() if "trunk" not in k}, tmp_path / "model.safetensors")
    refuse(f"conch:{tmp_path}", r"no tensors like visual\.trunk\.")


@pytest.mark.parametrize(
    ("vit", "found"),
    [
        ({"dim": 96, "heads": 6}, "tile dims 96, not 48; patch dims 96, not 48"),
        ({"registers": 4}, "prefix tokens 5, not 1"),
        ({"patch_px": 8, "grid": 8}, "patch px 8, not 16"),
    ],
)
def test_another_model_under_the_name_is_refused_and_both_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vit: dict[str, int], found: str
) -> None:
    list_as(monkeypatch, "uni")
    monkeypatch.setitem(sys.modules["miso.encoders.vit_weights"].TIMM_HEADS, 96, 6)
    save_file(as_timm(small_vit(**vit)), tmp_path / "model.safetensors")
    refuse(f"uni:{tmp_path}", f"is not the 'uni' of the catalogue: its files say {found}")


def test_another_normalisation_under_the_name_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = list_as(monkeypatch, "uni")
    config = config_of(replace(entry, norm=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))))
    save_file(as_timm(small_vit()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    refuse(f"uni:{tmp_path}", r"mean \(0\.5, 0\.5, 0\.5\), not \(0\.485, 0\.456, 0\.406\)")


def test_a_folder_that_is_ours_needs_no_timm_under_timm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    save_file(as_timm(small_vit()), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config_of(replace(CATALOGUE["uni"], size_px=64))))
    assert load_encoder(f"timm:{tmp_path}").patch_px == 16


@pytest.mark.parametrize("source", ["", "/no/such/folder", "vit_small_patch16_224", "a/b/c"])
def test_what_timm_cannot_name_is_refused(source: str) -> None:
    refuse(f"timm:{source}", "expected timm:<folder>, timm:<owner>/<model> or timm:<model>.<tag>")


# ---- through timm


@needs_timm
def test_ctranspath_is_a_swin_with_a_stem_of_convolutions(tmp_path: Path) -> None:
    timm = import_timm()
    name = CATALOGUE["ctranspath"].architecture
    model = timm.create_model(name, num_classes=0, embed_layer=ConvStem).eval()
    randomise(model)
    stem = {k: tuple(v.shape) for k, v in model.state_dict().items() if k.startswith("patch_embed.proj")}
    assert stem["patch_embed.proj.0.weight"] == (12, 3, 3, 3)
    assert stem["patch_embed.proj.3.weight"] == (24, 12, 3, 3)
    assert stem["patch_embed.proj.6.weight"] == (96, 24, 1, 1)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    encoder = load_encoder(f"ctranspath:{tmp_path}")
    x = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        found, map_ = encoder.module(x), model.forward_features(x)  # (1, 7, 7, 768)
    assert (encoder.patch_px, encoder.tile_dim, encoder.patch_dim) == (32, 768, 768)
    assert encoder.licence == "GPL-3.0"
    assert torch.equal(found.patches[0, 2 * 7 + 5], map_[0, 2, 5])
    torch.testing.assert_close(found.cls, map_.mean((1, 2)))


@needs_timm
def test_our_vit_and_timms_own_give_the_same_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = {"img_size": 64, "depth": 2, "reg_tokens": 4, "no_embed_class": True, "init_values": 0.1}
    model = import_timm().create_model("vit_tiny_patch16_224", num_classes=0, **args).eval()
    randomise(model)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    cfg = {"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3}
    config = {"architecture": "vit_tiny_patch16_224", "model_args": args, "pretrained_cfg": cfg}
    (tmp_path / "config.json").write_text(json.dumps(config))
    ours = load_encoder(f"timm:{tmp_path}")
    assert isinstance(ours.module, ViT)
    (tmp_path / "config.json").write_text(
        json.dumps(config | {"model_args": args | {"norm_layer": "layernorm"}})
    )
    theirs = load_encoder(f"timm:{tmp_path}")
    assert not isinstance(theirs.module, ViT)
    x = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        one, other = ours.module(x), theirs.module(x)
    torch.testing.assert_close(one.cls, other.cls, atol=1e-4, rtol=0)
    torch.testing.assert_close(one.patches, other.patches, atol=1e-4, rtol=0)


def save_swin(folder: Path, **args: Any) -> dict[str, Any]:
    args = {"img_size": 64, "window_size": 4, "embed_dim": 24, "depths": [1, 1], "num_heads": [2, 4]} | args
    model = import_timm().create_model("swin_tiny_patch4_window7_224", num_classes=0, **args)
    save_file(model.state_dict(), folder / "model.safetensors")
    cfg = {"input_size": [3, 64, 64], "mean": [0.5] * 3, "std": [0.5] * 3}
    config = {"architecture": "swin_tiny_patch4_window7_224", "model_args": args, "pretrained_cfg": cfg}
    (folder / "config.json").write_text(json.dumps(config))
    return config


@needs_timm
def test_what_does_not_fit_timms_architecture_is_one_line(tmp_path: Path) -> None:
    config = save_swin(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if k != "norm.bias"}, tmp_path / "model.safetensors")
    refuse(f"timm:{tmp_path}", r"weights are missing: 'norm\.bias'")
    save_file(weights | {"surprise": torch.ones(1)}, tmp_path / "model.safetensors")
    refuse(f"timm:{tmp_path}", "unknown weights for this architecture: 'surprise'")
    save_file(weights | {"head.fc.weight": torch.ones(2, 48)}, tmp_path / "model.safetensors")
    assert load_encoder(f"timm:{tmp_path}").patch_px == 8
    for change, match in (
        ({"architecture": "swin_of_tomorrow"}, "knows no model 'swin_of_tomorrow'"),
        ({"architecture": "hf-hub:nobody/nothing"}, "knows no model 'hf-hub:nobody/nothing'"),
        ({"model_args": {"no_such_argument": 1}}, "cannot make .* of its model_args"),
        ({"model_args": config["model_args"] | {"embed_dim": 48}}, "weights do not fit its architecture"),
        ({"model_args": [1]}, r"config\.json has model_args = \[1\]; expected a JSON object"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        refuse(f"timm:{tmp_path}", match)


@needs_timm
def test_a_tile_of_another_size_than_a_fixed_model_takes_is_refused(tmp_path: Path) -> None:
    save_swin(tmp_path)
    with pytest.raises(EncoderError, match="96 × 96 px, but this model takes 64 px"):
        load_encoder(f"timm:{tmp_path}").module(torch.zeros(1, 3, 96, 96))


@needs_timm
def test_a_model_whose_patches_are_in_another_order_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from miso.encoders.timm_models import TimmModule

    save_swin(tmp_path)
    honest = TimmModule.forward

    def turned(self: TimmModule, x: Tensor) -> Any:
        tokens = honest(self, x)
        return tokens._replace(patches=tokens.patches.unflatten(1, (8, 8)).transpose(1, 2).flatten(1, 2))

    monkeypatch.setattr(TimmModule, "forward", turned)
    refuse(f"timm:{tmp_path}", "its patches do not come row by row")


@needs_timm
@pytest.mark.parametrize(
    "change",
    [
        {"architecture": None},
        {"pretrained_cfg": {"mean": [[1]], "std": "x"}},
        {"model_args": {"img_size": [[64]]}},
        {"model_args": {"img_size": 64, "embed_dim": 0}},
        {"model_args": {"img_size": 64, "window_size": "wide"}},
        {"model_args": {"img_size": 64, "depths": [[1]]}},
    ],
    ids=str,
)
def test_a_configuration_of_timm_that_makes_no_sense_is_one_line(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    config = save_swin(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about layers of no width
        refuse(f"timm:{tmp_path}", str(tmp_path))


# ---- through transformers


def save_transformers(model: Any, folder: Path) -> str:
    randomise(model)
    model.save_pretrained(folder)
    norm = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps({"size": 64} | norm))
    return f"hf:{folder}"


SIZES = {
    "hidden_size": 48,
    "num_hidden_layers": 1,
    "num_attention_heads": 3,
    "image_size": 64,
    "patch_size": 16,
    "intermediate_size": 64,
}


def test_prefix_tokens_of_a_model_of_transformers_are_left_out(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.DeiTModel(transformers.DeiTConfig(**SIZES)).eval()
    encoder = load_encoder(save_transformers(model, tmp_path))
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected, found = model(x).last_hidden_state, encoder.module(x)
    torch.testing.assert_close(found.cls, expected[:, 0])
    torch.testing.assert_close(found.patches, expected[:, 2:])  # cls and distillation token


def test_the_image_half_of_a_model_of_texts_and_images_is_taken(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    text = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.CLIPConfig(vision_config=SIZES, text_config=text)
    encoder = load_encoder(save_transformers(transformers.CLIPModel(config), tmp_path))
    assert (encoder.patch_px, encoder.tile_dim, encoder.patch_dim) == (16, 48, 48)


def test_a_model_that_hides_patches_is_refused(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.ViTMAEModel(transformers.ViTMAEConfig(**SIZES))
    refuse(
        save_transformers(model, tmp_path),
        "'vit_mae' gives features of shapes .* expected a square of patches",
    )


def test_a_model_of_texts_is_refused(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    config = {k: v for k, v in SIZES.items() if "size" not in k or k in ("hidden_size", "intermediate_size")}
    model = transformers.BertModel(transformers.BertConfig(**config, vocab_size=20))
    refuse(save_transformers(model, tmp_path), "'bert' gives no features of patches")


def test_a_model_with_code_of_its_own_is_refused_and_the_code_not_run(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    name = save_transformers(transformers.BeitModel(transformers.BeitConfig(**SIZES)), tmp_path)
    ran = tmp_path / "ran"
    (tmp_path / "modeling_own.py").write_text(f"open({str(ran)!r}, 'w')\nclass Own: pass\n")
    config = json.loads((tmp_path / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoModel": "modeling_own.Own"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    refuse(name, "knows no model_type 'own'; it brings its own code, which is not run")
    assert not ran.exists()


def test_missing_weights_are_never_made_up_by_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    name = save_transformers(transformers.BeitModel(transformers.BeitConfig(**SIZES)), tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    gone = next(key for key in weights if key.endswith("intermediate.dense.weight"))
    save_file(
        {k: v for k, v in weights.items() if k != gone}, tmp_path / "model.safetensors", {"format": "pt"}
    )
    refuse(name, "weights are missing or have other shapes: .*weight")


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("ViT", {"layer_norm_eps": [16, 16]}),
        ("ViT", {"layer_norm_eps": -1}),
        ("ViT", {"num_attention_heads": [[1]]}),
        ("ViT", {"num_attention_heads": 0}),
        ("ViT", {"patch_size": 0}),
        ("Dinov2", {"mlp_ratio": [1]}),
        ("Beit", {"pool_scales": 17}),
        ("Beit", {"num_attention_heads": 0}),
    ],
)
def test_a_configuration_that_makes_no_sense_is_one_line(
    tmp_path: Path, kind: str, change: dict[str, Any]
) -> None:
    transformers = pytest.importorskip("transformers")
    config = getattr(transformers, f"{kind}Config")(**SIZES)
    name = save_transformers(getattr(transformers, f"{kind}Model")(config), tmp_path)
    old = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(old | change))
    refuse(name, str(tmp_path))


def test_a_repository_or_folder_without_a_scheme_is_told_of_it() -> None:
    refuse(
        "owkin/phikon", "unknown encoder 'owkin/phikon'; a folder or a model of the hub is hf:owkin/phikon"
    )
    refuse("phikno", "did you mean 'phikon'")
