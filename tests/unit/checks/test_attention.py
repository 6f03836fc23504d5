"""What needs attention is found, with a remedy that can be typed; nothing else is mentioned."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.attention import Subject, attention
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import NotFound
from tests.support.manifests import SEAL, TAKEN_AT, add_drill, add_proof, catalogued
from tests.support.reports import FAIL, WARN

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def sound(catalog: Catalog, **changes: Any) -> Snapshot:
    """Add a sealed snapshot that was proven an hour later."""
    snapshot = catalogued(catalog, seal=SEAL, **changes)
    at = changes.get("taken_at", TAKEN_AT) + HOUR
    add_drill(snapshot, at)
    return snapshot


def subject(catalog: Catalog, **changes: Any) -> Subject:
    """Return the subject of the checks, three hours after the snapshots of these tests."""
    facts: dict[str, Any] = {
        "collection": "books",
        "snapshots": catalog.entries(),
        "now": TAKEN_AT + 3 * HOUR,
        "max_age": timedelta(hours=26),
        "max_proof_age": 8 * DAY,
    }
    return Subject(**(facts | changes))


def only(found: tuple[Finding, ...]) -> Finding:
    """Return the only finding."""
    assert len(found) == 1, found
    assert found[0].remedy
    return found[0]


def test_what_is_well_is_not_mentioned(catalog: Catalog) -> None:
    """Sealed, recent, proven, and nothing has failed since."""
    snapshot = sound(catalog)
    add_proof(snapshot, kind="verify", at=(TAKEN_AT + HOUR).isoformat(), ok=True)
    assert attention(subject(catalog)) == ()


def test_a_newest_that_is_too_old(catalog: Catalog) -> None:
    """Exactly at the maximum age, it is still good."""
    sound(catalog)
    assert attention(subject(catalog, now=TAKEN_AT + timedelta(hours=26))) == ()
    found = only(attention(subject(catalog, now=TAKEN_AT + timedelta(hours=27))))
    assert (found.check, found.status) == ("newest snapshot", Status.FAIL)
    assert found.message == "books_20250101_120000.snapshot, 27 h old, more than the promised 26h"
    assert found.remedy.startswith("Run `inv snapshot.create --collection books`")


def test_a_proof_that_is_too_old(catalog: Catalog) -> None:
    """A recent snapshot that was not tested does not keep the promise by itself."""
    sound(catalog)
    catalogued(catalog, taken_at=TAKEN_AT + 9 * DAY, seal=SEAL)
    found = only(attention(subject(catalog, now=TAKEN_AT + 9 * DAY + HOUR)))
    assert (found.check, found.status) == ("proof", Status.FAIL)
    assert (
        found.message
        == "books_20250101_120000.snapshot proven 9 days ago, more than the promised 8d"
    )


def test_no_promise_is_no_failure(catalog: Catalog) -> None:
    """Without a maximum age, age is not checked."""
    sound(catalog)
    late = subject(catalog, now=TAKEN_AT + 99 * DAY, max_age=None, max_proof_age=None)
    assert attention(late) == ()


def test_never_proven(catalog: Catalog) -> None:
    """A missing proof is reported even without a maximum age."""
    catalogued(catalog, seal=SEAL)
    found = only(attention(subject(catalog, max_proof_age=None)))
    assert (found.check, found.message) == ("proof", "no snapshot has been proven yet")
    assert "snapshot.test-restore" in found.remedy


def test_a_time_in_the_future_is_not_young_for_ever(catalog: Catalog) -> None:
    """With a wrong clock, every promise would seem kept until that day."""
    sound(catalog)
    early = attention(subject(catalog, now=TAKEN_AT + HOUR - timedelta(minutes=4)))
    assert early == ()
    found = attention(subject(catalog, now=TAKEN_AT - DAY))
    assert [(f.check, f.status) for f in found] == [
        ("newest snapshot", Status.FAIL),
        ("proof", Status.FAIL),
    ]
    assert all("in the future" in f.message for f in found)


def test_nothing_left_but_a_dangling_link(catalog: Catalog) -> None:
    """Both are reported, and nothing else."""
    problem = NotFound("books_latest.snapshot points nowhere.", hint="Remove it.")
    found = attention(subject(catalog, link_problem=problem))
    assert [(f.check, f.message) for f in found] == [
        ("latest link", problem.message),
        ("newest snapshot", "there is no snapshot of books"),
    ]
    assert found[0].remedy == problem.hint


def test_a_manifest_that_cannot_be_read(catalog: Catalog) -> None:
    """The newest is a failure; an older one is only a warning, because it may still be needed."""
    broken = sound(catalog)
    (catalog.folder / f"{broken.name}.json").write_text("{", encoding="utf-8")
    found = attention(subject(catalog))
    assert [f.check for f in found] == ["file", "proof"]
    sound(catalog, taken_at=TAKEN_AT + HOUR)
    found = (only(attention(subject(catalog))),)
    assert (found[0].check, found[0].status) == ("older snapshots", Status.WARN)
    assert broken.name in found[0].message


def test_a_file_without_a_manifest(catalog: Catalog) -> None:
    """It can be restored, but whether correctly is unknown."""
    (catalog.folder / "books_20250101_120000.snapshot").write_bytes(b"xyz")
    found = {f.check: f.status for f in attention(subject(catalog))}
    assert found == {"proof": Status.FAIL, "file": Status.WARN}


def test_a_file_that_was_cut(catalog: Catalog) -> None:
    """Its size alone shows it, without reading the file."""
    snapshot = sound(catalog)
    os.truncate(snapshot.path, 5)
    found, proof = attention(subject(catalog))
    assert (found.check, found.status) == ("file", Status.FAIL)
    assert "has 5 bytes" in found.message
    assert proof.check == "proof"


def test_an_unsealed_one(catalog: Catalog) -> None:
    """It restores, but nobody can prove that its points are those that were taken."""
    snapshot = catalogued(catalog, seal=None)
    add_drill(snapshot, TAKEN_AT + HOUR)
    found = {f.check: f.status for f in attention(subject(catalog))}
    assert found == {"seal": Status.FAIL, "proof": Status.WARN}


@pytest.mark.parametrize(
    ("kind", "check"), [("drill", "last restore test"), ("verify", "last verification")]
)
def test_the_last_word_failed(catalog: Catalog, kind: str, check: str) -> None:
    """A failure after the proof undoes the proof; each reason is reported once."""
    snapshot = sound(catalog)
    findings = [FAIL.as_json(), FAIL.as_json(), "no finding", {"check": 1}]
    late = (TAKEN_AT + 2 * HOUR).isoformat()
    add_proof(snapshot, kind=kind, at=late, ok=False, findings=findings)
    last = only(attention(subject(catalog)))
    assert (last.check, last.status) == (check, Status.FAIL)
    assert last.message == f"{snapshot.name} failed 1 h ago: aliases: missing: library"


def test_a_source_that_has_moved_on_is_no_failure(catalog: Catalog) -> None:
    """The live collection may differ from its last snapshot at any time."""
    snapshot = sound(catalog)
    late = (TAKEN_AT + 2 * HOUR).isoformat()
    add_proof(snapshot, kind="verify", level="source", at=late, ok=False)
    assert attention(subject(catalog)) == ()


def test_warnings_of_the_last_test_are_told_once(catalog: Catalog) -> None:
    """The checks after the restart repeat the same warnings."""
    snapshot = sound(catalog)
    again = replace(WARN, check=f"after restart: {WARN.check}")
    findings = [WARN.as_json(), again.as_json()]
    add_drill(snapshot, TAKEN_AT + 2 * HOUR, findings=findings)
    found = only(attention(subject(catalog)))
    assert (found.status, found.message) == (Status.WARN, "config: a new key")
    assert snapshot.name in found.remedy


def test_older_ones_that_failed_are_counted(catalog: Catalog) -> None:
    """They are the fallback; three are named."""
    for hours in range(5):
        old = catalogued(catalog, taken_at=TAKEN_AT - (hours + 1) * DAY, seal=SEAL)
        add_drill(old, TAKEN_AT, ok=False)
    sound(catalog)
    found = only(attention(subject(catalog)))
    assert (found.check, found.status) == ("older snapshots", Status.WARN)
    assert found.message.startswith(
        "5 damaged or failed to restore: books_20241231_120000.snapshot;"
    )
    assert found.message.endswith("; and 2 more")


def test_failures_come_first(catalog: Catalog) -> None:
    """A reader of only the first line sees the worst."""
    add_drill(catalogued(catalog, seal=None), TAKEN_AT + HOUR)
    assert [f.status for f in attention(subject(catalog))] == [Status.FAIL, Status.WARN]


@pytest.mark.parametrize("name", ["books; rm -rf $HOME", "a `b` c"])
def test_a_remedy_can_be_typed_whatever_the_name(catalog: Catalog, name: str) -> None:
    """A name with shell syntax is quoted; one with backticks does not end the command."""
    found = only(attention(subject(catalog, collection=name)))
    ticks = "``" if "`" in name else "`"
    words = shlex.split(found.remedy.split(ticks)[1])
    assert words == ["inv", "snapshot.create", "--collection", name]
