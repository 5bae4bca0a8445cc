"""The experiment on few labels: its stages, what it keeps apart, and one run of it on
nets that learn nothing."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_models

from finediving_pose.datasets import fdpose_json
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.errors import DataError, UsageError
from finediving_pose.media import write_jpeg
from finediving_pose.records import BoxTrack, JointState, SkeletonSequence
from finediving_pose.synthesis.sample import draw_dive

TOOLS = Path(__file__).parents[2] / "tools"


def load(name: str):
    """Import a tool by its name, under which processes that generate look for it too."""
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


shared, tool, boxes, rounds = map(
    load, ("few_experiment", "few_labels", "few_boxes", "few_rounds")
)


draw = cache(draw_dive)  # a place takes a while to be drawn


def write_frames(folder: Path, seed: int, names: list[str]) -> list:
    """Draw a dive, write its pictures below `folder`/images, and return its labels."""
    drawn = draw(seed, len(names))
    for name, picture in zip(names, drawn.images, strict=True):
        (folder / "images").mkdir(parents=True, exist_ok=True)
        write_jpeg(folder / "images" / name, picture, 90)
    return [
        replace(label, image=name, match=None, dive=None, frame=None)
        for label, name in zip(drawn.labels, names, strict=True)
    ]


@pytest.fixture
def experiment(tmp_path, monkeypatch):
    """Three frames of each of two dives, and six images in the place of LSP's."""
    for name, value in (
        ("BOUNDARY", 3),
        ("HELD_OUT", 2),
        ("CHOICE_IMAGES", 1),
        ("FRAMES_A_DIVE", 2),
    ):
        monkeypatch.setattr(shared, name, value)
    sample = tmp_path / "sample"
    frames = [
        *write_frames(sample, 1, ["0.jpg", "1.jpg", "2.jpg"]),
        *write_frames(sample, 2, ["3.jpg", "4.jpg", "5.jpg"]),
    ]
    fdpose_json.write(sample / "annotations.json", LabelSet(tuple(frames)))
    names = [f"im{number:05d}.jpg" for number in range(6)]
    records = [
        fdpose_json.make_record(frame)
        for frame in write_frames(tmp_path / "lsp", 3, names)
    ]
    items = [
        {key: record[key] for key in ("image", "joints", "joints_vis")}
        for record in records
    ]
    (tmp_path / "lsp" / "annotations.json").write_text(json.dumps(items))
    return tool.PoseExperiment(
        sample,
        tmp_path / "lsp",
        tmp_path / "out",
        overrides=(*tiny_models.HRNET, "batch_size=2"),
        coarse_images=3,
        pretrain_images=3,
        finetune_images=3,
        device="cpu",
    )


def test_a_job_trains_on_one_dive_and_is_tested_on_the_other(experiment):
    result = tool.run(experiment, tool.Job("lsp", "first", 0))
    assert (result["train"], result["test"], result["frames"]) == ("first", "second", 3)
    assert set(result["figures"]) == {"real_none", "real_rotate4", "lsp_none"}
    assert all(0 <= figures["PCK"] <= 1 for figures in result["figures"].values())
    parts = json.loads((experiment.out / "lsp_parts.json").read_text())
    model = read_model_directory(experiment.out / "models" / "lsp_first_seed0", "pose")
    assert model.trained_on == tuple(
        sorted(["sample/first", *(f"lsp/{Path(name).stem}" for name in parts["train"])])
    )
    assert json.loads((model.path / "manifest.json").read_text())["initial_weights"][
        0
    ].startswith(str(experiment.out / "pretraining" / "lsp_seed0"))
    before = model.weights.stat().st_mtime_ns
    assert (
        tool.run(experiment, tool.Job("lsp", "first", 0)) == result
    )  # all its stages are done
    assert model.weights.stat().st_mtime_ns == before
    text = tool.format_table(experiment.out / "results")
    figures = result["figures"]
    limbs, joints = figures["real_rotate4"]["PCK_limbs"], figures["real_rotate4"]["PCK"]
    cells = text.splitlines()[2].split(" | ")
    assert cells[:4] == ["| lsp", "first → second", "3", "0"]
    assert cells[5:8] == [
        f"{limbs:.3f} / {joints:.3f}",
        "–",
        "–",
    ]  # no detector, nothing end to end
    assert cells[10] == f"{figures['real_none']['PCK_swap_tolerant']:.3f} / –"
    with pytest.raises(UsageError, match="was trained on 1 of the tested"):
        tool.refuse_known(model.path, experiment.dives["first"].train)


def test_a_pretraining_sees_its_images_small_first(experiment):
    larger = replace(
        experiment, overrides=(*experiment.overrides, "input_size=128"), coarse_images=3
    )
    start = tool.pretrain(larger, tool.VARIANTS["lsp"], 0)
    models = [
        read_model_directory(start.with_name(start.name + end), "pose")
        for end in ("_coarse", "")
    ]
    assert [
        (model.settings["input_size"], model.settings["sigma"]) for model in models
    ] == [(64, 1.0), (128, 1.5)]
    (line,) = json.loads((start / "manifest.json").read_text())["initial_weights"]
    assert line.startswith(str(models[0].path))


def test_a_pretraining_goes_on_with_other_images_and_some_of_its_own(
    experiment, monkeypatch
):
    trained = []

    def train(_, kind, folder, data, preset, settings, images, init_from, seed):
        trained.append(
            (folder.name, len(data.train), images, Path(init_from).name, settings[-1])
        )

    monkeypatch.setattr(shared.Experiment, "train", train)
    monkeypatch.setattr(
        shared.Experiment, "source", lambda self, name: self.dives["first"]
    )
    found = tool.pretrain(
        replace(experiment, coarse_images=0, then_images=7),
        tool.VARIANTS["synth-lsp"],
        0,
    )
    assert found.name == "synth_seed0_then_lsp"
    assert trained == [
        ("synth_seed0", 3, 3, "none", "batch_size=32"),
        ("synth_seed0_then_lsp", 6, 7, "synth_seed0", "lr=5e-4"),
    ]


def test_a_stage_is_done_once_and_one_that_failed_again(experiment):
    calls = []
    for _ in range(2):
        assert experiment.stage("one", lambda: calls.append(1) or {"value": 3}) == {
            "value": 3
        }
    assert calls == [1]
    with pytest.raises(ZeroDivisionError):
        experiment.stage("two", lambda: {"value": 1 // 0})
    assert experiment.stage("two", lambda: {"value": 1}) == {"value": 1}


def test_time_is_up():
    with pytest.raises(KeyboardInterrupt), shared.interrupt_after(0.001):
        time.sleep(10)
    with shared.interrupt_after(10):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_lsp_is_divided_the_same_whatever_the_order():
    names = [f"im{number:05d}.jpg" for number in range(1000)]
    parts = shared.divide_lsp(names)
    assert {part: len(images) for part, images in parts.items()} == {
        "test": 300,
        "choice": 100,
        "train": 600,
    }
    assert set.union(*parts.values()) == set(names)
    assert shared.divide_lsp(names[::-1]) == parts


def test_choosing_never_looks_at_the_other_dive(experiment):
    train, test = tool.select_frames(
        experiment, tool.Job("lsp", "second", 0, choosing=True)
    )
    assert [frame.frame for frame in (*train.train, *test.train)] == [3, 4, 5]
    assert len(test.train) == 1
    assert (
        tool.Job("lsp", "second", 0, choosing=True).name
        != tool.Job("lsp", "second", 0).name
    )


def test_frames_of_the_curve_are_spread():
    assert tool.spread_evenly(34, 34) == list(range(34))
    assert tool.spread_evenly(34, 5) == [3, 10, 17, 23, 30]
    with pytest.raises(DataError, match="expected 1 to 34"):
        tool.spread_evenly(34, 35)


def test_jobs_of_the_curve_choice_and_seeds():
    jobs = tool.list_jobs(["plain", "mixed"], [0, 1], "mixed", choose=True)
    assert len({job.name for job in jobs}) == len(jobs) == 4 + 8 + 12
    assert all(job.seed == 0 for job in jobs if job.choosing)
    assert tool.Job("plain", "first", 0).test == "second"
    assert [
        job.train
        for job in tool.list_jobs(
            ["plain"], [0, 1], None, choose=False, dives=["second"]
        )
    ] == ["second"] * 2


def test_frames_are_generated_at_many_places_in_easy_and_hard_scenes(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(shared, "FRAMES_A_DIVE", 2)
    monkeypatch.setattr(shared, "MEET_DIVES", 1)
    assert shared.generate_frames(tmp_path, 4, workers=1)["frames"] == 4
    from finediving_pose.datasets.labels import read_labels

    labels = read_labels(tmp_path / "labels.json", images=tmp_path / "frames")
    assert labels.errors == ()
    assert {frame.match.partition("_")[0] for frame in labels.frames} == {
        "easy",
        "hard",
    }
    assert all(
        frame.labelled.all() and np.isfinite(frame.box).all() for frame in labels.frames
    )


def test_dives_to_learn_from_come_from_many_meets_and_half_of_them_are_none_that_judges_know():
    dives = shared.plan_training_dives(100)
    assert len(dives) == 100
    assert len({(match, dive.dive) for match, dive in dives}) == 100
    assert len({dive.venue_seed for _, dive in dives}) > 15
    assert sum(dive.free_limbs for _, dive in dives) == 50
    assert sum(dive.hard for _, dive in dives) == 48
    assert all(
        match.startswith("hard" if dive.hard else "easy") for match, dive in dives
    )


def test_packed_data_is_smaller_and_reads_the_same(experiment, tmp_path):
    from finediving_pose.datasets.labels import read_labels

    shared.pack_lsp(experiment.lsp, tmp_path / "packed")
    before, after = read_labels(experiment.lsp), read_labels(tmp_path / "packed")
    assert [frame.image for frame in after.frames] == [
        frame.image for frame in before.frames
    ]
    np.testing.assert_array_equal(after.frames[0].keypoints, before.frames[0].keypoints)
    sizes = [
        [path.stat().st_size for path in (folder / "images").iterdir()]
        for folder in (experiment.lsp, tmp_path / "packed")
    ]
    assert sum(sizes[1]) < 0.7 * sum(sizes[0])


@pytest.mark.parametrize(
    ("module", "written"), [(tool, "table.md"), (boxes, "boxes.md")]
)
def test_a_command_that_runs_out_of_time_goes_on(
    experiment, monkeypatch, capsys, module, written
):
    monkeypatch.setattr(module, "run", lambda *_: time.sleep(10))
    arguments = [
        "--sample",
        experiment.sample,
        "--lsp",
        experiment.lsp,
        "--out",
        experiment.out,
        "--minutes",
        0.001,
    ]
    monkeypatch.setattr(sys, "argv", ["the tool", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 130
    assert (experiment.out / written).read_text() == capsys.readouterr().out


def test_end_to_end_the_tested_dive_is_extracted(
    experiment, tiny_pose_model, tiny_detector_model, tmp_path
):
    shutil.copytree(tiny_detector_model, tmp_path / "detectors" / "first")
    found = replace(experiment, detectors=tmp_path / "detectors")
    figures = tool.evaluate_end_to_end(
        found, tool.Job("plain", "first", 0), tiny_pose_model
    )
    ways = (
        "end_to_end_none",
        "end_to_end_rotate4",
        "second_look_none",
        "second_look_rotate4",
    )
    assert tuple(figures) == ways
    assert [found["frames"] for found in figures.values()] == [3] * 4
    assert all(0 <= found["PCK"] <= 1 for found in figures.values())


def sequence(keypoints, state, boxes):
    """Return an extraction of frames 3, 4, …"""
    frames = len(keypoints)
    track = BoxTrack(
        boxes=boxes, scores=np.ones(frames), state=np.ones(frames, np.uint8)
    )
    return SkeletonSequence(
        keypoints, np.ones((frames, 16)), state, track, np.arange(3, 3 + frames)
    )


def test_what_two_extractions_agree_on_becomes_labels(experiment):
    frames = experiment.dives["second"].train
    points = np.tile(np.arange(16.0)[:, None] * 5, (3, 1, 2))
    other = points.copy()
    other[0, 0] += 3.9  # of a box of 100 px
    other[0, 1, 0] += 4.1
    state = np.ones((3, 16), np.uint8)
    state[0, 2] = JointState.INTERPOLATED
    state[0, 3] |= JointState.SIDE_SWAPPED
    state[1, :9] = JointState.OUTLIER_REMOVED
    boxes = np.array([[0.0, 0.0, 100.0, 60.0]] * 2 + [[np.nan] * 4])
    other[0, 0] -= (3.9, 0.0)
    (label,) = rounds.label_by_itself(
        frames, sequence(points, state, boxes), sequence(other, state, boxes)
    )
    assert label.image == frames[0].image
    assert label.labelled.tolist() == [True, False, False, *[True] * 13]
    np.testing.assert_array_equal(label.keypoints[3:], points[0, 3:])
    assert np.isnan(label.keypoints[1:3]).all()
    assert label.unconfirmed
    np.testing.assert_array_equal(label.box, boxes[0])


def test_a_round_needs_the_net_before_it(experiment):
    with pytest.raises(UsageError, match=r"few_labels\.py --variants plain first"):
        rounds.run(experiment, rounds.Round("plain", "first", 0, number=1))


def test_a_round_learns_from_the_tested_dive_and_says_so(
    experiment, tiny_pose_model, tiny_detector_model, tmp_path, monkeypatch
):
    shutil.copytree(tiny_detector_model, tmp_path / "detectors" / "first")
    shutil.copytree(tiny_pose_model, experiment.out / "models" / "plain_first_seed0")
    points, boxes = (
        np.tile(np.arange(16.0)[:, None] * 5, (3, 1, 2)),
        np.tile([0.0, 0.0, 100.0, 60.0], (3, 1)),
    )
    extracted = sequence(
        points, np.ones((3, 16), np.uint8), boxes
    )  # nets as small as these find nobody
    monkeypatch.setattr(rounds, "read_pose", lambda *_: extracted)
    found = replace(experiment, detectors=tmp_path / "detectors")
    row = rounds.run(found, rounds.Round("plain", "first", 0, number=1))
    assert (row["labelled_frames"], row["labelled_joints"]) == (3, 48)
    model = read_model_directory(
        experiment.out / "models" / "plain_first_seed0_round1", "pose"
    )
    assert model.trained_on == ("sample/first", "sample/second")
    with pytest.raises(UsageError, match="was trained on 1 of the tested"):
        tool.refuse_known(model.path, experiment.dives["second"].train)
    text = rounds.format_table(experiment.out / "results")
    assert (
        text.count("| first → second | 0 | 0 | none |")
        == text.count("| first → second | 0 | 1 | ")
        == 6
    )
    assert (
        len(tool.format_table(experiment.out / "results").splitlines()) == 2
    )  # not among the others


def test_a_detector_starts_from_generated_boxes_and_is_tested_on_the_other_dive(
    experiment,
):
    given = {
        name: getattr(experiment, name) for name in ("sample", "lsp", "out", "device")
    }
    settings = (*tiny_models.DETECTOR, "batch_size=2")
    small = boxes.BoxExperiment(
        **given, overrides=settings, generated=4, pretrain_images=4, finetune_images=3
    )
    found = boxes.run(small, "generated", "second", 0)
    assert (found["train"], found["test"]) == ("second", "first")
    assert 0 <= found["boxes"]["best_recall"] <= found["boxes"]["recall"] <= 1
    model = read_model_directory(
        experiment.out / "detectors" / "generated" / "second", "detector"
    )
    assert "sample/second" in model.trained_on
    assert sum(name.startswith(("easy_", "hard_")) for name in model.trained_on) == 2
    assert (
        boxes.run(small, "generated-alone", "second", 0)["train"] == "none"
    )  # from the same pretraining
    text = boxes.format_table(experiment.out / "results")
    assert text.count("| generated | second → first | 0 |") == 1
    assert text.splitlines()[2].startswith("| generated-alone | none → first |")


@pytest.mark.parametrize(
    ("codes", "ended", "calls"),
    [("0 0 0", 0, 3), ("0 130", 130, 2), ("130", 130, 1), ("0 3", 3, 2)],
)
def test_the_gpu_script_goes_on_until_a_part_is_stopped(tmp_path, codes, ended, calls):
    stub = tmp_path / "python"
    stub.write_text(
        f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n'
        f'set -- {codes}\nshift $(($(wc -l < {tmp_path}/calls) - 1))\nexit "$1"\n'
    )
    stub.chmod(0o755)
    given = {"PYTHON": str(stub), "WINNER": "synth", "WORKERS": "3", "MINUTES": "0.5"}
    command = [
        "bash",
        str(TOOLS / "few_labels_gpu.sh"),
        "out",
        "sample",
        "lsp",
        "--pretrain-images",
        "7",
        "batch_size=8",
    ]
    run = subprocess.run(command, env={**os.environ, **given}, check=False, timeout=60)
    assert run.returncode == ended
    lines = (tmp_path / "calls").read_text().splitlines()
    assert len(lines) == calls
    minutes = [float(line.split("--minutes ")[1].split()[0]) for line in lines]
    assert minutes[0] == pytest.approx(0.5, abs=0.1)
    assert minutes == sorted(minutes, reverse=True)
    assert minutes[-1] > 0
    given = [
        tool.parse_options(line.split("few_labels.py ")[1].split())
        for line in lines
        if "few_labels.py" in line
    ]
    ends = [
        (options.pretrain_images, options.overrides[-1], options.device)
        for options in given
    ]
    assert ends == [(7, "batch_size=8", "cuda")] * len(given)
    if calls == 3:
        assert (given[1].variants, given[1].seeds, given[1].curve) == (
            ["plain", "synth"],
            [0, 1, 2],
            "synth",
        )


def test_the_gpu_script_says_what_it_needs():
    run = subprocess.run(
        ["bash", str(TOOLS / "few_labels_gpu.sh")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode != 0
    assert "OUT SAMPLE LSP" in run.stderr
