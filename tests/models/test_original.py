"""A checkpoint of the original MISO predicts here what its own formula says, or is refused by name."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from miso.errors import CheckpointError
from miso.geometry import TileSpec
from miso.models.miso import PUBLISHED, MisoModel
from miso.models.original import Given, import_original
from miso.models.patch import PUBLISHED_PATCH, PatchModel

State = dict[str, Tensor]
DIM, EMBED, WIDTH, HEADS, GENES, SPOTS, K = 5, 24, 12, 3, 4, 30, 7


def given(**other: object) -> Given:
    about: dict[str, object] = {
        "genes": ["ERBB2", "KRT8", "FASN", "CD3D"],
        "encoder": "h0-mini",
        "feature_dims": (DIM, DIM),
        "target": "raw",
        "units": "counts per spot",
        "tile": TileSpec(),
        "patch_px": 14,
        "knn": K,
        "heads": HEADS,
    }
    return Given(**(about | other))  # type: ignore[arg-type]


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) / math.sqrt(shape[-1])


def teacher_state(depth: int = 2) -> State:
    shapes: dict[str, tuple[int, ...]] = {"emb_layer.weight": (EMBED, DIM), "emb_layer.bias": (EMBED,)}
    for i in range(depth):
        at = f"transformer.layers.{i}"
        shapes |= {
            f"{at}.0.weight": (EMBED,),
            f"{at}.0.bias": (EMBED,),
            f"{at}.1.to_qkv.weight": (3 * WIDTH, EMBED),
            f"{at}.1.to_qkv.bias": (3 * WIDTH,),
            f"{at}.1.to_out.weight": (EMBED, WIDTH),
            f"{at}.2.weight": (EMBED,),
            f"{at}.2.bias": (EMBED,),
            f"{at}.3.hidden_layers.0.weight": (EMBED, EMBED),
            f"{at}.3.hidden_layers.0.bias": (EMBED,),
        }
    shapes |= {"mlp.weight": (GENES, EMBED), "mlp.bias": (GENES,)}
    return {name: 2 * random(*shape, seed=i) for i, (name, shape) in enumerate(shapes.items())}


def student_state(hidden: tuple[int, ...] = (9, 6)) -> State:
    widths = (DIM, *hidden, GENES)
    state: State = {}
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        state[f"mlp.hidden_layers.{2 * i}.weight"] = random(after, before, seed=2 * i)
        state[f"mlp.hidden_layers.{2 * i}.bias"] = random(after, seed=2 * i + 1)
    return state


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5) * weight + bias


def read_teacher(state: State, x: Tensor, neighbors: Tensor, heads: int) -> Tensor:
    """The published formula, spot by spot and head by head, in float64."""
    w = {name: tensor.double() for name, tensor in state.items()}
    x = x @ w["emb_layer.weight"].T + w["emb_layer.bias"]
    for i in range(sum(name.endswith("to_qkv.bias") for name in state)):
        at = f"transformer.layers.{i}"
        y = norm(x, w[f"{at}.0.weight"], w[f"{at}.0.bias"])
        qkv = y @ w[f"{at}.1.to_qkv.weight"].T + w[f"{at}.1.to_qkv.bias"]
        third = qkv.shape[1] // 3
        query, key, value = qkv[:, :third], qkv[:, third : 2 * third], qkv[:, 2 * third :]
        dim, rows = third // heads, []
        for spot, near in enumerate(neighbors.tolist()):
            mixed = []
            for head in range(heads):
                own = slice(head * dim, (head + 1) * dim)
                likeness = key[near][:, own] @ query[spot, own] / math.sqrt(dim)
                share = torch.exp(likeness - likeness.max())
                mixed.append((share / share.sum()) @ value[near][:, own])
            rows.append(torch.cat(mixed))
        x = x + torch.stack(rows) @ w[f"{at}.1.to_out.weight"].T
        y = norm(x, w[f"{at}.2.weight"], w[f"{at}.2.bias"])
        x = x + y @ w[f"{at}.3.hidden_layers.0.weight"].T + w[f"{at}.3.hidden_layers.0.bias"]
    return x @ w["mlp.weight"].T + w["mlp.bias"]


def read_student(state: State, x: Tensor) -> Tensor:
    for i in range(len(state) // 2):
        weight, bias = (state[f"mlp.hidden_layers.{2 * i}.{kind}"].double() for kind in ("weight", "bias"))
        x = (x @ weight.T + bias).clamp(min=0)
    return x


@pytest.fixture
def file(tmp_path: Path) -> Callable[[object], Path]:
    def save(content: object) -> Path:
        torch.save(content, tmp_path / "model.pth")
        return tmp_path / "model.pth"

    return save


def test_a_teacher_predicts_what_the_published_formula_says(file: Callable[[object], Path]) -> None:
    state = teacher_state()
    made = import_original(file(state), given())
    features = random(SPOTS, DIM, seed=50).double() * 3
    neighbors = torch.randint(SPOTS, (SPOTS, K), generator=torch.Generator().manual_seed(51))
    assert isinstance(made.model, MisoModel)
    with torch.no_grad():
        found = made.model.double()(features, neighbors)
    expected = read_teacher(state, features, neighbors, HEADS)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    other_heads = read_teacher(state, features, neighbors, 4)
    assert (other_heads - expected).abs().max() > 1e-3  # the test would notice


def test_a_student_predicts_what_the_published_formula_says(file: Callable[[object], Path]) -> None:
    state = student_state()
    made = import_original(file(state), given())
    features = random(SPOTS, 3, DIM, seed=52).double() * 3
    assert isinstance(made.model, PatchModel)
    with torch.no_grad():
        found = made.model.double()(features)
    expected = read_student(state, features)
    assert 0.1 < (expected > 0).double().mean() < 0.9
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_sizes_are_read_from_the_file_and_the_rest_is_as_published(file: Callable[[object], Path]) -> None:
    made = import_original(file(teacher_state(depth=3)), given())
    network = made.model.config.network  # type: ignore[union-attr]
    assert (network.embed_dim, network.attention_dim, network.heads, network.depth) == (
        EMBED,
        WIDTH,
        HEADS,
        3,
    )
    assert network.feed_forward == PUBLISHED.network.feed_forward == "linear"
    assert (made.model.config.attend, made.in_dim, made.knn) == (K, DIM, K)  # type: ignore[union-attr]
    assert (made.nonnegative, made.units, made.encoder) == (True, "counts per spot", "h0-mini")
    student = import_original(file(student_state((9, 6))), given())
    assert (student.kind, student.model.config.hidden) == ("patch", (9, 6))  # type: ignore[union-attr]
    assert student.model.config.pool == PUBLISHED_PATCH.pool == "tile"  # type: ignore[union-attr]


WRAPPINGS: dict[str, Callable[[State], object]] = {
    "under state_dict": lambda s: {"state_dict": s, "epoch": 3},
    "under model": lambda s: {"model": s},
    "nested twice": lambda s: {"model": {"state_dict": s}},
    "data parallel": lambda s: {f"module.{name}": tensor for name, tensor in s.items()},
    "in a trainer": lambda s: {"state_dict": {f"model.module.{name}": tensor for name, tensor in s.items()}},
    "head and embedding as layers": lambda s: {
        name.replace("mlp.", "mlp.hidden_layers.0.").replace(
            "emb_layer.", "emb_layer.hidden_layers.0."
        ): tensor
        for name, tensor in s.items()
    },
    "parameters": lambda s: {name: torch.nn.Parameter(tensor) for name, tensor in s.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_a_state_dict_is_found_however_it_was_wrapped(wrapping: str, file: Callable[[object], Path]) -> None:
    state = teacher_state()
    plain = import_original(file(state), given()).model.state_dict()
    wrapped = import_original(file(WRAPPINGS[wrapping](state)), given()).model.state_dict()
    assert plain.keys() == wrapped.keys()
    assert all(torch.equal(plain[name], wrapped[name]) for name in plain)


def without(state: State, *endings: str) -> State:
    return {name: tensor for name, tensor in state.items() if not name.endswith(endings)}


REFUSED: dict[str, tuple[object, dict[str, object], str]] = {
    "other genes": (teacher_state(), {"genes": ["ERBB2"]}, "predicts 4 genes, but the gene list has 1"),
    "student of other genes": (student_state(), {"genes": list("ABCDE")}, "4 genes, but the gene list has 5"),
    "another encoder": (
        teacher_state(),
        {"feature_dims": (768, DIM)},
        "tile features of 5 .* h0-mini have 768",
    ),
    "student of another": (student_state(), {"feature_dims": (DIM, 768)}, "patch features of 5 .* have 768"),
    "heads": (teacher_state(), {"heads": 64}, "64 heads do not divide .* width of 12; pass --heads"),
    "no heads": (teacher_state(), {"heads": 0}, "0 heads do not divide"),
    "unknown key": (
        teacher_state() | {"pos_embedding": torch.ones(3)},
        {},
        "has 'pos_embedding', not of the",
    ),
    "key of a student": (
        student_state() | {"mlp.hidden_layers.1.weight": torch.ones(3)},
        {},
        "hidden_layers.1",
    ),
    "no embedding": (without(teacher_state(), "emb_layer.weight"), {}, "lacks 'emb_layer.weight'"),
    "no blocks": (
        {name: t for name, t in teacher_state().items() if "layers" not in name},
        {},
        "lacks 'transformer.layers.0.1.to_qkv.weight'",
    ),
    "a tensor missing": (
        without(teacher_state(), "1.2.bias"),
        {},
        "lacks 1 tensors \\(the transformer layer 1's feed_forward_norm.bias\\)",
    ),
    "a gap of blocks": (
        {name.replace("layers.1.", "layers.5."): tensor for name, tensor in teacher_state().items()},
        {},
        "lacks 9 tensors",
    ),
    "a bias too many": (
        teacher_state() | {"transformer.layers.0.1.to_out.bias": torch.ones(EMBED)},
        {},
        "to_out.bias', not of the original",
    ),
    "a layer twice": (
        teacher_state() | {"mlp.hidden_layers.0.weight": torch.ones(GENES, EMBED)},
        {},
        "which are one layer",
    ),
    "other shape": (
        teacher_state() | {"transformer.layers.1.1.to_out.weight": torch.ones(EMBED, WIDTH + 1)},
        {},
        "1.to_out.weight' is 24 × 13, but its other layers ask for 24 × 12",
    ),
    "shapes that would fill the memory": (
        teacher_state() | {"emb_layer.weight": torch.ones(10**6, DIM)},
        {},
        "but its other layers ask for",
    ),
    "a vector for a matrix": (
        teacher_state() | {"mlp.weight": torch.ones(4)},
        {},
        "'mlp.weight' is 4, not a mat",
    ),
    "a number": (teacher_state() | {"mlp.weight": torch.tensor(1.0)}, {}, "a single number, not a matrix"),
    "one student layer": (
        {"mlp.hidden_layers.0.weight": torch.ones(GENES, DIM), "mlp.hidden_layers.0.bias": torch.ones(GENES)},
        {},
        "lacks 'emb_layer.weight'",
    ),
    "not a number": (teacher_state() | {"mlp.bias": torch.full((GENES,), torch.nan)}, {}, "are not finite"),
    "whole numbers": (
        teacher_state() | {"mlp.bias": torch.ones(GENES, dtype=torch.int64)},
        {},
        "of torch.int64",
    ),
    "text": (teacher_state() | {"mlp.bias": "bias"}, {}, "'mlp.bias' is a str, not a tensor"),
    "a list": ([1, 2], {}, "holds a list, not a state dict"),
    "empty": ({}, {}, "holds an empty table"),
    "nothing but an epoch": ({"epoch": 3}, {}, "'epoch' is a int, not a tensor"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_name(case: str, file: Callable[[object], Path]) -> None:
    content, other, words = REFUSED[case]
    with pytest.raises(CheckpointError, match=words) as caught:
        import_original(file(content), given(**other))
    assert "\n" not in str(caught.value)
    assert "model.pth" in str(caught.value)


class Whole(torch.nn.Module):
    """A model pickled whole, as torch.save(model) does."""


class Evil:
    """Runs when it is unpickled, if anything lets it."""

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (exec, ("raise SystemExit('ran')",))


@pytest.mark.parametrize("content", [Whole(), {"state_dict": Evil()}], ids=["whole model", "code"])
def test_a_pickle_that_could_run_code_is_not_opened(content: object, file: Callable[[object], Path]) -> None:
    with pytest.raises(CheckpointError, match="no state dict that can be read safely") as caught:
        import_original(file(content), given())
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no file at .*nowhere\.pth"):
        import_original(tmp_path / "nowhere.pth", given())


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_damaged_file_is_refused_in_one_line_or_read_as_it_is(
    legacy: bool,
    tmp_path: Path,
    spoil: Callable[..., bytes],
    refusal: Callable[[Callable[[], object]], str],
) -> None:
    path, refused = tmp_path / "model.pth", 0
    torch.save(student_state(), path, _use_new_zipfile_serialization=not legacy)
    whole = path.read_bytes()
    for trial in range(120):
        path.write_bytes(spoil(whole, trial))
        said = refusal(lambda: import_original(path, given()))
        refused += bool(said)
        assert "\n" not in said
    assert refused > 30
