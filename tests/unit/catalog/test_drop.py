"""A snapshot is deleted as a whole: after any interruption, half of it is never visible."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import DROPPED_PREFIX, Catalog
from snapshot_tasks.catalog.pins import set_pin
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import StorageError
from tests.support.manifests import TAKEN_AT, add_drill, catalogued
from tests.support.world import tree

DAY = timedelta(days=1)


class Killed(BaseException):
    """Raised to end the process at this point."""


def furnished(catalog: Catalog) -> Snapshot:
    """Return a snapshot with all the files that it can have."""
    snapshot = catalogued(catalog)
    add_drill(snapshot, TAKEN_AT)
    set_pin(snapshot, "note")
    snapshot.path.with_name(snapshot.name + ".fingerprint.json").write_text("{}")
    return snapshot


def kill_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """End the process just before its n-th change to the disk."""
    calls = 0

    def watched(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == number:
                raise Killed
            return real(*arguments, **options)

        return call

    for name in ("replace", "unlink", "fsync"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))


def test_everything_goes(catalog: Catalog) -> None:
    """File, manifest, fingerprint, proofs and pin are deleted; those of other snapshots stay."""
    old = furnished(catalog)
    new = catalogued(catalog, taken_at=TAKEN_AT + DAY)
    catalog.drop(old)
    assert tree(catalog.folder) == sorted([new.name, f"{new.name}.json", "books_latest.snapshot"])


@pytest.mark.parametrize("number", range(1, 12))
def test_cut_off_anywhere_the_next_run_finishes(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Either it is complete, or it is invisible and the next run removes the rest."""
    old = furnished(catalog)
    new = catalogued(catalog, taken_at=TAKEN_AT + DAY)
    before = tree(catalog.folder)
    with monkeypatch.context() as patch:
        kill_at(patch, number)
        try:
            catalog.drop(old)
        except Killed:
            pass
        else:
            assert number > 8, "a change to the disk was not cut off"
    seen = [entry.name for entry in catalog.entries()]
    if old.name in seen:
        assert tree(catalog.folder) == before
        return
    assert seen == [new.name]
    catalog.finish_drops()
    assert tree(catalog.folder) == sorted([new.name, f"{new.name}.json", "books_latest.snapshot"])


def test_what_was_brought_back_keeps_what_stands_beside_it(catalog: Catalog) -> None:
    """If a copy of a half-deleted snapshot is put back, only the hidden rest is removed."""
    old = furnished(catalog)
    before = tree(catalog.folder)
    hidden = catalog.folder / f"{DROPPED_PREFIX}{old.name}"
    hidden.write_bytes(b"rest")
    catalog.finish_drops()
    assert tree(catalog.folder) == before


def test_the_next_snapshot_finishes_a_drop(catalog: Catalog) -> None:
    """Nobody has to run `prune` to get the space back."""
    (catalog.folder / f"{DROPPED_PREFIX}books_20240101_000000.snapshot").write_bytes(b"rest")
    (catalog.folder / "books_20240101_000000.snapshot.json").write_text("{}")
    catalogued(catalog)
    assert [name for name in tree(catalog.folder) if "2024" in name] == []


def test_a_name_that_leaves_no_room_beside_it_is_dropped(catalog: Catalog) -> None:
    """A foreign file with a name of nearly 255 bytes cannot have any other files."""
    name = f"{'b' * 214}_20240101_000000.snapshot"
    (catalog.folder / name).write_bytes(b"old")
    (catalog.folder / f"{DROPPED_PREFIX}folder.snapshot").mkdir()
    catalog.drop(catalog.find(name))
    catalog.finish_drops()
    assert name not in tree(catalog.folder)


def test_what_cannot_be_removed_is_a_storage_error(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hint names the setting of the folder."""
    snapshot = furnished(catalog)

    def refuse(*arguments: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match="Permission denied"):
        catalog.drop(snapshot)
    assert [entry.name for entry in catalog.entries()] == [snapshot.name]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"note": 3}', b"\xff" * 10, b"[" * 5000])
def test_a_pin_that_cannot_be_read_still_pins(catalog: Catalog, content: bytes) -> None:
    """A pin that cannot be read still protects."""
    snapshot = catalogued(catalog)
    Path(snapshot.pin_path).write_bytes(content)
    assert catalog.find(snapshot.name).pin is not None
