"""Small Checkpoints, and bundles of them."""

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest
import torch

from miso.models import Checkpoint, MisoConfig, MisoModel, PatchConfig, PatchModel
from miso.models.attention import NetworkConfig
from miso.models.bundle import HERE, Bundle
from miso.models.card import Facts
from miso.models.reliability import reliability

DIM, GENES = 6, ["ERBB2", "KRT8", "µ-gene"]
TINY = NetworkConfig(embed_dim=16, attention_dim=8, heads=2)


@pytest.fixture
def small_checkpoint() -> Callable[..., Checkpoint]:
    """A Checkpoint with random weights; keywords change its fields."""

    def make(seed: int = 4, kind: str = "miso", **other: object) -> Checkpoint:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            teacher = MisoModel(DIM, len(GENES), MisoConfig(network=TINY, members=1))
            student = PatchModel(DIM, len(GENES), PatchConfig(hidden=(8,), factors=2))
        model = student if kind == "patch" else teacher
        for value in model.state_dict().values():
            value.copy_(torch.rand(value.shape, generator=torch.Generator().manual_seed(seed)))
        made = Checkpoint(
            model=model.eval(),
            kind=kind,
            genes=list(GENES),
            target="log1p",
            units="ln(1 + counts)",
            nonnegative=True,
            encoder="stain@1",
            tile={"size_px": 224, "mpp": 0.5},
            patch_px=16,
            knn=5,
            spot_diameter_um=55.0,
            trained_on=["A1"],
            validated_on=["B1"],
            held_out=["C1"],
            slides={
                name: {
                    "fingerprint": name * 8,
                    "patient": f"Jane {name[0]}",
                    "mpp": 0.688,
                    "source": "lattice",
                }
                for name in ("A1", "B1", "C1")
            },
            notes={"epoch": 3},
        )
        return replace(made, **other)  # type: ignore[arg-type]

    return make


@pytest.fixture
def small_bundle(small_checkpoint: Callable[..., Checkpoint]) -> Callable[..., Bundle]:
    """A bundle of so many Checkpoints; r falls from gene to gene."""

    def make(n: int = 1, kind: str = "miso") -> Bundle:
        names = [HERE] if n == 1 else [f"model_{i}" for i in range(n)]
        rows = [
            (0, fold, f"S{fold}", kind, gene, "pearson", r)
            for gene, r in zip(GENES, (0.7, 0.2, float("nan")), strict=True)
            for fold in range(3)
        ]
        columns = ["repeat", "fold", "sample", "model", "gene", "metric", "value"]
        return Bundle(
            checkpoints={name: small_checkpoint(seed=i, kind=kind) for i, name in enumerate(names)},
            reliability=reliability(pd.DataFrame(rows, columns=columns), GENES, kind),
            facts=Facts(
                name="Breast, small",
                licence="CC-BY-4.0",
                data="Three sections | of the phantom",
                sections=3,
                patients=3,
                held_apart="patient",
            ),
        )

    return make
