"""Models that transformers builds (the extra `transformers`): what our own ViT is not; sizes in px."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from miso.encoders.built import NOT_UNDERSTOOD, Built, probe
from miso.encoders.encoder import Tokens
from miso.encoders.extras import import_extra
from miso.encoders.timm_models import require_size
from miso.encoders.weight_files import listed
from miso.errors import EncoderError

UNUSED = ("pooler", "classifier", "head", "mask_token")
"""Parts of tensors' names that no patch feature depends on; a file may lack them."""


def build_transformers(config: Mapping[str, Any], folder: Path, size_px: int) -> Built:
    """Make a model of transformers from its folder; code that lies beside the weights is never run.

    Raises
    ------
    EncoderError
        If transformers is not installed, does not know the model, or its weights are not all there.
    """
    transformers = import_extra("transformers")
    from huggingface_hub.errors import StrictDataclassError

    kind = str(config.get("model_type"))
    if kind not in transformers.CONFIG_MAPPING:
        why = "it brings its own code, which is not run" if "auto_map" in config else "a newer one may"
        raise EncoderError(f"transformers {transformers.__version__} knows no model_type {kind!r}; {why}")
    try:
        with _quiet():
            model, report = transformers.AutoModel.from_pretrained(  # nosec B615  # a local folder
                folder,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, StrictDataclassError, *NOT_UNDERSTOOD) as err:
        why = " ".join(str(err).split())[:200]
        raise EncoderError(f"transformers cannot read this {kind!r} ({why})") from err
    lacking = sorted(k for k in report["missing_keys"] if not any(part in k for part in UNUSED))
    if wrong := lacking or sorted(map(str, report["mismatched_keys"])):
        raise EncoderError(f"weights are missing or have other shapes: {listed(wrong)}; is the file whole?")
    tower = getattr(model, "vision_model", model)  # of a model of images and texts
    module = TransformersModule(tower, size_px, prefix_of(tower, size_px))
    return probe(module.eval().requires_grad_(False), size_px, kind, module.prefix_tokens)


@torch.inference_mode()
def prefix_of(model: Any, size_px: int) -> int:
    """Count the leading tokens that stand for no place: what is there beyond the grid of patches."""
    patch = getattr(model.config, "patch_size", None)
    if not isinstance(patch, int) or patch < 1:
        return 0
    try:
        tokens = model.eval()(pixel_values=torch.zeros(1, 3, size_px, size_px)).last_hidden_state
    except NOT_UNDERSTOOD as err:
        why = " ".join(str(err).split())[:200]
        raise EncoderError(f"it gives no features of patches here ({type(err).__name__}: {why})") from err
    return max(0, tokens.shape[1] - (size_px // patch) ** 2) if tokens.ndim == 3 else 0


class TransformersModule(nn.Module):
    """A model of transformers that gives `Tokens`; without a cls token the tile is its patches' mean."""

    autocast = True
    theirs = True

    def __init__(self, model: Any, size_px: int, prefix_tokens: int) -> None:
        super().__init__()
        self.model, self.size_px, self.prefix_tokens = model, size_px, prefix_tokens

    def forward(self, x: Float[Tensor, "tile 3 height width"]) -> Tokens:
        """Encode normalised tiles of the size the model was trained on."""
        require_size(x, self.size_px)
        tokens = self.model(pixel_values=x).last_hidden_state
        if tokens.ndim == 4:
            tokens = tokens.flatten(2).transpose(1, 2)  # (b, h·w, d)
        patches = tokens[:, self.prefix_tokens :]
        return Tokens(tokens[:, 0] if self.prefix_tokens else patches.mean(1), patches)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from reporting what is looked at here anyway."""
    from transformers.utils import logging as theirs

    before, bar = theirs.get_verbosity(), theirs.is_progress_bar_enabled()
    theirs.set_verbosity(logging.ERROR)
    theirs.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        theirs.set_verbosity(before)
        if bar:
            theirs.enable_progress_bar()  # type: ignore[no-untyped-call]
