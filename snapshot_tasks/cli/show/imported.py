"""Imported files as lines and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.snapshots import snapshot_json
from snapshot_tasks.system.units import moment, size
from snapshot_tasks.system.untrusted import printable

if TYPE_CHECKING:
    from snapshot_tasks.domain.failure import Failure
    from snapshot_tasks.operations.create.found import FoundFile
    from snapshot_tasks.operations.create.imported import Imported


def imported_json(done: Sequence[Imported], failures: Sequence[Failure]) -> dict[str, Any]:
    """Return the imported files for `--json`."""
    return {
        "snapshots": [
            snapshot_json(one.snapshot) | {"file": printable(str(one.file)), "already": one.already}
            for one in done
        ],
        "failed": [failure.as_json() for failure in failures],
    }


def steps(found: Iterable[FoundFile], folder: Path) -> Iterator[str]:
    """Yield what an import would do."""
    for one in found:
        doing = "unpack (gzip) and import" if one.is_gzip else "import"
        when = moment(one.taken_at) + ("" if one.is_dated else ", when it was last changed")
        yield f"{doing} {one.name} as {one.collection}, taken {when}, into {folder}"


def render_imported(done: Iterable[Imported]) -> None:
    """Print each imported file."""
    for one in done:
        snapshot, manifest = one.snapshot, one.snapshot.manifest
        assert manifest is not None
        if one.already:
            tell(f"{printable(one.file.name)} is in the catalogue already, as {snapshot.name}.")
            continue
        tell(f"{snapshot.path}")
        tell(
            f"  {snapshot.collection}, taken {moment(snapshot.created_at)}, "
            f"{manifest.points_count:,} points, {size(snapshot.size_bytes)}, "
            f"sha256 {manifest.sha256[:16]}…"
        )
        tell("  sealed as it is now; the Qdrant version and the aliases are unknown")
