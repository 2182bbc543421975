"""`miso rewrite-slide`: what it writes, what it keeps, what it refuses, and what an interruption leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openslide
import pytest
import pyvips
from PIL import Image

from miso.errors import ConfigError
from miso.launch.provenance import fingerprint
from miso.slides import open_slide
from miso.units import Resolution
from miso.verbs._rewrite import rewrite_slide

SIZE_PX = (1400, 1200)
KNOWN = Resolution(mpp=0.5, source="--mpp")


@pytest.fixture
def slide(tmp_path):
    """A flat TIFF without resolution."""
    y, x = np.indices(SIZE_PX[::-1])
    image = np.stack([x % 256, y % 256, (x + y) // 11 % 256], axis=-1).astype(np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in" / "S1.tif")
    return tmp_path / "in" / "S1.tif"


@pytest.fixture
def visium(tmp_path):
    """A Space Ranger folder whose hexagonal lattice of 100 µm spans 200 px: 0.5 µm/px."""
    spatial = tmp_path / "outs" / "spatial"
    spatial.mkdir(parents=True)
    lines = []
    for row in range(6):
        for col in range(row % 2, 12, 2):
            x, y = 100 + col * 100, 100 + row * 100 * np.sqrt(3)
            lines.append(f"{'ACGT'[row % 4]}{row}{col:02d}-1,1,{row},{col},{y:.0f},{x:.0f}")
    (spatial / "tissue_positions_list.csv").write_text("\n".join(lines) + "\n")
    factors = {"spot_diameter_fullres": 130.0, "tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.25}
    (spatial / "scalefactors_json.json").write_text(json.dumps(factors))
    for name, scale in (("hires", 0.5), ("lowres", 0.25)):
        small = Image.new("RGB", (int(SIZE_PX[0] * scale), int(SIZE_PX[1] * scale)), "white")
        small.save(spatial / f"tissue_{name}_image.png")
    return tmp_path / "outs"


def contents(folder: Path) -> dict[str, str]:
    return {str(path): fingerprint(path) for path in folder.rglob("*") if path.is_file()}


def test_a_pyramid_is_written_beside_nothing_else_and_the_same_command_keeps_it(run_miso, slide, tmp_path):
    out, before = tmp_path / "new" / "out", contents(slide.parent)
    words = ("rewrite-slide", "--mpp", 0.5, "--path-slide", slide, "--path-output-folder", out)
    code, _, told = run_miso(*words)
    assert (code, [path.name for path in out.iterdir()]) == (0, ["S1_pyr.tif"])
    assert "1400 × 1200 px in 4 levels" in told
    assert "0.5 µm/px (--mpp)" in told
    pyramid = openslide.OpenSlide(str(out / "S1_pyr.tif"))
    assert pyramid.level_count == 4
    assert float(pyramid.properties["openslide.mpp-x"]) == pytest.approx(0.5, rel=1e-3)
    made = (out / "S1_pyr.tif").stat()
    code, _, told = run_miso(*(str(word).replace("--path-", "--path_") for word in words))
    assert (code, (out / "S1_pyr.tif").stat().st_mtime_ns) == (0, made.st_mtime_ns)
    assert "already there" in told
    assert contents(slide.parent) == before


@pytest.mark.parametrize("inside", ["", "spatial"])
def test_the_resolution_comes_from_a_space_ranger_folder(run_miso, slide, visium, tmp_path, inside):
    before = contents(visium)
    words = ("--path-visium", visium / inside, "--path-slide", slide, "--path-output-folder", tmp_path / "o")
    code, _, told = run_miso("rewrite-slide", *words)
    assert code == 0, told
    with open_slide(tmp_path / "o" / "S1_pyr.tif") as made:
        assert made.mpp == pytest.approx(0.5, rel=0.01)
        assert "as rewritten" in made.resolution.source
    assert contents(visium) == before


def test_the_hires_picture_is_not_rewritten_as_the_slide(run_miso, visium, tmp_path):
    hires = visium / "spatial" / "tissue_hires_image.png"
    words = ("--path-visium", visium, "--path-slide", hires, "--path-output-folder", tmp_path / "o")
    code, _, told = run_miso("rewrite-slide", *words)
    assert code == 2
    assert "hires picture" in told
    assert not (tmp_path / "o").exists()


def test_the_users_word_wins_and_who_disagrees_is_told(run_miso, slide, visium, tmp_path):
    words = ("--path-slide", slide, "--path-output-folder", tmp_path / "o")
    code, _, told = run_miso("rewrite-slide", "--mpp", 5, "--path-visium", visium, *words)
    assert code == 0
    assert "warning: resolutions disagree by a factor 10 (a factor near 10" in told
    with open_slide(tmp_path / "o" / "S1_pyr.tif") as made:
        assert made.mpp == pytest.approx(5)


def test_a_slide_that_says_its_resolution_needs_no_other(run_miso, slide, tmp_path):
    pyvips.Image.new_from_file(str(slide)).tiffsave(str(tmp_path / "t.tif"), xres=4000, yres=4000)
    words = ("rewrite-slide", "--path-output-folder", tmp_path / "o", "--path-slide")
    assert "0.25 µm/px (TIFF tags)" in run_miso(*words, tmp_path / "t.tif")[2]
    code, _, told = run_miso(*words, slide)
    assert code == 2
    assert "no resolution in 'S1.tif'; pass --mpp" in told
    assert "--path-visium" in told


def test_a_resolution_too_coarse_for_a_bare_tag_survives_by_the_record(run_miso, slide, tmp_path):
    words = ("--mpp", 8, "--path-slide", slide, "--path-output-folder", tmp_path / "o")
    assert run_miso("rewrite-slide", *words)[0] == 0
    with open_slide(tmp_path / "o" / "S1_pyr.tif") as made:
        assert made.mpp == pytest.approx(8)


def test_another_pyramid_of_that_name_is_kept_and_said_to_differ(run_miso, slide, tmp_path):
    words = ("rewrite-slide", "--path-slide", slide, "--path-output-folder", tmp_path / "o")
    assert run_miso(*words, "--mpp", 0.5)[0] == 0
    before = contents(tmp_path / "o")
    for other, differs in {
        ("--mpp", 0.25): "mpp is 0.5, now 0.25",
        ("--mpp", 0.5, "--lossless"): "codec is JPEG quality 94, now deflate",
        ("--mpp", 0.5, "--quality", 80): "codec is JPEG quality 94, now JPEG quality 80",
    }.items():
        code, _, told = run_miso(*words, *other)
        assert code == 2
        assert f"was made otherwise: {differs}; remove it or choose another output folder" in told
    Image.new("RGB", SIZE_PX).save(slide)
    assert "input is" in run_miso(*words, "--mpp", 0.5)[2]
    assert contents(tmp_path / "o") == before


def test_a_file_of_that_name_that_is_not_ours_is_kept(run_miso, slide, tmp_path):
    (tmp_path / "o").mkdir()
    words = ("rewrite-slide", "--mpp", 0.5, "--path-slide", slide, "--path-output-folder", tmp_path / "o")
    Image.new("RGB", (9, 9)).save(tmp_path / "o" / "S1_pyr.tif")
    code, _, told = run_miso(*words)
    assert (code, "was not written by miso rewrite-slide" in told) == (2, True)
    (tmp_path / "o" / "S1_pyr.tif").write_text("spots")
    code, _, told = run_miso(*words)
    assert (code, "is there, but" in told) == (2, True)
    assert (tmp_path / "o" / "S1_pyr.tif").read_text() == "spots"


def test_a_cut_off_pyramid_is_never_taken_for_done(slide, tmp_path, run_miso):
    words = ("rewrite-slide", "--mpp", 0.5, "--path-slide", slide, "--path-output-folder", tmp_path / "o")
    assert run_miso(*words)[0] == 0
    made = tmp_path / "o" / "S1_pyr.tif"
    for share in (0.1, 0.5, 0.9, 0.999):
        content = made.read_bytes()
        made.write_bytes(content[: int(share * len(content))])
        assert run_miso(*words)[0] == 2
        made.write_bytes(content)


def test_a_slide_is_never_written_over_itself(slide, tmp_path, run_miso):
    before = contents(slide.parent)
    slide.rename(slide.with_name("S1_pyr.tif"))
    slide.with_name("S1.tif").symlink_to("S1_pyr.tif")
    words = ("--path-slide", slide, "--path-output-folder", slide.parent, "--mpp", 0.5)
    code, _, told = run_miso("rewrite-slide", *words)
    assert (code, "would be written over itself" in told) == (2, True)
    assert set(before.values()) == set(contents(slide.parent).values())


@pytest.mark.parametrize("settings", [{"quality": 0}, {"quality": 101}, {"tile_px": 100}, {"tile_px": 0}])
def test_impossible_settings_are_refused(slide, tmp_path, settings):
    with pytest.raises(ConfigError, match="a quality is 1 to 100, a tile a multiple of 16 px"):
        rewrite_slide(slide, tmp_path / "out.tif", KNOWN, **settings)


@pytest.mark.parametrize("mpp", ["0", "nan", "-1", "25400"])
def test_an_impossible_resolution_is_refused(run_miso, slide, tmp_path, mpp):
    words = (f"--mpp={mpp}", "--path-slide", slide, "--path-output-folder", tmp_path / "o")
    code, _, told = run_miso("rewrite-slide", *words)
    assert (code, "is no microscope resolution" in told) == (2, True)


@pytest.mark.parametrize("name", ["S1.tif", "S1.jpg", "S1.png"])
def test_a_truncated_source_ends_in_one_line_and_leaves_nothing(run_miso, slide, tmp_path, name):
    source = slide.with_name(name)
    Image.open(slide).save(source)
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    words = ("--mpp", 0.5, "--path-slide", source, "--path-output-folder", tmp_path / "o")
    code, _, told = run_miso("rewrite-slide", *words)
    assert (code, len(told.splitlines())) == (2, 1)
    assert f"'{name}' is truncated" in told
    assert not (tmp_path / "o").exists() or not list((tmp_path / "o").iterdir())


def started(source: Path, out: Path) -> subprocess.Popen[bytes]:
    """Start the command in a process, and wait until it is writing."""
    words = ["rewrite-slide", "--mpp", "0.5", "--path-slide", str(source), "--path-output-folder", str(out)]
    program = (
        "import signal, sys; from miso.cli import main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it\n"
        f"sys.argv = ['miso', *{[*words, '--lossless']}]; main()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    while not list(out.glob(".*")) and process.poll() is None:
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_leaves_no_file_of_that_name(tmp_path, ended_by):
    noise = np.random.default_rng(0).integers(0, 256, (500, 2000, 3), dtype=np.uint8)
    Image.fromarray(np.tile(noise, (20, 2, 1))).save(tmp_path / "S1.tif")
    process = started(tmp_path / "S1.tif", tmp_path / "o")
    os.kill(process.pid, ended_by)
    assert process.wait() in {130, -ended_by}
    assert not (tmp_path / "o" / "S1_pyr.tif").exists()
    if ended_by == signal.SIGINT:
        assert not list((tmp_path / "o").iterdir())


def test_it_needs_neither_torch_nor_pandas(slide, tmp_path):
    """Their imports alone take more memory than the work."""
    program = (
        "import sys; from pathlib import Path; from miso.units import Resolution\n"
        "from miso.verbs._rewrite import rewrite_slide\n"
        "rewrite_slide(Path(sys.argv[1]), Path(sys.argv[2]), Resolution(mpp=0.5, source='known'))\n"
        "print({'torch', 'pandas', 'anndata'} & set(sys.modules))"
    )
    words = [sys.executable, "-c", program, slide, tmp_path / "out.tif"]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip() == "set()"
