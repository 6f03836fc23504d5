"""Tests copies where they lie: pulls each into a temporary folder, drills it, returns the proof."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.load import load_snapshot
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.offsite.codec import Unpacker
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.offsite.listing import Remote
from snapshot_tasks.operations.offsite.pull import check_space, pull
from snapshot_tasks.operations.offsite.return_proofs import return_proofs
from snapshot_tasks.operations.prove.drill import DrillReport
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.scratch import scratch_folder

# A server in a container reads the file as another user.
_WORLD_READABLE = 0o755
_SETTING = "TMPDIR"


def drill_from_each(
    remotes: Sequence[Remote],
    work: Callable[[Snapshot], DrillReport],
    unpacker: Unpacker,
    progress: Progress,
) -> Batch[DrillReport]:
    """Test several copies with `work`; a failure does not stop the others."""
    return for_each(
        remotes,
        lambda remote: drill_from(remote, work, unpacker, progress),
        name=lambda remote: remote.marker.snapshot,
        error_of=lambda report: report.error,
    )


def drill_from(
    remote: Remote,
    work: Callable[[Snapshot], DrillReport],
    unpacker: Unpacker,
    progress: Progress,
) -> DrillReport:
    """Test one copy, and add the proof to those off-site. No local snapshot is used or added.

    A place that cannot be written is only noted; the findings stay valid.

    Raises:
        Damaged: if the copy differs from what was pushed.
        StorageError: if no place responds, or the temporary folder has no space.
    """
    with (
        scratch_folder(mode=_WORLD_READABLE) as folder,
        storage_errors(folder, setting=_SETTING),
    ):
        check_space(folder, remote.marker, setting=_SETTING)
        catalog = Catalog(folder / "snapshots")
        catalog.make_folder()
        pulled = pull(remote, catalog, unpacker, progress)
        report = work(pulled.snapshot)
        place = next(place for place in remote.repositories if place.url == pulled.url)
        try:
            return_proofs(load_snapshot(pulled.snapshot.path), remote.marker, place, unpacker)
        except TaskError as error:
            progress.note(f"The proof could not be added to {place.url}: {error.message}")
        return report
