"""Gene names that spreadsheets and R damage, and what they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from miso.reports.gene_names import Panel

PANEL = [
    *(
        "GBP1",
        "GBP2",
        "HLA-B",
        "HLA-DRB1",
        "MARCHF1",
        "SEPTIN2",
        "DELEC1",
        "MTARC2",
        "C1orf43",
        "7SK",
        "ERBB2",
    ),
    *("MARCH5", "H2A.Z", "FASN"),
]

DAMAGED = {
    "GBP 1.00": "GBP1",
    "GBP 2,00": "GBP2",
    "£1.00": "GBP1",
    "HLA.B": "HLA-B",
    "HLA_DRB1": "HLA-DRB1",
    "HLA B": "HLA-B",
    "H2A-Z": "H2A.Z",
    "1-Mar": "MARCHF1",
    "01-Mar": "MARCHF1",
    "Mar-01": "MARCHF1",
    "1-March-2024": "MARCHF1",
    "2024-03-01 00:00:00": "MARCHF1",
    "2024-03-01": "MARCHF1",
    "3/1/2024": "MARCHF1",
    "45352": "MARCHF1",
    "MARCH1": "MARCHF1",
    "5-Mar": "MARCH5",
    "2-Mar": "MTARC2",
    "2-Sep": "SEPTIN2",
    "SEPT2": "SEPTIN2",
    "1-Dec": "DELEC1",
    "X7SK": "7SK",
    "C1ORF43": "C1orf43",
    " ERBB2\xa0": "ERBB2",
    "'FASN": "FASN",
}


@pytest.mark.parametrize("found", DAMAGED)
def test_a_damaged_name_is_repaired_and_the_damage_named(found: str) -> None:
    match = Panel(PANEL).match(found)
    assert match.gene == DAMAGED[found]
    assert match.reason


@pytest.mark.parametrize("gene", PANEL)
def test_an_intact_name_needs_no_repair(gene: str) -> None:
    match = Panel(PANEL).match(gene)
    assert (match.gene, match.reason) == (gene, "")


@pytest.mark.parametrize(
    "found", ["GBP 1.50", "GBP 9.00", "3-Mar", "HLAB", "TP53", "", "12", "2024-13-45", "0.5"]
)
def test_a_name_that_fits_no_gene_stays_unmatched(found: str) -> None:
    assert Panel(PANEL).match(found).gene is None


def test_a_date_that_may_be_two_genes_is_left_alone_and_both_are_named() -> None:
    match = Panel(["MARCHF1", "MTARC1"]).match("1-Mar")
    assert match.gene is None
    assert match.reason == "may be MARCHF1 or MTARC1"


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True), st.text(max_size=12))
def test_whatever_is_found_the_match_is_a_gene_of_the_panel_or_nothing(genes: list[str], found: str) -> None:
    match = Panel(genes).match(found)
    assert match.gene is None or match.gene in genes
    assert all(Panel(genes).match(gene).gene == gene for gene in genes)
