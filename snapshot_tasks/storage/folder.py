"""A folder as a store: another disk, a network share, a memory stick.

It is written by hand, because copies must survive a power failure: every object is synced before it
gets its name, and the name is synced before anything relies on it.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from snapshot_tasks.storage.base import TOO_LONG, AlreadyThere, Protected, Stored
from snapshot_tasks.storage.place import Place
from snapshot_tasks.system.errors import Damaged, NotFound, Refused, StorageError
from snapshot_tasks.system.files import (
    CHUNK_BYTES,
    PUBLIC,
    STAGING_PREFIX,
    publish,
    storage_errors,
    suppress_unsupported,
    sync_directory,
)
from snapshot_tasks.system.locks import lock, try_lock

MAX_LISTED = 1000
MAX_NAME_BYTES = 255
_KEPT = (errno.EPERM, errno.EACCES, errno.EROFS)
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS)


class FolderStore:
    """Objects are files below one folder, which must exist because it may be a mount point."""

    def __init__(self, place: Place, variables: Mapping[str, str]) -> None:
        self.url = place.url
        self._root = Path(place.prefix)
        self._exact: set[Path] = set()

    def check_name(self, name: str) -> None:
        """Check the length of each part of a name, and that each folder there is called so."""
        self._check_root()
        longest = max(len(part.encode()) for part in name.split("/"))
        if longest > MAX_NAME_BYTES:
            raise Refused(
                f"The names of the files would be longer than {self._root} allows: {longest} bytes,"
                f" not {MAX_NAME_BYTES}.",
                hint=TOO_LONG,
            )
        with storage_errors(self._root, setting="QDRANT_OFFSITE_URL"):
            for parent in reversed(Path(name).parents[:-1]):
                self._check_exact(self._root / parent)

    def _check_exact(self, folder: Path) -> None:
        """Check that a folder, if it is there, has no other name that means the same to the disk.

        Names that differ only in case do on some, and so do those that end with a dot.
        """
        if folder in self._exact or not folder.exists():
            return
        if folder not in folder.parent.iterdir():
            raise Refused(
                f"The disk of {self._root} does not tell {folder.name} from another name there.",
                hint="Push this collection to another place or prefix.",
            )
        self._exact.add(folder)

    def list(self, folder: str) -> Iterator[Stored]:
        """Yield the files below a folder, without leftovers of killed writes."""
        self._check_root()
        top = self._root / folder
        for parent, _, files in os.walk(top, onerror=self._raise):
            for file in (f for f in files if not f.startswith(STAGING_PREFIX)):
                path = Path(parent, file)
                with suppress(FileNotFoundError), self._reading(path):
                    found = path.stat()
                    yield Stored(
                        name=path.relative_to(self._root).as_posix(),
                        size_bytes=found.st_size,
                        modified_at=datetime.fromtimestamp(found.st_mtime, UTC),
                    )

    def folders(self) -> Iterator[str]:
        """Yield the names of the folders in this one."""
        self._check_root()
        with self._reading(self._root), os.scandir(self._root) as found:
            yield from (one.name for one in islice(found, MAX_LISTED) if one.is_dir())

    def read(self, name: str, *, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield a file's bytes."""
        self._check_root()
        path = self._root / name
        with self._reading(path):
            try:
                file = path.open("rb")
            except FileNotFoundError:
                raise NotFound(
                    f"{path} does not exist.", hint="See `inv snapshot.list --remote`."
                ) from None
            with file:
                file.seek(offset)
                end = None if size is None else offset + size
                while chunk := file.read(_up_to(end, offset)):
                    offset += len(chunk)
                    yield chunk

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write a file durably; it gets its name by one rename, or by a link if it must be new."""
        self._check_root()
        path = self._root / name
        with storage_errors(self._root, setting="QDRANT_OFFSITE_URL"):
            self._clear_stagings()
            self._make_parents(path.parent)
            with _locked_staging(self._root) as staging:
                staging.write_bytes(data)
                if new:
                    _publish_new(staging, path)
                else:
                    publish(staging, path)
            sync_directory(path.parent)

    def delete(self, name: str) -> None:
        """Delete a file, and the folders that are empty afterwards."""
        self._check_root()
        path = self._root / name
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            if error.errno in _KEPT:
                raise Protected(
                    f"{path} could not be deleted: {error.strerror}.",
                    hint="It is protected; nothing else was affected. Run prune again after the"
                    " protection expires.",
                ) from error
            raise self._lost(path, error) from error
        with suppress(OSError):
            for parent in path.relative_to(self._root).parents[:-1]:
                (self._root / parent).rmdir()

    def _clear_stagings(self) -> None:
        """Remove leftovers of killed writes; the kernel has released their locks."""
        for path in self._root.glob(f"{STAGING_PREFIX}*"):
            with suppress(OSError), path.open("rb") as file:
                if try_lock(file):
                    path.unlink()

    def _make_parents(self, folder: Path) -> None:
        for parent in reversed([folder, *folder.parents]):
            if parent.is_relative_to(self._root) and not parent.exists():
                parent.mkdir(exist_ok=True)
                self._check_exact(parent)
                sync_directory(parent.parent)

    def _check_root(self) -> None:
        if not self._root.is_dir():
            raise StorageError(
                f"The folder {self._root} does not exist.",
                hint="Mount its disk, or create the folder. It is never created automatically, so"
                " that a disk that is not mounted does not go unnoticed.",
            )

    @contextmanager
    def _reading(self, path: Path) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno == errno.EIO:
                # The disk answers, and has lost this file: another copy may be whole.
                raise Damaged(
                    f"{path} cannot be read: {error.strerror}.",
                    hint="Check that disk, and copy everything to another one.",
                ) from error
            raise self._lost(path, error) from error

    def _raise(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise self._lost(self._root, error) from error

    @staticmethod
    def _lost(path: Path, error: OSError) -> StorageError:
        reason = error.strerror or str(error)
        return StorageError(f"{path}: {reason}.", hint="Check that disk, then run this again.")


def _up_to(end: int | None, position: int) -> int:
    return CHUNK_BYTES if end is None else min(CHUNK_BYTES, end - position)


@contextmanager
def _locked_staging(folder: Path) -> Iterator[Path]:
    """Yield a new hidden file that is locked, so that no other run takes it for a leftover."""
    while True:
        path = folder / f"{STAGING_PREFIX}{secrets.token_hex(8)}"
        with path.open("xb") as file:
            lock(file)
            if not path.exists():
                # Another run removed it before it was locked.
                continue
            try:
                yield path
            finally:
                path.unlink(missing_ok=True)
            return


def _publish_new(staging: Path, path: Path) -> None:
    """Give a staging file a name that does not exist yet, even if others try at the same time."""
    with suppress_unsupported():
        staging.chmod(PUBLIC)
    with staging.open("rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(staging, path)
    except FileExistsError:
        raise AlreadyThere(f"{path} already exists.", hint="Nothing was changed.") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if path.exists():
            raise AlreadyThere(f"{path} already exists.", hint="Nothing was changed.") from None
        os.replace(staging, path)
