"""MATLAB arrays: as scipy writes them, and damaged in any place."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from scipy.io import savemat

from finediving_pose.datasets.matlab_arrays import read_matlab_array
from finediving_pose.errors import DataError


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.int16])
def test_what_scipy_writes_is_read(tmp_path, dtype, compressed):
    path = tmp_path / "a.mat"
    joints = np.arange(14 * 3 * 5).reshape(14, 3, 5).astype(dtype)
    content = {"other": "text", "x": np.ones(1), "joints": joints}
    savemat(path, content, do_compression=compressed)
    np.testing.assert_array_equal(read_matlab_array(path, "joints"), joints)
    assert read_matlab_array(path, "none") is None


@pytest.mark.parametrize("content", [{"joints": "text"}, {"joints": np.ones(3) * 1j}])
def test_what_is_no_array_of_numbers_is_refused(tmp_path, content):
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(DataError, match="no array of real numbers"):
        read_matlab_array(tmp_path / "a.mat", "joints")


@pytest.mark.parametrize("content", [b"", b"x" * 200, b"x" * 124 + b"\x00\x02IM"])
def test_what_is_no_matlab_file_is_refused(tmp_path, content):
    (tmp_path / "a.mat").write_bytes(content)
    with pytest.raises(DataError, match="not readable as a MATLAB file"):
        read_matlab_array(tmp_path / "a.mat", "joints")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_damaged_file_is_refused_or_read(tmp_path, compressed):
    path = tmp_path / "a.mat"
    savemat(path, {"joints": np.ones((14, 3, 2))}, do_compression=compressed)
    whole = path.read_bytes()
    random = np.random.default_rng(17)
    for _ in range(300):
        damaged = bytearray(whole[: random.integers(len(whole) + 1)])
        for place in random.integers(100, 220, size=2):
            if place < len(damaged):
                damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(DataError):
            read_matlab_array(path, "joints")
