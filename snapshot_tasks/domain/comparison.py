"""Finds the differences between two descriptions of a collection. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from snapshot_tasks.system.untrusted import printable

# Every difference is reported on one line, however large the value is.
MAX_SHOWN = 200


def differences(expected: Any, actual: Any, *, path: str = "") -> Iterator[str]:
    """Yield one line for each value that is missing, added or changed.

    A key that is null counts as missing, because Qdrant versions differ in which one they write.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in sorted(expected.keys() | actual.keys()):
            shown = printable(str(key), limit=MAX_SHOWN)
            inner = f"{path}.{shown}" if path else shown
            yield from differences(expected.get(key), actual.get(key), path=inner)
    elif _are_rows(expected, actual):
        for index, (first, second) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(first, second, path=f"{path}[{index}]")
    elif not _equal(expected, actual):
        yield f"{path}: expected {_show(expected)}, found {_show(actual)}"


def added_only(expected: Any, actual: Any) -> bool:
    """Return whether `actual` contains all of `expected` and only has additional keys."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(added_only(value, actual.get(key)) for key, value in expected.items())
    return expected is None or _equal(expected, actual)


def kept_only(expected: Any, actual: Any) -> bool:
    """Return whether no value is another one: keys are only missing, or additional."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(kept_only(value, actual.get(key)) for key, value in expected.items())
    return expected is None or actual is None or _equal(expected, actual)


def _are_rows(first: Any, second: Any) -> bool:
    return isinstance(first, list) and isinstance(second, list) and len(first) == len(second)


def _equal(first: Any, second: Any) -> bool:
    """Compare values, treating `True` and 1 as different."""
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _show(value: Any) -> str:
    return "nothing" if value is None else printable(repr(value), limit=MAX_SHOWN)
