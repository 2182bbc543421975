"""Pictures, histograms and curves inside a page: their bytes, colours and texts."""

from base64 import b64decode
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from miso.reports.curves import draw_curves
from miso.reports.histogram import HEIGHT, histogram
from miso.reports.numbers import integer, number, percent, share, short
from miso.reports.picture import Picture, colored, jpeg, png, ramp, read_picture, with_scale_bar


def bytes_of(picture: Picture) -> bytes:
    return b64decode(picture.uri.partition(",")[2])


def test_a_jpeg_keeps_to_its_bytes_whatever_it_shows() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (900, 1400, 3), np.uint8))
    for most in (300_000, 60_000):
        picture = jpeg(noise, most)
        assert len(bytes_of(picture)) <= most
        assert picture.width / picture.height == pytest.approx(1400 / 900, rel=0.02)
        with Image.open(BytesIO(bytes_of(picture))) as image:
            assert image.size == (picture.width, picture.height)
    plain = jpeg(Image.new("RGB", (1400, 900)), 300_000)
    assert (plain.width, plain.height) == (1400, 900)


def test_what_is_no_picture_or_not_there_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"png")
    assert read_picture(tmp_path / "a.png", 100, 1000) is None
    assert read_picture(tmp_path / "b.png", 100, 1000) is None
    Image.new("RGB", (400, 200)).save(tmp_path / "c.png")
    shrunk = read_picture(tmp_path / "c.png", 100, 10_000)
    assert shrunk is not None
    assert (shrunk.width, shrunk.height) == (100, 50)


def test_values_get_the_colours_of_their_place_between_the_limits_and_nothing_is_white() -> None:
    painted, limits = colored(np.array([0.0, 5.0, 10.0, 99.0, np.nan]), limits=(0.0, 10.0))
    assert limits == (0.0, 10.0)
    assert painted[0].tolist() == [68, 1, 84]
    assert painted[2].tolist() == painted[3].tolist() == [253, 231, 37]
    assert painted[4].tolist() == [255, 255, 255]
    assert len({tuple(color) for color in painted[:3].tolist()}) == 3
    assert (ramp().width, ramp().height) == (256, 1)


def test_a_scale_bar_has_the_length_that_it_says() -> None:
    drawn = np.asarray(with_scale_bar(Image.new("RGB", (500, 400), (200, 50, 50)), um_per_px=2.0))
    bar = (drawn[-12:-7] == 0).all(axis=-1).any(axis=0)
    assert bar.sum() == pytest.approx(200 / 2.0, abs=2)  # a quarter of 1000 µm, rounded down to 200
    assert png(Image.fromarray(drawn)).uri.startswith("data:image/png;base64,")


def test_a_histogram_has_a_bar_where_values_are_and_says_their_median() -> None:
    found = histogram("<counts>", np.array([0.0, 0.0, 0.0, 24.0, np.nan]))
    assert found is not None
    assert found.median == 0
    assert found.drawing.count("M") == 2 + 1 + 1  # two bars, the axis, the median
    assert f"V{HEIGHT * 0.05:.1f}H" in found.drawing  # the highest bar
    assert "&lt;counts&gt;: 0 to 24, median 0" in found.drawing
    assert histogram("none", np.array([np.nan])) is None
    constant = histogram("one value", np.full(5, 3.0))
    assert constant is not None
    assert "nan" not in constant.drawing


def test_curves_run_from_the_first_epoch_to_the_last_and_names_are_text() -> None:
    drawn = draw_curves("loss", {"<fold 0>": [(0, 1.0), (10, 0.0)], "fold 1": []})
    assert '<path d="M44.0 8.0L316.0 150.0"' in drawn
    assert "&lt;fold 0&gt;" in drawn
    assert drawn.count("<title>") == 1
    assert "epoch 10" in drawn
    assert draw_curves("loss", {"fold 0": []}) == ""


def test_figures_have_a_true_minus_thousands_and_a_dash_for_nothing() -> None:
    assert (number(-0.00001), number(-1.5, 1), number(None), number(np.nan)) == ("0.000", "−1.5", "–", "–")
    assert (integer(12345.0), integer(None)) == ("12,345", "–")
    assert (short(0.00012345), short(-1234.5), short(None)) == ("0.000123", "−1,234", "–")
    assert (share(0.1234), share(np.nan), percent(-0.05)) == ("12.3 %", "–", "−5.0 %")
