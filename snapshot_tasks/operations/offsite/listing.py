"""What lies off-site, over all places, and which of it is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.system.errors import NotFound, TaskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A snapshot off-site, and every place that has it, the first one first."""

    marker: Marker
    repositories: tuple[Repository, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What lies off-site, newest first, and what could not be asked or read."""

    remotes: tuple[Remote, ...]
    errors: tuple[tuple[str, TaskError], ...]


def list_remote(repositories: Sequence[Repository], collection: str | None = None) -> Listing:
    """Return what lies in these places; one that does not answer stops no other.

    A snapshot that lies in several places is one, if its bytes are the same.
    """
    found: dict[tuple[str, str, str], tuple[Marker, list[Repository]]] = {}
    errors: list[tuple[str, TaskError]] = []
    for repository in repositories:
        try:
            for item in repository.markers(collection):
                if isinstance(item, Unreadable):
                    errors.append((f"{item.key.snapshot} in {repository.url}", item.error))
                    continue
                identity = (item.collection, item.snapshot, item.sha256)
                found.setdefault(identity, (item, []))[1].append(repository)
        except TaskError as error:
            errors.append((repository.url, error))
    remotes = [
        Remote(marker=marker, repositories=tuple(places)) for marker, places in found.values()
    ]
    remotes.sort(key=lambda r: (r.marker.created_at, r.marker.snapshot), reverse=True)
    return Listing(remotes=tuple(remotes), errors=tuple(errors))


def choose(listing: Listing, *, snapshot: str = "") -> list[Remote]:
    """Return the snapshot that is named, or the newest of each collection.

    What a restore replaced is never the newest.

    Raises:
        NotFound: when there is none.
        TaskError: what kept a place from answering, where nothing else is left.
    """
    if snapshot:
        names = (snapshot, f"{snapshot}.snapshot")
        chosen = [r for r in listing.remotes if r.marker.snapshot in names][:1]
    else:
        newest: dict[str, Remote] = {}
        for remote in listing.remotes:
            if not remote.marker.safety:
                newest.setdefault(remote.marker.collection, remote)
        chosen = list(newest.values())
    if chosen:
        return chosen
    if listing.errors:
        raise listing.errors[0][1]
    raise NotFound(
        f"No such snapshot lies off-site{f': {snapshot}' if snapshot else ''}.",
        hint="See `inv snapshot.list --remote`; `inv snapshot.push` puts one there.",
    )
