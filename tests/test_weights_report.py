"""The report on a file of weights: what fits by name and shape, and what a user reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from finediving_pose.weights_report import LoadReport, find_tensors, match_tensors

OWN = {"a": torch.zeros(2), "b": torch.zeros(3, 1), "c": torch.zeros(1)}


def test_tensors_fit_by_name_and_shape():
    found = {"a": torch.ones(2), "b": torch.ones(3), "d": torch.ones(1)}
    fitting, report = match_tensors(Path("w.pth"), found, OWN)
    assert list(fitting) == ["a"]
    assert fitting["a"] is found["a"]
    assert report == LoadReport(
        source=Path("w.pth"),
        filled=("a",),
        missing=("c",),
        mismatched=("b: found (3,), expected (3, 1)",),
        unused=("d",),
    )
    assert report.lines() == [
        "w.pth: filled 1 of the network's 3 tensors",
        "  1 not in the file, left random: c",
        "  1 of another shape, left random: b: found (3,), expected (3, 1)",
        "  1 in the file but not in the network: d",
    ]


@pytest.mark.parametrize(
    ("missing", "unused", "share"),
    [(0, 0, 1.0), (2, 0, 0.5), (0, 6, 0.25), (2, 6, 0.25)],
)
def test_the_share_counts_what_either_side_lacks(missing, unused, share):
    names = [f"n{number}" for number in range(8)]
    report = LoadReport(
        Path("w"), ("x", "y"), tuple(names[:missing]), (), tuple(names[:unused])
    )
    assert report.share == pytest.approx(share)


def test_nothing_at_all_is_no_fit():
    assert LoadReport(Path("w"), (), (), (), ()).share == 0


def test_long_lists_are_cut():
    names = tuple(f"n{number}" for number in range(8))
    line = LoadReport(Path("w"), (), names, (), ()).lines()[1]
    assert line == "  8 not in the file, left random: n0, n1, n2, n3, n4, n5 and 2 more"


def test_the_exact_name_goes_before_one_that_is_made_to_fit():
    checkpoint = {"model.a": torch.zeros(1), "a": torch.ones(1), "n": 3}
    assert find_tensors(checkpoint, {"a"})["a"].item() == 1


@pytest.mark.parametrize("content", [None, 3, [1], {"state_dict": [1]}, {"model": {}}])
def test_a_checkpoint_of_something_else_holds_no_tensor(content):

    assert find_tensors(content, {"a"}) == {}
