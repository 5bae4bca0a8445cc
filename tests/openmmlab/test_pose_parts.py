"""Our losses, transforms and data set, by numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from finediving_pose import skeleton
from finediving_pose.datasets.coco import encode_coco
from finediving_pose.files import write_json
from finediving_pose.openmmlab import pose_parts
from finediving_pose.openmmlab.hrnet import Hrnet, HrnetSettings
from finediving_pose.records import LabelledFrame


@pytest.fixture
def loss():
    return pose_parts.SpatialSoftmaxLoss()


def one_hot(y: int, x: int) -> torch.Tensor:
    target = torch.zeros(1, 1, 2, 2)
    target[0, 0, y, x] = 1
    return target


def test_the_loss_of_a_case_worked_out_by_hand(loss):
    logits = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
    exponentials = np.exp([1, 2, 0, -1])
    expected = -np.log(exponentials[1] / exponentials.sum())
    assert loss(logits, one_hot(0, 1), torch.ones(1, 1)).item() == pytest.approx(
        expected, abs=1e-6
    )
    half = 0.5 * one_hot(0, 1) + 0.5 * one_hot(
        1, 1
    )  # any mass counts the same: it is made to sum to 1
    both = -0.5 * np.log(exponentials[1] / exponentials.sum()) - 0.5 * np.log(
        exponentials[3] / exponentials.sum()
    )
    assert loss(logits, 7 * half, torch.ones(1, 1)).item() == pytest.approx(
        both, abs=1e-6
    )


def test_knowing_nothing_costs_the_logarithm_of_all_places(loss):
    target = torch.rand(2, 16, 6, 8)
    value = loss(torch.zeros(2, 16, 6, 8), target, torch.ones(2, 16))
    assert value.item() == pytest.approx(np.log(6 * 8), abs=1e-5)


def test_joints_without_weight_or_outside_the_crop_count_nothing(loss):
    logits, target = torch.randn(1, 3, 4, 4), torch.rand(1, 3, 4, 4)
    alone = loss(logits[:, :1], target[:, :1], torch.ones(1, 1))
    assert loss(logits, target, torch.tensor([[1.0, 0, 0]])).item() == pytest.approx(
        alone.item(), abs=1e-6
    )
    target[:, 1:] = 0  # where the joint lies outside, its heatmap is empty
    assert loss(logits, target, torch.ones(1, 3)).item() == pytest.approx(
        alone.item(), abs=1e-6
    )


def test_gradients_are_finite_and_push_towards_the_target(loss):
    logits = torch.zeros(1, 2, 4, 4, requires_grad=True)
    target = torch.zeros(1, 2, 4, 4)
    target[0, 0, 1, 2] = 1.0
    loss(logits, target, torch.ones(1, 2)).backward()
    assert torch.isfinite(logits.grad).all()
    assert (logits.grad[0, 0] < 0).nonzero().tolist() == [[1, 2]]
    assert (logits.grad[0, 1] == 0).all()
    empty = torch.zeros(1, 2, 4, 4, requires_grad=True)
    value = loss(
        empty, torch.zeros(1, 2, 4, 4), torch.zeros(1, 2)
    )  # a picture without any joint
    value.backward()
    assert value.item() == 0
    assert (empty.grad == 0).all()


def test_the_heads_answer_to_a_perfect_logit_is_the_usual_heatmap():
    from mmengine.registry import DefaultScope
    from mmpose.codecs import MSRAHeatmap
    from mmpose.registry import MODELS

    settings = HrnetSettings(
        backbone="w8", input_size=128, heatmap="dark", loss="softmax", sigma=1.5
    )
    with DefaultScope.overwrite_default_scope("mmpose"):
        head = MODELS.build(Hrnet(settings).configure_model()["head"]).eval()
    codec = MSRAHeatmap((128, 128), (32, 32), sigma=1.5, unbiased=True)
    points = np.random.default_rng(0).uniform(30, 97, (1, 16, 2))
    target = torch.from_numpy(codec.encode(points)["heatmaps"])[None]
    with (
        torch.no_grad()
    ):  # features that are the logarithm of the target, and a layer that hands them on
        head.final_layer = torch.nn.Identity()
        answer = head((target.clamp(min=1e-12).log(),))
    np.testing.assert_allclose(answer, target, atol=0.01)
    assert answer.amax(dim=(-2, -1)).numpy() == pytest.approx(
        target.amax(dim=(-2, -1)).numpy(), abs=0.01
    )
    head.train()
    np.testing.assert_allclose(head((target,)), target)  # logits while training


@pytest.mark.parametrize("angle", [0.0, 0.4, np.pi / 4, np.pi / 2, 3.0])
@pytest.mark.parametrize("length", [2.0, 5.3, 16.0])
def test_a_line_kernel_averages_along_its_line(length, angle):
    kernel = pose_parts.make_line_kernel(length, angle)
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    y, x = np.nonzero(kernel)
    spread = np.stack((x - x.mean(), y - y.mean()))
    assert np.hypot(*np.ptp(spread, axis=1)) == pytest.approx(length - 1, abs=1.5)
    if length > 5:
        along = np.abs(np.array([np.cos(angle), np.sin(angle)]) @ spread).max()
        across = np.abs(np.array([-np.sin(angle), np.cos(angle)]) @ spread).max()
        assert across <= 1
        assert along >= 2 * across


def test_motion_blur_keeps_the_light_and_can_be_left_out():
    image = np.zeros((64, 64, 3), np.uint8)
    image[24:40, 24:40] = 200
    np.random.seed(0)  # noqa: NPY002 - what the transform draws from
    blurred = pose_parts.RandomMotionBlur(1.0).transform({"img": image.copy()})["img"]
    assert blurred.dtype == np.uint8
    assert not np.array_equal(blurred, image)
    assert blurred.mean() == pytest.approx(image.mean(), rel=0.01)
    assert np.array_equal(
        pose_parts.RandomMotionBlur(0.0).transform({"img": image.copy()})["img"], image
    )


def test_colours_change_but_skin_stays_skin():
    image = np.full(
        (8, 8, 3), (140, 170, 210), np.uint8
    )  # BGR of fair skin: hue 13 of 180
    np.random.seed(1)  # noqa: NPY002 - what the transform draws from
    drawn = np.stack(
        [
            pose_parts.RandomColour().transform({"img": image.copy()})["img"]
            for _ in range(200)
        ]
    )
    assert (drawn.dtype, drawn.shape) == (np.uint8, (200, 8, 8, 3))
    blue, _, red = np.moveaxis(drawn[:, 0, 0].astype(int), -1, 0)
    lit = red.max() - red.min(), (red - blue).max() - (red - blue).min()
    assert min(lit) > 30, "brightness and saturation vary"
    assert (red > blue).all()


def test_colours_are_drawn_anew_and_repeatable():
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)

    def two():
        np.random.seed(7)  # noqa: NPY002
        return [
            pose_parts.RandomColour().transform({"img": image.copy()})["img"]
            for _ in range(2)
        ]

    first, again = two(), two()
    assert not np.array_equal(*first)
    assert np.array_equal(first, again)


@pytest.fixture
def dataset(tmp_path):
    """Three frames: complete, without box, and with two joints missing."""
    from PIL import Image

    random = np.random.default_rng(5)
    whole = random.uniform(20, 90, (16, 2))
    missing, visibility = whole.copy(), np.full(16, 2, np.uint8)
    missing[[4, 9]], visibility[[4, 9]] = np.nan, 0
    visibility[3] = 1
    frames = [
        LabelledFrame(
            "a/1.jpg",
            whole,
            np.full(16, 2, np.uint8),
            box=np.array([10.0, 20, 95, 99]),
            size=(128, 120),
        ),
        LabelledFrame("a/2.jpg", whole + 3, np.full(16, 2, np.uint8), size=(128, 120)),
        LabelledFrame(
            "a/3.jpg",
            missing,
            visibility,
            box=np.array([10.0, 20, 95, 99]),
            size=(128, 120),
        ),
    ]
    for frame in frames:
        (tmp_path / "a").mkdir(exist_ok=True)
        Image.new("RGB", frame.size).save(tmp_path / frame.image)
    write_json(tmp_path / "train.json", encode_coco(frames))
    return pose_parts.DiverDataset(
        ann_file=str(tmp_path / "train.json"),
        data_prefix={"img": str(tmp_path)},
        pipeline=[],
    ), frames


def test_a_missing_joint_has_no_weight(dataset):
    data, frames = dataset
    sample = data.get_data_info(2)
    assert sample["keypoints_visible"][0].tolist() == [
        float(j not in (4, 9)) for j in range(16)
    ]
    assert sample["num_keypoints"] == 14
    assert np.isfinite(sample["keypoints"]).all()
    np.testing.assert_allclose(
        sample["keypoints"][0, :4], frames[2].keypoints[:4], rtol=1e-6
    )


def test_the_drawn_box_is_used_or_else_the_widened_hull(dataset):
    data, frames = dataset
    assert data.get_data_info(0)["bbox"].tolist() == [[10, 20, 95, 99]]
    points = frames[1].keypoints
    low, high = points.min(axis=0), points.max(axis=0)
    margin = (high - low) * 0.1  # 1.2 times the hull
    np.testing.assert_allclose(
        data.get_data_info(1)["bbox"][0], [*(low - margin), *(high + margin)], rtol=1e-5
    )


def test_mmpose_knows_our_sides_and_halves(dataset):
    data, _ = dataset
    meta = data.metainfo
    assert meta["flip_indices"] == skeleton.compute_flip_index().tolist()
    assert meta["num_keypoints"] == 16
    assert meta["upper_body_ids"] == list(skeleton.UPPER_BODY)
    assert meta["lower_body_ids"] == list(skeleton.LOWER_BODY)
    np.testing.assert_allclose(meta["sigmas"], skeleton.OKS_SIGMAS, rtol=1e-6)
    assert sorted(map(tuple, meta["skeleton_links"])) == sorted(skeleton.LIMBS)


def test_a_flip_in_training_swaps_sides(dataset, tmp_path):
    """The left wrist's label must lie on the mirrored image's left wrist, and the
    heatmaps must say so."""
    from mmengine.registry import DefaultScope

    from finediving_pose.openmmlab.pose_network import plan_pose_training
    from finediving_pose.openmmlab.training_plan import TrainingLabels

    settings = HrnetSettings(
        backbone="w8",
        input_size=64,
        flip=1.0,
        rotation=0,
        rotation_chance=0,
        scale=0,
        heatmap="dark",
    )
    with DefaultScope.overwrite_default_scope("mmpose"):
        labels = TrainingLabels(tmp_path / "train.json", None, tmp_path)
        plan = plan_pose_training(Hrnet(settings), labels)
        config = plan.data["train_dataloader"]["dataset"]
        config.pop("type")
        flipped = pose_parts.DiverDataset(**config)[0]
        plain = pose_parts.DiverDataset(
            **(
                config
                | {
                    "pipeline": [
                        s for s in config["pipeline"] if s["type"] != "RandomFlip"
                    ]
                }
            )
        )[0]
    peaks = [
        sample["data_samples"].gt_fields.heatmaps.flatten(1).argmax(1)
        for sample in (flipped, plain)
    ]
    x = [peak % 16 for peak in peaks]
    mirrored = 15 - x[1][torch.from_numpy(skeleton.compute_flip_index())]
    assert (x[0] - mirrored).abs().max() <= 1
    assert (x[0] - (15 - x[1])).abs().max() > 1  # unswapped it would not fit


def test_a_random_start_has_convolutions_that_a_step_of_the_optimizer_does_not_drown():
    from mmengine.registry import DefaultScope
    from mmpose.registry import MODELS

    settings = HrnetSettings(backbone="w8", input_size=64, loss="softmax")
    with DefaultScope.overwrite_default_scope("mmpose"):
        net = MODELS.build(Hrnet(settings).configure_model())
    net.init_weights()
    weights = [
        m.weight for m in net.backbone.modules() if isinstance(m, torch.nn.Conv2d)
    ]
    assert min(weight.std().item() for weight in weights) > 0.02
    norms = [m for m in net.backbone.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert all((norm.weight == 1).all() for norm in norms)
