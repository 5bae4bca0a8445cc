"""The line of each clip: what counts as done, and what survives a crash."""

from __future__ import annotations

import csv
import hashlib
import json

import numpy as np
import pytest

from finediving_pose.console import log
from finediving_pose.errors import DataError
from finediving_pose.extraction import ledger
from finediving_pose.extraction.clip_job import Outcome
from finediving_pose.extraction.ledger import Ledger, latest_lines
from finediving_pose.extraction.loading import Task
from finediving_pose.extraction.shards import WHOLE, Shard
from finediving_pose.files import append_json_line, read_json_lines
from finediving_pose.records import BoxTrack, Clip, SkeletonSequence

PRINT = {"input_sha256": "a", "model_sha256": "b", "settings_sha256": "c"}


def outcome(tmp_path, dive="1", warnings=()):
    nothing = np.full((4, 16), np.nan, np.float32)
    boxes = BoxTrack(
        np.full((4, 4), np.nan, np.float32), nothing[:, 0], np.zeros(4, np.uint8)
    )
    sequence = SkeletonSequence(
        np.full((4, 16, 2), np.nan, np.float32),
        nothing,
        np.zeros((4, 16), np.uint8),
        boxes,
        np.arange(4),
    )
    return Outcome(
        Task(Clip("m", dive, tmp_path), dive), [sequence], warnings=list(warnings)
    )


def write(folder, dive="1", shard=WHOLE, **options):
    ledger = Ledger(folder, shard)
    ledger.write_result(outcome(folder, dive, **options), PRINT, {"fdpose": "0"}, 2)
    return ledger


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_done_is_what_the_hashes_and_the_file_say(tmp_path):
    write(tmp_path)
    ledger = Ledger(tmp_path)
    assert ledger.is_done("m/1", PRINT)
    assert not ledger.is_done("m/2", PRINT)
    for key in PRINT:
        assert not ledger.is_done("m/1", {**PRINT, key: "other"})
    path = tmp_path / "Pose/m/pred_comp_1.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert not ledger.is_done("m/1", PRINT)
    path.write_bytes(content)
    assert ledger.is_done("m/1", PRINT)
    path.unlink()
    assert not ledger.is_done("m/1", PRINT)


def test_what_fails_anew_keeps_its_earlier_files_and_says_so(tmp_path):
    ledger = write(tmp_path)
    path = tmp_path / "Pose/m/pred_comp_1.npz"
    content = path.read_bytes()
    for _ in range(2):
        ledger.write_failure("m/1", "1", "gone")
        ledger.write_tables(["m/1"])
        assert path.read_bytes() == content
        assert table(tmp_path / "quality.csv") == []
        (row,) = table(tmp_path / "failures.csv")
        assert row["reason"] == "gone; kept from an earlier run: Pose/m/pred_comp_1.npz"
        ledger = Ledger(tmp_path)
        assert not ledger.is_done("m/1", PRINT)


def test_the_second_divers_file_goes_once_the_clip_succeeds_again(tmp_path):
    two = outcome(tmp_path)
    two.people.append(two.people[0])
    ledger = Ledger(tmp_path)
    ledger.write_result(two, PRINT, {"fdpose": "0"}, 2)
    assert (tmp_path / "Pose/m/pred_comp_1_2.npz").exists()
    ledger.write_failure("m/1", "1", "gone")
    write(tmp_path)
    assert [path.name for path in (tmp_path / "Pose/m").iterdir()] == [
        "pred_comp_1.npz"
    ]


def test_the_latest_line_counts(tmp_path):
    ledger = write(tmp_path)
    ledger.write_failure("m/1", "1", "gone")
    assert not Ledger(tmp_path).is_done("m/1", PRINT)
    write(tmp_path)
    assert Ledger(tmp_path).is_done("m/1", PRINT)


def test_a_line_cut_off_by_a_crash_is_redone(tmp_path):
    write(tmp_path, "1")
    write(tmp_path, "2")
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    ledger = Ledger(tmp_path)
    assert ledger.is_done("m/1", PRINT)
    assert not ledger.is_done("m/2", PRINT)
    ledger.write_result(outcome(tmp_path, "3"), PRINT, {}, 2)
    assert Ledger(tmp_path).is_done("m/1", PRINT)
    assert Ledger(tmp_path).is_done("m/3", PRINT)


def test_tables_list_what_is_done_and_what_failed_now(tmp_path):
    ledger = write(tmp_path, "1", warnings=["dark, wet", "cold"])
    ledger.write_failure("m/2", "v/2.avi", 'not "readable"')
    ledger.write_failure("m/old", "v/old.avi", "of a run over other videos")
    ledger.write_tables(["m/1", "m/2"])
    (quality,) = table(tmp_path / "quality.csv")
    assert (quality["clip"], quality["person"], quality["frames"]) == ("m/1", "1", "4")
    assert (quality["mean_score"], quality["nan_share"], quality["warnings"]) == (
        "",
        "1.0",
        "dark, wet; cold",
    )
    assert table(tmp_path / "failures.csv") == [
        {"clip": "m/2", "source": "v/2.avi", "reason": 'not "readable"'}
    ]


@pytest.mark.parametrize(
    "line", [{"epoch": 1}, {"clip": "m/1", "status": "done"}, [1], {"status": "failed"}]
)
def test_foreign_files_are_refused(tmp_path, line):
    (tmp_path / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    with pytest.raises(
        DataError,
        match=r"manifest\.jsonl: not written by fdpose extract; give another --out",
    ):
        Ledger(tmp_path)


def damage(folder, change):
    """Write three clips and change the line of the second one."""
    for dive in "123":
        write(folder, dive)
    path = folder / "manifest.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[1] = change(lines[1])
    path.write_bytes(b"".join(lines))


def reset(key, value):
    def change(line):
        return json.dumps({**json.loads(line), key: value}).encode() + b"\n"

    return change


@pytest.mark.parametrize(
    "change",
    [
        reset("clip", 7),
        reset("files", ["Pose/m/pred_comp_2.npz"]),
        reset("files", {"../../other.npz": "0" * 64}),
        reset("files", {"/etc/passwd": "0" * 64}),
        reset("files", {"Pose/m/pred_comp_2.npz": None}),
        reset("quality", "good"),
        reset("quality", [1]),
        reset("warnings", None),
        reset("time", "yesterday"),
        reset("time", 12),
        reset("status", "finished"),
        lambda line: b"[" * 100_000 + b"\n",
        lambda line: b"\xff" + line[1:],
        lambda line: line.replace(b"m/2", b"m/6", 1),  # a bit that flipped
    ],
)
def test_a_damaged_line_costs_its_own_clip(tmp_path, caplog, monkeypatch, change):
    monkeypatch.setattr(log, "propagate", True)
    damage(tmp_path, change)
    ledger = Ledger(tmp_path)
    assert [ledger.is_done(f"m/{dive}", PRINT) for dive in "123"] == [True, False, True]
    assert "manifest.jsonl" in caplog.text
    ledger.write_tables([])
    clips = [row["clip"] for row in table(tmp_path / "quality.csv")]
    assert clips == ["m/1", "m/3"]


def test_a_line_of_a_stranger_removes_nothing_outside(tmp_path):
    folder, outside = tmp_path / "out", tmp_path / "precious.txt"
    outside.write_text("labels")
    digest = hashlib.sha256(b"labels").hexdigest()
    (folder / "linked").mkdir(parents=True)
    (folder / "linked" / "away").symlink_to(tmp_path)
    for name in ("../precious.txt", str(outside), "linked/away/precious.txt"):
        line = {"clip": "m/1", "status": "done", "files": {name: digest}}
        line |= {"quality": [], "warnings": []}
        (folder / "manifest.jsonl").write_text(json.dumps(line) + "\n")
        try:
            ledger = Ledger(folder)
        except DataError:
            continue
        ledger.write_result(outcome(folder), PRINT, {}, 2)
        assert outside.read_text() == "labels"
    assert outside.exists()


# --- several ledgers ---


def failed(reason, **more):
    return {"clip": "m/1", "status": "failed", "source": "1", "reason": reason, **more}


def test_each_shard_appends_to_its_own_and_reads_all(tmp_path):
    write(tmp_path, "1", Shard(1, 2))
    write(tmp_path, "2", Shard(2, 2))
    write(tmp_path, "3")
    names = ["manifest.1-of-2.jsonl", "manifest.2-of-2.jsonl", "manifest.jsonl"]
    assert [
        [line["clip"] for line in read_json_lines(tmp_path / name)] for name in names
    ] == [
        ["m/1"],
        ["m/2"],
        ["m/3"],
    ]
    for shard in (WHOLE, Shard(1, 2), Shard(5, 7)):
        assert all(
            Ledger(tmp_path, shard).is_done(f"m/{dive}", PRINT) for dive in (1, 2, 3)
        )


def test_the_latest_line_counts_whichever_file_it_is_in(tmp_path):
    write(tmp_path, "1", Shard(2, 2))
    Ledger(tmp_path, Shard(1, 3)).write_failure("m/1", "1", "gone")
    assert not Ledger(tmp_path).is_done("m/1", PRINT)
    write(tmp_path, "1", Shard(2, 2))
    assert Ledger(tmp_path).is_done("m/1", PRINT)


@pytest.mark.parametrize(
    ("lines", "counts"),
    [
        (
            {
                "manifest.jsonl": [failed("old")],
                "manifest.1-of-2.jsonl": [failed("new", time="2026-01-01T00:00:00")],
            },
            "new",
        ),
        ({"manifest.jsonl": [failed("first"), failed("second")]}, "second"),
        (
            {
                "manifest.jsonl": [failed("last file")],
                "manifest.2-of-2.jsonl": [failed("first file")],
            },
            "last file",
        ),
        (
            {
                "manifest.jsonl": [
                    failed("late", time="2026-01-02"),
                    failed("early", time="2026-01-01"),
                ]
            },
            "late",
        ),
        (
            {
                "manifest.jsonl": [
                    failed("a", time="2026-01-02"),
                    failed("b", time="2026-01-02"),
                ]
            },
            "b",
        ),
    ],
)
def test_lines_are_ordered_by_stamp_then_file_then_place(tmp_path, lines, counts):
    for name, records in lines.items():
        for record in records:
            append_json_line(tmp_path / name, record)
    assert latest_lines(tmp_path)["m/1"]["reason"] == counts


def test_a_machine_whose_clock_is_behind_has_the_last_word_nevertheless(tmp_path):
    ahead = "2099-01-01T00:00:00.000000+00:00"
    append_json_line(tmp_path / "manifest.2-of-2.jsonl", failed("gone", time=ahead))
    write(tmp_path, "1", Shard(1, 2))
    assert latest_lines(tmp_path)["m/1"]["time"] == "2099-01-01T00:00:00.000001+00:00"
    assert Ledger(tmp_path).is_done("m/1", PRINT)


def test_tables_hold_what_other_shards_did_after_this_one_began(tmp_path):
    first = Ledger(tmp_path, Shard(1, 2))
    write(tmp_path, "2", Shard(2, 2)).write_failure("m/3", "3", "broken")
    first.write_result(outcome(tmp_path, "1"), PRINT, {}, 2)
    first.write_tables(["m/1", "m/2", "m/3"])
    assert [row["clip"] for row in table(tmp_path / "quality.csv")] == ["m/1", "m/2"]
    assert [row["clip"] for row in table(tmp_path / "failures.csv")] == ["m/3"]


def test_tables_hold_what_another_shard_did_while_they_were_written(
    tmp_path, monkeypatch
):
    """The other one reads, writes and ends between this one's reading and writing: this
    one writes last."""
    first = write(tmp_path, "1", Shard(1, 2))
    real = ledger.write_text

    def interrupted(*arguments):
        monkeypatch.setattr(ledger, "write_text", real)
        write(tmp_path, "2", Shard(2, 2)).write_tables(["m/1", "m/2"])
        real(*arguments)

    monkeypatch.setattr(ledger, "write_text", interrupted)
    first.write_tables(["m/1", "m/2"])
    assert [row["clip"] for row in table(tmp_path / "quality.csv")] == ["m/1", "m/2"]


def test_a_foreign_ledger_of_a_shard_is_refused(tmp_path):
    append_json_line(tmp_path / "manifest.1-of-2.jsonl", {"epoch": 1})
    with pytest.raises(
        DataError, match=r"manifest\.1-of-2\.jsonl: not written by fdpose extract"
    ):
        Ledger(tmp_path)
