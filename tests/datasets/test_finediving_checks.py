"""What is odd in FineDiving's files: nothing in a faultless meet, each fault by itself,
and the real files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.made_meets import made_meet, made_split

from finediving_pose.datasets.finediving import FineDive, FineDiving, read_finediving
from finediving_pose.datasets.finediving_checks import (
    find_anomalies,
    find_usual_sequences,
)
from finediving_pose.datasets.problems import Problem

ALWAYS = {"matches"}
"""In a meet of a few matches, test matches occur in training too."""

SEVENS = (7.0, 7.0, 7.0)


def meet(dives=None, **changes) -> FineDiving:
    dives = made_meet() if dives is None else dives
    train, test = made_split(dives)
    return replace(
        FineDiving(Path("."), tuple(dives), tuple(train), tuple(test)), **changes
    )


def kinds(data, frames=None):
    return {
        anomaly.kind: anomaly.items
        for anomaly in find_anomalies(data, frames)
        if anomaly.kind not in ALWAYS
    }


def changed(place, **changes):
    """The made meet, one record of it changed."""
    dives = made_meet()
    dives[place] = replace(dives[place], dive=replace(dives[place].dive, **changes))
    return meet(dives)


def relabelled(place, change):
    """The made meet, the frame labels of one dive changed."""
    dives = made_meet()
    dives[place] = FineDive.labelled(
        dives[place].dive, change(dives[place].frame_labels.copy())
    )
    return meet(dives)


def test_a_faultless_meet():
    assert kinds(meet()) == {}


def test_every_real_anomaly(shared_data):
    found = {
        anomaly.kind: anomaly
        for anomaly in find_anomalies(read_finediving(shared_data))
    }
    assert {kind: len(anomaly.items) for kind, anomaly in found.items()} == {
        "disagreement": 1,
        "last_label": 14,
        "steps": 10,
        "sequence": 45,
        "names": 2,
        "awards": 3,
        "zero": 2,
        "score": 120,
        "exemplars": 31,
        "matches": 131,
        "identical": 3,
    }
    assert {anomaly.severity for anomaly in found.values()} == {"warning"}
    assert all(
        "last label 35, expected 36" in message
        for _, message in found["last_label"].items
    )
    assert (
        sum(
            "307c" in message and message.endswith("a DD of 3.3 fits")
            for _, message in found["score"].items
        )
        == 60
    )
    assert found["awards"].items[:2] == (
        (
            "FINAWorldChampionships2019_Women3m_final_r3/1",
            "award 1 is 55.5: expected half points from 0 to 10",
        ),
        ("04/49", "award 4 is 45: expected half points from 0 to 10"),
    )
    assert "17/164" in [where for where, _ in found["zero"].items]


def test_last_label():
    def end_with_twist(labels):
        labels[labels == 36] = 35
        return labels

    found = kinds(relabelled(0, end_with_twist))
    assert found["last_label"] == (
        ("Made0/0", "407c: last label 35, expected 36 (Entry)"),
    )
    assert found["sequence"] == (
        (
            "Made0/0",
            "407c: Inward – 3.5 Soms.Tuck – 3.5 Twists; usual is Inward – 3.5 Soms.Tuck – Entry",
        ),
    )


def test_steps():
    dives = made_meet()
    dives[1] = replace(dives[1], steps_transit_frames=np.array([-1, 47]))
    expected = [run.stop - 1 for run in dives[1].runs[:-1]]
    assert kinds(meet(dives)) == {
        "steps": (("Made0/1", f"[-1, 47], the labels change after {expected}"),)
    }


def test_labels_that_are_no_stages():
    assert set(kinds(relabelled(0, lambda labels: np.full_like(labels, 36)))) == {
        "few_runs",
        "sequence",
    }


def test_as_many_labels_as_frames():
    assert set(kinds(relabelled(0, lambda labels: np.append(labels, 36)))) == {
        "label_count"
    }


def test_usual_is_what_most_dives_have_and_the_rule_where_there_is_no_majority():
    dives = made_meet(10)  # two of each number
    pike = np.where(dives[0].frame_labels == 25, 17, dives[0].frame_labels)
    one_each = meet([FineDive.labelled(dives[0].dive, pike), *dives[1:]])
    assert find_usual_sequences(one_each)["407c"] == (4, 25, 36)
    both = [
        FineDive.labelled(
            dives[place].dive,
            np.where(dives[place].frame_labels == 25, 17, dives[place].frame_labels),
        )
        for place in (0, 5)
    ]
    most = meet([both[0], *dives[1:5], both[1], *dives[6:]])
    assert find_usual_sequences(most)["407c"] == (4, 17, 36)


def test_sub_action_names():
    dives = made_meet()
    dives[0] = replace(
        dives[0], sub_action_names={4: "Forward", 25: "3.5 Soms.Tuck", 36: "Entry"}
    )
    dives[1] = replace(dives[1], sub_action_names={1: "Forward", 17: "3.5 Soms.Pike"})
    assert kinds(meet(dives))["names"] == (
        ("Made0/0", "calls 4 'Forward', expected 'Inward'"),
        (
            "Made0/1",
            "lists Forward – 3.5 Soms.Pike; the labels are Forward – 3.5 Soms.Pike – Entry",
        ),
    )


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        (
            {"awards": (7.0, 55.5, 7.0)},
            "awards",
            "award 2 is 55.5: expected half points from 0 to 10",
        ),
        ({"awards": (7.0, 7.0)}, "score", "2 awards: expected 7 or 5 judges"),
        (
            {"awards": SEVENS, "score": 69.3},
            "score",
            "407c: score 69.3, DD 3.2 × awards 21 = 67.2; a DD of 3.3 fits",
        ),
        (
            {"awards": SEVENS, "score": 60.0},
            "score",
            "407c: score 60, DD 3.2 × awards 21 = 67.2",
        ),
        (
            {"awards": (0.0, 0.0, 0.0), "score": 0.0},
            "zero",
            "407c, DD 3.2: a failed dive",
        ),
        ({"dive_number": "9z"}, "dive_number", "'9z' is no dive number"),
    ],
)
def test_records(changes, kind, message):
    ((where, found),) = kinds(changed(0, **changes))[kind]
    assert where == "Made0/0"
    assert found.startswith(message)
    assert ("fits" in found) == ("fits" in message)


def test_a_score_rounded_to_tenths_is_none():
    assert kinds(changed(0, awards=(7.5, 8.0, 8.5), score=76.85, difficulty=3.2)) == {}


def test_few_exemplars():
    found = kinds(meet(made_meet(50)))["exemplars"]
    assert len(found) == 13  # all: 37 training dives of five numbers
    assert found[0][1].endswith("training dives of 407c")


def test_shared_matches():
    (anomaly,) = (
        anomaly
        for anomaly in find_anomalies(meet(made_meet(16)))
        if anomaly.kind == "matches"
    )
    assert anomaly.items == (
        ("Made0", "2 test and 6 training dives"),
        ("Made1", "2 test and 6 training dives"),
    )


def test_identical_dives_across_the_split():
    dives = made_meet()
    twin = dives[0].dive  # for testing; the one at place 1 trains
    dives[1] = FineDive.labelled(
        replace(
            twin, dive="1", start_frame=7, end_frame=6 + len(dives[0].frame_labels)
        ),
        dives[0].frame_labels,
    )
    found = kinds(meet(dives))
    assert found == {
        "identical": (
            (
                "Made0/0",
                "number, score and all labels as in Made0/1, which is for training",
            ),
        ),
    }


def test_splits():
    data = meet()
    data = replace(
        data, train=(*data.train[1:], data.test[0], data.train[5], ("Nowhere", "1"))
    )
    assert kinds(data)["splits"] == (
        (f"{data.train[4][0]}/{data.train[4][1]}", "2 times in the training split"),
        ("Nowhere/1", "in the training split, and in no annotation file"),
        ("Made0/0", "in both splits: leakage"),
        ("Made0/1", "in no split"),
    )


def test_absent_splits_are_no_anomaly():
    assert kinds(meet(train=(), test=())) == {}
    assert kinds(meet(train=())) == {}


def test_a_dive_that_one_file_lacks():
    dives = made_meet()
    dives[0] = FineDive.labelled(
        replace(dives[0].dive, start_frame=None, end_frame=None), dives[0].frame_labels
    )
    dives[1] = FineDive.labelled(dives[1].dive, [])
    assert kinds(meet(dives))["incomplete"] == (
        ("Made0/0", "not in the coarse file: frames and awards are not known"),
        ("Made0/1", "not in the fine-grained files: its frames are not labelled"),
    )


def test_what_the_reader_found_comes_first():
    problems = (
        Problem("x/a.pkl", "", "not readable", kind="unreadable"),
        Problem("x/b.pkl", "m/1", "key 'difficulty' is missing", kind="unreadable"),
        Problem(
            "x/c.pkl",
            "m/2",
            "score 1, in d.pkl 2, which counts",
            "warning",
            kind="disagreement",
        ),
    )
    unreadable, disagreement = find_anomalies(meet(problems=problems))[:2]
    assert unreadable.severity == "error"
    assert unreadable.items == (
        ("a.pkl", "not readable"),
        ("m/1", "b.pkl: key 'difficulty' is missing"),
    )
    assert disagreement.items == (("m/2", "c.pkl: score 1, in d.pkl 2, which counts"),)


def test_frames(tmp_path):
    dives = made_meet(3)
    for dive in dives[:2]:
        folder = tmp_path / dive.dive.match / dive.dive.dive
        folder.mkdir(parents=True)
        for number in range(dive.dive.start_frame, dive.dive.end_frame + 1):
            (folder / f"{number}.jpg").touch()
    (tmp_path / "Made0/1/103.jpg").unlink()
    count = len(dives[1].frame_labels)
    assert kinds(meet(dives, train=(), test=()), tmp_path) == {
        "frames": (
            ("Made0/1", f"1 of {count} missing, the first is 103.jpg"),
            ("Made0/2", "no such folder"),
        ),
    }
