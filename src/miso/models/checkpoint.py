"""A Checkpoint: weights and everything needed to rebuild and rightly use the model, without any pickle."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from miso.errors import CheckpointError
from miso.launch.provenance import stamp
from miso.models.attention import NetworkConfig
from miso.models.miso import MisoConfig, MisoModel
from miso.models.novelty import Novelty
from miso.models.patch import PatchConfig, PatchModel
from miso.models.residuals import Residuals
from miso.models.trust import read_trust, write_trust
from miso.registry import Registry
from miso.storage import replace_folder
from miso.untrusted.documents import read_json
from miso.untrusted.names import is_gene_name

SCHEMA = 3
APART = ("model", "kind", "residuals", "novelty")
"""What `config.json` does not hold, or holds under another name."""
MOST_BLOCKS = 1024
"""Of the networks of a model, together; published ones have up to six."""
models: Registry[Any] = Registry("model", "miso.models", CheckpointError)


@models.register("miso")
def build_miso(*, in_dim: int, n_genes: int, nonnegative: bool, config: Mapping[str, Any]) -> MisoModel:
    """Build a teacher from its arguments; non-negativity is applied when predicting."""
    network = NetworkConfig(**config["network"])
    settings = MisoConfig(**{**config, "network": network})
    if not 1 <= settings.members * network.depth <= MOST_BLOCKS:
        raise ValueError(f"{settings.members} networks of {network.depth} blocks")
    return MisoModel(in_dim, n_genes, settings)


@models.register("patch")
def build_patch(*, in_dim: int, n_genes: int, nonnegative: bool, config: Mapping[str, Any]) -> PatchModel:
    """Build a student from its arguments."""
    hidden = tuple(config["hidden"])
    return PatchModel(in_dim, n_genes, PatchConfig(**{**config, "hidden": hidden}), nonnegative=nonnegative)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A trained model and what it was trained on.

    Attributes
    ----------
    model, kind
        The module, and its name in the registry ("miso" predicts spots, "patch" predicts patches).
    genes, target, units, nonnegative
        What it predicts.
    encoder
        Name and revision of the encoder whose features it takes.
    tile, patch_px, knn, spot_diameter_um
        The geometry it was trained with.
    trained_on, validated_on, held_out
        Names of samples.
    stain
        What tiles are brought to before they are encoded, as `Sample.stain` has it.
    slides
        Fingerprint, mpp and its source of each slide of the cohort, by sample, to recognise one again.
    notes
        What was chosen on the validation samples, and anything a user should know.
    residuals, novelty
        What it missed on sections that it has not learnt from, and what its training tiles are like; None
        where that was not recorded.
    """

    model: MisoModel | PatchModel
    kind: str
    genes: list[str]
    target: str
    units: str
    nonnegative: bool
    encoder: str
    tile: Mapping[str, float]
    patch_px: int
    knn: int
    spot_diameter_um: float
    trained_on: list[str]
    validated_on: list[str]
    held_out: list[str]
    stain: Mapping[str, Any] = field(default_factory=lambda: {"method": "none"})
    slides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    residuals: Residuals | None = None
    novelty: Novelty | None = None

    @property
    def in_dim(self) -> int:
        """Length of the features that the model takes."""
        first = next(module for module in self.model.modules() if isinstance(module, nn.Linear))
        return first.in_features

    def save(self, folder: Path) -> None:
        """Write `model.safetensors`, `config.json` and the like, the folder whole or not at all."""
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        self.write(partial)
        shutil.rmtree(folder, ignore_errors=True)
        replace_folder(partial, folder)

    def write(self, folder: Path) -> None:
        """Write its files into a folder that is there."""
        state = {name: tensor.contiguous() for name, tensor in self.model.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        about = json.dumps(self._about(), indent=1, ensure_ascii=False)
        (folder / "config.json").write_text(about, encoding="utf-8")
        write_trust(folder, self.residuals, self.novelty)
        readers = (folder / "config.json").stat().st_mode  # safetensors lets its owner alone read
        for file in folder.glob("*.safetensors"):
            file.chmod(readers)

    def _about(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in APART}
        arguments = {
            "in_dim": self.in_dim,
            "n_genes": len(self.genes),
            "nonnegative": self.nonnegative,
            "config": asdict(self.model.config),
        }
        return {"schema": SCHEMA, "model": self.kind, "arguments": arguments, **plain, **stamp()}


def load_checkpoint(folder: Path) -> Checkpoint:
    """Rebuild a model from its folder, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the folder is absent, damaged or of another layout.
    """
    about, state = _read(folder)
    try:
        build = models[about["model"]]
        with torch.device("meta"):  # which takes no memory, however large the arguments say
            _check_shapes(build(**about["arguments"]), state)
        model = build(**about["arguments"])
        model.load_state_dict(state)
        known = {
            name: about[name]
            for name, held in Checkpoint.__dataclass_fields__.items()
            if name not in APART and (name in about or held.default_factory is MISSING)
        }
        check_contents(known, state)
        if len(known["genes"]) != about["arguments"]["n_genes"]:
            raise ValueError(
                f"it names {len(known['genes'])} genes for {about['arguments']['n_genes']} outputs"
            )
    except KeyError as err:
        raise CheckpointError(f"the checkpoint at {folder} is damaged: config.json lacks {err}") from err
    except (RuntimeError, TypeError, ValueError, AttributeError, ArithmeticError) as err:
        said = " ".join(str(err).split())[:200]
        raise CheckpointError(f"the checkpoint at {folder} does not fit together: {said}") from err
    model.eval()
    checkpoint = Checkpoint(model=model, kind=about["model"], **known)
    residuals, novelty = read_trust(folder, genes=len(checkpoint.genes), in_dim=checkpoint.in_dim)
    return replace(checkpoint, residuals=residuals, novelty=novelty)


def _check_shapes(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Refuse arguments that build another model than the weights are of, before its memory is taken."""
    built = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    stored = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if built != stored:
        name = min(name for name in built | stored if built.get(name) != stored.get(name))
        raise ValueError(
            f"its arguments make {name} {built.get(name, 'absent')}, its weights {stored.get(name, 'absent')}"
        )


def check_contents(about: Mapping[str, Any], state: Mapping[str, Tensor]) -> None:
    """Hold what a checkpoint says of itself against what that has to be.

    Raises
    ------
    ValueError
        If a setting is of another kind, a gene is named twice, or a weight is not finite.
    """
    kinds: dict[str, Callable[[Any], bool]] = {
        "genes": lambda value: _are_names(value) and all(map(is_gene_name, value)),
        "target": _is_text,
        "units": _is_text,
        "encoder": _is_text,
        "nonnegative": lambda value: isinstance(value, bool),
        "tile": lambda value: set(value) == {"size_px", "mpp"} and all(map(_is_size, value.values())),
        "patch_px": _is_size,
        "knn": _is_size,
        "spot_diameter_um": _is_size,
        "trained_on": _are_names,
        "validated_on": _are_names,
        "held_out": _are_names,
        "stain": lambda value: _is_text(value["method"]),
        "slides": lambda value: all(_is_text(slide["fingerprint"]) for slide in value.values()),
        "notes": lambda value: isinstance(value, Mapping),
    }
    for name, value in about.items():
        if name in kinds and not kinds[name](value):
            raise ValueError(f"{name} is {str(value)[:60]!r}")
    twice = [gene for gene, times in Counter(about["genes"]).items() if times > 1]
    if twice:
        raise ValueError(f"the gene {twice[0]!r} is named twice")
    for name, tensor in state.items():
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{name} holds weights that are not finite")


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_size(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise CheckpointError(f"no checkpoint at {folder}: {name} is missing")
    try:
        about = read_json(folder / "config.json")
        state = load_file(folder / "model.safetensors")
    except (ValueError, SafetensorError) as err:
        raise CheckpointError(f"the checkpoint at {folder} is damaged: {err}") from err
    if not isinstance(about, dict):
        raise CheckpointError(
            f"the checkpoint at {folder} is damaged: config.json holds no table of settings"
        )
    if about.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{folder} has layout {about.get('schema')}, this version of MISO reads {SCHEMA}; "
            "train (or import) it again"
        )
    return about, state
