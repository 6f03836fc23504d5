"""Folders with a history: snapshots over days, with the proofs of tests that passed or failed."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.operations.report import Report, collect
from tests.support.manifests import SEAL, add_drill, catalogued

NOW = datetime.fromisoformat("2025-03-01T12:00:00+00:00")
CHECKS = (
    ("file: size", "1,592,832 bytes"),
    ("file: sha256", "fdf9b3583816a3981e8b65ecea023a9596592dcceef0bcb444f02f3aac80d9dd"),
    ("count", "336 points, exactly"),
    ("config", "identical"),
    ("aliases", "campus"),
    ("contents", "336 points identical, fingerprint 80ef7ec0064bffcd"),
    ("after restart: contents", "336 points identical, fingerprint 80ef7ec0064bffcd"),
)
FINDINGS = [Finding(check=c, status=Status.OK, message=m).as_json() for c, m in CHECKS]
FAILURE = Finding(check="contents", status=Status.FAIL, message="3 points differ: 17, 99, 204")
# Every name that once broke something, or could.
HOSTILE = (
    "<script>alert(1)<script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }} {% raw %}",
    "\u202egnp.exe \u2066hidden\u2069",
    "kütüphane-عربي-漢字-🙂",
    "x" * 180,
    "a `b` c",
)


def history(
    catalog: Catalog,
    collection: str = "books",
    *,
    count: int = 3,
    newest: timedelta = timedelta(hours=3),
    apart: timedelta = timedelta(days=1),
    failed: Collection[int] = (),
    sealed: bool = True,
    label: str | None = None,
    points: int = 1000,
) -> None:
    """Add snapshots, each tested 20 minutes after it was taken; those in `failed` fail."""
    for number in range(count):
        taken_at = NOW - newest - apart * (count - 1 - number)
        snapshot = catalogued(
            catalog,
            collection=collection,
            taken_at=taken_at,
            points_count=points + 37 * number,
            seal=SEAL if sealed else None,
            label=label,
        )
        facts: dict[str, Any] = {"engine": "native", "qdrant_version": "1.17.0"}
        if number in failed:
            facts |= {"ok": False, "findings": [*FINDINGS[:2], FAILURE.as_json()]}
        else:
            seconds = 0.1 + 0.004 * number + 0.03 * (number % 3)
            facts |= {"restore_seconds": seconds, "findings": FINDINGS}
        at = taken_at + timedelta(minutes=20)
        add_drill(snapshot, at, **facts)


def report_of(catalog: Catalog) -> Report:
    """Return what a report says about a folder at the end of its history."""
    day = timedelta(days=1)
    return collect(catalog, now=NOW, max_age=timedelta(hours=26), max_proof_age=8 * day)


def nothing(catalog: Catalog) -> None:
    """Leave the folder empty."""


def one(catalog: Catalog) -> None:
    """Add one collection with one snapshot, so that there is nothing to draw yet."""
    history(catalog, count=1)


def well(catalog: Catalog) -> None:
    """Add two healthy collections."""
    history(catalog, "campus-demo", count=40)
    history(catalog, "library", count=8)


def hostile(catalog: Catalog) -> None:
    """Add failures of every kind, under names that would be commands elsewhere."""
    for name in HOSTILE:
        history(catalog, name, count=3, failed=(2,), label=name)
    history(catalog, "old", count=3, newest=timedelta(days=4), points=98_765_432_100)
    history(catalog, "unsealed", count=1, sealed=False)
    (catalog.folder / "odd.snapshot").write_bytes(b"x")
    (catalog.folder / "films_latest.snapshot").symlink_to("gone.snapshot")


def thirty(catalog: Catalog) -> None:
    """Add thirty collections."""
    for number in range(30):
        history(catalog, f"collection-{number:02}", count=5)


def many(catalog: Catalog) -> None:
    """Add more snapshots of one collection than a page shows."""
    history(catalog, count=100, apart=timedelta(hours=6))


HISTORIES: dict[str, Callable[[Catalog], None]] = {
    "nothing": nothing,
    "one": one,
    "well": well,
    "hostile": hostile,
    "thirty": thirty,
    "many": many,
}
