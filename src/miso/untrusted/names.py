"""Names that others gave to things, which become parts of our paths, files and pages."""

LONGEST = 120
"""Bytes; file systems take 255, and suffixes come on top."""


LONGEST_GENE = 250
"""Characters; ids, symbols and programs have fewer."""


def is_gene_name(name: object) -> bool:
    """Whether every file, page and picture can show it: something printable, and not endless."""
    return isinstance(name, str) and 0 < len(name) <= LONGEST_GENE and name.isprintable()


def is_file_name(name: object) -> bool:
    """Whether it can name a file in any folder: printable, no part of a path, not hidden, not too long."""
    return (
        isinstance(name, str)
        and 0 < len(name.encode("utf-8", "replace")) <= LONGEST
        and name.isprintable()
        and not name.startswith(".")
        and not set(name) & set("/\\")
    )
