"""The images a model wants, as its own files say: side in px, mean and std of channels scaled to 0–1."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from miso.encoders.encoder import InputContract
from miso.errors import EncoderError
from miso.untrusted.documents import read_json as read_untrusted


def read_contract(folder: Path, config: Mapping[str, Any]) -> InputContract:
    """Read the input contract that lies beside a model's weights; nothing in it is ever guessed."""
    if "architecture" in config:  # of timm
        return timm_contract(config)
    return transformers_contract(read_json(folder / "preprocessor_config.json"))


def read_json(path: Path) -> dict[str, Any]:
    """Parse a JSON object; a file that is not there is an empty one."""
    if not path.is_file():
        return {}
    try:
        value = read_untrusted(path)
    except ValueError as err:
        raise EncoderError(f"{path.name} is not JSON ({err})") from err
    if not isinstance(value, dict):
        raise EncoderError(f"{path.name} holds no JSON object")
    return value


def transformers_contract(preprocessor: Mapping[str, Any]) -> InputContract:
    """Read `preprocessor_config.json`; mean and std are never guessed."""
    if not preprocessor:
        raise EncoderError(
            "no preprocessor_config.json; put the model's own beside it: mean and std are not guessed"
        )
    scale = preprocessor.get("rescale_factor", 1 / 255)
    if preprocessor.get("do_rescale") is False or not isinstance(scale, float) or abs(scale * 255 - 1) > 1e-3:
        raise EncoderError(f"preprocessor_config.json rescales by {scale!r}; only 1/255 is read here")
    cropped = preprocessor.get("do_center_crop", preprocessor.get("crop_size") is not None)
    size_px = side_of(preprocessor.get("crop_size" if cropped else "size"))
    if preprocessor.get("do_normalize") is False:
        return InputContract(size_px=size_px)
    return InputContract(
        size_px=size_px, mean=triple(preprocessor, "image_mean"), std=triple(preprocessor, "image_std")
    )


def timm_contract(config: Mapping[str, Any]) -> InputContract:
    """Read the `pretrained_cfg` of a timm `config.json` (in old files its keys lie at the top)."""
    data = section(config, "pretrained_cfg") or config
    shape = data.get("input_size")
    size = section(config, "model_args").get(
        "img_size", shape[-1] if isinstance(shape, list) and shape else None
    )
    return InputContract(size_px=side_of(size), mean=triple(data, "mean"), std=triple(data, "std"))


def section(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return the JSON object under a key; one that is absent or null is empty."""
    value = config.get(key) or {}
    if not isinstance(value, Mapping):
        raise EncoderError(f"config.json has {key} = {value!r}; expected a JSON object")
    return value


def side_of(size: Any) -> int:
    """Side in px of the square image that a size stands for, in any of the ways it is written."""
    if isinstance(size, Mapping):
        size = size.get("shortest_edge") or [size.get("height"), size.get("width")]
    sides = size if isinstance(size, list) and size else [size]
    if any(not isinstance(side, int) or side < 1 or side != sides[0] for side in sides):
        raise EncoderError(f"its configuration gives the image size as {size!r}; expected one square")
    return int(sides[0])


def triple(data: Mapping[str, Any], key: str) -> tuple[float, float, float]:
    """Three numbers, one a channel."""
    values = data.get(key)
    if isinstance(values, list) and len(values) == 3 and all(isinstance(v, int | float) for v in values):
        return float(values[0]), float(values[1]), float(values[2])
    raise EncoderError(
        f"its configuration gives {key} as {values!r}; expected three numbers (none are guessed)"
    )
