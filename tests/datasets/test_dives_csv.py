"""dives.csv: round trip, what spreadsheets do to it, and every bad cell named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from finediving_pose.datasets.dives_csv import COLUMNS, read_dives, write_dives
from finediving_pose.datasets.finediving import read_coarse
from finediving_pose.errors import DataError
from finediving_pose.records import Dive

FULL = Dive(
    "Zürich",
    "1",
    "videos/a.mp4",
    10,
    110,
    "407c",
    3.2,
    (7.5, 8.0, 8.5),
    76.8,
    (31, 80),
    True,
)
BARE = Dive("Zürich", "2", "videos/a.mp4")


def read_row(tmp_path, **cells):
    """Read a file of one good row with cells changed."""
    given = {
        "video": "a.mp4",
        "start_frame": "10",
        "end_frame": "110",
        "match": "m",
        "dive": "1",
    } | cells
    (tmp_path / "dives.csv").write_text(
        f"{','.join(COLUMNS)}\n{','.join(given.get(name, '') for name in COLUMNS)}\n"
    )
    return read_dives(tmp_path / "dives.csv")


def test_what_is_written_is_read(tmp_path):
    write_dives(tmp_path / "dives.csv", [FULL, BARE])
    assert read_dives(tmp_path / "dives.csv") == ([FULL, BARE], [])


def test_only_the_first_five_columns_are_needed(tmp_path):
    text = (
        "\ufeffvideo;start_frame;end_frame;match;dive\r\na.mp4;10;110;01;3\r\n;;;;\r\n"
    )
    (tmp_path / "dives.csv").write_text(text, encoding="utf-8")
    assert read_dives(tmp_path / "dives.csv") == (
        [Dive("01", "3", "a.mp4", 10, 110)],
        [],
    )


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("match", "a/b", "a name without /"),
        ("match", "..", "a name without /"),
        ("match", "a\0b", "a name without /"),
        ("match", "", "a name without /"),
        ("dive", "..", "a name without /"),
        ("dive", "a\\b", "a name without /"),
        ("video", "../a.mp4", "below its folder"),
        ("video", "/a.mp4", "below its folder"),
        ("video", "", "below its folder"),
        ("start_frame", "x", "a frame number from 0"),
        ("start_frame", "1.5", "a frame number from 0"),
        ("start_frame", "-1", "a frame number from 0"),
        ("end_frame", "nan", "a frame number from 0"),
        ("end_frame", "9", "9 lies before start_frame 10"),
    ],
)
def test_a_row_without_a_usable_name_video_or_window_is_left_out(
    tmp_path, column, cell, message
):
    dives, problems = read_row(tmp_path, **{column: cell})
    assert dives == []
    (problem,) = problems
    assert (problem.file, problem.where) == (f"{tmp_path / 'dives.csv'} line 2", column)
    assert message in problem.message


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("dive_number", "977x", "a dive number such as 407c"),
        ("difficulty", "0", "a degree of difficulty"),
        ("difficulty", "inf", "a degree of difficulty"),
        ("awards", "7;11", "award 2 is 11"),
        ("awards", "7;;8", "awards such as"),
        ("score", "-1", "a score from 0"),
        ("transitions", "30", "two rising frame numbers"),
        ("transitions", "80;31", "two rising frame numbers"),
        ("transitions", "31;101", "below the dive's length 101"),
        ("synchronised", "maybe", "1 or 0"),
    ],
)
def test_any_other_bad_cell_counts_as_empty(tmp_path, column, cell, message):
    dives, problems = read_row(tmp_path, **{column: cell})
    assert dives == [Dive("m", "1", "a.mp4", 10, 110)]
    assert (problems[0].where, problems[0].severity) == (column, "error")
    assert message in problems[0].message
    assert problems[0].message.endswith("taken as empty")


def test_the_dive_number_is_in_small_letters(tmp_path):
    assert read_row(tmp_path, dive_number="5253B")[0][0].dive_number == "5253b"


def test_a_key_stands_once(tmp_path):
    write_dives(
        tmp_path / "dives.csv",
        [FULL, replace(FULL, video="b.mp4"), replace(FULL, match="Bern")],
    )
    dives, (problem,) = read_dives(tmp_path / "dives.csv")
    assert [dive.match for dive in dives] == ["Zürich", "Bern"]
    assert "Zürich/1 stands in an earlier line" in problem.message
    assert problem.file.endswith("line 3")


def test_unknown_columns_are_warned_of(tmp_path):
    (tmp_path / "dives.csv").write_text(
        "video,start_frame,end_frame,match,dive,coach\na.mp4,1,2,m,1,x\n"
    )
    dives, (problem,) = read_dives(tmp_path / "dives.csv")
    assert len(dives) == 1
    assert (problem.where, problem.severity) == ("coach", "warning")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "column video, start_frame, end_frame, match, dive is missing"),
        (b"video,match,dive\n", "column start_frame, end_frame is missing"),
        ("Zürich".encode("utf-16"), "not UTF-8"),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    (tmp_path / "dives.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_dives(tmp_path / "dives.csv")
    with pytest.raises(DataError, match="not readable"):
        read_dives(tmp_path / "absent.csv")


def test_all_of_finediving(tmp_path, shared_data):
    dives = [
        replace(dive, video=f"{dive.match}.mp4")
        for dive in read_coarse(shared_data / "finediving")
    ]
    write_dives(tmp_path / "dives.csv", dives)
    back, problems = read_dives(tmp_path / "dives.csv")
    assert [problem.where for problem in problems] == [
        "awards"
    ] * 3  # 55.5, 45 and 8.9 points
    assert sum(dive == other for dive, other in zip(back, dives, strict=True)) == 2997
