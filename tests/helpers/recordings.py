"""Video files as cameras, broadcasts and editors make them, written with PyAV."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
WIDTH, HEIGHT = 640, 480
SPEED = 6
"""Of the bar, in px a moment."""


def draw_moment(moment: int, width: int = WIDTH, height: int = HEIGHT) -> Image:
    """Draw a red bar that goes right over a soft pattern, (H, W, 3) BGR."""
    y, x = np.mgrid[:height, :width]
    grey = 80 + 30 * np.sin(x / 37) * np.sin(y / 23)
    image = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    left = width // 12 + moment * SPEED
    image[height // 5 : height // 2, left : left + width // 10] = (0, 0, 220)
    return image


def weave_fields(count: int, top_first: bool = True) -> list[Image]:
    """Return frames whose lines are of two moments each: frame n of 2n and 2n + 1."""
    frames = []
    for number in range(count):
        frame, later = draw_moment(2 * number), draw_moment(2 * number + 1)
        second = 1 if top_first else 0
        frame[second::2] = later[second::2]
        frames.append(frame)
    return frames


def write_recording(
    path: Path,
    images: Sequence[Image],
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    milliseconds: Sequence[int] | None = None,
    pixel_aspect: str | None = None,
    turned_left: int | None = None,
    matrix: tuple[int, ...] | None = None,
    tone: bool = False,
) -> Path:
    """Write a video file.

    Args:
        path: Its suffix says the container.
        images: (H, W, 3) BGR, all of one size.
        codec: FFmpeg's name of an encoder.
        options: Of the encoder.
        milliseconds: Time of each frame; None = 25 frames a second.
        pixel_aspect: Width of a pixel over its height, such as ``16/15``.
        turned_left: Degrees to the left by which players turn it.
        matrix: Display matrix, nine numbers; in place of `turned_left`.
        tone: Whether there is sound, one second with a click at half of it.
    """
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if pixel_aspect:
            stream.sample_aspect_ratio = Fraction(pixel_aspect)
        if turned_left is not None:
            stream.set_display_rotation(turned_left)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        sound = container.add_stream("pcm_s16le", rate=16_000) if tone else None
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame = frame.reformat(format="yuv420p")
            if milliseconds:
                frame.pts, frame.time_base = milliseconds[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if sound is not None:
            samples = np.zeros((1, 16_000), np.int16)
            samples[0, 8_000:8_200] = 26_000
            audio = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            audio.sample_rate = 16_000
            container.mux(sound.encode(audio))
            container.mux(sound.encode(None))
    return path
