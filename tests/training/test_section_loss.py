"""A step learns from the spots that have a value, at the exposure they were sequenced to."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from miso.models.attention import NetworkConfig
from miso.models.miso import PUBLISHED, MisoModel
from miso.training import section_loss as module
from miso.training.losses import COSINE, Loss, losses
from miso.training.section_loss import kept, mean_rate, mean_total, section_loss
from miso.training.sections import Section

TINY = NetworkConfig(embed_dim=32, attention_dim=16, heads=4)


def goal(index: int, section: Section) -> Tensor:
    return section.y


def model_of(section: Section, loss: Loss) -> MisoModel:
    config = replace(PUBLISHED, network=TINY, members=2, link=loss.link)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MisoModel(section.features.shape[1], section.y.shape[1], config)


def test_it_is_the_sum_over_members_of_the_published_formula(sections: list[Section]) -> None:
    section = sections[1]
    model = model_of(section, COSINE)
    by_hand = torch.zeros(())
    for network in model.networks:
        out = network(section.features, section.neighbors)
        cosine = (out * section.y).sum(0) / (out.norm(dim=0) * section.y.norm(dim=0))
        by_hand = by_hand + (1 - cosine).mean()
    torch.testing.assert_close(section_loss(model, sections, goal, COSINE, None)(1), by_hand)


def test_a_spot_without_a_value_teaches_nothing_and_is_still_seen(sections: list[Section]) -> None:
    section = sections[0]
    y = section.y.clone()
    y[5] = torch.nan
    partly = replace(section, y=y)
    model = model_of(section, COSINE)
    out = model.networks[0](section.features, section.neighbors)
    model.networks = torch.nn.ModuleList([model.networks[0]])
    rest = torch.arange(len(y)) != 5
    cosine = torch.cosine_similarity(out[rest], section.y[rest], dim=0)
    found = section_loss(model, [partly], goal, COSINE, None)(0)
    torch.testing.assert_close(found, (1 - cosine).mean())
    moved = replace(partly, features=section.features + 3 * torch.eye(len(y))[5][:, None])
    assert section_loss(model, [moved], goal, COSINE, None)(0) != found


def test_weights_of_genes_count(sections: list[Section]) -> None:
    model = model_of(sections[0], COSINE)
    only_first = torch.eye(8)[0]
    found = section_loss(model, sections, goal, COSINE, only_first)(0)
    cut = [replace(s, y=torch.where(only_first > 0, s.y, torch.nan)) for s in sections]
    torch.testing.assert_close(found, section_loss(model, cut, goal, COSINE, None)(0))


def test_a_loss_of_counts_is_given_each_spots_share_of_the_mean_library_size(
    sections: list[Section],
) -> None:
    seen = []

    def of_genes(predicted: Tensor, measured: Tensor, exposure: Tensor) -> Tensor:
        seen.append(exposure)
        return predicted.sum(0)

    spy = replace(losses["poisson"], of_genes=of_genes)
    section_loss(model_of(sections[0], spy), sections, goal, spy, None)(2)
    average = torch.cat([s.total for s in sections]).mean()
    torch.testing.assert_close(seen[0], sections[2].total / average)
    seen.clear()
    plain = replace(spy, counts=False)
    section_loss(model_of(sections[0], plain), sections, goal, plain, None)(2)
    assert torch.equal(seen[0], torch.ones(len(sections[2].y)))


def test_the_mean_rate_is_per_spot_of_mean_library_size_where_a_gene_was_measured(
    sections: list[Section],
) -> None:
    y = sections[1].y.clone()
    y[:, 3] = torch.nan
    pair = [sections[0], replace(sections[1], y=y)]
    total = [s.total.sum() for s in pair]
    mean = sum(total) / sum(len(s.total) for s in pair)
    assert mean_total(pair) == pytest.approx(float(mean), rel=1e-6)
    rate = mean_rate(pair)
    torch.testing.assert_close(rate[3], sections[0].y[:, 3].sum() / total[0] * mean)
    torch.testing.assert_close(rate[0], (pair[0].y[:, 0].sum() + y[:, 0].sum()) / sum(total) * mean)


def test_what_is_made_of_a_section_is_kept_up_to_so_many_spots(
    sections: list[Section], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def make(index: int, section: Section) -> str:
        made.append(index)
        return section.name

    few = len(sections[0].y) + len(sections[1].y)
    monkeypatch.setattr(module, "SPOTS_KEPT", few)
    get = kept(make)
    names = [get(index, section) for _ in "12" for index, section in enumerate(sections)]
    assert names == [section.name for section in sections] * 2
    assert made == [0, 1, 2, 3, 2, 3]
