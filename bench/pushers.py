"""The contestants for copies off-site: into a folder, and back from an S3 server on loopback."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

import pyrage

from bench.contestant import Asked, Contestant
from bench.link import limited
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.packs import PACK_BYTES, PACKS
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.offsite.assemble import WIDTH
from snapshot_tasks.operations.offsite.listing import list_remote
from snapshot_tasks.operations.offsite.pull import pull
from snapshot_tasks.operations.offsite.push import PushRequest, push
from snapshot_tasks.storage.base import Store
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.progress import Silent
from tests.support.stores import S3_KEYS, s3_bucket, s3_server

COLLECTION = "bench"
# Bytes a second: a line of 240 Mbit/s.
LINK = 30e6


class Desk:
    """A folder to work in: a place, snapshots that lie beside each other, and an age identity."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / "place"
        self.snapshots, self.pulled = folder / "snapshots", folder / "pulled"
        for each in (self.place, self.snapshots, self.pulled):
            each.mkdir()
        identity = pyrage.x25519.Identity.generate()
        self.identity = folder / "identity"
        self.identity.write_text(f"{identity}\n", encoding="utf-8")
        self.packer = Packer((str(identity.to_public()),))

    def store(self) -> Store:
        """Return the place as this project opens it."""
        return open_store(str(self.place), {})

    def push(self, snapshot: str, store: Store) -> int:
        """Push one snapshot, and return how many bytes were sent."""
        file = self.snapshots / Path(snapshot).name
        os.link(snapshot, file)
        request = PushRequest(
            snapshot=Catalog(self.snapshots).find(file.name),
            packer=self.packer,
            cache=self.snapshots,
            collection=COLLECTION,
        )
        return push(request, Repository(store), Silent()).sent_bytes


@contextmanager
def desk(asked: Asked) -> Iterator[Desk]:
    """Work in a folder for the block."""
    with tempfile.TemporaryDirectory(dir=asked["folder"]) as folder:
        yield Desk(Path(folder))


def push_first(asked: Asked) -> int:
    """The first snapshot into an empty place."""
    with desk(asked) as at:
        asked["clock"]()
        asked["sent"] = at.push(asked["snapshot"], at.store())
        asked["clock"](end=True)
    return int(asked["bytes"])


def push_changed(asked: Asked) -> int:
    """The next snapshot, after one point in a hundred was overwritten."""
    with desk(asked) as at:
        at.push(asked["snapshot"], at.store())
        asked["clock"]()
        asked["sent"] = at.push(asked["changed"], at.store())
        asked["clock"](end=True)
    return Path(asked["changed"]).stat().st_size


def parts(asked: Asked) -> int:
    """All of the file in parts of 32 MiB, as this project pushed before it had blocks."""
    with desk(asked) as at, Path(asked["snapshot"]).open("rb") as file:
        store, whole, sent = at.store(), hashlib.sha256(), 0
        asked["clock"]()
        while part := file.read(PACK_BYTES):
            whole.update(part)
            stored = at.packer.pack(part)
            store.write(f"parts/{hashlib.sha256(part).hexdigest()}", stored)
            sent += len(stored)
        asked["clock"](end=True)
    asked["sent"] = sent
    return int(asked["bytes"])


def _restic(at: Desk, repository: str, *argv: str) -> None:
    program = shutil.which("restic")
    if program is None:
        raise SystemExit("Install restic, which `inv bench` compares pushes with.")
    variables = {"RESTIC_PASSWORD": "bench", "RESTIC_CACHE_DIR": str(at.folder / "cache")}
    command = [program, "--quiet", "--repo", repository, *argv]
    subprocess.run(command, check=True, env={**os.environ, **S3_KEYS, **variables})


def _backup(at: Desk, snapshot: str, repository: str) -> None:
    """Back up one snapshot under the same path as others, so that restic finds the last one."""
    source = at.snapshots / "snapshot"
    source.unlink(missing_ok=True)
    os.link(snapshot, source)
    _restic(at, repository, "backup", str(source))


def restic_first(asked: Asked) -> int:
    """The first snapshot into an empty repository of restic."""
    with desk(asked) as at:
        _restic(at, str(at.place), "init")
        before = _used_bytes(at.place)
        asked["clock"]()
        _backup(at, asked["snapshot"], str(at.place))
        asked["clock"](end=True)
        asked["sent"] = _used_bytes(at.place) - before
    return int(asked["bytes"])


def restic_changed(asked: Asked) -> int:
    """The next snapshot by restic."""
    with desk(asked) as at:
        _restic(at, str(at.place), "init")
        _backup(at, asked["snapshot"], str(at.place))
        before = _used_bytes(at.place)
        asked["clock"]()
        _backup(at, asked["changed"], str(at.place))
        asked["clock"](end=True)
        asked["sent"] = _used_bytes(at.place) - before
    return Path(asked["changed"]).stat().st_size


def _used_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _pushed(asked: Asked, speed: float | None) -> Iterator[tuple[Desk, Store]]:
    """Push the first snapshot to an S3 server for the block; reach it at this speed then."""
    with desk(asked) as at, s3_server() as server:
        bucket = s3_bucket(server, COLLECTION)
        at.push(asked["snapshot"], bucket.open())
        with limited(server, speed) if speed else nullcontext(server) as reached:
            yield at, bucket.open(AWS_ENDPOINT_URL=reached)


def get(asked: Asked, *, width: int, speed: float | None = None) -> int:
    """The bytes of all packs, as they are stored, into one file."""

    def take(name: str) -> None:
        with tempfile.TemporaryFile(dir=at.folder) as output:
            for chunk in store.read(name):
                output.write(chunk)

    with _pushed(asked, speed) as (at, store), ThreadPoolExecutor(width) as pool:
        names = [stored.name for stored in store.list(PACKS)]
        asked["clock"]()
        list(pool.map(take, names))
        asked["clock"](end=True)
    return int(asked["bytes"])


def pull_all(asked: Asked, *, speed: float | None = None) -> int:
    """A pull into an empty folder."""
    with _pushed(asked, speed) as (at, store):
        (remote,) = list_remote([Repository(store)]).remotes
        asked["clock"]()
        pull(remote, Catalog(at.pulled), Unpacker(at.identity), Silent())
        asked["clock"](end=True)
    return int(asked["bytes"])


def restic_restore(asked: Asked) -> int:
    """A restore by restic from the same kind of server."""
    with desk(asked) as at, s3_server() as server:
        s3_bucket(server, COLLECTION)
        repository = f"s3:{server}/{COLLECTION}/restic"
        _restic(at, repository, "init")
        _backup(at, asked["snapshot"], repository)
        asked["clock"]()
        _restic(at, repository, "restore", "latest", "--target", str(at.pulled))
        asked["clock"](end=True)
    return int(asked["bytes"])


_S3: dict[str, Callable[[Asked], int]] = {
    "S3: get, one pack after the other": partial(get, width=1),
    "S3: get, side by side": partial(get, width=WIDTH),
    "S3: restic restore": restic_restore,
    "S3: pull": pull_all,
    "S3 at 30 MB/s: get, side by side": partial(get, width=WIDTH, speed=LINK),
    "S3 at 30 MB/s: pull": partial(pull_all, speed=LINK),
}
CONTESTANTS: dict[str, Contestant] = {
    "parts of 32 MiB, all of them": parts,
    "restic backup, first": restic_first,
    "push, first": push_first,
    "restic backup, 1 % changed": restic_changed,
    "push, 1 % changed": push_changed,
    **_S3,
}
