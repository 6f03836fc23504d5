"""The text for people says what happened, whatever the names are."""

from __future__ import annotations

from datetime import timedelta

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.proofs import append_proof
from snapshot_tasks.cli.show.checked import checked_drill
from snapshot_tasks.cli.show.drill import render_drill
from snapshot_tasks.cli.show.findings import render_findings
from snapshot_tasks.cli.show.restored import render_restored, restore_json
from snapshot_tasks.cli.show.snapshots import (
    render_created,
    render_snapshot,
    render_snapshots,
    snapshot_json,
)
from snapshot_tasks.cli.show.stack import render_stack
from snapshot_tasks.domain.seal import Seal
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.stack import StackReport
from snapshot_tasks.system.errors import ContentsDiffer
from tests.support.manifests import TAKEN_AT, add_drill, add_proof, catalogued, drill_proof
from tests.support.reports import FAIL, OK, WARN, make_report

NOW = TAKEN_AT + timedelta(hours=3)
Captured = pytest.CaptureFixture[str]


def test_an_empty_catalogue_says_what_to_do(capsys: Captured) -> None:
    """Without snapshots there is a sentence instead of an empty table."""
    render_snapshots([], NOW)
    assert "inv snapshot.create" in capsys.readouterr().out


def test_the_catalogue_is_a_table(catalog: Catalog, capsys: Captured) -> None:
    """One line for each snapshot, with the known facts and the last proof."""
    proven = catalogued(catalog)
    add_drill(proven, TAKEN_AT + timedelta(hours=1))
    damaged = catalogued(catalog, taken_at=TAKEN_AT - timedelta(hours=1))
    add_drill(damaged, TAKEN_AT, ok=False)
    (catalog.folder / "odd.snapshot").write_bytes(b"xyz")
    broken = catalogued(catalog, collection="films", seal=Seal.from_json({"digest": "x"}))
    (catalog.folder / f"{broken.name}.json").write_text("{", encoding="utf-8")
    render_snapshots(catalog.entries(), NOW)
    captured = capsys.readouterr()
    lines = {line.split()[0]: line for line in captured.out.splitlines() if "snapshot " in line}
    assert captured.err == ""
    assert "1,234" in lines[proven.name]
    assert "3 h ago" in lines[proven.name]
    assert "proven 2 h ago" in lines[proven.name]
    assert "FAILED 3 h ago" in lines[damaged.name]
    assert lines["odd.snapshot"].count("unknown") == 3
    assert "manifest unreadable" in lines[broken.name]


@pytest.mark.parametrize("name", ["docs[v2]", "[red]alert", "x:smile:y"])
def test_names_are_no_markup(catalog: Catalog, capsys: Captured, name: str) -> None:
    """A collection is shown by its exact name, even if it looks like Rich markup."""
    catalogued(catalog, collection=name)
    render_snapshots(catalog.entries(), NOW)
    assert f"{name}_20250101_120000.snapshot" in capsys.readouterr().out


@pytest.mark.parametrize("alias", ["docs[v2]", "[/]"])
def test_aliases_are_no_markup(capsys: Captured, alias: str) -> None:
    """An alias can have any name."""
    stack = StackReport(version="1.17.0", collections=(("books", 3),), aliases={alias: "books"})
    render_stack(stack)
    assert alias in capsys.readouterr().out


def test_one_snapshot_is_shown(catalog: Catalog, capsys: Captured) -> None:
    """Its facts and its proofs, newest first; unknown facts are called unknown."""
    snapshot = catalogued(catalog, label="before [the] move")
    render_snapshot(snapshot, NOW)
    text = capsys.readouterr().out
    assert "before [the] move" in text
    assert "2025-01-01 12:00:00 UTC" in text
    assert "There is no proof yet" in text
    add_drill(snapshot, TAKEN_AT, restore_seconds=2.5)
    add_drill(snapshot, TAKEN_AT + timedelta(hours=1), ok=False)
    render_snapshot(catalog.newest("books"), NOW)
    rows = [line for line in capsys.readouterr().out.splitlines() if " drill " in line]
    assert ["NO" in rows[0], "2.5 s" in rows[1]] == [True, True]


def test_a_source_that_moved_on_looks_like_no_damage(catalog: Catalog, capsys: Captured) -> None:
    """Each verification shows its level; only a failed one of the file says NO."""
    snapshot = catalogued(catalog)
    for level in ("bytes", "source"):
        add_proof(snapshot, kind="verify", level=level, ok=False, at=TAKEN_AT.isoformat())
    render_snapshot(catalog.newest("books"), NOW)
    source, file = [line for line in capsys.readouterr().out.splitlines() if " verify" in line]
    assert ("verify: source" in source, "differs" in source, "NO" in source) == (True, True, False)
    assert ("verify: bytes" in file, "NO" in file) == (True, True)


def test_a_file_without_a_manifest_is_shown(catalog: Catalog, capsys: Captured) -> None:
    """Unknown facts are null for programs and `unknown` for people."""
    (catalog.folder / "odd.snapshot").write_bytes(b"xyz")
    (odd,) = catalog.entries()
    facts = snapshot_json(odd)
    assert (facts["size_bytes"], facts["sealed"], facts["problem"]) == (3, False, None)
    for key in ("collection", "sha256", "points_count", "qdrant_version", "proven_at"):
        assert facts[key] is None
    render_snapshot(odd, NOW)
    assert "unknown" in capsys.readouterr().out


def test_what_was_taken_is_told(catalog: Catalog, capsys: Captured) -> None:
    """The path is alone on its line; a source that was being written to is pointed out."""
    snapshot = catalogued(catalog, source_moved=True, source_points_after=1300, seal=None)
    render_created(snapshot)
    first, second, sealed, third = capsys.readouterr().out.splitlines()
    assert first == str(snapshot.path)
    assert "1,234 points" in second
    assert sealed == "  not sealed"
    assert "1,234 points before, 1,300 after" in third


def test_findings_are_aligned_and_have_remedies(capsys: Captured) -> None:
    """One line for each finding; the remedy of a failure is below it."""
    render_findings([OK, FAIL], title="books")
    assert capsys.readouterr().out.splitlines() == [
        "books",
        "OK    count    1,234 points, exactly",
        "FAIL  aliases  missing: library",
        "               fix: Mend it.",
    ]


def test_a_drill_ends_with_its_verdict(catalog: Catalog, capsys: Captured) -> None:
    """PROVEN comes with the restore time; a failure says NOT PROVEN and never PROVEN."""
    snapshot = catalogued(catalog)
    render_drill(make_report(snapshot))
    out = capsys.readouterr().out
    assert f"\nPROVEN: {snapshot.name} restores in 2.2 s.\n" in out.replace("2.3 s", "2.2 s")
    error = ContentsDiffer("It differs.", hint="Mend it.")
    failed = make_report(snapshot, findings=(OK, FAIL), error=error, restore_seconds=None)
    render_drill(failed)
    out = capsys.readouterr().out
    assert f"\nNOT PROVEN: {snapshot.name}.\n" in out
    assert "\nPROVEN" not in out


def test_a_drill_without_a_seal_is_not_proven(catalog: Catalog, capsys: Captured) -> None:
    """RESTORES says what was compared; list and show say the same, and never proven."""
    snapshot = catalogued(catalog, seal=None)
    report = make_report(snapshot)
    render_drill(report)
    out = capsys.readouterr().out
    assert f"\nRESTORES: {snapshot.name} restores in" in out
    assert "contents compared with the file, not sealed when it was taken" in out
    assert "PROVEN" not in out
    assert "proven" not in checked_drill(report).verdict
    assert report.as_json()["verdict"] == "RESTORES"
    append_proof(snapshot, drill_proof(snapshot, NOW, verdict="RESTORES"))
    again = catalog.find(snapshot.name)
    facts = snapshot_json(again)
    assert (facts["proven_at"], facts["verdict"]) == (None, "RESTORES")
    render_snapshots([again], NOW)
    render_snapshot(again, NOW)
    out = capsys.readouterr().out
    assert "restores, not sealed" in out
    assert "contents compared with the file, not sealed when it was taken" in out


def test_a_restore_is_told(catalog: Catalog, capsys: Captured) -> None:
    """Points, time and the safety snapshot are shown; a failure is never called restored."""
    snapshot = catalogued(catalog)
    done = RestoreResult(
        snapshot=snapshot,
        target="books",
        findings=(OK,),
        points_count=1234,
        seconds=2.5,
        way="file",
        safety_snapshot="old.snapshot",
        safety_findings=(WARN,),
    )
    render_restored(done)
    out = capsys.readouterr().out
    assert "Restored 1,234 points in 2.5 s." in out
    assert "old.snapshot" in out
    assert WARN.message in out
    assert restore_json(done)["safety_findings"] == [WARN.as_json()]
    render_restored(RestoreResult(snapshot=snapshot, target="books", findings=(FAIL,)))
    assert "Restored" not in capsys.readouterr().out
    render_restored(
        RestoreResult(snapshot=snapshot, target="books", skipped_because="already exists")
    )
    assert capsys.readouterr().out == "books: already exists, left unchanged\n"
    assert restore_json(done)["findings"] == [OK.as_json()]
