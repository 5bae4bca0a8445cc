"""A few drawn dives: SYNTHETIC pictures with exactly known joints, to try the whole way on any machine.

Nothing here looks like footage, and no figure measured on it says anything about real diving. A jointed body in
three dimensions somersaults along a parabola before a still pool with spectators, seen by a camera that stands
aside. Equal seeds draw equal bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.datasets import labelme
from finediving_pose.datasets.labels import LabelSet
from finediving_pose.media import write_jpeg
from finediving_pose.records import LabelledFrame, Visibility
from finediving_pose.skeleton import FLIP_PAIRS, INDEX, NUM_JOINTS

FloatArray = NDArray[np.float64]
Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

SIZE = (455, 256)
"""Width and height of FineDiving's frames in px."""

_MATCHES = ("SyntheticSketchA", "SyntheticSketchB")

_STATURE = 0.34  # of the picture's height; about what a diver has in broadcast footage
_REACH = 0.72  # farthest joint from the body's centre, in statures, arms overhead
_MARGIN = 4.0  # px between any joint and the picture's edge
_WATER = 0.9  # where the water begins, of the picture's height
_SUBPIXEL = 4  # bits; OpenCV draws at sixteenths of a pixel

# Lengths in statures.
_SHIN, _THIGH, _TORSO, _NECK, _HEAD, _UPPER_ARM, _FOREARM = 0.25, 0.245, 0.27, 0.045, 0.145, 0.175, 0.19
_SHOULDER_WIDTH, _HIP_WIDTH = 0.23, 0.13


class Sketch(NamedTuple):
    """One drawn dive.

    Attributes:
        frames: (T, H, W, 3) uint8, BGR.
        keypoints: (T, 16, 2) float64 px, all inside the picture.
        boxes: (T, 4) float64 px, x1, y1, x2, y2 around the drawn diver.
    """

    frames: Image
    keypoints: FloatArray
    boxes: FloatArray


class _Posture(NamedTuple):
    """Joint angles in degrees, 0 = standing with the arms down."""

    hip: float = 0.0
    knee: float = 0.0
    shoulder: float = 0.0
    elbow: float = 0.0
    head: float = 0.0


_POSTURES = {
    "standing": _Posture(),
    "straight": _Posture(shoulder=176, elbow=2),
    "tuck": _Posture(hip=128, knee=138, shoulder=48, elbow=38, head=35),
    "pike": _Posture(hip=132, knee=0, shoulder=92, elbow=8, head=25),
    "layout": _Posture(shoulder=20, elbow=10, head=-5),
}
_FOLDS = ("tuck", "pike", "layout")


@dataclass(frozen=True)
class _Plan:
    """What the seed decides about a dive."""

    fold: str
    turns: float
    facing: int
    yaw: float
    skin: Colour
    suit: Colour


def draw_dive(seed: int, frames: int = 24, size: tuple[int, int] = SIZE) -> Sketch:
    """Draw one dive from take-off to entry.

    Args:
        seed: Decides position, number of somersaults, side, colours, spectators and noise.
        frames: How many frames.
        size: Width and height in px; at least 96 each.

    Raises:
        ValueError: If there is no frame, or the picture is too small for a person.
    """
    if frames < 1 or min(size) < 96:
        raise ValueError(f"expected at least 1 frame of 96x96 px, got {frames} of {size[0]}x{size[1]}")
    rng = np.random.default_rng(seed)
    plan = _plan(rng)
    stature = _STATURE * min(size)
    joints, depth = _move(plan, frames, size, stature)
    scene = _scene(rng, size, plan.facing)
    noise = rng.normal(0.0, 4.0, (size[1], size[0], 3)).astype(np.float32)
    pictures = np.stack([_picture(scene, noise, t, joints[t], depth[t], plan, stature) for t in range(frames)])
    return Sketch(pictures, joints, _boxes(joints, stature, size))


def write_sample(out: Path, dives: int = 4, frames: int = 24, seed: int = 0) -> LabelSet:
    """Draw dives and write them as annotators would have left them: pictures and reviewed LabelMe files.

    ``frames/<match>/<dive>/<number>.jpg`` and ``labels/final/<match>__<dive>/<number>.json`` below `out`. The dives
    go in turn to two matches, so that a split by match has two sides.

    Args:
        out: A folder; what is in it under the same names is replaced.
        dives: How many.
        frames: How many frames each has.
        seed: Dive i is drawn from the seed `seed` + i.

    Returns:
        The labels written, images relative to ``frames``.
    """
    labelled = [frame for dive in range(dives) for frame in _write_dive(out / "frames", dive, frames, seed + dive)]
    labels = LabelSet(tuple(labelled), images=out / "frames", format="labelme")
    problems = labelme.write(out / "labels" / "final", labels)
    assert not problems, problems
    return labels


def _write_dive(root: Path, index: int, frames: int, seed: int) -> Iterator[LabelledFrame]:
    sketch = draw_dive(seed, frames)
    match, dive = _MATCHES[index % len(_MATCHES)], str(index // len(_MATCHES) + 1)
    for t in range(frames):
        name = f"{match}/{dive}/{t + 1:05d}.jpg"
        write_jpeg(root / name, sketch.frames[t])
        yield LabelledFrame(
            image=name,
            keypoints=sketch.keypoints[t],
            visibility=np.full(NUM_JOINTS, Visibility.VISIBLE, np.uint8),
            box=sketch.boxes[t],
            size=SIZE,
            match=match,
            dive=dive,
            frame=t + 1,
        )


def _plan(rng: np.random.Generator) -> _Plan:
    tan = rng.uniform(0.55, 1.0)
    return _Plan(
        fold=str(rng.choice(_FOLDS)),
        turns=float(rng.choice([0.5, 1.5, 2.5])),
        facing=int(rng.choice([-1, 1])),
        yaw=float(rng.uniform(15, 40)),
        skin=(int(130 * tan), int(165 * tan), int(225 * tan)),
        suit=_colour(rng, 40, 220),
    )


def _move(plan: _Plan, frames: int, size: tuple[int, int], stature: float) -> tuple[FloatArray, FloatArray]:
    """Return keypoints (T, 16, 2) px and their depth (T, 16), larger = nearer to the camera."""
    time = np.linspace(0.0, 1.0, frames)
    folded = np.clip(np.minimum((time - 0.12) / 0.14, (0.88 - time) / 0.16), 0.0, 1.0)
    speed = 0.35 + folded * (1.65 if plan.fold != "layout" else 0.6)  # a folded body turns faster
    turned = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2)])
    angles = np.radians(360 * plan.turns) * turned / max(turned[-1], 1e-9)
    centres = _fall(time, plan.facing, size, stature)
    points, depth = np.empty((frames, NUM_JOINTS, 2)), np.empty((frames, NUM_JOINTS))
    for t in range(frames):
        posture = _between(_POSTURES["straight"], _POSTURES[plan.fold], float(folded[t]))
        turned_body = _somersault(_body(posture), float(angles[t]))
        points[t], depth[t] = _project(turned_body, plan.facing, plan.yaw, stature, centres[t])
    return points, depth


def _fall(time: FloatArray, facing: int, size: tuple[int, int], stature: float) -> FloatArray:
    """Return the body's centre (T, 2) px on a parabola from the platform's edge to the water."""
    width, height = size
    top, bottom = _REACH * stature + _MARGIN, _WATER * height - 0.65 * stature  # ends with the hands in the water
    start = top + 0.15 * (bottom - top)
    fall = 4 * 0.5 * time**2 - 0.9 * time  # up first, then down; 1.1 at the end
    y = start + fall / 1.1 * (bottom - start)
    return np.stack([width * (0.5 - facing * (0.2 - 0.3 * time)), y], axis=1)


def _body(posture: _Posture) -> FloatArray:
    """Return joints (16, 3) in statures: x ahead, y up, z to the athlete's right; the centre at the origin."""
    joints = np.zeros((NUM_JOINTS, 3))
    thorax = np.array([0.0, _TORSO, 0.0])
    neck = thorax + _NECK * _direction(180 - posture.head / 2)
    joints[INDEX["thorax"]] = thorax
    joints[INDEX["upper_neck"]] = neck
    joints[INDEX["head_top"]] = neck + _HEAD * _direction(180 - posture.head)
    for side, sign in (("right", 1), ("left", -1)):
        hip = np.array([0.0, 0.0, sign * _HIP_WIDTH / 2])
        knee = hip + _THIGH * _direction(posture.hip)
        shoulder = thorax + np.array([0.0, -0.01, sign * _SHOULDER_WIDTH / 2])
        elbow = shoulder + _UPPER_ARM * _direction(posture.shoulder)
        chain = {
            "hip": hip,
            "knee": knee,
            "ankle": knee + _SHIN * _direction(posture.hip - posture.knee),
            "shoulder": shoulder,
            "elbow": elbow,
            "wrist": elbow + _FOREARM * _direction(posture.shoulder + posture.elbow),
        }
        for name, place in chain.items():
            joints[INDEX[f"{side}_{name}"]] = place
    trunk = [INDEX[name] for name in ("pelvis", "thorax", "right_knee", "left_knee")]
    return joints - joints[trunk].mean(axis=0)


def _direction(degrees: float) -> FloatArray:
    """Unit vector in the plane of symmetry: 0 down, 90 ahead, 180 up."""
    angle = np.radians(degrees)
    return np.array([np.sin(angle), -np.cos(angle), 0.0])


def _between(first: _Posture, second: _Posture, share: float) -> _Posture:
    return _Posture(*((1 - share) * a + share * b for a, b in zip(first, second, strict=True)))


def _somersault(joints: FloatArray, angle: float) -> FloatArray:
    """Turn forwards: the head goes ahead and down."""
    cos, sin = np.cos(angle), np.sin(angle)
    x, y, z = joints.T
    return np.stack([x * cos + y * sin, -x * sin + y * cos, z], axis=1)


def _project(
    joints: FloatArray, facing: int, yaw: float, stature: float, centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Look at the body from aside; `facing` 1 is to the right, where the athlete's right is near the camera."""
    x, y, z = facing * joints[:, 0], joints[:, 1], facing * joints[:, 2]
    cos, sin = np.cos(np.radians(yaw)), np.sin(np.radians(yaw))
    points = np.stack([x * cos + z * sin, -y], axis=1) * stature + centre
    return points, z * cos - x * sin


def _boxes(joints: FloatArray, stature: float, size: tuple[int, int]) -> FloatArray:
    thickness = 0.075 * stature
    low, high = joints.min(axis=1) - thickness, joints.max(axis=1) + thickness
    limit = np.array(size, np.float64) - 1
    return np.concatenate([np.clip(low, 0, limit), np.clip(high, 0, limit)], axis=1)


# Drawing. Colours are BGR.


def _picture(
    scene: Image, noise: NDArray[np.float32], t: int, joints: FloatArray, depth: FloatArray, plan: _Plan, stature: float
) -> Image:
    import cv2

    picture = scene.copy()
    _draw_person(picture, joints, depth, stature, {"skin": plan.skin, "suit": plan.suit, "hair": (40, 35, 30)})
    soft = cv2.GaussianBlur(picture, (3, 3), 0.6)
    shifted = np.roll(noise, (17 * t, 31 * t), axis=(0, 1))
    return np.clip(soft + shifted, 0, 255).astype(np.uint8)


def _scene(rng: np.random.Generator, size: tuple[int, int], facing: int) -> Image:
    """Draw all that does not move: wall, stands with spectators, platform with the next athlete, water."""
    import cv2

    width, height = size
    picture = _gradient(size, (150, 120, 90), (95, 80, 70))
    for row in range(1, 4):
        y = int(height * (0.12 + 0.17 * row))
        cv2.rectangle(picture, (0, y), (width, y + max(2, height // 60)), (120, 105, 90), -1)
        _spectators(picture, rng, y, 0.12 * height)
    band = int(height * 0.70)
    cv2.rectangle(picture, (0, band), (width, band + height // 14), _colour(rng, 70, 200), -1)
    _platform(picture, rng, facing)
    surface = int(height * _WATER)
    picture[surface:] = _gradient((width, height - surface), (190, 150, 60), (150, 105, 30))
    for _ in range(25):
        x, y = int(rng.integers(0, width)), int(rng.integers(surface, height))
        cv2.line(picture, (x, y), (x + int(rng.integers(5, 25)), y), (215, 190, 120), 1, cv2.LINE_AA)
    return cv2.GaussianBlur(picture, (3, 3), 0.8).astype(np.uint8)


def _spectators(picture: Image, rng: np.random.Generator, floor: int, stature: float) -> None:
    width = picture.shape[1]
    for x in np.arange(0.06, 0.98, 0.11) * width:
        if rng.random() < 0.45:
            _bystander(picture, rng, float(x + rng.uniform(-6, 6)), floor, stature * rng.uniform(0.85, 1.1))


def _platform(picture: Image, rng: np.random.Generator, facing: int) -> None:
    import cv2

    height, width = picture.shape[:2]
    stature = _STATURE * min(height, width)
    edge = width * (0.5 - facing * 0.185)
    far = 0 if facing > 0 else width
    y = int(_fall(np.zeros(1), facing, (width, height), stature)[0, 1] + 0.475 * stature)
    cv2.rectangle(picture, (int(edge), y), (far, y + height // 20), (200, 170, 60), -1)
    cv2.rectangle(picture, (int((edge + 2 * far) / 3), y), (far, height), (170, 165, 160), -1)
    _bystander(picture, rng, (edge + 2 * far) / 3, y, stature * 0.95)


def _bystander(picture: Image, rng: np.random.Generator, x: float, floor: float, stature: float) -> None:
    """Draw a clothed person who stands still."""
    points, depth = _project(
        _body(_POSTURES["standing"]), int(rng.choice([-1, 1])), float(rng.uniform(30, 80)), stature, np.zeros(2)
    )
    points += np.array([x, floor]) - np.array([0.0, points[:, 1].max() + 0.02 * stature])
    tan = rng.uniform(0.5, 0.95)
    skin = (int(130 * tan), int(165 * tan), int(225 * tan))
    clothes = {"sleeve": _colour(rng, 30, 230), "leg": _colour(rng, 20, 120), "hair": _colour(rng, 15, 70)}
    _draw_person(picture, points, depth, stature, {"skin": skin, "suit": clothes["sleeve"], **clothes})


def _draw_person(
    picture: Image, joints: FloatArray, depth: FloatArray, stature: float, colours: Mapping[str, Colour]
) -> None:
    """Draw limbs from far to near; the athlete's left side is darker and wears bands, so that sides can be told."""
    parts = [(float(depth[list(limb)].mean()), limb, name) for limb, name in _limbs()]
    trunk_depth = float(depth[[INDEX["pelvis"], INDEX["thorax"]]].mean())
    for _, limb, name in sorted([*parts, (trunk_depth, (0, 0), "trunk")], key=lambda part: part[0]):
        if name == "trunk":
            _draw_trunk(picture, joints, stature, colours)
            continue
        left = limb[0] in {b for _, b in FLIP_PAIRS}
        base = colours.get("sleeve" if name == "upper_arm" else "leg" if name in ("thigh", "shin") else "", None)
        colour = _shade(base or colours["skin"], 0.72 if left else 1.0)
        _line(picture, joints[limb[0]], joints[limb[1]], colour, _WIDTHS[name] * stature)
        if left and name in ("forearm", "shin"):
            band = joints[limb[1]] + 0.25 * (joints[limb[0]] - joints[limb[1]])
            _line(picture, band, joints[limb[1]], (235, 235, 235), 0.8 * _WIDTHS[name] * stature)


_WIDTHS = {"thigh": 0.115, "shin": 0.08, "upper_arm": 0.07, "forearm": 0.055}


def _limbs() -> list[tuple[tuple[int, int], str]]:
    ends = {
        "thigh": ("hip", "knee"),
        "shin": ("knee", "ankle"),
        "upper_arm": ("shoulder", "elbow"),
        "forearm": ("elbow", "wrist"),
    }
    return [
        ((INDEX[f"{side}_{start}"], INDEX[f"{side}_{end}"]), name)
        for name, (start, end) in ends.items()
        for side in ("right", "left")
    ]


def _draw_trunk(picture: Image, joints: FloatArray, stature: float, colours: Mapping[str, Colour]) -> None:
    pelvis, thorax = joints[INDEX["pelvis"]], joints[INDEX["thorax"]]
    dressed = colours["suit"] if "sleeve" in colours else colours["skin"]
    _line(picture, thorax, joints[INDEX["upper_neck"]], colours["skin"], 0.08 * stature)
    for side in ("right", "left"):
        _line(picture, joints[INDEX[f"{side}_shoulder"]], joints[INDEX[f"{side}_hip"]], dressed, 0.12 * stature)
    _line(picture, pelvis, thorax, dressed, 0.15 * stature)
    _line(picture, joints[INDEX["right_hip"]], joints[INDEX["left_hip"]], colours["suit"], 0.15 * stature)
    _draw_head(picture, joints, stature, colours)


def _draw_head(picture: Image, joints: FloatArray, stature: float, colours: Mapping[str, Colour]) -> None:
    neck, top = joints[INDEX["upper_neck"]], joints[INDEX["head_top"]]
    radius = 0.052 * stature
    length = max(float(np.linalg.norm(top - neck)), 1e-6)
    crown = top - (top - neck) / length * min(radius, length)
    _line(picture, neck, crown, colours["skin"], 1.7 * radius)
    _line(picture, crown, crown, colours["hair"], 2 * radius)


def _line(picture: Image, start: Any, end: Any, colour: Colour, width: float) -> None:
    import cv2

    first, second = (tuple(round(v * 2**_SUBPIXEL) for v in point) for point in (start, end))
    cv2.line(picture, first, second, colour, max(1, round(width)), cv2.LINE_AA, _SUBPIXEL)


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image:
    share = np.linspace(0, 1, size[1])[:, None, None]
    rows = (1 - share) * np.array(top) + share * np.array(bottom)
    return np.broadcast_to(rows, (size[1], size[0], 3)).astype(np.uint8, order="C")


def _shade(colour: Colour, factor: float) -> Colour:
    blue, green, red = (int(channel * factor) for channel in colour)
    return blue, green, red


def _colour(rng: np.random.Generator, low: int, high: int) -> Colour:
    blue, green, red = (int(channel) for channel in rng.integers(low, high, 3))
    return blue, green, red
