"""An athlete's body: limb lengths and masses, joint angles with their limits, poses,
and points in 3D.

The body frame has x ahead, y towards the head and z to the athlete's right, in metres,
the pelvis at the origin. Joint angles are in degrees; 0 everywhere is a body standing
straight with arms hanging and toes pointed:

- hip and shoulder flexion: the limb forward (90 = ahead, 180 = overhead); abduction: outward;
- knee and elbow: bent from straight; ankle: 0 = pointed, the foot in line with the shin, 70 = standing flat;
- shoulder rotation: inward, about the upper arm; wrist: the hand bends the way the elbow does;
- spine flexion and head pitch: forward; head turn: to the right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finediving_pose.skeleton import JOINTS

Array = NDArray[np.float64]

POINTS: tuple[str, ...] = (
    *JOINTS,
    "right_toe",
    "left_toe",
    "right_finger",
    "left_finger",
    "waist",
    "nose",
)
"""The 16 joints, in their order, and what pictures need besides: tips of feet and
hands, the middle of the back (which lets it curl) and the nose (which shows where the
face looks)."""
POINT: dict[str, int] = {name: i for i, name in enumerate(POINTS)}

SIDES: tuple[tuple[str, int], ...] = (("right", 1), ("left", -1))
"""Each side and the sign of its z."""


@dataclass(frozen=True)
class Build:
    """What an athlete's body measures.

    Attributes:
        sex: ``women`` or ``men``, the contests' names.
        stature: Height in m.
        lengths: In m: shin, thigh, torso (pelvis to thorax), neck (thorax to upper
            neck), head (upper neck to head top), upper_arm, forearm, hand, foot (ankle
            to toe), shoulder_width, hip_width (between the joints).
        girth: Thickness of the limbs against the usual.
        mass: In kg.
    """

    sex: str
    stature: float
    lengths: dict[str, float]
    girth: float
    mass: float


# Lengths in statures.
_PROPORTIONS = {
    "shin": 0.246,
    "thigh": 0.245,
    "torso": 0.285,
    "neck": 0.055,
    "head": 0.130,
    "upper_arm": 0.178,
    "forearm": 0.148,
    "hand": 0.105,
    "foot": 0.118,
    "shoulder_width": 0.215,
    "hip_width": 0.110,
}


@dataclass(frozen=True)
class _Usual:
    stature: tuple[float, float]  # mean and spread in m
    extremes: tuple[float, float]  # shortest and tallest in m
    bmi: tuple[float, float]  # mean and spread of the body-mass index in kg/m²
    shoulders: float  # breadth against the proportions above
    hips: float


_USUAL = {
    "women": _Usual((1.59, 0.045), (1.50, 1.68), (20.8, 1.2), 0.95, 1.06),
    "men": _Usual((1.69, 0.050), (1.58, 1.80), (22.6, 1.3), 1.05, 0.97),
}


def draw_build(rng: np.random.Generator, sex: str) -> Build:
    """Draw an athlete's build.

    Args:
        rng: Where chance comes from.
        sex: ``women`` or ``men``.
    """
    usual = _USUAL[sex]
    stature = float(np.clip(rng.normal(*usual.stature), *usual.extremes))
    limbs = float(
        np.clip(rng.normal(1.0, 0.02), 0.95, 1.05)
    )  # long-limbed people have long arms and legs
    own = {
        name: share * float(np.clip(rng.normal(1.0, 0.012), 0.97, 1.03))
        for name, share in _PROPORTIONS.items()
    }
    for name in ("shin", "thigh", "upper_arm", "forearm"):
        own[name] *= limbs
    own["torso"] *= 2.0 - limbs
    own["shoulder_width"] *= usual.shoulders
    own["hip_width"] *= usual.hips
    bmi = float(np.clip(rng.normal(*usual.bmi), 18.0, 26.0))
    girth = float(np.clip(1.0 + 0.07 * (bmi - 21.7) + rng.normal(0.0, 0.03), 0.85, 1.2))
    return Build(
        sex,
        stature,
        {name: stature * share for name, share in own.items()},
        girth,
        bmi * stature**2,
    )


_PAIRED = (
    "hip_flexion",
    "hip_abduction",
    "knee",
    "ankle",
    "shoulder_flexion",
    "shoulder_abduction",
    "shoulder_rotation",
    "elbow",
    "wrist",
)
ANGLES: tuple[str, ...] = (
    *(f"{side}_{name}" for name in _PAIRED for side, _ in SIDES),
    "spine_flexion",
    "head_pitch",
    "head_turn",
)
"""The joint angles of a pose, in degrees."""
ANGLE: dict[str, int] = {name: i for i, name in enumerate(ANGLES)}

_LIMITS = {
    "hip_flexion": (-25.0, 150.0),
    "hip_abduction": (-15.0, 60.0),
    "knee": (0.0, 155.0),
    "ankle": (-5.0, 115.0),
    "shoulder_flexion": (-60.0, 195.0),
    "shoulder_abduction": (-45.0, 150.0),
    "shoulder_rotation": (-90.0, 100.0),
    "elbow": (0.0, 150.0),
    "wrist": (-80.0, 90.0),
    "spine_flexion": (-35.0, 75.0),
    "head_pitch": (-60.0, 60.0),
    "head_turn": (-80.0, 80.0),
}
LIMITS: Array = np.array(
    [_LIMITS[name.removeprefix("right_").removeprefix("left_")] for name in ANGLES]
)
"""(A, 2) least and greatest angle that a supple athlete's joints allow, in degrees."""


def clamp_angles(poses: Array) -> Array:
    """Return poses (..., A) with every angle brought within :data:`LIMITS`."""
    return np.clip(poses, LIMITS[:, 0], LIMITS[:, 1])


def make_pose(base: Array | None = None, **angles: float) -> Array:
    """Return one pose (A,): `base`, or zeros, with the named angles set.

    A name without a side, such as ``knee=90``, sets both; a name with one overrides it.
    """
    made = np.zeros(len(ANGLES)) if base is None else base.copy()
    for name, value in sorted(angles.items(), key=lambda item: item[0] in ANGLE):
        for full in (name,) if name in ANGLE else (f"right_{name}", f"left_{name}"):
            made[ANGLE[full]] = value
    return made


_STANDING = make_pose(knee=3, ankle=70, shoulder_abduction=7, elbow=8)
_STRAIGHT = make_pose(shoulder_abduction=5, shoulder_flexion=8, elbow=3)
_TWIST = {
    "spine_flexion": 4.0,
    "right_shoulder_flexion": 165.0,
    "right_shoulder_abduction": 10.0,
    "right_elbow": 95.0,
    "right_shoulder_rotation": 55.0,
    "left_shoulder_flexion": 48.0,
    "left_shoulder_abduction": -4.0,
    "left_shoulder_rotation": 72.0,
    "left_elbow": 108.0,
}
_MIRROR = {"right": "left", "left": "right"}


def _mirrored(angles: dict[str, float]) -> dict[str, float]:
    return {
        "_".join([_MIRROR.get(first, first), *rest]): v
        for k, v in angles.items()
        for first, *rest in [k.split("_")]
    }


POSES: dict[str, Array] = {
    "standing": _STANDING,
    "standing_relaxed": make_pose(
        _STANDING,
        left_knee=14,
        left_hip_flexion=8,
        spine_flexion=6,
        head_pitch=8,
        elbow=18,
    ),
    "arms_up": make_pose(
        _STANDING,
        ankle=45,
        shoulder_flexion=172,
        shoulder_abduction=8,
        elbow=4,
        head_pitch=-5,
    ),
    "press": make_pose(
        hip_flexion=84,
        knee=84,
        ankle=100,
        spine_flexion=14,
        shoulder_flexion=-32,
        shoulder_abduction=14,
        elbow=10,
    ),
    "hurdle": make_pose(
        right_hip_flexion=88,
        right_knee=86,
        right_ankle=25,
        left_ankle=12,
        shoulder_flexion=160,
        shoulder_abduction=18,
    ),
    "armstand": make_pose(
        shoulder_flexion=178,
        shoulder_abduction=3,
        wrist=85,
        head_pitch=-30,
        spine_flexion=-4,
    ),
    "straight": _STRAIGHT,
    "pike": make_pose(
        hip_flexion=128,
        spine_flexion=42,
        shoulder_flexion=62,
        shoulder_abduction=8,
        shoulder_rotation=30,
        elbow=50,
        wrist=60,
        head_pitch=10,
    ),
    "open_pike": make_pose(
        hip_flexion=104,
        spine_flexion=24,
        shoulder_flexion=88,
        shoulder_abduction=62,
        elbow=3,
    ),
    "tuck": make_pose(
        hip_flexion=130,
        knee=142,
        ankle=8,
        spine_flexion=55,
        shoulder_flexion=58,
        shoulder_abduction=10,
        shoulder_rotation=20,
        elbow=40,
        wrist=55,
        head_pitch=14,
    ),
    "twist_right": make_pose(None, **_TWIST),
    "twist_left": make_pose(None, **_mirrored(_TWIST)),
    "reach": make_pose(
        shoulder_flexion=178, shoulder_abduction=-14, wrist=25, elbow=2, head_pitch=-8
    ),
    "rip": make_pose(
        shoulder_flexion=180, shoulder_abduction=-15, wrist=80, elbow=1, head_pitch=-4
    ),
    "sitting": make_pose(
        hip_flexion=88,
        knee=86,
        ankle=70,
        shoulder_flexion=28,
        shoulder_rotation=25,
        elbow=55,
    ),
    "arms_folded": make_pose(
        _STANDING,
        shoulder_flexion=28,
        shoulder_abduction=12,
        shoulder_rotation=62,
        elbow=98,
        spine_flexion=4,
    ),
    "clapping": make_pose(
        _STANDING,
        shoulder_flexion=42,
        shoulder_abduction=4,
        shoulder_rotation=32,
        elbow=84,
    ),
    "walking_a": make_pose(
        _STANDING,
        right_hip_flexion=26,
        right_knee=8,
        left_hip_flexion=-14,
        left_knee=22,
        left_ankle=45,
        right_shoulder_flexion=-18,
        left_shoulder_flexion=22,
        elbow=16,
    ),
    "walking_b": make_pose(
        _STANDING,
        left_hip_flexion=26,
        left_knee=8,
        right_hip_flexion=-14,
        right_knee=22,
        right_ankle=45,
        left_shoulder_flexion=-18,
        right_shoulder_flexion=22,
        elbow=16,
    ),
}
"""Poses (A,) by name, in degrees. The hands of ``pike`` and ``tuck`` are where a usual
build has its shins; for a given build and fault
:func:`finediving_pose.synthesis.poses.fold_pose` finds them."""

_CLAVICLE_LIFT = 24.0
"""Degrees by which the shoulder has risen about the thorax when the arm is overhead."""
LOWER_SPINE = 0.45
"""Share of the torso below the waist, and of the spine's flexion that happens there."""


def place_points(build: Build, poses: Array) -> Array:
    """Return where the body's points are.

    Args:
        build: Whose body.
        poses: (T, A) degrees, as :data:`ANGLES` orders them.

    Returns:
        (T, P, 3) m in the body frame, in the order of :data:`POINTS`.
    """
    poses = np.asarray(poses, np.float64)
    angle = {name: poses[:, i] for name, i in ANGLE.items()}
    points = np.zeros((len(poses), len(POINTS), 3))
    chest = _trunk(build, angle, points)
    for side, sign in SIDES:
        place_leg(build, angle, points, side, sign)
        place_arm(build, angle, points, side, sign, chest)
    return points


def find_mass_centre(build: Build, points: Array) -> Array:
    """Return the centre of mass (..., 3) of points (..., P, 3), in their unit and
    frame."""
    del build  # all builds share the segments' relative masses
    return np.asarray(CENTRE_WEIGHTS @ points)


def compute_inertia(build: Build, points: Array, axis: Array) -> Array:
    """Return the moment of inertia (...,) in kg m² of points (..., P, 3) m.

    Args:
        build: Whose body; gives the mass.
        points: (..., P, 3) m.
        axis: (3,) direction of the axis, through the centre of mass.
    """
    masses = _ROD_POINTS @ points
    arms = masses - find_mass_centre(build, points)[..., None, :]
    along = arms @ (np.asarray(axis, np.float64) / np.linalg.norm(axis))
    return build.mass * ((arms**2).sum(-1) - along**2) @ _ROD_MASSES


def compute_angular_momentum(build: Build, points: Array, seconds: float) -> Array:
    """Return the angular momentum (T,) about the centre of mass and the z axis, in kg
    m² degrees / s.

    Args:
        build: Whose body; gives the mass.
        points: (T, P, 3) m.
        seconds: From one instant to the next.
    """
    arms = _ROD_POINTS @ (points - find_mass_centre(build, points)[:, None])
    moving = np.gradient(arms, seconds, axis=0)
    turning = arms[..., 0] * moving[..., 1] - arms[..., 1] * moving[..., 0]
    return np.degrees(build.mass * turning @ _ROD_MASSES)


def rotate_about(axis: str, degrees: Array) -> Array:
    """Return rotation matrices (T, 3, 3) by `degrees` (T,) about ``x``, ``y`` or ``z``,
    the right-hand way."""
    radians = np.radians(degrees)
    cos, sin = np.cos(radians), np.sin(radians)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrices = np.zeros((len(radians), 3, 3))
    matrices[:, 3 - first - second, 3 - first - second] = 1.0
    matrices[:, first, first] = matrices[:, second, second] = cos
    matrices[:, first, second], matrices[:, second, first] = -sin, sin
    return matrices


def _trunk(build: Build, angle: dict[str, Array], points: Array) -> Array:
    """Place spine and head; return the chest's frame (T, 3, 3)."""
    length = build.lengths
    chest = rotate_about("z", -angle["spine_flexion"])
    lower = rotate_about("z", -LOWER_SPINE * angle["spine_flexion"])
    neck = rotate_about("z", -angle["spine_flexion"] - 0.5 * angle["head_pitch"])
    head = rotate_about(
        "z", -angle["spine_flexion"] - angle["head_pitch"]
    ) @ rotate_about("y", -angle["head_turn"])
    waist = LOWER_SPINE * length["torso"] * lower[:, :, 1]
    thorax = waist + (1 - LOWER_SPINE) * length["torso"] * chest[:, :, 1]
    upper_neck = thorax + length["neck"] * neck[:, :, 1]
    (
        points[:, POINT["waist"]],
        points[:, POINT["thorax"]],
        points[:, POINT["upper_neck"]],
    ) = waist, thorax, upper_neck
    points[:, POINT["head_top"]] = upper_neck + length["head"] * head[:, :, 1]
    points[:, POINT["nose"]] = upper_neck + length["head"] * (
        0.72 * head[:, :, 0] + 0.32 * head[:, :, 1]
    )
    return chest


def place_leg(
    build: Build, angle: dict[str, Array], points: Array, side: str, sign: int
) -> None:
    """Place a leg of bodies in their own frame, as :func:`place_arm` does an arm."""
    length = build.lengths
    hip = np.array([0.0, 0.0, sign * length["hip_width"] / 2])
    thigh = rotate_about("z", angle[f"{side}_hip_flexion"]) @ rotate_about(
        "x", -sign * angle[f"{side}_hip_abduction"]
    )
    shin = thigh @ rotate_about("z", -angle[f"{side}_knee"])
    foot = shin @ rotate_about("z", angle[f"{side}_ankle"])
    knee = hip - length["thigh"] * thigh[:, :, 1]
    ankle = knee - length["shin"] * shin[:, :, 1]
    points[:, POINT[f"{side}_hip"]], points[:, POINT[f"{side}_knee"]] = hip, knee
    points[:, POINT[f"{side}_ankle"]] = ankle
    points[:, POINT[f"{side}_toe"]] = ankle - length["foot"] * foot[:, :, 1]


def place_arm(
    build: Build,
    angle: dict[str, Array],
    points: Array,
    side: str,
    sign: int,
    chest: Array,
) -> None:
    """Place an arm of bodies whose thorax is placed.

    Args:
        build: Whose body.
        angle: (T,) degrees of each of the arm's angles.
        points: (T, P, 3) m, in which shoulder, elbow, wrist and finger are written.
        side, sign: As in :data:`SIDES`.
        chest: (T, 3, 3) the chest's frame in which `points` are.
    """
    length = build.lengths
    upper = (
        chest
        @ rotate_about("z", angle[f"{side}_shoulder_flexion"])
        @ rotate_about("x", -sign * angle[f"{side}_shoulder_abduction"])
        @ rotate_about("y", sign * angle[f"{side}_shoulder_rotation"])
    )
    fore = upper @ rotate_about("z", angle[f"{side}_elbow"])
    hand = fore @ rotate_about("z", angle[f"{side}_wrist"])
    shoulder = points[:, POINT["thorax"]] + place_shoulder(
        build, chest, upper[:, :, 1], sign
    )
    elbow = shoulder - length["upper_arm"] * upper[:, :, 1]
    wrist = elbow - length["forearm"] * fore[:, :, 1]
    points[:, POINT[f"{side}_shoulder"]], points[:, POINT[f"{side}_elbow"]] = (
        shoulder,
        elbow,
    )
    points[:, POINT[f"{side}_wrist"]] = wrist
    points[:, POINT[f"{side}_finger"]] = wrist - length["hand"] * hand[:, :, 1]


def place_shoulder(build: Build, chest: Array, upper_arm: Array, sign: int) -> Array:
    """Return the way (T, 3) m from thorax to shoulder, which rises with the arm.

    Args:
        build: Whose body.
        chest: (T, 3, 3) the chest's frame.
        upper_arm: (T, 3) unit vectors from the elbow to the shoulder.
        sign: 1 for the right, −1 for the left.
    """
    raised = (
        1.0 - (chest[:, :, 1] * upper_arm).sum(-1)
    ) / 2  # 0 = the arm hangs, 1 = overhead
    lift = np.radians(_CLAVICLE_LIFT * raised)[:, None]
    way = np.cos(lift) * sign * chest[:, :, 2] + np.sin(lift) * chest[:, :, 1]
    return build.lengths["shoulder_width"] / 2 * way


# Segments as rods: two ends, share of the body's mass (Winter, Biomechanics and Motor
# Control of Human Movement, table 4.1), where along the rod its centre lies. The
# trunk's breadth is in the two rods across.
_RODS: tuple[tuple[str, str, float, float], ...] = (
    ("upper_neck", "head_top", 0.081, 0.45),
    ("waist", "thorax", 0.170, 0.55),
    ("pelvis", "waist", 0.147, 0.50),
    ("right_shoulder", "left_shoulder", 0.110, 0.50),
    ("right_hip", "left_hip", 0.070, 0.50),
    *(
        (f"{side}_{start}", f"{side}_{end}", share, centre)
        for start, end, share, centre in (
            ("hip", "knee", 0.100, 0.433),
            ("knee", "ankle", 0.0465, 0.433),
            ("ankle", "toe", 0.0145, 0.50),
            ("shoulder", "elbow", 0.028, 0.436),
            ("elbow", "wrist", 0.016, 0.430),
            ("wrist", "finger", 0.006, 0.506),
        )
        for side, _ in SIDES
    ),
)
_GYRATION = 0.29
"""Half the distance of the two point masses that stand for a rod, in rod lengths: they
have a thin rod's inertia."""


def _point_masses() -> tuple[Array, Array]:
    """Return (M, P) places as weights of the points, and (M,) shares of the mass."""
    places, shares = np.zeros((2 * len(_RODS), len(POINTS))), np.zeros(2 * len(_RODS))
    for i, (start, end, share, centre) in enumerate(_RODS):
        for j, along in enumerate((centre - _GYRATION, centre + _GYRATION)):
            places[2 * i + j, POINT[start]] += 1 - along
            places[2 * i + j, POINT[end]] += along
            shares[2 * i + j] = share / 2
    return places, shares


_ROD_POINTS, _ROD_MASSES = _point_masses()
CENTRE_WEIGHTS: Array = _ROD_MASSES @ _ROD_POINTS
"""(P,) what each point contributes to the centre of mass; they add up to 1."""
