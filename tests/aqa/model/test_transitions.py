"""The frames that stages begin with: against every possible choice, and as the released
code chooses."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from finediving_pose.aqa.model.segmentation import choose_transitions


def peaks(frames: int, *columns: dict[int, float]) -> torch.Tensor:
    """Logits (1, frames, columns), 0 but where a column names a frame."""
    logits = torch.zeros(1, frames, len(columns))
    for column, values in enumerate(columns):
        for frame, value in values.items():
            logits[0, frame, column] = value
    return logits


@pytest.mark.parametrize("transitions", [1, 2, 3, 4])
def test_increasing_is_the_best_of_all_choices(transitions):
    logits = torch.randn(
        20, 9, transitions, generator=torch.Generator().manual_seed(transitions)
    )
    probabilities = logits.softmax(dim=1)
    for video, chosen in enumerate(choose_transitions(logits).tolist()):

        def product(frames, video=video):
            return torch.stack(
                [probabilities[video, t, k] for k, t in enumerate(frames)]
            ).prod()

        assert tuple(chosen) == max(combinations(range(1, 9), transitions), key=product)


def test_peaks_in_order_are_chosen_wherever_they_lie():
    logits = peaks(96, {60: 9.0}, {85: 9.0})
    assert choose_transitions(logits).tolist() == [[60, 85]]


def test_peaks_out_of_order_give_way():
    logits = peaks(96, {70: 5.0, 20: 3.0}, {40: 5.0, 90: 1.0})
    assert choose_transitions(logits).tolist() == [[20, 40]]


def test_no_stage_begins_with_the_clip():
    assert choose_transitions(peaks(96, {0: 9.0, 5: 1.0}, {80: 9.0})).tolist() == [
        [5, 80]
    ]


def test_window_searches_a_half_each():
    logits = peaks(96, {60: 9.0, 30: 3.0}, {85: 9.0, 20: 10.0})
    assert choose_transitions(logits, "window").tolist() == [[30, 85]]


def test_window_of_a_single_transition_is_the_whole_clip():
    assert choose_transitions(peaks(96, {85: 9.0}), "window").tolist() == [[85]]


@pytest.mark.parametrize("how", ["increasing", "window"])
def test_one_stage_has_no_transition(how):
    chosen = choose_transitions(torch.zeros(3, 96, 0), how)
    assert chosen.shape == (3, 0)
    assert chosen.dtype == torch.int64


@pytest.mark.parametrize("how", ["increasing", "window"])
def test_an_odd_number_of_frames(how):
    assert choose_transitions(peaks(103, {40: 9.0}, {102: 9.0}), how).tolist() == [
        [40, 102]
    ]


def test_half_precision_logits_and_no_gradient():
    logits = peaks(96, {60: 9.0}, {85: 9.0}).bfloat16().requires_grad_()
    chosen = choose_transitions(logits)
    assert chosen.tolist() == [[60, 85]]
    assert chosen.dtype == torch.int64
