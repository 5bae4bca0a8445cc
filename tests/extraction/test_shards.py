"""Which shard a clip belongs to, and how the files of each are called."""

from __future__ import annotations

import pytest

from finediving_pose.errors import UsageError
from finediving_pose.extraction.shards import (
    WHOLE,
    Shard,
    is_ledger,
    ledger_paths,
    manifest_paths,
)

KEYS = [f"match{i % 7}/{i}" for i in range(2000)]


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_each_clip_belongs_to_one_shard(count):
    shards = [Shard(index, count) for index in range(1, count + 1)]
    held = [[key for key in KEYS if shard.holds(key)] for shard in shards]
    assert sorted(key for keys in held for key in keys) == sorted(KEYS)
    assert all(
        abs(len(keys) - len(KEYS) / count) < 0.35 * len(KEYS) / count for keys in held
    )


def test_the_assignment_is_the_same_everywhere():
    """By hand: sha256 of the key as one big number, modulo the count."""
    assert [Shard(i, 3).holds("01/3") for i in (1, 2, 3)] == [True, False, False]
    assert [Shard(i, 3).holds("Käse/\udcff") for i in (1, 2, 3)].count(True) == 1


def test_text_becomes_a_shard():
    assert Shard.parse("2/8") == Shard(2, 8)
    assert Shard.parse("1/1") == WHOLE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0/4", "--shard 0/4: expected I from 1 to N, as in 1/4"),
        ("5/4", "--shard 5/4: expected I from 1 to N, as in 1/4"),
        ("1/0", "--shard 1/0: expected I from 1 to N, as in 1/1"),
        ("x", "--shard 'x': expected I/N, such as 2/8"),
        ("", "--shard ''"),
        ("1/", "expected I/N"),
        ("-1/4", "expected I/N"),
        ("1/4/2", "expected I/N"),
        ("1.0/4", "expected I/N"),
    ],
)
def test_anything_else_is_refused(text, message):
    with pytest.raises(UsageError) as caught:
        Shard.parse(text)
    assert message in str(caught.value)


def test_files_of_shards_are_known_by_their_names(tmp_path):
    assert (WHOLE.ledger_name, WHOLE.manifest_name) == (
        "manifest.jsonl",
        "manifest.json",
    )
    shard = Shard(2, 8)
    assert (shard.ledger_name, shard.manifest_name) == (
        "manifest.2-of-8.jsonl",
        "manifest.2-of-8.json",
    )
    assert is_ledger("manifest.jsonl")
    assert is_ledger(shard.ledger_name)
    others = (
        "manifest.old.jsonl",
        "manifest.2-of-8.jsonl.bak",
        "manifest.json",
        "my-manifest.jsonl",
        "manifest-2.jsonl",
    )
    assert not any(map(is_ledger, others))
    ours = [
        "manifest.1-of-2.jsonl",
        "manifest.2-of-2.json",
        "manifest.2-of-8.jsonl",
        "manifest.json",
        "manifest.jsonl",
    ]
    for name in (*others, *ours):
        (tmp_path / name).touch()
    assert [path.name for path in ledger_paths(tmp_path)] == [
        name for name in ours if name.endswith("l")
    ]
    assert [path.name for path in manifest_paths(tmp_path)] == [
        "manifest.json",
        "manifest.2-of-2.json",
    ]
    assert (
        ledger_paths(tmp_path / "absent") == manifest_paths(tmp_path / "absent") == []
    )
