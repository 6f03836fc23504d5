"""What a mistyped word probably meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MAX_SUGGESTIONS = 3


def nearest(word: str, known: Iterable[str]) -> list[str]:
    """Return the known words that are most similar to this one, the most similar first."""
    return get_close_matches(word, list(dict.fromkeys(known)), n=MAX_SUGGESTIONS)


def meant(words: Sequence[str]) -> str:
    """Return the start of a hint that suggests these words; empty if there is none."""
    if not words:
        return ""
    *others, last = words
    return f"Did you mean {', '.join(others)} or {last}? " if others else f"Did you mean {last}? "
