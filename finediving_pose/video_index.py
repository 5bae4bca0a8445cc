"""Which frame of a video file comes at which time: what makes seeking as exact as
counting.

Containers say when each packet is shown. Sorted, these times number the frames without
decoding them, and after a jump the time of the first frame that decodes tells which one
it is. Where two packets have one time, or one has none, frames can only be counted from
the start.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class VideoIndex:
    """The frames of a video file as its container lists them.

    Attributes:
        numbers: From a frame's time stamp to its number, counted from 0.
        keys: Numbers of the frames that decode without others, ascending.
    """

    numbers: Mapping[float, int]
    keys: Sequence[int]

    def worth_seeking(self, number: int) -> bool:
        """Whether decoding can begin later than at the first frame in order to reach
        frame `number`."""
        return any(0 < key <= number for key in self.keys)


def read_index(path: Path) -> VideoIndex | None:
    """Read the packets' times of a video file, without decoding; None where frames must
    be counted instead.

    What was read is kept until the file changes.
    """
    try:
        status = path.stat()
    except OSError:
        return None
    return _read(path, status.st_mtime_ns, status.st_size)


def seek(capture: Any, index: VideoIndex, number: int) -> int | None:
    """Make an open ``cv2.VideoCapture`` give frame `number`, or one shortly before it,
    next and grab that frame.

    Returns:
        The number of the frame that was grabbed; None where the jump went astray, and
        `capture` must be opened anew.
    """
    import cv2

    if not capture.set(cv2.CAP_PROP_POS_FRAMES, number) or not capture.grab():
        return None
    grabbed = index.numbers.get(capture.get(cv2.CAP_PROP_PTS))
    return grabbed if grabbed is not None and grabbed <= number else None


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int, _size: int) -> VideoIndex | None:
    import cv2

    times: list[float] = []
    keys: list[float] = []
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened() or not capture.set(
            cv2.CAP_PROP_FORMAT, -1
        ):  # packets as they are
            return None
        declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        while capture.grab():
            times.append(capture.get(cv2.CAP_PROP_PTS))
            if capture.get(cv2.CAP_PROP_LRF_HAS_KEY_FRAME):
                keys.append(times[-1])
    finally:
        capture.release()
    numbers = {time: number for number, time in enumerate(sorted(set(times)))}
    if len(numbers) != len(times) or len(times) != declared:
        return None
    return VideoIndex(numbers, [numbers[time] for time in keys])
