"""The log of reviews: appended by several processes, read whatever stands in it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict

import pytest

from finediving_pose.annotation import review_log
from finediving_pose.annotation.review_log import Decision

DECISION = Decision(
    "M/1/00000.jpg",
    "ben",
    "2026-01-01T00:00:00.000+00:00",
    "accept",
    "",
    "anna/M__1/00000.json",
    "a",
    "b",
    None,
    {"x": "y"},
)


def test_what_is_appended_is_read_back(tmp_path):
    path = tmp_path / "labels" / "review.jsonl"
    assert review_log.read_decisions(path) == []
    odd = Decision(
        **{
            **asdict(DECISION),
            "comment": '<script>"\n世界 🤽',
            "action": "return",
            "revision": 3,
        }
    )
    review_log.append_decision(path, DECISION)
    review_log.append_decision(path, odd)
    assert review_log.read_decisions(path) == [DECISION, odd]
    assert DECISION.approves
    assert not odd.approves
    assert path.read_text(encoding="utf-8").count("\n") == 2


def test_two_processes_append_whole_lines(tmp_path):
    path, each = tmp_path / "review.jsonl", 60
    code = (
        "import sys, pathlib\nfrom dataclasses import replace\nfrom finediving_pose.annotation import review_log\n"
        f"decision = review_log.Decision(**{asdict(DECISION)!r})\n"
        f"for n in range({each}):\n"
        "    comment = f'{sys.argv[2]} {n} ' + 'x' * 20000\n"
        "    review_log.append_decision(pathlib.Path(sys.argv[1]), replace(decision, comment=comment))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(number)])
        for number in range(2)
    ]
    assert [writer.wait(120) for writer in writers] == [0, 0]
    said = [
        decision.comment.split()[:2] for decision in review_log.read_decisions(path)
    ]
    assert len(said) == 2 * each
    for writer in ("0", "1"):
        assert [int(number) for who, number in said if who == writer] == list(
            range(each)
        )


@pytest.mark.parametrize(
    "change",
    [{"action": "maybe"}, {"seen": None}, {"who": 3}, {"image": None}],
)
def test_a_record_that_is_no_decision_is_left_out_with_a_warning(
    tmp_path, caplog, change
):
    path = tmp_path / "review.jsonl"
    review_log.append_decision(path, DECISION)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({**asdict(DECISION), **change}) + "\n[1]\n{}\n")
    review_log.append_decision(path, DECISION)
    with caplog.at_level("WARNING", logger="fdpose"):
        assert review_log.read_decisions(path) == [DECISION, DECISION]
    assert "record 2 is no decision" in caplog.text


def test_a_line_that_a_crash_cut_off_is_ended_and_left_out(tmp_path):
    path = tmp_path / "review.jsonl"
    review_log.append_decision(path, DECISION)
    path.write_bytes(path.read_bytes() * 2)
    path.write_bytes(path.read_bytes()[:-40])
    review_log.append_decision(path, DECISION)
    assert review_log.read_decisions(path) == [DECISION, DECISION]
