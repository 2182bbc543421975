"""Checkpoints of the original MISO: a torch state dict becomes a Checkpoint, or is refused by name."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from miso.errors import CheckpointError
from miso.geometry import TileSpec
from miso.launch.provenance import fingerprint
from miso.models.checkpoint import Checkpoint
from miso.models.miso import PUBLISHED, MisoModel
from miso.models.patch import PUBLISHED_PATCH, PatchModel
from miso.models.state_dict import read_state_dict

_ONE = r"(?:\.hidden_layers)?(?:\.0)?\.(weight|bias)"
_BLOCK = r"transformer\.layers\.(\d+)\."
TEACHER = {
    rf"emb_layer{_ONE}": "networks.0.embed.{0}",
    rf"{_BLOCK}0\.(weight|bias)": "networks.0.blocks.{0}.attention_norm.{1}",
    rf"{_BLOCK}1\.to_qkv\.(weight|bias)": "networks.0.blocks.{0}.attention.to_qkv.{1}",
    rf"{_BLOCK}1\.to_out(?:\.0)?\.(weight)": "networks.0.blocks.{0}.attention.to_out.{1}",
    rf"{_BLOCK}2\.(weight|bias)": "networks.0.blocks.{0}.feed_forward_norm.{1}",
    rf"{_BLOCK}3{_ONE}": "networks.0.blocks.{0}.feed_forward.{1}",
    rf"mlp{_ONE}": "networks.0.head.{0}",
}
"""The teacher's names in the original, as patterns, and here."""
STUDENT = re.compile(r"mlp\.hidden_layers\.(\d+)\.(weight|bias)")
"""The student's names: every second layer is linear, those between are ReLUs."""
NAMES = (
    "emb_layer.*, transformer.layers.*.{0,1.to_qkv,1.to_out,2,3.hidden_layers.0}.* and mlp.* (a student: "
    "mlp.hidden_layers.{0,2,4}.*)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a state dict does not say of itself, and its user has to.

    Attributes
    ----------
    genes
        In the order of the model's output.
    encoder
        Name of the encoder, with its revision (`name@revision`) where that is known.
    feature_dims
        Lengths of that encoder's tile feature and patch feature; None where they are not known.
    target, units
        What was trained on; the original floors predictions at 0 whatever it is.
    tile, patch_px, knn, spot_diameter_um
        The geometry of training.
    heads
        Of the attention; the published model has 64.
    """

    genes: list[str]
    encoder: str
    feature_dims: tuple[int, int] | None
    target: str
    units: str
    tile: TileSpec
    patch_px: int
    knn: int = 37
    spot_diameter_um: float = 55.0
    heads: int = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """A file's tensors by the names they have here, and those names in the original."""

    path: Path
    tensors: Mapping[str, Tensor]
    theirs: Mapping[str, str]

    def matrix(self, name: str, original: str) -> Tensor:
        """Return a layer's matrix, from which sizes are read."""
        if name not in self.tensors:
            raise CheckpointError(f"{self.path} lacks {original!r}; the original MISO has {NAMES}")
        if self.tensors[name].ndim != 2 or not self.tensors[name].numel():
            raise CheckpointError(
                f"{self.path}: {self.theirs[name]!r} is {_shape(self.tensors[name])}, not a matrix"
            )
        return self.tensors[name]


def import_original(path: Path, given: Given) -> Checkpoint:
    """Turn a file of the original MISO, teacher or student, into a Checkpoint.

    Raises
    ------
    CheckpointError
        If it is no state dict of that model, or does not fit the genes, the encoder or the heads given.
    """
    tensors = read_state_dict(path)
    student = all(STUDENT.fullmatch(name) for name in tensors) and "mlp.hidden_layers.2.weight" in tensors
    state = _translated(path, tensors, _student_name if student else _teacher_name)
    model = _student(state, given) if student else _teacher(state, given)
    return Checkpoint(
        model=model.eval(),
        kind="patch" if student else "miso",
        genes=given.genes,
        target=given.target,
        units=given.units,
        nonnegative=True,
        encoder=given.encoder,
        tile=asdict(given.tile),
        patch_px=given.patch_px,
        knn=given.knn,
        spot_diameter_um=given.spot_diameter_um,
        trained_on=[],
        validated_on=[],
        held_out=[],
        notes={"preset": "published", "imported_from": path.name, "fingerprint": fingerprint(path)},
    )


def _teacher_name(name: str) -> str | None:
    for pattern, ours in TEACHER.items():
        if match := re.fullmatch(pattern, name):
            return ours.format(*match.groups())
    return None


def _student_name(name: str) -> str | None:
    match = STUDENT.fullmatch(name)
    return f"network.{3 * (int(match[1]) // 2)}.{match[2]}" if match and int(match[1]) % 2 == 0 else None


def _translated(path: Path, tensors: Mapping[str, Tensor], rename: Callable[[str], str | None]) -> _State:
    ours = {name: rename(name) for name in tensors}
    if strange := [name for name, mapped in ours.items() if mapped is None]:
        raise CheckpointError(f"{path} has {_listed(strange)}, not of the original MISO, which has {NAMES}")
    theirs: dict[str, str] = {}
    for name, mapped in ours.items():
        if mapped in theirs:
            raise CheckpointError(f"{path} has {theirs[mapped]!r} and {name!r}, which are one layer")
        theirs[str(mapped)] = name
    by_ours = {mapped: tensors[name] for mapped, name in theirs.items()}
    return _State(path=path, tensors=by_ours, theirs=theirs)


def _teacher(state: _State, given: Given) -> MisoModel:
    embed = state.matrix("networks.0.embed.weight", "emb_layer.weight")
    qkv = state.matrix("networks.0.blocks.0.attention.to_qkv.weight", "transformer.layers.0.1.to_qkv.weight")
    head = state.matrix("networks.0.head.weight", "mlp.weight")
    width = qkv.shape[0] // 3
    if given.heads < 1 or width < 1 or width % given.heads:
        raise CheckpointError(
            f"{state.path}: {given.heads} heads do not divide its attention width of {width}; pass --heads"
        )
    _check_given(state.path, given, head.shape[0], embed.shape[1], "tile")
    network = replace(
        PUBLISHED.network,
        embed_dim=embed.shape[0],
        attention_dim=width,
        heads=given.heads,
        depth=len({name.split(".")[3] for name in state.tensors if ".blocks." in name}),
    )
    config = replace(PUBLISHED, network=network, attend=given.knn)
    with torch.device("meta"):  # nothing is allocated before every shape is checked
        model = MisoModel(embed.shape[1], len(given.genes), config)
    _fill(model, state)
    return model


def _student(state: _State, given: Given) -> PatchModel:
    count = len({name.split(".")[1] for name in state.tensors})
    layers = [
        state.matrix(f"network.{3 * i}.weight", f"mlp.hidden_layers.{2 * i}.weight") for i in range(count)
    ]
    _check_given(state.path, given, layers[-1].shape[0], layers[0].shape[1], "patch")
    config = replace(PUBLISHED_PATCH, hidden=tuple(layer.shape[0] for layer in layers[:-1]))
    with torch.device("meta"):
        model = PatchModel(layers[0].shape[1], len(given.genes), config)
    _fill(model, state)
    return model


def _check_given(path: Path, given: Given, n_genes: int, in_dim: int, what: str) -> None:
    if n_genes != len(given.genes):
        raise CheckpointError(
            f"{path} predicts {n_genes} genes, but the gene list has {len(given.genes)}; give the list that "
            "it was trained with, in its order"
        )
    dims = given.feature_dims
    wanted = None if dims is None else dims[0 if what == "tile" else 1]
    if wanted not in (None, in_dim):
        raise CheckpointError(
            f"{path} takes {what} features of {in_dim} numbers, but those of {given.encoder} have {wanted}; "
            "name the encoder that it was trained with"
        )


def _fill(model: MisoModel | PatchModel, state: _State) -> None:
    """Load the tensors once every name and shape agrees."""
    wanted = model.state_dict()
    if lacking := [name for name in wanted if name not in state.tensors]:
        of = ", ".join(_readable(name) for name in lacking[:3])
        raise CheckpointError(
            f"{state.path} lacks {len(lacking)} tensors (the {of}); the original MISO has {NAMES}"
        )
    if strange := [state.theirs[name] for name in state.tensors if name not in wanted]:
        raise CheckpointError(f"{state.path} has {_listed(strange)} without the other parts of that block")
    for name, tensor in state.tensors.items():
        if tensor.shape != wanted[name].shape:
            raise CheckpointError(
                f"{state.path}: {state.theirs[name]!r} is {_shape(tensor)}, but its other layers ask for "
                f"{_shape(wanted[name])}"
            )
    model.load_state_dict(dict(state.tensors), assign=True)


def _readable(name: str) -> str:
    """Word our name of a tensor: `networks.0.blocks.1.attention.to_out.weight` is "block 1's …"."""
    plain = name.removeprefix("networks.0.")
    return re.sub(r"^blocks\.(\d+)\.", r"transformer layer \1's ", plain)


def _listed(names: Iterable[str]) -> str:
    first, *others = names
    shown = ", ".join(map(repr, [first, *others[:2]]))
    return f"{shown} and {len(others) - 2} more" if len(others) > 2 else shown


def _shape(tensor: Tensor) -> str:
    return " × ".join(map(str, tensor.shape)) or "a single number"
