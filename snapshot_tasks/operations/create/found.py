"""A snapshot file that another tool made: what its name says of it, and a copy of it."""

from __future__ import annotations

import gzip
import hashlib
import re
import shutil
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from snapshot_tasks.domain.names import check_collection, parse_name
from snapshot_tasks.system.errors import Damaged, NotFound, SettingsError, StorageError, TaskError
from snapshot_tasks.system.files import CHUNK_BYTES, storage_errors
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.untrusted import printable

GZIP = b"\x1f\x8b"
# Space for what else is written to this disk in the meantime.
SPARE_BYTES = 64 << 20
# A browser adds the number of a second download to the name.
_ADDED = re.compile(r"(\.snapshot)? \(\d+\)|\.gz", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A file to import. `is_dated` says whether its name has the time at which it was taken."""

    file: Path
    collection: str
    taken_at: datetime
    is_dated: bool
    is_gzip: bool
    size_bytes: int

    @property
    def name(self) -> str:
        """Its name, harmless to a terminal."""
        return printable(self.file.name)

    def require_room(self, folder: Path) -> None:
        """Check that a folder has the space for a copy.

        Raises:
            StorageError: if it has not. How much a gzip file needs is only known at its end.
        """
        free = shutil.disk_usage(folder).free
        if free < self.size_bytes + SPARE_BYTES:
            raise StorageError(
                f"A copy of {self.name} needs {self.size_bytes:,} bytes in {folder}, but only"
                f" {free:,} are free.",
                hint="Free space there, or choose another folder with QDRANT_SNAPSHOT_DIR.",
            )


def find_file(file: Path, collection: str = "") -> FoundFile:
    """Return what is known of a file; without a collection, its name says which.

    Raises:
        NotFound: if there is no such file.
        SettingsError: if neither says the collection.
        StorageError: if it cannot be read.
    """
    if not file.is_file():
        raise NotFound(
            f"There is no file {printable(str(file))}.",
            hint="Give the path of a snapshot file, such as one that Qdrant's dashboard saved.",
        )
    with _readable(file), file.open("rb") as stream:
        is_gzip, status = stream.read(len(GZIP)) == GZIP, file.stat()
    named, dated = parse_name(_ADDED.sub("", file.name))
    if not (collection or named):
        raise SettingsError(
            f"The name of {printable(file.name)} does not say of which collection it is.",
            hint="Name it with `--collection NAME`.",
        )
    check_collection(collection or str(named))
    return FoundFile(
        file=file,
        collection=collection or str(named),
        taken_at=dated or datetime.fromtimestamp(int(status.st_mtime), UTC),
        is_dated=dated is not None,
        is_gzip=is_gzip,
        size_bytes=status.st_size,
    )


def take_copy(found: FoundFile, into: Path, progress: Progress) -> str:
    """Copy a file, unpacked if it is compressed by gzip; return the SHA-256 of the copy.

    Raises:
        Damaged: if it cannot be unpacked.
        StorageError: if it cannot be read, or there is no space for it.
    """
    digest = hashlib.sha256()
    doing = "unpacking and copying" if found.is_gzip else "copying"
    total = None if found.is_gzip else found.size_bytes
    with (
        progress.phase(f"{doing} {found.name}", total_bytes=total) as advance,
        storage_errors(into.parent),
        into.open("wb") as copy,
    ):
        for chunk in _chunks(found):
            _require_spare(into.parent, len(chunk))
            copy.write(chunk)
            digest.update(chunk)
            advance(len(chunk))
    return digest.hexdigest()


@contextmanager
def named_as(path: Path, name: str) -> Iterator[None]:
    """Let errors speak of a file by the name that its user knows."""
    try:
        yield
    except TaskError as error:
        error.message = error.message.replace(path.name, printable(name))
        error.hint = error.hint.replace(path.name, printable(name))
        raise


def _chunks(found: FoundFile) -> Iterator[bytes]:
    try:
        with _readable(found.file), found.file.open("rb") as raw:
            stream = gzip.GzipFile(fileobj=raw) if found.is_gzip else raw
            while chunk := stream.read(CHUNK_BYTES):
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Damaged(
            f"{found.name} is compressed by gzip and cannot be unpacked: {error}.",
            hint="Download it again.",
        ) from error


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    try:
        yield
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        raise StorageError(
            f"Cannot read {printable(str(file))}: {error.strerror or error}.",
            hint="Give this user permission to read it, and check its disk.",
        ) from error


def _require_spare(folder: Path, more_bytes: int) -> None:
    """Stop before a file that grows without end fills the disk."""
    if shutil.disk_usage(folder).free < more_bytes + SPARE_BYTES:
        raise StorageError(
            f"There is not enough space in {folder} for the unpacked file.",
            hint="Free space there, or choose another folder with QDRANT_SNAPSHOT_DIR.",
        )
