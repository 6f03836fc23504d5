"""Adds a snapshot from elsewhere to the catalogue, with its other files, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.proofs import MAX_PROOFS_BYTES
from snapshot_tasks.domain.names import PROOFS_SUFFIX, SUFFIX, latest_name, parse_name
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import NotFound
from snapshot_tasks.system.files import (
    UNCHANGING,
    publish,
    storage_errors,
    sync_directory,
    write_text,
)
from snapshot_tasks.system.reading import read_end


def adopt(
    catalog: Catalog, staging: Path, name: str, beside: Mapping[str, str], proofs: str
) -> Snapshot:
    """Publish a complete, checked staging file; the caller must hold the catalogue's lock.

    `beside` are the contents of its other files, by the suffix that they add to the name. They are
    written first: they are invisible without the snapshot, so it is never visible without its
    manifest. The latest link is only updated if there is no newer snapshot here, and was none.
    """
    final = catalog.folder / name
    with storage_errors(catalog.folder):
        for suffix, text in beside.items():
            write_text(final.with_name(name + suffix), text)
        _add_proofs(final.with_name(name.removesuffix(SUFFIX) + PROOFS_SUFFIX), proofs)
        publish(staging, final, mode=UNCHANGING)
        sync_directory(catalog.folder)
        found = catalog.find(str(final))
        follow_link(catalog, found)
    return found


def follow_link(catalog: Catalog, found: Snapshot) -> None:
    """Point the latest link to a snapshot from elsewhere, unless a newer one is or was here.

    The caller must hold the catalogue's lock.
    """
    if found.is_safety or not found.collection:
        return
    link = catalog.folder / latest_name(found.collection)
    names_it = os.path.islink(link) and os.readlink(link) == found.name
    if not names_it and _is_newest(catalog, found):
        with storage_errors(catalog.folder):
            catalog.point_latest(found.collection, found.name)


def _add_proofs(path: Path, proofs: str) -> None:
    """Append the missing proofs; proofs of a snapshot that was lost here may still exist."""
    text = read_end(path, max_bytes=MAX_PROOFS_BYTES) if path.is_file() else ""
    here = [line for line in text.split("\n") if line.strip()]
    lines = [*here, *(line for line in proofs.split("\n") if line.strip() and line not in here)]
    if len(lines) > len(here):
        write_text(path, "\n".join(lines) + "\n")


def _is_newest(catalog: Catalog, found: Snapshot) -> bool:
    assert found.collection is not None
    link = catalog.folder / latest_name(found.collection)
    if os.path.islink(link) and not os.path.exists(link):
        # The newest snapshot was lost here, and an older one must not be mistaken for it.
        _, lost_at = parse_name(os.readlink(link))
        if lost_at is None or lost_at > found.created_at:
            return False
        link.unlink()
    try:
        return catalog.newest(found.collection).name == found.name
    except NotFound:
        return False
