"""Add a snapshot file of another tool to the catalogue: copied, checked, read and sealed.

The seal says what is in the file now. Nobody saw the source, so a later restore that equals it
RESTORES, and is never called PROVEN.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from snapshot_tasks.catalog.adopt import adopt, follow_link
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.load import load_snapshot
from snapshot_tasks.domain.manifest import Manifest, dump_manifest
from snapshot_tasks.domain.names import FINGERPRINT_SUFFIX, MANIFEST_SUFFIX, PROBES_SUFFIX
from snapshot_tasks.domain.probes_file import ProbesFile, dump_probes
from snapshot_tasks.domain.shards import ShardSet
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.versions import UNKNOWN
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.create.found import FoundFile, named_as, take_copy
from snapshot_tasks.operations.create.seal import (
    FreshServers,
    Reading,
    read_file,
    read_on_fresh_server,
    reading_of,
)
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.container import DESCRIPTION, other_shards
from snapshot_tasks.sealing.described import Described, describe_alone
from snapshot_tasks.sealing.reader import OldStorage
from snapshot_tasks.system.errors import Damaged, Refused
from snapshot_tasks.system.files import sha256_of, storage_errors, write_text
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.untrusted import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A file that is catalogued now; `already` if its bytes were before, with a manifest."""

    file: Path
    snapshot: Snapshot
    already: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Importer:
    """Imports files into one catalogue; the caller must hold its lock."""

    catalog: Catalog
    servers: FreshServers
    progress: Progress
    label: str = ""

    def each(self, files: Sequence[FoundFile]) -> Batch[Imported]:
        """Import several files; a failed one does not stop the others."""
        return for_each(files, self.one, name=lambda found: printable(found.file.name))

    def one(self, found: FoundFile) -> Imported:
        """Import one file. The file itself is only read.

        Raises:
            Damaged: if it is not an intact snapshot, or one with the same bytes is damaged here.
            Refused: if it is a snapshot of something else, such as one shard.
            StorageError: if there is not enough space; nothing is kept then.
            NotFound, Unreachable, RestoreIncomplete: if only a server can tell what it restores,
                and there is none, or none that can restore it.
        """
        if not found.is_dated:
            changed = f"{found.taken_at:%Y-%m-%d %H:%M:%S}"
            self.progress.note(
                f"{found.name} does not say when it was taken; last changed {changed}"
            )
        if found.is_gzip:
            self.progress.note(f"{found.name} is compressed by gzip; a copy is unpacked")
        else:
            check_archive(found.file)
            if same := self._same(found.size_bytes, cache(lambda: self._hash(found.file))):
                return self._again(same, found)
        found.require_room(self.catalog.folder)
        with self.catalog.staging() as staging, named_as(staging, found.file.name):
            sha256 = take_copy(found, staging, self.progress)
            check_archive(staging)
            if same := self._same(staging.stat().st_size, lambda: sha256):
                return self._again(same, found)
            name = self.catalog.free_name(found.collection, found.taken_at)
            texts = self._texts(staging, name, sha256, found)
            return Imported(file=found.file, snapshot=self._added(staging, name, texts))

    def _same(self, size_bytes: int, sha256: Callable[[], str]) -> Snapshot | None:
        """Return the catalogued snapshot with these bytes, if there is one.

        Raises:
            Damaged: if it had these bytes when it was taken, and no longer has.
        """
        for entry in self.catalog.entries():
            size = entry.manifest.size_bytes if entry.manifest else entry.size_bytes
            if entry.is_lost or size != size_bytes or entry.sha256 not in (None, sha256()):
                continue
            if self._hash(entry.path) == sha256():
                entry.check_manifest()
                return entry
            if entry.sha256:
                raise Damaged(
                    f"{entry.name} was taken with the same bytes, but is damaged now.",
                    hint=f"Copy this file over it, which repairs it: `cp -f FILE {entry.path}`.",
                )
        return None

    def _again(self, same: Snapshot, found: FoundFile) -> Imported:
        """Give a file that is in the folder its manifest, if it has none."""
        if same.manifest:
            return Imported(file=found.file, snapshot=same, already=True)
        sha256 = self._hash(same.path)
        texts = self._texts(same.path, same.name, sha256, found)
        if self._hash(same.path) != sha256:
            raise Damaged(f"{same.name} changed while it was read.", hint="Run this again.")
        with storage_errors(self.catalog.folder), _undone(same.path, texts):
            for suffix, text in texts.items():
                write_text(same.path.with_name(same.name + suffix), text)
        snapshot = load_snapshot(same.path)
        follow_link(self.catalog, snapshot)
        return Imported(file=found.file, snapshot=snapshot)

    def _added(self, staging: Path, name: str, texts: Mapping[str, str]) -> Snapshot:
        with _undone(self.catalog.folder / name, texts):
            return adopt(self.catalog, staging, name, texts, proofs="")

    def _texts(self, file: Path, name: str, sha256: str, found: FoundFile) -> dict[str, str]:
        """Return the contents of the files beside it, by suffix; the manifest comes last."""
        of_cluster = check_archive(file).description
        if of_cluster:
            _refuse_other_shards(file, found, of_cluster.shard_set)
        described = _described(file)
        reading = self._reading(file, sha256, described)
        probes = dump_probes(reading.probes)
        manifest = _manifest(found, described, reading, name, sha256, probes)
        manifest = replace(manifest, size_bytes=file.stat().st_size, label=self.label or None)
        if of_cluster:
            manifest = replace(
                manifest,
                qdrant_version=of_cluster.qdrant_version,
                shard_set=reading.sealing(of_cluster.shard_set),
            )
        return {
            FINGERPRINT_SUFFIX: json.dumps(reading.fingerprint.as_json()) + "\n",
            **({PROBES_SUFFIX: probes} if probes else {}),
            MANIFEST_SUFFIX: dump_manifest(manifest.sealed_with(reading.seal())),
        }

    def _reading(self, file: Path, sha256: str, described: Described) -> Reading:
        """Read a file; a fresh server does, if only a server knows what it restores."""
        sanity = {}
        try:
            contents, seconds = read_file(
                file, None, self.progress, payload_schema=described.payload_schema
            )
            if not contents.pending_count:
                return reading_of(contents, seconds)
            sanity = contents.sanity
        except OldStorage as error:
            self.progress.note(error.message)
        reading = read_on_fresh_server(
            file,
            version=self.servers.version,
            sha256=sha256,
            servers=self.servers,
            progress=self.progress,
            payload_schema=described.payload_schema,
        )
        return replace(reading, sanity=sanity)

    def _hash(self, file: Path) -> str:
        label, total = f"reading {printable(file.name)}", file.stat().st_size
        with self.progress.phase(label, total_bytes=total) as advance:
            return sha256_of(file, advance=advance)


def _refuse_other_shards(file: Path, found: FoundFile, shard_set: ShardSet) -> None:
    """Refuse shards that were swapped or changed; Qdrant never checks of which shard a file is."""
    if other := other_shards(file, shard_set):
        raise Damaged(
            f"{printable(found.name)} has other bytes of shard {', '.join(map(str, other))} than"
            f" its {DESCRIPTION} says.",
            hint="Copy it again from where it was taken, with its manifest if there is one.",
        )


def _described(file: Path) -> Described:
    described = describe_alone(file)
    if described is None:
        raise Refused(
            f"{file.name} describes its collection in an unknown form.",
            hint="Another version of Qdrant made it. Restore it there, and take a new snapshot with"
            " `inv snapshot.create`.",
        )
    return described


def _manifest(
    found: FoundFile,
    described: Described,
    reading: Reading,
    name: str,
    sha256: str,
    probes: str | None,
) -> Manifest:
    count = reading.fingerprint.points_count
    return Manifest(
        collection=found.collection,
        snapshot=name,
        created_at=found.taken_at,
        size_bytes=found.size_bytes,
        sha256=sha256,
        qdrant_version=UNKNOWN,
        source_url=f"file:{found.name}",
        points_count=count,
        source_points_before=count,
        source_points_after=count,
        source_moved=False,
        config=described.config,
        payload_schema=described.payload_schema,
        unsettled_indexes=described.unsettled,
        aliases=(),
        sanity=reading.sanity or None,
        probes_file=ProbesFile.of(probes) if probes else None,
        index_counts=tuple(count.as_json() for count in reading.index_counts),
        imported=True,
    )


@contextmanager
def _undone(final: Path, texts: Mapping[str, str]) -> Iterator[None]:
    """Remove the files beside a snapshot again, if it cannot be catalogued."""
    try:
        yield
    except BaseException:
        if not (os.path.lexists(final) and load_snapshot(final).is_imported):
            for suffix in texts:
                final.with_name(final.name + suffix).unlink(missing_ok=True)
        raise
