"""Typed settings: presets in YAML, overridden by ``key=value``; an unknown key is
refused with its nearest name."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from finediving_pose.errors import UsageError
from finediving_pose.files import write_text

MAX_YAML_BYTES = 256 * 2**10
MAX_ALIASES = 12
"""What so many can unfold to is hundreds of values, not billions."""


_WHOLE = "whole"
"""Context in which no key is left out."""


class Settings(BaseModel):
    """Base of every settings class: immutable, and no key that is not declared.

    Attributes:
        later_keys: Keys that settings of version 0.1.0 lack, with the values that mean
            what it did. A key with this value is not written, so that files and hashes
            of older runs stay the same: a new key belongs here, and needs that value as
            its default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    later_keys: ClassVar[Mapping[str, Any]] = {}

    @model_serializer(mode="wrap")
    def _leave_out_later_keys(
        self, dump: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        values: dict[str, Any] = dump(self)
        if info.mode == "json" and info.context != _WHOLE:
            for key, unsaid in self.later_keys.items():
                if values[key] == unsaid:
                    del values[key]
        return values

    def list_values(self) -> dict[str, Any]:
        """Return every key with its value in JSON types, later keys too, to be shown.

        ``model_dump(mode="json")`` is what is written and hashed.
        """
        return self.model_dump(mode="json", context=_WHOLE)


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_settings(
    cls: type[SettingsT],
    presets: Path,
    preset: str,
    overrides: Iterable[str] = (),
    base: str = "",
    **given: Any,
) -> SettingsT:
    """Build settings from a preset, overrides and options.

    Args:
        cls: The settings class; its defaults fill what the preset leaves out.
        presets, preset, overrides, base, given: As of :func:`collect_values`.

    Raises:
        UsageError: If the preset, a key or a value is not usable; says which and what
            would be.
    """
    overrides = list(overrides)
    values, origin = collect_values(presets, preset, overrides, base, **given)
    return validate_settings(cls, values, origin, overrides)


def collect_values(
    presets: Path,
    preset: str,
    overrides: Iterable[str] = (),
    base: str = "",
    **given: Any,
) -> tuple[dict[str, Any], str]:
    """Collect the values of a preset, then of ``key=value`` overrides, then of the
    keyword arguments that are not None; later ones win.

    Args:
        presets: A folder of ``<preset>.yaml``.
        preset: The preset's name, several joined by ``+`` of which the later ones win,
            or a path of a YAML file.
        overrides: ``key=value`` texts, the value in YAML (``lr=1e-3``,
            ``sizes=[192,256]``, ``group.key=1``).
        base: The preset that fills what the others leave out, before the class does.
        given: Values of command-line options of their own, by their keys
            (``**{"group.key": 1}`` in a group); None = not given.

    Returns:
        The values, unchecked, and the name of the preset's file for messages about
        them.

    Raises:
        UsageError: If there is no such preset, or a text is no ``key=value``.
    """
    names = [base] if base else []
    if _is_file_name(preset):
        names.append(preset)
    else:
        names += preset.split("+")
    paths = [_find_preset(presets, name) for name in names]
    values: dict[str, Any] = {}
    for path in paths:
        _merge_groups(values, read_yaml(path))
    for text in overrides:
        _apply_override(values, text)
    for key, value in given.items():
        if value is not None:
            _set_key(values, key, value)
    return values, paths[-1].name


def validate_settings(
    cls: type[SettingsT],
    values: Mapping[str, Any],
    origin: str,
    overrides: Iterable[str] = (),
) -> SettingsT:
    """Check values against a settings class.

    Args:
        cls: The settings class; its defaults fill what the values leave out.
        values: By key; groups are mappings.
        origin: Where they come from, for messages.
        overrides: ``key=value`` texts that are among them: what is wrong with one is
            said of the command line.

    Raises:
        UsageError: With one line for each unknown key or unusable value.
    """
    try:
        return cls.model_validate(dict(values))
    except ValidationError as error:
        typed = {text.partition("=")[0].strip(): text for text in overrides}
        lines = []
        for item in error.errors():
            key = ".".join(str(part) for part in item["loc"])
            line = _explain_error(cls, item)
            if key in typed:
                lines.append(f"{typed[key]} (given on the command line): {line}")
            else:
                lines.append(f"{origin}: {line}")
        raise UsageError("; ".join(lines)) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping with the safe loader; an empty file is an empty mapping.

    Raises:
        UsageError: If the file is absent, no YAML, or no mapping.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_YAML_BYTES + 1).decode("utf-8-sig")
        content = parse_yaml(text)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: not readable as YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UsageError(
            f"{path}: expected `key: value` lines, found a {type(content).__name__}"
        )
    return content


def parse_yaml(text: str) -> Any:
    """Parse YAML of types that JSON has, as people write it into settings.

    Raises:
        ValueError: If it is no YAML, longer than :data:`MAX_YAML_BYTES`, nested too
            deep, or has more than :data:`MAX_ALIASES` aliases.
    """
    if len(text) > MAX_YAML_BYTES:
        raise ValueError(f"expected settings of at most {MAX_YAML_BYTES} bytes")
    try:
        content = yaml.load(text, _BoundedLoader)
        json.dumps(content, default=str, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half a character") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    except yaml.MarkedYAMLError as error:
        raise ValueError(_explain_yaml(error)) from None
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    return content


_YAML_CONTEXTS = {
    "while parsing a flow sequence": "a list that begins with [ is not closed by ]",
    "while parsing a flow mapping": "keys that begin with { are not closed by }",
    "while scanning a quoted scalar": "a text that begins with a quote is not closed",
}
_YAML_PROBLEMS = {
    "mapping values are not allowed here": (
        "a colon where none can be; put the text in quotes, or look at the indentation"
    ),
    "found character '\\t' that cannot start any token": (
        "a tab; YAML is indented with spaces"
    ),
}


def _explain_yaml(error: yaml.MarkedYAMLError) -> str:
    """Return what is wrong in a YAML text and in which line, in plain words where the
    parser's are known."""
    mark = error.problem_mark or error.context_mark
    words = _YAML_PROBLEMS.get(error.problem or "")
    if words is None and error.context in _YAML_CONTEXTS:
        words, mark = _YAML_CONTEXTS[error.context], error.context_mark or mark
    if words is None:
        words = ", ".join(filter(None, [error.context, error.problem]))
    return f"line {mark.line + 1}: {words}" if mark else words


class _BoundedLoader(yaml.SafeLoader):
    """Refuses aliases of aliases: each may stand for nine of the one before, so that a
    few lines unfold to gigabytes when they are checked or written."""

    aliases = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                raise yaml.composer.ComposerError(
                    None,
                    None,
                    f"more than {MAX_ALIASES} aliases (*name); write the values out",
                    self.peek_event().start_mark,
                )
        return super().compose_node(parent, index)


def write_settings(path: Path, settings: Settings) -> None:
    """Write settings as YAML, all values by name, in the order they are declared.

    Args:
        path: The file; one that is there is replaced.
        settings: What it is to say.
    """
    values = settings.model_dump(mode="json")
    write_text(path, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


_LISTED_MOST = 12
"""Names that a message lists in full; of more it shows the nearest ones."""

_NEAREST = 5


def find_nearest_name(word: str, known: Iterable[str]) -> str:
    """Find the known word that a user may have meant.

    Args:
        word: What the user wrote.
        known: What would be right.

    Returns:
        The end of a message: `` (did you mean …?)``, or the known words where none is
        like it, the nearest few of many, or nothing where none is known.
    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {close[0]}?)"
    if not names:
        return ""
    if len(names) <= _LISTED_MOST:
        return f" (known: {', '.join(names)})"
    nearest = difflib.get_close_matches(word, names, n=_NEAREST, cutoff=0.0)
    return f" (known: {', '.join(nearest)} and {len(names) - _NEAREST} more)"


def find_nearest_path(path: Path, more: Iterable[str] = ()) -> str:
    """Find what lies beside a path that is not there and is called nearly like it.

    Args:
        path: What the user wrote.
        more: Words that could be meant as well.

    Returns:
        The end of a message: `` (did you mean …?)``, or nothing.
    """
    try:
        beside = [(path.parent / name).as_posix() for name in os.listdir(path.parent)]
    except OSError:
        beside = []
    close = difflib.get_close_matches(path.as_posix(), [*more, *beside], 1, 0.6)
    if not close or close[0] == path.as_posix():
        return ""
    return f" (did you mean {close[0]}?)"


def _is_file_name(preset: str) -> bool:
    return preset.endswith((".yaml", ".yml"))


def _find_preset(presets: Path, preset: str) -> Path:
    if _is_file_name(preset):
        return Path(preset)
    known = [path.stem for path in presets.glob("*.yaml")]
    if preset not in known:
        raise UsageError(
            f"no preset named {preset!r}{find_nearest_name(preset, known)}"
        )
    return presets / f"{preset}.yaml"


def _merge_groups(values: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put `more` into `values`; a group of keys keeps those that `more` leaves out."""
    for key, value in more.items():
        group = values.get(key)
        if isinstance(group, dict) and isinstance(value, Mapping):
            _merge_groups(group, value)
        else:
            values[key] = value


def _apply_override(values: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f"{text!r}: expected key=value")
    try:
        value = parse_yaml(raw)
    except ValueError:
        value = raw
    _set_key(values, key.strip(), value)


def _set_key(values: dict[str, Any], key: str, value: Any) -> None:
    """Set a key, ``group.key`` in a group.

    Raises:
        UsageError: If the group is a single value.
    """
    *groups, last = key.split(".")
    target = values
    for group in groups:
        target = target.setdefault(group, {})
        if not isinstance(target, dict):
            raise UsageError(f"{key}: {group} is a single value, it has no key {last}")
    target[last] = value


def _explain_error(cls: type[BaseModel], item: Any) -> str:
    location = [str(part) for part in item["loc"]]
    key = ".".join(location)
    message = str(item["msg"]).removeprefix("Value error, ")
    if not key:  # keys that do not go together: the message names them
        return message
    found = item.get("input")
    # The same in a group of keys.
    if item["type"] == "value_error" and isinstance(found, dict):
        return f"{key}: {message}"
    if item["type"] != "extra_forbidden":
        return f"{key}: {item['msg']}, found {found!r}"
    return f"unknown key {key}{_suggest_key(cls, location)}"


def _suggest_key(cls: type[BaseModel], location: list[str]) -> str:
    """Suggest the key most like an unknown one: that of its group, or one of that very
    name in another group."""
    *groups, last = location
    for known in _list_keys(cls):
        if known.rpartition(".")[2] == last:
            return f" (did you mean {known}?)"
    fields = cls.model_fields
    for group in groups:
        annotation = fields[group].annotation if group in fields else None
        fields = getattr(annotation, "model_fields", {})
    return find_nearest_name(last, fields)


def _list_keys(cls: type[BaseModel], group: str = "") -> list[str]:
    """Return every key of a settings class, those of groups as ``group.key``."""
    keys = []
    for name, field in cls.model_fields.items():
        keys.append(f"{group}{name}")
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys += _list_keys(kind, f"{group}{name}.")
    return keys
