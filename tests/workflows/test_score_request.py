"""What is asked of ``fdpose score``: names, clips, and where the DD is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from finediving_pose.errors import UsageError
from finediving_pose.records import Dive
from finediving_pose.workflows.score_request import ScoreRequest, find_difficulty


def trained(*difficulties: float | None) -> list[Dive]:
    return [
        Dive("m", str(place), dive_number="407c", difficulty=difficulty)
        for place, difficulty in enumerate(difficulties)
    ]


def test_a_dive_is_called_as_its_clip_unless_it_is_named(tmp_path):
    folder = tmp_path / "meet" / "3"
    folder.mkdir(parents=True)
    video = ScoreRequest(tmp_path / "meet" / "4.final.mp4", "407C").make_record()
    assert (video.key, video.dive_number) == (("meet", "4.final"), "407c")
    assert ScoreRequest(folder).make_record().key == ("meet", "3")
    named = ScoreRequest(folder, match="01", dive="7")
    assert named.make_record().key == ("01", "7")


def test_a_part_of_a_recording_is_a_clip():
    request = ScoreRequest(Path("a/b.mp4"), start=30, end=73)
    clip = request.make_clip(request.make_record())
    assert (clip.start_frame, clip.end_frame, clip.source.name) == (30, 73, "b.mp4")
    features = ScoreRequest(None, features=Path("a/f.npz"))
    assert features.make_clip(features.make_record()) is None


def test_no_number_and_no_such_number():
    assert ScoreRequest(Path("b.mp4")).parse_number() is None
    with pytest.raises(UsageError, match="--dive-number: "):
        ScoreRequest(Path("b.mp4"), "700x").parse_number()


@pytest.mark.parametrize(
    ("given", "same", "difficulty", "source"),
    [
        ({"difficulty": 3.5}, trained(3.2), 3.5, "as given"),
        ({"apparatus": "10m"}, trained(2.9), 3.2, "by the rule, 407C from 10m"),
        ({}, trained(3.2, None, 3.2), 3.2, "that of all 3 training dives 407C"),
        ({}, trained(3.2, 2.9), None, "have 2.9, 3.2: say which with --difficulty"),
        ({}, trained(None), None, "give it with --difficulty, or --apparatus"),
    ],
)
def test_the_difficulty_is_given_ruled_or_that_of_training(
    given, same, difficulty, source
):
    request = ScoreRequest(Path("b.mp4"), "407c", **given)
    found, where = find_difficulty(request, same)
    assert found == difficulty
    assert source in where
