"""Results as tables and lines on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from snapshot_tasks.catalog.snapshot import Snapshot
from snapshot_tasks.checks.file import SOURCE
from snapshot_tasks.cli.console import output, shown, tell
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.operations.prove.drill import DrillReport
from snapshot_tasks.operations.restore.into_empty import RestoreResult
from snapshot_tasks.operations.stack import StackReport
from snapshot_tasks.system.errors import BudgetMissed
from snapshot_tasks.system.units import ago, duration, moment, size

# A label may be as long as its manifest.
MAX_CELL = 2000
_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


def snapshot_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return a catalogue entry for `--json`; unknown facts are null."""
    manifest, proven_at = snapshot.manifest, snapshot.proven_at
    return {
        "snapshot": snapshot.name,
        "path": str(snapshot.path),
        "collection": snapshot.collection,
        "created_at": snapshot.created_at.isoformat(),
        "size_bytes": snapshot.size_bytes,
        "sha256": snapshot.sha256,
        "points_count": manifest.points_count if manifest else None,
        "qdrant_version": manifest.qdrant_version if manifest else None,
        "label": manifest.label if manifest else None,
        "source_moved": manifest.source_moved if manifest else None,
        "sealed": bool(manifest and manifest.fingerprint),
        "proven_at": proven_at.isoformat() if proven_at else None,
        "pinned": snapshot.pin,
        "problem": snapshot.manifest_problem.message if snapshot.manifest_problem else None,
    }


def restore_json(result: RestoreResult) -> dict[str, Any]:
    """Return a restore for `--json`."""
    return {
        "snapshot": result.snapshot.name,
        "collection": result.target,
        "skipped": result.skipped,
        "points_count": result.points_count,
        "seconds": round(result.seconds, 3),
        "way": result.way or None,
        "safety_snapshot": result.safety_snapshot,
        "findings": [f.as_json() for f in result.findings],
    }


def stack_json(report: StackReport) -> dict[str, Any]:
    """Return a stack's contents for `--json`."""
    return {
        "qdrant_version": report.version,
        "collections": [{"name": n, "points_count": count} for n, count in report.collections],
        "aliases": report.aliases,
    }


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; columns that hold numbers are told by a leading `#`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    printed = Table(
        title=Text(shown(title)) if title else None, title_justify="left", box=box.SIMPLE_HEAD
    )
    for column in columns:
        number = column.startswith("#")
        printed.add_column(
            column.removeprefix("#"), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        printed.add_row(*(Text(shown(cell, limit=MAX_CELL)) for cell in row))
    output().print(printed)


def render_snapshots(snapshots: Sequence[Snapshot], now: datetime) -> None:
    """Print the catalogue, newest first."""
    if not snapshots:
        tell("No snapshot yet. `inv snapshot.create` takes one.")
        return
    table(
        "",
        ("snapshot", "collection", "taken", "#points", "#size", "sealed", "proven"),
        [_snapshot_row(s, now) for s in snapshots],
    )


def _snapshot_row(snapshot: Snapshot, now: datetime) -> tuple[str, ...]:
    manifest, proven_at = snapshot.manifest, snapshot.proven_at
    if snapshot.manifest_problem:
        state = "manifest unreadable"
    else:
        state = f"proven {ago(proven_at, now)}" if proven_at else "never"
        if snapshot.failed_at is not None:
            state = f"FAILED {ago(snapshot.failed_at, now)}"
    return (
        snapshot.name,
        (snapshot.collection or "unknown")
        + (" (replaced)" if snapshot.is_safety else "")
        + (" (pinned)" if snapshot.pin is not None else ""),
        ago(snapshot.created_at, now),
        f"{manifest.points_count:,}" if manifest else "unknown",
        size(snapshot.size_bytes),
        "unknown" if manifest is None else "yes" if manifest.fingerprint else "no",
        state,
    )


def render_created(snapshot: Snapshot) -> None:
    """Print what was just taken."""
    manifest = snapshot.manifest
    assert manifest is not None
    tell(f"{snapshot.path}")
    tell(
        f"  {manifest.points_count:,} points, {size(snapshot.size_bytes)}, "
        f"Qdrant {manifest.qdrant_version}, sha256 {manifest.sha256[:16]}…"
    )
    if manifest.fingerprint:
        seal = manifest.fingerprint
        tell(
            f"  sealed by the {seal['sealed_by']} in {duration(seal['seconds'])}, "
            f"fingerprint {seal['digest'][:16]}…"
        )
    else:
        tell("  not sealed")
    if manifest.source_moved:
        before, after = manifest.source_points_before, manifest.source_points_after
        tell(f"  The source was moving: {before:,} points before, {after:,} after.")


def render_findings(findings: Sequence[Finding], *, title: str = "") -> None:
    """Print one OK, WARN or FAIL line for each finding, each failure with its remedy."""
    from rich.text import Text

    console = output()
    if title:
        console.print(Text(shown(title), style="bold"), soft_wrap=True)
    width = max((len(f.check) for f in findings), default=0)
    for finding in findings:
        line = Text(f"{finding.status.value:<4}", style=_STYLES[finding.status.value])
        said = shown(f"{finding.check:<{width}}  {finding.message}")
        line.append(f"  {said}", style="default")
        console.print(line, soft_wrap=True)
        if finding.remedy:
            remedy = shown(finding.remedy)
            console.print(Text(f"      {'':<{width}}  fix: {remedy}"), soft_wrap=True)


def render_restored(result: RestoreResult) -> None:
    """Print what a restore did."""
    if result.skipped:
        tell(f"{result.target}: exists, left as it is")
        return
    render_findings(result.findings, title=f"{result.target} from {result.snapshot.name}")
    if result.points_count is not None and not result.error:
        tell(f"Restored {result.points_count:,} points in {duration(result.seconds)}.")
    if result.safety_snapshot:
        tell(f"What was there before is in {result.safety_snapshot}.")


def render_stack(report: StackReport) -> None:
    """Print the collections and counts of a running Qdrant."""
    if not report.collections:
        tell(f"Qdrant {report.version} holds no collection.")
        return
    owned = {
        name: [a for a, c in report.aliases.items() if c == name] for name, _ in report.collections
    }
    table(
        f"Qdrant {report.version}",
        ("collection", "#points", "aliases"),
        [(name, f"{count:,}", ", ".join(owned[name]) or "–") for name, count in report.collections],
    )


def render_drill(report: DrillReport) -> None:
    """Print the drill's lines, times and verdict."""
    name = report.snapshot.name
    title = (
        f"Fresh restore test of {name} on Qdrant {report.server_version or '?'} ({report.engine})"
    )
    render_findings(report.findings, title=title)
    tell("Times: " + ", ".join(f"{phase} {duration(s)}" for phase, s in report.phases.items()))
    too_slow = isinstance(report.error, BudgetMissed)
    if report.restore_seconds is not None and (report.error is None or too_slow):
        slowly = ", too slowly" if too_slow else ""
        tell(f"PROVEN{slowly}: {name} restores in {duration(report.restore_seconds)}.")
    else:
        tell(f"NOT PROVEN: {name}.")
    if report.kept:
        tell(f"Kept running at {report.kept}")


def render_snapshot(snapshot: Snapshot, now: datetime) -> None:
    """Print one snapshot's manifest and proofs."""
    proven_at, manifest = snapshot.proven_at, snapshot.manifest
    facts: dict[str, Any] = {
        "snapshot": snapshot.name,
        "path": snapshot.path,
        "collection": snapshot.collection,
        "taken": moment(snapshot.created_at),
        "size": f"{snapshot.size_bytes:,} bytes",
        "proven": moment(proven_at) if proven_at else "never",
    }
    if manifest:
        before, after = manifest.source_points_before, manifest.source_points_after
        facts |= {
            "sha256": manifest.sha256,
            "points": f"{manifest.points_count:,}",
            "source": f"{manifest.source_url}, Qdrant {manifest.qdrant_version}",
            "source points": f"{before:,} before, {after:,} after",
            "label": manifest.label or "none",
            "aliases": ", ".join(manifest.aliases) or "none",
            "payload indexes": ", ".join(sorted(manifest.payload_schema)) or "none",
        }
    else:
        facts["manifest"] = "none: checksum, points and source are unknown"
    width = max(len(key) for key in facts)
    for key, value in facts.items():
        said = "unknown" if value is None else shown(str(value), limit=MAX_CELL)
        tell(f"{key:<{width}}  {said}")
    if not snapshot.proofs:
        tell("No proof yet. `inv snapshot.test-restore` makes one.")
        return
    table(
        "Proofs, newest first",
        ("when", "kind", "ok", "Qdrant", "#restore"),
        [_proof_row(proof, now) for proof in reversed(snapshot.proofs)],
    )


def _proof_row(proof: Any, now: datetime) -> tuple[str, ...]:
    seconds, level = proof.get("restore_seconds"), proof.get("level")
    # Where the source has moved on, the snapshot is none the worse.
    wrong = "differs" if level == SOURCE else "NO"
    return (
        ago(datetime.fromisoformat(proof["at"]), now),
        f"{proof['kind']}: {level}" if level else str(proof["kind"]),
        "yes" if proof["ok"] else wrong,
        str(proof.get("qdrant_version") or "–"),
        duration(seconds) if isinstance(seconds, int | float) else "–",
    )
