"""GeoJSON as QuPath and others write it becomes named polygons; what is none is refused in one line."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import shapely

from miso.errors import RegionError
from miso.maps.regions import Region, read_regions, region_mask

RING = [[10, 20], [110, 20], [110, 70], [10, 70], [10, 20]]
BOX = {"type": "Polygon", "coordinates": [RING]}
BOW_TIE = {"type": "Polygon", "coordinates": [[[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]]}


def feature(geometry: object = BOX, **properties: object) -> dict[str, object]:
    return {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation", **properties}}


def read(tmp_path: Path, content: object) -> tuple[Region, ...]:
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "a.geojson").write_text(text)
    return read_regions(tmp_path / "a.geojson")


@pytest.mark.parametrize(
    "content",
    [
        {"type": "FeatureCollection", "features": [feature()]},
        [feature()],
        feature(),
        BOX,
        {"type": "GeometryCollection", "geometries": [BOX]},
        {"type": "MultiPolygon", "coordinates": [[RING]]},
        feature({**BOX, "coordinates": [[[x, y, 0.0] for x, y in RING]]}),
        feature({**BOX, "coordinates": [RING[:-1]]}),
    ],
    ids=["collection", "list", "feature", "bare", "geometries", "multi", "three numbers", "not closed"],
)
def test_every_way_to_wrap_a_polygon_is_read(tmp_path: Path, content: object) -> None:
    (region,) = read(tmp_path, content)
    assert region.polygon.bounds == (10, 20, 110, 70)
    assert region.polygon.area == 5000


def test_a_region_is_called_by_its_name_or_class_or_number(tmp_path: Path) -> None:
    regions = read(
        tmp_path,
        [
            feature(name="core 1", classification={"name": "Tumor", "color": [200, 0, 0]}),
            feature(classification={"name": "Stroma"}),
            feature(classification={"names": ["Immune", "CD3"]}),
            feature(classification="Fat"),
            feature(objectType="cell"),
            feature(name=" ", classification=None),
            BOX,
        ],
    )
    names = ["core 1", "Stroma", "Immune: CD3", "Fat", "cell 5", "annotation 6", "region 7"]
    assert [region.name for region in regions] == names
    assert [region.kind for region in regions] == ["Tumor", "Stroma", "Immune: CD3", "Fat", "", "", ""]


def test_holes_and_parts_are_kept(tmp_path: Path) -> None:
    hole = [[20, 30], [30, 30], [30, 40], [20, 40], [20, 30]]
    far = [[200, 0], [210, 0], [210, 10], [200, 10], [200, 0]]
    (region,) = read(tmp_path, {"type": "MultiPolygon", "coordinates": [[RING, hole], [far]]})
    assert region.polygon.area == 5000 - 100 + 100
    assert not region.polygon.contains(shapely.Point(25, 35))


def test_a_polygon_that_crosses_itself_is_mended(tmp_path: Path) -> None:
    (region,) = read(tmp_path, feature(BOW_TIE))
    assert region.polygon.is_valid
    assert region.polygon.area == 50
    (both,) = read(tmp_path, {"type": "MultiPolygon", "coordinates": [[RING], [RING]]})  # a part twice
    assert (both.polygon.is_valid, both.polygon.area) == (True, 5000)


def test_points_lines_and_flat_polygons_are_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flat = {"type": "Polygon", "coordinates": [[[0, 0], [9, 0], [0, 0], [0, 0]]]}
    objects = [
        feature({"type": "Point", "coordinates": [1, 2]}),
        feature(name="a"),
        feature(flat),
        feature(None),
    ]
    with caplog.at_level(logging.WARNING):
        (region,) = read(tmp_path, objects)
    assert region.name == "a"
    assert "3 of 4 objects are no areas" in caplog.text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json", "is no JSON"),
        ("\x1f\x8b", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ({"a": 1}, "is JSON but no GeoJSON"),
        ("3", "is JSON but no GeoJSON"),
        ({"type": "FeatureCollection", "features": []}, "has no polygon among its 0 object"),
        (feature({"type": "Point", "coordinates": [1, 2]}), "has no polygon among its 1 object"),
        ({"type": "Polygon", "coordinates": [[["a", "b"]] * 4]}, "has no proper coordinates"),
        ({"type": "Polygon", "coordinates": [[[1], [2], [3]]]}, "has no proper coordinates"),
        ({"type": "Polygon", "coordinates": None}, "has no proper coordinates"),
        ({"type": "Polygon", "coordinates": []}, "has no proper coordinates"),
        ({"type": "Polygon"}, "has no proper coordinates"),
        ('{"type": "Polygon", "coordinates": [[[0, 0], [NaN, 1], [2, 2]]]}', "has no proper coordinates"),
    ],
)
def test_what_is_no_polygon_is_refused_in_a_line(tmp_path: Path, content: object, said: str) -> None:
    with pytest.raises(RegionError, match=said) as refused:
        read(tmp_path, content)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RegionError, match="no GeoJSON file at"):
        read_regions(tmp_path / "none.geojson")


def box(*bounds: float) -> Region:
    return Region(name="box", polygon=shapely.box(*bounds))


def test_a_mask_is_true_inside_any_region_and_nowhere_else() -> None:
    mask = region_mask([box(80, 160, 240, 320), box(400, 0, 480, 80)], (1000, 640), mpp=0.5)
    assert mask.mask.shape == (80, 125)  # 4 µm are 8 px
    wanted = np.zeros((80, 125), dtype=bool)
    wanted[20:40, 10:30] = wanted[:10, 50:60] = True
    np.testing.assert_array_equal(mask.mask, wanted)
    assert mask.slide_size_px == (1000, 640)


def test_a_mask_of_a_disc_with_a_hole_has_its_area() -> None:
    ring = shapely.Point(3000, 2000).buffer(1500).difference(shapely.Point(3000, 2000).buffer(500))
    mask = region_mask([Region(name="ring", polygon=ring)], (6001, 4003), mpp=0.25)
    assert mask.mask.sum() * np.prod(mask.step_xy) == pytest.approx(ring.area, rel=2e-3)
    assert max(mask.step_xy) * 0.25 == pytest.approx(4, rel=0.01)


def test_a_mask_of_a_huge_slide_gets_coarser_and_not_larger() -> None:
    mask = region_mask([box(0, 0, 100_000, 150_000)], (200_000, 150_000), mpp=0.25, max_px=10_000)
    assert mask.mask.size == pytest.approx(10_000, rel=0.02)
    assert mask.mask.mean() == pytest.approx(0.5, abs=0.01)


def test_a_region_that_hangs_over_the_border_is_cut_and_one_off_the_slide_refused() -> None:
    assert region_mask([box(-100, -100, 80, 80)], (800, 800), mpp=0.5).mask.sum() == 100
    off = box(-100, 0, 0, 80), box(801, 0, 900, 80)
    assert region_mask([*off, box(0, 0, 80, 80)], (800, 800), mpp=0.5).mask.sum() == 100
    with pytest.raises(RegionError, match="off the slide of 800 × 800 px; they have to be in pixels"):
        region_mask(off, (800, 800), mpp=0.5)
