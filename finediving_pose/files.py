"""Files written whole or not at all, read back safely, and known by their hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import math
import os
import platform
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from finediving_pose.errors import DataError

_MOST_DIGITS = 4000

DEEPEST = 100
"""Levels of lists and objects in JSON; none of a known format has a tenth."""

ORPHANED_AFTER = 24 * 3600.0
"""Seconds after which a temporary file of another machine, whose processes we cannot
see, has surely no owner."""


_TEMPORARY = re.compile(r"\..*-([0-9a-f]{8})-(\d+)-[a-z0-9_]{8}(\.[^.]*)?")


log = logging.getLogger("fdpose")


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path in `target`'s folder; rename it to `target` when the block
    ends well.

    After an error the temporary file is removed and `target` is as it was. The data is
    flushed to the disk before the rename, so that a power cut leaves the old file or
    the new one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(target.parent)
    handle, name = tempfile.mkstemp(
        prefix=_temporary_prefix(target.stem), suffix=target.suffix, dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        with _interrupt_first():
            yield temporary
        with temporary.open("rb+") as written:
            _flush(written)
        _wish_mode(temporary, 0o666)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def sweep_temporaries(folder: Path) -> list[Path]:
    """Remove, in `folder` and below, the temporary files of :func:`atomic_path` whose
    process was killed.

    Those of a process that may still write stay: one that runs on this machine, or one
    of another machine (of another container, or before this machine's last start) as
    long as the file is younger than :data:`ORPHANED_AFTER`.

    Returns:
        What was removed.
    """
    removed = []
    for place, _, _ in os.walk(folder):
        removed += _sweep_folder(Path(place))
    return removed


_swept: set[Path] = set()


def _sweep_once(folder: Path) -> None:
    """Remove from a folder, before this process first writes to it, what killed ones
    left."""
    if folder in _swept:
        return
    _swept.add(folder)
    for path in _sweep_folder(folder):
        log.debug("removed %s, which a killed process left", path)


def _sweep_folder(folder: Path) -> list[Path]:
    removed = []
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            path = folder / entry.name
            if not _TEMPORARY.fullmatch(entry.name) or not _is_orphan(path):
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)  # a process beside this one may sweep too
            removed.append(path)
    return removed


def _flush(file: BinaryIO) -> None:
    """Have a file written to the disk, where its drive can say that it did."""
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise


def _wish_mode(path: Path, mode: int) -> None:
    """Open a temporary file to those whom the umask lets in.

    That is a wish: shares of other systems and memory cards keep no permissions.
    """
    try:
        path.chmod(mode & ~_umask())
    except OSError as error:
        log.debug("%s: keeps its permissions: %s", path, error)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; it takes `target`'s place, with all its
    files, when the block ends well.

    After an error it is removed and `target` is as it was. For many small files that
    make sense together only: the files are not flushed one by one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep_once(target.parent)
    prefix = _temporary_prefix(target.name)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        with _interrupt_first():
            yield temporary
        _wish_mode(temporary, 0o777)
        if target.exists():
            shutil.rmtree(target)
        temporary.replace(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(target: Path, text: str) -> None:
    """Write UTF-8 text atomically, with ``\\n`` line ends on every system.

    A name of a file that is not UTF-8 stands there as :func:`escape_name` shows it.

    Args:
        target: The file; one that is there is replaced.
        text: Its new content.
    """
    write_bytes(target, escape_name(text).encode("utf-8"))


def escape_name(text: str) -> str:
    """Return text with the bytes of file names that are not UTF-8 as ``\\xfc``."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        try:
            content = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # half of a character, as JSON may hold
            content = text.encode("utf-8", "backslashreplace")
        return content.decode("utf-8", "backslashreplace")
    return text


def shorten_name(name: str, most: int = 200) -> str:
    """Return a file's name, without suffix, of at most so many bytes.

    What is cut off is told apart by a hash; 255 bytes is the most that drives take.

    Args:
        name: Without slashes.
        most: Bytes of the result.
    """
    content = os.fsencode(name)
    if len(content) <= most:
        return name
    digest = hashlib.sha256(content).hexdigest()[:12]
    return content[: most - 13].decode("utf-8", "ignore") + "_" + digest


def write_bytes(target: Path, content: bytes) -> None:
    """Write bytes atomically.

    Args:
        target: The file; one that is there is replaced.
        content: Its new content.
    """
    with atomic_path(target) as temporary:
        temporary.write_bytes(content)


def write_json(target: Path, value: Any, indent: int | None = 2) -> None:
    """Write strict JSON atomically.

    A name of a file that is not UTF-8 is escaped so that reading gives the same name.

    Args:
        target: The file; one that is there is replaced.
        value: Of JSON types.
        indent: Spaces by which a level is moved in; None = all on one line.

    Raises:
        ValueError: If `value` holds NaN or infinity, which JSON does not have.
    """
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(target, text.encode("utf-8", "backslashreplace"))


SYSTEM_FOLDERS = (
    "@eadir",
    "#recycle",
    "#snapshot",
    "lost+found",
    "__macosx",
    "$recycle.bin",
    "system volume information",
)
"""Folders, in lower case, that network drives and systems lay beside people's own:
thumbnails, bins and lost files, with names like those of real ones."""

_TRASH = ".trash"  # with a number after it on Linux


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is a system's own, not a user's."""
    lower = name.lower()
    return lower in SYSTEM_FOLDERS or lower.startswith(_TRASH)


def is_own_folder(name: str) -> bool:
    """Whether a folder of this name is neither hidden nor a system's."""
    return not name.startswith(".") and not is_system_folder(name)


def walk_folders(
    root: Path,
    may_enter: Callable[[str], bool] = is_own_folder,
    may_list: Callable[[Sequence[str]], bool] | None = None,
    refuse: Callable[[OSError], None] | None = None,
) -> Iterator[tuple[Path, list[str]]]:
    """Walk a folder of a user's: links are followed, each folder is entered once, and
    hidden and system folders are left out.

    Args:
        root: Where to begin.
        may_enter: Whether a folder of this name is entered.
        may_list: Whether a folder with files of these names counts; one that does not
            is left out with all below it. None = every folder.
        refuse: Told of a folder that cannot be listed; None = raise the error.

    Yields:
        Each folder, and the names of its files, both in sorted order.

    Raises:
        OSError: If a folder cannot be listed and nobody is told.
    """

    def raise_error(error: OSError) -> None:
        raise error

    seen: set[str] = set()
    walk = os.walk(root, onerror=refuse or raise_error, followlinks=True)
    for name, folders, names in walk:
        real = os.path.realpath(name)
        if real in seen or (may_list is not None and not may_list(names)):
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(filter(may_enter, folders))
        yield Path(name), sorted(names)


LARGEST = 512 * 2**20
"""Bytes of the largest file that is read whole."""


def read_content(path: Path, most: int = LARGEST) -> bytes:
    """Read a whole file that somebody else may have named.

    A pipe would be waited for, and a device has no end: neither is a file.

    Args:
        path: The file.
        most: The most bytes that are read.

    Raises:
        OSError: If it cannot be read, is no file, or has more bytes.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EINVAL, "a pipe or a device, expected a file", str(path))
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        reason = f"more than {most / 2**20:.0f} MB, which is no such file"
        raise OSError(errno.EFBIG, reason, str(path))
    return content


def read_text(path: Path, encoding: str = "utf-8") -> str:
    """Read a whole text file as :func:`read_content` does, line ends as ``\\n``.

    Args:
        path: The file.
        encoding: Its encoding.

    Raises:
        OSError: As :func:`read_content`.
        UnicodeDecodeError: If it is not in this encoding.
    """
    text = read_content(path).decode(encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parse_json(text: str | bytes, long_numbers: bool = False) -> Any:
    """Parse JSON that is not nested so deep that it could not be written or compared.

    Args:
        text: The JSON.
        long_numbers: Take numbers of more digits than Python turns for infinity: of a
            file of many items they must not cost the others.

    Raises:
        ValueError: If it is no JSON, or nested more than :data:`DEEPEST` deep.
    """
    try:
        try:
            value = json.loads(text)
        except ValueError as error:
            if isinstance(error, json.JSONDecodeError) or not long_numbers:
                raise
            value = json.loads(text, parse_int=_parse_int)
    except RecursionError:
        raise ValueError(f"nested more than {DEEPEST} deep") from None
    level = [value]
    for _ in range(DEEPEST):
        inside: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                inside += each.values()
            elif isinstance(each, list):
                inside += each
        if not inside:
            return value
        level = inside
    raise ValueError(f"nested more than {DEEPEST} deep")


def _parse_int(digits: str) -> int | float:
    """Return a whole number; infinity for one of so many digits that Python refuses to
    turn it."""
    return int(digits) if len(digits) < _MOST_DIGITS else math.inf


def append_json_line(target: Path, value: Any) -> None:
    """Append one line of JSON and flush it to the disk; a reader sees all of the line
    or none.

    A line that a crash cut off is ended first, so that it does not swallow this one.

    Args:
        target: The file; made where it is absent.
        value: Of JSON types.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"
    content = line.encode("utf-8", "backslashreplace")  # as write_json does
    with target.open("ab+") as file:
        file.write((b"\n" if _ends_within_a_line(file) else b"") + content)
        file.flush()
        os.fsync(file.fileno())


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSON-lines file; a line that a crash cut off is left out, with a warning
    if others follow it.

    What comes after the last newline was never finished. An absent file is empty.

    Raises:
        DataError: If something else than a file is there, such as a device without end.
    """
    if not path.exists():
        return []
    if not path.is_file():
        raise DataError(f"{path}: not a file")
    records = []
    for number, line in enumerate(read_content(path).split(b"\n")[:-1], start=1):
        try:
            if line.strip():
                records.append(parse_json(line))
        except ValueError:
            log.warning(
                "%s: line %d is no JSON, as if cut off while it was written; left out",
                path,
                number,
            )
    return records


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_files(paths: Iterable[Path], root: Path) -> str:
    """Return one SHA-256 over several files: their paths and their contents, in sorted
    order.

    Args:
        paths: The files.
        root: The folder that the paths are told below, so that it may be moved.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        line = f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def sha256_json(value: Any) -> str:
    """Return the SHA-256 of a value of JSON types, independent of the order of its
    keys."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, ensure_ascii=True).encode()
    ).hexdigest()


@contextmanager
def _interrupt_first() -> Iterator[None]:
    """Raise an interrupt that fell into a write, where a library's cleaning up put an
    error of its own before it.

    :mod:`zipfile` refuses to close an archive amid a member: Ctrl-C would come out as a
    ValueError, a failure.
    """
    try:
        yield
    except ValueError as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise error.__context__ from None
        raise


def _temporary_prefix(stem: str) -> str:
    """Return how a temporary file's name begins: hidden, whose it is, and short enough
    to get a suffix."""
    return f".{stem[:50]}-{identify_machine()}-{os.getpid()}-"


@cache
def identify_machine() -> str:
    """Return 8 hex digits that machines and containers share only if they see the same
    processes."""
    try:
        seen = [
            Path("/proc/sys/kernel/random/boot_id").read_text(),
            os.readlink("/proc/self/ns/pid"),
        ]
    except OSError:  # not Linux: the name has to do
        seen = []
    return hashlib.sha256("\n".join([platform.node(), *seen]).encode()).hexdigest()[:8]


def _is_orphan(path: Path) -> bool:
    match = _TEMPORARY.fullmatch(path.name)
    try:
        return match is not None and (
            time.time() - path.stat().st_mtime > ORPHANED_AFTER
            or (match[1] == identify_machine() and not process_may_run(int(match[2])))
        )
    except FileNotFoundError:  # renamed or swept meanwhile
        return False


def process_may_run(process: int) -> bool:
    """Whether a process of this machine may exist; True where the system cannot be
    asked without harm."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _ends_within_a_line(file: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
