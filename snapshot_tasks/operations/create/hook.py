"""Run the user's own command for each new snapshot, such as the one that carries it off-site."""

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
    """Run the hook once for each snapshot, going on past a failure; return what failed.

    The caller holds no lock, so that a hook may run these tasks itself. What it prints is told
    line by line. The API key is not passed on.
    """
    return for_each(
        snapshots if argv else (),
        lambda snapshot: _run_hook(argv, snapshot, tell, secret),
        name=lambda snapshot: snapshot.name,
    ).failures


def hook_environment(snapshot: Snapshot) -> dict[str, str]:
    """Return what a hook is told; a fact that is not known is empty."""
    manifest = snapshot.manifest
    facts = {
        "FILE": snapshot.path,
        "MANIFEST": snapshot.manifest_path,
        "FINGERPRINT": snapshot.fingerprint_path if manifest and manifest.seal else None,
        "COLLECTION": snapshot.collection,
        "CREATED_AT": snapshot.created_at.isoformat(),
        "SIZE_BYTES": snapshot.size_bytes,
        "SHA256": snapshot.sha256,
        "POINTS_COUNT": manifest.points_count if manifest else None,
        "QDRANT_VERSION": manifest.qdrant_version if manifest else None,
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
            f"The hook for {snapshot.name} cannot be run: {argv[0]}: {error.strerror}. "
            "The snapshot stays catalogued.",
            hint="Correct QDRANT_POST_CREATE_HOOK, then run that command by hand.",
        ) from error
    if code:
        ended = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
        raise StorageError(
            f"The hook {ended} for {snapshot.name}. The snapshot stays catalogued.",
            hint="The lines above are what QDRANT_POST_CREATE_HOOK said; run it again by hand.",
        )
