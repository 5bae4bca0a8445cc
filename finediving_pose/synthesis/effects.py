"""Effects in front of the lens and behind it: splash and ripples, blur, noise, banners
and things in the way.

Everything works in place on a frame (H, W, 3) uint8 BGR and touches no more of it than
it must.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from finediving_pose.records import FloatArray
from finediving_pose.synthesis.body import GRAVITY
from finediving_pose.synthesis.camera import CENTRE, SIZE, View
from finediving_pose.synthesis.canvas import (
    Colour,
    Image,
    blend_over,
    mix_colours,
    shade_colour,
)

_FOAM_REACH = 3.0
"""Half the width in m of the patch of water that foam and ripples are painted on."""
_PATCH = 96
_RIPPLE_SPEED = 1.1
_RIPPLE_LENGTH = 0.34
_NEUTRAL = 128
_NOISE_ROOM = 97
"""By how many px the noise can be shifted; a prime, so that a few seconds pass before
it repeats."""


class Splash:
    """The water that one entry throws up: drops and a column in the air, foam and rings
    on the surface.

    Size 0 is a rip entry: a small ring of foam and a few low drops. Size 1 is a crown
    of 1 to 1.5 m. It rises and falls within about 0.8 s; foam and rings stay longer.
    Times count in s from the touch of the water.

    Args:
        place: (3,) m where the body goes through the surface.
        size: 0..1.
        rng: Where chance comes from.
    """

    def __init__(
        self, place: FloatArray, size: float, rng: np.random.Generator
    ) -> None:
        self.place = np.array([place[0], 0.0, place[2]])
        self.size = size
        # Drops leave in jets; those of one jet fly alike.
        jets = int(9 + 34 * size)
        count = int((90 + 1500 * size) / jets) * jets
        jet = np.arange(count) % jets
        tall = rng.uniform(0.2, 1.0, jets)[jet]
        # How fast a drop is against the fastest of its jet.
        along = rng.uniform(0.04, 1.0, count) ** 0.8
        # v = √(2 g h) for a height h; low jets fly outwards.
        rise = np.sqrt(2 * GRAVITY * (0.10 + 1.3 * size) * tall) * along
        outward = (
            (1.15 - 0.8 * tall)
            * rng.uniform(0.15, 0.55 + 1.5 * size, jets)[jet]
            * along
        )
        turn = rng.uniform(0, 2 * np.pi, jets)[jet] + rng.normal(0.0, 0.12, count)
        loose = rng.normal(0.0, 0.06 + 0.1 * size, (count, 3))
        cos, sin = np.cos(turn), np.sin(turn)
        self.speed = np.stack([outward * cos, rise, outward * sin], axis=1) + loose
        radius = rng.uniform(0.04, 0.12 + 0.10 * size, jets)[jet]
        ring = np.stack([radius * cos, 0 * turn, radius * sin], axis=1)
        self.start = self.place + ring
        of_jet = rng.uniform(0.0, 0.08 + 0.12 * size, jets)[jet]
        self.launch = of_jet + rng.uniform(0.0, 0.05, count)
        self.weight = rng.gamma(2.0, 0.5, count)
        # A patch of the surface: how far from its middle, and its grain.
        grid = np.linspace(-1, 1, _PATCH)
        radius_map = np.hypot(*np.meshgrid(grid, grid))
        self._radius = np.clip(255 * radius_map, 0, 255).astype(np.uint8)
        grain = cv2.GaussianBlur(rng.normal(0, 1, (_PATCH, _PATCH)), (0, 0), 1.6)
        self._grain = np.clip(170 + 90 * grain / grain.std(), 0, 255).astype(np.uint8)

    def paint(
        self,
        image: Image,
        view: View,
        seconds: float,
        exposure: float,
        colour: Colour,
    ) -> None:
        """Paint the splash.

        Args:
            image: (H, W, 3) uint8, changed in place.
            view: A single view.
            seconds: Since the touch; nothing is painted before it.
            exposure: s for which the shutter is open.
            colour: Of drops and foam, BGR.
        """
        if seconds < 0:
            return
        self._paint_surface(image, view, seconds, colour)
        self._paint_drops(image, view, seconds, exposure, colour)

    def measure_top(self, seconds: float) -> float:
        """Return how high in m above the water the highest drop is."""
        return float(max(self._fly_drops(seconds)[:, 1].max(initial=0.0), 0.0))

    def _fly_drops(self, seconds: float) -> FloatArray:
        """Return (N, 3) m, the drops; those below the surface have y < 0.

        Air slows a drop with the time constant 1/k, k = 1.2 / s, so that it flies
        v · (1 - exp(-k t)) / k.
        """
        age = np.maximum(seconds - self.launch, 0.0)[:, None]
        drag = (1 - np.exp(-1.2 * age)) / 1.2
        drops = self.start + self.speed * drag
        drops[:, 1] -= 0.5 * GRAVITY * age[:, 0] * drag[:, 0]
        drops[age[:, 0] <= 0, 1] = -1.0
        return np.asarray(drops)

    def _paint_drops(
        self,
        image: Image,
        view: View,
        seconds: float,
        exposure: float,
        colour: Colour,
    ) -> None:
        # Drops are seen at four moments of the exposure, as streaks.
        moments = seconds + exposure * np.array([-0.5, -0.17, 0.17, 0.5])
        drops = np.concatenate([self._fly_drops(moment) for moment in moments])
        weight = np.tile(self.weight, len(moments))[drops[:, 1] > 0]
        drops = drops[drops[:, 1] > 0]
        if not len(drops):
            return
        px, depth = view.project(drops)
        window = _find_window(px, 6)
        if window is None:
            return
        x0, y0, x1, y1 = window
        columns, rows = np.round(px).astype(np.int64).T
        inside = (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
        # The water in each pixel.
        cells = (rows[inside] - y0) * (x1 - x0) + columns[inside] - x0
        water = np.bincount(cells, weight[inside], (x1 - x0) * (y1 - y0))
        dense = water.astype(np.float32).reshape(y1 - y0, x1 - x0)
        # Drops of about 1 cm, and the mist around them; light passes a share exp(-w) of
        # the water w in its way.
        spread = float(view.focal / depth.mean()) * 0.011
        fine = cv2.GaussianBlur(dense, (0, 0), max(spread, 0.5))
        mist = cv2.GaussianBlur(dense, (0, 0), 4.5 * spread)
        alpha = 225.0 * (1.0 - np.exp(-(0.75 * fine + 0.8 * mist) * spread**2))
        above = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
        above[:] = colour
        blend_over(image[y0:y1, x0:x1], above, alpha.astype(np.uint8))

    def _paint_surface(
        self, image: Image, view: View, seconds: float, colour: Colour
    ) -> None:
        reach = _FOAM_REACH * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
        corners = self.place + np.stack(
            [reach[:, 0], 0 * reach[:, 0], reach[:, 1]], axis=1
        )
        px, depth = view.project(corners)
        window = _find_window(px, 1)
        if window is None or depth.min() <= 0.5:
            return
        x0, y0, x1, y1 = window
        # From the patch to the image, by a homography.
        edge = _PATCH - 1.0
        source = np.array([(0, 0), (edge, 0), (edge, edge), (0, edge)], np.float32)
        matrix = cv2.getPerspectiveTransform(source, (px - (x0, y0)).astype(np.float32))
        size = (x1 - x0, y1 - y0)
        part = image[y0:y1, x0:x1]
        rings = cv2.warpPerspective(
            self._make_rings(seconds), matrix, size, borderValue=_NEUTRAL
        )
        _add_signed(part, rings)
        foam = cv2.warpPerspective(self._make_foam(seconds), matrix, size)
        above = np.empty_like(part)
        above[:] = colour
        blend_over(part, above, foam)

    def _make_foam(self, seconds: float) -> Image:
        """Return (96, 96), how white the surface is; it spreads, breaks up and fades."""
        radius = np.arange(256) / 255 * _FOAM_REACH
        reach = (0.28 + 0.55 * self.size) * (1 + 0.9 * min(seconds, 1.5))
        strength = (
            min(1.0, seconds / 0.08)
            * np.exp(-seconds / (0.5 + 0.7 * self.size))
            * (0.65 + 0.35 * self.size)
        )
        profile = 255 * strength * np.clip(1.6 * (1 - radius / reach), 0, 1)
        white = cv2.LUT(self._radius, profile.astype(np.uint8))
        return np.asarray(cv2.multiply(white, self._grain, scale=1 / 200))

    def _make_rings(self, seconds: float) -> Image:
        """Return (96, 96), 128 where the water lies still: rings that run outwards and
        die away."""
        radius = np.arange(256) / 255 * _FOAM_REACH
        front = 0.25 + _RIPPLE_SPEED * seconds
        phase = 2 * np.pi * (radius - front) / _RIPPLE_LENGTH
        # A packet of waves around 0.7 of the front, none beyond it or near the edge.
        height = (
            (9 + 26 * self.size)
            * np.exp(-seconds / 1.4)
            * np.exp(-(((radius - 0.7 * front) / (0.5 * front)) ** 2))
        )
        fade = np.clip((_FOAM_REACH - radius) / 0.6, 0, 1)
        profile = _NEUTRAL + height * np.sin(phase) * fade * (radius < front)
        levels = np.clip(profile, 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(self._radius, levels))


class Shimmer:
    """Waves that move over a rectangle of water, as a change of brightness.

    Args:
        corners: (4, 3) m of the rectangle, round about.
        strength: Standard deviation in grey values.
        rng: Where chance comes from.
    """

    def __init__(
        self, corners: FloatArray, strength: float, rng: np.random.Generator
    ) -> None:
        self._corners = corners
        along, across = (
            np.linalg.norm(corners[i] - corners[i - 1], axis=0) for i in (1, 2)
        )
        size = (int(along * 8), int(across * 12))
        self._drift = rng.uniform(-0.5, 0.5, 2)
        # Waves are longer than they are high, and the noise has room to drift.
        grain = rng.normal(0, 1, (size[1] + 40, size[0] + 40)).astype(np.float32)
        noise = cv2.GaussianBlur(grain, (0, 0), 5.0, None, 1.6)
        waves = np.round(_NEUTRAL + strength * noise / noise.std())
        self._waves = np.clip(waves, 0, 255).astype(np.uint8)
        self._size = size

    def paint(self, image: Image, view: View, seconds: float) -> None:
        """Add the waves as they are after some seconds.

        Args:
            image: (H, W, 3) uint8, changed in place.
            view: A single view.
            seconds: Since the clip began.
        """
        px, depth = view.project(self._corners)
        if depth.min() <= 0:
            return
        window = _find_window(px, 1)
        if window is None:
            return
        x0, y0, x1, y1 = window
        width, height = self._size
        left, top = (
            int(20 + 18 * np.sin(drift * seconds * 3 + drift)) for drift in self._drift
        )
        corners = [(0, 0), (width, 0), (width, height), (0, height)]
        source = np.array(corners, np.float32)
        matrix = cv2.getPerspectiveTransform(source, (px - (x0, y0)).astype(np.float32))
        waves = self._waves[top : top + height, left : left + width]
        size = (x1 - x0, y1 - y0)
        moved = cv2.warpPerspective(waves, matrix, size, borderValue=_NEUTRAL)
        _add_signed(image[y0:y1, x0:x1], moved)


def blur_along(image: Image, way: FloatArray) -> Image:
    """Smear an image, as by a camera that turned while the shutter was open.

    Args:
        image: (H, W, 3) uint8.
        way: (2,) px.

    Returns:
        A new image, or the same where the way is less than a pixel.
    """
    length = float(np.abs(way).max())
    if length < 0.8:
        return image
    # A kernel with a line of that length and direction.
    steps = int(np.ceil(length)) + 1
    half = (steps + 1) // 2
    kernel = np.zeros((2 * half + 1, 2 * half + 1), np.float32)
    for share in np.linspace(-0.5, 0.5, steps):
        row, column = half + round(share * way[1]), half + round(share * way[0])
        kernel[row, column] += 1.0 / steps
    # Empty rows and columns cost time.
    columns = np.flatnonzero(kernel.any(axis=0))
    rows = np.flatnonzero(kernel.any(axis=1))
    across = max(half - int(columns[0]), int(columns[-1]) - half)
    down = max(half - int(rows[0]), int(rows[-1]) - half)
    kernel = kernel[half - down : half + down + 1, half - across : half + across + 1]
    return np.asarray(cv2.filter2D(image, -1, kernel, borderType=cv2.BORDER_REPLICATE))


class Sensor:
    """Lens, sensor and transmission: light falling off, colour cast, softness and noise
    that differs in each frame.

    Args:
        cast: Factors of blue, green and red.
        vignette: How much darker the corners are, 0..1.
        noise: Standard deviation in grey values.
        softness: Share of the horizontal resolution that is left.
        rng: Where chance comes from.
    """

    def __init__(
        self,
        cast: tuple[float, float, float],
        vignette: float,
        noise: float,
        softness: float,
        rng: np.random.Generator,
    ) -> None:
        width, height = SIZE
        x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
        falloff = 1.0 - vignette * (0.75 * x * x + 0.45 * y * y)
        gain = 200 * falloff[..., None] * np.array(cast)
        self._gain = np.clip(gain, 0, 255).astype(np.uint8)
        # The noise is made once, and shifted in each frame. Part of it is the
        # same in all colours.
        shape = (height + _NOISE_ROOM, width + _NOISE_ROOM)
        coloured = noise * rng.normal(0, 1, (*shape, 3)) * (0.5, 0.45, 0.5)
        grain = coloured + 0.75 * noise * rng.normal(0, 1, (*shape, 1))
        self._noise = np.clip(np.round(_NEUTRAL + grain), 0, 255).astype(np.uint8)
        self._soft = (round(width * softness), height) if softness < 0.99 else None

    def expose(self, image: Image, k: int, gain: float = 1.0) -> None:
        """Make the image one that this camera took.

        Args:
            image: (256, 455, 3) uint8, changed in place.
            k: Number of the frame.
            gain: Factor of the brightness.
        """
        cv2.multiply(image, self._gain, dst=image, scale=gain / 200)
        if self._soft is not None:
            small = cv2.resize(image, self._soft, interpolation=cv2.INTER_LINEAR)
            cv2.resize(small, SIZE, dst=image, interpolation=cv2.INTER_LINEAR)
        left, top = (37 * k) % _NOISE_ROOM, (61 * k + 13 * (k // 7)) % _NOISE_ROOM
        grain = self._noise[top : top + SIZE[1], left : left + SIZE[0]]
        cv2.addWeighted(image, 1.0, grain, 1.0, -_NEUTRAL, dst=image)


class Overlay:
    """Something that the broadcaster lays over the image.

    Args:
        image: (h, w, 3) uint8.
        alpha: (h, w) uint8, how opaque it is.
        left, top: Its first column and row.
    """

    def __init__(self, image: Image, alpha: Image, left: int, top: int) -> None:
        self.image, self.alpha, self.left, self.top = image, alpha, left, top

    def paint(self, frame: Image) -> None:
        """Lay it over a frame."""
        height, width = self.alpha.shape
        rows = slice(self.top, self.top + height)
        columns = slice(self.left, self.left + width)
        blend_over(frame[rows, columns], self.image, self.alpha)

    def find_hidden(self, px: FloatArray) -> NDArray[np.bool_]:
        """Tell which pixels (..., 2) it covers for the most part."""
        return look_up_mask(self.alpha, px - (self.left, self.top)) > _NEUTRAL


def make_score_banner(
    caption: tuple[str, str, str],
    rank: int,
    ground: Colour,
    ink: Colour,
    rng: np.random.Generator,
) -> Overlay:
    """Return the banner that presents a dive: athlete, country, dive number, present
    rank; never awards or a score.

    Args:
        caption: Name, country code and dive number.
        rank: The athlete's place so far.
        ground, ink: Colours, BGR.
        rng: Decides the layout.

    Returns:
        The banner, near the lower edge.
    """
    name, country, number = caption
    height, width = int(rng.integers(18, 25)), int(rng.integers(210, 300))
    image: Image = np.full((height, width, 3), shade_colour(ground, 0.7), np.uint8)
    alpha: Image = np.full((height, width), int(rng.integers(190, 256)), np.uint8)
    # Four panels: rank, name, country, number.
    edges = [round(width * share) for share in (0.0, 0.1, 0.62, 0.78, 1.0)]
    panels = list(pairwise(edges))
    for (start, end), tone in zip(panels, (1.3, 0.7, 1.0, 0.85), strict=True):
        image[:, start:end] = shade_colour(ground, tone)
    image[0] = image[-1] = mix_colours(ground, ink, 0.5)
    texts = (str(rank), name, country, number)
    for (start, end), text in zip(panels, texts, strict=True):
        write_text_into(image[:, start:end], text, ink)
    left = int(rng.choice([18, (SIZE[0] - width) // 2, SIZE[0] - width - 18]))
    return Overlay(image, alpha, left, SIZE[1] - height - int(rng.integers(8, 16)))


def make_station_mark(word: str, rng: np.random.Generator) -> Overlay:
    """Return a station's mark, half transparent, in an upper corner.

    Args:
        word: Its first four letters are written.
        rng: Decides frame, opacity and corner.
    """
    width, height = 40, 15
    image: Image = np.full((height, width, 3), 255, np.uint8)
    mask: Image = np.zeros((height, width, 3), np.uint8)
    write_text_into(mask, word[:4], (255, 255, 255))
    if rng.random() < 0.5:
        cv2.rectangle(mask, (0, 0), (width - 1, height - 1), (200, 200, 200), 1)
    alpha = (mask[..., 0] * float(rng.uniform(0.45, 0.8))).astype(np.uint8)
    return Overlay(
        image,
        alpha,
        int(rng.choice([14, SIZE[0] - width - 14])),
        int(rng.integers(10, 18)),
    )


def write_text_into(part: Image, text: str, ink: Colour) -> None:
    """Write one line into an image, as large as its height and width allow.

    Args:
        part: (h, w, 3) uint8, changed in place.
        text: What is written; cv2 has no letters beyond ASCII.
        ink: BGR.
    """
    height, width = part.shape[:2]
    text = text.encode("ascii", "replace").decode()
    font = cv2.FONT_HERSHEY_SIMPLEX
    scale = height / 36
    (length, tall), _ = cv2.getTextSize(text, font, scale, 1)
    if length > width - 6:
        scale *= (width - 6) / length
        (length, tall), _ = cv2.getTextSize(text, font, scale, 1)
    line = np.ascontiguousarray(part)
    corner = (4, (height + tall) // 2)
    cv2.putText(line, text, corner, font, scale, ink, 1, cv2.LINE_AA)
    part[:] = line


class Obstacle:
    """Something dark and out of focus between camera and athlete: a pole, or heads of
    people in front of the lens.

    It stands still in the world, a few metres from the camera, so it slides through the
    image when the camera turns.

    Args:
        view: All views of the dive.
        rng: Where chance comes from.
    """

    def __init__(self, view: View, rng: np.random.Generator) -> None:
        middle = view[len(view.pan) // 2]
        focal = float(middle.focal)
        self._pole = bool(rng.random() < 0.45)
        tone = int(rng.integers(16, 70))
        self._colour = (tone, tone, int(tone * rng.uniform(0.8, 1.2)))
        if self._pole:
            # A pole crosses the image beside the middle of the dive.
            aside = rng.choice([-1, 1]) * np.degrees(rng.uniform(4, 60) / focal)
            pan = float(middle.pan + aside)
            turn = np.radians([pan, pan])
            slope = np.tan(np.radians([-50.0, 50.0]))
            self._sizes = np.full(2, rng.uniform(6, 16) / focal)
        else:
            # Heads reach into the image from below, where the camera looks lowest.
            below = np.arctan(rng.uniform(70, 112) / float(view.focal.mean()))
            low = float(np.degrees(below))
            count = int(rng.integers(2, 5))
            aside = np.degrees(rng.uniform(-240, 240, count) / focal)
            turn = np.radians(middle.pan + aside)
            slope = np.tan(np.radians(view.tilt.min() - low)) * np.ones(count)
            self._sizes = rng.uniform(20, 34, count) / focal
        ahead = view.side * np.stack([np.sin(turn), 0 * turn, -np.cos(turn)], axis=1)
        up = np.stack([0 * turn, slope, 0 * turn], axis=1)
        self._points = view.position + 4.0 * (ahead + up)

    def make_mask(self, view: View) -> Image:
        """Return (H, W) uint8, how much it hides of each pixel of a view."""
        covered: Image = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        px, depth = view.project(self._points)
        if depth.min() <= 0 or np.abs(px).max() > 1e5:
            return covered
        radius = np.maximum(self._sizes * float(view.focal), 1.0)
        spots = np.round(px * 8).astype(int).tolist()
        if self._pole:
            width = round(2 * float(radius[0]))
            cv2.line(covered, spots[0], spots[1], 255, width, cv2.LINE_AA, 3)
        else:
            for (x, y), size in zip(spots, radius, strict=True):
                _paint_head(covered, x, y, int(8 * size))
        return np.asarray(cv2.blur(covered, (9, 9)), np.uint8)

    def paint(self, image: Image, mask: Image) -> None:
        """Lay it over a frame.

        Args:
            image: (H, W, 3) uint8, changed in place.
            mask: (H, W) uint8, how opaque it is at each pixel.
        """
        above = np.empty_like(image)
        above[:] = self._colour
        blend_over(image, above, mask)


def _paint_head(mask: Image, x: int, y: int, size: int) -> None:
    """Paint a head of half width `size` at (x, y), and the shoulders below it; all in
    eighths of a px."""
    head = (size, int(1.2 * size))
    cv2.ellipse(mask, (x, y), head, 0, 0, 360, 255, -1, cv2.LINE_AA, 3)
    below = (x, y + 3 * size)
    shoulders = (int(2.4 * size), int(1.9 * size))
    cv2.ellipse(mask, below, shoulders, 0, 0, 360, 255, -1, cv2.LINE_AA, 3)


def look_up_mask(mask: Image, px: FloatArray) -> NDArray[np.uint8]:
    """Look up a mask at the nearest pixels.

    Args:
        mask: (H, W) uint8.
        px: (..., 2).

    Returns:
        (...) the mask's values, 0 outside.
    """
    columns, rows = (np.round(px[..., i]).astype(np.int64) for i in (0, 1))
    height, width = mask.shape
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    values = mask[rows.clip(0, height - 1), columns.clip(0, width - 1)]
    return np.where(inside, values, 0).astype(np.uint8)


def measure_camera_motion(first: View, last: View) -> FloatArray:
    """Measure how far the middle of the image moves over what it shows.

    Args:
        first, last: Views of one camera at two moments.

    Returns:
        (..., 2) px.
    """
    seen = first.homography_to(last) @ np.array([*CENTRE, 1.0])
    return np.asarray(seen[..., :2] / seen[..., 2:] - CENTRE)


def _add_signed(part: Image, change: Image) -> None:
    """Add a grey change, 128 = none, to a part of an image in place."""
    cv2.addWeighted(
        part, 1.0, cv2.merge([change, change, change]), 1.0, -_NEUTRAL, dst=part
    )


def _find_window(px: FloatArray, margin: int) -> tuple[int, int, int, int] | None:
    """Return the part of a frame that some pixels (..., 2) lie in, x0, y0, x1, y1; None where
    it is empty."""
    flat: NDArray[Any] = px.reshape(-1, 2)
    low = np.clip(np.floor(flat.min(axis=0)) - margin, 0, SIZE)
    high = np.clip(np.ceil(flat.max(axis=0)) + margin + 1, 0, SIZE)
    if (high - low).min() < 2:
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
