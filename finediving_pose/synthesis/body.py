"""Body of an athlete: limb lengths and masses, joint angles with their limits, poses,
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

GRAVITY = 9.81
"""m/s²."""

POINTS: tuple[str, ...] = (
    *JOINTS,
    "right_toe",
    "left_toe",
    "right_finger",
    "left_finger",
    "waist",
    "nose",
)
"""The 16 joints, in their order, and what images need besides: tips of feet and
hands, the middle of the back (which lets it curl) and the nose (which shows where the
face looks)."""
POINT: dict[str, int] = {name: i for i, name in enumerate(POINTS)}

SIDES: dict[str, int] = {"right": 1, "left": -1}
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
    """Builds of one sex.

    Attributes:
        stature: Mean and spread in m.
        extremes: Shortest and tallest in m.
        bmi: Mean and spread of the body-mass index in kg/m².
        shoulders, hips: Breadth against the proportions above.
    """

    stature: tuple[float, float]
    extremes: tuple[float, float]
    bmi: tuple[float, float]
    shoulders: float
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
    # Long-limbed people have long arms and legs, and a shorter trunk.
    limbs = float(np.clip(rng.normal(1.0, 0.02), 0.95, 1.05))
    own = {}
    for name, share in _PROPORTIONS.items():
        own[name] = share * float(np.clip(rng.normal(1.0, 0.012), 0.97, 1.03))
    for name in ("shin", "thigh", "upper_arm", "forearm"):
        own[name] *= limbs
    own["torso"] *= 2.0 - limbs
    own["shoulder_width"] *= usual.shoulders
    own["hip_width"] *= usual.hips
    # The body-mass index, kg/m², gives both the mass and how thick the limbs are.
    bmi = float(np.clip(rng.normal(*usual.bmi), 18.0, 26.0))
    girth = float(np.clip(1.0 + 0.07 * (bmi - 21.7) + rng.normal(0.0, 0.03), 0.85, 1.2))
    lengths = {name: stature * share for name, share in own.items()}
    return Build(sex, stature, lengths, girth, bmi * stature**2)


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
_PAIRED_ANGLES: list[str] = []
for _name in _PAIRED:
    _PAIRED_ANGLES += [f"right_{_name}", f"left_{_name}"]
ANGLES: tuple[str, ...] = (
    *_PAIRED_ANGLES,
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
    """Make one pose.

    Args:
        base: (A,) degrees to start from; None for zeros.
        angles: In degrees. A name without a side, such as ``knee=90``, sets both; a
            name with one overrides it.

    Returns:
        (A,) degrees.
    """
    made = np.zeros(len(ANGLES)) if base is None else base.copy()
    for name, value in angles.items():
        if name not in ANGLE:
            made[ANGLE[f"right_{name}"]] = value
            made[ANGLE[f"left_{name}"]] = value
    # Names of one side come last, as they override those of both.
    for name, value in angles.items():
        if name in ANGLE:
            made[ANGLE[name]] = value
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


def _mirror_angles(angles: dict[str, float]) -> dict[str, float]:
    """Return the angles of the mirrored pose, by name."""
    mirrored = {}
    for name, value in angles.items():
        first, _, rest = name.partition("_")
        mirrored[f"{_MIRROR.get(first, first)}_{rest}"] = value
    return mirrored


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
    "twist_left": make_pose(None, **_mirror_angles(_TWIST)),
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
    """Place the body's points by forward kinematics, from the pelvis outwards.

    Args:
        build: Whose body.
        poses: (T, A) degrees, as :data:`ANGLES` orders them.

    Returns:
        (T, P, 3) m in the body frame, in the order of :data:`POINTS`.
    """
    poses = np.asarray(poses, np.float64)
    angle = {name: poses[:, i] for name, i in ANGLE.items()}
    points = np.zeros((len(poses), len(POINTS), 3))
    chest = _place_trunk(build, angle, points)
    for side in SIDES:
        place_leg(build, angle, points, side)
        place_arm(build, angle, points, side, chest)
    return points


def find_mass_centre(build: Build, points: Array) -> Array:
    """Return the centre of mass, Σ mᵢ rᵢ / Σ mᵢ.

    Args:
        build: Whose body.
        points: (..., P, 3).

    Returns:
        (..., 3), in the points' unit and frame.
    """
    del build  # all builds share the segments' relative masses
    return np.asarray(CENTRE_WEIGHTS @ points)


def compute_inertia(build: Build, points: Array, axis: Array) -> Array:
    """Return the moment of inertia about an axis through the centre of mass, I = Σ mᵢ
    dᵢ² with dᵢ the distance from the axis.

    Args:
        build: Whose body; gives the mass.
        points: (..., P, 3) m.
        axis: (3,) direction of the axis.

    Returns:
        (...,) kg m².
    """
    masses = _ROD_POINTS @ points
    arms = masses - find_mass_centre(build, points)[..., None, :]
    # The squared distance from the axis is what is left of the arm beside it.
    along = arms @ (np.asarray(axis, np.float64) / np.linalg.norm(axis))
    return build.mass * ((arms**2).sum(-1) - along**2) @ _ROD_MASSES


def compute_angular_momentum(build: Build, points: Array, seconds: float) -> Array:
    """Return the angular momentum about the centre of mass and the z axis, L = Σ mᵢ
    (rᵢ × vᵢ)_z.

    Args:
        build: Whose body; gives the mass.
        points: (T, P, 3) m.
        seconds: From one instant to the next.

    Returns:
        (T,) kg m² degrees / s.
    """
    arms = _ROD_POINTS @ (points - find_mass_centre(build, points)[:, None])
    moving = np.gradient(arms, seconds, axis=0)
    turning = arms[..., 0] * moving[..., 1] - arms[..., 1] * moving[..., 0]
    return np.degrees(build.mass * turning @ _ROD_MASSES)


def rotate_about(axis: str, degrees: Array) -> Array:
    """Return rotation matrices, the right-hand way.

    Args:
        axis: ``x``, ``y`` or ``z``.
        degrees: (T,).

    Returns:
        (T, 3, 3).
    """
    radians = np.radians(degrees)
    cos, sin = np.cos(radians), np.sin(radians)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrices = np.zeros((len(radians), 3, 3))
    matrices[:, 3 - first - second, 3 - first - second] = 1.0
    matrices[:, first, first] = matrices[:, second, second] = cos
    matrices[:, first, second], matrices[:, second, first] = -sin, sin
    return matrices


def _place_trunk(build: Build, angle: dict[str, Array], points: Array) -> Array:
    """Place spine and head; return the chest's frame (T, 3, 3)."""
    length = build.lengths
    chest = rotate_about("z", -angle["spine_flexion"])
    lower = rotate_about("z", -LOWER_SPINE * angle["spine_flexion"])
    # The neck takes half of the head's nodding.
    neck = rotate_about("z", -angle["spine_flexion"] - 0.5 * angle["head_pitch"])
    nodding = rotate_about("z", -angle["spine_flexion"] - angle["head_pitch"])
    head = nodding @ rotate_about("y", -angle["head_turn"])
    waist = LOWER_SPINE * length["torso"] * lower[:, :, 1]
    thorax = waist + (1 - LOWER_SPINE) * length["torso"] * chest[:, :, 1]
    upper_neck = thorax + length["neck"] * neck[:, :, 1]
    nose = 0.72 * head[:, :, 0] + 0.32 * head[:, :, 1]
    points[:, POINT["waist"]] = waist
    points[:, POINT["thorax"]] = thorax
    points[:, POINT["upper_neck"]] = upper_neck
    points[:, POINT["head_top"]] = upper_neck + length["head"] * head[:, :, 1]
    points[:, POINT["nose"]] = upper_neck + length["head"] * nose
    return chest


def place_leg(build: Build, angle: dict[str, Array], points: Array, side: str) -> None:
    """Place a leg of bodies in their own frame.

    Args:
        build: Whose body.
        angle: (T,) degrees of each of the leg's angles.
        points: (T, P, 3) m, in which hip, knee, ankle and toe are written.
        side: ``right`` or ``left``.
    """
    sign = SIDES[side]
    length = build.lengths
    hip = np.array([0.0, 0.0, sign * length["hip_width"] / 2])
    thigh = rotate_about("z", angle[f"{side}_hip_flexion"]) @ rotate_about(
        "x", -sign * angle[f"{side}_hip_abduction"]
    )
    shin = thigh @ rotate_about("z", -angle[f"{side}_knee"])
    foot = shin @ rotate_about("z", angle[f"{side}_ankle"])
    knee = hip - length["thigh"] * thigh[:, :, 1]
    ankle = knee - length["shin"] * shin[:, :, 1]
    points[:, POINT[f"{side}_hip"]] = hip
    points[:, POINT[f"{side}_knee"]] = knee
    points[:, POINT[f"{side}_ankle"]] = ankle
    points[:, POINT[f"{side}_toe"]] = ankle - length["foot"] * foot[:, :, 1]


def place_arm(
    build: Build, angle: dict[str, Array], points: Array, side: str, chest: Array
) -> None:
    """Place an arm of bodies whose thorax is placed.

    Args:
        build: Whose body.
        angle: (T,) degrees of each of the arm's angles.
        points: (T, P, 3) m, in which shoulder, elbow, wrist and finger are written.
        side: ``right`` or ``left``.
        chest: (T, 3, 3) the chest's frame in which `points` are.
    """
    length, sign = build.lengths, SIDES[side]
    # Flexion first, then abduction, then the turn about the upper arm itself.
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
    points[:, POINT[f"{side}_shoulder"]] = shoulder
    points[:, POINT[f"{side}_elbow"]] = elbow
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
    # 0 where the arm hangs, 1 where it is overhead.
    raised = (1.0 - (chest[:, :, 1] * upper_arm).sum(-1)) / 2
    lift = np.radians(_CLAVICLE_LIFT * raised)[:, None]
    way = np.cos(lift) * sign * chest[:, :, 2] + np.sin(lift) * chest[:, :, 1]
    return build.lengths["shoulder_width"] / 2 * way


# Segments as rods: two ends, share of the body's mass (Winter, Biomechanics and Motor
# Control of Human Movement, table 4.1), where along the rod its centre lies. The
# trunk's breadth is in the two rods across.
_LIMB_RODS = (
    ("hip", "knee", 0.100, 0.433),
    ("knee", "ankle", 0.0465, 0.433),
    ("ankle", "toe", 0.0145, 0.50),
    ("shoulder", "elbow", 0.028, 0.436),
    ("elbow", "wrist", 0.016, 0.430),
    ("wrist", "finger", 0.006, 0.506),
)
_RODS: list[tuple[str, str, float, float]] = [
    ("upper_neck", "head_top", 0.081, 0.45),
    ("waist", "thorax", 0.170, 0.55),
    ("pelvis", "waist", 0.147, 0.50),
    ("right_shoulder", "left_shoulder", 0.110, 0.50),
    ("right_hip", "left_hip", 0.070, 0.50),
]
for _start, _end, _share, _centre in _LIMB_RODS:
    for _side in SIDES:
        _RODS.append((f"{_side}_{_start}", f"{_side}_{_end}", _share, _centre))
_GYRATION = 0.29
"""Half the distance of the two point masses that stand for a rod, in rod lengths: they
have a thin rod's inertia."""


def _make_point_masses() -> tuple[Array, Array]:
    """Return (M, P) positions as weights of the points, and (M,) shares of the mass."""
    positions = np.zeros((2 * len(_RODS), len(POINTS)))
    shares = np.zeros(2 * len(_RODS))
    for i, (start, end, share, centre) in enumerate(_RODS):
        for j, along in enumerate((centre - _GYRATION, centre + _GYRATION)):
            positions[2 * i + j, POINT[start]] += 1 - along
            positions[2 * i + j, POINT[end]] += along
            shares[2 * i + j] = share / 2
    return positions, shares


_ROD_POINTS, _ROD_MASSES = _make_point_masses()
CENTRE_WEIGHTS: Array = _ROD_MASSES @ _ROD_POINTS
"""(P,) what each point contributes to the centre of mass; they add up to 1."""
