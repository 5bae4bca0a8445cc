"""Mutations of files: bits and bytes of any, and values of those whose structure is
known. All chance comes from the generator that is given, so that a number repeats a
case."""

from __future__ import annotations

import copy
import csv
import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import yaml

DEEP, DIGITS = "@deep@", "@digits@"
"""Stand for what Python's own writers refuse: lists in lists in lists, and an integer
of 5,000 digits."""

Mutate = Callable[[bytes, Random], bytes]
Spot = tuple[Any, Any]
"""A list or dict, and the place or key in it."""


def list_evil_values(elsewhere: str) -> list[Any]:
    """Return values that no writer of ours would write.

    Args:
        elsewhere: A path outside all that a command may write.
    """
    return [
        *(None, True, False, [], {}, "", " ", "..", ".", "/", "~", "x", "\0", "a\nb"),
        *(-1, 0, 1, 2**31, 2**63, -(2**64), 1e308, -1e38, 0.5, 1e-320),
        *(float("nan"), float("inf"), float("-inf")),
        *("nan", "1", "-3", "1e999", "²", "٣", "true", "0x10", "1_000"),
        *(elsewhere, "../../elsewhere/kept.txt", "..\\..\\x", "C:\\x", "/dev/zero"),
        *("\ud800", "é", "e\u0301", "\u202eabc", "\x1b[31mred\r\nerror: none"),
        *("x" * 300, "é" * 150, "y" * 100_000, "=1+1", "<script>", "%s{0}"),
        *(DEEP, DIGITS, [[[[[]]]]], [None] * 40, {"": {"": None}}, 10**12),
    ]


def walk_spots(value: Any) -> Iterator[Spot]:
    """Yield each place of a nested value at which something stands."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict):
            keys: list[Any] = list(here)
        elif isinstance(here, list):
            keys = list(range(len(here)))
        else:
            continue
        for key in keys:
            yield here, key
            waiting.append(here[key])


def mutate_value(value: Any, random: Random, elsewhere: str) -> Any:
    """Return a nested value with one to three of its places changed."""
    value = copy.deepcopy(value)
    evil = list_evil_values(elsewhere)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        spots = list(walk_spots(value))
        if not spots or random.random() < 0.02:
            return random.choice(evil)
        owner, key = random.choice(spots)
        _change_spot(owner, key, random, evil)
    return value


def _change_spot(owner: Any, key: Any, random: Random, evil: list[Any]) -> None:
    old = owner[key]
    way = random.random()
    if way < 0.6:
        owner[key] = random.choice(evil)
    elif way < 0.7:
        del owner[key]
    elif way < 0.8 and isinstance(owner, list):
        owner.insert(key, copy.deepcopy(old))
    elif way < 0.85 and isinstance(owner, dict):
        owner[str(random.choice(evil))[:400]] = old
    elif way < 0.9:
        owner[key] = [old]
    elif way < 0.95:
        owner[key] = str(old)
    elif isinstance(old, int | float):
        owner[key] = old * random.choice([-1, 1e6, 1e30, 0])
    else:
        owner[key] = {"0": old}


def _replace_stand_ins(text: str) -> str:
    depth = 100_000
    text = text.replace(f'"{DEEP}"', "[" * depth + "]" * depth)
    return text.replace(f'"{DIGITS}"', "9" * 5_000)


def mutate_json(data: bytes, random: Random, elsewhere: str) -> bytes:
    """Return a JSON file with some values changed."""
    value = mutate_value(json.loads(data), random, elsewhere)
    return _replace_stand_ins(json.dumps(value)).encode()


def mutate_json_lines(data: bytes, random: Random, elsewhere: str) -> bytes:
    """Return a file of JSON lines with a line changed, doubled, moved or away."""
    lines = data.splitlines(keepends=True)
    place = random.randrange(len(lines))
    way = random.random()
    if way < 0.7:
        lines[place] = mutate_json(lines[place], random, elsewhere) + b"\n"
    elif way < 0.8:
        lines.insert(random.randrange(len(lines)), lines[place])
    elif way < 0.9:
        del lines[place]
    else:
        lines[place] = lines[place][: random.randrange(len(lines[place]))]
    return b"".join(lines)


def mutate_yaml(data: bytes, random: Random, elsewhere: str) -> bytes:
    """Return a YAML file with values changed, or one that asks for too much."""
    way = random.random()
    if way < 0.05:
        return _write_alias_bomb()
    if way < 0.1:
        return data + b"\nextra: !!python/object/apply:os.system ['touch pwned']\n"
    if way < 0.15:
        return data + data
    value = mutate_value(yaml.safe_load(data), random, elsewhere)
    return _replace_stand_ins(json.dumps(value, indent=1)).encode()


def _write_alias_bomb() -> bytes:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(1, 10):
        inner = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} [{inner}]")
    return "\n".join(lines).encode()


def mutate_csv(data: bytes, random: Random, elsewhere: str) -> bytes:
    """Return a CSV file with cells, rows or columns changed."""
    rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"))))
    texts = [str(value) for value in list_evil_values(elsewhere)] + ["z" * 200_000]
    for _ in range(random.choice([1, 1, 2])):
        row = random.choice(rows)
        way = random.random()
        if way < 0.7 and row:
            row[random.randrange(len(row))] = random.choice(texts)
        elif way < 0.8:
            rows.insert(random.randrange(len(rows)), list(row))
        elif way < 0.85 and len(rows) > 1:
            rows.remove(row)
        elif way < 0.9:
            row.append(random.choice(texts))
        elif row:
            place = random.randrange(len(row))
            for each in rows:
                del each[place : place + 1]
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def mutate_array(array: Any, random: Random) -> Any:
    """Return an array with other values, another type or another shape."""
    array = np.array(array)
    ways: list[Callable[[], Any]] = [
        lambda: array[: len(array) // 2] if array.ndim else array,
        lambda: np.repeat(array, 2, axis=0) if array.ndim else array,
        lambda: array[None],
        lambda: array.reshape(-1),
        lambda: array.astype(str),
        lambda: array.astype(object),
        lambda: np.zeros((0, *array.shape[1:]), array.dtype),
        lambda: np.full(array.shape, np.nan),
        lambda: np.full(array.shape, random.choice([1e38, -1e38, np.inf, 1e5])),
        lambda: np.full(array.shape, random.choice([2**62, -1, 0, 255])),
        lambda: np.array(random.choice([None, "x", 1, 1j, b"\xff"])),
        lambda: array.astype(random.choice(["c16", "f2", "u1", "M8[s]", "?", "i8"])),
    ]
    try:
        with np.errstate(all="ignore"):
            return random.choice(ways)()
    except (ValueError, TypeError, OverflowError):  # no such change of this array
        return np.zeros((3, 1))


def mutate_pickle(data: bytes, random: Random, elsewhere: str) -> bytes:
    """Return a pickle of ours with values or arrays changed, of any protocol."""
    value = copy.deepcopy(pickle.loads(data))
    arrays = [spot for spot in walk_spots(value) if _is_array(spot)]
    if arrays and random.random() < 0.5:
        owner, key = random.choice(arrays)
        owner[key] = mutate_array(owner[key], random)
    else:
        value = mutate_value(value, random, elsewhere)
    return pickle.dumps(value, protocol=random.randrange(6))


def _is_array(spot: Spot) -> bool:
    owner, key = spot
    return isinstance(owner[key], np.ndarray)


def mutate_npz(data: bytes, random: Random, elsewhere: str) -> bytes:
    """Return an archive of arrays with one changed, away, or of a false header."""
    with np.load(io.BytesIO(data)) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = random.choice(list(arrays))
    way = random.random()
    if "meta" in arrays and way < 0.4:
        meta = mutate_json(str(arrays["meta"]).encode(), random, elsewhere)
        arrays["meta"] = np.array(meta.decode())
    elif way < 0.75:
        arrays[name] = mutate_array(arrays[name], random)
    else:
        del arrays[name]
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    if way > 0.85:
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}.npy", _write_false_header(random))
    return out.getvalue()


def _write_false_header(random: Random) -> bytes:
    """Write the head of an array that says it is larger than it is."""
    shape = random.choice(["(10000000000, 16, 2)", "(-1,)", "(3,)", f"({'9' * 60},)"])
    kind = random.choice(["<f4", "|O", "<U99999999", "<c16"])
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    head = head.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode()


def mutate_safetensors(data: bytes, random: Random, elsewhere: str) -> bytes:
    """Return weights whose header has some values changed."""
    (size,) = struct.unpack("<Q", data[:8])
    header = mutate_json(data[8 : 8 + size], random, elsewhere)
    said = random.choice([len(header)] * 8 + [2**62, 0])
    return struct.pack("<Q", said) + header + data[8 + size :]


def mutate_bytes(data: bytes, random: Random, elsewhere: str = "") -> bytes:
    """Return any file with bits flipped, a chunk changed, doubled or away, or cut."""
    content = bytearray(data)
    for _ in range(random.choice([1, 1, 2, 8])):
        if not content:
            break
        start = random.randrange(len(content))
        # Headers decide most, and in large files they are hardly ever hit by chance.
        if random.random() < 0.4:
            start = random.randrange(min(len(content), 256))
        end = start + random.choice([1, 4, 64, 4096])
        way = random.randrange(7)
        if way <= 1:
            content[start] ^= 1 << random.randrange(8)
        elif way == 2:
            content[start:end] = random.randbytes(len(content[start:end]))
        elif way == 3:
            content[start:start] = content[start:end]
        elif way == 4:
            del content[start:end]
        elif way == 5:
            content[start:end] = b"\0" * len(content[start:end])
        else:
            del content[start:]
    return bytes(content)


BY_SUFFIX: dict[str, Callable[[bytes, Random, str], bytes]] = {
    ".json": mutate_json,
    ".jsonl": mutate_json_lines,
    ".yaml": mutate_yaml,
    ".csv": mutate_csv,
    ".pkl": mutate_pickle,
    ".npz": mutate_npz,
    ".safetensors": mutate_safetensors,
}


def mutate_file(
    path: Path, random: Random, elsewhere: str, is_walked: bool = False
) -> str:
    """Change a file, or put something else where it stood; return what was done.

    Args:
        path: The file; its suffix says how its structure is known.
        random: Decides everything.
        elsewhere: A path outside all that a command may write.
        is_walked: Whether the command finds the file in a folder: who names a pipe
            wants it waited for, who has one among other files does not.
    """
    data = path.read_bytes()
    way = random.random()
    if way < 0.06:
        return _replace_file(path, random, is_walked)
    mutate = BY_SUFFIX.get(path.suffix.lower())
    if mutate is None or way < 0.35:
        path.write_bytes(mutate_bytes(data, random))
        return f"{path.name}: bytes"
    try:
        path.write_bytes(mutate(data, random, elsewhere))
    except (ValueError, RecursionError, UnicodeError, yaml.YAMLError, KeyError):
        # A real file that is not what its suffix says has no structure to change.
        path.write_bytes(mutate_bytes(data, random))
        return f"{path.name}: bytes"
    return f"{path.name}: values"


def _replace_file(path: Path, random: Random, is_walked: bool) -> str:
    path.unlink()
    ways = ["empty", "folder", "no target", "endless", "itself"]
    if is_walked:
        ways.append("pipe")
    way = random.choice(ways)
    if way == "empty":
        path.write_bytes(b"")
    elif way == "folder":
        path.mkdir()
    elif way == "no target":
        path.symlink_to("nowhere")
    elif way == "endless":
        path.symlink_to("/dev/zero")
    elif way == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path.name)
    return f"{path.name}: {way}"
