"""Are the promises about the backups kept? Without places, this reads only the snapshot folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.runs import read_runs
from snapshot_tasks.checks.promises import (
    NO_LINKS,
    by_collection,
    check_left,
    check_pointer,
    check_pushed,
    check_runs,
    own_of,
    promises,
)
from snapshot_tasks.checks.scrubbed import check_scrubbed
from snapshot_tasks.domain.findings import Finding, fail, failed, ok
from snapshot_tasks.domain.names import check_collection
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.system.errors import (
    BudgetMissed,
    NotFound,
    SettingsError,
    StorageError,
    TaskError,
)
from snapshot_tasks.system.files import has_links
from snapshot_tasks.system.nearest import meant, nearest

TASKS = "the tasks"
CATALOGUE = "the catalogue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Promised:
    """The promises: the maximum age of a snapshot, of a push and of a proof.

    `collections` is None for all collections in the catalogue. If `max_scrub_age` is given, each of
    the `places` must have been read back within that time.
    """

    collections: Sequence[str] | None
    max_age: timedelta
    max_proof_age: timedelta
    off_site: bool = False
    max_scrub_age: timedelta | None = None
    places: Sequence[Repository] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The promises about one collection, or about the tasks, each with its finding."""

    title: str
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All promises with their findings."""

    judged: tuple[Judged, ...]

    @property
    def error(self) -> TaskError | None:
        """One error that lists every broken promise, if there is any."""
        wrong = [(each.title, f) for each in self.judged for f in failed(each.findings)]
        if not wrong:
            return None
        names = "; ".join(f"{title}: {f.check}: {f.message.rstrip('.')}" for title, f in wrong)
        return BudgetMissed(
            f"{len(wrong)} broken promise{'s' if len(wrong) > 1 else ''}: {names}.",
            hint=wrong[0][1].remedy,
        )


def judge(promised: Promised, catalog: Catalog, *, now: datetime) -> Judgement:
    """Judge every promise about these collections and about the tasks.

    Raises:
        StorageError: if there is no snapshot folder.
        SettingsError: if the only name is not a valid collection name.
    """
    if not catalog.folder.is_dir():
        raise StorageError(
            f"The folder {catalog.folder} does not exist.",
            hint="Check that its disk is mounted and QDRANT_SNAPSHOT_DIR is right, or run"
            " `inv snapshot.create`.",
        )
    entries = catalog.entries()
    own = by_collection(entries)
    given = promised.collections
    names = dict.fromkeys(catalog.collections(entries) if given is None else given)
    if len(names) == 1:
        check_collection(*names)
    judged = [
        Judged(title=name, findings=_judged(promised, catalog, own, name, now)) for name in names
    ]
    of_tasks = _of_tasks(promised, catalog, now)
    return Judgement(
        judged=(
            *(judged or [Judged(title=CATALOGUE, findings=(_nothing(),))]),
            *([Judged(title=TASKS, findings=of_tasks)] if of_tasks else []),
            *_of_places(promised, now),
        )
    )


def _judged(
    promised: Promised,
    catalog: Catalog,
    own: Mapping[str, Sequence[Snapshot]],
    name: str,
    now: datetime,
) -> tuple[Finding, ...]:
    """Judge one collection; a name that is wrong is a finding, and the others are still judged."""
    try:
        check_collection(name)
    except SettingsError as error:
        return (fail("newest snapshot", error.message, error.hint),)
    findings = _of_collection(promised, catalog, own.get(name, ()), name, now)
    if name in own or not (near := meant(nearest(name, own))):
        return findings
    first, *others = findings
    return (replace(first, remedy=f"{near}{first.remedy}"), *others)


def _of_collection(
    promised: Promised,
    catalog: Catalog,
    entries: Sequence[Snapshot],
    collection: str,
    now: datetime,
) -> tuple[Finding, ...]:
    findings = promises(
        collection,
        entries,
        max_age=promised.max_age,
        max_proof_age=promised.max_proof_age,
        now=now,
    )
    try:
        target = catalog.latest_target(collection)
    except NotFound as error:
        return (*findings, fail("latest link", error.message, error.hint))
    own = own_of(collection, entries)
    if own and target is None and not has_links(catalog.folder):
        return (*findings, ok("latest link", NO_LINKS))
    return (*findings, check_pointer(own, target.name if target else None))


def _of_tasks(promised: Promised, catalog: Catalog, now: datetime) -> tuple[Finding, ...]:
    runs = read_runs(catalog.folder)
    pushed = (check_pushed(runs, promised.max_age, now),) if promised.off_site else ()
    return (*check_runs(runs, now), *pushed, *check_left(catalog.journal.left()))


def _of_places(promised: Promised, now: datetime) -> list[Judged]:
    most = promised.max_scrub_age
    if most is None:
        return []
    return [
        Judged(title=place.url, findings=(check_scrubbed(place, most, now),))
        for place in promised.places
    ]


def _nothing() -> Finding:
    return fail(
        "newest snapshot",
        "there is no snapshot of any collection",
        "Run `inv snapshot.create`, and schedule it daily (`inv snapshot.schedule`).",
    )
