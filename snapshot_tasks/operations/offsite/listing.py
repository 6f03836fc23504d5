"""Lists the copies in all off-site places, and chooses among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snapshot_tasks.domain.failure import Failure, joined
from snapshot_tasks.offsite.layout import Key
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.needs import only_bytes
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.operations.batch import for_each
from snapshot_tasks.system.errors import NotFound, TaskError

CORRECT_URL = "Correct QDRANT_OFFSITE_URL or `--from`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """A snapshot off-site, and every place that has it, in the order of the places.

    `only_bytes` is what only it needs of the first of them; None if that is not known.
    """

    marker: Marker
    repositories: tuple[Repository, ...]
    only_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The snapshots off-site, newest first; and each place or marker that could not be read.

    `misplaced` has a sentence for each empty place near which there are snapshots.
    """

    remotes: tuple[Remote, ...]
    failures: tuple[Failure, ...]
    misplaced: tuple[str, ...] = ()

    @property
    def error(self) -> TaskError | None:
        """One error with every failure, if there is any."""
        return joined(self.failures)


def list_remote(
    repositories: Sequence[Repository], collection: str | None = None, *, needs: bool = False
) -> Listing:
    """Return the snapshots in these places; a place that does not respond does not stop the others.

    The same bytes in several places count as one snapshot. With `needs`, it is found out what only
    one snapshot needs, and the markers of all collections are read for that.
    """
    only: dict[str, Mapping[Key, int]] = {}
    found: dict[tuple[str, str, str], tuple[Marker, list[Repository]]] = {}
    unreadable: list[Failure] = []
    misplaced: list[str] = []

    def read(repository: Repository) -> None:
        # Snapshots that were read before a place failed count; a pull may need no others.
        is_empty, items = True, []
        for item in repository.markers(None if needs else collection):
            items.append(item)
            if collection not in (None, item.key.collection):
                continue
            is_empty = False
            if isinstance(item, Unreadable):
                name = f"{item.key.snapshot} in {repository.url}"
                unreadable.append(Failure(name=name, error=item.error))
            else:
                identity = (item.collection, item.snapshot, item.sha256)
                found.setdefault(identity, (item, []))[1].append(repository)
        markers = [item for item in items if not isinstance(item, Unreadable)]
        if needs and len(markers) == len(items):
            only[repository.url] = only_bytes(markers)
        if is_empty and (sentence := repository.misplaced()):
            misplaced.append(sentence)

    batch = for_each(repositories, read, name=lambda repository: repository.url)
    remotes = [
        Remote(
            marker=marker,
            repositories=tuple(where),
            only_bytes=only.get(where[0].url, {}).get(marker.key),
        )
        for marker, where in found.values()
    ]
    remotes.sort(key=lambda r: (r.marker.created_at, r.marker.snapshot), reverse=True)
    return Listing(
        remotes=tuple(remotes),
        failures=(*batch.failures, *unreadable),
        misplaced=tuple(misplaced),
    )


def collections_off_site(repositories: Sequence[Repository]) -> list[str]:
    """Return the collections with a snapshot in these places; one that does not respond has none.

    What lists the snapshots afterwards reports that place.
    """
    found = for_each(repositories, Repository.collections, name=lambda repository: repository.url)
    return sorted(set().union(*found.results))


def choose(listing: Listing, *, snapshot: str = "") -> list[Remote]:
    """Return the given snapshot, or the newest of each collection.

    A safety snapshot never counts as the newest.

    Raises:
        NotFound: if there is none.
        TaskError: if there is none because a place did not respond.
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
    if listing.failures:
        raise listing.failures[0].error
    if listing.misplaced:
        raise NotFound(" ".join(listing.misplaced), hint=CORRECT_URL)
    raise NotFound(
        f"There is no such snapshot off-site{f': {snapshot}' if snapshot else ''}.",
        hint="Run `inv snapshot.list --remote` to list the copies; `inv snapshot.push` adds one.",
    )
