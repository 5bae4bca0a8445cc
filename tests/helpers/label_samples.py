"""Labels for tests: made in code, random through hypothesis, and LabelMe files as an
annotator would leave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from PIL import Image

from finediving_pose.datasets.problems import Problem
from finediving_pose.records import LabelledFrame
from finediving_pose.skeleton import NUM_JOINTS

SIZE = (455, 256)


def make_frame(
    image: str = "clip/00001.jpg", seed: int = 0, **fields: Any
) -> LabelledFrame:
    """A frame with all joints visible inside a drawn box; `fields` replace what it has."""
    random = np.random.default_rng(seed)
    given: dict[str, Any] = {
        "keypoints": random.uniform((100, 60), (200, 200), (NUM_JOINTS, 2)),
        "visibility": np.full(NUM_JOINTS, 2, dtype=np.uint8),
        "box": np.array([90.25, 50.5, 210.75, 215.0]),
        "size": SIZE,
    }
    return LabelledFrame(image=image, **(given | fields))


@st.composite
def frame_sets(draw: st.DrawFn) -> tuple[LabelledFrame, ...]:
    """Frames of one to three images with everything that every format can hold."""
    width, height = draw(
        st.sampled_from([(455, 256), (1920, 1080), (3840, 2160), (64, 48)])
    )
    dives = draw(
        st.sampled_from(
            [None, ("01", "3"), ("Mänd__10m", "12"), ("FINA 2019_Women3m", "1")]
        )
    )
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    frames = []
    for number in draw(
        st.lists(
            st.sampled_from([0, 1, 7, 123456]), min_size=1, max_size=3, unique=True
        )
    ):
        visibility = random.choice([0, 1, 2], NUM_JOINTS).astype(np.uint8)
        keypoints = random.uniform((0, 0), (width, height), (NUM_JOINTS, 2))
        if draw(st.booleans()):
            keypoints = np.round(keypoints)
        keypoints[visibility == 0] = np.nan
        low = random.uniform((0, 0), (width * 0.6, height * 0.6))
        frames.append(
            LabelledFrame(
                image=f"é {number % 3}/{number:05d}.jpg",
                keypoints=keypoints,
                visibility=visibility,
                box=np.concatenate(
                    [low, low + random.uniform((1, 1), (width * 0.4, height * 0.4))]
                ),
                box_estimated=draw(st.booleans()),
                size=(width, height),
                match=dives and dives[0],
                dive=dives and dives[1],
                frame=number if dives else None,
            )
        )
    return tuple(frames)


def assert_same_labels(
    got: tuple[LabelledFrame, ...],
    expected: tuple[LabelledFrame, ...],
    tolerance: float = 1e-3,
) -> None:
    """Compare by image: coordinates within `tolerance` px, everything else equal."""
    by_image = {frame.image: frame for frame in got}
    assert by_image.keys() == {frame.image for frame in expected}
    for frame in expected:
        other = by_image[frame.image]
        np.testing.assert_allclose(
            other.keypoints, frame.keypoints, rtol=0, atol=tolerance
        )
        np.testing.assert_array_equal(other.visibility, frame.visibility)
        assert (other.box is None) == (frame.box is None)
        if frame.box is not None:
            np.testing.assert_allclose(other.box, frame.box, rtol=0, atol=tolerance)
        facts = ("box_estimated", "size", "match", "dive", "frame")
        assert [getattr(other, name) for name in facts] == [
            getattr(frame, name) for name in facts
        ]


def labelme_file(path: Path, image: bool = True, **changes: Any) -> dict[str, Any]:
    """Write a good LabelMe file, with its image beside it, changed as asked; return its
    content."""
    content: dict[str, Any] = {
        "version": "5.5.0",
        "flags": {},
        "shapes": [
            box_shape(),
            *(
                point_shape(str(joint), 110 + 5 * joint, 70 + 8 * joint)
                for joint in range(16)
            ),
        ],
        "imagePath": f"{path.stem}.jpg",
        "imageData": None,
        "imageHeight": SIZE[1],
        "imageWidth": SIZE[0],
    } | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    if image:
        Image.new("RGB", SIZE).save(path.with_suffix(".jpg"))
    return content


def box_shape(
    label: str = "athlete", corners: Any = ((100, 60), (210, 220)), **changes: Any
) -> dict[str, Any]:
    return shape(label, [list(corner) for corner in corners], "rectangle") | changes


def point_shape(label: str, x: Any, y: Any, **changes: Any) -> dict[str, Any]:
    return shape(label, [[x, y]], "point") | changes


def shape(label: str, points: Any, kind: str) -> dict[str, Any]:
    return {
        "label": label,
        "points": points,
        "group_id": None,
        "shape_type": kind,
        "flags": {},
    }


def problem_about(problems: tuple[Problem, ...], where: str) -> Problem:
    """The only problem at a joint or key."""
    (found,) = [problem for problem in problems if problem.where == where]
    return found
