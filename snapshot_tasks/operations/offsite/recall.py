"""Finds out which blocks a place has: from this machine's notes, or from the place itself."""

from __future__ import annotations

import hashlib
from pathlib import Path

from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.index import Index
from snapshot_tasks.offsite.known import Known, load_known
from snapshot_tasks.offsite.layout import Key
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.packs import OPEN_KEY, new_key
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.system.errors import Damaged, Refused, SettingsError

FOLDER = ".offsite"


def recall(
    repository: Repository, key: Key, packer: Packer, unpacker: Unpacker, cache: Path | None
) -> Known:
    """Return what is known of a place, for these recipients.

    Of what other machines have pushed, the newest snapshot of the same collection is read, if it is
    not encrypted or an identity is set. All of them must share a key to share blocks.

    Raises:
        StorageError: if the place does not respond.
    """
    path = _path(repository.url, packer, cache)
    kept = load_known(path, packer.ending) if path else None
    newest = _newest(repository, key, packer, unpacker)
    known = kept or Known(_key_of(packer, newest), path)
    if newest:
        known.learn(newest[1], newest[0].packs)
    if not kept:
        known.save()
    return known


def known_of(url: str, key: bytes, packer: Packer, cache: Path | None) -> Known:
    """Return what this machine knows of a place, for blocks whose hashes have this key.

    Without such notes they begin now; notes with another key are left as they are.
    """
    path = _path(url, packer, cache)
    kept = load_known(path, packer.ending) if path else None
    if kept:
        return kept if kept.key == key else Known(key)
    known = Known(key, path)
    known.save()
    return known


def _key_of(packer: Packer, newest: tuple[Marker, Index] | None) -> bytes:
    if not packer.recipients:
        return OPEN_KEY
    return newest[1].key if newest else new_key()


def _path(url: str, packer: Packer, cache: Path | None) -> Path | None:
    if cache is None:
        return None
    name = hashlib.sha256(f"{url}\n{packer.ending}".encode()).hexdigest()
    return cache / FOLDER / f"{name[:32]}.known"


def _newest(
    repository: Repository, key: Key, packer: Packer, unpacker: Unpacker
) -> tuple[Marker, Index] | None:
    """Return the newest other snapshot of a collection, by the time in its name."""
    if packer.recipients and unpacker.identity_file is None:
        return None
    others = [k for k in repository.keys(key.collection) if k != key]
    if not others:
        return None
    try:
        marker = repository.find(max(others, key=lambda other: other.snapshot))
        if marker and marker.index and set(marker.encrypted_to) == set(packer.recipients):
            return marker, repository.index_of(marker, marker.index, unpacker)
    except (Damaged, Refused, SettingsError):
        # More is sent than needed, and nothing else depends on it.
        pass
    return None
