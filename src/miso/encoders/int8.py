"""A model with its linear layers in 8-bit integers and its attention fused, run by ONNX Runtime on the CPU.

Weights are quantised once, a scale an output channel; activations at each call, a scale a tensor. The
exported model is kept in the user's cache folder, by the hash of its weights.
"""

import hashlib
import logging
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from miso.encoders.encoder import Tokens
from miso.errors import EncoderError

RECIPE = "2"
"""Changes whenever the export does: what is in the cache is of one recipe."""
LARGEST_FILE = 2**31
"""Bytes that one protobuf file can hold; larger models lie in two files."""


class Int8Module(nn.Module):
    """Stands in for `exact`, which it keeps; exports it for the size of the first tiles it sees."""

    def __init__(self, exact: nn.Module) -> None:
        super().__init__()
        self.exact = exact
        self._sessions: dict[tuple[int, int], Any] = {}
        self.eval()

    def forward(self, x: Float[Tensor, "tile 3 height width"]) -> Tokens:
        """Encode normalised tiles on the CPU, each by itself: scales of a batch would mix its tiles.

        Raises
        ------
        EncoderError
            If the tiles are elsewhere, or the model cannot be exported.
        """
        if x.device.type != "cpu":
            raise EncoderError("an int8 encoder runs on the CPU only; pass --device cpu")
        size = (x.shape[2], x.shape[3])
        if size not in self._sessions:
            self._sessions[size] = open_session(exported(self.exact, size))
        tiles = x.contiguous().numpy()
        each = [self._sessions[size].run(None, {"x": tiles[i : i + 1]}) for i in range(len(tiles))]
        cls, patches = (torch.from_numpy(np.concatenate(tokens)) for tokens in zip(*each, strict=True))
        return Tokens(cls, patches)


def open_session(path: Path) -> Any:
    """Open an exported model, computing with as many threads as torch does."""
    import onnxruntime
    from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (Fail, InvalidGraph, InvalidProtobuf) as err:
        raise EncoderError(f"the exported model {path} is damaged; remove {path.parent}") from err


def exported(module: nn.Module, size: tuple[int, int]) -> Path:
    """Export and quantise a module for tiles of (height, width), or find that in the cache."""
    folder = cache_folder() / "int8" / _name_of(module, size)
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as scratch:
            plain, finished = Path(scratch) / "plain", Path(scratch) / "int8"
            plain.mkdir()
            finished.mkdir()
            _export(module, size, plain / "model.onnx")
            _quantise(module, plain / "model.onnx", finished / "model.onnx")
            shutil.rmtree(plain)
            if not folder.is_dir():  # else another process was faster
                finished.replace(folder)
    return folder / "model.onnx"


def cache_folder() -> Path:
    """Where exported models are kept: `MISO_CACHE`, or `miso` in the user's cache folder."""
    of_user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MISO_CACHE") or of_user / "miso").expanduser()


def _name_of(module: nn.Module, size: tuple[int, int]) -> str:
    made_by = [f"{package} {version(package)}" for package in ("torch", "onnx", "onnxruntime")]
    digest = hashlib.sha256(" ".join([RECIPE, repr(module), *map(str, size), *made_by]).encode())
    for name, value in module.state_dict().items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()[:24]


def _export(module: nn.Module, size: tuple[int, int], path: Path) -> None:
    with _quiet(), _FusedAttention():
        program = torch.onnx.export(
            module.eval(),
            (torch.zeros(2, 3, *size),),
            input_names=["x"],
            output_names=["cls", "patches"],
            dynamic_shapes={"x": {0: torch.export.Dim("tile")}},
            dynamo=True,
            verbose=False,
        )
        if program is None:
            raise AssertionError("torch.onnx.export gave no program")
        program.save(path, external_data=True)


class _FusedAttention(TorchFunctionMode):
    """Has plain attention exported as one operation of ONNX Runtime rather than as products and a softmax."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention or not _is_plain(*args[3:], **kwargs):
            return func(*args, **kwargs)
        query, key, value = args[:3]  # (b, h, n, d) each
        tiles, heads, tokens, dim = query.shape
        mixed = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention",
            (query.transpose(1, 2).flatten(2), key, value),
            {"num_heads": heads} | {name: kwargs[name] for name in ("scale",) if kwargs.get(name)},
            dtype=query.dtype,
            shape=(tiles, tokens, heads * dim),
            version=1,
        )
        return mixed.view(tiles, tokens, heads, dim).transpose(1, 2)


def _is_plain(
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> bool:
    """Whether attention with these arguments (of torch's function) has no more to it than a scale."""
    return attn_mask is None and not (dropout_p or is_causal or enable_gqa)


def _quantise(module: nn.Module, plain: Path, out: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    weights = sum(t.nbytes for t in module.state_dict().values())
    with _quiet():
        quantize_dynamic(
            plain,
            out,
            op_types_to_quantize=["MatMul", "Gemm"],
            weight_type=QuantType.QInt8,
            per_channel=True,
            use_external_data_format=weights > LARGEST_FILE,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves what the exporter has to say to its own developers."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
