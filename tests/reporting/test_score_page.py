"""The page of a score: images where they belong, bars as long as the parts, text that
cannot break out."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from finediving_pose.datasets.score_files import (
    Exemplar,
    Preview,
    Scored,
    Seen,
    Stage,
)
from finediving_pose.media import encode_jpeg
from finediving_pose.reporting import score_page
from finediving_pose.reporting.score_page import (
    DiveView,
    draw_comparison,
    write_score_page,
)

STAGES = ("take-off", "flight", "entry")
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200))
"""BGR of the three stages' images."""


def preview(images: bool = True, poses: bool = False, stages: int = 3) -> Preview:
    joints = np.full((stages, 3, 16, 2), np.nan, np.float32)
    if poses:
        joints[:] = np.stack(
            [np.linspace(40, 120, 16), np.linspace(30, 130, 16)], axis=1
        )
    files = []
    for place in range(3 * stages):
        image = np.full((160, 160, 3), COLOURS[place // 3], np.uint8)
        files.append(encode_jpeg(image) if images else b"")
    numbers = np.arange(3 * stages).reshape(stages, 3)
    return Preview(numbers, tuple(files), joints)


def view(role: str = "this dive", **given) -> DiveView:
    return DiveView((role, "Made/1", "80.00"), preview(**given))


def exemplar(*parts: float) -> Exemplar:
    return Exemplar("Made/2", 70.0, None, 70.0, parts, 70 + sum(parts))


def scored(**given) -> Scored:
    known = {
        "clip": "1.mp4",
        "name": "Made/1",
        "model": "mine",
        "dive_number": "407C",
        "description": "inward dive",
        "score": 71.5,
        "spread": None,
        "difficulty": None,
        "difficulty_from": "not given",
        "mean_award": None,
        "stages": tuple(Stage(name, 1, 2, None) for name in STAGES),
        "exemplars": (exemplar(2.0, -1.0, 0.5),),
        "seen": (),
        "skeleton": "s.npz",
        "joints_known": 0.9,
        "fps": None,
        "notes": ("few exemplars",),
        "shown": (preview(), (preview(),)),
    }
    return Scored(**{**known, **given})


def close_to(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(image.astype(int) - colour).max(axis=2) < 12


def test_stages_are_columns_and_dives_are_rows():
    drawn = draw_comparison(STAGES, view(), exemplar(2.0, -1.0, 0.5), view("exemplar"))
    middles = [
        np.argwhere(close_to(drawn, colour)).mean(axis=0)[1] for colour in COLOURS
    ]
    assert middles == sorted(middles)
    for colour in COLOURS:
        columns = close_to(drawn, colour)
        rows = np.flatnonzero(columns.any(axis=1))
        assert (
            np.count_nonzero(np.diff(rows) > 1) == 1
        )  # two dives, one below the other
        assert columns.sum() > 0.9 * 6 * (drawn.shape[1] / 12) ** 2


def test_bars_point_where_the_parts_do_and_are_as_long():
    drawn = draw_comparison(STAGES, view(), exemplar(2.0, -1.0, 0.5), view("exemplar"))
    up, down = (
        close_to(drawn, bgr(colour)) for colour in (score_page.GAIN, score_page.LOSS)
    )
    below = slice(int(drawn.shape[0] * 0.72), None)
    lengths = [np.count_nonzero(mask[below].any(axis=0)) for mask in (up, down)]
    assert lengths[0] == pytest.approx(2.5 * lengths[1], rel=0.05)
    third = drawn.shape[1] // 3
    assert down[below, third:-third].any()
    assert not up[below, third + 80 : -third].any()


def test_parts_below_a_point_look_small():
    widths = {}
    for size in (0.02, 2.0):
        mask = close_to(
            draw_comparison(
                STAGES, view(), exemplar(size, size, size), view("exemplar")
            ),
            bgr(score_page.GAIN),
        )
        widths[size] = np.count_nonzero(mask.any(axis=0))
    assert widths[0.02] < widths[2.0] / 20


def test_skeletons_are_drawn_on_images_and_on_none():
    plain, with_joints = (
        draw_comparison(STAGES, view(poses=poses)) for poses in (False, True)
    )
    assert plain.shape == with_joints.shape
    assert np.count_nonzero((plain != with_joints).any(axis=2)) > 2000
    alone = draw_comparison(STAGES, view(images=False, poses=True))
    assert close_to(alone, (score_page.EMPTY,) * 3).sum() > 100_000


def test_without_images_and_joints_the_bars_remain():
    nothing = view(images=False)
    drawn = draw_comparison(STAGES, nothing, exemplar(1.0, 1.0, 1.0), nothing)
    assert drawn.shape[0] < 200
    assert close_to(drawn, bgr(score_page.GAIN)).any()


@pytest.mark.parametrize("stages", [1, 2])
def test_fewer_stages_fit(stages):
    few = view(stages=stages)
    drawn = draw_comparison(STAGES[:stages], few, exemplar(*(1.0,) * stages), few)
    assert close_to(drawn, COLOURS[stages - 1]).any()


def test_the_page_says_what_adds_up(tmp_path):
    write_score_page(tmp_path / "p.html", scored())
    text = (tmp_path / "p.html").read_text()
    assert "Beside Made/2: 70.00 + 2.00 − 1.00 + 0.50 = 71.50 points." in text
    assert text.count("data:image/jpeg") == 1
    assert "<h1>Made/1, 407C inward dive</h1>" in text
    assert "few exemplars" in text
    assert 'class="notice"' not in text


def test_what_has_to_be_known_first_is_the_banner(tmp_path):
    seen = Seen("Made/1", ("name", "pictures"))
    write_score_page(tmp_path / "p.html", scored(seen=(seen,)))
    assert (
        '<div class="notice" role="note">The model was trained on this dive (Made/1, the same name and images)'
        in (tmp_path / "p.html").read_text()
    )


def test_a_dive_alone_is_shown_too(tmp_path):
    alone = scored(exemplars=(), shown=(preview(), ()))
    write_score_page(tmp_path / "p.html", alone)
    assert (tmp_path / "p.html").read_text().count("data:image/jpeg") == 1
    unseen = scored(exemplars=(), shown=(preview(images=False), ()))
    write_score_page(tmp_path / "p.html", unseen)
    assert (tmp_path / "p.html").read_text().count("data:image/jpeg") == 0


def test_names_are_text(tmp_path):
    evil = "<img src=x onerror=alert(1)>"
    other = replace(exemplar(1.0, 1.0, 1.0), name=evil)
    write_score_page(
        tmp_path / "p.html",
        scored(
            name=evil,
            notes=(evil,),
            exemplars=(other,),
            seen=(Seen(evil, ("name",)),),
        ),
    )
    assert evil not in (tmp_path / "p.html").read_text()


def test_long_names_stay_beside_the_images():
    """Whatever the names, the images begin at the same place, and no letter reaches
    them."""
    short = draw_comparison(STAGES, view())
    long = replace(
        view(),
        lines=(
            "this dive",
            "W" * 30 + "_" + "W" * 60 + "/" + "$x^2$" * 20,
            "scored 80.00",
        ),
    )
    drawn = draw_comparison(STAGES, long)
    left = np.flatnonzero(close_to(short, COLOURS[0]).any(axis=0))[0]
    assert (drawn[:, left:] == short[:, left:]).all()
    assert not (drawn[:, left - 8 : left - 2] < 128).any()


def bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return blue, green, red


def test_the_drawing_is_an_image_that_opencv_takes():
    drawn = draw_comparison(STAGES, view())
    assert drawn.dtype == np.uint8
    assert cv2.imencode(".jpg", drawn)[0]
