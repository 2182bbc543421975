"""JSON and YAML that are huge, deep, cyclic, or stand for more than they hold, wherever others write them."""

import json
from pathlib import Path

import pytest

from miso.encoders.input_contract import read_json as read_model_json
from miso.errors import CheckpointError, EncoderError, MisoError, RegionError, SampleError, SplitError
from miso.maps.regions import read_regions
from miso.models.bundle import read_bundle
from miso.models.checkpoint import load_checkpoint
from miso.samples import open_sample
from miso.samples.labels import open_labels
from miso.samples.splits import read_splits
from miso.samples.vendors.files.damage import read_json as read_vendor_json
from miso.slides.record import read_record
from miso.slides.stain_reference import StainReference
from miso.training.folder import RunFolder
from miso.untrusted.documents import MOST_BYTES, DocumentError, parse_json, read_json, read_yaml
from miso.view.means import means_of

DEEP = "[" * 200_000
LAUGHS = "a: &a [ha, ha, ha, ha, ha, ha, ha, ha, ha]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
READERS = {
    "sample.json": (lambda folder: open_sample(folder), SampleError),
    "labels.json": (lambda folder: open_labels(folder), SampleError),
    "splits.json": (lambda folder: read_splits(str(folder / "splits.json"), {}), SplitError),
    "config.json": (lambda folder: load_checkpoint(folder), CheckpointError),
    "bundle.json": (lambda folder: read_bundle(folder), CheckpointError),
    "preprocessor_config.json": (
        lambda folder: read_model_json(folder / "preprocessor_config.json"),
        EncoderError,
    ),
    "scalefactors_json.json": (
        lambda folder: read_vendor_json(folder / "scalefactors_json.json"),
        SampleError,
    ),
    "regions.geojson": (lambda folder: read_regions(folder / "regions.geojson"), RegionError),
    "config.yaml": (lambda folder: RunFolder(path=folder).settings(), CheckpointError),
}
ATTACKS = {
    "nested": DEEP,
    "nested objects": '{"a":' * 100_000,
    "no object": "[1, 2]",
    "no text": "\udcff",
}


@pytest.mark.parametrize("what", ATTACKS)
@pytest.mark.parametrize("name", READERS)
def test_document_that_is_no_plain_object_is_refused_in_one_line(name, what, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / name).write_bytes(ATTACKS[what].encode("utf-8", "surrogateescape"))
    read, error = READERS[name]
    with pytest.raises(error) as caught:
        read(tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 600


def test_document_beyond_the_limit_is_refused_before_it_is_parsed(tmp_path, attack):
    path = tmp_path / "sample.json"
    with path.open("wb") as file:
        file.write(b'{"schema": 1, "name": "')
        file.truncate(8 * 2**30)  # a file with a hole, which takes no room
    start = "from miso.samples import open_sample"
    said = attack(start, f"open_sample({str(tmp_path)!r})", mib=600, seconds=20)
    assert f"more than the {MOST_BYTES:,} bytes" in said


def test_document_that_is_a_device_is_refused(tmp_path):
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    with pytest.raises(DocumentError, match="more than the 1,000 bytes"):
        read_json(tmp_path / "endless.json", most_bytes=1000)


def test_billion_laughs_are_refused_and_not_told(tmp_path, attack):
    (tmp_path / "config.yaml").write_text(f"settings:\n  x: 1\n{LAUGHS}")
    start = """
    from pathlib import Path
    from miso.training.folder import RunFolder
    """
    said = attack(start, f"RunFolder(path=Path({str(tmp_path)!r})).settings()", mib=200, seconds=20)
    assert said.startswith("refused:")
    assert "aliases" in said


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [*a]",
        "a: &a {b: *a}",
        "a: !!python/object/apply:os.system [id]",
        "a: !!python/name:os.system",
        DEEP,
    ],
)
def test_yaml_that_is_cyclic_or_names_code_is_refused(text, tmp_path):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(DocumentError):
        read_yaml(tmp_path / "x.yaml")


def test_yaml_beyond_the_limit_is_refused_before_it_is_parsed(tmp_path):
    (tmp_path / "x.yaml").write_text("- a\n" * 10**6)
    with pytest.raises(DocumentError, match="more than the 262,144 bytes"):
        read_yaml(tmp_path / "x.yaml")


def test_whole_number_beyond_64_bits_becomes_one_that_overflows_nowhere():
    assert parse_json('{"n": 123456789012345678}') == {"n": 123456789012345678}
    assert parse_json("1" + "0" * 400) == float("inf")


def test_description_of_a_slide_that_is_nested_says_nothing():
    assert read_record(DEEP) is None


@pytest.mark.parametrize("text", [DEEP, '{"a":' * 100_000])
def test_other_json_of_others_is_refused_too(text):
    with pytest.raises(MisoError, match="no stain reference"):
        StainReference.from_json(text)
    with pytest.raises(RegionError):
        means_of(None, text.encode())


@pytest.mark.parametrize(
    "ring",
    [
        [[10**400, 0], [1, 1], [0, 1]],
        [[0, 0], [[[1]]], [1]],
        [{"a": 1}],
        "xyz",
        [None, None, None],
        [[True]] * 4,
    ],
)
def test_geojson_with_impossible_coordinates_is_refused(ring, tmp_path):
    path = tmp_path / "x.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    with pytest.raises(RegionError):
        read_regions(path)


def test_geojson_of_nested_collections_is_refused(tmp_path):
    path = tmp_path / "x.geojson"
    path.write_text('{"type": "GeometryCollection", "geometries": [' * 50_000)
    with pytest.raises(RegionError, match="nested too deeply"):
        read_regions(path)


def test_no_module_parses_json_or_yaml_of_others_by_itself():
    import miso

    root = Path(miso.__file__).parent
    ours = {"untrusted/documents.py", "samples/vendors/files/hdf5_strings.py"}  # the latter: of its own child
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for line in path.read_text().splitlines()
        if any(call in line for call in ("json.load(", "json.loads(", "yaml.load(", "yaml.safe_load("))
        and "json.loads(json.dumps(" not in line
    }
    assert {name for name in found - ours if not name.startswith(("verbs/", "launch/", "storage/"))} == set()
