"""Points that differ, as tables and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.table import table
from snapshot_tasks.domain.outline import KINDS
from snapshot_tasks.system.units import counted
from snapshot_tasks.system.untrusted import printable

if TYPE_CHECKING:
    from snapshot_tasks.domain.outline import Counts
    from snapshot_tasks.operations.points.compare import FileSide, Side, Versions

MAX_VALUES = 50
MAX_TEXT = 120


def diff_json(counts: Counts, before: FileSide, after: Side) -> dict[str, Any]:
    """Return the counts of points that differ for `--json`."""
    return {
        "snapshot": before.name,
        "with": after.name,
        **{kind: counts.kinds[kind] for kind in KINDS},
        "changed_components": dict(sorted(counts.components.items())),
        "by": {
            value: {kind: found[kind] for kind in KINDS}
            for value, found in sorted(counts.values.items())
        },
    }


def render_diff(counts: Counts, before: FileSide, after: Side) -> None:
    """Print how many points differ, in what, and by the values of a field."""
    tell(f"{before.name} compared with {after.name}:")
    if not counts.kinds.total():
        tell("  no point differs")
        return
    for kind in KINDS:
        what = _components(counts) if kind == "changed" else ""
        tell(f"  {kind:<8} {counted(counts.kinds[kind], 'point')}{what}")
    if counts.values:
        most = sorted(counts.values.items(), key=lambda item: (-item[1].total(), item[0]))
        rows = [
            (printable(value, limit=MAX_TEXT), *(f"{found[kind]:,}" for kind in KINDS))
            for value, found in most[:MAX_VALUES]
        ]
        table("", ("value", "#added", "#removed", "#changed"), rows)
        if len(most) > MAX_VALUES:
            tell(f"… and {len(most) - MAX_VALUES:,} other values; `--json` has all of them.")


def versions_json(versions: Versions, before: FileSide, after: Side) -> dict[str, Any]:
    """Return both versions of a point for `--json`; one that does not exist is null."""
    return {
        "snapshot": before.name,
        "with": after.name,
        "id": versions.id,
        "before": versions.before,
        "after": versions.after,
        "differs": list(versions.differing),
    }


def render_versions(versions: Versions, before: FileSide, after: Side) -> None:
    """Print what differs between both versions of a point, side by side."""
    tell(f"point {versions.id}: {before.name} compared with {after.name}")
    for side, point in ((before, versions.before), (after, versions.after)):
        if point is None:
            tell(f"  {side.name} has no such point")
    if not versions.differing and versions.before:
        tell("  no difference")
    for label in versions.differing:
        old, new = (_part(point, label) for point in (versions.before, versions.after))
        tell(f"  {label}")
        tell(f"    before  {old}")
        tell(f"    after   {new}")


def _components(counts: Counts) -> str:
    parts = [f"{printable(name)} {count:,}" for name, count in sorted(counts.components.items())]
    return f" ({', '.join(parts)})" if parts else ""


def _part(point: dict[str, Any] | None, label: str) -> str:
    if point is None:
        return "–"
    kind, _, name = label.partition(" ")
    part = point["payload"].get(name) if kind == "payload" else _short(point["vectors"].get(name))
    return "–" if part is None else printable(json.dumps(part, ensure_ascii=False), limit=MAX_TEXT)


def _short(vector: Any) -> Any:
    """Return a vector with as many digits as its numbers of 32 bits have."""
    if isinstance(vector, dict):
        return {key: _short(values) for key, values in vector.items()}
    if isinstance(vector, list):
        return [_short(value) for value in vector]
    return float(f"{vector:.7g}") if isinstance(vector, float) else vector
