"""Problems: what programs need of them stands in fields, and messages are free."""

from __future__ import annotations

from collections import Counter

import pytest
from helpers.faulty_labels import write_faulty_labels
from helpers.label_samples import labelme_file

from finediving_pose.annotation.label_checks import check_labels
from finediving_pose.annotation.label_findings import KINDS, Finding
from finediving_pose.datasets.labels import read_labels
from finediving_pose.datasets.problems import (
    Problem,
    ProblemLog,
    UnreadableFile,
    load_json,
)
from finediving_pose.errors import DataError


def all_findings(sources) -> list[Finding]:
    return [
        finding for source in sources for finding in check_labels(read_labels(source))
    ]


def facts(finding: Finding) -> tuple[object, ...]:
    """Everything that programs read of a finding: all but its message."""
    facts = vars(finding).copy()
    del facts["message"]
    return tuple(facts.items())


def test_findings_do_not_depend_on_the_words_of_messages(tmp_path, monkeypatch):
    sources = write_faulty_labels(tmp_path)
    before = all_findings(sources)
    make = Problem.__init__

    def reworded(self, file, where, message, *args, **fields):
        make(self, file, where, "x", *args, **fields)

    monkeypatch.setattr(Problem, "__init__", reworded)
    after = all_findings(sources)
    assert [facts(finding) for finding in after] == [
        facts(finding) for finding in before
    ]
    assert {"x", "box: x"} <= {finding.message for finding in after}


def test_the_faulty_labels_have_every_kind_that_a_reader_tells(tmp_path):
    found = Counter(
        finding.kind for finding in all_findings(write_faulty_labels(tmp_path))
    )
    of_readers = {
        "unreadable",
        "image-missing",
        "image-size",
        "other-image",
        "double",
        "missing-box",
        "missing-joint",
        "outside-image",
        "other-shape",
        "unconfirmed",
    }
    assert of_readers <= found.keys() <= KINDS.keys()


def test_a_finding_has_what_was_found_and_expected(tmp_path):
    labelme_file(tmp_path / "1.json", imageWidth=999)
    (finding,) = [
        finding
        for finding in check_labels(read_labels(tmp_path))
        if finding.kind == "image-size"
    ]
    assert finding.value == "455x256"


def test_a_log_adds_errors_warnings_and_mismatches():
    problems: list[Problem] = []
    log = ProblemLog("a.csv", problems)
    log.error("double", "dive", "twice")
    log.warning("value", "score", "odd", found="x", expected="a number")
    log.mismatch(
        "value", "score", found="'x'", expected="a number", consequence="empty"
    )
    assert [str(problem) for problem in problems] == [
        "error: a.csv: dive: twice",
        "warning: a.csv: score: odd",
        "error: a.csv: score: found 'x', expected a number; empty",
    ]
    assert [(p.kind, p.found, p.expected) for p in problems] == [
        ("double", None, None),
        ("value", "x", "a number"),
        ("value", "'x'", "a number"),
    ]


def test_a_problem_has_a_kind():
    with pytest.raises(TypeError, match="kind"):
        Problem("a.csv", "dive", "twice")


def test_an_unreadable_file_says_why_without_its_name(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[1, 2, 3]", encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.json: .*expected at most") as caught:
        load_json(path, limit=3)
    assert isinstance(caught.value, UnreadableFile)
    assert caught.value.expected == "at most 0 MB of labels"
    assert caught.value.reason.startswith("0 MB, expected")
