"""Where two descriptions of a collection differ. Pure: no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any

from snapshot_tasks.system.untrusted import printable

# What differs is told in a line, however large it is.
MAX_SHOWN = 200
_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


class Fit(Enum):
    """Whether a snapshot of one Qdrant version may be restored into another."""

    FITS = "fits"
    UNKNOWN = "unknown"
    TOO_OLD = "server too old"
    TOO_NEW = "server too new"


def version_fit(taken_with: str | None, server: str) -> Fit:
    """Apply Qdrant's rule: the same or the next minor version (qdrant issue 10273)."""
    source, target = _minor(taken_with or ""), _minor(server)
    if source is None or target is None:
        return Fit.UNKNOWN
    if target < source:
        return Fit.TOO_OLD
    fits = target[0] == source[0] and target[1] - source[1] <= 1
    return Fit.FITS if fits else Fit.TOO_NEW


def same_minor(first: str | None, second: str) -> bool:
    """Say whether two versions share their major and minor number."""
    return _minor(first or "") is not None and _minor(first or "") == _minor(second)


def differences(expected: Any, actual: Any, *, path: str = "") -> Iterator[str]:
    """Yield one line for each value that is missing, added or changed.

    A key that is null counts as absent: Qdrant versions differ in which of the two they write.
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
    """Say whether `actual` holds all of `expected` and merely has more keys."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(added_only(value, actual.get(key)) for key, value in expected.items())
    return expected is None or _equal(expected, actual)


def _are_rows(first: Any, second: Any) -> bool:
    return isinstance(first, list) and isinstance(second, list) and len(first) == len(second)


def _equal(first: Any, second: Any) -> bool:
    """Compare without taking `True` for 1."""
    return first == second and isinstance(first, bool) == isinstance(second, bool)


def _minor(version: str) -> tuple[int, int] | None:
    match = _VERSION.match(version)
    return (int(match[1]), int(match[2])) if match else None


def _show(value: Any) -> str:
    return "nothing" if value is None else printable(repr(value), limit=MAX_SHOWN)
