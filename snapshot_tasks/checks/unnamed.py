"""What is wrong if QDRANT_COLLECTION_NAME is not set, and which collection is meant is unclear."""

from __future__ import annotations

from collections.abc import Sequence

from snapshot_tasks.system.errors import NotFound

MAX_CANDIDATES = 10


def several_collections(names: Sequence[str]) -> NotFound:
    """Return the error that names the candidates, because choosing one would be a guess."""
    shown = ", ".join(sorted(names)[:MAX_CANDIDATES])
    more = ", …" if len(names) > MAX_CANDIDATES else ""
    return NotFound(
        f"QDRANT_COLLECTION_NAME is not set, and there are {len(names)} collections:"
        f" {shown}{more}.",
        hint="Set it in .env, or pass `--collection NAME`.",
    )


def no_collections() -> NotFound:
    """Return the error for a server without any collection, or none that the key may see."""
    return NotFound(
        "Qdrant has no collections yet.",
        hint="Load your data first, or restore a snapshot with `inv snapshot.restore`.",
    )
