"""Pictures that differ are told apart, and those that show the same are not."""

from __future__ import annotations

import cv2
import numpy as np

from finediving_pose.annotation.image_features import (
    choose_different_images,
    compute_features,
    is_same_image,
    make_thumbnail,
)


def scene(kind: int, noise: int = 0, at: tuple[int, int] = (200, 120)) -> np.ndarray:
    """One of a few backgrounds with a body on it, and noise."""
    rng = np.random.default_rng(kind)
    small = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
    image = cv2.resize(small, (455, 256), interpolation=cv2.INTER_CUBIC)
    cv2.ellipse(image, at, (14, 40), 30, 0, 360, (150, 180, 230), -1)
    jitter = np.random.default_rng(100 + noise).normal(0, 4, image.shape)
    return np.clip(image + jitter, 0, 255).astype(np.uint8)


def test_of_three_kinds_of_pictures_one_of_each_is_chosen():
    kinds = [0] * 12 + [1] * 5 + [2] * 3
    described = [
        compute_features(scene(kind, noise)) for noise, kind in enumerate(kinds)
    ]
    for seed in range(5):
        chosen = choose_different_images(described, 3, seed)
        assert sorted(kinds[i] for i in chosen) == [0, 1, 2]
        assert chosen == choose_different_images(described, 3, seed)
    assert choose_different_images(described[:2], 3, 0) == [0, 1]


def test_as_many_clusters_as_equal_pictures_do_not_matter():
    described = [compute_features(scene(0))] * 6
    assert 1 <= len(choose_different_images(described, 3, 0)) <= 3


def test_noise_and_compression_do_not_make_another_picture():
    image = scene(0)
    again = cv2.imdecode(
        cv2.imencode(".jpg", scene(0, noise=1), [cv2.IMWRITE_JPEG_QUALITY, 60])[1],
        cv2.IMREAD_COLOR,
    )
    assert is_same_image(
        make_thumbnail(again), [make_thumbnail(scene(1)), make_thumbnail(image)]
    )
    assert not is_same_image(make_thumbnail(image), [])


def test_a_body_that_moves_before_a_still_camera_makes_another_picture():
    still = make_thumbnail(scene(0))
    assert not is_same_image(make_thumbnail(scene(0, at=(200, 135))), [still])
    assert not is_same_image(make_thumbnail(scene(1)), [still])


def test_large_and_tiny_pictures_have_features_of_one_length():
    sizes = [np.zeros((3, 2, 3), np.uint8), np.zeros((1080, 1920, 3), np.uint8)]
    assert {compute_features(image).shape for image in sizes} == {(256,)}
