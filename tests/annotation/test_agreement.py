"""Two annotators' labels compared: metrics that were worked out by hand, OKS as
pycocotools has it, what is matched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import made_divers
from helpers.label_samples import make_frame

from finediving_pose.annotation.agreement import DistanceSpread, compare_labels
from finediving_pose.datasets.label_set import LabelSet
from finediving_pose.skeleton import FLIP_PAIRS, INDEX, JOINTS, OKS_SIGMAS
from finediving_pose.synthesis.annotators import Annotator, annotate_frames

HEAD, NECK, ANKLE = INDEX["head_top"], INDEX["upper_neck"], INDEX["right_ankle"]


def labels(*frames):
    return LabelSet(tuple(frames))


def standing(image="m/1/00001.jpg", lean=0.0, **fields):
    """Head 20 px long, trunk leaning by so many degrees, box of 100 x 100 px."""
    keypoints = np.tile([100.0, 100.0], (16, 1))
    direction = np.array([np.sin(np.radians(lean)), -np.cos(np.radians(lean))])
    keypoints[INDEX["thorax"]] += 50 * direction
    keypoints[NECK] += 60 * direction
    keypoints[HEAD] += 80 * direction
    for place, (right, left) in enumerate(FLIP_PAIRS):
        keypoints[[right, left]] = [[60, 20 + 20 * place], [140, 20 + 20 * place]]
    return make_frame(
        image, keypoints=keypoints, box=np.array([50.0, 20.0, 150.0, 120.0]), **fields
    )


def moved(frame, joint, by):
    return made_divers.slipped(frame, joint, by)


def test_metrics_worked_out_by_hand():
    one = standing()
    two = replace(
        moved(one, ANKLE, (6.0, 8.0)), box=np.array([50.0, 20.0, 150.0, 70.0])
    )
    found = compare_labels(labels(one), labels(two))
    assert found.distance[0, ANKLE] == pytest.approx(10.0)
    assert found.head == pytest.approx([20.0])
    assert found.size == pytest.approx([np.sqrt((10000 + 5000) / 2)])
    assert found.iou == pytest.approx([0.5])
    ankle = found.measure_joints()[ANKLE]
    assert (ankle.px.median, ankle.heads.median) == pytest.approx((10.0, 0.5))
    assert (ankle.loose, ankle.strict) == (1.0, 0.0)
    assert ankle.oks == pytest.approx(
        np.exp(-100 / (2 * 7500 * (2 * OKS_SIGMAS[ANKLE]) ** 2))
    )
    everything = found.measure_all()
    assert everything.oks == pytest.approx((15 + ankle.oks) / 16)
    assert everything.strict == pytest.approx(15 / 16)
    assert everything.px.mean == pytest.approx(10 / 16)
    assert found.error == pytest.approx([np.sqrt(100 / 7500 / 16)])


def test_the_head_size_is_the_mean_of_both_or_the_only_one():
    one = standing()
    longer = moved(one, HEAD, (0.0, -10.0))
    headless = made_divers.without(one, HEAD)
    assert compare_labels(labels(one), labels(longer)).head == pytest.approx([25.0])
    assert compare_labels(labels(one), labels(headless)).head == pytest.approx([20.0])
    found = compare_labels(labels(headless), labels(headless))
    assert np.isnan(found.head).all()
    metrics = found.measure_all()
    assert np.isnan([metrics.loose, metrics.heads.median]).all()
    assert (metrics.px.mean, metrics.oks) == (0.0, 1.0)


def test_joints_of_one_only_and_occlusion_are_counted_apart():
    one = standing()
    hidden = one.visibility.copy()
    hidden[[2, 3]] = 1
    two = made_divers.without(replace(one, visibility=hidden), ANKLE)
    found = compare_labels(labels(one), labels(two))
    assert (
        found.measure_all().joints,
        found.measure_all().only_a,
        found.measure_all().only_b,
    ) == (
        15,
        1,
        0,
    )
    assert found.measure_all().occlusion == 2
    assert (
        found.measure_joints()[ANKLE].only_a,
        found.measure_joints()[ANKLE].joints,
    ) == (1, 0)
    assert np.isnan(found.measure_joints()[ANKLE].px.mean)
    assert compare_labels(labels(two), labels(one)).measure_all().only_b == 1


def test_oks_is_that_of_pycocotools():
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(4)
    one = [standing(f"m/1/{number:05d}.jpg", lean=20 * number) for number in range(12)]
    two = [
        replace(frame, keypoints=frame.keypoints + rng.normal(0, 4, (16, 2)))
        for frame in one
    ]
    two[3] = made_divers.without(two[3], 5)
    one[4] = made_divers.without(one[4], 9)
    found = compare_labels(labels(*one), labels(*two))

    def annotation(number, frame, other, **more):
        seen = (frame.visibility > 0) & (
            other.visibility > 0
        )  # COCO counts what the truth has
        points = np.column_stack([np.nan_to_num(frame.keypoints), 2 * seen])
        box = [50.0, 20.0, 100.0, 100.0]
        common = {
            "id": number + 1,
            "image_id": number,
            "category_id": 1,
            "area": 10000.0,
            "bbox": box,
            "iscrowd": 0,
        }
        return (
            common
            | {"keypoints": points.ravel().tolist(), "num_keypoints": int(seen.sum())}
            | more
        )

    pairs = list(enumerate(zip(one, two, strict=True)))
    truth, drawn = COCO(), COCO()
    for coco, chosen in ((truth, 0), (drawn, 1)):
        coco.dataset = {
            "images": [{"id": number} for number, _ in pairs],
            "annotations": [
                annotation(n, pair[chosen], pair[1 - chosen], score=1.0)
                for n, pair in pairs
            ],
            "categories": [{"id": 1, "name": "athlete"}],
        }
        coco.createIndex()
    evaluation = COCOeval(truth, drawn, "keypoints")
    evaluation.params.kpt_oks_sigmas = OKS_SIGMAS
    evaluation.evaluate()
    expected = [evaluation.ious[number, 1][0, 0] for number, _ in pairs]
    assert found.oks == pytest.approx(expected)
    assert found.measure_all().oks == pytest.approx(np.mean(expected))


def test_swapped_sides_are_a_share_of_the_disagreement():
    one = [standing(f"m/1/{number:05d}.jpg") for number in range(30)]
    two = [moved(frame, ANKLE, (1.0, 0.0)) for frame in one]
    arms = one[4].keypoints.copy()
    for right, left in FLIP_PAIRS[3:]:
        arms[[right, left]] = arms[[left, right]]
    two[4] = replace(
        two[4],
        keypoints=np.where(np.arange(16)[:, None] == ANKLE, two[4].keypoints, arms),
    )
    found = compare_labels(labels(*one), labels(*two))
    assert found.list_swaps() == [("m/1/00004.jpg", "the arms")]
    swapped = 6 * 80.0**2
    assert found.swapped_share == pytest.approx(swapped / (swapped + 30))
    assert found.unswapped[4, 10:] == pytest.approx(np.zeros(6))
    wrist = found.measure_joints()[INDEX["right_wrist"]]
    assert (wrist.swapped, wrist.px.mean, wrist.unswapped) == (
        1,
        pytest.approx(80 / 30),
        0.0,
    )
    assert found.rank_worst(1) == [4]
    assert found.measure_all().swapped == 1


@pytest.mark.parametrize(
    ("pairs", "words"), [((0, 1, 2), "the legs"), (range(6), "the whole body")]
)
def test_swaps_in_words(pairs, words):
    one = [standing(f"m/1/{number:05d}.jpg") for number in range(3)]
    turned = one[0].keypoints.copy()
    for pair in pairs:
        turned[list(FLIP_PAIRS[pair])] = turned[list(FLIP_PAIRS[pair])[::-1]]
    assert (
        compare_labels(
            labels(*one), labels(replace(one[0], keypoints=turned), *one[1:])
        ).describe_swap(0)
        == words
    )


def test_equal_labels_agree_fully():
    one = [standing(f"m/1/{number:05d}.jpg") for number in range(3)]
    found = compare_labels(labels(*one), labels(*one))
    metrics = found.measure_all()
    assert (
        metrics.loose,
        metrics.strict,
        metrics.oks,
        metrics.iou,
        metrics.px.p95,
    ) == (1, 1, 1, 1, 0)
    assert np.isnan(found.swapped_share)


def test_groups_by_stage_and_body_angle():
    leans = {
        "a/1/1.jpg": 0,
        "a/1/2.jpg": 59,
        "a/1/3.jpg": -90,
        "a/1/4.jpg": 130,
        "a/1/5.jpg": -180,
    }
    one = [standing(image, lean=lean) for image, lean in leans.items()]
    stages = {
        "a/1/1.jpg": "approach",
        "a/1/2.jpg": "flight",
        "a/1/3.jpg": "flight",
        "a/1/4.jpg": "",
    }
    two = [*one[:2], moved(one[2], ANKLE, (0.0, 30.0)), *one[3:]]
    found = compare_labels(labels(*one), labels(*two), stages)
    assert found.angle == pytest.approx([0, 59, 90, 130, 180], abs=1e-6)
    assert [(group.name, group.images) for group in found.measure_stages()] == [
        ("approach", 1),
        ("flight", 2),
    ]
    assert [(group.name, group.images) for group in found.measure_angles()] == [
        ("upright", 2),
        ("tilted", 1),
        ("inverted", 2),
    ]
    assert [group.px.mean for group in found.measure_angles()] == pytest.approx(
        [0, 30 / 16, 0]
    )
    assert [group.joints for group in found.measure_stages()] == [16, 32]


def test_images_are_matched_by_name_then_dive_then_file_name():
    one = [standing("m/1/00001.jpg"), standing("m/1/00002.jpg")]
    two = [standing("m/1/00002.jpg"), standing("m/1/00003.jpg")]
    found = compare_labels(labels(*one), labels(*two))
    assert [a.image for a, _ in found.pairs] == ["m/1/00002.jpg"]
    assert (found.only_a, found.only_b) == (("m/1/00001.jpg",), ("m/1/00003.jpg",))
    known = {"match": "m", "dive": "1", "frame": 2}
    by_dive = compare_labels(
        labels(standing("x/2.jpg", **known)), labels(standing("y/two.jpg", **known))
    )
    assert [(a.image, b.image) for a, b in by_dive.pairs] == [("x/2.jpg", "y/two.jpg")]
    by_file = compare_labels(
        labels(standing("x/2.jpg")), labels(standing("2.jpg"), standing("z/3.jpg"))
    )
    assert [(a.image, b.image) for a, b in by_file.pairs] == [("x/2.jpg", "2.jpg")]
    assert by_file.only_b == ("z/3.jpg",)


def test_several_athletes_and_nothing_in_common():
    twice = compare_labels(labels(standing(), standing()), labels(standing()))
    assert (len(twice), twice.ambiguous) == (0, ("m/1/00001.jpg",))
    apart = compare_labels(labels(standing("a.jpg")), labels(standing("b.jpg")))
    assert (len(apart), apart.only_a, apart.only_b) == (0, ("a.jpg",), ("b.jpg",))
    assert apart.measure_all().joints == 0
    assert len(compare_labels(labels(), labels())) == 0


def test_without_boxes_the_joints_say_the_size():
    one = replace(standing(), box=None)
    found = compare_labels(labels(one), labels(one))
    assert found.size == pytest.approx([np.sqrt(80 * 100)])
    assert np.isnan(found.iou).all()
    assert np.isnan(found.measure_all().iou)
    with_one = compare_labels(labels(standing()), labels(one))
    assert with_one.size == pytest.approx([100.0])


def test_tolerances_of_invented_annotators_with_all_their_mistakes():
    truth = []
    for number in range(15):
        dive = made_divers.make_dive(
            40, somersault=10 + number, twist=3 + number, view=10 * number + 5
        )
        truth += [
            replace(f, image=f"m/{number}/{f.frame:05d}.jpg", dive=str(number))
            for f in dive
        ]
    people = Annotator("anna"), Annotator("ben", spread=0.42, swap=0.10)
    one, two = (annotate_frames(truth, person, seed=1)[0] for person in people)
    found = compare_labels(labels(*one), labels(*two))
    expected = OKS_SIGMAS * np.sqrt(
        0.30**2 + 0.42**2
    )  # see joint_sigmas.py: both axes, both people
    tolerances = found.suggest_sigmas()
    assert [t.sigma for t in tolerances] == pytest.approx(expected, rel=0.08)
    inside = [
        t.low <= sigma <= t.high for t, sigma in zip(tolerances, expected, strict=True)
    ]
    assert sum(inside) >= 14
    assert 0.2 < found.swapped_share < 0.7
    assert [t.as_dict()["joint"] for t in tolerances] == list(JOINTS)


def test_spread_of_nothing_is_unknown():
    assert np.isnan(list(vars(DistanceSpread.of(np.array([np.nan]))).values())).all()
    assert DistanceSpread.of(np.array([1.0, 3.0, np.nan])).as_dict() == {
        "median": 2.0,
        "mean": 2.0,
        "p95": 2.9,
    }
