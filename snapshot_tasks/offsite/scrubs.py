"""What verifications of a place have seen: one line for each, in the place itself.

So any machine can go on where another has ended, and `snapshot.check` can tell how long ago
everything was seen. Whoever can write to the place can write lines; they prove nothing to others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from snapshot_tasks.offsite.pack_store import read_object
from snapshot_tasks.storage.base import Store
from snapshot_tasks.system.errors import Damaged, NotFound
from snapshot_tasks.system.untrusted import optional, parse_json, parse_moment, typed

SCRUBS = "scrubs.jsonl"
MAX_LINES = 1000
MAX_SCRUBS_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrub:
    """One verification of a place.

    The names of all objects are seen in order, and a sample goes on after `last`, where the one
    before ended; it is empty if that was at the last object. `round_at` is when the round began
    that it belongs to, and `all_seen_at` when the last round began that saw every object.
    `damaged` are the objects known to be damaged.
    """

    at: datetime
    objects_count: int
    stored_bytes: int
    last: str
    round_at: datetime
    all_seen_at: datetime | None
    damaged: tuple[str, ...] = ()

    def as_line(self) -> str:
        """Return it as one line of JSON."""
        return json.dumps(
            {
                "kind": "scrub",
                "at": self.at.isoformat(),
                "ok": not self.damaged,
                "objects": self.objects_count,
                "stored_bytes": self.stored_bytes,
                "last": self.last,
                "round_at": self.round_at.isoformat(),
                "all_seen_at": self.all_seen_at.isoformat() if self.all_seen_at else None,
                "damaged": list(self.damaged),
            }
        )


def read_scrubs(store: Store) -> list[Scrub]:
    """Return the verifications of a place, the last one last; lines that are no such are left out.

    Raises:
        StorageError: if the store does not respond.
    """
    try:
        text = read_object(store, SCRUBS, MAX_SCRUBS_BYTES).decode("utf-8", "replace")
    except (NotFound, Damaged):
        return []
    return [found for line in text.splitlines() if (found := _parse(line))]


def write_scrubs(store: Store, scrubs: Sequence[Scrub]) -> None:
    """Write the last of these verifications.

    Raises:
        StorageError: if the store does not accept it.
    """
    lines = [scrub.as_line() + "\n" for scrub in scrubs[-MAX_LINES:]]
    store.write(SCRUBS, "".join(lines).encode())


def _parse(line: str) -> Scrub | None:
    try:
        document = parse_json(line, strict=True)
        all_seen_at = optional(document, "all_seen_at", str)
        return Scrub(
            at=parse_moment(typed(document, "at", str)),
            objects_count=typed(document, "objects", int),
            stored_bytes=typed(document, "stored_bytes", int),
            last=typed(document, "last", str),
            round_at=parse_moment(typed(document, "round_at", str)),
            all_seen_at=parse_moment(all_seen_at) if all_seen_at else None,
            damaged=tuple(map(str, typed(document, "damaged", list))),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
