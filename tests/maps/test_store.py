"""The layout of a map on disk."""

import pytest

from miso.maps.store import BUFFER_BYTES, chunk_shape


@pytest.mark.parametrize(
    ("n_genes", "rows", "columns", "expected"),
    [
        (1, 3000, 3000, (256, 256)),
        (785, 3000, 3000, (16, 3000)),
        (100, 9, 7, (9, 7)),
        (50, 3000, 3000, (256, 256)),
    ],
)
def test_chunks_are_square_where_memory_allows(
    n_genes: int, rows: int, columns: int, expected: tuple[int, int]
) -> None:
    shape = chunk_shape(n_genes, rows, columns)
    assert shape == expected
    assert 4 * n_genes * shape[0] * columns <= BUFFER_BYTES
