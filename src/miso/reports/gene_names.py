"""Gene names that a spreadsheet or R has damaged, and the panel's gene that each one was."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, timedelta

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
MONTH_GENES = {
    2: ("FEB",),
    3: ("MARCHF", "MARCH", "MARC", "MTARC"),
    4: ("APR",),
    9: ("SEPTIN", "SEPT", "SEP"),
    10: ("OCT",),
    11: ("NOV",),
    12: ("DELEC", "DEC"),
}
"""Families of genes whose names a spreadsheet takes for dates, by month; old symbols and present ones."""
DAY_ZERO, SERIALS = date(1899, 12, 30), range(36526, 73051)
"""A spreadsheet's dates are counted in days from here; these are the years 2000 to 2099."""
AMOUNT = re.compile(r"([A-Z]{3}|£)\s*(\d+)(?:[.,]0+)?")
DAY_MONTH = re.compile(r"(?P<day>\d{1,2})[-/ .](?P<month>[a-z]{3})[a-z]*(?:[-/ .]\d{2,4})?")
MONTH_DAY = re.compile(r"(?P<month>[a-z]{3})[a-z]*[-/ .](?P<day>\d{1,2})")
ISO_DATE = re.compile(r"(?:19|20)\d\d-(?P<month>\d{2})-(?P<day>\d{2})(?:[t ][\d:.]+)?")
SLASHES = re.compile(r"(\d{1,2})/(\d{1,2})/(?:19|20)?\d\d")
SYMBOL = re.compile(r"([A-Z]+)(\d{1,2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What a name is: the panel's `gene` (None where there is none), and what was repaired or is wrong."""

    gene: str | None
    reason: str


class Panel:
    """A list of genes to look names up in; a name is repaired only where one gene alone fits."""

    def __init__(self, genes: Iterable[str]) -> None:
        self.genes = frozenset(genes)
        self._folded = _index(self.genes, str.casefold)
        self._dotted = _index(self.genes, _dotted)

    def match(self, found: str) -> Match:
        """Find the gene that a name is, or was; the reason is empty where it is intact."""
        if found in self.genes:
            return Match(gene=found, reason="")
        name = found.replace("\xa0", " ").strip(" \t\r\n'\"")
        trials = {
            "stray spaces or quotes": [name] if name in self.genes else [],
            "other capitals": self._folded.get(name.casefold(), []),
            "punctuation changed, as R does": self._dotted.get(_dotted(name), []),
            "taken for an amount of money": self._known(_of_amount(name)),
            "taken for a date, or renamed": self._known(_of_date(name)),
        }
        for reason, genes in trials.items():
            if len(genes) == 1:
                return Match(gene=genes[0], reason=reason)
            if genes:
                return Match(gene=None, reason=f"may be {' or '.join(genes)}")
        return Match(gene=None, reason="not among the run's genes")

    def _known(self, names: Iterable[str]) -> list[str]:
        return sorted({gene for name in names for gene in self._folded.get(name.casefold(), [])})


def _index(genes: Iterable[str], key: Callable[[str], str]) -> dict[str, list[str]]:
    index: dict[str, list[str]] = {}
    for gene in sorted(genes):
        index.setdefault(key(gene), []).append(gene)
    return index


def _dotted(name: str) -> str:
    """Spell a name so that `HLA-B`, `HLA.B` and `HLA_B` are one, and `7SK` is `X7SK`, as R has it."""
    dotted = re.sub(r"[^a-z0-9]+", ".", name.casefold())
    return f"x{dotted}" if dotted[:1].isdigit() else dotted


def _of_amount(name: str) -> list[str]:
    """`GBP 1.00` was GBP1."""
    found = AMOUNT.fullmatch(name)
    return [f"{'GBP' if found[1] == '£' else found[1]}{int(found[2])}"] if found else []


def _of_date(name: str) -> list[str]:
    """`1-Mar`, `2024-03-01 00:00:00` and 45352 were MARCH1 (today MARCHF1) or MARC1 (today MTARC1)."""
    return [
        f"{family}{number}"
        for month, number in (*_dates(name.casefold()), *_old_symbol(name))
        for family in MONTH_GENES.get(month, ())
    ]


def _dates(text: str) -> list[tuple[int, int]]:
    """Read (month, day); both orders where slashes leave it open."""
    for pattern in (DAY_MONTH, MONTH_DAY):
        if (found := pattern.fullmatch(text)) and found["month"] in MONTHS:
            return [(MONTHS.index(found["month"]) + 1, int(found["day"]))]
    if found := ISO_DATE.fullmatch(text):
        return [(int(found["month"]), int(found["day"]))]
    if found := SLASHES.fullmatch(text):
        first, second = int(found[1]), int(found[2])
        return [(first, second), (second, first)]
    if re.fullmatch(r"\d{5}", text) and int(text) in SERIALS:
        day = DAY_ZERO + timedelta(days=int(text))
        return [(day.month, day.day)]
    return []


def _old_symbol(name: str) -> list[tuple[int, int]]:
    """Read a symbol of these families, which were renamed because spreadsheets took them for dates."""
    found = SYMBOL.fullmatch(name.upper())
    months = [month for month, families in MONTH_GENES.items() if found and found[1] in families]
    return [(month, int(found[2])) for month in months if found]
