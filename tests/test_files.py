from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from finediving_pose import files


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_written_with_its_folder(tmp_path):
    target = tmp_path / "a" / "b" / "text.txt"
    files.write_text(target, "käse\n")
    assert target.read_bytes() == "käse\n".encode()
    assert names(target.parent) == {"text.txt"}


def test_an_exception_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "x.json"
    files.write_text(target, "old")
    with pytest.raises(ZeroDivisionError), files.atomic_path(target) as temporary:
        temporary.write_text(str(1 / len(temporary.read_bytes())))
    assert target.read_text() == "old"
    assert names(tmp_path) == {"x.json"}


@pytest.mark.parametrize("writing", [files.atomic_path, files.atomic_folder])
def test_an_interrupt_amid_a_member_of_an_archive_stays_an_interrupt(tmp_path, writing):
    opened = []

    def write_half():
        with writing(tmp_path / "clip.npz") as temporary:
            path = temporary / "inner" if temporary.is_dir() else temporary
            with zipfile.ZipFile(path, "w") as archive:
                opened.append(archive.open("pred.npy", "w"))
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert names(tmp_path) == set()
    opened[0].close()  # or the collector would, in the middle of whatever test


def test_a_value_error_stays_one(tmp_path):
    with (
        pytest.raises(ValueError, match="no such"),
        files.atomic_path(tmp_path / "x.json"),
    ):
        raise ValueError("no such thing")


def test_the_temporary_file_keeps_the_suffix_and_lies_in_the_same_folder(tmp_path):
    with files.atomic_path(tmp_path / "clip.npz") as temporary:
        assert temporary.suffix == ".npz"
        assert temporary.parent == tmp_path
        assert not (tmp_path / "clip.npz").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_kill_between_writing_and_renaming_leaves_the_old_file(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("old")
    code = (
        "import sys, time; from pathlib import Path; from finediving_pose.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])) as t:\n"
        "    t.write_text('half'); print('written', flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "written"
        process.kill()
    assert target.read_text() == "old"
    files.write_text(
        target, "new"
    )  # what the killed one left behind is in nobody's way
    assert target.read_text() == "new"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_temporaries_of_killed_processes_are_swept_and_no_others(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from finediving_pose.files import atomic_path\n"
        "with atomic_path(Path(sys.argv[1])): print('begun', flush=True); time.sleep(60)"
    )
    target = tmp_path / "m" / "pred_comp_1.npz"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(target)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (temporary,) = target.parent.iterdir()
        assert files.sweep_temporaries(tmp_path) == []  # its process runs
        process.kill()
    (tmp_path / ".own-20240101.npz").touch()  # hidden, yet nothing of ours
    with files.atomic_path(tmp_path / "mine.npz"):
        assert files.sweep_temporaries(tmp_path) == [temporary]
    assert names(target.parent) == set()
    assert names(tmp_path) == {"m", "mine.npz", ".own-20240101.npz"}


def test_a_temporary_of_another_machine_is_swept_after_a_day(tmp_path):
    elsewhere = tmp_path / ".pred_comp_1-00000000-999999999-abcdefgh.npz"
    elsewhere.touch()
    assert files.sweep_temporaries(tmp_path) == []
    long_ago = time.time() - files.ORPHANED_AFTER - 60
    os.utime(elsewhere, (long_ago, long_ago))
    assert files.sweep_temporaries(tmp_path) == [elsewhere]


def test_a_temporary_of_this_machine_before_its_last_start_is_not_told_by_its_process(
    tmp_path, monkeypatch
):
    with files.atomic_path(tmp_path / "x.npz") as temporary:
        monkeypatch.setattr(files, "identify_machine", lambda: "ffffffff")
        monkeypatch.setattr(files, "process_may_run", lambda process: False)
        assert files.sweep_temporaries(tmp_path) == []
        assert temporary.exists()


def test_long_names_leave_room_for_the_temporarys(tmp_path):
    files.write_text(tmp_path / ("x" * 240 + ".txt"), "")
    assert names(tmp_path) == {"x" * 240 + ".txt"}


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
@pytest.mark.parametrize(
    ("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o002, 0o664)]
)
def test_files_get_the_permissions_that_the_umask_grants(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        files.write_text(tmp_path / "x", "")
        assert os.umask(mask) == mask  # looking at the mask must not change it
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == mode


def test_json_is_strict_and_readable(tmp_path):
    files.write_json(tmp_path / "x.json", {"name": "Käse", "values": [1, 2.5, None]})
    text = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert "Käse" in text
    assert text.endswith("}\n")
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "x.json", {"value": float("nan")})
    assert (
        json.loads((tmp_path / "x.json").read_text(encoding="utf-8"))["name"] == "Käse"
    )


def test_json_lines_come_back_in_order(tmp_path):
    path = tmp_path / "log" / "review.jsonl"
    assert files.read_json_lines(path) == []
    for number in range(3):
        files.append_json_line(path, {"number": number, "text": "ein\nzwei ü"})
    assert [line["number"] for line in files.read_json_lines(path)] == [0, 1, 2]
    assert files.read_json_lines(path)[0]["text"] == "ein\nzwei ü"


def test_a_torn_last_line_is_left_out(tmp_path):
    path = tmp_path / "x.jsonl"
    files.append_json_line(path, {"number": 0})
    with path.open("ab") as file:
        file.write('{"number": 1, "text": "ü'.encode()[:-1])  # torn inside a letter
    assert files.read_json_lines(path) == [{"number": 0}]


def test_a_line_after_a_torn_one_is_not_lost(tmp_path, caplog):
    path = tmp_path / "x.jsonl"
    files.append_json_line(path, {"number": 0})
    with path.open("ab") as file:
        file.write(b'{"number": 1, "te')
    files.append_json_line(path, {"number": 2})
    with caplog.at_level("WARNING", "fdpose"):
        assert files.read_json_lines(path) == [{"number": 0}, {"number": 2}]
    assert "line 2 is no JSON" in caplog.text


def test_hashes_tell_content_and_names_apart(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    both = files.sha256_files([tmp_path / "b", tmp_path / "a"], tmp_path)
    assert both == files.sha256_files([tmp_path / "a", tmp_path / "b"], tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")
    assert both != files.sha256_files([tmp_path / "a", tmp_path / "c"], tmp_path)
    assert (
        files.sha256_file(tmp_path / "a")
        == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"
    )


def test_the_hash_of_a_value_does_not_depend_on_the_order_of_keys():
    assert files.sha256_json({"a": 1, "b": [1]}) == files.sha256_json(
        {"b": [1], "a": 1}
    )
    assert files.sha256_json({"a": 1}) != files.sha256_json({"a": 1.5})


def fail_within(target: Path) -> None:
    with files.atomic_folder(target) as folder:
        (folder / "2.txt").write_text("two")
        _ = 1 / 0


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "match" / "3"
    with files.atomic_folder(target) as folder:
        (folder / "1.txt").write_text("one")
        assert not target.exists()
    assert [path.name for path in target.iterdir()] == ["1.txt"]
    with pytest.raises(ZeroDivisionError):
        fail_within(target)
    assert [path.name for path in target.iterdir()] == ["1.txt"]
    assert [path.name for path in target.parent.iterdir()] == ["3"]


def test_a_folder_replaces_the_one_that_was_there(tmp_path):
    for name in ("old", "new"):
        with files.atomic_folder(tmp_path / "x") as folder:
            (folder / name).touch()
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["new"]


@pytest.mark.parametrize("error", [errno.EPERM, errno.ENOTSUP, errno.EROFS])
def test_a_drive_that_keeps_no_permissions_is_written_to(tmp_path, monkeypatch, error):
    def refused(*arguments, **options):
        raise OSError(error, "refused")

    monkeypatch.setattr(os, "chmod", refused)
    files.write_text(tmp_path / "a.txt", "kept")
    with files.atomic_folder(tmp_path / "folder") as folder:
        (folder / "b.txt").write_text("kept")
    assert (tmp_path / "a.txt").read_text() == "kept"
    assert (tmp_path / "folder" / "b.txt").read_text() == "kept"
    assert names(tmp_path) == {"a.txt", "folder"}


def test_a_drive_that_cannot_flush_is_written_to_but_a_full_one_is_told(
    tmp_path, monkeypatch
):
    def refusing(error):
        def refused(handle):
            raise OSError(error, "refused")

        return refused

    monkeypatch.setattr(os, "fsync", refusing(errno.EINVAL))
    files.write_text(tmp_path / "a.txt", "kept")
    assert (tmp_path / "a.txt").read_text() == "kept"
    monkeypatch.setattr(os, "fsync", refusing(errno.ENOSPC))
    with pytest.raises(OSError, match="refused"):
        files.write_text(tmp_path / "a.txt", "new")
    assert (tmp_path / "a.txt").read_text() == "kept"


def test_whoever_writes_next_removes_what_a_killed_process_left(tmp_path):
    code = (
        "import os; from pathlib import Path; from finediving_pose import files\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "with files.atomic_path(folder / 'a.txt'), files.atomic_folder(folder / 'b'):\n"
        "    os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert len(names(tmp_path)) == 2
    files.write_text(tmp_path / "c.txt", "")
    assert names(tmp_path) == {"c.txt"}


@pytest.mark.parametrize("text", ["[" * 100_000, "[" * 150 + "]" * 150, '{"a":' * 500])
def test_json_that_is_nested_without_end_is_no_json(text):
    with pytest.raises(ValueError, match=r"nested more than 100 deep|Expecting"):
        files.parse_json(text)


def test_json_of_known_formats_is_parsed_however_long():
    assert files.parse_json("[" * 90 + "]" * 90)
    assert files.parse_json('{"a": [1, {"b": null}]}') == {"a": [1, {"b": None}]}


def test_a_nested_line_of_a_log_costs_itself_alone(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        '{"a": 1}\n' + "[" * 900 + "]" * 900 + '\n{"a": 2}\n'
    )
    assert files.read_json_lines(tmp_path / "log.jsonl") == [{"a": 1}, {"a": 2}]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such files")
def test_a_device_or_a_pipe_is_no_file_to_read(tmp_path):
    (tmp_path / "endless.json").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("endless.json", "pipe.json"):
        with pytest.raises(OSError, match="a pipe or a device, expected a file"):
            files.read_content(tmp_path / name)


def test_what_is_read_whole_has_a_bound(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a\r\nb\rc")
    assert files.read_content(tmp_path / "a.txt", most=6) == b"a\r\nb\rc"
    assert files.read_text(tmp_path / "a.txt") == "a\nb\nc"
    with pytest.raises(OSError, match="more than 0 MB"):
        files.read_content(tmp_path / "a.txt", most=5)


def test_links_are_followed_once_and_system_folders_left_out(tmp_path):
    root = tmp_path / "labels"
    for name in ("own", "@eaDir", "#recycle", "lost+found", ".Trash-1000", ".hidden"):
        (root / name).mkdir(parents=True)
        (root / name / "1.json").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "2.json").touch()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "own" / "loop").symlink_to(root)
    found = [(place.name, names) for place, names in files.walk_folders(root)]
    assert found == [("labels", []), ("linked", ["2.json"]), ("own", ["1.json"])]
