"""Run the user's own command for each new snapshot, for example one that copies it off-site."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from snapshot_tasks.domain.failure import Failure
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.batch import for_each
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import StorageError


def run_hooks(
    argv: Sequence[str],
    snapshots: Iterable[Snapshot],
    tell: Callable[[str], None],
    *,
    secret: str | None,
) -> tuple[Failure, ...]:
    """Run the hook once for each snapshot and continue after a failure; return the failures.

    The caller must not hold a lock, so that a hook can run these tasks itself. Each line that it
    prints goes to `tell`. The API key is not passed on.
    """
    return for_each(
        snapshots if argv else (),
        lambda snapshot: _run_hook(argv, snapshot, tell, secret),
        name=lambda snapshot: snapshot.name,
    ).failures


def hook_environment(snapshot: Snapshot) -> dict[str, str]:
    """Return the variables that a hook gets; an unknown fact is empty."""
    manifest = snapshot.manifest
    facts = {
        "FILE": snapshot.path,
        "MANIFEST": snapshot.manifest_path,
        "FINGERPRINT": snapshot.fingerprint_path if manifest and manifest.seal else None,
        "PROBES": snapshot.probes_path if manifest and manifest.probes_file else None,
        "COLLECTION": snapshot.collection,
        "CREATED_AT": snapshot.created_at.isoformat(),
        "SIZE_BYTES": snapshot.size_bytes,
        "SHA256": snapshot.sha256,
        "POINTS_COUNT": manifest.points_count if manifest else None,
        "QDRANT_VERSION": snapshot.taken_with,
        "LABEL": manifest.label if manifest else None,
    }
    return {
        f"QDRANT_SNAPSHOT_{name}": "" if fact is None else str(fact) for name, fact in facts.items()
    }


def _run_hook(
    argv: Sequence[str], snapshot: Snapshot, tell: Callable[[str], None], secret: str | None
) -> None:
    try:
        code = process.run_told(argv, tell, env=hook_environment(snapshot), secret=secret)
    except OSError as error:
        raise StorageError(
            f"The hook for {snapshot.name} could not be run: {argv[0]}: {error.strerror}. "
            "The snapshot remains in the catalogue.",
            hint="Correct QDRANT_POST_CREATE_HOOK, then run the command by hand.",
        ) from error
    if code:
        ended = f"exited with {code}" if code > 0 else f"was killed by signal {-code}"
        raise StorageError(
            f"The hook for {snapshot.name} {ended}. The snapshot remains in the catalogue.",
            hint="The lines above are its output. Fix the problem, then run the command in"
            " QDRANT_POST_CREATE_HOOK by hand.",
        )
