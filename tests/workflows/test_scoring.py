"""From a clip to a score: what it says, what it refuses, and what it knows again."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from helpers.made_frames import extracted, write_frames
from helpers.made_scoring import model_with_bank, reader, scoring_dives
from helpers.made_videos import small_settings
from helpers.moving_blobs import BlobDetector, BoxEstimator, write_clip

from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.exemplar_bank import write_bank
from finediving_pose.aqa.inference import predict_dives
from finediving_pose.datasets.pose_files import read_pose, write_pose
from finediving_pose.datasets.score_files import Scored, Seen
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import write_video
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.reporting.score_text import format_seen, list_facts
from finediving_pose.workflows import model_loading
from finediving_pose.workflows.score_request import ScoreRequest
from finediving_pose.workflows.scoring import score_clip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scoring")


@pytest.fixture(scope="module")
def dives(root: Path) -> list[AqaDive]:
    return scoring_dives(root)


@pytest.fixture(scope="module")
def model(root: Path, dives: list[AqaDive]) -> Path:
    model_with_bank(root / "runs" / "mine", dives[:3])
    return root / "runs" / "mine"


def clip_of(dive: AqaDive) -> Path:
    assert dive.source is not None
    return dive.source.source


def request_of(dive: AqaDive, /, **given: Any) -> ScoreRequest:
    return ScoreRequest(
        clip_of(dive), **{"dive_number": "407c", "skeletons": dive.skeleton, **given}
    )


def score(model: Path, dive: AqaDive, /, **given: Any) -> Scored:
    return score_clip(model, request_of(dive, **given), "cpu")


def test_it_says_what_evaluation_says(model, dives):
    found = score(model, dives[3])
    settings = small_settings("target=score")
    from finediving_pose.aqa.trained_model import load_model

    expected = predict_dives(
        load_model(model), dives[3:], dives[:3], reader(settings), seed=settings.seed
    )
    assert found.score == pytest.approx(expected.scores[0], abs=1e-4)
    assert found.spread == pytest.approx(expected.spreads[0], abs=1e-4)
    assert [each.name for each in found.exemplars] == [
        each.name for each in expected.dives[0].exemplars
    ]
    assert found.seen == ()


def test_what_it_says_adds_up(model, dives):
    found = score(model, dives[3])
    assert {each.name for each in found.exemplars} == {"Made/1", "Made/2", "Made/3"}
    for each in found.exemplars:
        assert each.start == each.score
        assert each.predicted == pytest.approx(each.score + sum(each.parts), abs=1e-4)
    assert found.score == pytest.approx(
        np.mean([each.predicted for each in found.exemplars])
    )
    assert found.mean_award == pytest.approx(found.score / 3.2 / 3)
    assert found.difficulty_from == "that of all 3 training dives 407C"
    assert "3 exemplars, where 10 are usual: there are no more" in found.notes


def test_stages_are_the_clips_own_frames_without_a_gap(model, dives):
    stages = score(model, dives[3]).stages
    assert [stage.name for stage in stages] == ["take-off", "flight", "entry"]
    assert (stages[0].first, stages[-1].last) == (4000, 4043)
    assert [stage.first for stage in stages[1:]] == [
        stage.last + 1 for stage in stages[:-1]
    ]
    assert all(stage.seconds is None for stage in stages)


def test_of_a_recording_a_part_is_scored_with_seconds(model, dives, tmp_path):
    images = [cv2.imread(str(path)) for path in sorted(clip_of(dives[3]).iterdir())]
    write_video(tmp_path / "long.mp4", [np.zeros_like(images[0])] * 30 + images, 20)
    given = ScoreRequest(
        tmp_path / "long.mp4", "407c", start=30, end=73, skeletons=dives[3].skeleton
    )
    found = score_clip(model, given, "cpu")
    assert (found.stages[0].first, found.stages[-1].last) == (30, 73)
    assert found.stages[0].seconds[0] == pytest.approx(1.5)
    assert found.stages[-1].seconds[1] == pytest.approx(3.7)
    assert found.score == pytest.approx(score(model, dives[3]).score, abs=0.5)


@pytest.mark.parametrize("known_by", ["name", "pictures", "video", "skeleton"])
def test_a_training_dive_is_flagged(model, dives, tmp_path, known_by):
    query, given = dives[1], {}
    if known_by == "pictures":
        shutil.copytree(clip_of(query), tmp_path / "other")
        found = score_clip(
            model, ScoreRequest(tmp_path / "other", "407c", no_skeleton=True), "cpu"
        )
        assert found.seen == (Seen("Made/2", ("pictures",)),)
    elif known_by == "video":
        images = [cv2.imread(str(path)) for path in sorted(clip_of(query).iterdir())]
        write_video(
            tmp_path / "other.mp4",
            [cv2.resize(image, (182, 102)) for image in images],
            25,
        )
        found = score_clip(
            model, ScoreRequest(tmp_path / "other.mp4", "407c", no_skeleton=True), "cpu"
        )
        assert found.seen == (Seen("Made/2", ("pictures",)),)
    elif known_by == "skeleton":
        own = read_pose(query.skeleton)
        write_pose(
            tmp_path / "own.npz", replace(own, frame_index=own.frame_index + 2000)
        )
        found = score(model, dives[3], skeletons=tmp_path / "own.npz")
        assert Seen("Made/2", ("skeleton",), ("pictures",)) in found.seen
        assert "the skeleton is another dive's" in " ".join(format_seen(found))
    else:
        found = score(model, dives[3], match="Made", dive="2", **given)
        assert Seen("Made/2", ("name",), ("pictures", "skeleton")) in found.seen
    assert "Made/2" not in {each.name for each in found.exemplars}
    assert found.as_dict()["trained_on"] is True


def test_a_number_that_was_never_trained_on_has_no_score(model, dives):
    with pytest.raises(
        DataError,
        match=r"5253B: this model has learned from no such dive.*numbers: 407C",
    ):
        score(model, dives[3], dive_number="5253b")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dive_number": None}, "name the dive's with --dive-number"),
        ({"dive_number": "407"}, "'407' is no dive number"),
        ({"no_skeleton": True}, "--no-skeleton does without one"),
        (
            {"detector": "x"},
            "--skeletons names a skeleton and --pose-model, --detector make one",
        ),
        ({"difficulty": 32.0}, "--difficulty 32"),
        ({"apparatus": "5m"}, "expected 1m, 3m, 10m"),
        ({"features": Path("x.npz")}, "reads no features"),
        ({"clip": Path("nowhere.mp4")}, "nowhere.mp4: no such video file"),
        ({"clip": None}, "nothing to score"),
        ({"skeletons": Path("nowhere")}, "--skeletons nowhere: no such file or folder"),
    ],
)
def test_wrong_use_is_told(model, dives, given, message):
    with pytest.raises(UsageError, match=message):
        score_clip(model, replace(request_of(dives[3]), **given), "cpu")


def test_too_few_frames_have_no_score(model, dives, tmp_path):
    with pytest.raises(
        DataError, match="11 frames in the part that was asked for, expected 16 or more"
    ):
        score(model, dives[3], start=4010, end=4020)
    with pytest.raises(DataError, match="15 frames, expected 16"):
        score_clip(
            model,
            ScoreRequest(
                write_frames(tmp_path / "x", range(15)), "407c", no_skeleton=True
            ),
            "cpu",
        )
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no images"):
        score_clip(model, ScoreRequest(tmp_path / "empty", "407c"), "cpu")


def test_skeletons_are_found_by_the_dives_name(model, dives, root):
    by_path = score(model, dives[3], skeletons=root)
    assert by_path.skeleton.endswith("pred_comp_4.npz")
    assert (
        score(model, dives[3], skeletons=None, found_skeletons=root).skeleton
        == by_path.skeleton
    )
    assert by_path.joints_known > 0.8
    with pytest.raises(
        DataError, match=r"pred_comp_9.npz: no such file.*--match and --dive"
    ):
        score(model, dives[3], skeletons=root, dive="9")


def test_without_a_skeleton_there_is_no_score_unless_asked_for(
    model, dives, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match="reads skeletons, and there is none of Made/4"
    ):
        score(model, dives[3], skeletons=None)
    found = score(model, dives[3], skeletons=None, no_skeleton=True)
    assert found.skeleton.startswith("none")
    assert any("without a skeleton" in note for note in found.notes)


def test_a_skeleton_of_nobody_or_of_other_frames_is_none(model, dives, tmp_path):
    write_pose(tmp_path / "a.npz", extracted(range(4000, 4044), somebody=False))
    with pytest.raises(DataError, match="holds no joint at all"):
        score(model, dives[3], skeletons=tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"x")
    with pytest.raises(DataError, match="not readable"):
        score(model, dives[3], skeletons=tmp_path / "b.npz")
    write_pose(tmp_path / "c.npz", extracted(range(9000, 9070)))
    with pytest.raises(
        DataError,
        match=r"c.npz: is of frames 9000 – 9069, the clip has .*: is it another dive's",
    ):
        score(model, dives[3], skeletons=tmp_path / "c.npz")


def test_a_skeleton_of_as_many_frames_with_other_numbers_is_taken_and_said(
    model, dives, tmp_path
):
    own = read_pose(dives[3].skeleton)
    write_pose(tmp_path / "d.npz", replace(own, frame_index=own.frame_index + 4000))
    found = score(model, dives[3], skeletons=tmp_path / "d.npz")
    assert any(
        "taken as the same dive with other numbers; make sure that it is" in note
        for note in found.notes
    )
    assert found.score == score(model, dives[3], skeletons=dives[3].skeleton).score


def test_a_skeleton_is_extracted_with_the_models_that_are_named(
    model, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(
        model_loading,
        "load_detector",
        lambda *given: asked.append(given) or BlobDetector(),
    )
    monkeypatch.setattr(
        model_loading,
        "load_estimator",
        lambda *given: asked.append(given) or BoxEstimator(),
    )
    clip = write_clip(tmp_path / "pool" / "7", 40)
    given = ScoreRequest(clip, "407c", pose_model=Path("net"), detector="finder")
    found = score_clip(model, given, "cpu", tmp_path / "out")
    options = NetworkOptions(device="cpu")
    assert asked == [("finder", options), (Path("net"), options)]
    assert found.skeleton == "extracted with net and finder"
    assert found.joints_known == 1.0
    assert (tmp_path / "out/skeletons/Pose/pool/pred_comp_7.npz").is_file()
    assert (
        json.loads((tmp_path / "out/manifest.json").read_text())["detector"] == "finder"
    )


def test_what_is_written_is_what_is_said_and_names_are_no_html(model, dives, tmp_path):
    given = request_of(dives[3], match="<b>x", dive="<script>")
    found = score_clip(model, given, "cpu", tmp_path / "out")
    assert json.loads((tmp_path / "out/score.json").read_text()) == json.loads(
        json.dumps(found.as_dict())
    )
    assert json.loads((tmp_path / "out/manifest.json").read_text())["status"] == "done"
    page = (tmp_path / "out/score.html").read_text()
    assert page.count("data:image/jpeg") == 3
    assert f"{found.score:.2f} points" in page
    assert "<script>" not in page
    assert "&lt;b&gt;x/&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("given", "difficulty", "source"),
    [
        ({"difficulty": 2.9}, 2.9, "as given"),
        ({"apparatus": "10m"}, 3.2, "by the rule, 407C from 10m"),
        ({"apparatus": "3m"}, 3.4, "by the rule, 407C from 3m"),
    ],
)
def test_where_the_difficulty_is_from(model, dives, given, difficulty, source):
    found = score(model, dives[3], **given)
    assert (found.difficulty, found.difficulty_from) == (difficulty, source)
    assert found.mean_award == pytest.approx(found.score / difficulty / 3)


def test_exemplars_of_several_difficulties_leave_it_unknown(dives, tmp_path):
    other = replace(dives[1], record=replace(dives[1].record, difficulty=3.4))
    model_with_bank(tmp_path / "m", [dives[0], other])
    found = score(tmp_path / "m", dives[3])
    assert found.mean_award is None
    assert (
        found.difficulty_from
        == "the training dives 407C have 3.2, 3.4: say which with --difficulty, or --apparatus"
    )
    assert (
        "mean award",
        f"not known without DD: {found.difficulty_from}",
    ) in list_facts(found)


def test_a_model_of_completeness_rescales_and_needs_the_difficulty(dives, tmp_path):
    other = replace(dives[1], record=replace(dives[1].record, difficulty=3.4))
    model_with_bank(tmp_path / "m", [dives[0], other], "target=completeness")
    with pytest.raises(UsageError, match="needs the degree of difficulty"):
        score(tmp_path / "m", dives[3])
    found = score(tmp_path / "m", dives[3], difficulty=3.0)
    for each in found.exemplars:
        assert each.start == pytest.approx(each.score * 3.0 / each.difficulty)
        assert each.predicted == pytest.approx(each.start + sum(each.parts), abs=1e-3)


@pytest.mark.parametrize("choice", ["number", "difficulty"])
def test_a_model_without_exemplars_has_no_spread(dives, tmp_path, choice):
    choice = f"exemplar_choice={choice}"  # which it never makes
    model_with_bank(tmp_path / "m", dives[:3], "regressor=direct", choice)
    found = score_clip(
        tmp_path / "m", request_of(dives[3], dive_number=None), "cpu", tmp_path / "out"
    )
    assert (found.exemplars, found.spread, found.dive_number) == ((), None, None)
    assert (tmp_path / "out/score.html").read_text().count("data:image/jpeg") == 1


def test_a_model_without_dive_numbers_needs_none(dives, tmp_path):
    model_with_bank(tmp_path / "m", dives[:3], "exemplar_choice=random", "stages=1")
    found = score(tmp_path / "m", dives[3], dive_number=None)
    assert len(found.exemplars) == 3
    assert [stage.name for stage in found.stages] == ["dive"]


def test_a_model_of_skeletons_alone_reads_the_frames_of_the_clip(dives, tmp_path):
    model_with_bank(
        tmp_path / "m", dives[:2], "branch_dynamic=false", "branch_static=false"
    )
    found = score_clip(tmp_path / "m", request_of(dives[3]), "cpu", tmp_path / "out")
    assert (found.stages[0].first, found.stages[-1].last) == (4000, 4043)
    assert (tmp_path / "out/score.html").read_text().count("data:image/jpeg") == 2


def test_the_only_exemplar_may_be_the_dive_itself_and_that_is_said(dives, tmp_path):
    model_with_bank(tmp_path / "m", dives[:1])
    found = score(tmp_path / "m", dives[0])
    assert [each.name for each in found.exemplars] == ["Made/1"]
    assert found.spread is None
    assert any("its only exemplar is itself" in note for note in found.notes)
    assert any("with one exemplar" in note for note in found.notes)


def test_features_stand_in_for_images(dives, tmp_path):
    from helpers.made_scoring import random_model

    from finediving_pose.aqa.data.features import FeatureStore
    from finediving_pose.aqa.data.sources import make_loader

    table = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)
    np.savez(
        tmp_path / "t.npz",
        features=table,
        match=["Made"] * 4,
        dive=["1", "2", "3", "4"],
    )
    overrides = (
        f"features={tmp_path / 't.npz'}",
        "feature_dim=5",
        "branch_static=false",
        "branch_pose=false",
    )
    settings = small_settings(*overrides)
    net = random_model(tmp_path / "m", settings)
    loader = make_loader(
        settings, None, FeatureStore(tmp_path / "t.npz", frames=settings.frames)
    )
    bare = [replace(dive, source=None, skeleton=None) for dive in dives]
    write_bank(tmp_path / "m", net, bare[:3], loader)
    expected = predict_dives(
        net, bare[3:], bare[:3], loader, seed=settings.seed
    ).scores[0]
    np.savez(tmp_path / "own.npz", table[3])
    for path in (tmp_path / "t.npz", tmp_path / "own.npz"):
        given = ScoreRequest(None, "407c", match="Made", dive="4", features=path)
        found = score_clip(tmp_path / "m", given, "cpu")
        assert found.score == pytest.approx(expected, abs=1e-4)
        assert found.seen == ()
    np.savez(tmp_path / "seen.npz", table[1])
    again = score_clip(
        tmp_path / "m",
        ScoreRequest(None, "407c", features=tmp_path / "seen.npz"),
        "cpu",
    )
    assert again.seen == (Seen("Made/2", ("features",)),)
    np.savez(tmp_path / "wide.npz", np.zeros(7, np.float32))
    with pytest.raises(
        DataError, match="vectors of 7 numbers, and the model learned from 5"
    ):
        score_clip(
            tmp_path / "m",
            ScoreRequest(None, "407c", features=tmp_path / "wide.npz"),
            "cpu",
        )
    given = ScoreRequest(
        None, "407c", match="Made", dive="9", features=tmp_path / "t.npz"
    )
    with pytest.raises(DataError, match="holds no features of the dive Made/9"):
        score_clip(tmp_path / "m", given, "cpu")
    with pytest.raises(UsageError, match="give those of this dive with --features"):
        score_clip(tmp_path / "m", ScoreRequest(clip_of(dives[3]), "407c"), "cpu")
