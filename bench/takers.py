"""The contestants for taking a snapshot of a live collection, each until the file is synced."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from bench.contestant import Asked, Contestant
from bench.data import NAME, endpoint_of
from bench.readers import edge_read, edge_values_unpacked
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.collection import ServerSnapshot
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.reader import read_contents
from snapshot_tasks.system.progress import Silent

# The chunk size of widely copied scripts.
SCRIPT_CHUNK_BYTES = 8192


def shell(*argv: str) -> str:
    """Run a program and return what it prints."""
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def curl_minimum(asked: Asked) -> int:
    """The bare minimum by hand: create, download unchanged, hash, sync."""
    url = f"{asked['url']}/collections/{NAME}/snapshots"
    with tempfile.TemporaryDirectory(dir=asked["folder"]) as folder:
        file = f"{folder}/snapshot"
        asked["clock"]()
        name = json.loads(shell("curl", "-sf", "-X", "POST", url))["result"]["name"]
        identity = "Accept-Encoding: identity"
        shell("curl", "-sf", "-H", identity, "-o", file, f"{url}/{name}")
        shell("sha256sum", file)
        shell("sync", file)
        asked["clock"](end=True)
        shell("curl", "-sf", "-X", "DELETE", f"{url}/{name}")
        return Path(file).stat().st_size


def script(asked: Asked) -> int:
    """What scripts do: qdrant-client creates it, requests downloads it in small chunks."""
    from qdrant_client import QdrantClient

    client = QdrantClient(url=asked["url"], timeout=600, check_compatibility=False)
    with tempfile.TemporaryDirectory(dir=asked["folder"]) as folder:
        file = Path(folder) / "snapshot"
        asked["clock"]()
        made = client.create_snapshot(NAME)
        assert made
        _requests_download(f"{asked['url']}/collections/{NAME}/snapshots/{made.name}", file)
        asked["clock"](end=True)
        client.delete_snapshot(NAME, made.name)
        size = file.stat().st_size
    client.close()
    return size


def _requests_download(url: str, file: Path) -> None:
    import requests

    with requests.get(url, stream=True, timeout=600) as response, file.open("wb") as output:
        for chunk in response.iter_content(chunk_size=SCRIPT_CHUNK_BYTES):
            output.write(chunk)


def taken(asked: Asked, collection: str, *, seal: bool, stream: bool = False) -> int:
    """Run this project's create, and return the size of the file."""
    with (
        tempfile.TemporaryDirectory(dir=asked["folder"]) as folder,
        Server(endpoint_of(asked), operation_timeout_seconds=3600) as server,
    ):
        request = CreateRequest(collection=collection, seal=seal, stream=stream)
        catalog = Catalog(Path(folder))
        asked["clock"]()
        snapshot = create(
            request, server, catalog, Silent(), clock=lambda: datetime.now(UTC)
        ).snapshot
        asked["clock"](end=True)
        return snapshot.size_bytes


def dd(asked: Asked) -> int:
    """Only the disk: the snapshot's bytes read once, written once and synced."""
    with tempfile.TemporaryDirectory(dir=asked["folder"]) as folder:
        copy = f"of={folder}/snapshot"
        shell("dd", f"if={asked['snapshot']}", copy, "bs=1M", "conv=fsync", "status=none")
        asked["clock"](end=True)
    return int(asked["bytes"])


def create_unsealed(asked: Asked) -> int:
    """This project's `create --no-seal`."""
    return taken(asked, NAME, seal=False)


def create_sealed(asked: Asked) -> int:
    """This project's `create`."""
    return taken(asked, NAME, seal=True)


def seal(asked: Asked) -> int:
    """Only what sealing does with the file."""
    read_contents(Path(asked["snapshot"]), Silent())
    return int(asked["bytes"])


def urllib_download(asked: Asked) -> int:
    """The snapshot with Python's own urllib, without hashing."""
    with tempfile.TemporaryFile(dir=asked["folder"]) as output:
        asked["clock"]()
        with urlopen(_snapshot_url(asked)) as response:
            while chunk := response.read(1 << 20):
                output.write(chunk)
        asked["clock"](end=True)
        return output.tell()


def requests_download(asked: Asked) -> int:
    """The snapshot with requests and its defaults, which ask for compression."""
    with tempfile.TemporaryDirectory(dir=asked["folder"]) as folder:
        file = Path(folder) / "snapshot"
        asked["clock"]()
        _requests_download(_snapshot_url(asked), file)
        asked["clock"](end=True)
        return file.stat().st_size


def hashed_download(asked: Asked) -> int:
    """The snapshot as this project downloads it, hashed on the way."""
    name, size_bytes = asked["server_snapshot"], asked["server_bytes"]
    made = ServerSnapshot(name=name, size_bytes=size_bytes, sha256=None)
    digest: Any = hashlib.sha256()
    with (
        tempfile.TemporaryFile(dir=asked["folder"]) as output,
        Server(endpoint_of(asked), operation_timeout_seconds=3600) as server,
    ):

        def take(chunk: bytes) -> None:
            digest.update(chunk)
            output.write(chunk)

        asked["clock"]()
        server.snapshots.download(NAME, made, take)
        asked["clock"](end=True)
        return output.tell()


def _snapshot_url(asked: Asked) -> str:
    return f"{asked['url']}/collections/{NAME}/snapshots/{asked['server_snapshot']}"


CONTESTANTS: dict[str, Contestant] = {
    "dd: copy the file, sync": dd,
    "curl: create, download, sha256sum, sync": curl_minimum,
    "script: qdrant-client and requests": script,
    "create --no-seal": create_unsealed,
    "create": create_sealed,
    "seal": seal,
    "Qdrant Edge: unpack, read": edge_read,
    "Qdrant Edge: unpack, touch every value": edge_values_unpacked,
    "urllib": urllib_download,
    "requests with its defaults": requests_download,
    "download with sha256": hashed_download,
}
