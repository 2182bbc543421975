"""Stains are recovered where they are known, slides are brought together, and white stays white."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from miso.errors import SlideError
from miso.phantom import PhantomSpec, Section, make_section
from miso.slides import Slide
from miso.slides.density import glass_density, optical_density, stain_amounts
from miso.slides.stain_jitter import StainJitter
from miso.slides.stain_norm import StainChange, StainTransform, make_stain_transform
from miso.slides.stain_reference import METHODS, StainReference, default_reference, fit_reference

Save = Callable[..., Slide]
Picture = NDArray[np.uint8]
DYES = np.array([[0.68, 0.65, 0.34], [0.15, 0.90, 0.41]])
DYES /= np.linalg.norm(DYES, axis=1, keepdims=True)
WHITE = np.full((2, 16, 16, 3), 255, dtype=np.uint8)


def painted(glass: float = 255) -> Picture:
    """Pixels of known amounts: some of one dye, some of the other, some of both, and glass."""
    rng = np.random.default_rng(0)
    amounts = rng.gamma(2, 0.15, (300, 300, 2))
    alone = rng.random((300, 300))
    amounts[alone < 0.2, 0] = 0
    amounts[alone > 0.8, 1] = 0
    light = glass * 10 ** -(amounts @ DYES)
    light[:30] = glass
    return np.clip(light.round(), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def sections() -> tuple[Section, Section]:
    """The same laboratory's tissue, and another's: patients differ in stain."""
    spec = PhantomSpec(seed=2, n_patients=2, n_sections=1, size_um=1200, n_visible=2, n_null=0)
    return make_section(spec, 0, 0), make_section(spec, 1, 0)


def stain_of(rgb: Picture) -> NDArray[np.float32]:
    """Mean amounts of haematoxylin and eosin, and the mean colour of what is stained."""
    density = optical_density(rgb)
    beyond = density - glass_density(density)
    stained = beyond.sum(axis=-1) > 0.3
    return np.concatenate([stain_amounts(beyond[stained]).mean(0), beyond[stained].mean(0)])


def tiles_of(section: Section) -> Picture:
    four = section.image[600:1048, 600:1048].reshape(2, 224, 2, 224, 3)
    return four.swapaxes(1, 2).reshape(4, 224, 224, 3)


def test_macenko_recovers_known_stains() -> None:
    fitted = fit_reference(painted(), "macenko")
    assert fitted.stains is not None
    for found, dye in zip(fitted.stains, DYES, strict=True):
        assert np.degrees(np.arccos(min(np.dot(found, dye), 1))) < 3
    assert fitted.strongest == pytest.approx((1.0, 1.0), abs=0.15)  # the 99th percentile of 0.15 · Γ(2)


def test_macenko_follows_a_tinted_glass() -> None:
    clear, dim = (fit_reference(painted(glass=glass), "macenko") for glass in (255, 150))
    assert dim.glass == pytest.approx((150, 150, 150), abs=1.5)
    np.testing.assert_allclose(dim.stains, clear.stains, atol=0.03)


def test_reinhard_recovers_the_mean_and_spread_of_a_grey_pattern() -> None:
    """In lαβ a grey has α ≈ β ≈ 0 and l = √3 · log10(grey / 255)."""
    rng = np.random.default_rng(0)
    log = np.clip(rng.normal(-0.4, 0.1, (200, 200)), -1, -0.17)
    grey = np.repeat((255 * 10**log).round()[..., None], 3, axis=-1).astype(np.uint8)
    fitted = fit_reference(np.concatenate([grey, np.full((20, 200, 3), 255, np.uint8)]), "reinhard")
    assert fitted.means == pytest.approx((3**0.5 * log.mean(), 0, 0), abs=0.01)
    assert fitted.spreads == pytest.approx((3**0.5 * log.std(), 0, 0), abs=0.01)


@pytest.mark.parametrize("method", METHODS)
def test_two_laboratories_are_brought_together(
    save: Save, sections: tuple[Section, Section], method: str
) -> None:
    first, second = (save(part.image, name=f"{part.name}.tif") for part in sections)
    change = make_stain_transform(second, method, fit_reference(first, method))
    before = np.abs(stain_of(sections[1].image) - stain_of(sections[0].image))
    after = np.abs(stain_of(change(sections[1].image)) - stain_of(sections[0].image))
    assert after[:2].sum() < 0.6 * before[:2].sum()  # the two have other shares of compartments too
    assert after[2:].sum() < 0.6 * before[2:].sum()


@pytest.mark.parametrize("method", METHODS)
def test_a_slide_to_its_own_stain_stays_as_it_is(
    save: Save, sections: tuple[Section, Section], method: str
) -> None:
    image = sections[0].image[:1200]
    own = fit_reference(save(sections[0].image, name="s.tif"), method)
    changed = StainTransform(source=own, reference=own)(image)
    assert np.abs(changed.astype(int) - image).max() <= 2
    np.testing.assert_array_equal(StainTransform(source=own, reference=own)(WHITE), WHITE)


levels = st.floats(min_value=140, max_value=255)


@settings(max_examples=30)
@given(
    glass=st.tuples(levels, levels, levels),
    to=st.tuples(levels, levels, levels),
    method=st.sampled_from(METHODS),
)
def test_white_stays_white_whatever_the_glass(
    glass: tuple[float, float, float], to: tuple[float, float, float], method: str
) -> None:
    built_in = default_reference(method)
    change = StainTransform(source=replace(built_in, glass=glass), reference=replace(built_in, glass=to))
    np.testing.assert_array_equal(change(WHITE), WHITE)


def test_glass_becomes_the_references_glass() -> None:
    built_in = default_reference("macenko")
    dim, clear = (replace(built_in, glass=glass) for glass in ((150, 148, 140), (250, 249, 248)))
    change = StainTransform(source=dim, reference=clear)
    glass = np.full((4, 4, 3), (150, 148, 140), dtype=np.uint8)
    np.testing.assert_array_equal(change(glass), np.full((4, 4, 3), (250, 249, 248)))


def test_macenko_scales_amounts_exactly() -> None:
    source = StainReference(
        method="macenko",
        name="a",
        glass=(255, 255, 255),
        stains=(tuple(DYES[0]), tuple(DYES[1])),
        strongest=(1.0, 0.5),
    )
    target = replace(source, name="b", strongest=(0.5, 1.0))
    rgb = (255 * 10 ** -(np.array([0.6, 0.2]) @ DYES)).round().astype(np.uint8)
    wanted = 255 * 10 ** -(np.array([0.3, 0.4]) @ DYES)
    changed = StainTransform(source=source, reference=target)(np.tile(rgb, (3, 3, 1)))
    np.testing.assert_allclose(changed[0, 0], wanted, atol=2.5)


def test_batches_and_single_pictures_agree(sections: tuple[Section, Section]) -> None:
    tiles = tiles_of(sections[0])
    for method in METHODS:
        source = replace(default_reference(method), glass=(240.0, 236.0, 241.0))
        change = StainTransform(source=source, reference=default_reference(method))
        together = change(tiles)
        assert together.dtype == np.uint8
        np.testing.assert_array_equal(together, np.stack([change(tile) for tile in tiles]))


@pytest.mark.parametrize("method", METHODS)
def test_references_survive_json(method: str) -> None:
    fitted = fit_reference(painted(), method, name="Ä")
    assert StainReference.from_json(fitted.to_json()) == fitted


GOOD = {
    "schema": 1,
    "method": "macenko",
    "name": "x",
    "glass": [255, 255, 255],
    "stains": [[1, 0, 0], [0, 1, 0]],
    "strongest": [1, 1],
}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", "[1, 2]"]
    + [
        json.dumps(GOOD | changed)
        for changed in (
            {"schema": 2},
            {"method": "vahadane"},
            {"method": "reinhard"},
            {"glass": [255, 255]},
            {"glass": [255, 255, float("nan")]},
            {"glass": [255, 255, 0]},
            {"glass": None},
            {"stains": [[1, 0, 0], [1, 0, 0]]},
            {"stains": [[2, 0, 0], [0, 1, 0]]},
            {"strongest": [1, 0]},
            {"strongest": "12"},
        )
    ],
)
def test_other_json_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SlideError, match=r"^'r.json' is no stain reference of MISO \([^\n]*$"):
        StainReference.from_json(text, "'r.json'")


def test_options_become_a_change_with_its_provenance(
    save: Save, sections: tuple[Section, Section], tmp_path: Path
) -> None:
    slide = save(sections[1].image, name="s.tif")
    stored = tmp_path / "reference.json"
    stored.write_text(fit_reference(painted(), "macenko", name="other").to_json())
    change = make_stain_transform(slide, "macenko", stored, 7)
    told = json.loads(json.dumps(change.provenance))
    assert told["method"] == "macenko"
    assert (told["source"]["name"], told["reference"]["name"]) == ("s.tif", "other")
    assert told["augment"] == {"seed": 7, "strength": 0.05, "key": "s.tif", "per_tile": False}
    assert change == make_stain_transform(slide, "macenko", stored, 7)
    assert make_stain_transform(slide).provenance == {"method": "none"}
    assert make_stain_transform(slide) == StainChange()
    tile = sections[1].image[:224, :224]
    assert make_stain_transform(slide)(tile) is tile


def test_an_image_can_be_the_reference(save: Save, sections: tuple[Section, Section], tmp_path: Path) -> None:
    Image.fromarray(sections[0].image).save(tmp_path / "reference.png")
    slide = save(sections[1].image, name="s.tif")
    change = make_stain_transform(slide, "reinhard", tmp_path / "reference.png")
    assert change.provenance["reference"]["name"] == "reference.png"


def test_options_that_do_not_fit_are_refused(
    save: Save, sections: tuple[Section, Section], tmp_path: Path
) -> None:
    slide = save(sections[1].image[:800, :800].copy(), name="s.tif")
    stored = tmp_path / "reference.json"
    stored.write_text(default_reference("reinhard").to_json())
    with pytest.raises(SlideError, match=r"'built-in' was fitted by reinhard, not by macenko"):
        make_stain_transform(slide, "macenko", stored)
    with pytest.raises(SlideError, match=r"'vahadane': it is one of none, macenko, reinhard"):
        make_stain_transform(slide, "vahadane")
    with pytest.raises(SlideError, match=r"of no use without --stain-norm"):
        make_stain_transform(slide, "none", stored)
    with pytest.raises(SlideError, match=r"cannot read the stain reference .*absent.json"):
        make_stain_transform(slide, "macenko", tmp_path / "absent.json")
    with pytest.raises(SlideError, match=r"a seed is 0 or above"):
        make_stain_transform(slide, augment_seed=-1)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("level", [255, 240, 10])
def test_a_slide_without_tissue_has_no_stain(save: Save, method: str, level: int) -> None:
    slide = save(np.full((900, 900, 3), level, dtype=np.uint8))
    with pytest.raises(SlideError, match=r"too little stained tissue in 'slide.png'"):
        make_stain_transform(slide, method)


def test_one_stain_alone_is_no_pair() -> None:
    rng = np.random.default_rng(0)
    light = 250 * 10 ** -(rng.gamma(4, 0.1, (300, 300, 1)) * DYES[0]) + rng.normal(0, 1.5, (300, 300, 3))
    light[:40] = 250
    with pytest.raises(SlideError, match=r"only one stain found in 'the picture'"):
        fit_reference(np.clip(light, 0, 255).astype(np.uint8), "macenko")


def test_jitter_is_small_the_same_for_its_seed_and_spares_white(sections: tuple[Section, Section]) -> None:
    tiles = tiles_of(sections[0])
    jitter = StainJitter(seed=1, key="a")
    changed = jitter(tiles)
    np.testing.assert_array_equal(changed, np.stack([jitter(tile) for tile in tiles]))
    assert 0.5 < np.abs(changed.astype(float) - tiles).mean() < 15
    assert not np.array_equal(changed, StainJitter(seed=2, key="a")(tiles))
    assert not np.array_equal(changed, StainJitter(seed=1, key="b")(tiles))
    np.testing.assert_array_equal(StainJitter(seed=1, strength=0.3)(WHITE), WHITE)
    assert np.abs(StainJitter(seed=1, strength=0.0)(tiles).astype(int) - tiles).max() <= 1


def test_jitter_by_tile_does_not_depend_on_the_batch(sections: tuple[Section, Section]) -> None:
    tiles = tiles_of(sections[0])
    jitter = StainJitter(seed=1, per_tile=True)
    changed = jitter(tiles)
    np.testing.assert_array_equal(changed[2:], jitter(tiles[2:]))
    shift = (changed.astype(float) - tiles).mean(axis=(1, 2))
    assert np.ptp(shift, axis=0).max() > 1  # each tile its own


@pytest.mark.parametrize("method", METHODS)
def test_tiles_are_changed_faster_than_they_are_read(method: str) -> None:
    tiles = np.random.default_rng(0).integers(60, 256, (8, 224, 224, 3), dtype=np.uint8)
    source = replace(default_reference(method), glass=(240.0, 236.0, 241.0))
    change = StainTransform(source=source, reference=default_reference(method))
    change(tiles)
    start = time.process_time()
    change(tiles)
    assert time.process_time() - start < 8 / 60  # 60 tiles/s, a fifth of what a free core does
