"""Detectors of ours and of others as callables."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.made_detectors import decided_net

from finediving_pose import errors
from finediving_pose.network_interfaces import Launching, NetworkOptions, Preparing
from finediving_pose.openmmlab import compat
from finediving_pose.openmmlab.athlete_detector import AthleteDetector
from finediving_pose.openmmlab.detector import MMDetector, load_detector
from finediving_pose.openmmlab.detector_config import configure_inference_pipeline
from finediving_pose.synthesis.sample import draw_dive

ZOO_NAME = "rtmdet_tiny_8xb32-300e_coco"


@pytest.fixture(scope="module")
def images():
    """Pictures of three sizes, wide, tall and tiny."""
    return [
        draw_dive(1, 1).images[0],
        draw_dive(2, 1).images[0][:, 100:300],
        np.zeros((40, 50, 3), np.uint8),
    ]


@pytest.fixture(scope="module")
def detector(tiny_detector_model):
    return load_detector(str(tiny_detector_model))


def test_boxes_are_sorted_and_inside_images_of_any_size(detector, images):
    found = detector(images)
    assert len(found) == 3
    for image, people in zip(images, found, strict=True):
        assert people.boxes.shape == (len(people.scores), 4)
        assert 0 < len(people.scores) <= 100
        assert people.boxes.dtype == people.scores.dtype == np.float32
        assert (np.diff(people.scores) <= 0).all()
        height, width = image.shape[:2]
        assert (people.boxes >= 0).all()
        assert (people.boxes <= [width, height, width, height]).all()
        assert (people.boxes[:, 2:] >= people.boxes[:, :2]).all()


def test_on_a_cpu_an_images_boxes_do_not_depend_on_the_others_by_a_bit(
    detector, images
):
    together = detector(images)
    for image, people in zip(images, together, strict=True):
        (alone,) = detector([image])
        np.testing.assert_array_equal(alone.boxes, people.boxes)
        np.testing.assert_array_equal(alone.scores, people.scores)


@pytest.mark.parametrize("threshold", [0.0, 0.3])
def test_it_equals_mmdetections_inference(images, threshold):
    settings, net = decided_net(threshold)
    theirs = MMDetector(
        copy.deepcopy(net),
        configure_inference_pipeline(settings),
        {},
        NetworkOptions("cpu", score_threshold=threshold),
    )(images)
    ours = AthleteDetector(
        net, settings, {}, NetworkOptions("cpu", score_threshold=threshold)
    )(images)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.scores, b.scores, atol=1e-4)
        np.testing.assert_allclose(a.boxes, b.boxes, atol=0.02)
        assert 0.2 < a.scores.max() < 1
        assert a.scores.min() > threshold
    assert min(len(found.scores) for found in ours) > 1


def test_prepared_ahead_and_asked_later_it_finds_the_same(detector, images):
    ask = detector.launch([detector.prepare(image) for image in images])
    detector.launch([detector.prepare(images[2])])()
    for a, b in zip(ask(), detector(images), strict=True):
        assert np.array_equal(a.boxes, b.boxes)
        assert np.array_equal(a.scores, b.scores)
    assert detector.prepare(images[0]).nbytes == 96 * 96 * 3
    assert isinstance(detector, Preparing)
    assert isinstance(detector, Launching)


def test_compiled_it_finds_the_same_in_batches_of_any_size(images, monkeypatch):
    seen = []

    def compiled(forward, **how):
        assert how == {"dynamic": False}

        def run(batch):
            seen.append(len(batch))
            return forward(batch)

        return run

    (settings, net), (_, same) = decided_net(0.3), decided_net(0.3)
    options = NetworkOptions("cpu", score_threshold=0.3)
    plain = AthleteDetector(net, settings, {}, options)
    monkeypatch.setattr(torch, "compile", compiled)
    detector = AthleteDetector(same, settings, {}, replace(options, compile=True))
    assert detector.identity == plain.identity
    for some in (images, images[:1], images[1:]):
        for a, b in zip(plain(some), detector(some), strict=True):
            np.testing.assert_allclose(a.boxes[:5], b.boxes[:5], atol=0.05)
    assert seen == [3, 3, 3]  # always one size: smaller batches are filled up


def test_nothing_found_is_an_empty_answer_of_the_right_shape(
    tiny_detector_model, images
):
    strict = load_detector(
        str(tiny_detector_model), NetworkOptions(score_threshold=1.0)
    )
    for people in strict(images):
        assert people.boxes.shape == (0, 4)
        assert people.scores.shape == (0,)
    assert load_detector(str(tiny_detector_model))([]) == []


def test_the_threshold_is_the_models_own_unless_another_is_given(
    detector, tiny_detector_model, images
):
    assert detector.score_threshold == 0.0  # what the fixture was trained with
    scores = detector(images[:1])[0].scores
    middle = float(np.median(scores))
    other = load_detector(
        str(tiny_detector_model), NetworkOptions(score_threshold=middle)
    )
    (kept,) = other(images[:1])
    assert len(kept.scores) == (scores >= np.float32(middle)).sum() < len(scores)
    assert other.identity != detector.identity


def test_a_pose_model_is_no_detector(tiny_pose_model):
    with pytest.raises(
        errors.UsageError, match="is a pose model, and a detector model is needed"
    ):
        load_detector(str(tiny_pose_model))


def zoo_config(name: str) -> Path:
    import mmdet

    (path,) = (Path(mmdet.__file__).parent / ".mim" / "configs").rglob(f"{name}.py")
    return path


@pytest.fixture(scope="module")
def foreign_checkpoint(tmp_path_factory):
    """A checkpoint as MMDetection leaves it: 80 classes, random weights."""
    compat.require_packages("mmdet")
    from mmdet.datasets import CocoDataset
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import DefaultScope

    config = Config.fromfile(str(zoo_config(ZOO_NAME)))
    config.model.backbone.init_cfg = None
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope("mmdet"):
        net = MODELS.build(config.model)
    path = tmp_path_factory.mktemp("zoo") / "rtmdet.pth"
    classes = CocoDataset.METAINFO["classes"]
    torch.save(
        {
            "state_dict": net.state_dict(),
            "meta": {"dataset_meta": {"classes": classes}},
        },
        path,
    )
    return path


def test_of_a_foreign_detector_only_people_in_the_picture_are_kept(
    foreign_checkpoint, images, monkeypatch
):
    from mmdet.structures import DetDataSample
    from mmengine.structures import InstanceData

    detector = load_detector(f"{zoo_config(ZOO_NAME)},{foreign_checkpoint}")
    assert detector.people == (0,)
    assert detector.score_threshold == 0.05
    height, width = images[0].shape[:2]
    answer = InstanceData(
        bboxes=torch.tensor(
            [
                [0.0, 0, 10, 10],
                [5, 5, 90, 60],
                [20, 20, width + 30, 50],
                [1, height, 9, height + 9],
            ]
        ),
        labels=torch.tensor(
            [0, 7, 0, 0]
        ),  # a person, a truck, a person who leaves the picture, and one below it
        scores=torch.tensor([0.3, 0.9, 0.6, 0.8]),
    )
    sample = DetDataSample(
        pred_instances=answer, metainfo={"ori_shape": (height, width)}
    )
    monkeypatch.setattr(detector.net, "test_step", lambda batch: [sample])
    (found,) = detector(images[:1])
    np.testing.assert_allclose(found.scores, [0.6, 0.3], rtol=1e-6)
    assert found.boxes.tolist() == [[20, 20, width, 50], [0, 0, 10, 10]]


def test_classes_without_a_person_are_refused(foreign_checkpoint, tmp_path):
    content = torch.load(foreign_checkpoint)
    content["meta"]["dataset_meta"]["classes"] = ("cat", "dog")
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(
        errors.UsageError, match=r"none of its classes is a person \(cat, dog"
    ):
        load_detector(f"{zoo_config(ZOO_NAME)},{tmp_path / 'x.pth'}")


def test_a_checkpoint_of_another_config_is_refused(foreign_checkpoint):
    with pytest.raises(
        errors.UsageError, match=r"filled \d+ of the network's \d+ tensors"
    ):
        load_detector(f"{zoo_config('rtmdet_s_8xb32-300e_coco')},{foreign_checkpoint}")


def test_a_config_without_its_file(tmp_path):
    with pytest.raises(errors.UsageError, match=r"no config file .*absent\.py"):
        load_detector(f"{tmp_path / 'absent.py'},{tmp_path / 'x.pth'}")
    with pytest.raises(errors.UsageError, match=r"x\.pth: no such file"):
        load_detector(f"{zoo_config(ZOO_NAME)},{tmp_path / 'x.pth'}")
    with pytest.raises(
        errors.UsageError, match="a detector without weights finds nothing"
    ):
        load_detector(f"{zoo_config(ZOO_NAME)},none")


def test_a_misspelt_name_suggests_the_nearest():
    with pytest.raises(
        errors.UsageError, match=r"did you mean rtmdet_tiny_8xb32-300e_coco\?"
    ):
        load_detector("rtmdet_tiny_8xb32-300e_cocoo")


def test_zoo_weights_that_cannot_be_fetched_name_the_place_for_the_file(
    tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise OSError("no network in tests")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(errors.EnvironmentUnfit) as caught:
        load_detector(ZOO_NAME)
    place = (
        tmp_path
        / "checkpoints"
        / "rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth"
    )
    assert str(place) in str(caught.value)
    assert "no network in tests" in str(caught.value)


def test_zoo_weights_put_there_by_hand_are_used(
    tmp_path, monkeypatch, foreign_checkpoint
):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    place = (
        tmp_path
        / "checkpoints"
        / "rtmdet_tiny_8xb32-300e_coco_20220902_112414-78e30dcc.pth"
    )
    place.parent.mkdir()
    place.write_bytes(foreign_checkpoint.read_bytes())
    detector = load_detector(ZOO_NAME)
    assert detector.people == (0,)
    assert detector.identity["settings"] == ZOO_NAME


def test_a_detector_with_roi_align_says_what_it_needs(tmp_path):
    if (
        "compiled" in compat.list_stand_ins()["mmcv._ext"]
        or compat.list_stand_ins()["torchvision"] == "torchvision"
    ):
        pytest.skip("RoIAlign is available here")
    torch.save({"state_dict": {"x": torch.ones(1)}}, tmp_path / "x.pth")
    config = tmp_path / "faster-rcnn.py"
    resize = {
        "type": "Resize",
        "scale": (128, 128),
        "keep_ratio": True,
    }  # smaller than the zoo's, for speed
    meta = ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")
    config.write_text(
        f"_base_ = [{str(zoo_config('faster-rcnn_r50_fpn_1x_coco'))!r}]\n"
        f"steps = [{resize}, {{'type': 'PackDetInputs', 'meta_keys': {meta}}}]\n"
        "test_dataloader = dict(dataset=dict(pipeline=steps))\n"
    )
    with pytest.raises(
        errors.EnvironmentUnfit,
        match=r"faster-rcnn: .*roi_align.* needs the compiled package",
    ):
        load_detector(f"{config},{tmp_path / 'x.pth'}")


def test_bf16_finds_nearly_the_same(tiny_detector_model, detector, images):
    exact = detector(images[:1])[0].scores[:3]
    rough = load_detector(str(tiny_detector_model), NetworkOptions(precision="bf16"))
    half = rough(images[:1])[0].scores[:3]
    np.testing.assert_allclose(half, exact, atol=0.02)
