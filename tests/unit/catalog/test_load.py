"""A snapshot's manifest is read at once, its other files only on demand."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapshot_tasks.catalog import load, pins, proofs
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.pins import remove_pin, set_pin
from snapshot_tasks.domain.fingerprint import Accumulator
from snapshot_tasks.domain.seal import READER, Seal
from snapshot_tasks.domain.snapshot import Snapshot
from tests.support.manifests import TAKEN_AT, add_drill, catalogued


@pytest.fixture
def files_read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that the catalogue reads from now on."""
    names: list[str] = []
    for module, function in ((load, "read_text"), (pins, "read_text"), (proofs, "read_end")):
        read = getattr(module, function)

        def noted(path: Path, *, max_bytes: int, read: object = read) -> str:
            names.append(path.name)
            assert callable(read)
            return str(read(path, max_bytes=max_bytes))

        monkeypatch.setattr(module, function, noted)
    return names


@pytest.fixture
def full(catalog: Catalog) -> Snapshot:
    """A snapshot with all the files that it can have."""
    fingerprint = Accumulator().result()
    made = catalogued(catalog, seal=Seal.of(fingerprint, sealed_by=READER, seconds=1.0))
    made.fingerprint_path.write_bytes(b"not read unless it is asked for")
    add_drill(made, TAKEN_AT)
    set_pin(made, "why")
    return made


def test_a_catalogue_reads_manifests_only(
    catalog: Catalog, full: Snapshot, files_read: list[str]
) -> None:
    """Listing a thousand snapshots does not read a thousand fingerprints."""
    [entry] = catalog.entries()
    assert entry.manifest is not None
    assert entry.is_safety is False
    assert entry.manifest.seal is not None
    assert files_read == [full.manifest_path.name]


def test_what_is_asked_for_is_read_once(
    catalog: Catalog, full: Snapshot, files_read: list[str]
) -> None:
    """Proofs and pin are read once, however often they or derived facts are used."""
    [entry] = catalog.entries()
    files_read.clear()
    for _ in range(3):
        assert (entry.proven_at, entry.failed_at, entry.pin) == (TAKEN_AT, None, "why")
    assert files_read == [full.proofs_path.name, full.pin_path.name]


def test_a_pin_shows_when_the_snapshot_is_read_again(catalog: Catalog) -> None:
    """A value does not change, so the snapshot must be read again after pinning it."""
    made = catalogued(catalog)
    assert made.pin is None
    set_pin(made, "")
    assert (made.pin, catalog.find(made.name).pin) == (None, "")
    remove_pin(made)
    remove_pin(made)
    assert catalog.find(made.name).pin is None
