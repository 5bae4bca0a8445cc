"""Arrays of strangers: refused before they fill the memory."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from finediving_pose.datasets.array_files import read_array, read_arrays
from finediving_pose.errors import DataError


def make_npy(shape, dtype="<f4", content=b"") -> bytes:
    """Bytes of a .npy whose header says what it likes."""
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def test_arrays_come_back(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.eye(3), b=np.array("text"))
    found = read_arrays(path)
    np.testing.assert_array_equal(found["a"], np.eye(3))
    assert str(found["b"]) == "text"
    assert list(read_arrays(path, ["b", "c"])) == ["b"]
    np.save(tmp_path / "a.npy", np.eye(2))
    np.testing.assert_array_equal(read_array(tmp_path / "a.npy"), np.eye(2))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((10**12, 16, 2), "<f4"),
        ((2**31, 2**31, 2**31), "<f8"),
        ((10**10,), "<U0"),
        ((10**10,), "|b1"),
        ((1,), "<U100000000"),
    ],
)
def test_an_array_that_declares_more_than_its_file_has(tmp_path, shape, dtype):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("pred.npy", make_npy(shape, dtype, b"0" * 100))
    (tmp_path / "a.npy").write_bytes(make_npy(shape, dtype, b"0" * 100))
    with pytest.raises(DataError, match=r"a\.npz: .*it declares the shape"):
        read_arrays(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"a\.npy: .*it declares the shape"):
        read_array(tmp_path / "a.npy")


def test_a_small_archive_that_unpacks_to_much(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", bytes(65 * 2**20))
    with pytest.raises(DataError, match=r"a\.npz: \d+ bytes that unpack to 68157440"):
        read_arrays(path)
    with pytest.raises(DataError, match=r"unpacks to 68157440 bytes, expected at most"):
        read_arrays(path, most_bytes=1000)


@pytest.mark.parametrize(
    "content", [b"", b"PK\3\4 half", b"\x93NUMPY\1\0v\0{'descr': " + b"(" * 10_000]
)
def test_what_is_no_array_is_refused_in_words(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.npz: not readable"):
        read_arrays(tmp_path / "a.npz")
    with pytest.raises(DataError, match=r"a\.npy: not readable"):
        read_array(tmp_path / "a.npy")


def test_pickles_are_never_loaded(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}], dtype=object))
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object))
    for read, name in ((read_arrays, "a.npz"), (read_array, "a.npy")):
        with pytest.raises(DataError, match="not readable"):
            read(tmp_path / name)


def test_an_absent_file(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_arrays(tmp_path / "a.npz")
