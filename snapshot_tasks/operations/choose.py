"""Choose from the catalogue by the flags of a task."""

from __future__ import annotations

from secrets import choice

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import NotFound

_TAKE_ONE = "Take one with `inv snapshot.create`."


def to_test(
    catalog: Catalog,
    *,
    snapshot: str = "",
    collection: str = "",
    default_collection: str,
    every: bool = False,
    at_random: bool = False,
) -> list[Snapshot]:
    """Return the newest of every collection, a random older one, the named one, or the newest one.

    Raises:
        NotFound: if there is none.
    """
    if every:
        return newest_of_all(catalog, collection)
    if at_random:
        return [random_older(catalog, collection or default_collection)]
    if snapshot:
        return [catalog.find(snapshot)]
    return [catalog.newest(collection or default_collection)]


def newest_of_all(catalog: Catalog, collection: str = "") -> list[Snapshot]:
    """Return the newest snapshot of every catalogued collection, or of one.

    Raises:
        NotFound: if there is none, or the newest of a collection is missing.
    """
    names = [collection] if collection else catalog.collections()
    if not names:
        raise NotFound("There is no snapshot to test.", hint=_TAKE_ONE)
    return [catalog.newest(name) for name in names]


def random_older(catalog: Catalog, collection: str) -> Snapshot:
    """Return a random older snapshot of the collection, or its only one.

    Raises:
        NotFound: if there is none.
    """
    newest, *older = catalog.entries(collection) or [catalog.newest(collection)]
    return choice(older or [newest])


def all_of(catalog: Catalog, collection: str = "", *, purpose: str) -> list[Snapshot]:
    """Return every snapshot of the catalogue, or of one collection; `purpose` is for the error.

    Raises:
        NotFound: if there is none.
    """
    entries = catalog.entries(collection or None)
    if entries:
        return entries
    if collection:
        raise catalog.none_of(collection)
    raise NotFound(f"There is no snapshot to {purpose}.", hint=_TAKE_ONE)
