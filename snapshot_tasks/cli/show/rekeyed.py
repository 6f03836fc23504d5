"""Copies off-site that are encrypted anew, as lines and JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.console import tell
from snapshot_tasks.system.units import counted, size

if TYPE_CHECKING:
    from snapshot_tasks.offsite.codec import Packer
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.offsite.rekey import Rekeying, RekeyPlan


def rekey_json(planned: RekeyPlan, done: Batch[Rekeying], *, dry: bool = False) -> dict[str, Any]:
    """Return the plan and its result for `--json`."""
    return {
        "planned": [_json(one) for one in planned.rekeyings],
        "rekeyed": [_json(one) for one in done.results],
        "failed": [failure.as_json() for failure in done.failures],
        "dry_run": dry,
    }


def _json(one: Rekeying) -> dict[str, Any]:
    return {
        "snapshot": one.marker.snapshot,
        "url": one.repository.url,
        "encrypted": bool(one.marker.encrypted_to),
    }


def render_plan(planned: RekeyPlan, packer: Packer, line: Callable[[str], None]) -> None:
    """Print each snapshot to encrypt anew."""
    for one in planned.rekeyings:
        marker = one.marker
        readers = len(marker.encrypted_to)
        now = f"encrypted to {counted(readers, 'recipient')}" if readers else "not encrypted"
        line(f"{marker.snapshot} in {one.repository.url}: {size(marker.stored_bytes)}, {now}")
    count = counted(len(planned.rekeyings), "snapshot")
    line(f"{count} to encrypt to {counted(len(packer.recipients), 'recipient')}.")


def render_rekeyed(done: Sequence[Rekeying]) -> None:
    """Print how many snapshots are encrypted anew, and when the former copies go."""
    tell(f"Encrypted {counted(len(done), 'snapshot')} anew.")
    if done:
        tell(
            "The former recipients can read the former objects until `inv snapshot.prune --remote`"
            " deletes them, a week from now."
        )
