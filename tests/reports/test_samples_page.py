"""The page of Samples: what it says and shows of each, hostile names, its size, and when it is written."""

import json
import re
from base64 import b64decode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.sparse import csr_matrix

from miso.errors import ConfigError
from miso.reports.samples_page import Absent, samples_in, write_samples_page
from miso.reports.section import look_at
from miso.reports.spot_picture import REASON_COLORS
from miso.samples import Sample, open_sample
from miso.samples.sample import MANIFEST, SCHEMA

ReadPage = Callable[[str], Any]
HOSTILE = '<img src=x onerror=alert(1)>"&'
SPOTS = 16


def write_sample(folder: Path, name: str, *, note: str = "", bad: int = 0, picture: int = 0) -> Sample:
    """A Sample of 4 × 4 spots: spot i has i molecules of one gene and none of another; `bad` are inked."""
    where = folder / f"s{len(list(folder.glob('*')))}"
    where.mkdir(parents=True)
    counts = np.stack([np.arange(SPOTS), np.zeros(SPOTS)], axis=1).astype(np.float32)
    reasons = ["pen"] * bad + ["tissue"] * (SPOTS - bad)
    obs = pd.DataFrame(
        {
            "total_counts": counts.sum(1),
            "n_genes": (counts > 0).sum(1),
            "tissue_share": np.linspace(0.5, 1, SPOTS),
            "sharpness": np.nan,
            "reason": pd.Categorical(reasons, categories=list(REASON_COLORS)),
        }
    )
    obs.index = pd.Index([f"spot{i}" for i in range(SPOTS)])
    adata = anndata.AnnData(X=csr_matrix(counts), obs=obs, var=pd.DataFrame(index=["SEEN", "NEVER"]))
    adata.obsm["spatial"] = np.stack(np.meshgrid(np.arange(4), np.arange(4)), -1).reshape(-1, 2) * 400.0
    adata.write_h5ad(where / "adata.h5ad")
    manifest = {
        "schema": SCHEMA,
        "name": name,
        "patient": f"P{name[:1]}",
        "layout": "by hand",
        "settings": {"encoder": "stain@1", "tile": {"size_px": 224, "mpp": 0.5}, "patch_px": 16},
        "resolution": {"mpp": 0.5, "source": f"the lattice of {name}"},
        "spot_diameter_um": 100.0,
        "notes": [note] if note else [],
    }
    (where / MANIFEST).write_text(json.dumps(manifest))
    if picture:
        rng = np.random.default_rng(0)
        Image.fromarray(rng.integers(0, 255, (picture // 2, picture, 3), np.uint8)).save(
            where / "alignment.png", compress_level=1
        )
    return open_sample(where)


def pictures(page: str) -> list[Image.Image]:
    return [
        Image.open(BytesIO(b64decode(data)))
        for data in re.findall(r"data:image/(?:png|jpeg);base64,([A-Za-z0-9+/=]+)", page)
    ]


def test_a_section_is_summed_up_by_its_own_numbers(tmp_path: Path) -> None:
    section = look_at(write_sample(tmp_path, "A1", bad=4))
    assert (section.spots, section.genes, section.genes_seen) == (16, 2, 1)
    assert (section.median_counts, section.median_genes) == (7.5, 1.0)
    assert section.reasons == {"tissue": 12, "pen": 4}
    assert section.on_tissue == 0.75


def test_a_section_that_says_nothing_of_its_tiles_is_summed_up_without_them(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, "A1")
    adata = anndata.read_h5ad(sample.path / "adata.h5ad")
    adata.obs = adata.obs[[]]
    adata.write_h5ad(sample.path / "adata.h5ad")
    section = look_at(open_sample(sample.path))
    assert (section.spots, section.reasons) == (16, {})
    assert np.isnan([section.on_tissue, section.median_counts]).all()


def test_the_page_says_what_each_section_is_and_what_is_wrong_with_it(
    tmp_path: Path, read_page: ReadPage
) -> None:
    samples = [
        write_sample(tmp_path / "c", "A1", note="2 of 18 spots were dropped"),
        write_sample(tmp_path / "c", "B1", bad=8),
    ]
    absent = [Absent(name="C1", state="failed", reason="'C1.jpg' is truncated")]
    assert write_samples_page(tmp_path / "report.html", samples, absent, title="mine")
    reader = read_page((tmp_path / "report.html").read_text())
    for said in (
        "2 sections of 2 patients · 32 spots",
        "2 of 18 spots were dropped",
        "the lattice of B1",
        "8 of 16 spots lie off good tissue, most of them on: pen",
        "All 16 tiles show good tissue",
        "'C1.jpg' is truncated",
        "There is no picture of the alignment",
    ):
        assert said in " ".join(reader.text.split())


def test_hostile_names_of_samples_and_reasons_are_shown_as_text(tmp_path: Path, read_page: ReadPage) -> None:
    sample = write_sample(tmp_path / HOSTILE.replace("/", ""), HOSTILE, note=HOSTILE)
    absent = [Absent(name=HOSTILE, state="failed", reason=HOSTILE)]
    write_samples_page(tmp_path / "report.html", [sample], absent, title=HOSTILE)
    page = (tmp_path / "report.html").read_text()
    reader = read_page(page)
    assert "<img src=x" not in page
    assert reader.text.count(HOSTILE) >= 6


def test_the_page_is_written_again_only_when_something_changed(tmp_path: Path) -> None:
    page, samples = tmp_path / "report.html", [write_sample(tmp_path / "c", "A1")]
    assert write_samples_page(page, samples, title="mine")
    before = page.stat().st_mtime_ns
    assert not write_samples_page(page, samples, title="mine")
    assert page.stat().st_mtime_ns == before
    samples.append(write_sample(tmp_path / "c", "A2"))
    assert write_samples_page(page, samples, title="mine")
    assert write_samples_page(page, samples, [Absent(name="B", state="failed", reason="")], title="mine")


def test_a_page_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("<!doctype html><title>mine</title>")
    with pytest.raises(ConfigError, match="no page that miso wrote; move it"):
        write_samples_page(page, [write_sample(tmp_path / "c", "A1")], title="mine")
    assert page.read_text() == "<!doctype html><title>mine</title>"


def test_a_damaged_sample_and_a_damaged_manifest_are_listed_and_the_others_shown(tmp_path: Path) -> None:
    for name in ("A1", "A2", "A3"):
        write_sample(tmp_path / "c", name)
    (tmp_path / "c" / "s1" / "adata.h5ad").write_bytes(b"no")
    (tmp_path / "c" / "s2" / MANIFEST).write_text("{")
    samples, damaged = samples_in(tmp_path / "c")
    assert ([sample.name for sample in samples], [one.name for one in damaged]) == (["A1", "A2"], ["s2"])
    assert write_samples_page(tmp_path / "report.html", samples, damaged, title="mine")
    page = (tmp_path / "report.html").read_text()
    assert page.count('<td class="text">damaged</td>') == 2
    assert 'id="section-0"' in page
    assert 'id="section-1"' not in page


def test_a_cohort_of_twenty_sections_with_the_noisiest_pictures_stays_small(tmp_path: Path) -> None:
    first = write_sample(tmp_path, "A1", bad=3, picture=2400)
    samples = [first] * 20  # noise does not compress: no slide is as large
    write_samples_page(tmp_path / "report.html", samples, title="mine")
    text = (tmp_path / "report.html").read_text()
    assert text.count('alt="Outlines of the spots') == 20
    assert len(text.encode()) < 15e6


def test_spots_are_drawn_where_they_lie_in_the_colours_of_their_counts_and_reasons(tmp_path: Path) -> None:
    write_samples_page(tmp_path / "r.html", [write_sample(tmp_path / "c", "A1", bad=1)], title="mine")
    counts, _, reasons = (
        np.asarray(p.convert("RGB")).astype(int) for p in pictures((tmp_path / "r.html").read_text())
    )
    side = counts.shape[0]
    at = [
        round(side * (200 + 400 * i) / 1600) for i in range(4)
    ]  # a spot's diameter is 200 px, beside all a margin
    first, last = counts[at[0], at[0]], counts[at[3], at[3]]
    assert np.abs(first - (68, 1, 84)).max() < 12  # the ends of viridis
    assert np.abs(last - (253, 231, 37)).max() < 12
    pen, tissue = (tuple(int(REASON_COLORS[r][i : i + 2], 16) for i in (1, 3, 5)) for r in ("pen", "tissue"))
    assert np.abs(reasons[at[0], at[0]] - pen).max() < 12
    assert np.abs(reasons[at[0], at[1]] - tissue).max() < 12
    assert counts[0].min() > 200  # glass is left white
