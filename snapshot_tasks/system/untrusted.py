"""Text and JSON from elsewhere: safe to show on a terminal, parsed in bounded memory.

Pure: the files are opened by `reading`.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar

# Control characters, invisible marks that reverse or hide text, surrogates, other line ends.
_COMMANDING = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
# A value takes up to a hundred bytes in memory, but can be as short as two bytes in the text.
MAX_JSON_VALUES = 250_000
# The limit of serde_json, which Qdrant reads these documents with.
# Those of orjson when it writes, and of Qdrant when it reads.
MAX_JSON_DEPTH, STRICT_JSON_DEPTH = 255, 128
MAX_NUMBER = 1 << 63
# Colours, moves of the cursor, and titles of the window; Qdrant colours its log.
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])")
_T = TypeVar("_T")
JsonObject = Mapping[str, Any]
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
# A string, or anything between strings and brackets.
_NO_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^][{}"]+|"', re.DOTALL)


def printable(text: str, *, limit: int | None = None) -> str:
    """Return the text as one line that is safe on a terminal, truncated to `limit`."""
    if limit is not None and len(text) > limit:
        text = text[:limit] + "…"
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if is_harmless(c) else _escaped(c) for c in text)


def without_escapes(text: str) -> str:
    """Return a line of a log without colours, and harmless; a tab stays a space."""
    return printable(_ESCAPES.sub("", text).replace("\t", " "))


def sentence(text: str) -> str:
    """Return what another program said last so that a message can end with it: with a full stop."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def is_harmless(character: str) -> bool:
    """Return whether a character is only displayed and has no other effect."""
    return character.isprintable() or unicodedata.category(character) not in _COMMANDING


def parse_json(data: bytes | str, *, strict: bool = False) -> Any:
    """Parse a JSON document; `strict` rejects what Qdrant does: NaN, and deeper nesting.

    Raises:
        ValueError: if it is not valid JSON, nested too deeply, or has too many values.
    """
    import orjson

    text = data.decode("utf-8") if isinstance(data, bytes) else data
    # No shorter text has so many, and counting would take a tenth of the time of a listing.
    if len(text) > MAX_JSON_VALUES and _values(text) > MAX_JSON_VALUES:
        raise ValueError(f"more than {MAX_JSON_VALUES:,} values")
    if strict:
        _check_depth(text, STRICT_JSON_DEPTH)
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return _parse_otherwise(text, strict=strict)
    _refuse_deep(value)
    return value


def _values(text: str) -> int:
    return text.count(",") + text.count("[") + text.count("{")


def _parse_otherwise(text: str, *, strict: bool) -> Any:
    _check_depth(text, MAX_JSON_DEPTH)
    # orjson rejects invalid JSON, NaN and surrogates; Python's parser tells them apart.
    value = json.loads(text, parse_constant=_refuse) if strict else json.loads(text)
    if _HALF.search(text):
        # Only Python accepts a lone surrogate, and then cannot encode it.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def typed(document: Mapping[str, Any], key: str, kind: type[_T]) -> _T:
    """Return an object's value for a key, and check its type and range.

    Raises:
        KeyError: if the key is missing.
        TypeError: if the value has another type.
        ValueError: if it is a number out of range.
    """
    value = document[key]
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{key} is not a {kind.__name__}")
    if isinstance(value, int) and not 0 <= value < MAX_NUMBER:
        raise ValueError(f"{key} is out of range")
    return value


def optional(document: Mapping[str, Any], key: str, kind: type[_T]) -> _T | None:
    """Return the same as `typed`, or None if the key is missing or null."""
    return None if document.get(key) is None else typed(document, key, kind)


def parse_moment(text: str) -> datetime:
    """Parse a time, as UTC. Raises `ValueError` if it is not a time or has no time zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return at.astimezone(UTC)


def finite(value: Any) -> Any:
    """Return the value with null in place of each number that JSON cannot represent."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()


def _refuse_deep(value: Any) -> None:
    """Refuse what is nested too deeply; orjson writes faster than anything else could count."""
    import orjson

    try:
        orjson.dumps(value)
    except TypeError as error:
        raise ValueError("nested too deeply") from error


def _check_depth(text: str, limit: int) -> None:
    depth = 0
    for bracket in _NO_BRACKETS.sub("", text):
        depth += 1 if bracket in "[{" else -1
        if depth >= limit:
            raise ValueError("nested too deeply")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not valid JSON")
