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


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_and_arrays_come_through(tmp_path, protocol):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(VALUE, protocol=protocol))
    loaded = restricted_pickle.load(tmp_path / "a.pkl")
    np.testing.assert_equal(loaded, VALUE)
    assert type(loaded["match", 3]["array"]) is np.ndarray
    assert type(loaded["match", 3]["objects"]) is np.ndarray


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=">i2").reshape(2, 3),
        np.arange(6, dtype=np.float16).reshape(3, 2).T,
        np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
        np.array([True, False]),
        np.array(["ab", "ä"]),
        np.array([b"a", b"bcd"]),
        np.array([1 + 2j]),
        np.zeros((0, 3)),
        np.array(5.0),
        np.array([[1, "a"], [None, (2,)]], dtype=object),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_arrays_of_every_plain_kind_come_through(tmp_path, protocol, array):
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([array, array], protocol=protocol))
    loaded = restricted_pickle.load(tmp_path / "a.pkl")
    for found in loaded:
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert np.array_equal(found, array)


def test_what_refers_to_itself_comes_through(tmp_path):
    value = {"arrays": [np.arange(3)]}
    value["itself"] = value
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value))
    loaded = restricted_pickle.load(tmp_path / "a.pkl")
    assert loaded["itself"] is loaded
    assert loaded["arrays"][0].tolist() == [0, 1, 2]


def stack(*parts):
    return pickle.PROTO + b"\x04" + b"".join(parts) + pickle.STOP


def text(value):
    content = value.encode()
    return pickle.SHORT_BINUNICODE + bytes([len(content)]) + content


def integer(value):
    return pickle.BININT + struct.pack("<i", value)


def named(module, name):
    return text(module) + text(name) + pickle.STACK_GLOBAL


def object_dtype_without_its_flags():
    """numpy's type of objects, whose state says that it holds none."""
    made = named("numpy", "dtype") + text("O8") + pickle.NEWFALSE + pickle.NEWTRUE
    state = integer(3) + text("|") + pickle.NONE * 3 + integer(-1) * 2 + integer(0)
    made += pickle.TUPLE3 + pickle.REDUCE
    return made + pickle.MARK + state + pickle.TUPLE + pickle.BUILD


def pointer():
    """Eight bytes of the file that numpy would follow."""
    content = struct.pack("<Q", 0x4141414141414140)
    return pickle.SHORT_BINBYTES + bytes([len(content)]) + content


def test_a_scalar_of_pointers_is_refused(tmp_path):
    call = named("numpy.core.multiarray", "scalar") + object_dtype_without_its_flags()
    attack = stack(call, pointer(), pickle.TUPLE2, pickle.REDUCE)
    (tmp_path / "a.pkl").write_bytes(attack)
    with pytest.raises(DataError, match="a numpy scalar of another type"):
        restricted_pickle.load(tmp_path / "a.pkl")


def test_an_array_of_pointers_is_refused(tmp_path):
    empty = pickle.SHORT_BINBYTES + b"\x01b"
    made = named("numpy.core.multiarray", "_reconstruct") + named("numpy", "ndarray")
    made += integer(0) + pickle.TUPLE1 + empty + pickle.TUPLE3 + pickle.REDUCE
    shape = integer(1) + integer(1) + pickle.TUPLE1
    state = shape + object_dtype_without_its_flags() + pickle.NEWFALSE + pointer()
    attack = stack(made, pickle.MARK, state, pickle.TUPLE, pickle.BUILD)
    (tmp_path / "a.pkl").write_bytes(attack)
    with pytest.raises(DataError, match="an array of objects of the wrong length"):
        restricted_pickle.load(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: (*state[:1], (4,), *state[2:]), "of the wrong length"),
        (lambda state: (*state[:1], (-1,), *state[2:]), "an array of shape"),
        (lambda state: (*state[:1], (2**62, 2**62), *state[2:]), "the wrong length"),
        (lambda state: (*state[:4], b"short"), "of the wrong length"),
        (lambda state: (*state[:4], [1, 2, 3]), "whose content is no bytes"),
        (lambda state: state[:4], "a form that numpy does not write"),
    ],
)
def test_an_array_whose_state_is_wrong_is_refused(tmp_path, change, said):
    class Lying:
        def __reduce__(self):
            call, arguments, state = np.arange(3).__reduce__()
            return call, arguments, change(state)

    (tmp_path / "a.pkl").write_bytes(pickle.dumps([Lying()]))
    with pytest.raises(DataError, match=said):
        restricted_pickle.load(tmp_path / "a.pkl")


def test_types_with_parts_are_refused(tmp_path):
    records = np.zeros(2, dtype=[("x", "f4"), ("y", "O")])
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(records))
    with pytest.raises(DataError, match="expected numbers, text or objects"):
        restricted_pickle.load(tmp_path / "a.pkl")


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
