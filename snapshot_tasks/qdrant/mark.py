"""Identifies our server snapshot by the list before the request and by the server's time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from snapshot_tasks.domain.collection import ServerSnapshot

STARTS_WITHIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMark:
    """The server snapshots that a collection already had, and when (by the server's clock)."""

    before: tuple[str, ...]
    since: datetime

    def made_among(
        self, snapshots: Sequence[ServerSnapshot], *, alone: bool = False
    ) -> ServerSnapshot | None:
        """Return the first snapshot created right after the mark; later ones are not ours.

        With `alone`, return it only if it is the only one.

        Qdrant names a snapshot after the second in which it started to create it.
        """
        earliest = self.since - timedelta(seconds=1)
        latest = self.since + timedelta(seconds=STARTS_WITHIN_SECONDS)
        made = [
            (at, snapshot)
            for snapshot in snapshots
            if snapshot.name not in self.before
            and (at := _made_at(snapshot.name))
            and earliest <= at <= latest
        ]
        if alone and len(made) > 1:
            return None
        return min(made, key=lambda pair: pair[0], default=(None, None))[1]

    def only_new_among(self, snapshots: Sequence[ServerSnapshot]) -> ServerSnapshot | None:
        """Return the only snapshot since the mark, whatever the clocks say; it need not be ours."""
        new = [snapshot for snapshot in snapshots if snapshot.name not in self.before]
        return new[0] if len(new) == 1 else None

    def as_json(self) -> dict[str, Any]:
        """Return the mark for a journal."""
        return {"before": list(self.before), "since": self.since.isoformat()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> SnapshotMark:
        """Return the mark that `as_json` wrote. Raises KeyError, TypeError or ValueError."""
        since = datetime.fromisoformat(document["since"])
        if since.tzinfo is None or not 2000 < since.year < 9000:
            raise ValueError(f"{since} is not a valid server time")
        return cls(before=tuple(map(str, document["before"])), since=since)


def date_of(response: httpx.Response) -> datetime:
    """Return the server's time, to the second; our own if something removed the header."""
    try:
        return parsedate_to_datetime(response.headers.get_list("date")[0]).replace(tzinfo=UTC)
    except (IndexError, ValueError):
        return datetime.now(UTC)


def _made_at(name: str) -> datetime | None:
    found = re.search(r"-(\d{4}(?:-\d\d){5})\.snapshot$", name)
    return datetime.strptime(f"{found[1]}+0000", "%Y-%m-%d-%H-%M-%S%z") if found else None
