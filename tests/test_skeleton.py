from __future__ import annotations

import itertools

import numpy as np
import pytest

from finediving_pose import skeleton
from finediving_pose.skeleton import INDEX, JOINTS, find_joint


def test_the_joints_stand_in_mpii_order():
    short = (
        "r-ankle r-knee r-hip l-hip l-knee l-ankle pelvis thorax upper-neck head-top"
    )
    short += " r-wrist r-elbow r-shoulder l-shoulder l-elbow l-wrist"
    assert [find_joint(name) for name in short.split()] == list(range(16))


def test_flipping_twice_changes_nothing_and_exchanges_the_sides():
    index = skeleton.compute_flip_index()
    assert index[index].tolist() == list(range(16))
    for joint, twin in enumerate(index):
        left, right = (
            JOINTS[joint].replace("left", "right"),
            JOINTS[joint].replace("right", "left"),
        )
        assert JOINTS[twin] in {left, right}
        assert (joint == twin) == (not JOINTS[joint].startswith(("left", "right")))


def test_flip_pairs_name_the_right_side_first():
    assert all(
        JOINTS[a].startswith("right") and JOINTS[b].startswith("left")
        for a, b in skeleton.FLIP_PAIRS
    )


@pytest.mark.parametrize("joint", range(16))
@pytest.mark.parametrize(
    "spell", [str, lambda j: JOINTS[j], lambda j: JOINTS[j].replace("_", "-").upper()]
)
def test_numbers_and_names_are_understood(joint, spell):
    assert find_joint(spell(joint)) == joint


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("RAnkle", "right_ankle"),
        ("lwrist", "left_wrist"),
        ("ankle_r", "right_ankle"),
        ("leftShoulder", "left_shoulder"),
        (" Head top ", "head_top"),
        ("Right.Hip", "right_hip"),
        ("neck", "upper_neck"),
        ("head", "head_top"),
        ("mid_hip", "pelvis"),
    ],
)
def test_usual_spellings(label, name):
    assert find_joint(label) == INDEX[name]


@pytest.mark.parametrize(
    "label",
    [
        "16",
        "-1",
        "007",
        "000",
        "²",
        "ankle",
        "nose",
        "right",
        "",
        "person",
        "left_pelvis_x",
    ],
)
def test_what_names_no_joint_of_ours(label):
    assert find_joint(label) is None


def test_limbs_connect_all_joints_to_one_tree():
    reached = {6}
    while (
        grown := {j for limb in skeleton.LIMBS if reached & set(limb) for j in limb}
        - reached
    ):
        reached |= grown
    assert reached == set(range(16))
    assert len(skeleton.LIMBS) == 15


def test_the_levels_hold_each_edge_once():
    edges = list(itertools.chain.from_iterable(skeleton.LEVELS.values()))
    assert len({frozenset(edge) for edge in edges}) == len(edges)
    assert all(0 <= joint < 16 for edge in edges for joint in edge)


def test_body_parts():
    assert set(skeleton.UPPER_BODY) | set(skeleton.LOWER_BODY) == set(range(16))
    assert not set(skeleton.UPPER_BODY) & set(skeleton.LOWER_BODY)
    assert all(JOINTS[j].startswith(("left", "right")) for j in skeleton.LIMB_JOINTS)
    assert len(skeleton.LIMB_JOINTS) == 12
    assert [
        JOINTS[j] for j in skeleton.SHOULDERS + skeleton.HIPS + skeleton.HEAD_SEGMENT
    ] == [
        "right_shoulder",
        "left_shoulder",
        "right_hip",
        "left_hip",
        "head_top",
        "upper_neck",
    ]


def test_sigmas_and_colours_agree_on_both_sides():
    flip = skeleton.compute_flip_index()
    assert np.array_equal(skeleton.OKS_SIGMAS, skeleton.OKS_SIGMAS[flip])
    assert (skeleton.OKS_SIGMAS > 0).all()
    assert len(skeleton.COLOURS) == 16
    assert all(
        (skeleton.COLOURS[j] == skeleton.COLOURS[flip[j]]) == (j == flip[j])
        for j in range(16)
    )
