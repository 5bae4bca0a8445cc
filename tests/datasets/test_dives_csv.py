"""dives.csv: round trip, what spreadsheets do to it, and every bad cell named."""

from __future__ import annotations

from dataclasses import replace

import pytest
from helpers.moving_blobs import write_clip

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
BARE = Dive("Zürich", "2", "videos/b.mp4")


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
        [
            FULL,
            replace(FULL, video="b.mp4"),
            replace(FULL, match="Bern", start_frame=111, end_frame=211),
        ],
    )
    dives, (problem,) = read_dives(tmp_path / "dives.csv")
    assert [dive.match for dive in dives] == ["Zürich", "Bern"]
    assert "Zürich/1 stands in line 2 as well" in problem.message
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
    errors = [problem.where for problem in problems if problem.severity == "error"]
    assert errors == ["awards"] * 3  # 55.5, 45 and 8.9 points
    # Of the 120 exceptions to the rule those whose awards are none cannot be told.
    odd = [problem for problem in problems if problem.severity == "warning"]
    assert {problem.where for problem in odd} == {"score"}
    assert len(odd) == 118
    assert sum(dive == other for dive, other in zip(back, dives, strict=True)) == 2997


def test_half_of_europe_writes_a_comma(tmp_path):
    (tmp_path / "dives.csv").write_text(
        "video;start_frame;end_frame;match;dive;dive_number;difficulty;awards;score\n"
        'a.mp4;0;95;Final;1;107b;3,0;"7,5;8;8,5";72,0\n'
    )
    (dive,), problems = read_dives(tmp_path / "dives.csv")
    assert (dive.difficulty, dive.awards, dive.score) == (3.0, (7.5, 8.0, 8.5), 72.0)
    assert problems == []


def test_a_comma_without_quotes_shifts_no_column_in_silence(tmp_path):
    (tmp_path / "dives.csv").write_text(
        "video,start_frame,end_frame,match,dive,difficulty\n"
        "a.mp4,0,95,Final,1,3,0\nb.mp4,0,95,Final,2,3,\n"
    )
    (dive,), (problem,) = read_dives(tmp_path / "dives.csv")
    assert (dive.dive, dive.difficulty) == ("2", 3.0)
    assert "more cells than columns ('0' is beyond the last)" in problem.message


@pytest.mark.parametrize("text", ["1.000", "1,000", "12.345.678"])
def test_a_sign_between_digits_is_no_frame(tmp_path, text):
    (tmp_path / "dives.csv").write_text(
        f"video;start_frame;end_frame;match;dive\na.mp4;{text};20000000;Final;1\n"
    )
    dives, (problem,) = read_dives(tmp_path / "dives.csv")
    assert dives == []
    assert problem.where == "start_frame"
    assert "without a sign between its digits" in problem.message


def test_a_name_that_a_spreadsheet_made_decimal(tmp_path):
    (dive,), (problem,) = read_row(tmp_path, dive="7.0", match="007")
    assert dive.key == ("007", "7")
    assert (problem.where, problem.severity) == ("dive", "warning")
    assert "taken as '7'" in problem.message


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        ("00:00:01", "00:00:03", (25, 75)),
        ("0:01.2", "0:02.04", (30, 51)),
        ("00:00:01:05", "00:00:02:00", (30, 50)),
    ],
)
def test_times_are_frames_of_a_recording_that_is_there(tmp_path, start, end, frames):
    write_clip(tmp_path / "a.mp4", 80)
    (dive,), problems = read_row(tmp_path, start_frame=start, end_frame=end)
    assert (dive.start_frame, dive.end_frame) == frames
    assert {problem.severity for problem in problems} == {"warning"}
    assert f"is taken as frame {frames[0]}, at 25 frames a second" in str(problems[0])


def test_times_in_a_recording_that_is_elsewhere(tmp_path):
    (tmp_path / "table").mkdir()
    given = {"start_frame": "0:01", "end_frame": "0:02"}
    dives, problems = read_row(tmp_path / "table", **given)
    assert dives == []
    assert "the recording is not there to say" in problems[0].message
    write_clip(tmp_path / "videos" / "a.mp4", 80)
    (dive,), _ = read_dives(tmp_path / "table" / "dives.csv", tmp_path / "videos")
    assert (dive.start_frame, dive.end_frame) == (25, 50)


def test_a_score_that_contradicts_its_awards_is_warned_of(tmp_path):
    given = {"difficulty": "3.0", "awards": ";".join("8888888")}
    (dive,), (problem,) = read_row(tmp_path, score="7.2", **given)
    assert dive.score == 7.2
    assert (problem.kind, problem.severity) == ("disagreement", "warning")
    assert "found 7.2, expected 72 (DD 3 × 24 of the awards)" in problem.message
    assert read_row(tmp_path, score="72", **given)[1] == []


def test_dives_that_share_frames_are_warned_of(tmp_path):
    cuts = [(0, 95), (50, 140), (96, 120), (141, None), (200, 210)]
    dives = [Dive("m", str(i), "a.mp4", *cut) for i, cut in enumerate(cuts)]
    write_dives(tmp_path / "dives.csv", dives)
    back, problems = read_dives(tmp_path / "dives.csv")
    assert back == dives
    assert [problem.message for problem in problems] == [
        "frames 50 to 95 of a.mp4 are in m/0 (line 2) as well",
        "frames 96 to 120 of a.mp4 are in m/1 (line 3) as well",
        "frames 200 to 210 of a.mp4 are in m/3 (line 5) as well",
    ]
    assert {problem.severity for problem in problems} == {"warning"}
