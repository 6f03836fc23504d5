"""What a CI system sees of a self-test and of a verification."""

from __future__ import annotations

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.file import Verification
from snapshot_tasks.cli.show.checked import checked_drill, checked_faults, checked_file
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.operations.prove.selftest import Attempt, Row, SelfTestReport
from snapshot_tasks.system.errors import BudgetMissed
from tests.support.manifests import TAKEN_AT, catalogued
from tests.support.reports import FAIL, OK, make_report

CAUGHT, MISSED = Attempt(caught_by="size", seconds=0.1), Attempt(caught_by="", seconds=0.2)


def test_each_fault_is_a_finding(catalog: Catalog) -> None:
    """A caught fault is OK; a skipped one is reported, but is not a failure."""
    rows = (
        Row(fault="a bit flipped", as_it_is=CAUGHT, resigned=CAUGHT),
        Row(fault="a point lost", as_it_is=CAUGHT, resigned=MISSED),
        Row(fault="a vector zeroed", left_out="it has none"),
    )
    report = SelfTestReport(snapshot=catalogued(catalog), rows=rows, seconds=3)
    told = checked_faults(report, TAKEN_AT)
    assert told.verdict == "a fault was missed"
    assert [(f.check, f.status, f.message) for f in told.findings] == [
        ("a bit flipped", Status.OK, "as it is: size; re-signed: size"),
        ("a point lost", Status.FAIL, "as it is: size; re-signed: not caught"),
        ("a vector zeroed", Status.WARN, "skipped: it has none"),
    ]
    assert told.failures == (told.findings[1],)


def test_a_verification_says_what_the_file_is(catalog: Catalog) -> None:
    """The verdict in words, and how long the level took."""
    sound = Verification(snapshot=catalogued(catalog), findings=(OK,), sha256="", seconds=2)
    told = checked_file(sound, TAKEN_AT)
    assert (told.verdict, told.times) == ("matches what was taken", {"verify bytes": 2})
    wrong = Verification(snapshot=sound.snapshot, findings=(FAIL,), sha256="", seconds=2)
    told = checked_file(wrong, TAKEN_AT)
    assert (told.verdict, told.failures) == ("differs from what was taken", (FAIL,))


def test_a_restore_that_was_too_slow_is_proven_all_the_same(catalog: Catalog) -> None:
    """As on the terminal: the budget failed, not the snapshot."""
    error = BudgetMissed("It took 9 s.", hint="Wait.")
    told = checked_drill(make_report(catalogued(catalog), findings=(OK,), error=error))
    assert told.verdict == "proven, but too slow: restores in 2.2 s"
    assert [f.check for f in told.failures] == ["budget"]
