"""Weights of genes: read strictly from a file, or reliability of the training sections' counts alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from miso.errors import ConfigError
from miso.models.attention import NetworkConfig
from miso.samples import Cohort, open_cohort
from miso.scores.ceiling import noise_ceiling
from miso.training.gene_weights import RELIABILITY, gene_weights, ignored_genes, weights_fingerprint
from miso.training.losses import losses
from miso.training.sections import Section
from miso.training.teacher import RECIPES, fit_teacher

GENES = [f"SEEN{i}" for i in range(6)] + ["NULL0", "NULL1"]
WEIGHTS = {gene: float(index) for index, gene in enumerate(GENES)}


def write(path: Path, weights: dict[str, float] | str = WEIGHTS, separator: str = ",") -> str:
    if not isinstance(weights, str):
        rows = [("gene", "weight"), *((gene, str(weight)) for gene, weight in weights.items())]
        weights = "\n".join(separator.join(row) for row in rows)
    path.write_text(weights)
    return str(path)


@pytest.fixture(scope="module")
def cohort(samples: Path) -> Cohort:
    return open_cohort(samples)


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_a_file_gives_each_gene_its_weight_in_any_order(
    cohort: Cohort, tmp_path: Path, separator: str
) -> None:
    upside_down = dict(reversed(WEIGHTS.items()))
    source = write(tmp_path / "w.csv", upside_down, separator)
    assert gene_weights(source, cohort, ["A1"]).tolist() == list(range(8))
    assert ignored_genes(source, cohort.genes) == []


def test_further_columns_and_genes_are_left_aside_and_the_genes_are_told(
    cohort: Cohort, tmp_path: Path
) -> None:
    rows = ["\ufeff,note,weight,gene", *(f'1,"a, b",{weight},{gene}' for gene, weight in WEIGHTS.items())]
    source = write(tmp_path / "w.csv", "\n".join([*rows, "2,,7,OTHER", ""]))
    assert gene_weights(source, cohort, ["A1"]).tolist() == list(range(8))
    assert ignored_genes(source, cohort.genes) == ["OTHER"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("gene,weight\nSEEN0,1\n", r"7 of 8 genes have no weight in .*first: 'SEEN1'.*0 for one"),
        (WEIGHTS | {"SEEN2": -1.0}, r"weight of 'SEEN2' is '-1.0'; a weight is a number ≥ 0"),
        (WEIGHTS | {"SEEN2": float("nan")}, r"weight of 'SEEN2' is 'nan'"),
        (WEIGHTS | {"SEEN2": float("inf")}, r"weight of 'SEEN2' is 'inf'"),
        ("gene,weight\nSEEN0,high\n", r"weight of 'SEEN0' is 'high'"),
        ("gene,weight\nSEEN0\n", r"weight of 'SEEN0' is ''"),
        ("gene,weight\nSEEN0,1\nSEEN0,2\n", r"names the gene 'SEEN0' twice"),
        (dict.fromkeys(GENES, 0.0), r"gives every gene that is predicted the weight 0"),
        ("SEEN0,1\nSEEN1,2\n", r"first line of .* names SEEN0, 1; gene_weights needs gene and weight"),
        ("", r"names nothing"),
    ],
)
def test_a_file_at_fault_is_refused_in_one_line(
    cohort: Cohort, tmp_path: Path, content: dict[str, float] | str, said: str
) -> None:
    source = write(tmp_path / "w.csv", content)
    with pytest.raises(ConfigError, match=said) as refused:
        gene_weights(source, cohort, ["A1"])
    assert "\n" not in str(refused.value)
    with pytest.raises(ConfigError, match=said):
        weights_fingerprint(source, cohort)


def test_an_absent_file_and_one_that_is_no_text_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file at .*none.csv; .* or 'reliability'"):
        gene_weights(str(tmp_path / "none.csv"), cohort, ["A1"])
    (tmp_path / "w.xlsx").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is no text"):
        gene_weights(str(tmp_path / "w.xlsx"), cohort, ["A1"])


def test_a_fingerprint_names_what_the_file_says_of_the_genes_that_are_predicted(
    cohort: Cohort, tmp_path: Path
) -> None:
    first = weights_fingerprint(write(tmp_path / "a.csv"), cohort)
    assert weights_fingerprint(write(tmp_path / "b.tsv", WEIGHTS | {"OTHER": 3.0}, "\t"), cohort) == first
    assert weights_fingerprint(write(tmp_path / "c.csv", WEIGHTS | {"SEEN1": 1.5}), cohort) != first


def test_reliability_is_the_square_of_the_noise_ceiling_in_the_mean_over_training_sections(
    cohort: Cohort,
) -> None:
    weights = gene_weights(RELIABILITY, cohort, ["A1", "B1"])
    squares = []
    for name in ("A1", "B1"):
        adata = cohort.samples[name].adata
        counts = adata[:, GENES].X.toarray()
        total = np.asarray(adata.X.sum(axis=1)).ravel()
        squares.append(noise_ceiling(counts, total, lambda counts, total: counts) ** 2)
    np.testing.assert_allclose(weights, np.mean(squares, axis=0), atol=1e-6)
    assert weights[:6].min() > 0.5 > weights[6:].max()


def test_reliability_asks_training_sections_alone(write_cohort: Callable[..., Path], cohort: Cohort) -> None:
    cohorts = (cohort, open_cohort(write_cohort("D1")))
    same = [gene_weights(RELIABILITY, each, ["A1", "B1"]) for each in cohorts]
    np.testing.assert_array_equal(*same)
    other = [gene_weights(RELIABILITY, each, ["D1"]) for each in cohorts]
    assert not np.array_equal(*other)


def test_reliability_that_is_undefined_counts_as_nothing(cohort: Cohort) -> None:
    adata = cohort.samples["C1"].adata
    kept = adata.X.copy()
    try:
        adata.X = csr_matrix(kept.toarray() * (np.arange(8) != 1))
        weights = gene_weights(RELIABILITY, cohort, ["C1"])
        assert weights[1] == 0
        assert (weights[[0, 2, 3, 4, 5]] > 0).all()
        adata.X = 0 * kept
        with pytest.raises(ConfigError, match="no gene of the training samples varies beyond"):
            gene_weights(RELIABILITY, cohort, ["C1"])
        adata.X = kept / 2
        with pytest.raises(ConfigError, match="sample 'C1': a noise ceiling splits molecules"):
            gene_weights(RELIABILITY, cohort, ["C1"])
    finally:
        adata.X = kept


# ---- in training


def recounted(section: Section, gene: int) -> Section:
    y = section.y.clone()
    y[:, gene] = y[:, gene].flip(0) * 3 + 1
    return replace(section, y=y)


@pytest.mark.parametrize("name", ["cosine", "negative_binomial"])
def test_a_gene_of_weight_zero_teaches_nothing(name: str, sections: list[Section]) -> None:
    loss = losses[name]
    network = NetworkConfig(embed_dim=16, attention_dim=8, heads=2)
    published = RECIPES["published"]
    model = replace(published.model, network=network, link=loss.link)
    recipe = replace(published, model=model, loss=loss, epochs_unseen=2, lr=1e-2)
    states = {}
    for weight in (0.0, 1.0):
        weights = torch.ones(8)
        weights[3] = weight
        weighted = replace(recipe, gene_weights=weights)
        for which, sees in (("own", sections[:2]), ("other", [recounted(s, 3) for s in sections[:2]])):
            states[weight, which] = fit_teacher(sees, [], weighted, seed=0).model.state_dict()
    learnt = [key for key in states[0.0, "own"] if key != "scale"]  # where a gene starts is no lesson
    assert all(torch.equal(states[0.0, "own"][key], states[0.0, "other"][key]) for key in learnt)
    assert not all(torch.equal(states[1.0, "own"][key], states[1.0, "other"][key]) for key in learnt)
