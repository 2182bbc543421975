"""Programs and spreads of labels are read from a part of them at a time."""

import pytest
import torch

from miso.training import programs
from miso.training.programs import find_programs, spread_of


def test_the_spread_of_labels_over_sections_is_that_of_all_spots_together() -> None:
    generator = torch.Generator().manual_seed(0)
    labels = [torch.randn(n, 4, generator=generator) * torch.arange(4) + 10 * n for n in (1, 5, 40)]
    torch.testing.assert_close(spread_of(iter(labels)), torch.cat(labels).std(0), rtol=1e-5, atol=1e-6)
    assert spread_of([torch.ones(1, 3)]).tolist() == [0, 0, 0]


def test_of_many_spots_those_spread_evenly_over_all_sections_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(programs, "MOST_SPOTS", 8)
    labels = torch.rand(100, 5, generator=torch.Generator().manual_seed(0))
    parts = [labels[:1], labels[1:60], labels[60:61], labels[61:]]
    picked = torch.linspace(0, 99, 8).long()
    found, expected = (find_programs(of, 3, True, seed=0) for of in (parts, [labels[picked]]))
    torch.testing.assert_close(found, expected)
    assert torch.equal(programs._spread_evenly(parts, 8), labels[picked])
