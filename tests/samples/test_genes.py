"""Gene lists as people keep them, and panels that do not fit."""

import pytest

from miso.errors import CohortError
from miso.samples.genes import choose_genes, read_gene_list

AVAILABLE = {"A1": ["KRT8", "CD3D", "ACTB"], "B1": ["ACTB", "KRT8", "MS4A1"]}


@pytest.mark.parametrize(
    "text",
    [
        "KRT8\nCD3D\n",
        "gene\nKRT8\nCD3D\n",
        "Gene,mean\nKRT8,3.1\nCD3D,0.2\n",
        "\n  KRT8 \n\nCD3D\n\n",
        "KRT8\r\nCD3D\r\n",
        "\ufeffgene\nKRT8\nCD3D\n",
        '"KRT8","keratin, type II"\n"CD3D","T cells"\n',
    ],
    ids=["text", "header", "csv", "blank lines", "windows", "excel", "quoted"],
)
def test_a_gene_list_is_the_first_column(tmp_path, text):
    (tmp_path / "genes.csv").write_bytes(text.encode())
    assert read_gene_list(str(tmp_path / "genes.csv")) == ["KRT8", "CD3D"]


def test_the_panel_of_the_benchmark_is_in_the_package():
    panel = read_gene_list("her2st_panel")
    assert len(panel) == len(set(panel)) == 785
    assert {"KRT8", "FASN", "CD3D"} <= set(panel)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no gene"),
        ("gene\n\n", "names no gene"),
        ("KRT8\nCD3D\nKRT8\n", "names KRT8 twice"),
    ],
)
def test_a_useless_list_is_refused(tmp_path, text, said):
    (tmp_path / "genes.txt").write_text(text)
    with pytest.raises(CohortError, match=said):
        read_gene_list(str(tmp_path / "genes.txt"))


def test_a_list_that_is_no_text_or_not_there_is_refused(tmp_path):
    (tmp_path / "genes.xlsx").write_bytes(b"PK\x03\x04\xff\xfe\xfa")
    with pytest.raises(CohortError, match=r"genes\.xlsx' is no text; give one symbol a line"):
        read_gene_list(str(tmp_path / "genes.xlsx"))
    with pytest.raises(
        CohortError, match=r"no gene list at 'her2st_pannel'; give a text or CSV file .* or 'her2st_panel'"
    ):
        read_gene_list("her2st_pannel")


def test_without_a_panel_all_shared_genes_are_taken_in_the_first_samples_order():
    assert choose_genes(None, AVAILABLE, "error") == ["KRT8", "ACTB"]


def test_samples_that_share_no_gene_are_refused():
    with pytest.raises(CohortError, match=r"no gene is in every sample \(A1, M1\)"):
        choose_genes(None, {"A1": ["KRT8"], "M1": ["Krt8"]}, "drop")


def test_the_panels_order_is_kept():
    assert choose_genes(["ACTB", "KRT8"], AVAILABLE, "error") == ["ACTB", "KRT8"]


def test_a_gene_that_some_sample_lacks_is_refused_or_dropped_as_asked():
    with pytest.raises(
        CohortError, match=r"2 of 3 panel genes are not in every sample \(first: 'MS4A1', not in 'A1'\)"
    ):
        choose_genes(["KRT8", "MS4A1", "CD3D"], AVAILABLE, "error")
    assert choose_genes(["KRT8", "MS4A1", "CD3D"], AVAILABLE, "drop") == ["KRT8"]


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_a_panel_of_another_species_is_refused_even_when_genes_may_be_dropped(missing):
    with pytest.raises(
        CohortError, match=r"none of the 2 genes of the panel \(first: 'Krt8'\) .* same species"
    ):
        choose_genes(["Krt8", "Cd3d"], AVAILABLE, missing)


def test_masked_genes_are_the_union_and_a_panel_keeps_what_any_sample_has():
    assert choose_genes(None, AVAILABLE, "mask") == ["KRT8", "CD3D", "ACTB", "MS4A1"]
    assert choose_genes(["MS4A1", "XIST", "KRT8"], AVAILABLE, "mask") == ["MS4A1", "KRT8"]
