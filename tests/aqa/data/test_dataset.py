"""Dives and pairs as tensors: shapes, labels by hand, images and joints under one
map, seeds, missing skeletons."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.made_frames import DOT, extracted, made_dive, where_white
from torch.utils.data import DataLoader

from finediving_pose.aqa import batch
from finediving_pose.aqa.batch import collate, collate_pairs
from finediving_pose.aqa.data import dataset
from finediving_pose.aqa.data.dataset import (
    DiveDataset,
    EpochOrder,
    ImageNormaliser,
    PairDataset,
    VideoLoader,
    VideoOptions,
)
from finediving_pose.aqa.data.dives import AqaDive
from finediving_pose.aqa.data.exemplars import ExemplarPool
from finediving_pose.aqa.data.features import FeatureStore
from finediving_pose.aqa.data.pose_normalisation import NormalisedPose, normalise_pose
from finediving_pose.aqa.data.skeletons import make_missing_skeleton
from finediving_pose.aqa.data.video_frames import FrameReader, Geometry
from finediving_pose.datasets.pose_files import write_pose
from finediving_pose.errors import DataError, UsageError
from finediving_pose.records import Clip, Dive, FloatArray
from finediving_pose.skeleton import INDEX

SIZE = 32
SHOULDER = INDEX["left_shoulder"]


class Draws:
    """Stands for a random generator whose coins all fall the same way."""

    def __init__(self, value: int) -> None:
        self.value = value

    def integers(self, low: int, high: int | None = None) -> int:
        return min(
            max(self.value, 0 if high is None else low),
            (low if high is None else high) - 1,
        )


def watch_joints(monkeypatch: pytest.MonkeyPatch) -> list[FloatArray]:
    """Note the joints, in px of the image, that are normalised for the model."""
    seen: list[FloatArray] = []

    def noted(joints: FloatArray, scores: FloatArray | None) -> NormalisedPose:
        seen.append(joints)
        return normalise_pose(joints, scores)

    monkeypatch.setattr(dataset, "normalise_pose", noted)
    return seen


def reader(**options) -> FrameReader:
    return FrameReader(Geometry(size=SIZE), **options)


def loader(**options) -> VideoLoader:
    return make_loader(**{"frame_reader": reader(), **options})


def make_loader(
    frame_reader: FrameReader | None = None,
    features: FeatureStore | None = None,
    **options,
) -> VideoLoader:
    return VideoLoader(frame_reader, features, VideoOptions(**options))


def pose_only(**options) -> VideoLoader:
    return make_loader(**options)


@pytest.fixture(scope="module")
def dives(tmp_path_factory):
    """Six dives of one number: all found, nobody found in the fifth, the extraction of
    the sixth failed."""
    root = tmp_path_factory.mktemp("dives")
    lengths = {"1": 120, "2": 70, "3": 96, "4": 101, "5": 90, "6": 110}
    return [
        made_dive(root, name, count, skeleton=name != "6", somebody=name != "5")
        for name, count in lengths.items()
    ]


def test_one_dive(dives):
    video = loader().load(dives[0])
    assert video.images.shape == (3, 96, SIZE, SIZE)
    assert video.images.dtype == video.pose.dtype == video.score.dtype == torch.float32
    assert video.pose.shape == (2, 96, 16)
    assert video.pose_mask.shape == video.observed.shape == (96, 16)
    assert video.pose_mask.dtype == video.labelled.dtype == torch.bool
    assert video.transitions.dtype == torch.int64
    assert (video.score.item(), round(video.difficulty.item(), 4), video.name) == (
        81.0,
        3.2,
        "Made/1",
    )
    assert video.features is None


def test_transitions_by_hand(dives):
    # Flight begins in frame 30 of 120, entry in 90; sample i is frame i·119//95: 24 →
    # 30 and 72 → 90.
    assert [index * 119 // 95 for index in (23, 24, 71, 72)] == [28, 30, 88, 90]
    for kind, expected in {"3": [24, 72], "2": [24], "2*": [72], "1": []}.items():
        video = loader(stages=kind).load(dives[0])
        assert (video.transitions.tolist(), video.labelled.item()) == (expected, True)
        assert (
            pose_only(stages=kind)
            .load(replace(dives[0], source=None))
            .transitions.tolist()
            == expected
        )


@pytest.mark.parametrize(
    "changes",
    [
        {"transitions": None},
        {"transitions": (0, 50)},
        {"transitions": (50, 300)},
        {"transitions": (60, 60)},
    ],
)
def test_without_usable_transitions_a_dive_is_unlabelled(dives, changes):
    video = loader(pose_channels=0).load(
        replace(dives[0], record=replace(dives[0].record, **changes))
    )
    assert (video.transitions.tolist(), video.labelled.item()) == ([0, 0], False)


def test_transitions_of_images_that_are_numbered_anew_or_lack_some(dives, tmp_path):
    wanted = loader().load(dives[0]).transitions.tolist()
    renumbered = made_dive(tmp_path, "1", 120, start=1)
    shifted = AqaDive(replace(dives[0].record), renumbered.source)
    assert loader(pose_channels=0).load(shifted).transitions.tolist() == wanted
    for path in sorted(renumbered.source.source.iterdir())[:5]:
        path.unlink()
    late = AqaDive(renumbered.record, renumbered.source)
    # 115 frames from number 6; flight begins in number 1 + 30, the 25th of them, entry
    # in the 85th.
    expected = [
        next(i for i in range(96) if i * 114 // 95 >= place) for place in (25, 85)
    ]
    assert loader(pose_channels=0).load(late).transitions.tolist() == expected


def test_unknown_score_and_dd_are_nan(dives):
    video = pose_only().load(AqaDive(Dive("m", "1")))
    assert video.score.isnan()
    assert video.difficulty.isnan()
    assert not video.labelled


def test_the_window_moves_images_joints_and_transitions_together(dives, monkeypatch):
    seen = watch_joints(monkeypatch)
    record = dives[0].record
    write_pose(
        dives[0].skeleton.with_name("all.npz"),
        extracted(range(1000, 1120), samples=120),
    )
    window = Clip("Made", "1", dives[0].source.source, 1010, 1079)
    record = replace(record, start_frame=1010, end_frame=1079, transitions=(20, 50))
    dive = AqaDive(record, window, dives[0].skeleton.with_name("all.npz"))
    moving = loader(frame_reader=reader(frames=70, margin=3), frames=70)
    still = moving.load(dive)
    later = moving.load(dive, Draws(3))
    assert still.transitions.tolist() == [20, 50]
    assert later.transitions.tolist() == [17, 47]
    torch.testing.assert_close(later.images[2, :-3].flip(-1), still.images[2, 3:])
    np.testing.assert_allclose(
        SIZE - 1 - seen[1][:-3, 2, 0], seen[0][3:, 3, 0], atol=1e-4
    )


def test_images_are_normalised_by_hand():
    images = np.zeros((1, 1, 2, 3), np.uint8)
    images[0, 0, 1] = (255, 51, 0)
    red = ImageNormaliser("imagenet")(images)[:, 0, 0]
    np.testing.assert_allclose(red[0], [-0.485 / 0.229, (1 - 0.485) / 0.229], rtol=1e-5)
    np.testing.assert_allclose(
        red[1], [-0.456 / 0.224, (0.2 - 0.456) / 0.224], rtol=1e-5
    )
    np.testing.assert_allclose(
        ImageNormaliser("minus1to1")(images)[:, 0, 0, 1], [1, -0.6, -1], rtol=1e-5
    )


@pytest.mark.parametrize("kind", ["keep_aspect", "squash_released"])
@pytest.mark.parametrize("mirrored", [0, 1])
def test_a_joint_lies_on_its_dot_in_the_image(dives, monkeypatch, kind, mirrored):
    """One affine map and one mirror image for both: the left shoulder is put on the dot
    that was drawn."""
    joints = make_missing_skeleton(96)
    joints.keypoints[:, SHOULDER] = DOT
    monkeypatch.setattr(dataset, "read_skeleton", lambda *_: joints)
    seen = watch_joints(monkeypatch)
    made = make_loader(
        FrameReader(Geometry(kind)), normalisation="minus1to1", random_crop=True
    )
    video = made.load(dives[0], Draws(mirrored))
    bytes_again = (
        ((video.images + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0).numpy()
    )
    joint = INDEX["right_shoulder"] if mirrored else SHOULDER
    assert np.isfinite(seen[0]).any(axis=(0, 2)).nonzero()[0].tolist() == [joint]
    assert np.abs(where_white(bytes_again[0]) - seen[0][0, joint]).max() < 0.3


@pytest.mark.parametrize(("flip", "images_turn", "joints_turn"), [
    ("together", True, True), ("rgb", True, False), ("off", False, False),
])  # fmt: skip
def test_who_is_mirrored(dives, flip, images_turn, joints_turn):
    made = loader(flip=flip)
    still, drawn = made.load(dives[0]), made.load(dives[0], Draws(1))
    assert torch.equal(drawn.images, still.images.flip(-1)) == images_turn
    assert torch.equal(drawn.images, still.images) != images_turn
    assert torch.allclose(drawn.pose, still.pose, atol=1e-5) != joints_turn
    assert torch.equal(made.load(dives[0], Draws(0)).images, still.images)


def test_mirrored_joints_alone(dives):
    made = pose_only()
    still, drawn = made.load(dives[0]), made.load(dives[0], Draws(1))
    left, right = INDEX["left_knee"], INDEX["right_knee"]
    torch.testing.assert_close(
        drawn.pose[0, :, left], -still.pose[0, :, right], atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        drawn.pose[1, :, left], still.pose[1, :, right], atol=1e-5, rtol=0
    )


def test_missing_and_interpolated_joints_are_told_apart(dives):
    video = pose_only(pose_channels=3).load(dives[0])
    filled = torch.arange(96)[(video.pose_mask & ~video.observed)[:, 3]]
    assert len(filled) > 10
    assert not video.pose_mask[:, 9].any()
    assert not video.pose[:, :, 9].any()
    assert (video.pose[2, filled, 3] == 0).all()
    assert (video.pose[2][video.observed] >= 0.5).all()
    assert video.pose[:2, filled, 3].any()


def test_what_extraction_leaves_needs_no_special_case(dives):
    """Found, nobody found in any frame, and no file because the extraction failed: all
    in one batch."""
    batch = collate([loader().load(dive) for dive in dives])
    assert batch.pose.isfinite().all()
    assert batch.images.isfinite().all()
    assert batch.pose_mask.flatten(1).any(dim=1).tolist() == [True] * 4 + [False] * 2
    assert not batch.pose[4:].any()
    assert not batch.observed[4:].any()


def test_a_batch_of_pairs_has_queries_first(dives):
    pairs = PairDataset(dives, ExemplarPool([dive.record for dive in dives]), loader())
    batch = collate_pairs([pairs[place] for place in (0, 3, 5)])
    assert batch.images.shape == (6, 3, 96, SIZE, SIZE)
    assert batch.pose.shape == (6, 2, 96, 16)
    assert batch.transitions.shape == (6, 2)
    assert batch.names[:3] == ("Made/1", "Made/4", "Made/6")
    assert all(
        query != exemplar
        for query, exemplar in zip(batch.names[:3], batch.names[3:], strict=True)
    )
    assert batch.score.tolist() == [80.0 + int(name[-1]) for name in batch.names]
    assert batch.features is None


def epoch_of(
    pairs: PairDataset, epoch: int, seed: int = 0, workers: int = 0
) -> list[batch.Videos]:
    order = EpochOrder(len(pairs), seed)
    order.set_epoch(epoch)
    batches = DataLoader(
        pairs,
        batch_size=2,
        sampler=order,
        num_workers=workers,
        collate_fn=collate_pairs,
    )
    return list(batches)


def assert_same(one: list[batch.Videos], other: list[batch.Videos]) -> None:
    for first, second in zip(one, other, strict=True):
        for value, expected in zip(first, second, strict=True):
            assert (
                torch.equal(value, expected)
                if isinstance(value, torch.Tensor)
                else value == expected
            )


def test_an_epoch_follows_from_the_seed_alone(dives):
    """In whichever process, whatever was read before: so a resumed run reads what the
    killed one would have read."""

    def made(seed: int = 0) -> PairDataset:
        pool = ExemplarPool([dive.record for dive in dives], seed=seed)
        return PairDataset(dives, pool, loader(random_crop=True, pose_channels=2), seed)

    first = epoch_of(made(), 3)
    again = made()
    epoch_of(again, 2)
    assert_same(epoch_of(again, 3), first)
    assert_same(epoch_of(made(), 3, workers=2), first)
    assert sorted(name for batch in first for name in batch.names[:2]) == [
        f"Made/{k}" for k in range(1, 7)
    ]
    for other in (epoch_of(made(), 4), epoch_of(made(1), 3, seed=1)):
        assert [batch.names for batch in other] != [batch.names for batch in first]


def test_mirroring_changes_between_epochs(dives):
    pairs = PairDataset(
        dives, ExemplarPool([dive.record for dive in dives]), loader(pose_channels=0)
    )
    still = loader(pose_channels=0).load(dives[0]).images
    turned = [not torch.equal(pairs[epoch * 6][0].images, still) for epoch in range(24)]
    assert 4 < sum(turned) < 20


def test_single_dives_are_as_they_are(dives):
    single = DiveDataset(dives, loader(random_crop=True))
    assert len(single) == 6
    torch.testing.assert_close(single[1].images, loader().load(dives[1]).images)
    assert [video.name for video in single] == [f"Made/{k}" for k in range(1, 7)]


def test_features_stand_in_for_images_and_are_never_mirrored(dives, tmp_path):
    features = np.random.default_rng(0).random((6, 9, 5), np.float32)
    np.savez(
        tmp_path / "t.npz", features=features, match=["Made"] * 6, dive=range(1, 7)
    )
    made = VideoLoader(features=FeatureStore(tmp_path / "t.npz"))
    batch = collate([made.load(replace(dive, source=None), Draws(1)) for dive in dives])
    assert batch.images is None
    np.testing.assert_array_equal(batch.features, features)
    torch.testing.assert_close(batch.pose[0], made.load(dives[0]).pose)


def test_the_cache_changes_nothing(dives, tmp_path):
    cached = loader(frame_reader=reader(cache=tmp_path))
    for _ in range(2):
        assert torch.equal(cached.load(dives[1]).images, loader().load(dives[1]).images)


def test_a_dive_without_any_exemplar_is_refused(dives):
    unknown = replace(dives[5], record=replace(dives[5].record, dive_number=None))
    pool = ExemplarPool([*(dive.record for dive in dives[:5]), unknown.record])
    with pytest.raises(
        DataError,
        match=r"1 training dives have no exemplar, the first Made/6.*exemplar_choice=random",
    ):
        PairDataset([*dives[:5], unknown], pool, loader())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frame_reader": None, "pose_channels": 0}, "nothing to read"),
        ({"frames": 50}, "frames=50, and the reader of frames gives 96"),
    ],
)
def test_impossible_combinations_are_refused(options, message):
    with pytest.raises(UsageError, match=message):
        loader(**options)


def test_images_and_features_at_once_are_refused(tmp_path):
    np.savez(tmp_path / "t.npz", features=np.ones((2, 4)))
    with pytest.raises(UsageError, match="features stand in for images"):
        loader(features=FeatureStore(tmp_path / "t.npz"))


def test_several_processes_share_each_batch():
    def order(rank: int = 0, world: int = 1, length: int = 10) -> list[int]:
        sampler = EpochOrder(length, seed=3, rank=rank, world=world)
        sampler.set_epoch(2)
        return list(sampler)

    one, shares = order(), [order(rank, 2) for rank in range(2)]
    assert sorted(one) == list(range(20, 30))
    assert [place for pair in zip(*shares, strict=True) for place in pair] == one
    uneven = [order(rank, 4) for rank in range(4)]
    assert [len(share) for share in uneven] == [3, 3, 3, 3]
    assert {place for share in uneven for place in share} == set(one)
