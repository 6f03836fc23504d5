"""Take a snapshot from elsewhere into the catalogue, with what stood beside it, byte for byte."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.names import PROOFS_SUFFIX, SUFFIX, latest_name, parse_name
from snapshot_tasks.catalog.snapshot import Snapshot
from snapshot_tasks.errors import NotFound
from snapshot_tasks.files import (
    point_link,
    publish,
    storage_errors,
    sync_directory,
    write_text,
)


def adopt(
    catalog: Catalog, staging: Path, name: str, beside: Mapping[str, str], proofs: str
) -> Snapshot:
    """Publish a whole staged file; the caller holds the catalogue's lock and has checked it.

    `beside` holds files by the suffix that they add to the name. They go first: without the
    snapshot they are invisible, so that at no moment it stands there without its manifest. The
    latest link follows only where nothing newer is here, or was.
    """
    final = catalog.folder / name
    with storage_errors(catalog.folder):
        for suffix, text in beside.items():
            write_text(final.with_name(name + suffix), text)
        _add_proofs(final.with_name(name.removesuffix(SUFFIX) + PROOFS_SUFFIX), proofs)
        publish(staging, final)
        sync_directory(catalog.folder)
        found = catalog.find(str(final))
        if not found.is_safety and found.collection and _is_newest(catalog, found):
            point_link(catalog.folder / latest_name(found.collection), name)
    return found


def _add_proofs(path: Path, proofs: str) -> None:
    """Add the proofs that are not there yet: some may have outlived their snapshot."""
    here = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    lines = [*here, *(line for line in proofs.splitlines() if line.strip() and line not in here)]
    if len(lines) > len(here):
        write_text(path, "\n".join(lines) + "\n")


def _is_newest(catalog: Catalog, found: Snapshot) -> bool:
    assert found.collection is not None
    link = catalog.folder / latest_name(found.collection)
    if os.path.islink(link) and not os.path.exists(link):
        # The newest one was lost here. An older one must not pass for it.
        _, lost_at = parse_name(os.readlink(link))
        if lost_at is None or lost_at > found.created_at:
            return False
        link.unlink()
    try:
        return catalog.newest(found.collection).name == found.name
    except NotFound:
        return False
