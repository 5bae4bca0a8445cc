"""The Ray engine on a real cluster of two nodes: the same outcomes as on one machine,
also when a node goes."""

from __future__ import annotations

import os
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from helpers.moving_blobs import BlobDetector, BoxEstimator, write_clip

from finediving_pose.cli.main import run as fdpose
from finediving_pose.errors import EnvironmentUnfit
from finediving_pose.extraction import ray_engine
from finediving_pose.extraction.engine import Equipment
from finediving_pose.extraction.loading import Task
from finediving_pose.extraction.local_engine import LocalEngine
from finediving_pose.extraction.ray_engine import Need, RayEngine
from finediving_pose.extraction.settings import ExtractionSettings
from finediving_pose.records import Clip
from finediving_pose.workflows.extraction import Request, extract, extract_with

ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")

SETTINGS = ExtractionSettings(frames=12)


class SlowDetector(BlobDetector):
    """Says on which nodes it works beside `marker`, and waits for the second one to
    begin."""

    def __init__(self, seconds: float, marker: Path) -> None:
        super().__init__()
        self.seconds, self.marker = seconds, marker

    def __call__(self, images):
        self.marker.with_name(f"{ray.get_runtime_context().get_node_id()}").touch()
        end = time.monotonic() + 60
        while len(list(self.marker.parent.iterdir())) < 2 and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(self.seconds)
        return super().__call__(images)


class DeadlyDetector(BlobDetector):
    """Takes the whole process with it when it sees a picture of one colour."""

    def __call__(self, images):
        if any(image.max() == image.min() for image in images):
            os._exit(1)
        return super().__call__(images)


def equip(detector) -> Equipment:
    engine = LocalEngine(detector, BoxEstimator(), SETTINGS)
    return Equipment(engine, {"detector": dict(detector.identity)})


def equip_blobs() -> Equipment:
    estimator = BoxEstimator()
    identity = {
        "detector": dict(BlobDetector.identity),
        "pose": dict(estimator.identity),
    }
    return Equipment(LocalEngine(BlobDetector(), estimator, SETTINGS), identity)


def broken() -> Equipment:
    raise FileNotFoundError("runs/hrnet/first/model.safetensors")


def started(attempts: int = 4):
    """A cluster of two nodes, connected; on a busy machine a node may take longer than
    Ray waits for it."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        for _ in range(2):
            made.add_node(num_cpus=1, object_store_memory=100 << 20)
        ray.init(address=made.address, log_to_driver=False)
    except Exception:
        ray.shutdown()
        made.shutdown()
        if attempts == 1:
            raise
        return started(attempts - 1)
    return made


@pytest.fixture(scope="module")
def cluster():
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(__file__).resolve().parents[1]), before]
    )
    made = started()
    yield made
    ray.shutdown()
    made.shutdown()
    os.environ["PYTHONPATH"] = before


@pytest.fixture
def tasks(tmp_path):
    clips = [
        write_clip(tmp_path / "videos" / f"{i:02d}", 14 + i % 3) for i in range(24)
    ]
    return [Task(Clip("m", path.name, path), path.name) for path in clips]


def by_clip(outcomes):
    return {outcome.task.clip.key: outcome for outcome in outcomes}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, outcome in expected.items():
        assert found[key].reason == outcome.reason
        assert len(found[key].people) == len(outcome.people)
        for a, b in zip(found[key].people, outcome.people, strict=True):
            assert np.array_equal(a.keypoints, b.keypoints, equal_nan=True)
            assert np.array_equal(a.state, b.state)
            assert np.array_equal(a.track.boxes, b.track.boxes, equal_nan=True)


def test_two_nodes_give_what_one_machine_gives(cluster, tasks):
    expected = by_clip(LocalEngine(BlobDetector(), BoxEstimator(), SETTINGS).run(tasks))
    engine = RayEngine(partial(equip, BlobDetector()))
    assert engine.identity == {"detector": {"kind": "blobs"}}
    outcomes = list(engine.run(iter(tasks)))
    assert len(outcomes) == len(tasks)
    assert_same(by_clip(outcomes), expected)


def test_the_files_are_those_of_the_local_engine(cluster, tmp_path):
    videos = tmp_path / "videos"
    for name in ("a", "b", "c"):
        write_clip(videos / "m" / name, 15)
    extract(videos, tmp_path / "local", BlobDetector(), BoxEstimator(), SETTINGS)
    engine = RayEngine(equip_blobs)
    summary = extract_with(
        lambda: Equipment(engine, engine.identity),
        Request(videos, tmp_path / "ray", SETTINGS),
    )
    assert sorted(summary.done) == ["m/a", "m/b", "m/c"]
    for path in (tmp_path / "local" / "Pose").rglob("*.npz"):
        assert (
            path.read_bytes()
            == (tmp_path / "ray" / path.relative_to(tmp_path / "local")).read_bytes()
        )
    local, cluster_table = (
        (tmp_path / name / "quality.csv").read_text() for name in ("local", "ray")
    )
    assert local == cluster_table
    again = RayEngine(equip_blobs)
    assert (
        len(
            extract_with(
                lambda: Equipment(again, again.identity),
                Request(videos, tmp_path / "ray", SETTINGS),
            ).skipped
        )
        == 3
    )


def test_a_clip_that_takes_its_worker_with_it_is_given_up_alone(
    cluster, tasks, tmp_path
):
    write_clip(tmp_path / "videos" / "deadly", 12, ())
    deadly = Task(Clip("m", "deadly", tmp_path / "videos" / "deadly"), "deadly")
    outcomes = by_clip(
        RayEngine(partial(equip, DeadlyDetector())).run(
            [*tasks[:9], deadly, *tasks[9:12]]
        )
    )
    assert len(outcomes) == 13
    assert {key for key, outcome in outcomes.items() if outcome.reason} == {"m/deadly"}
    assert outcomes["m/deadly"].reason.startswith(
        "3 workers were lost while they worked on it"
    )


def test_the_command_finds_the_packaged_models_on_workers(
    cluster, tmp_path, monkeypatch
):
    write_clip(tmp_path / "videos" / "m" / "a", 4)
    monkeypatch.chdir(tmp_path)
    models = ["--model", "synthetic", "--detector", "synthetic", "--device", "cpu"]
    for engine in ("local", "ray"):
        assert (
            fdpose(
                [
                    "extract",
                    "--videos",
                    "videos",
                    *models,
                    "--out",
                    engine,
                    "--engine",
                    engine,
                ]
            )
            == 0
        )
    local, ray_made = (
        tmp_path / engine / "Pose/m/pred_comp_a.npz" for engine in ("local", "ray")
    )
    assert local.read_bytes() == ray_made.read_bytes()


def test_networks_that_do_not_load_end_the_run_with_the_reason(cluster, tasks):
    with pytest.raises(
        EnvironmentUnfit, match=r"cannot load the networks: .*model\.safetensors"
    ):
        list(RayEngine(broken).run(tasks))


def test_no_room_for_a_worker_is_said_at_once_or_after_waiting(cluster, tasks):
    with pytest.raises(EnvironmentUnfit, match="one worker takes 1 and 1"):
        RayEngine(partial(equip, BlobDetector()), need=Need(gpus=1))
    with pytest.raises(EnvironmentUnfit, match="no Ray worker started within 1 s"):
        list(
            RayEngine(
                partial(equip, BlobDetector()), workers=1, need=Need(gpus=1), patience=1
            ).run(tasks)
        )


def test_leaving_early_frees_the_workers(cluster, tasks):
    engine = RayEngine(partial(equip, BlobDetector()))
    running = engine.run(tasks)
    next(running)
    running.close()
    again = RayEngine(
        partial(equip, BlobDetector()), patience=120
    )  # starts only if there is room again
    assert len(list(again.run(tasks[:2]))) == 2


def test_the_clips_of_a_node_that_is_removed_are_done_by_the_other(
    cluster, tasks, tmp_path, monkeypatch
):
    monkeypatch.setattr(ray_engine, "CLIPS_AT_ONCE", 4)
    expected = by_clip(LocalEngine(BlobDetector(), BoxEstimator(), SETTINGS).run(tasks))
    marker = tmp_path / "nodes" / "x"
    marker.parent.mkdir()
    engine = RayEngine(partial(equip, SlowDetector(0.3, marker)))
    second = cluster.list_all_nodes()[-1]
    outcomes = []
    for outcome in engine.run(iter(tasks)):
        outcomes.append(outcome)
        if second is not None and (marker.parent / second.node_id).exists():
            cluster.remove_node(second, allow_graceful=False)
            second = None
    assert second is None, "the second node never worked"
    assert len(outcomes) == len(tasks)
    assert_same(by_clip(outcomes), expected)
