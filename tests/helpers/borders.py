"""The borders at which files of others come in: for each a small room of good files of
version 0.1.0, the commands that read them, and what must hold whatever the files are.

A case is a border and a number: the number chooses the file, how it is changed and the
command. ``tests/test_borders.py`` tries a few, ``tools/fuzz_borders.py`` many.
"""

from __future__ import annotations

import csv
import hashlib
import json
import lzma
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from helpers.guarded_runs import Outcome, run_guarded
from helpers.mutations import mutate_file

STORED = Path(__file__).resolve().parents[1] / "files_of_0_1_0"
PLACE = b"/before"
"""Stands in the stored files for the folder in which they were made."""

DOCUMENTED = {0, 1, 2, 3, 4, 130}
"""Exit codes; 70, an internal error, is documented and never right."""

LONGEST_ANSWER = 2_000_000
"""Characters that a command may print about small files; for each byte of large ones it
may print ten."""

WALKED = {"labelme", "video"}
"""Borders whose files a command finds by itself in a folder."""

ROOM, ELSEWHERE = "room", "elsewhere"
Prepare = Callable[[Path], None]
Count = Callable[[Path], int | None]
Tally = Callable[[Any], tuple[int, int]]


@dataclass(frozen=True)
class Border:
    """A kind of file that comes from outside.

    Attributes:
        name: Of the border.
        needs: Files and folders of version 0.1.0 that the commands read.
        changed: Patterns of the files that are mutated, in the room.
        commands: Arguments; one command is drawn for each case.
        prepare: Writes into the room what version 0.1.0 did not have.
        folder: The current folder of the commands, in the room.
        writes: All that they may change, in the room.
        stubbed: Whether networks that find bright blobs stand in for real ones.
        count: How many items the changed files hold; None where that cannot be said.
        tally: How many the answer says were read, and how many reported.
        keeps: Patterns of files that must still be there, changed or not.
        slow: Whether a case takes seconds, for networks are loaded or trained.
    """

    name: str
    needs: tuple[str, ...]
    changed: tuple[str, ...]
    commands: tuple[str, ...]
    prepare: Prepare | None = None
    folder: str = ""
    writes: tuple[str, ...] = ("out",)
    stubbed: bool = False
    count: Count | None = None
    tally: Tally | None = None
    keeps: tuple[str, ...] = ()
    slow: bool = False


@dataclass(frozen=True)
class Case:
    """One try at a border.

    Attributes:
        border: Its name.
        number: Decides all of it.
        changes: What was done to which file.
        command: What was run.
        outcome: What became of it.
        faults: What should not have been; empty where all is well.
        read, reported: Items, as the command's answer counts them.
    """

    border: str
    number: int
    changes: str
    command: str
    outcome: Outcome
    faults: tuple[str, ...]
    read: int = 0
    reported: int = 0


def make_template(border: Border, folder: Path) -> Path:
    """Make a border's room of good files, of which each case gets a copy."""
    room = folder / ROOM
    for need in border.needs:
        source = STORED / need
        target = room / need
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            shutil.copy(source, target)
    for path in sorted(room.rglob("*.xz")):
        path.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
        path.unlink()
    if border.prepare is not None:
        border.prepare(room)
    kept = folder / ELSEWHERE / "kept.txt"
    kept.parent.mkdir()
    kept.write_text("not yours\n", encoding="utf-8")
    return folder


def place_room(template: Path, folder: Path) -> Path:
    """Copy a template, and let its files name the folder in which they now lie."""
    shutil.copytree(template, folder, symlinks=True)
    for path in folder.rglob("*"):
        if path.suffix in {".json", ".jsonl", ".csv"} and path.is_file():
            content = path.read_bytes()
            if PLACE in content:
                room = str(folder / ROOM).encode()
                path.write_bytes(content.replace(PLACE, room))
    return folder


def try_case(
    border: Border,
    number: int,
    template: Path,
    folder: Path,
    own_files: list[Path] | None = None,
) -> Case:
    """Change a file of a border as a number decides, run a command and judge it.

    Args:
        border: What is tried.
        number: Decides the file, the change and the command; 0 changes nothing.
        template: See :func:`make_template`.
        folder: New, for this case.
        own_files: Real files, of which one may take the place of the good one.
    """
    random = Random(f"{border.name} {number}")
    place_room(template, folder)
    room = folder / ROOM
    command = random.choice(border.commands)
    changes = "nothing"
    if number:
        changes = _change_room(border, room, random, own_files or [])
    expected = border.count(room) if border.count is not None else None
    before = take_snapshot(folder, border.writes)
    kept = list_kept(border, room)
    outcome = run_guarded(
        command.split(),
        room / border.folder,
        folder.with_name(folder.name + "-streams"),
        border.stubbed,
    )
    size = sum(path.stat().st_size for path in room.rglob("*") if path.is_file())
    faults = judge_outcome(outcome, max(LONGEST_ANSWER, 10 * size))
    after = take_snapshot(folder, border.writes)
    faults += compare_snapshots(before, after)
    gone = kept - list_kept(border, room)
    faults += [f"{name} is gone" for name in sorted(gone)]
    read = reported = 0
    answer = _parse_answer(outcome.out)
    if border.tally is not None and answer is not None:
        read, reported = border.tally(answer)
        refused_whole = not read and reported > 0
        few = expected is not None and read + reported < expected
        if few and not refused_whole:
            faults.append(f"of {expected} items {read} read and {reported} reported")
    if outcome.code > 0 and not (outcome.err.strip() or answer):
        faults.append(f"exit code {outcome.code} without a word")
    return Case(
        *(border.name, number, changes, command, outcome, tuple(faults)),
        *(read, reported),
    )


def _change_room(
    border: Border, room: Path, random: Random, own_files: list[Path]
) -> str:
    elsewhere = str(room.with_name(ELSEWHERE) / "kept.txt")
    paths = sorted({path for each in border.changed for path in room.glob(each)})
    path = random.choice(paths)
    is_walked = border.name in WALKED
    same_kind = [own for own in own_files if own.suffix == path.suffix]
    if same_kind and random.random() < 0.5:
        own = random.choice(same_kind)
        shutil.copy(own, path)
        return f"{own}, {mutate_file(path, random, elsewhere, is_walked)}"
    return mutate_file(path, random, elsewhere, is_walked)


def judge_outcome(outcome: Outcome, longest: int = LONGEST_ANSWER) -> list[str]:
    """Say what is wrong with how a command ended and what it printed.

    Args:
        outcome: Of the command.
        longest: The most characters that it may print.
    """
    faults = []
    if outcome.hung:
        faults.append(f"hung, ended after {outcome.seconds:.0f} s")
    elif outcome.code < 0:
        faults.append(f"died by signal {-outcome.code}")
    elif outcome.code not in DOCUMENTED:
        words = re.search(r"internal error: .*", outcome.err)
        faults.append(words.group() if words else f"exit code {outcome.code}")
    if "Traceback (most recent call last)" in outcome.err:
        faults.append("a traceback: " + outcome.err.strip().splitlines()[-1][:200])
    if len(outcome.out) + len(outcome.err) > longest:
        faults.append(f"printed {len(outcome.out) + len(outcome.err):,} characters")
    if "\x1b[31mred" in outcome.err + outcome.out:
        faults.append("an escape sequence of the file reached the terminal")
    if re.search(r"^error: none", outcome.err + outcome.out, re.MULTILINE):
        faults.append("a line of the file stands as one of ours")
    return faults


def take_snapshot(folder: Path, left_out: tuple[str, ...]) -> dict[str, str]:
    """Return what each file, folder and link is, but for those of the room left out."""
    found = {}
    for path in _walk_files(folder):
        name = path.relative_to(folder).as_posix()
        inside = name.removeprefix(f"{ROOM}/")
        if any(inside == out or inside.startswith(f"{out}/") for out in left_out):
            continue
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif stat.S_ISLNK(mode):
            found[name] = f"link to {path.readlink()}"
        else:
            found[name] = "folder" if stat.S_ISDIR(mode) else "other"
    return found


def _walk_files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk_files(path)


def compare_snapshots(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """Say what a command changed of what it should leave alone."""
    faults = []
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            faults.append(f"{name} was removed")
        elif name not in before:
            faults.append(f"{name[:200]!r} was written outside the output")
        elif before[name] != after[name]:
            faults.append(f"{name} was changed")
    return faults


def list_kept(border: Border, room: Path) -> set[str]:
    """Return the files that a command may write anew but never take away."""
    kept = set()
    for pattern in border.keeps:
        kept |= {path.relative_to(room).as_posix() for path in room.glob(pattern)}
    return kept


def _parse_answer(out: str) -> Any:
    try:
        return json.loads(out)
    except (ValueError, RecursionError):
        return None


# What the files hold, and what the answers say of it


def count_label_files(room: Path) -> int:
    return len(list((room / "formats/labelme").glob("*/*.json")))


def count_coco_labels(room: Path) -> int | None:
    content = _read_json(room / "formats/coco/annotations.json")
    if not isinstance(content, dict):
        return None
    labels = content.get("annotations")
    return len(labels) if isinstance(labels, list) else None


def count_records(name: str) -> Count:
    def count(room: Path) -> int | None:
        content = _read_json(room / name)
        return len(content) if isinstance(content, list) else None

    return count


def count_rows(name: str) -> Count:
    def count(room: Path) -> int | None:
        path = room / name
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                return sum(1 for row in csv.DictReader(file) if any(row.values()))
        except (OSError, ValueError, csv.Error, TypeError):
            return None

    return count


def _read_json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None


def tally_conversion(answer: Any) -> tuple[int, int]:
    if "written" not in answer:  # a validation: it says what it found, not in what
        return _tally_validation(answer)
    return answer["written"], sum(answer["problems"].values())


def _tally_validation(answer: Any) -> tuple[int, int]:
    return answer["frames"], len(answer["findings"]) + len(answer["notes"])


def tally_extraction(answer: Any) -> tuple[int, int]:
    return len(answer["done"]) + len(answer["skipped"]), len(answer["failed"])


def tally_quality(answer: Any) -> tuple[int, int]:
    return len(answer["clips"]), len(answer["notes"])


def tally_review(answer: Any) -> tuple[int, int]:
    return (len(answer), 0) if isinstance(answer, list) else (9, 0)


# What version 0.1.0 did not have


def write_lsp(room: Path) -> None:
    import numpy as np
    from scipy.io import savemat

    joints = np.random.default_rng(0).uniform(20, 200, (14, 3, 6))
    joints[:, 2] = 1
    (room / "lsp").mkdir(parents=True)
    savemat(room / "lsp" / "joints.mat", {"joints": joints})


def write_presets(room: Path) -> None:
    from finediving_pose import aqa, extraction, openmmlab

    for part in (aqa, extraction, openmmlab):
        (source,) = part.__path__
        name = part.__name__.rpartition(".")[2]
        shutil.copytree(Path(source) / "presets", room / "presets" / name)


def write_skeletons(room: Path) -> None:
    """Extract with the networks that stand in, so that a rerun has nothing to do."""
    (room / "clips" / "broken.mp4").unlink(missing_ok=True)
    outcome = run_guarded(
        EXTRACT.split(), room, room.with_name("template-streams"), stubbed=True
    )
    assert outcome.code == 0, outcome.err


def write_containers(room: Path) -> None:
    from helpers.recordings import draw_moment, write_recording

    images = [draw_moment(number, 160, 96) for number in range(12)]
    folder = room / "videos" / "Match"
    folder.mkdir(parents=True)
    write_recording(folder / "1.mp4", images)
    write_recording(folder / "2.mkv", images)
    write_recording(folder / "3.avi", images, "mpeg4")
    write_recording(folder / "4.mov", images, turned_left=90)
    (room / "project" / "frames").rename(room / "frames")


EXTRACT = (
    "extract --videos clips --model m --detector d --device cpu --frames 8 "
    "--out out --json"
)
_TO = "--out out --json --images project/frames"
_IMAGES = ("project/frames",)


def _make_label_border(
    name: str, path: str, count: Count | None, pattern: str | None = None
) -> Border:
    """Make the border of a label format: conversions into others, and the checks."""
    targets = [to for to in ("coco", "labelme", "csv", "pyskl") if to != name]
    return Border(
        name,
        needs=(path, *_IMAGES),
        changed=(pattern or path,),
        commands=(
            *(f"convert {path} --to {to} {_TO}" for to in targets),
            f"convert {path} --from {name} --to mpii --split dive {_TO}",
            f"validate {path} --images project/frames --json",
        ),
        count=count,
        tally=tally_conversion,
    )


_BORDERS = [
    _make_label_border(
        "labelme", "formats/labelme", count_label_files, "formats/labelme/*/*.json"
    ),
    _make_label_border("coco", "formats/coco/annotations.json", count_coco_labels),
    _make_label_border(
        "mpii",
        "formats/mpii/annotations.json",
        count_records("formats/mpii/annotations.json"),
    ),
    _make_label_border(
        "fdpose-json",
        "formats/fdpose-json/annotations.json",
        count_records("formats/fdpose-json/annotations.json"),
    ),
    _make_label_border(
        "csv", "formats/csv/annotations.csv", count_rows("formats/csv/annotations.csv")
    ),
    _make_label_border("pyskl", "formats/pyskl/annotations.pkl", None),
    Border(
        "lsp",
        needs=_IMAGES,
        changed=("lsp/joints.mat",),
        commands=(
            "convert lsp/joints.mat --to coco --out out --json",
            "validate lsp/joints.mat --json",
        ),
        prepare=write_lsp,
        tally=tally_conversion,
    ),
    Border(
        "splits",
        needs=("formats/coco", "project/frames", "project/runs/hrnet/first"),
        changed=("formats/coco/splits.json",),
        commands=(
            (
                "eval-hrnet --model project/runs/hrnet/first --data "
                "formats/coco/annotations.json --images project/frames "
                "--splits formats/coco/splits.json --device cpu --json"
            ),
        ),
        slow=True,
    ),
    Border(
        "dives",
        needs=("clips",),
        changed=("clips/dives.csv",),
        commands=(EXTRACT,),
        stubbed=True,
        tally=tally_extraction,
    ),
    Border(
        "finediving",
        needs=("meet/annotations",),
        changed=("meet/annotations/*.pkl",),
        commands=(
            "validate --finediving meet/annotations --json",
            "validate --finediving meet/annotations --floors --json",
            "eval-aqa --floors --data meet/annotations --json",
        ),
    ),
    Border(
        "score-tables",
        needs=("scores",),
        changed=("scores/*",),
        commands=(
            (
                "eval-aqa --pred scores/predicted.csv --true scores/true.csv "
                "--numbers scores/numbers.txt --json"
            ),
        ),
    ),
    Border(
        "skeletons",
        needs=("skeletons/first", "clips"),
        changed=("skeletons/first/Pose/Frames/*.npz",),
        commands=(
            "qc skeletons/first --out out --json",
            "qc skeletons/first --out out --json --videos clips",
            "render Frames/1 --skeletons skeletons/first --videos clips --out out",
        ),
        count=lambda room: 4,
        tally=tally_quality,
    ),
    Border(
        "run-records",
        needs=("skeletons/first", "clips"),
        changed=("skeletons/first/manifest*", "skeletons/first/*.csv"),
        commands=(
            "qc skeletons/first --out out --json",
            "render Frames/1 --skeletons skeletons/first --out out --json",
        ),
    ),
    Border(
        "ledger",
        needs=("clips",),
        changed=("out/manifest.jsonl",),
        commands=(EXTRACT,),
        prepare=write_skeletons,
        stubbed=True,
        count=lambda room: 3,
        tally=tally_extraction,
        keeps=("out/Pose/**/*.npz",),
    ),
    Border(
        "review-log",
        needs=("project/fdpose.yaml", "project/frames", "project/labels"),
        changed=(
            "project/labels/review.jsonl",
            "project/labels/review.jsonl",
            "project/labels/queues/*.json",
            "project/labels/revisions/*/*.json",
            "project/labels/final/*.*",
        ),
        commands=(
            "review list --json",
            "review log --json",
            "status --json",
            "merge --allow-unreviewed --json",
            "validate --json",
        ),
        folder="project",
        writes=(
            *(f"project/labels/{name}" for name in ("final", ".locks", ".removed")),
        ),
    ),
    Border(
        "project",
        needs=("project/fdpose.yaml", "project/frames", "project/labels"),
        changed=("project/fdpose.yaml", "project/frames/*.*"),
        commands=("status --json", "review list --json", "validate --json"),
        folder="project",
    ),
    Border(
        "pose-model",
        needs=("project/runs/hrnet/first", "clips/Frames"),
        changed=("project/runs/hrnet/first/model.*",),
        commands=(
            (
                "extract --videos clips --model project/runs/hrnet/first --detector "
                "synthetic --device cpu --frames 2 --out out --json"
            ),
        ),
        slow=True,
    ),
    Border(
        "detector",
        needs=("project/runs/detector/first", "clips/Frames"),
        changed=("project/runs/detector/first/model.*",),
        commands=(
            (
                "extract --videos clips --detector project/runs/detector/first --model "
                "synthetic --device cpu --frames 2 --out out --json"
            ),
        ),
        slow=True,
    ),
    Border(
        "score-model",
        needs=("models/poses", "meet"),
        changed=(
            "models/poses/model.*",
            "models/poses/exemplars/*",
            "models/poses/*.yaml",
            "models/poses/data/*.json",
        ),
        commands=(
            (
                "eval-aqa --model models/poses --device cpu --json --out out "
                "--data meet/annotations --skeletons meet/skeletons/truth"
            ),
        ),
        slow=True,
    ),
    Border(
        "stopped-run",
        needs=("models/stopped", "meet"),
        changed=("models/stopped/*.*", "models/stopped/data/*"),
        commands=("train-aqa --resume models/stopped --device cpu --json",),
        writes=("models/stopped",),
        slow=True,
    ),
    Border(
        "presets",
        needs=("clips/dives.csv",),
        changed=(
            "presets/extraction/default.yaml",
            "presets/openmmlab/*/tiny.yaml",
            "presets/aqa/tiny.yaml",
        ),
        commands=(
            "extract --preset presets/extraction/default.yaml --show-settings",
            (
                "finetune-hrnet --preset presets/openmmlab/hrnet/tiny.yaml --data "
                "nowhere --out out --device cpu"
            ),
            (
                "finetune-detector --preset presets/openmmlab/detector/tiny.yaml --data "
                "nowhere --out out --device cpu"
            ),
            "train-aqa --preset presets/aqa/tiny.yaml --data nowhere --out out",
        ),
        prepare=write_presets,
    ),
    Border(
        "video",
        needs=("project/fdpose.yaml", "project/frames/manifest.csv"),
        changed=("videos/*/*",),
        commands=(
            (
                "extract --videos ../videos --model m --detector d --device cpu "
                "--frames 8 --out ../out --json"
            ),
            "frames --method uniform --videos ../videos --per-clip 2 --json",
        ),
        prepare=write_containers,
        folder="project",
        writes=("out", "project/frames"),
        stubbed=True,
    ),
]
BORDERS = {border.name: border for border in _BORDERS}
"""Each border by its name."""
