"""Sections are read when asked for and held as far as memory goes; those without their image say so."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from miso.errors import CohortError
from miso.samples import Sample, open_cohort, open_sample
from miso.samples.vendors.original.export import export_original
from miso.samples.vendors.original.sample import import_original
from miso.training import TrainConfig, sections, train
from miso.training.sections import Held, Section, Sections

Configure = Callable[..., TrainConfig]
CPU = torch.device("cpu")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the sections that were read, as they were."""
    names: list[str] = []
    load = sections.load_section

    def counted(sample: Sample, *args: object, **keys: object) -> Section:
        names.append(sample.name)
        return load(sample, *args, **keys)  # type: ignore[arg-type]

    monkeypatch.setattr(sections, "load_section", counted)
    return names


def opened(samples: Path, held: Held) -> Sections:
    cohort = open_cohort(samples)
    return Sections(cohort, list(cohort.samples), 37, CPU, held=held)


def test_what_is_known_of_sections_is_known_without_reading_them(samples: Path, read: list[str]) -> None:
    found = opened(samples, Held(0))
    assert found.names == ("A1", "B1", "C1", "D1")
    assert found.patients == ["A", "B", "C", "D"]
    assert found.n_spots == [63] * 4
    assert len(found[1:3]) == 2
    assert read == []
    assert not any("adata" in sample.__dict__ for sample in found.cohort.samples.values())


def test_a_small_cohort_is_read_once_however_often_it_is_passed_over(samples: Path, read: list[str]) -> None:
    found = opened(samples, Held(2**30))
    part = found.of(["D1", "A1"])
    for _ in range(3):
        assert [section.name for section in found] == ["A1", "B1", "C1", "D1"]
        assert [section.name for section in part] == ["D1", "A1"]
    assert read == ["A1", "B1", "C1", "D1"]
    assert found.held.n_bytes == sum(section.n_bytes for section in found)


def test_what_does_not_fit_is_read_again_and_the_rest_is_not(samples: Path, read: list[str]) -> None:
    one = opened(samples, Held(0))[0].n_bytes
    read.clear()
    found = opened(samples, Held(2 * one))
    for _ in range(2):
        for index in range(4):
            assert found[index].name == found[index].name == "ABCD"[index] + "1"
    assert read == ["A1", "B1", "C1", "D1", "C1", "D1"]
    assert found.held.n_bytes == 2 * one


def test_a_section_is_the_same_however_it_came(samples: Path, sections: list[Section]) -> None:
    for found, expected in zip(opened(samples, Held(0)), sections, strict=True):
        assert (found.name, found.patient) == (expected.name, expected.patient)
        for name in ("features", "stain", "neighbors", "center_um", "total", "y"):
            assert torch.equal(getattr(found, name), getattr(expected, name))


def test_a_quarter_of_what_is_available_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("miso.training.sections.available_bytes", lambda: 4000)
    assert Held.on(CPU).budget == 1000


@pytest.fixture(scope="module")
def imported(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cohort after a way through the original MISO's folders, which know no stain features."""
    at = tmp_path_factory.mktemp("original")
    for name in ("A1", "B1", "C1", "D1"):
        sample = open_sample(samples / name)
        export_original(sample, at / "npy" / name, flavour="her2st")
        import_original(
            at / "npy" / name,
            at / "samples" / name,
            encoder="stain",
            tile_px=64,
            patch_px=sample.grid.patch_px,
            slide_mpp=sample.mpp,
            patient=name[0],
        )
    return at / "samples"


def test_baselines_on_samples_without_stain_features_are_refused_with_the_way_out(
    configure: Configure, imported: Path
) -> None:
    with pytest.raises(CohortError, match=r"'A1' was imported without its image .*; set baselines=false"):
        train(configure(imported, baselines=True))


def test_without_baselines_imported_samples_train_like_those_they_came_from(
    configure: Configure, imported: Path, samples: Path, tmp_path: Path
) -> None:
    scores = []
    for folder in (samples, imported):
        config = configure(folder, run_dir=str(tmp_path / folder.parent.name))
        train(config)
        table = pd.read_parquet(Path(config.run_dir or "") / "metrics.parquet")
        scores.append(table[table["metric"] == "pearson"].set_index(["sample", "gene", "model"])["value"])
    pd.testing.assert_series_equal(scores[1], scores[0], rtol=1e-4, atol=1e-4)
