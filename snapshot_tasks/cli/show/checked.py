"""The results for a CI system: one `Checked` for each thing, as JUnit and GitHub show it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from snapshot_tasks.domain.findings import Finding, Status, failed
from snapshot_tasks.domain.proof import UNSEALED, Verdict
from snapshot_tasks.system.errors import BudgetMissed, TaskError
from snapshot_tasks.system.units import duration

if TYPE_CHECKING:
    from snapshot_tasks.checks.file import Verification
    from snapshot_tasks.operations.check import Judged
    from snapshot_tasks.operations.prove.drill import DrillReport
    from snapshot_tasks.operations.prove.selftest import Row, SelfTestReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One checked thing, such as a snapshot: the findings, a short verdict, and the times.

    `error` is why the check failed; it adds nothing if there are failed findings.
    """

    name: str
    verdict: str
    at: str
    seconds: float = 0.0
    findings: Sequence[Finding] = ()
    times: Mapping[str, float] = field(default_factory=dict)
    error: TaskError | None = None

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The failed findings, or else the error as a finding."""
        wrong = failed(self.findings)
        return wrong or ((error_finding(self.error),) if self.error else ())

    def named(self, name: Callable[[str], str]) -> Checked:
        """Return the same with texts that show each command as it is called here."""
        findings = [
            replace(finding, message=name(finding.message), remedy=name(finding.remedy))
            for finding in self.findings
        ]
        return replace(self, findings=findings, error=_named_error(self.error, name))


def error_finding(error: TaskError) -> Finding:
    """Return an error as a finding: a missed budget, or the reason why the check was impossible."""
    check = "budget" if error.kind == BudgetMissed.kind else error.kind
    return Finding(check=check, status=Status.FAIL, message=error.message, remedy=error.hint)


def checked_drill(report: DrillReport) -> Checked:
    """Return a restore test for CI."""
    return Checked(
        name=report.snapshot.name,
        verdict=_verdict(report),
        at=report.at,
        seconds=report.total_seconds,
        findings=report.findings,
        times=report.phases,
        error=report.error,
    )


def _verdict(report: DrillReport) -> str:
    seconds = report.restore_seconds
    if seconds is None or report.verdict is Verdict.NOT_PROVEN:
        return "not proven"
    slow = ", but too slow" if isinstance(report.error, BudgetMissed) else ""
    if report.verdict is Verdict.RESTORES:
        return f"restores{slow}, in {duration(seconds)}; {UNSEALED}"
    return f"proven{slow}: restores in {duration(seconds)}"


def checked_file(verification: Verification, at: datetime) -> Checked:
    """Return a verification for CI."""
    return Checked(
        name=verification.snapshot.name,
        verdict="differs from what was taken" if verification.error else "matches what was taken",
        at=at.isoformat(),
        seconds=verification.seconds,
        findings=verification.findings,
        times={f"verify {verification.level}": verification.seconds},
        error=verification.error,
    )


def checked_faults(report: SelfTestReport, at: datetime) -> Checked:
    """Return a self-test for CI: one finding for each fault, OK if a check caught it."""
    return Checked(
        name=report.snapshot.name,
        verdict="a fault was missed" if report.error else "every fault was caught",
        at=at.isoformat(),
        seconds=report.seconds,
        findings=[_fault(row) for row in report.rows],
        times={"self-test": report.seconds},
        error=report.error,
    )


def checked_promises(judged: Judged, at: datetime) -> Checked:
    """Return the promises about one collection, or about the tasks, for CI."""
    broken, count = len(failed(judged.findings)), len(judged.findings)
    verdict = f"{broken} of {count} promises broken" if broken else "all promises kept"
    return Checked(name=judged.title, verdict=verdict, at=at.isoformat(), findings=judged.findings)


def not_checked(name: str, error: TaskError, at: datetime) -> Checked:
    """Return a thing that could not be checked at all."""
    return Checked(name=name, verdict="could not be checked", at=at.isoformat(), error=error)


def _named_error(error: TaskError | None, name: Callable[[str], str]) -> TaskError | None:
    if error is None:
        return None
    renamed = TaskError(name(error.message), hint=name(error.hint))
    renamed.kind = error.kind
    return renamed


def _fault(row: Row) -> Finding:
    if row.left_out:
        return Finding(check=row.fault, status=Status.WARN, message=f"skipped: {row.left_out}")
    attempts = {"as it is": row.as_it_is, "re-signed": row.resigned}
    tried = {way: attempt.caught_by for way, attempt in attempts.items() if attempt}
    message = "; ".join(f"{way}: {caught_by or 'not caught'}" for way, caught_by in tried.items())
    status = Status.FAIL if row.uncaught else Status.OK
    return Finding(check=row.fault, status=status, message=message)
