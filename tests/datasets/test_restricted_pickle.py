"""Pickles from strangers: data comes through, programs do not run."""

from __future__ import annotations

import os
import pickle
import struct

import numpy as np
import pytest

from finediving_pose.datasets import restricted_pickle
from finediving_pose.errors import DataError

VALUE = {
    ("match", 3): {
        "scores": [7.5, np.float64(8.5), np.int64(3), np.str_("ä")],
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "objects": np.array([1, "a", None], dtype=object),
        "nested": (1, {2, 3}, frozenset({4}), b"x", True, None),
    }
}


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL))
def test_containers_and_arrays_come_through(tmp_path, protocol):
    value = VALUE if protocol > 2 else {"plain": [1, 2.5, "a", (3, None)]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol=protocol))
    np.testing.assert_equal(restricted_pickle.load(tmp_path / "a.pkl"), value)


@pytest.mark.parametrize("core", [b"numpy.core", b"numpy._core"])
def test_arrays_of_numpy_1_and_2(tmp_path, core):
    content = (
        pickle.dumps(np.arange(3.0), protocol=3)
        .replace(b"numpy._core", core)
        .replace(b"numpy.core", core)
    )
    (tmp_path / "a.pkl").write_bytes(content)
    assert restricted_pickle.load(tmp_path / "a.pkl").tolist() == [0, 1, 2]


class Malicious:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_program_is_named_and_does_not_run(tmp_path, protocol):
    marker = tmp_path / "it-ran"
    attack = {"annotations": [Malicious(os.mkdir, (str(marker),))]}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(attack, protocol=protocol))
    with pytest.raises(
        DataError, match=r"a\.pkl: refused: the pickle names (posix|nt)\.mkdir"
    ):
        restricted_pickle.load(tmp_path / "a.pkl")
    assert not marker.exists()
    pickle.loads((tmp_path / "a.pkl").read_bytes())
    assert marker.exists()  # it would have run


@pytest.mark.parametrize(
    "call",
    [(eval, ("1+1",)), (getattr, (1, "real")), (np.load, ("x",)), (bytearray, (10,))],
)
def test_other_globals_are_refused(tmp_path, call):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Malicious(*call)))
    with pytest.raises(DataError, match="refused"):
        restricted_pickle.load(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "call", [(np.ndarray, ((10**12,),)), (np.ndarray, ((3,), "O"))]
)
def test_arrays_are_not_made_by_calls(tmp_path, call):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Malicious(*call)))
    with pytest.raises(DataError, match="not readable as a pickle"):
        restricted_pickle.load(tmp_path / "a.pkl")


def reconstruct(shape, dtype=b"b"):
    from numpy._core.multiarray import _reconstruct

    return Malicious(_reconstruct, (np.ndarray, shape, dtype))


def test_an_array_that_would_fill_the_memory_is_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(reconstruct((10**12,))))
    with pytest.raises(DataError, match="a form that numpy does not write"):
        restricted_pickle.load(tmp_path / "a.pkl")


def test_a_scalar_of_objects_is_refused(tmp_path):
    from numpy._core.multiarray import scalar

    (tmp_path / "a.pkl").write_bytes(
        pickle.dumps(Malicious(scalar, (np.dtype("O"), pickle.dumps(3))))
    )
    with pytest.raises(DataError, match="a numpy scalar of another type"):
        restricted_pickle.load(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        pickle.dumps([1] * 99)[:-20],
        b"\x80\x03(" * 50,
        b"\x80\x04\x8e" + struct.pack("<Q", 2**62),
    ],
)
def test_a_broken_pickle(tmp_path, content):
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.pkl: not readable as a pickle"):
        restricted_pickle.load(tmp_path / "a.pkl")


def test_too_large_and_absent(tmp_path):
    (tmp_path / "a.pkl").write_bytes(bytes(2 * 2**20))
    with pytest.raises(DataError, match="2 MB, expected at most 1 MB"):
        restricted_pickle.load(tmp_path / "a.pkl", max_bytes=2**20)
    with pytest.raises(DataError, match="not readable"):
        restricted_pickle.load(tmp_path / "absent.pkl")
