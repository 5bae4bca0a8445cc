"""Our batched estimator answers what MMPose's own inference answers for the same net,
frames and boxes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from finediving_pose import errors
from finediving_pose.datasets.model_directory import read_model_directory
from finediving_pose.network_interfaces import NetworkOptions
from finediving_pose.openmmlab import compat
from finediving_pose.openmmlab.heatmaps import LONGEST_STEP
from finediving_pose.openmmlab.hrnet import Hrnet, HrnetSettings
from finediving_pose.skeleton import NUM_JOINTS
from finediving_pose.synthesis.sample import draw_dive

SIDE = 64


@pytest.fixture(scope="module")
def frames():
    """Pictures of two sizes with two boxes each; one reaches beyond the picture's edge."""
    first, second = draw_dive(11, 1), draw_dive(12, 1)
    outside = np.array([-20.5, 100.25, 30.0, 150.5])
    return [
        (first.images[0], [first.boxes[0], outside]),
        (second.images[0][:200], [second.boxes[0], second.boxes[0] + 7.3]),
    ]


class SmoothFeatures(torch.nn.Module):
    """In place of HRNet: broad features of the picture, so that heatmaps have peaks
    without any training."""

    def __init__(self, width: int) -> None:
        super().__init__()
        random = torch.Generator().manual_seed(0)
        self.mix = torch.nn.Conv2d(3, width, 9, stride=4, padding=4)
        self.blur = torch.nn.AvgPool2d(5, stride=1, padding=2)
        with torch.no_grad():
            self.mix.weight.copy_(torch.randn(self.mix.weight.shape, generator=random))

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.blur(self.blur(self.mix(images))),)


def smooth(net: torch.nn.Module, width: int, softmax: bool) -> torch.nn.Module:
    """Give a net such features, and a last layer whose answers spread as a trained
    one's do."""
    net.backbone = SmoothFeatures(width)
    with torch.no_grad():
        pictures = torch.stack(
            [
                torch.from_numpy(draw_dive(seed, 1).images[0][80:144, 180:244])
                for seed in (1, 2)
            ]
        )
        features = net.extract_feat((pictures.permute(0, 3, 1, 2).float() - 120) / 58)
        layer = net.head.final_layer
        layer.weight.copy_(
            torch.randn(layer.weight.shape, generator=torch.Generator().manual_seed(1))
        )
        logits = layer(features[0])
        gain = (4.0 if softmax else 0.15) / logits.std()
        layer.weight.mul_(gain)
        layer.bias.copy_(-gain * logits.mean(dim=(0, 2, 3)) + (0.0 if softmax else 0.5))
    return net.eval()


def build(model: dict) -> torch.nn.Module:
    compat.require_packages("mmpose")
    from mmengine.registry import DefaultScope
    from mmpose.registry import MODELS

    with DefaultScope.overwrite_default_scope("mmpose"):
        return MODELS.build(model)


def pair(heatmap: str, loss: str, flip_test: bool):
    """Our estimator, and MMPose's model with the very same net, ready for
    inference_topdown."""
    from mmengine.config import Config

    from finediving_pose.openmmlab.pose_estimator import MMPoseEstimator
    from finediving_pose.openmmlab.pose_network import configure_val_pipeline
    from finediving_pose.openmmlab.pose_parts import DiverDataset

    settings = HrnetSettings(
        backbone="w8", input_size=SIDE, heatmap=heatmap, loss=loss, flip_test=flip_test
    )
    network = Hrnet(settings)
    net = build(network.configure_model())
    smooth(net, 8, loss == "softmax")
    net.cfg = Config(
        {"test_dataloader": {"dataset": {"pipeline": configure_val_pipeline(settings)}}}
    )
    from mmpose.datasets.datasets.utils import parse_pose_metainfo

    net.dataset_meta = parse_pose_metainfo(DiverDataset.METAINFO)
    return MMPoseEstimator(
        net, network, {}, NetworkOptions("cpu", flip_test=flip_test)
    ), net


def within_the_longest_step(estimator, crops, expected: np.ndarray) -> np.ndarray:
    """(N, 16) where MMPose's refined point lies so near to the maximum that ours is not
    held back."""
    heatmaps = estimator.run_views([crop.pixels for crop in crops])
    last = 1 if estimator.settings.heatmap == "udp" else 0
    index = heatmaps.flatten(2).argmax(-1).numpy()
    cell = SIDE / (SIDE // 4 - last)
    coarse = np.stack((index % (SIDE // 4), index // (SIDE // 4)), axis=-1) * cell
    zoom = np.array([crop.to_frame[0, 0] for crop in crops])[:, None, None]
    coarse = coarse * zoom + np.stack([crop.to_frame[:, 2] for crop in crops])[:, None]
    return (np.abs(expected - coarse) < LONGEST_STEP * cell * zoom).all(axis=-1)


@pytest.mark.parametrize(
    ("heatmap", "loss", "flip_test"),
    [
        ("msra", "softmax", True),
        ("msra", "mse", False),
        ("dark", "softmax", False),
        ("dark", "softmax", True),
        ("dark", "mse", True),
        ("udp", "softmax", True),
        ("udp", "mse", False),
    ],
)
def test_it_equals_mmposes_inference(frames, heatmap, loss, flip_test):
    estimator, net = pair(heatmap, loss, flip_test)
    from mmpose.apis import inference_topdown

    crops = [estimator.crop(image, box) for image, boxes in frames for box in boxes]
    keypoints, scores = estimator(crops)
    theirs = [
        sample.pred_instances
        for image, boxes in frames
        for sample in inference_topdown(net, image, np.array(boxes, np.float32))
    ]
    expected = np.concatenate([instances.keypoints for instances in theirs])
    assert keypoints.shape == (4, NUM_JOINTS, 2)
    assert (
        np.linalg.norm(expected[0].std(axis=0)) > 5
    )  # the joints do differ, or this would show nothing
    believed = within_the_longest_step(estimator, crops, expected)
    assert believed.mean() > 0.85
    np.testing.assert_allclose(
        keypoints[believed], expected[believed], rtol=0, atol=0.05
    )
    confidence = np.concatenate([instances.keypoint_scores for instances in theirs])
    np.testing.assert_allclose(scores, np.clip(confidence, 0, 1), rtol=0, atol=1e-4)


@pytest.mark.parametrize("flip_test", [True, False])
def test_on_a_cpu_batches_and_their_order_do_not_matter_by_a_bit(frames, flip_test):
    estimator, _ = pair("dark", "softmax", flip_test)
    crops = [estimator.crop(image, box) for image, boxes in frames for box in boxes]
    together, scores = estimator(crops)
    backwards, _ = estimator(crops[::-1])
    np.testing.assert_array_equal(backwards[::-1], together)
    for i, crop in enumerate(crops):
        alone, score = estimator([crop])
        np.testing.assert_array_equal(alone[0], together[i])
        np.testing.assert_array_equal(score[0], scores[i])


def test_no_crop_gives_no_answer():
    estimator, _ = pair("dark", "softmax", True)
    keypoints, scores = estimator([])
    assert keypoints.shape == (0, NUM_JOINTS, 2)
    assert scores.shape == (0, NUM_JOINTS)
    assert keypoints.dtype == scores.dtype == np.float32


def test_an_empty_heatmap_is_a_missing_joint(frames, monkeypatch):
    estimator, _ = pair("dark", "softmax", False)
    heatmaps = torch.zeros(1, NUM_JOINTS, 16, 16)
    heatmaps[0, 3, 4, 9] = 1.0
    monkeypatch.setattr(estimator, "run_views", lambda _: heatmaps)
    image, (box, _) = frames[0]
    crop = estimator.crop(image, box)
    keypoints, scores = estimator([crop])
    known = np.isfinite(keypoints[0]).all(axis=1)
    assert known.nonzero()[0].tolist() == [3]
    np.testing.assert_allclose(
        keypoints[0, 3], crop.to_frame @ [9 * 4, 4 * 4, 1], atol=1e-3
    )
    assert scores[0].tolist() == [0.0] * 3 + [1.0] + [0.0] * 12


def test_a_model_directory_loads_and_names_itself(tiny_pose_model, frames):
    from finediving_pose.openmmlab.pose_estimator import load_estimator

    estimator = load_estimator(tiny_pose_model)
    directory = read_model_directory(tiny_pose_model)
    assert estimator.identity["weights_sha256"] == directory.weights_sha256
    assert estimator.identity["flip_test"] is True
    assert (
        estimator.identity
        != load_estimator(tiny_pose_model, NetworkOptions(flip_test=False)).identity
    )
    image, (box, _) = frames[0]
    keypoints, scores = estimator([estimator.crop(image, box)])
    assert np.isfinite(keypoints).all()
    assert (scores > 0).all()
    assert (scores <= 1).all()
    crop_side = (box[2:] - box[:2]).max() * 1.25
    assert (np.abs(keypoints[0] - (box[:2] + box[2:]) / 2) <= crop_side).all()


def test_bf16_answers_nearly_the_same(frames):
    from finediving_pose.openmmlab.pose_estimator import MMPoseEstimator

    estimator, net = pair("dark", "softmax", False)
    image, boxes = frames[0]
    crops = [estimator.crop(image, box) for box in boxes]
    exact, _ = estimator(crops)
    options = NetworkOptions("cpu", "bf16", flip_test=False)
    half, _ = MMPoseEstimator(net, Hrnet(estimator.settings), {}, options)(crops)
    assert np.median(np.linalg.norm(half - exact, axis=-1)) < 5


def test_compiled_it_answers_the_same_in_batches_of_any_size(frames, monkeypatch):
    from finediving_pose.openmmlab.pose_estimator import CPU_CROPS, MMPoseEstimator

    estimator, net = pair("dark", "softmax", True)
    seen = []

    def compiled(forward, **how):
        assert how == {"dynamic": False}
        return lambda batch: (seen.append(len(batch)), forward(batch))[1]

    monkeypatch.setattr(torch, "compile", compiled)
    fast = MMPoseEstimator(
        net, Hrnet(estimator.settings), {}, NetworkOptions("cpu", compile=True)
    )
    image, boxes = frames[0]
    crops = [estimator.crop(image, boxes[0])] * (CPU_CROPS + 1)
    for a, b in zip(estimator(crops), fast(crops), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)
    assert seen == [2 * CPU_CROPS] * 2


def test_a_size_that_does_not_fit_is_not_come_back_to(frames, monkeypatch):
    """Where memory runs out the batch is halved, and a compiled net must not fill it up
    again."""
    from finediving_pose.extraction.batching import Batcher
    from finediving_pose.openmmlab import pose_estimator

    monkeypatch.setattr(pose_estimator, "CPU_CROPS", 8)
    seen = []

    def compiled(forward, **_):
        def run(batch):
            seen.append(len(batch))
            if len(batch) > 4:
                raise RuntimeError("CUDA out of memory")
            return forward(batch)

        return run

    estimator, net = pair("dark", "softmax", False)
    monkeypatch.setattr(torch, "compile", compiled)
    fast = pose_estimator.MMPoseEstimator(
        net,
        Hrnet(estimator.settings),
        {},
        NetworkOptions("cpu", compile=True, flip_test=False),
    )
    image, boxes = frames[0]
    batcher = Batcher(lambda crops: list(zip(*fast(crops), strict=True)), 8)
    answers = [
        a for key in range(16) for a in batcher.add(key, fast.crop(image, boxes[0]))
    ] + batcher.flush()
    assert [answer.key for answer in answers if answer.value is not None] == list(
        range(16)
    )
    assert seen == [8, 4, 4, 4, 4]


def test_weights_of_another_net_are_refused(tiny_pose_model, tmp_path):
    import json
    import shutil

    from finediving_pose.openmmlab.pose_estimator import load_estimator

    for name in ("model.json", "model.safetensors"):
        shutil.copy(tiny_pose_model / name, tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    card["settings"]["backbone"] = "w16"
    (tmp_path / "model.json").write_text(json.dumps(card))
    with pytest.raises(
        errors.UsageError, match=r"filled \d+ of the network's \d+ tensors"
    ):
        load_estimator(tmp_path)
