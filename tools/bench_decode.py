"""Rate of decoding: this project's reader against a loop over OpenCV's VideoCapture.

    python tools/bench_decode.py videos/*.mp4 --rounds 5

Both decode all frames of each file to BGR arrays, in turn, in one process. Printed are
seconds of the clock and of the processor (all threads), each as the median over the
rounds of the reader's time over OpenCV's: below 1, the reader is faster.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from finediving_pose.media import VideoFile


def decode_with_reader(path: Path) -> list[np.ndarray]:
    """Return the frames of a file as the project reads them, (H, W, 3) uint8 BGR."""
    return [frame.image for frame in VideoFile(path).read()]


def decode_with_opencv(path: Path) -> list[np.ndarray]:
    """Return the frames of a file as OpenCV reads them, (H, W, 3) uint8 BGR."""
    frames = []
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    while True:
        there, image = capture.read()
        if not there:
            return frames
        frames.append(image)


def time_decoding(decode: Callable[[Path], list], path: Path) -> tuple[float, float]:
    """Return the seconds of the clock and of the processor that decoding takes."""
    wall, busy = time.perf_counter(), time.process_time()
    decode(path)
    return time.perf_counter() - wall, time.process_time() - busy


def compare_frames(path: Path) -> str:
    """Say whether both give the same frames."""
    ours, theirs = decode_with_reader(path), decode_with_opencv(path)
    if len(ours) != len(theirs):
        return f"{len(ours)} frames, OpenCV {len(theirs)}"
    if any(a.shape != b.shape for a, b in zip(ours, theirs, strict=True)):
        return f"{len(ours)} frames of another size"
    largest = 0
    for a, b in zip(ours, theirs, strict=True):
        largest = max(largest, int(np.abs(a.astype(np.int16) - b).max(initial=0)))
    return f"{len(ours)} frames, largest difference {largest}"


def main(arguments: list[str] | None = None) -> None:
    """Compare the two on each file and print a line a file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    for path in options.videos:
        same = compare_frames(path)  # warms the file's cache too
        ratios = []
        for _ in range(options.rounds):
            ours = time_decoding(decode_with_reader, path)
            theirs = time_decoding(decode_with_opencv, path)
            ratios.append((ours[0] / theirs[0], ours[1] / theirs[1]))
        wall = statistics.median(ratio[0] for ratio in ratios)
        busy = statistics.median(ratio[1] for ratio in ratios)
        print(f"{path.name}: clock {wall:.2f}, processor {busy:.2f}; {same}")


if __name__ == "__main__":
    main()
