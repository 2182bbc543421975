"""Means over regions weigh each cell by its area inside, leave unseen cells out, and say what was seen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shapely

from miso.errors import MapError, RegionError
from miso.maps import ExpressionMap
from miso.maps import aggregate as module
from miso.maps.aggregate import aggregate, discs, spots_of
from miso.maps.regions import Region
from miso.samples import open_sample

MapOf = Callable[..., ExpressionMap]
STEP = 16.0


def box(*cells: float, name: str = "box") -> Region:
    """A rectangle from x0, y0 to x1, y1, in cells."""
    return Region(name=name, polygon=shapely.box(*(STEP * side for side in cells)))


@pytest.fixture
def noise(map_of: MapOf) -> ExpressionMap:
    rng = np.random.default_rng(0)
    planes = {gene: rng.random((30, 20), dtype=np.float32) for gene in ("A", "B", "C")}
    planes["A"][:5] = planes["B"][:5] = planes["C"][:5] = np.nan
    planes["B"][10] = np.nan  # one gene that was seen less
    return map_of(planes)


def test_cells_count_by_the_area_inside(noise: ExpressionMap) -> None:
    table = aggregate(noise, [box(2.25, 12, 4, 14.5), box(7, 20, 8, 21)])
    plane, weight = noise["A"].astype(float), np.outer([1, 1, 0.5], [0.75, 1])
    wanted = (plane[12:15, 2:4] * weight).sum() / weight.sum()
    np.testing.assert_allclose(table[:, "A"].X.ravel(), [wanted, plane[20, 7]], rtol=1e-6)
    np.testing.assert_allclose(table.obs["area_um2"], [1.75 * 2.5 * 64, 64])
    np.testing.assert_allclose(table.obsm["spatial"], [[3.125 * 16, 13.25 * 16], [7.5 * 16, 20.5 * 16]])
    np.testing.assert_allclose(table.obs[["x_px", "y_px"]], table.obsm["spatial"])


def test_unseen_cells_are_left_out_gene_by_gene_and_the_share_seen_is_told(noise: ExpressionMap) -> None:
    regions = [box(0, 9, 4, 11), box(0, 4, 1, 6), box(0, 0, 3, 3), box(-4, 20, 4, 21), box(1, 10, 2, 11)]
    table = aggregate(noise, regions)
    np.testing.assert_allclose(table.obs["covered"], [1, 0.5, 0, 0.5, 1], atol=1e-9)
    np.testing.assert_allclose(table[0, "B"].X.item(), noise["B"][9, :4].mean(), rtol=1e-6)
    np.testing.assert_allclose(table[0, "A"].X.item(), noise["A"][9:11, :4].mean(), rtol=1e-6)
    np.testing.assert_allclose(table[1, "C"].X.item(), noise["C"][5, 0], rtol=1e-6)
    np.testing.assert_allclose(table[3, "C"].X.item(), noise["C"][20, :4].mean(), rtol=1e-6)
    assert np.isnan(table[2].X).all()
    assert np.isnan(table[4, "B"].X.item())
    assert np.isfinite(table[4, "A"].X.item())


def test_rows_of_chunks_and_runs_of_genes_change_nothing(
    map_of: MapOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(3)
    tall = map_of({f"G{gene}": rng.random((600, 40), dtype=np.float32) for gene in range(5)})
    assert tall.values.chunks[1] == 256
    regions = discs([str(n) for n in range(40)], rng.uniform((0, 0), (640, 9600), (40, 2)), 300.0)
    regions = (*regions, box(1, 100, 30, 590.5, name="tall"))
    whole = aggregate(tall, regions).X
    monkeypatch.setattr(module, "READ_CELLS", 1)
    np.testing.assert_allclose(aggregate(tall, regions).X, whole, rtol=1e-6)
    wanted = np.append(np.ones(490), 0.5) @ tall["G2"][100:591, 1:30].mean(axis=1) / 490.5
    np.testing.assert_allclose(whole[-1, 2], wanted, rtol=1e-5)


def test_every_value_is_read_once_and_none_far_from_the_regions(
    noise: ExpressionMap, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = np.zeros((3, 30, 20), dtype=int)
    planes = ExpressionMap.planes

    def counted(self: ExpressionMap, genes: slice, rows: slice, columns: slice) -> object:
        read[genes, rows, columns] += 1
        return planes(self, genes, rows, columns)

    monkeypatch.setattr(ExpressionMap, "planes", counted)
    aggregate(noise, [box(3, 8, 6, 9), box(5, 11, 7, 12)])
    assert read.max() == 1
    assert read[:, 8:12, 3:7].all()
    assert not read[:, :, 8:].any()


def test_a_disc_has_its_area_and_the_mean_that_pooling_gives(noise: ExpressionMap) -> None:
    xy = np.random.default_rng(1).uniform(100, 220, (20, 2))
    spots = discs([f"s{n}" for n in range(20)], xy, 90.0)
    table = aggregate(noise, spots)
    np.testing.assert_allclose(table.obs["area_um2"], np.pi * 22.5**2, rtol=1e-9)
    np.testing.assert_allclose(table[:, "C"].X.ravel(), noise.pool(xy, 45.0, "C"), atol=0.01)
    np.testing.assert_allclose(table.obsm["spatial"], xy, atol=1e-6)


def test_names_are_made_unique_and_kinds_kept(noise: ExpressionMap) -> None:
    cells = [Region(name="Tumor", kind="Tumor", polygon=shapely.box(n, 200, n + 9, 209)) for n in range(3)]
    table = noise.aggregate(cells)
    assert list(table.obs_names) == ["Tumor", "Tumor-1", "Tumor-2"]
    assert list(table.obs["name"]) == list(table.obs["kind"]) == ["Tumor"] * 3
    assert table.uns["miso"]["units"] == "log1p CP10k"


def test_thousands_of_cells_are_averaged_in_one_go(noise: ExpressionMap) -> None:
    rng = np.random.default_rng(2)
    xy = rng.uniform((0, 90), (320, 480), (20_000, 2))
    cells = [
        Region(name="cell", polygon=area) for area in shapely.buffer(shapely.points(xy), 6.0, quad_segs=4)
    ]
    table = aggregate(noise, cells)
    assert table.shape == (20_000, 3)
    seen = shapely.area(shapely.intersection(shapely.box(0, 80, 320, 480), cells[7].polygon))
    assert table.obs["covered"].iloc[7] == pytest.approx(seen / cells[7].polygon.area)


def test_a_selection_reads_its_genes_in_its_order(noise: ExpressionMap) -> None:
    chosen = noise.select(["C", "A", "C"])
    assert (chosen.genes, len(chosen), "B" in chosen) == (("C", "A"), 2, False)
    np.testing.assert_array_equal(chosen["A"], noise["A"])
    again = chosen.select(["A"])
    np.testing.assert_array_equal(again["A"], noise["A"])
    planes = chosen.planes(slice(None), slice(4, 9), slice(2, 7))
    np.testing.assert_array_equal(planes, np.stack([noise["C"], noise["A"]])[:, 4:9, 2:7])
    np.testing.assert_array_equal(
        aggregate(chosen, [box(1, 7, 9, 19)]).X, aggregate(noise, [box(1, 7, 9, 19)])[:, ["C", "A"]].X
    )
    with pytest.raises(MapError, match="unknown gene 'B'"):
        chosen["B"]
    with pytest.raises(MapError, match="unknown gene 'D'"):
        noise.select(["A", "D"])


def test_spots_of_a_sample_are_discs_at_their_places(processed: Path, map_of: MapOf) -> None:
    sample = open_sample(processed / "A1")
    x, y = np.meshgrid((np.arange(224) + 0.5) * 8, (np.arange(224) + 0.5) * 8)
    here = map_of({"X": x.astype(np.float32), "Y": y.astype(np.float32)}, step_px=8.0)
    assert here.header.slide.size_px == (1792, 1792)
    table = aggregate(here, spots_of(sample, here))
    assert list(table.obs_names) == list(sample.adata.obs_names)
    inside = table.obs["covered"] > 0.999
    assert inside.sum() > 8
    np.testing.assert_allclose(table.X[inside], sample.adata.obsm["spatial"][inside], atol=0.05)
    np.testing.assert_allclose(table.obs["area_um2"], np.pi * 50**2, rtol=1e-3)


def test_spots_of_another_slide_are_refused(processed: Path, noise: ExpressionMap) -> None:
    with pytest.raises(MapError, match="lies on a slide of 1792 × 1792 px, the map on one of 320 × 480 px"):
        spots_of(open_sample(processed / "A1"), noise)


def test_regions_off_the_slide_or_none_are_refused(noise: ExpressionMap) -> None:
    with pytest.raises(RegionError, match="off the slide"):
        aggregate(noise, [box(100, 100, 110, 110)])
    with pytest.raises(RegionError, match="no region"):
        aggregate(noise, [])
