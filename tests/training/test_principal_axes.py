"""Principal axes over many sections are those of all spots together, however they are found."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from miso.training import principal_axes as module
from miso.training.principal_axes import principal_axes

STRENGTHS = torch.linspace(3.0, 0.6, 12, dtype=torch.float64)


@dataclass
class Drawn:
    """Sections of twelve programs and noise of spread 1, centred; some genes measured in some only."""

    sections: list[Tensor]
    spots: Tensor
    measured: Tensor


def draw(n_sections: int, n_spots: int, n_genes: int, lacking: bool = False) -> Drawn:
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    profiles = torch.linalg.qr(randn(n_genes, len(STRENGTHS)))[0].T * n_genes**0.5 * STRENGTHS[:, None] / 4
    measured = torch.ones(n_sections, n_genes, dtype=torch.bool)
    if lacking:
        measured[0, : n_genes // 10] = False
        measured[1, -n_genes // 10 :] = False
    sections = [randn(n_spots, len(STRENGTHS)) @ profiles + randn(n_spots, n_genes) for _ in measured]
    centred = [(each - each.mean(0)) * there for each, there in zip(sections, measured, strict=True)]
    return Drawn(centred, torch.full((n_sections,), float(n_spots), dtype=torch.float64), measured)


def axes_of(drawn: Drawn, most: int) -> Tensor:
    return principal_axes(lambda: drawn.sections, drawn.spots, drawn.measured, most)


def agreement(one: Tensor, other: Tensor) -> list[float]:
    """Absolute cosine of each axis with its counterpart."""
    return [abs(float(a @ b)) for a, b in zip(one, other, strict=True)]


def test_axes_of_covariances_are_those_of_all_spots_together() -> None:
    drawn = draw(3, 200, 60)
    _, _, expected = torch.linalg.svd(torch.cat(drawn.sections), full_matrices=False)
    assert min(agreement(axes_of(drawn, 12), expected[:12])) > 1 - 1e-9


def test_iteration_finds_the_axes_that_covariances_have(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = draw(4, 500, 1500)
    exact = axes_of(drawn, 128)
    monkeypatch.setattr(module, "MOST_GENES", 1000)
    found = axes_of(drawn, 128)
    assert found.shape == exact.shape == (128, 1500)
    np.testing.assert_allclose(found @ found.T, np.eye(128), atol=1e-9)
    assert min(agreement(found[:12], exact[:12])) > 0.99999
    together = torch.cat(drawn.sections)
    held = [(together @ axes.T).square().sum().item() for axes in (found, exact)]
    assert held[0] > 0.99 * held[1]  # of the noise beyond, all axes are alike
    assert torch.equal(axes_of(drawn, 128), found)


def test_genes_that_sections_lack_hardly_move_the_axes(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, part = (axes_of(draw(4, 500, 1500, lacking), 12) for lacking in (False, True))
    monkeypatch.setattr(module, "MOST_GENES", 1000)
    found = axes_of(draw(4, 500, 1500, lacking=True), 12)
    assert min(agreement(part, whole)) > 0.97
    assert min(agreement(found, whole)) > 0.96


def test_genes_measured_together_weigh_as_if_no_other_section_were_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = draw(2, 400, 300)
    drawn.measured[1] = False
    drawn.sections[1].zero_()
    alone = Drawn(drawn.sections[:1], drawn.spots[:1], drawn.measured[:1])
    monkeypatch.setattr(module, "MOST_GENES", 100)
    assert min(agreement(axes_of(drawn, 12), axes_of(alone, 12))) > 1 - 1e-9


@pytest.mark.parametrize("most_genes", [0, 1000])
def test_no_more_axes_than_spots_or_genes(most_genes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_GENES", most_genes)
    assert axes_of(draw(2, 20, 60), 128).shape == (40, 60)
    assert axes_of(draw(2, 200, 60), 128).shape == (60, 60)
