"""The baselines' ridge: its penalty is the best one on validation sections."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from miso.models.ridge import Moments, RidgePath
from miso.scores.metrics import mean_pearson
from miso.training.linear import DEFAULT_PENALTY, PENALTIES, fit_ridge, fit_ridges, path_over
from miso.training.sections import Section


def inputs(section: Section) -> Tensor:
    return section.features - section.features.mean(0)


def together(sections: Sequence[Section]) -> Moments:
    return Moments.of(torch.cat([inputs(s) for s in sections]), torch.cat([s.y for s in sections]))


def test_the_penalty_is_the_best_one_on_validation(sections: list[Section]) -> None:
    def score(penalty: float, val: Sequence[Section]) -> float:
        path = RidgePath(together(sections[:2]))
        return sum(mean_pearson(path.at(penalty)(inputs(s)).numpy(), s.y.numpy()) for s in val)

    noise = torch.poisson(torch.full_like(sections[2].y, 9.0), generator=torch.Generator().manual_seed(1))
    for val in (sections[2:3], sections[2:], [replace(sections[2], y=noise)]):
        linear, chosen = fit_ridge(sections[:2], val, inputs)
        assert score(chosen, val) == max(score(penalty, val) for penalty in PENALTIES)
        expected = RidgePath(together([*sections[:2], *val])).at(chosen)  # fitted again on all
        torch.testing.assert_close(linear.weight, expected.weight, atol=1e-6, rtol=1e-5)
    assert fit_ridge(sections[:2], [], inputs)[1] == DEFAULT_PENALTY  # nobody to ask


def test_a_gene_is_fitted_on_the_sections_that_measured_it(sections: list[Section]) -> None:
    lacking = replace(sections[1], y=sections[1].y.clone())
    lacking.y[:, [0, 3]] = torch.nan
    nowhere = [replace(s, y=s.y.clone()) for s in (sections[0], lacking)]
    for section in nowhere:
        section.y[:, 5] = torch.nan
    found = path_over(nowhere, inputs).at(1.0)
    both = path_over(sections[:2], inputs).at(1.0)
    alone = path_over(sections[:1], inputs).at(1.0)
    for gene in range(8):
        expected = alone if gene in (0, 3) else both
        if gene == 5:
            assert not found.weight[:, gene].any()
            assert found.bias[gene] == 0
            continue
        torch.testing.assert_close(found.weight[:, gene], expected.weight[:, gene], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.bias[gene], expected.bias[gene], atol=1e-4, rtol=1e-5)


def test_several_inputs_are_fitted_in_one_pass_as_each_alone(sections: list[Section]) -> None:
    passed: list[str] = []

    def once(some: list[Section]) -> Iterator[Section]:
        for section in some:
            passed.append(section.name)
            yield section

    both = {"all": inputs, "one": lambda section: inputs(section)[:, :1]}
    found = fit_ridges(once(sections[:2]), once(sections[2:]), both)
    assert passed == ["A1", "B1", "C1", "D1"]
    for name, of in both.items():
        alone, penalty = fit_ridge(sections[:2], sections[2:], of)
        assert found[name][1] == penalty
        assert torch.equal(found[name][0].weight, alone.weight)


def test_genes_of_a_validation_section_that_lacks_some_are_scored_without_them(
    sections: list[Section],
) -> None:
    lacking = replace(sections[2], y=sections[2].y.clone())
    lacking.y[:, 0] = torch.nan
    found, penalty = fit_ridge(sections[:2], [lacking], inputs)
    assert penalty in PENALTIES
    alone = path_over(sections[:2], inputs).at(penalty)
    both = path_over(sections[:3], inputs).at(penalty)
    torch.testing.assert_close(found.weight[:, 0], alone.weight[:, 0], atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.weight[:, 1:], both.weight[:, 1:], atol=1e-6, rtol=1e-5)
