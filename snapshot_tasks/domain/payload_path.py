"""The values at a path into a payload, by Qdrant's rules: `a`, `a.b`, `a[].b`, `"a.b"`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

EVERY = "[]"
_STEP = re.compile(r'\.?(?:"(?P<quoted>[^"]*)"|(?P<plain>[^."\[\]]+))(?P<arrays>(?:\[\])*)')

Path = tuple[str, ...]
"""The keys of a path; `EVERY` stands for all elements of an array."""


class Unsure(ValueError):
    """It is not known what Qdrant does with such a path or value."""


def parse_path(text: str) -> Path:
    """Return the steps of a path. Raises `Unsure` for forms that are not known here."""
    steps: list[str] = []
    at = 0
    while at < len(text) or not steps:
        found = _STEP.match(text, at)
        if found is None or (found.group().startswith(".") != bool(at)):
            raise Unsure(f"{text!r} is not a path of a known form")
        key = found["quoted"] if found["quoted"] is not None else found["plain"]
        steps += [key, *[EVERY] * (len(found["arrays"]) // len(EVERY))]
        at = found.end()
    return tuple(steps)


def values_at(payload: Any, path: Path) -> list[Any]:
    """Return what the path leads to: nothing, one value, or one for each array element.

    Raises:
        Unsure: if a key is looked up in an array, because versions of Qdrant may differ.
    """
    if len(path) == 1:
        # Nearly every path, and this runs for each point.
        return [payload[path[0]]] if payload and path[0] in payload else []
    return list(_walk(payload or {}, path))


def _walk(value: Any, path: Path) -> Iterator[Any]:
    if not path:
        yield value
        return
    step, rest = path[0], path[1:]
    if step == EVERY:
        for item in value if isinstance(value, list) else ():
            yield from _walk(item, rest)
    elif isinstance(value, dict):
        if step in value:
            yield from _walk(value[step], rest)
    elif isinstance(value, list):
        raise Unsure("a key of an array")
