"""Text and JSON from elsewhere: shown without commanding a terminal, parsed in bounded memory.

Pure: `reading` opens the files.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

# Controls, invisible marks that turn or hide text, halves of characters, other line ends.
_COMMANDING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
# A value takes up to a hundred bytes in memory, and as few as two in the text.
MAX_JSON_VALUES = 250_000
# serde_json, which reads these documents in Qdrant, goes no deeper.
MAX_JSON_DEPTH = 128
MAX_NUMBER = 1 << 63
_T = TypeVar("_T")
JsonObject = Mapping[str, Any]
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_NOT_STRUCTURE = bytes(set(range(256)) - set(b'[]{}"'))
# A string, or what is between strings and brackets.
_NO_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^][{}"]+|"', re.DOTALL)


def printable(text: str, *, limit: int | None = None) -> str:
    """Return the text as one line that does nothing to a terminal, cut where it is longer."""
    if limit is not None and len(text) > limit:
        text = text[:limit] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if is_harmless(c) else _escaped(c) for c in text)


def is_harmless(character: str) -> bool:
    """Say whether a character shows itself and does nothing else."""
    return character.isprintable() or unicodedata.category(character) not in _COMMANDING


def parse_json(data: bytes | str, *, strict: bool = False) -> Any:
    """Return what a JSON document says; `strict` refuses the NaN that Python alone accepts.

    Raises:
        ValueError: for anything that is not JSON, too deep, or of too many values.
    """
    import orjson

    text = data.decode("utf-8") if isinstance(data, bytes) else data
    if text.count(",") + text.count("[") + text.count("{") > MAX_JSON_VALUES:
        raise ValueError(f"more than {MAX_JSON_VALUES:,} values")
    _check_depth(text)
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(text)
    # What it refuses is not JSON, or holds NaN or half a character: Python's parser tells which.
    value = json.loads(text, parse_constant=_refuse) if strict else json.loads(text)
    if _HALF.search(text):
        # Python alone takes half a character, and then cannot write it anywhere.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def typed(document: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    """Return what an object says under a key, which is of that kind and no impossible number.

    Raises:
        KeyError: when it says nothing.
        TypeError: when it is of another kind.
        ValueError: when it is a number out of range.
    """
    value = document[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{key} is not a {kind.__name__}")
    if isinstance(value, int) and not 0 <= value < MAX_NUMBER:
        raise ValueError(f"{key} is out of range")
    return value


def optional(document: Mapping[str, Any], key: str, kind: type[_T]) -> _T | None:
    """Return the same, and None where it says nothing or null."""
    return None if document.get(key) is None else typed(document, key, kind)


def parse_moment(text: str) -> datetime:
    """Return a time in UTC. Raises `ValueError` for anything else, or a time without a zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at.astimezone(UTC)


def finite(value: Any) -> Any:
    """Return the value with null for each number that JSON cannot hold."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()


def _check_depth(text: str) -> None:
    if "\\" not in text:
        # Nothing is escaped: what is neither bracket nor quote can go at once, which is faster.
        text = text.encode(errors="replace").translate(None, _NOT_STRUCTURE).decode()
    depth = 0
    for bracket in _NO_BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        if depth >= MAX_JSON_DEPTH:
            raise ValueError("nested too deeply")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
