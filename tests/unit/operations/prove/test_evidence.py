"""After a restart, a drill runs the same list of checks, and says so."""

from __future__ import annotations

from dataclasses import replace

from snapshot_tasks.checks.expected import Cost, Expected, Restored
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.operations.prove.evidence import evidence_again, prefixed
from snapshot_tasks.system.progress import Silent
from tests.support.manifests import make_manifest

STATE = make_manifest().state
RESTORED = Restored(
    expected=Expected(state=STATE, taken_with="1.17.0"),
    actual=STATE,
    collection="books",
    endpoint=Endpoint(url="http://nowhere.invalid"),
    server_version="1.17.0",
    progress=Silent(),
    status="green",
)


def test_every_check_that_a_restore_is_judged_by_runs_again() -> None:
    """Their names say that the server was restarted before."""
    names = [f.check for cost in Cost for f in evidence_again(RESTORED, cost)]
    checks = ("status", "count", "config", "payload schema", "aliases", "contents")
    assert names == [f"after restart: {check}" for check in checks]


def test_what_a_restart_lost_fails() -> None:
    """Fewer points than before are a failure, and only of the count."""
    lost = replace(RESTORED, actual=replace(STATE, points_count=1233))
    wrong = [f for f in evidence_again(lost, Cost.DESCRIBED) if f.status is Status.FAIL]
    assert [f.check for f in wrong] == ["after restart: count"]


def test_a_collection_that_is_gone_fails_once() -> None:
    """Then there is nothing left to read."""
    found = [finding for cost in Cost for finding in evidence_again(None, cost)]
    assert [(f.check, f.status) for f in found] == [("after restart: collection", Status.FAIL)]


def test_a_prefix_changes_nothing_else() -> None:
    """Message, status and remedy are the check's own."""
    finding = Finding(check="size", status=Status.OK, message="3 bytes")
    assert prefixed("file: ", [finding]) == (replace(finding, check="file: size"),)
