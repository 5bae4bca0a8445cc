"""Features in place of images: tables, folders, shapes, and messages for what is
neither."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finediving_pose.aqa.data.features import FeatureStore, read_table_dives
from finediving_pose.errors import DataError, UsageError


def table(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


@pytest.fixture
def folder(tmp_path):
    """Two dives of nine vectors each."""
    for place, name in enumerate(["01/3", "Fina/7"]):
        path = tmp_path / "features" / f"{name}.npz"
        path.parent.mkdir(parents=True)
        np.savez(path, features=np.full((9, 4), place + 0.5))
    return tmp_path / "features"


def test_a_folder(folder):
    store = FeatureStore(folder)
    assert (store.vectors, store.dim, len(store)) == (9, 4, 2)
    assert ("Fina", "7") in store
    assert ("Fina", "8") not in store
    features = store.read(("Fina", "7"))
    assert features.dtype == np.float32
    np.testing.assert_array_equal(features, np.full((9, 4), 1.5))


def test_a_file_of_one_vector_under_any_name(tmp_path):
    (tmp_path / "a").mkdir()
    table(tmp_path / "a" / "1.npz", resnet=np.arange(5))
    assert FeatureStore(tmp_path).read(("a", "1")).tolist() == [[0, 1, 2, 3, 4]]


@pytest.mark.parametrize("vectors", [1, 9, 96])
def test_a_table_of_a_vector_a_dive_a_clip_or_a_frame(tmp_path, vectors):
    features = np.random.default_rng(0).random((3, vectors, 4), np.float32)
    store = FeatureStore(
        table(
            tmp_path / "t.npz",
            features=features,
            match=["01", "01", "02"],
            dive=[1, 2, 1],
        )
    )
    assert store.vectors == vectors
    np.testing.assert_array_equal(store.read(("02", "1")), features[2])


def test_mtl_aqas_ten_clips(tmp_path):
    path = table(tmp_path / "t.npz", features=np.ones((2, 10, 4)))
    assert FeatureStore(path, clips=10, frames=103).vectors == 10
    with pytest.raises(
        DataError,
        match=r"10 vectors, expected 1 \(one a dive\) or 9 \(one a clip\) or 96 \(one a f",
    ):
        FeatureStore(path)


def test_names_come_from_the_table_where_it_has_none(tmp_path):
    store = FeatureStore(
        table(tmp_path / "meet.npz", features=np.ones((2, 4)), index=[5, 8])
    )
    assert ("meet", "8") in store
    assert ("meet", "1") in FeatureStore(
        table(tmp_path / "meet.npz", features=np.ones((2, 4)))
    )


def test_the_dives_of_a_table(tmp_path):
    path = table(
        tmp_path / "meet.npz",
        features=np.ones((3, 4)),
        score=[80.0, np.nan, 0.0],
        difficulty=[3.2, 3.0, -1],
        dive_number=["407C", "", "what"],
        transitions=[[20, 60], [-1, -1], [60, 20]],
        frames=[100, 90, 90],
    )
    dives, problems = read_table_dives(path)
    first, second, third = dives
    assert (first.key, first.score, first.difficulty, first.dive_number) == (
        ("meet", "0"),
        80.0,
        3.2,
        "407c",
    )
    assert (first.start_frame, first.end_frame, first.transitions) == (0, 99, (20, 60))
    assert (second.score, second.dive_number, second.transitions) == (None, None, None)
    assert (third.score, third.difficulty, third.dive_number, third.transitions) == (
        0.0,
        None,
        None,
        None,
    )
    assert [problem.where for problem in problems] == [
        "meet/1 score", "meet/2 transitions", "meet/2 dive_number", "meet/2 difficulty",
    ]  # fmt: skip


def test_transitions_without_frames_are_unknown_and_unknown_arrays_are_named(tmp_path):
    path = table(
        tmp_path / "t.npz",
        features=np.ones((1, 4)),
        score=[1],
        transitions=[[2, 5]],
        phases=[[1, 2]],
    )
    (dive,), problems = read_table_dives(path)
    assert dive.transitions is None
    unknown, unusable = map(str, problems)
    assert unknown.startswith(
        f"warning: {path}: phases: unknown array, ignored (known: features, match, dive, index, "
    )
    assert unusable == (
        f"error: {path}: t/0 transitions: found [2 5], expected two frames, and an array 'frames' beside it; taken as "
        "unknown"
    )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": [1.0]}, "no array 'features'; found x"),
        (
            {"features": [1.0, 2.0]},
            r"shape \(2,\) of float64, expected \(N, D\) or \(N, n, D\) of numbers",
        ),
        (
            {"features": np.ones((2, 3)), "dive": [1]},
            r"'dive' has shape \(1,\), expected 2 rows",
        ),
        ({"features": np.ones((2, 3)), "dive": [1, 1]}, "the dive t/1 is in it twice"),
        (
            {"features": np.ones((2, 3)), "match": ["../x", "y"]},
            r"'match' row 0 is '../x', expected a name without",
        ),
        ({"features": np.array([["a"]])}, "of <U1, expected"),
        ({"features": [[1.0, np.nan]]}, "t/0: holds NaN or infinity"),
        ({"features": np.array([[{}]], object)}, "not readable as .npz without pickle"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        FeatureStore(table(tmp_path / "t.npz", **arrays))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {},
            "no array 'score'; found features. Without scores it can only stand in for images",
        ),
        ({"score": ["a", "b"]}, "'score' is of type <U1, expected numbers"),
        ({"score": [1.0]}, r"'score' has shape \(1,\), expected 2 rows"),
    ],
)
def test_a_table_without_usable_scores_has_no_dives(tmp_path, arrays, message):
    with pytest.raises(DataError, match=message):
        read_table_dives(table(tmp_path / "t.npz", features=np.ones((2, 3)), **arrays))


def test_a_dive_of_another_shape_is_named(folder):
    np.savez(folder / "Fina" / "7.npz", features=np.ones((9, 5)))
    with pytest.raises(
        DataError,
        match=r"7.npz: 9 vectors of 5 numbers, expected 9 of 4 as the first dive has",
    ):
        FeatureStore(folder).read(("Fina", "7"))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_named(folder, content):
    (folder / "Fina" / "7.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"7.npz: not readable as .npz"):
        FeatureStore(folder).read(("Fina", "7"))


def test_where_nothing_is(tmp_path):
    with pytest.raises(UsageError, match="no such file or folder"):
        FeatureStore(tmp_path / "absent")
    with pytest.raises(DataError, match=r"no <match>/<dive>.npz below it"):
        FeatureStore(tmp_path)


def test_real_features(shared_data):
    path = shared_data / "unlv_dive" / "train.npz"
    store, (dives, problems) = FeatureStore(path), read_table_dives(path)
    assert (store.vectors, store.dim, len(store), len(dives)) == (1, 2048, 300, 300)
    assert all(
        dive.score is not None and dive.difficulty is not None and dive.key in store
        for dive in dives
    )
    assert [problem.where for problem in problems] == ["phases"]
