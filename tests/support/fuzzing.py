"""What the readers of snapshots and manifests may raise and write, whatever they read."""

from __future__ import annotations

import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.load import load_manifest
from snapshot_tasks.catalog.proofs import read_proofs
from snapshot_tasks.cli.show.snapshots import snapshot_json
from snapshot_tasks.domain.comparison import differences
from snapshot_tasks.domain.fingerprint import Fingerprint
from snapshot_tasks.domain.manifest import dump_manifest
from snapshot_tasks.domain.probes_file import ProbesFile, dump_probes
from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.unpack import unpack
from snapshot_tasks.selftest.rewrite import read_members
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.untrusted import finite, is_harmless, parse_json
from tests.support.manifests import SEAL, make_manifest

NAME = "books_20250101_120000.snapshot"
PROBE = Probe(vector="", id=7, exact=((7, 1.0), (9, 0.5)), recall=1.0)
PROBES = dump_probes([PROBE]) or ""


def read_archive(folder: Path, content: bytes) -> bool:
    """Check and unpack a file with this content; return whether it was accepted.

    Only `TaskError` may be raised, and nothing may be written outside its folder.
    """
    path, scratch = folder / NAME, folder / "scratch"
    path.write_bytes(content)
    sound = False
    with suppress(TaskError):
        check_archive(path)
        sound = True
        # The rest of the code must be able to read what passed the check; most of it if sparse.
        with suppress(ValueError):
            read_members(path)
    scratch.mkdir()
    with suppress(TaskError):
        unpack(path, scratch)
    assert sorted(p.name for p in folder.iterdir()) == [NAME, "scratch"]
    for written in scratch.rglob("*"):
        assert not written.is_symlink()
        assert written.is_dir() or written.is_file()
    return sound


def read_catalog(
    folder: Path, manifest: bytes, proofs: bytes, fingerprint: bytes, probes: bytes | None = None
) -> None:
    """Read the files next to a snapshot; only `TaskError` may be raised."""
    snapshot = folder / NAME
    snapshot.touch()
    beside = folder / f"{NAME}.json"
    beside.write_bytes(manifest)
    (folder / NAME.replace(".snapshot", ".proofs.jsonl")).write_bytes(proofs)
    (folder / f"{NAME}.fingerprint.json").write_bytes(fingerprint)
    (folder / f"{NAME}.probes.json").write_bytes(PROBES.encode() if probes is None else probes)
    with suppress(TaskError):
        load_manifest(beside)
    read_proofs(folder / NAME.replace(".snapshot", ".proofs.jsonl"))
    for entry in Catalog(folder).entries():
        with suppress(TaskError):
            assert entry.probes is not None
        with suppress(TaskError):
            assert entry.sealed is None or entry.sealed.digest
        json.dumps(finite(snapshot_json(entry)), allow_nan=False)
        for proof in entry.proofs:
            json.dumps(finite(proof.as_json()), allow_nan=False)
        if entry.manifest:
            assert entry.manifest.description
            assert dump_manifest(entry.manifest).encode()
            lines = list(differences(dict(entry.manifest.config), {}))
            assert all(map(is_harmless, "".join(lines)))


def read_fingerprint(text: str) -> None:
    """Read a fingerprint; only ValueError may be raised."""
    with suppress(ValueError):
        Fingerprint.from_json(parse_json(text))


def first_schema() -> dict[str, Any]:
    """Return the manifest as schema 1 had it, with the searches in it."""
    return sound_manifest() | {"schema": 1, "probes": json.loads(PROBES)}


def in_new_folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder for one case."""
    return tempfile.TemporaryDirectory(prefix="fuzz-")


def sound_manifest() -> dict[str, Any]:
    """Return a manifest as `create` writes it, with every field."""
    recorded = ProbesFile.of(PROBES)
    made = make_manifest(seal=SEAL, probes_file=recorded, sanity={"without_vector": 0})
    document: dict[str, Any] = json.loads(dump_manifest(made))
    return document
