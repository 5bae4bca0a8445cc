"""The exemplar bank: what is written is what is read, and it scores as the training set
does."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.made_scoring import random_model, reader, scoring_dives
from helpers.made_videos import small_settings

from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.data.exemplars import ExemplarPool
from finediving_pose.aqa.data.sources import make_loader
from finediving_pose.aqa.dive_fingerprints import preview_dive
from finediving_pose.aqa.exemplar_bank import BANK_NAME, Bank, read_bank, write_bank
from finediving_pose.aqa.inference import encode, predict, predict_dives
from finediving_pose.aqa.score_model import ScoreModel
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import write_video

SETTINGS = small_settings("exemplars=2")


@pytest.fixture(scope="module")
def dives(tmp_path_factory: pytest.TempPathFactory) -> list[AqaDive]:
    return scoring_dives(tmp_path_factory.mktemp("meet"))


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory, dives: list[AqaDive]
) -> tuple[Path, ScoreModel]:
    folder = tmp_path_factory.mktemp("runs") / "mine"
    model = random_model(folder, SETTINGS)
    write_bank(folder, model, dives[:3], reader(SETTINGS))
    return folder, model


def same(bank: Bank, dive: AqaDive) -> dict[int, list[str]]:
    """Which dives of the bank that one is, and what tells so."""
    compared = bank.compare_fingerprints(
        preview_dive(dive, (3, 9), SETTINGS.frames).fingerprint
    )
    found = {
        place: [name for name, equal in facts.items() if equal]
        for place, facts in compared.items()
    }
    return {place: names for place, names in found.items() if names}


def test_it_scores_as_the_training_set_does(made, dives):
    folder, model = made
    bank = read_bank(folder)
    query = dives[3]
    pool = ExemplarPool(bank.dives, SETTINGS.exemplar_choice, SETTINGS.exemplars, 5)
    chosen = [pool.choose_exemplars(query.record)]
    found = predict(
        model,
        encode(model, [query], reader(SETTINGS)),
        [query.record],
        bank.encoded,
        bank.dives,
        chosen,
    )
    expected = predict_dives(model, [query], dives[:3], reader(SETTINGS), seed=5)
    ours, theirs = found.dives[0].exemplars, expected.dives[0].exemplars
    assert [each.name for each in ours] == [each.name for each in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.predicted == pytest.approx(other.predicted, abs=1e-4)
        np.testing.assert_allclose(one.parts, other.parts, atol=1e-4)
    np.testing.assert_array_equal(found.transitions, expected.transitions)


def test_records_return(made, dives):
    assert read_bank(made[0]).dives == tuple(dive.record for dive in dives[:3])


def test_images_are_of_the_stage_and_show_the_diver(made):
    bank = read_bank(made[0])
    for place, each in enumerate(bank.previews):
        edges = [0, *bank.encoded.transitions[place].tolist(), SETTINGS.frames]
        numbers = np.array(
            [
                i * (41 + place - 1) // (SETTINGS.frames - 1)
                for i in range(SETTINGS.frames)
            ]
        )
        for stage, shown in enumerate(each.numbers - 1000 * (place + 1)):
            inside = numbers[edges[stage] : edges[stage + 1]]
            assert np.isin(shown, inside).all()
            assert (np.diff(shown) >= 0).all()
        image = cv2.imdecode(np.frombuffer(each.images[4], np.uint8), cv2.IMREAD_COLOR)
        assert image.shape == (160, 160, 3)


def test_a_dive_without_skeleton_or_images_has_none(made, dives, tmp_path):
    assert np.isnan(read_bank(made[0]).previews[2].poses).all()
    blind = preview_dive(replace(dives[0], source=None), (10, 20), SETTINGS.frames)
    assert set(blind.images) == {b""}
    assert (blind.numbers == -1).all()
    assert np.nanmin(blind.poses) > 0
    assert np.nanmax(blind.poses) < 160


def test_a_dive_is_known_again_under_another_name(made, dives, tmp_path):
    """By its images, also written anew as a video, and by its skeleton alone."""
    bank = read_bank(made[0])
    shutil.copytree(dives[1].source.source, tmp_path / "x")
    copy = replace(
        dives[1], source=replace(dives[1].source, source=tmp_path / "x"), skeleton=None
    )
    assert same(bank, copy) == {1: ["pictures"]}
    images = [cv2.imread(str(path)) for path in sorted(copy.source.source.iterdir())]
    write_video(
        tmp_path / "x.mp4", [cv2.resize(image, (182, 102)) for image in images], 25
    )
    video = replace(copy, source=replace(copy.source, source=tmp_path / "x.mp4"))
    assert same(bank, video) == {1: ["pictures"]}
    assert same(bank, replace(dives[1], source=None))[1] == ["skeleton"]
    assert (
        same(bank, dives[1]) == {1: ["pictures", "skeleton"], 0: ["skeleton"]}
        or "skeleton" in same(bank, dives[1])[1]
    )
    assert same(bank, replace(dives[3], skeleton=None)) == {}


def test_a_bank_of_other_weights_is_refused(made, tmp_path):
    folder, _ = made
    random_model(tmp_path / "other", seed=1)
    shutil.copytree(folder / BANK_NAME, tmp_path / "other" / BANK_NAME)
    with pytest.raises(DataError, match="belongs to other weights"):
        read_bank(tmp_path / "other")


@pytest.mark.parametrize(
    "name", ["exemplars.json", "features.safetensors", "pictures.npz"]
)
def test_damage_is_told(made, tmp_path, name):
    shutil.copytree(made[0], tmp_path / "copy")
    path = tmp_path / "copy" / BANK_NAME / name
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match=f"{name}: not readable as an exemplar bank"):
        read_bank(tmp_path / "copy")


def test_dives_and_features_that_do_not_go_together_are_refused(made, tmp_path):
    shutil.copytree(made[0], tmp_path / "copy")
    path = tmp_path / "copy" / BANK_NAME / "exemplars.json"
    content = json.loads(path.read_text())
    content["dives"].pop()
    path.write_text(json.dumps(content))
    with pytest.raises(
        DataError, match=r"holds \[3\] dives, exemplars.json beside it 2"
    ):
        read_bank(tmp_path / "copy")


def test_what_has_no_bank_says_so(tmp_path):
    random_model(tmp_path / "mine")
    with pytest.raises(DataError, match="has no exemplar bank"):
        read_bank(tmp_path / "mine")
    with pytest.raises(UsageError, match="no model directory"):
        read_bank(tmp_path)


def test_features_leave_no_images(tmp_path, dives):
    from finediving_pose.aqa.data.features import FeatureStore

    table = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    np.savez(
        tmp_path / "t.npz", features=table, match=["Made"] * 3, dive=["1", "2", "3"]
    )
    settings = small_settings(
        f"features={tmp_path / 't.npz'}",
        "feature_dim=5",
        "branch_static=false",
        "branch_pose=false",
    )
    model = random_model(tmp_path / "mine", settings)
    loader = make_loader(
        settings, None, FeatureStore(tmp_path / "t.npz", frames=settings.frames)
    )
    write_bank(
        tmp_path / "mine",
        model,
        [replace(dive, source=None, skeleton=None) for dive in dives[:3]],
        loader,
    )
    bank = read_bank(tmp_path / "mine")
    assert all(set(each.images) == {b""} for each in bank.previews)
    assert len({each.fingerprint.features for each in bank.previews}) == 3
