"""Verifications of what lies off-site, as lines and JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.show.findings import render_findings
from snapshot_tasks.domain.findings import Finding, fail, ok, warn
from snapshot_tasks.system.units import counted, size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.offsite.verify import RemoteVerification

_PUSH = "Run `inv snapshot.push --all` where an intact file is."


def scrubbed_json(verified: Batch[RemoteVerification]) -> dict[str, Any]:
    """Return verifications of places for `--json`."""
    return {
        "places": [
            {
                "url": one.url,
                "ok": one.error is None,
                "objects": one.objects_count,
                "all_objects": one.all_count,
                "stored_bytes": one.stored_bytes,
                "not_decrypted": one.unread_count,
                "all_seen_at": at.isoformat() if (at := one.scrub.all_seen_at) else None,
                "damaged": [
                    {"object": name, "reason": reason}
                    for name, reason in sorted(one.damaged.items())
                ],
                "snapshots": [
                    {"collection": key.collection, "snapshot": key.snapshot, "objects": names}
                    for key, names in one.snapshots.items()
                ],
            }
            for one in verified.results
        ],
        "failed": [failure.as_json() for failure in verified.failures],
    }


def render_scrubbed(verified: Batch[RemoteVerification]) -> None:
    """Print what was seen in each place, and which snapshots are damaged by what."""
    for one in verified.results:
        render_findings(list(_findings(one)), title=one.url)
        for name, reason in sorted(one.damaged.items()):
            tell(f"  {name}: {reason}")


def _findings(one: RemoteVerification) -> Iterator[Finding]:
    what = f"{one.objects_count:,} of {counted(one.all_count, 'object')}, {size(one.stored_bytes)}"
    if one.damaged:
        yield fail("objects", f"{what}: {len(one.damaged):,} missing or damaged", _PUSH)
    else:
        yield ok("objects", f"{what}, as they were sent")
    if one.unread_count:
        message = f"of {counted(one.unread_count, 'encrypted object')} only the size was compared"
        yield warn("contents", message, "Set QDRANT_AGE_IDENTITY_FILE to decrypt them too.")
    for key, names in one.snapshots.items():
        yield fail(key.snapshot, f"needs {counted(len(names), 'object')} of these", _PUSH)
