"""Choose from the catalogue by the flags of a task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from secrets import choice

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.unnamed import several_collections
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.system.errors import NotFound

_TAKE_ONE = "Take one with `inv snapshot.create`."


def only_collection(default: str, names: Sequence[str]) -> str:
    """Return the default collection if it exists, else the only one.

    Without any, it is the default, whose absence the caller reports.

    Raises:
        NotFound: if there are several others, because choosing one would be a guess.
    """
    if default in names or not names:
        return default
    if len(names) == 1:
        return names[0]
    raise several_collections(names)


def to_test(
    catalog: Catalog,
    *,
    created: Sequence[Snapshot] = (),
    snapshot: str = "",
    collection: str = "",
    default_collection: Callable[[], str],
    every: bool = False,
    at_random: bool = False,
) -> Batch[Snapshot]:
    """Return the new ones, the newest of every collection, a random older, or the named one.

    Without any of these flags, it is the newest one.

    Raises:
        NotFound: if there is none.
    """
    if created:
        return Batch(results=tuple(created))
    if every:
        return newest_of_all(catalog, collection)
    if at_random:
        chosen = random_older(catalog, collection or default_collection())
    elif snapshot:
        chosen = catalog.find(snapshot)
    else:
        chosen = catalog.newest(collection or default_collection())
    return Batch(results=(chosen,))


def newest_of_all(catalog: Catalog, collection: str = "") -> Batch[Snapshot]:
    """Return the newest snapshot of every catalogued collection, or of one.

    A collection whose newest snapshot is missing is a failure among the others.

    Raises:
        NotFound: if there is none.
    """
    names = [collection] if collection else catalog.collections()
    if not names:
        raise NotFound("There is no snapshot to test.", hint=_TAKE_ONE)
    return for_each(names, catalog.newest, name=str)


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
