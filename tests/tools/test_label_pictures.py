"""Pictures of what the checks find are made, small, and of the frames in which they
find it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from PIL import Image

TOOL = Path(__file__).resolve().parents[2] / "tools" / "label_pictures.py"


def test_a_picture_a_fault(tmp_path):
    run = subprocess.run(
        [sys.executable, str(TOOL), "--out", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    names = ["validate_mirrored.png", "validate_swapped-sides.png", "validate_jump.png"]
    assert [
        Path(line.partition(": ")[0]).name for line in run.stdout.splitlines()
    ] == names
    for name in names:
        assert Image.open(tmp_path / name).size[0] > 900
        assert (tmp_path / name).stat().st_size < 300_000


def test_a_dive_in_which_nothing_is_found_says_so(tmp_path):
    command = [sys.executable, "-c", _NOTHING_FOUND, str(tmp_path)]
    run = subprocess.run(
        command, cwd=TOOL.parent, capture_output=True, text=True, check=False
    )
    assert run.returncode == 1
    assert "mirrored is found in no frame of this dive" in run.stderr


_NOTHING_FOUND = """
import sys
import label_pictures
label_pictures.FAULTS = {"mirrored": lambda frame: frame}
sys.argv[1:] = ["--out", sys.argv[1]]
label_pictures.main()
"""
