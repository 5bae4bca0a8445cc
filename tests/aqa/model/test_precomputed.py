"""Features of dives, clips and frames in the place of a visual encoder."""

from __future__ import annotations

import torch

from finediving_pose.aqa.model.visual_encoders import PrecomputedFeatures


def test_one_vector_stands_for_every_frame():
    features = torch.randn(2, 1, 5)
    found = PrecomputedFeatures(5)(features)
    assert found.shape == (2, 96, 5)
    assert (found == features).all()


def test_vectors_of_frames_are_taken_as_they_are():
    features = torch.randn(2, 96, 5)
    assert torch.equal(PrecomputedFeatures(5)(features), features)


def test_vectors_of_clips_are_read_at_the_frames():
    features = torch.arange(9.0)[None, :, None]  # clip c is the number c
    between = PrecomputedFeatures(1)(features)[0, :, 0]
    assert (
        between[[0, 7, 8, 12, 13, 95]].tolist()
        == torch.tensor([0, 0, 0.05, 0.45, 0.55, 8]).tolist()
    )
    stepped = PrecomputedFeatures(1, "t//10")(features)[0, :, 0]
    assert stepped[[0, 9, 10, 89, 95]].tolist() == [0, 0, 1, 8, 8]
