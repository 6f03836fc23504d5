"""The catalogue: every snapshot in the snapshot folder, with or without a manifest."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from snapshot_tasks.catalog.journal import Journal
from snapshot_tasks.catalog.load import load_snapshot
from snapshot_tasks.catalog.lock import Use, folder_lock
from snapshot_tasks.domain.fingerprint import Fingerprint
from snapshot_tasks.domain.manifest import Manifest, dump_manifest
from snapshot_tasks.domain.names import (
    MANIFEST_SUFFIX,
    SUFFIX,
    check_collection,
    fingerprint_path,
    latest_name,
    manifest_path,
    paths_beside,
    probes_path,
    snapshot_names,
)
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import NotFound
from snapshot_tasks.system.files import (
    UNCHANGING,
    point_link,
    publish,
    remove_stagings,
    staging_file,
    storage_errors,
    sync_directory,
    write_text,
)
from snapshot_tasks.system.nearest import meant, nearest

# A snapshot under this name is being removed.
DROPPED_PREFIX = ".drop-"
# What some hundred manifests consist of.
MANY_OBJECTS = 100_000
_TAKE_ONE = "Take one with `inv snapshot.create`, or choose one from `inv snapshot.list`."


class Catalog:
    """Reads one snapshot folder, adds snapshots and deletes them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def journal(self) -> Journal:
        """The operations that runs have started on a server; use it only under the lock."""
        return Journal(self.folder)

    def lock(
        self, task: str, *, use: Use = Use.WRITE, wait_seconds: float = 0.0
    ) -> AbstractContextManager[None]:
        """Lock the folder for one run. Raises `Locked` if another run is in its way for longer."""
        return folder_lock(self.folder, task=task, use=use, wait_seconds=wait_seconds)

    def make_folder(self) -> None:
        """Create the folder if it is missing. Raises `StorageError` if that is not possible."""
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def entries(self, collection: str | None = None) -> list[Snapshot]:
        """Return the snapshots, newest first, of one collection or of all."""
        found: list[Snapshot] = []
        with _no_collector():
            for item in _scan(self.folder):
                if _is_snapshot(item):
                    # Another run may be removing it right now.
                    with suppress(FileNotFoundError):
                        found.append(load_snapshot(Path(item.path)))
        wanted = [s for s in found if collection is None or s.collection == collection]
        return sorted(wanted, key=lambda s: (s.created_at, len(s.name), s.name), reverse=True)

    def collections(self, entries: Iterable[Snapshot] | None = None) -> list[str]:
        """Return the collections that have a snapshot to restore by default.

        A collection whose latest link dangles counts too, because the user should know about it.
        `entries` are the snapshots if they were read already.
        """
        entries = self.entries() if entries is None else entries
        taken = {s.collection for s in entries if s.collection and not s.is_safety}
        return sorted(taken | {name for item in _scan(self.folder) if (name := _pointer_of(item))})

    def newest(self, collection: str) -> Snapshot:
        """Return the newest snapshot of a collection.

        A dangling link is an error: the newest snapshot is missing, and an older one must not be
        used in its place.

        Raises:
            NotFound: if there is none, or the latest link or that of the newest snapshot dangles.
        """
        check_collection(collection)
        self._check_pointer(self.folder / latest_name(collection))
        entries = [s for s in self.entries(collection) if not s.is_safety]
        if not entries:
            raise self.none_of(collection)
        if entries[0].is_lost:
            entries[0].check_manifest()
        return entries[0]

    def none_of(self, collection: str) -> NotFound:
        """Return the error for a collection without a snapshot; its name may be an alias."""
        owners = {
            s.collection
            for s in self.entries()
            if s.manifest and s.collection and collection in s.manifest.aliases
        }
        hint = f"{meant(nearest(collection, self.collections()))}{_TAKE_ONE}"
        if owners:
            names = " or ".join(f"`--collection {name}`" for name in sorted(owners))
            hint = f"This name was an alias when a snapshot was taken; use {names}."
        return NotFound(f"There is no snapshot of {collection} in {self.folder}.", hint=hint)

    def find(self, reference: str) -> Snapshot:
        """Return the snapshot that a path or a catalogued name refers to.

        Raises:
            NotFound: if there is no such file.
        """
        name = reference if reference.endswith(SUFFIX) else reference + SUFFIX
        for path in (Path(reference), self.folder / reference, self.folder / name):
            self._check_pointer(path)
            if os.path.isfile(path):
                return load_snapshot(_followed(path))
        raise NotFound(f"The snapshot {reference} does not exist.", hint=_TAKE_ONE)

    def latest_target(self, collection: str) -> Path | None:
        """Return the target of the latest link; None without a link, `NotFound` if it dangles."""
        link = self.folder / latest_name(collection)
        self._check_pointer(link)
        return link.resolve() if os.path.islink(link) else None

    def held(self, collection: str) -> dict[str, str]:
        """Return the names of files that something else needs, each with the reason."""
        held = dict.fromkeys(self.journal.needed(), "an interrupted run still needs it")
        link = self.folder / latest_name(collection)
        if os.path.islink(link):
            held[os.path.basename(os.readlink(link))] = f"{link.name} points to it"  # noqa: PTH119
        return held

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Yield a hidden path for a new snapshot, after removing leftovers of killed runs."""
        with storage_errors(self.folder):
            remove_stagings(self.folder)
            self.finish_drops()
            with staging_file(self.folder) as path:
                yield path

    def free_name(self, collection: str, taken_at: datetime) -> str:
        """Return a name that neither a snapshot nor a manifest without its snapshot has."""
        check_collection(collection)
        return next(
            name
            for name in snapshot_names(collection, taken_at)
            if not os.path.lexists(self.folder / name)
            and not os.path.lexists(self.folder / (name + MANIFEST_SUFFIX))
        )

    def add(
        self,
        staging: Path,
        manifest: Manifest,
        fingerprint: Fingerprint | None = None,
        probes: str | None = None,
    ) -> Snapshot:
        """Publish a staged file under the name in its manifest, and point the latest link to it.

        `probes` is the text of the searches that the manifest records.

        The other files are written first: they are invisible without the snapshot, so a snapshot
        is never visible without its manifest.
        """
        final = self.folder / manifest.snapshot
        others = {manifest_path(final): dump_manifest(manifest)}
        if fingerprint:
            others[fingerprint_path(final)] = json.dumps(fingerprint.as_json()) + "\n"
        if probes is not None:
            others[probes_path(final)] = probes
        with storage_errors(self.folder):
            try:
                for path, text in others.items():
                    write_text(path, text)
                publish(staging, final, mode=UNCHANGING)
            except BaseException:
                for path in others:
                    path.unlink(missing_ok=True)
                raise
            sync_directory(self.folder)
            if not manifest.safety:
                self.point_latest(manifest.collection, final.name)
        return load_snapshot(final)

    def point_latest(self, collection: str, name: str) -> None:
        """Point the latest link to a snapshot; the caller must hold the lock.

        A file that someone put in its place keeps its bytes, under a name that says no collection.
        """
        link = self.folder / latest_name(collection)
        if os.path.lexists(link) and not os.path.islink(link):
            names = (f"{collection}_latest.{number}{SUFFIX}" for number in count(1))
            kept = next(n for n in names if not os.path.lexists(self.folder / n))
            link.rename(self.folder / kept)
        point_link(link, name)

    def drop(self, snapshot: Snapshot) -> None:
        """Delete a snapshot with all its files; the caller must hold the lock.

        One rename makes it invisible, so half a snapshot is never visible. After a crash,
        `finish_drops` completes the deletion.
        """
        hidden = self.folder / f"{DROPPED_PREFIX}{snapshot.name}"
        with storage_errors(self.folder):
            os.replace(self.folder / snapshot.name, hidden)
            sync_directory(self.folder)
            self._finish_drop(hidden)

    def finish_drops(self) -> None:
        """Complete the deletions of killed runs; the caller must hold the lock."""
        for hidden in self.folder.glob(f"{DROPPED_PREFIX}*{SUFFIX}"):
            if hidden.is_file():
                with storage_errors(self.folder):
                    self._finish_drop(hidden)

    def _finish_drop(self, hidden: Path) -> None:
        visible = self.folder / hidden.name.removeprefix(DROPPED_PREFIX)
        # If the file exists again, someone restored it, and the other files belong to it.
        if not os.path.lexists(visible):
            for path in paths_beside(visible):
                # The name may be too long to have other files, and a folder is not ours.
                if os.path.lexists(path) and not path.is_dir():
                    path.unlink(missing_ok=True)
            sync_directory(self.folder)
        hidden.unlink(missing_ok=True)

    @staticmethod
    def _check_pointer(link: Path) -> None:
        if os.path.islink(link) and not os.path.exists(link):
            raise NotFound(
                f"{link.name} points to {os.readlink(link)}, which does not exist.",
                hint=f"Restore that file, or remove {link} to use the newest snapshot left.",
            )


@contextmanager
def _no_collector() -> Iterator[None]:
    """Keep the garbage collector from looking at all manifests again and again.

    They contain no cycles, and in a large folder it took most of the time. Those of a small folder
    are not worth it.
    """
    was_enabled, before = gc.isenabled(), sum(gc.get_count())
    gc.disable()
    try:
        yield
        if sum(gc.get_count()) - before > MANY_OBJECTS:
            gc.freeze()
    finally:
        if was_enabled:
            gc.enable()


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return list(items)
    except FileNotFoundError:
        return []
    except OSError as error:
        with storage_errors(folder):
            raise error
        raise


def _is_snapshot(item: os.DirEntry[str]) -> bool:
    """Return whether a snapshot has this name, even if its file lies elsewhere or is lost.

    Another name for a file of the same folder, such as the latest link, is no other snapshot.
    """
    if not item.name.endswith(SUFFIX) or item.name.startswith(DROPPED_PREFIX):
        return False
    if not item.is_symlink():
        return item.is_file(follow_symlinks=False)
    if item.name.endswith(latest_name("")):
        return False
    if os.path.lexists(manifest_path(Path(item.path))):
        return True
    target = os.path.realpath(item.path)
    return os.path.dirname(target) != os.path.realpath(os.path.dirname(item.path))  # noqa: PTH120


def _followed(path: Path) -> Path:
    """Return the snapshot that a name means: the target of a link, unless the link has a manifest.

    A snapshot that was moved to another disk left a link, and its other files beside the link.
    """
    while path.is_symlink() and not os.path.lexists(manifest_path(path)):
        path = path.parent / os.readlink(path)
    return path.parent.resolve() / path.name


def _pointer_of(item: os.DirEntry[str]) -> str | None:
    """Return the collection of a latest link, or None if this is not one."""
    suffix = latest_name("")
    return (
        item.name.removesuffix(suffix) if item.is_symlink() and item.name.endswith(suffix) else None
    )
