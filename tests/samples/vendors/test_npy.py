"""`.npy` files of others: names come out as text, numbers as they are, and nothing is ever unpickled."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from miso.errors import SampleError
from miso.samples.vendors.files.npy import map_numbers, read_strings, write_array

NAMES = [f"GENE{i}" for i in range(2500)]
"""More than pickle's batch of 1,000."""


def pickled(array: np.ndarray, protocol: int) -> bytes:
    """An array of objects as `np.save` writes it, by any protocol."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    return file.getvalue() + pickle.dumps(array, protocol=protocol)


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["U", "S", object])
def test_names_are_read_from_text_bytes_and_objects(tmp_path, kind):
    np.save(tmp_path / "n.npy", np.array(NAMES, dtype=kind), allow_pickle=True)
    assert read_strings(tmp_path / "n.npy") == NAMES


@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_of_pickle_gives_the_names(tmp_path, protocol):
    names = [*NAMES, NAMES[7], "µm"]  # one that pickle remembers rather than repeats
    (tmp_path / "n.npy").write_bytes(pickled(np.array(names, dtype=object), protocol))
    assert read_strings(tmp_path / "n.npy") == names


def test_bytes_in_an_array_of_objects_are_names_too(tmp_path):
    np.save(tmp_path / "n.npy", np.array([b"10x31", b"9x4"], dtype=object), allow_pickle=True)
    assert read_strings(tmp_path / "n.npy") == ["10x31", "9x4"]


@given(names=st.lists(st.text(st.characters(codec="utf-8", categories=("L", "N", "P"))), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_names_come_back(tmp_path, names):
    np.save(tmp_path / "n.npy", np.array(names, dtype=object), allow_pickle=True)
    assert read_strings(tmp_path / "n.npy") == names


def test_a_pickle_that_would_run_code_runs_none(tmp_path):
    for name, items in (("one", [Trap(tmp_path / "sprung")]), ("some", ["A", Trap(tmp_path / "sprung")])):
        np.save(tmp_path / f"{name}.npy", np.array(items, dtype=object), allow_pickle=True)
        with pytest.raises(SampleError, match="a pickle of something other than a list of"):
            read_strings(tmp_path / f"{name}.npy")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "items",
    [[1, 2], ["A", None], [["A"], ["B"]], [("A",)], [np.str_("A")]],
    ids=["int", "none", "list", "tuple", "np"],
)
def test_objects_that_are_no_names_are_refused(tmp_path, items):
    array = np.empty(len(items), dtype=object)
    array[:] = items
    np.save(tmp_path / "n.npy", array, allow_pickle=True)
    with pytest.raises(SampleError, match=r"which MISO does not open; save it with np\.save"):
        read_strings(tmp_path / "n.npy")


def test_a_pickle_that_lies_about_its_length_is_refused(tmp_path):
    content = pickled(np.array(NAMES[:9], dtype=object), 4).replace(b"(9,)", b"(8,)")
    (tmp_path / "n.npy").write_bytes(content)
    with pytest.raises(SampleError, match="other than a list of 8 names"):
        read_strings(tmp_path / "n.npy")


def test_a_pickle_that_doubles_itself_takes_no_time(tmp_path):
    doubling = b"\x80\x04]q\x00(h\x00h\x00l" + b"2(h\x00h\x00l" * 50_000 + b"."
    header = pickled(np.array(["A"], dtype=object), 4)[:128]
    (tmp_path / "n.npy").write_bytes(header + doubling)
    with pytest.raises(SampleError):
        read_strings(tmp_path / "n.npy")


def test_names_that_no_file_can_hold_again_are_refused(tmp_path):
    np.save(tmp_path / "n.npy", np.array(["A", "B\x00C"]))
    with pytest.raises(SampleError, match=r"is damaged: it names a spot or gene 'B\\x00C'"):
        read_strings(tmp_path / "n.npy")


def test_two_axes_or_numbers_are_no_names(tmp_path):
    np.save(tmp_path / "two.npy", np.array([["A"]]))
    np.save(tmp_path / "numbers.npy", np.arange(3))
    with pytest.raises(SampleError, match=r"has the shape \(1, 1\); expected one axis of names"):
        read_strings(tmp_path / "two.npy")
    with pytest.raises(SampleError, match="holds no names but int64"):
        read_strings(tmp_path / "numbers.npy")


@given(
    array=st_numpy.arrays(
        st.sampled_from(["<f2", "<f4", ">f8", "<i4", "u1"]), st_numpy.array_shapes(min_dims=2, max_dims=3)
    ),
    fortran=st.booleans(),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_are_mapped_in_any_order_of_bytes_and_axes(tmp_path, array, fortran):
    np.save(tmp_path / "a.npy", np.asfortranarray(array) if fortran else array)
    mapped = map_numbers(tmp_path / "a.npy", array.ndim)
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(mapped, array)


def header(text: str) -> bytes:
    """A header of version 1.0."""
    body = text.encode() + b" " * (117 - len(text)) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 5)}"),
            "is cut off: .* take",
        ),
        (
            header("{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1)}") + bytes(24),
            "is damaged: 2 × 1",
        ),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 5)}"), r"the shape \(-1, 5\)"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 5)}"), "none of them empty"),
        (
            header("{'descr': '|O', 'fortran_order': False, 'shape': (2, 5)}") + b"cos\nsystem\n.",
            "holds no numbers",
        ),
        (header("{'descr': '<M8[s]', 'fortran_order': False, 'shape': (2, 5)}"), "holds no numbers"),
        (header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (2, 5)}"), "holds no numbers"),
        (header("__import__('os').system('true')"), "damaged"),
        (header("{'descr': '<f8', 'fortran_order': False, 'shape': (2,"), "damaged"),
        (header("(" * 100), "damaged"),
        (header("'''"), "damaged"),
        (b"\x93NUMPY\x09\x00" + bytes(200), r"is of version \(9, 0\)"),
        (b"\x93NUMPY\x01\x00", "truncated or damaged"),
        (b"", "truncated or damaged"),
        (b"no array at all, but a text", "truncated or damaged"),
    ],
)
def test_headers_that_lie_are_refused_on_one_line(tmp_path, content, message):
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(SampleError, match=message) as caught:
        map_numbers(tmp_path / "a.npy", 2)
    assert "\n" not in str(caught.value)


def test_an_array_is_written_row_by_row(tmp_path):
    array = np.arange(60, dtype=np.float32).reshape(10, 3, 2)
    with write_array(tmp_path / "a.npy", array.dtype, array.shape) as write:
        for start in range(0, 10, 4):
            write(array[start : start + 4])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), array)


@pytest.mark.parametrize("kind", ["U", object])
def test_flipped_bits_and_cuts_give_one_line_or_names(tmp_path, kind, spoil, refusal):
    path = tmp_path / "n.npy"
    np.save(path, np.array(NAMES[:50], dtype=kind), allow_pickle=True)
    whole = path.read_bytes()
    for trial in range(300):
        path.write_bytes(spoil(whole, trial, head=400))
        said = refusal(lambda: read_strings(path))
        assert "\n" not in said
        assert said or len(read_strings(path)) == 50
