"""How many rounds of endless tests to run: a few always, many with `--full`."""

from __future__ import annotations

import os

import pytest

FULL = bool(os.environ.get("TESTS_FULL"))
only_full = pytest.mark.skipif(not FULL, reason="long: ./inv test --full runs it")


def amount(variable: str, *, quick: int, full: int) -> int:
    """Return how many rounds to run; an environment variable can set another number."""
    return int(os.environ.get(variable) or (full if FULL else quick))
