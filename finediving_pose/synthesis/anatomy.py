"""Anatomy of a figure: the round cones that make up a person, and what each is clad in.

Lengths here are metres of a person 1.70 m tall. An anchor is a point in the body that
follows from its points: a share of the way from one point to another, and then an
offset (ahead, up, right) in a frame of the body. What is written for the right side
holds for the left, mirrored.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from finediving_pose.skeleton import JOINTS
from finediving_pose.synthesis.body import POINT, POINTS, Build
from finediving_pose.synthesis.look import Colour, HairStyle, Look, Sex, SuitStyle
from finediving_pose.synthesis.solids import Array, Cones

STATURE = 1.70
DETAILED = 30.0
"""px per metre from which on details are seen."""
Offset = tuple[float, float, float]


class _Anchor(NamedTuple):
    """A point of the body that follows from others.

    Attributes:
        begin, end: The points that it lies between.
        share: Of the way from the one to the other.
        frame: The body's frame in which `offset` is.
        offset: m ahead, up and to the right.
    """

    begin: str
    end: str
    share: float
    frame: str = "chest"
    offset: Offset = (0.0, 0.0, 0.0)


class _Bead(NamedTuple):
    """A ball on a string of cones, with its radius in men and in women."""

    anchor: str
    men: float
    women: float


class _Part(NamedTuple):
    """A string of cones; a `detail` is left out of small figures."""

    region: str
    beads: tuple[_Bead, ...]
    detail: bool = False


# Up runs from the second point to the first. The head's frame looks where the nose is,
# all others right along the line that is named here.
_FRAMES: dict[str, tuple[str, str, str]] = {
    "pelvis": ("waist", "pelvis", "hip"),
    "chest": ("thorax", "waist", "shoulder"),
    "head": ("head_top", "upper_neck", "shoulder"),
    "right_thigh": ("right_hip", "right_knee", "hip"),
    "left_thigh": ("left_hip", "left_knee", "hip"),
    "right_shin": ("right_knee", "right_ankle", "hip"),
    "left_shin": ("left_knee", "left_ankle", "hip"),
}
_HEAD = list(_FRAMES).index("head")
_FRAME_ENDS = np.array(
    [
        [POINT[end], POINT[begin], POINT[f"right_{pair}"], POINT[f"left_{pair}"]]
        for end, begin, pair in _FRAMES.values()
    ]
).T


def _anchor_head(ahead: float, up: float, right: float = 0.0) -> _Anchor:
    """Offset from the skull's centre."""
    return _Anchor("head_top", "upper_neck", 0.0, "head", (ahead, up - 0.080, right))


_MIDDLE_ANCHORS: dict[str, _Anchor] = {
    "belly": _Anchor("pelvis", "waist", 0.40, "pelvis"),
    "midriff": _Anchor("waist", "waist", 0.0, "pelvis"),
    "thoracic": _Anchor("waist", "thorax", 0.60, "chest", (0.004, 0.0, 0.0)),
    "throat": _Anchor("waist", "thorax", 0.92, "chest", (-0.004, 0.0, 0.0)),
    "neck_root": _Anchor("thorax", "upper_neck", 0.0, "chest", (-0.008, 0.01, 0.0)),
    "neck_top": _anchor_head(-0.014, -0.060),
    "skull_back": _anchor_head(-0.022, 0.0),
    "skull_front": _anchor_head(0.018, -0.002),
    "face": _anchor_head(0.030, -0.035),
    "chin": _anchor_head(0.052, -0.112),
    "nose_tip": _anchor_head(0.100, -0.050),
    "hair_back": _anchor_head(-0.032, 0.006),
    "hair_front": _anchor_head(0.000, 0.020),
    "cap_back": _anchor_head(-0.024, 0.006),
    "cap_front": _anchor_head(0.012, 0.011),
    "bun": _anchor_head(-0.092, 0.060),
}
_RIGHT_ANCHORS: dict[str, _Anchor] = {
    "hip_inside": _Anchor("right_hip", "pelvis", 0.30, "pelvis", (-0.006, 0.012, 0.0)),
    "glute": _Anchor("right_hip", "pelvis", 0.15, "pelvis", (-0.034, -0.014, 0.0)),
    "flank": _Anchor("pelvis", "waist", 0.25, "pelvis", (0.0, 0.0, 0.054)),
    "waist_side": _Anchor("waist", "waist", 0.0, "pelvis", (0.0, 0.0, 0.046)),
    "rib": _Anchor("waist", "thorax", 0.58, "chest", (0.0, 0.0, 0.054)),
    "armpit": _Anchor("waist", "thorax", 0.84, "chest", (-0.006, 0.0, 0.066)),
    "breast": _Anchor("waist", "thorax", 0.66, "chest", (0.042, 0.0, 0.060)),
    "breastbone": _Anchor("waist", "thorax", 0.76, "chest", (0.036, 0.0, 0.026)),
    "trapezius": _Anchor("thorax", "upper_neck", 0.40, "chest", (-0.020, 0.0, 0.012)),
    "strap_front": _Anchor("waist", "thorax", 0.72, "chest", (0.096, 0.0, 0.056)),
    "strap_collar": _Anchor("waist", "thorax", 0.97, "chest", (0.058, 0.0, 0.074)),
    "strap_top": _Anchor(
        "thorax", "right_shoulder", 0.46, "chest", (-0.010, 0.046, 0.0)
    ),
    "strap_blade": _Anchor("waist", "thorax", 0.90, "chest", (-0.074, 0.0, 0.060)),
    "strap_back": _Anchor("waist", "thorax", 0.40, "chest", (-0.088, 0.0, 0.030)),
    "eye": _anchor_head(0.080, -0.026, 0.030),
    "ear": _anchor_head(-0.008, -0.034, 0.074),
    "groin": _Anchor("right_hip", "right_knee", 0.09, "right_thigh"),
    "thigh": _Anchor("right_hip", "right_knee", 0.40, "right_thigh", (0.006, 0.0, 0.0)),
    "hamstring": _Anchor(
        "right_hip", "right_knee", 0.42, "right_thigh", (-0.004, 0.0, 0.0)
    ),
    "low_thigh": _Anchor(
        "right_hip", "right_knee", 0.80, "right_thigh", (0.004, 0.0, 0.0)
    ),
    "calf": _Anchor(
        "right_knee", "right_ankle", 0.28, "right_shin", (-0.012, 0.0, 0.0)
    ),
    "low_shin": _Anchor(
        "right_knee", "right_ankle", 0.72, "right_shin", (-0.003, 0.0, 0.0)
    ),
    "heel": _Anchor(
        "right_ankle", "right_toe", -0.18, "right_shin", (0.0, -0.034, 0.0)
    ),
    "ball": _Anchor("right_ankle", "right_toe", 0.66),
    "toes": _Anchor("right_ankle", "right_toe", 0.92),
    "upper_arm": _Anchor("right_shoulder", "right_elbow", 0.42),
    "forearm": _Anchor("right_elbow", "right_wrist", 0.24),
    "knuckles": _Anchor("right_wrist", "right_finger", 0.45),
    "fingers": _Anchor("right_wrist", "right_finger", 0.92),
}

_MIDDLE_PARTS: tuple[_Part, ...] = (
    _Part(
        "hip",
        (
            _Bead("right_hip_inside", 0.092, 0.094),
            _Bead("left_hip_inside", 0.092, 0.094),
        ),
    ),
    _Part("waist", (_Bead("belly", 0.092, 0.092), _Bead("midriff", 0.088, 0.076))),
    _Part(
        "chest",
        (
            _Bead("midriff", 0.088, 0.076),
            _Bead("thoracic", 0.101, 0.086),
            _Bead("throat", 0.074, 0.062),
        ),
    ),
    _Part("neck", (_Bead("neck_root", 0.064, 0.054), _Bead("neck_top", 0.055, 0.047))),
    _Part(
        "head", (_Bead("skull_back", 0.078, 0.074), _Bead("skull_front", 0.077, 0.073))
    ),
    _Part("face", (_Bead("face", 0.064, 0.060), _Bead("chin", 0.040, 0.034))),
    _Part(
        "face",
        (_Bead("skull_front", 0.030, 0.028), _Bead("nose_tip", 0.014, 0.012)),
        detail=True,
    ),
)
_RIGHT_PARTS: tuple[_Part, ...] = (
    _Part("hip", (_Bead("glute", 0.083, 0.088),)),
    _Part(
        "hamstring",
        (_Bead("glute", 0.078, 0.083), _Bead("hamstring", 0.064, 0.064)),
        detail=True,
    ),
    _Part("waist", (_Bead("flank", 0.093, 0.093), _Bead("waist_side", 0.089, 0.077))),
    _Part(
        "chest",
        (
            _Bead("waist_side", 0.089, 0.077),
            _Bead("rib", 0.104, 0.089),
            _Bead("armpit", 0.082, 0.070),
        ),
    ),
    _Part(
        "chest",
        (_Bead("breastbone", 0.062, 0.046), _Bead("breast", 0.070, 0.060)),
        detail=True,
    ),
    _Part(
        "chest",
        (_Bead("rib", 0.088, 0.072), _Bead("right_shoulder", 0.050, 0.043)),
        detail=True,
    ),
    _Part(
        "shoulder",
        (_Bead("armpit", 0.082, 0.070), _Bead("right_shoulder", 0.058, 0.050)),
    ),
    _Part(
        "shoulder",
        (_Bead("trapezius", 0.054, 0.044), _Bead("right_shoulder", 0.052, 0.045)),
    ),
    _Part("eye", (_Bead("eye", 0.011, 0.011),), detail=True),
    _Part("face", (_Bead("ear", 0.019, 0.018),), detail=True),
    _Part("groin", (_Bead("right_hip", 0.082, 0.084), _Bead("groin", 0.082, 0.084))),
    _Part("thigh", (_Bead("groin", 0.082, 0.084), _Bead("thigh", 0.077, 0.077))),
    _Part(
        "knee",
        (
            _Bead("thigh", 0.077, 0.077),
            _Bead("low_thigh", 0.057, 0.055),
            _Bead("right_knee", 0.053, 0.050),
        ),
    ),
    _Part(
        "shin",
        (
            _Bead("right_knee", 0.053, 0.050),
            _Bead("calf", 0.055, 0.052),
            _Bead("low_shin", 0.040, 0.037),
        ),
    ),
    _Part(
        "shin", (_Bead("low_shin", 0.040, 0.037), _Bead("right_ankle", 0.035, 0.032))
    ),
    _Part(
        "foot",
        (
            _Bead("heel", 0.035, 0.032),
            _Bead("ball", 0.034, 0.030),
            _Bead("toes", 0.020, 0.018),
        ),
    ),
    _Part(
        "upper_arm",
        (_Bead("right_shoulder", 0.056, 0.048), _Bead("upper_arm", 0.048, 0.041)),
    ),
    _Part(
        "upper_arm",
        (_Bead("upper_arm", 0.048, 0.041), _Bead("right_elbow", 0.037, 0.033)),
    ),
    _Part(
        "forearm", (_Bead("right_elbow", 0.037, 0.033), _Bead("forearm", 0.042, 0.036))
    ),
    _Part(
        "forearm", (_Bead("forearm", 0.042, 0.036), _Bead("right_wrist", 0.026, 0.023))
    ),
    _Part(
        "hand", (_Bead("right_wrist", 0.027, 0.024), _Bead("knuckles", 0.037, 0.033))
    ),
    _Part("hand", (_Bead("knuckles", 0.037, 0.033), _Bead("fingers", 0.018, 0.016))),
)
_HAIR_PARTS: dict[str, tuple[_Part, ...]] = {
    "bald": (),
    "short": (
        _Part(
            "hair",
            (_Bead("hair_back", 0.080, 0.078), _Bead("hair_front", 0.079, 0.077)),
        ),
    ),
    "bun": (
        _Part(
            "hair",
            (_Bead("hair_back", 0.079, 0.077), _Bead("hair_front", 0.078, 0.076)),
        ),
        _Part("hair", (_Bead("bun", 0.040, 0.042),)),
    ),
    "cap": (
        _Part(
            "hair", (_Bead("cap_back", 0.081, 0.079), _Bead("cap_front", 0.080, 0.078))
        ),
    ),
}
_STRAPS = tuple(
    _Part("strap", (_Bead(start, 0.013, 0.013), _Bead(end, 0.013, 0.013)), detail=True)
    for start, end in pairwise(
        ("strap_front", "strap_collar", "strap_top", "strap_blade", "strap_back")
    )
)
COVERED: dict[SuitStyle, dict[str, str]] = {
    "briefs": dict.fromkeys(("hip", "groin"), "suit"),
    "jammers": dict.fromkeys(("hip", "groin", "thigh", "hamstring"), "suit"),
    "one_piece": dict.fromkeys(("hip", "waist", "chest", "strap"), "suit"),
    "clothes": {
        **dict.fromkeys(("waist", "chest", "shoulder", "upper_arm"), "top"),
        **dict.fromkeys(
            ("hip", "groin", "thigh", "hamstring", "knee", "shin"), "bottom"
        ),
        "foot": "shoes",
    },
}
_TONES: dict[str, Offset] = {
    "face": (1.00, 1.02, 1.06),
    "head": (1.00, 1.02, 1.04),
    "hand": (0.90, 0.94, 1.00),
    "foot": (0.88, 0.92, 0.98),
    "neck": (0.96, 0.96, 0.98),
}
"""Factors of the skin's blue, green and red."""
_GLOSS = {"skin": 46.0, "suit": 26.0, "cloth": 4.0}
_EYE: Colour = (34, 36, 44)
_THICKNESS = {
    "pelvis": _Bead("pelvis", 0.170, 0.170),
    "thorax": _Bead("thorax", 0.280, 0.250),
    "upper_neck": _Bead("upper_neck", 0.110, 0.100),
    "head_top": _Bead("head_top", 0.040, 0.040),
}
"""By joint, the right side's for both. The joints in the middle are as thick as the
body is wide there, so that from aside the near shoulder does not hide the thorax."""
for _part in _MIDDLE_PARTS + _RIGHT_PARTS:
    for _bead in _part.beads:
        if _bead.anchor not in ("pelvis", "thorax", "upper_neck", "head_top"):
            _THICKNESS[_bead.anchor] = _bead


class Person(NamedTuple):
    """One person at S instants as N = S·M cones, instants slowest.

    Attributes:
        cones: N of them.
        instant: (N,) which instant each belongs to.
        trunk: (S, 3, 4) float32, rows ahead, up and right: what takes a point (x, y, z,
            1) in view coordinates to the chest's own, from the waist, in m of a person
            1.70 m tall.
        covering: What of the M cones is seen as what.
    """

    cones: Cones
    instant: NDArray[np.intp]
    trunk: Array
    covering: Covering


class Covering(NamedTuple):
    """Colours of M cones.

    Attributes:
        colours: (3, 3·M) float32, rows BGR: each cone's own, then on the sides of the
            body, then beyond a neckline.
        gloss: (M,) float32, strength of the highlight.
        patterned: Whether a cone has more than one colour.
    """

    colours: Array
    gloss: Array
    patterned: bool


class _Recipe(NamedTuple):
    """How anchors and cones follow from the points of one sex, hair and suit style.

    Attributes:
        weights: (A, P), anchors as sums of points.
        offsets: (A, 3) and `frames` (A,): what is added, in which frame.
        begin, end: (M,) anchors of each cone.
        radii: (M, 2) m.
        regions: Of each cone.
        coarse: The cones that are no detail.
    """

    weights: NDArray[np.float64]
    offsets: NDArray[np.float64]
    frames: NDArray[np.intp]
    begin: NDArray[np.intp]
    end: NDArray[np.intp]
    radii: NDArray[np.float64]
    regions: tuple[str, ...]
    coarse: NDArray[np.intp]


def flesh_out(
    instants: NDArray[np.floating], scale: float, build: Build, look: Look
) -> Person:
    """Return the cones of a person.

    Args:
        instants: (S, P, 3) px, body.POINTS in view coordinates.
        scale: px per metre.
        build: Sex, stature and girth.
        look: Decides hair, suit and colours.

    Returns:
        The cones, and what they are clad in.
    """
    recipe = _make_recipe(build.sex, look.hair_style, look.suit_style)
    unit = scale * build.stature / STATURE
    # Anchors are sums of the body's points, and an offset in a frame of the body.
    frames = _find_frames(instants)
    offsets = (recipe.offsets * unit)[:, None, :] @ frames[:, recipe.frames]
    anchors = recipe.weights @ instants + offsets[:, :, 0]
    radii = recipe.radii * (unit * build.girth)
    drawn = np.arange(len(radii)) if scale > DETAILED else recipe.coarse
    count, size = len(instants), len(drawn)
    cones = Cones.connect(
        anchors[:, recipe.begin[drawn]].reshape(-1, 3),
        anchors[:, recipe.end[drawn]].reshape(-1, 3),
        np.tile(radii[drawn, 0], count),
        np.tile(radii[drawn, 1], count),
    )
    # The suit's stripe and neckline are found in the chest's own coordinates.
    chest = frames[:, list(_FRAMES).index("chest")] / unit
    origin = -chest @ instants[:, POINT["waist"], :, None]
    trunk = np.concatenate([chest, origin], axis=2).astype(np.float32)
    covering = make_covering(tuple(recipe.regions[i] for i in drawn), look)
    return Person(cones, np.repeat(np.arange(count), size), trunk, covering)


def measure_joint_radii(scale: float, build: Build) -> Array:
    """Return the thickness of the body at the joints.

    Args:
        scale: px per metre.
        build: Sex, stature and girth.

    Returns:
        (16,) px in the order of skeleton.JOINTS.
    """
    unit = scale * build.stature / STATURE * build.girth
    beads = [_THICKNESS[joint.replace("left_", "right_")] for joint in JOINTS]
    return np.array([getattr(bead, build.sex) * unit for bead in beads], np.float32)


def _find_frames(instants: Array) -> Array:
    """Return (S, F, 3, 3), rows ahead, up and right in view coordinates, in the order
    of _FRAMES."""
    ends = instants[:, _FRAME_ENDS]
    up, right = _normalise_vectors(ends[:, 0] - ends[:, 1]), ends[:, 2] - ends[:, 3]
    # View coordinates are left-handed (y points down), so that right x up is ahead.
    nose = instants[:, POINT["nose"]] - instants[:, POINT["upper_neck"]]
    right[:, _HEAD] = _compute_cross(up[:, _HEAD], nose)
    ahead = _normalise_vectors(_compute_cross(right, up))
    return np.stack([ahead, up, _compute_cross(up, ahead)], axis=2)


def _compute_cross(a: Array, b: Array) -> Array:
    """np.cross, which takes far longer for a few vectors."""
    forward, backward = [1, 2, 0], [2, 0, 1]
    return a[..., forward] * b[..., backward] - a[..., backward] * b[..., forward]


def _normalise_vectors(vectors: Array) -> Array:
    length = np.sqrt((vectors * vectors).sum(axis=-1, keepdims=True))
    return vectors / np.maximum(length, 1e-6)


@cache
def _make_recipe(sex: Sex, hair_style: HairStyle, suit_style: SuitStyle) -> _Recipe:
    parts = _MIDDLE_PARTS + _mirror_parts(_RIGHT_PARTS) + _HAIR_PARTS[hair_style]
    if suit_style == "one_piece":
        parts += _mirror_parts(_STRAPS)
    anchors = _list_anchors()
    weights = np.zeros((len(anchors), len(POINTS)))
    for row, anchor in zip(weights, anchors.values(), strict=True):
        row[POINT[anchor.begin]] += 1.0 - anchor.share
        row[POINT[anchor.end]] += anchor.share
    index, frames = list(anchors).index, list(_FRAMES).index
    begin, end, radii, coarse = [], [], [], []
    regions: list[str] = []
    for part in parts:
        # A single bead is a ball: a cone that ends where it begins.
        pairs = list(pairwise(part.beads)) or [(part.beads[0], part.beads[0])]
        for first, last in pairs:
            if not part.detail:
                coarse.append(len(regions))
            begin.append(index(first.anchor))
            end.append(index(last.anchor))
            radii.append([getattr(first, sex), getattr(last, sex)])
            regions.append(part.region)
    return _Recipe(
        weights,
        np.array([anchor.offset for anchor in anchors.values()]),
        np.array([frames(anchor.frame) for anchor in anchors.values()]),
        np.array(begin),
        np.array(end),
        np.array(radii),
        tuple(regions),
        np.array(coarse),
    )


@cache
def _list_anchors() -> dict[str, _Anchor]:
    """Return every anchor by name: the body's points themselves, then those that follow
    from them."""
    points = {name: _Anchor(name, name, 0.0) for name in POINTS}
    right = {f"right_{name}": anchor for name, anchor in _RIGHT_ANCHORS.items()}
    left = {_name_left(name): _mirror_anchor(anchor) for name, anchor in right.items()}
    return points | _MIDDLE_ANCHORS | right | left


def _mirror_anchor(anchor: _Anchor) -> _Anchor:
    ahead, up, right = anchor.offset
    return _Anchor(
        _name_left(anchor.begin),
        _name_left(anchor.end),
        anchor.share,
        _name_left(anchor.frame),
        (ahead, up, -right),
    )


def _mirror_parts(parts: tuple[_Part, ...]) -> tuple[_Part, ...]:
    """Name the right side's own anchors, and add the left side."""
    right, left = [], []
    for part in parts:
        on_right, on_left = [], []
        for bead in part.beads:
            name = bead.anchor
            if name in _RIGHT_ANCHORS:
                name = f"right_{name}"
            on_right.append(bead._replace(anchor=name))
            on_left.append(bead._replace(anchor=_name_left(name)))
        right.append(part._replace(beads=tuple(on_right)))
        left.append(part._replace(beads=tuple(on_left)))
    return (*right, *left)


def _name_left(name: str) -> str:
    return name.replace("right_", "left_")


@lru_cache(maxsize=256)
def make_covering(regions: tuple[str, ...], look: Look) -> Covering:
    """Return the colours of cones.

    Args:
        regions: Of each cone.
        look: The person's.
    """
    colours = np.zeros((3, len(regions), 3), np.float32)
    gloss = np.zeros(len(regions), np.float32)
    for i, region in enumerate(regions):
        skin = _tint_skin(region, look)
        cloth = _find_cloth(region, look)
        if region == "hair":
            colours[:, i] = look.hair
        elif region == "eye":
            colours[:, i] = _EYE
        else:
            colours[:, i] = getattr(look, cloth) if cloth else skin
        if cloth in ("suit", "bottom"):
            colours[1, i] = look.accent
        if cloth == "suit" and region == "chest":
            colours[2, i] = skin
        material = "suit" if cloth else "skin"
        gloss[i] = _GLOSS["cloth" if look.suit_style == "clothes" else material]
    patterned = bool((colours != colours[0]).any())
    return Covering(np.ascontiguousarray(colours.reshape(-1, 3).T), gloss, patterned)


def _find_cloth(region: str, look: Look) -> str | None:
    """Return which of the look's colours covers a region, None for skin."""
    if region == "forearm" and look.suit_style == "clothes":
        return "top" if look.long_sleeves else None
    return COVERED[look.suit_style].get(region)


def _tint_skin(region: str, look: Look) -> NDArray[np.float64]:
    tone = _TONES.get(region, (1.0, 1.0, 1.0))
    return np.clip(np.multiply(look.skin, tone), 0.0, 255.0)
