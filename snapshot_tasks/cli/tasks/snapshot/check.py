"""`inv snapshot.check`: does what the backups promise still hold?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, Span, command
from snapshot_tasks.cli.show.ci import tell_ci
from snapshot_tasks.cli.wiring import now, open_catalog
from snapshot_tasks.system.errors import BudgetMissed, NotFound, SettingsError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.cli.show.checked import Checked
    from snapshot_tasks.domain.findings import Finding
    from snapshot_tasks.domain.snapshot import Snapshot

    Judged = list[tuple[str, tuple[Finding, ...]]]


TASKS = "the tasks"


@command(
    "snapshot.check",
    help={
        "collection": "The collection; may be given several times. QDRANT_COLLECTION_NAME without.",
        "all": "Every collection of the catalogue.",
        "max-age": "How old the newest snapshot may be, such as 90min or 2d; 26h by default.",
        "max-proof-age": "How long ago a restore may have been proven; 8d by default.",
    },
    iterable=("collection",),
    watched=True,
)
def check(
    run: Run,
    collection: list[str] | None = None,
    all: bool = False,
    max_age: str = Span("26h"),
    max_proof_age: str = Span("8d"),
) -> Outcome:
    """Check that what the backups promise holds; end with 23 naming each promise that does not."""
    from snapshot_tasks.catalog.runs import read_runs
    from snapshot_tasks.checks.promises import check_pushed, check_runs
    from snapshot_tasks.cli.show.findings import render_findings

    if all and collection:
        raise SettingsError("--all and --collection exclude each other.", hint="Give one of them.")
    age, proof_age = _given("max-age", max_age), _given("max-proof-age", max_proof_age)
    catalog = open_catalog(run)
    if not catalog.folder.is_dir():
        raise StorageError(
            f"There is no folder {catalog.folder}.",
            hint="Is its disk mounted? Correct QDRANT_SNAPSHOT_DIR, or run `inv snapshot.create`.",
        )
    names = catalog.collections() if all else collection or [run.settings.collection]
    entries = catalog.entries()
    judged = [
        (name, _judge(catalog, entries, name, age, proof_age)) for name in dict.fromkeys(names)
    ]
    if not judged:
        judged = [("the catalogue", (_nothing(),))]
    runs = read_runs(catalog.folder)
    of_tasks = list(check_runs(runs, now()))
    if run.settings.offsite_urls:
        of_tasks.append(check_pushed(runs, age, now()))
    if of_tasks:
        judged.append((TASKS, tuple(of_tasks)))

    def render() -> None:
        for title, findings in judged:
            render_findings(findings, title=title)

    tell_ci(run, [_checked(title, findings) for title, findings in judged])
    result = {
        "promises": [
            {"of": title, **finding.as_json()} for title, findings in judged for finding in findings
        ]
    }
    return Outcome(result=result, render=render, error=_broken(judged))


def _nothing() -> Finding:
    from snapshot_tasks.domain.findings import Finding, Status

    return Finding(
        check="newest snapshot",
        status=Status.FAIL,
        message="no snapshot of any collection",
        remedy="Run `inv snapshot.create`, from cron every day.",
    )


def _judge(
    catalog: Catalog,
    entries: Sequence[Snapshot],
    collection: str,
    max_age: timedelta,
    max_proof_age: timedelta,
) -> tuple[Finding, ...]:
    from snapshot_tasks.checks.promises import check_pointer, newest_of, promises
    from snapshot_tasks.domain.findings import Finding, Status
    from snapshot_tasks.domain.names import check_collection

    check_collection(collection)
    findings = promises(
        collection, entries, max_age=max_age, max_proof_age=max_proof_age, now=now()
    )
    newest = newest_of(collection, entries)
    try:
        target = catalog.latest_target(collection)
    except NotFound as error:
        dangles = Finding(
            check="latest link", status=Status.FAIL, message=error.message, remedy=error.hint
        )
        return (*findings, dangles)
    return (*findings, check_pointer(newest, target.name if target else None))


def _checked(title: str, findings: Sequence[Finding]) -> Checked:
    """Return the promises about one collection, or of the tasks, for CI."""
    from snapshot_tasks.cli.show.checked import Checked
    from snapshot_tasks.domain.findings import failed

    broken = failed(findings)
    verdict = f"{len(broken)} of {len(findings)} promises broken" if broken else "promises hold"
    return Checked(name=title, verdict=verdict, at=now().isoformat(), findings=findings)


def _broken(judged: Judged) -> BudgetMissed | None:
    """Return one error that names every broken promise."""
    from snapshot_tasks.domain.findings import failed

    wrong = [(title, f) for title, findings in judged for f in failed(findings)]
    if not wrong:
        return None
    names = "; ".join(f"{title}: {f.check}: {f.message.rstrip('.')}" for title, f in wrong)
    return BudgetMissed(
        f"{len(wrong)} broken promise{'s' if len(wrong) > 1 else ''}: {names}.",
        hint=wrong[0][1].remedy,
    )


def _given(flag: str, text: str) -> timedelta:
    assert isinstance(text, Span)
    if text.value is None:
        raise SettingsError(f"--{flag} is empty.", hint="Give one such as 26h or 8d.")
    return text.value
