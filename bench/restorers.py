"""The contestants for restoring a snapshot, each until the collection is green."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

from bench.contestant import Asked, Contestant
from bench.data import NAME, endpoint_of
from bench.readers import grpc_bytes
from bench.server import bench_engine
from bench.takers import shell
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.engines.base import FreshRequest
from snapshot_tasks.operations.prove.drill import DrillRequest, drill
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.progress import Silent

COPY = "copy"
JSON = ("-H", "Content-Type: application/json")


def _restored(asked: Asked, work: Callable[[], object]) -> int:
    """Run a restore on a server that does not have the collection yet."""
    with Server(endpoint_of(asked), operation_timeout_seconds=3600) as server:
        if COPY in server.collections.names():
            server.collections.delete(COPY)
        asked["clock"]()
        work()
        asked["clock"](end=True)
        assert server.collections.count(COPY) == asked["points"]
        server.collections.delete(COPY)
    return int(asked["bytes"])


def _recover(url: str, collection: str, file: str, **more: str) -> None:
    body = json.dumps({"location": f"file://{file}", "priority": "snapshot", **more})
    target = f"{url}/collections/{collection}/snapshots/recover?wait=true"
    shell("curl", "-sf", "-X", "PUT", *JSON, "-d", body, target)


def bare_recover(asked: Asked) -> int:
    """Qdrant's own recover from a file, without a checksum."""
    return _restored(asked, lambda: _recover(asked["url"], COPY, asked["snapshot"]))


def bare_recover_checked(asked: Asked) -> int:
    """Qdrant's own recover from a file, with its checksum."""
    checksum = {"checksum": asked["sha256"]}
    return _restored(asked, lambda: _recover(asked["url"], COPY, asked["snapshot"], **checksum))


def curl_upload(asked: Asked, **more: str) -> int:
    """A multipart upload with curl."""
    query = urlencode({"priority": "snapshot", "wait": "true", **more})
    url = f"{asked['url']}/collections/{COPY}/snapshots/upload?{query}"
    form = f"snapshot=@{asked['snapshot']}"
    return _restored(asked, lambda: shell("curl", "-sf", "-X", "POST", "-F", form, url))


def curl_upload_checked(asked: Asked) -> int:
    """A multipart upload with curl, whose checksum Qdrant compares."""
    return curl_upload(asked, checksum=asked["sha256"])


def script_upload(asked: Asked) -> int:
    """What scripts do: requests with `files=`, which reads the whole file into memory."""
    import requests

    url = f"{asked['url']}/collections/{COPY}/snapshots/upload?priority=snapshot&wait=true"

    def work() -> None:
        with Path(asked["snapshot"]).open("rb") as file:
            requests.post(url, files={"snapshot": file}, timeout=3600).raise_for_status()

    return _restored(asked, work)


def _restore(asked: Asked, mounts: tuple[Mount, ...]) -> int:
    path = Path(asked["snapshot"])
    endpoint = Endpoint(url=asked["url"], grpc_port=asked["grpc_port"], mounts=mounts)
    request = RestoreRequest(snapshot=Catalog(path.parent).find(path.name), target=COPY)
    with Server(endpoint, operation_timeout_seconds=3600) as server:
        return _restored(asked, lambda: restore(request, server, Silent()))


def restore_file(asked: Asked) -> int:
    """This project's restore if the server sees the file: verified, restored, compared."""
    folder = Path(asked["snapshot"]).parent
    return _restore(asked, (Mount(host_dir=folder, server_dir=str(folder)),))


def restore_upload(asked: Asked) -> int:
    """This project's restore by upload."""
    return _restore(asked, ())


def bare_drill(asked: Asked) -> int:
    """Only the main steps of a fresh restore test: start, recover, read every point."""
    path, engine = Path(asked["snapshot"]), bench_engine()
    with tempfile.TemporaryDirectory(dir=asked["folder"]):
        asked["clock"]()
        request = FreshRequest(version=asked["version"], folder=path.parent)
        with engine.fresh(request, Silent()) as server:
            _recover(server.endpoint.url, NAME, str(path))
            there = {"url": server.endpoint.url, "grpc_port": server.endpoint.grpc_port}
            grpc_bytes(asked | there)
            asked["clock"](end=True)
    return int(asked["bytes"])


def bare_drill_parts(asked: Asked) -> int:
    """Every step of a fresh restore test in its barest form: the cost of a proof, without one."""
    path, engine = Path(asked["snapshot"]), bench_engine()
    asked["clock"]()
    shell("sha256sum", str(path))
    request = FreshRequest(version=asked["version"], folder=path.parent)
    with engine.fresh(request, Silent()) as server:
        there = {"url": server.endpoint.url, "grpc_port": server.endpoint.grpc_port}
        _recover(server.endpoint.url, NAME, str(path), checksum=asked["sha256"])
        grpc_bytes(asked | there)
        server.restart()
        grpc_bytes(asked | there)
    asked["clock"](end=True)
    return int(asked["bytes"])


def whole_drill(asked: Asked) -> int:
    """This project's fresh restore test, with its restart, second comparison and teardown."""
    path = Path(asked["snapshot"])
    request = DrillRequest(
        snapshot=Catalog(path.parent).find(path.name),
        version=asked["version"],
        operation_timeout_seconds=3600,
    )
    asked["clock"]()
    report = drill(request, bench_engine(), Silent(), clock=lambda: datetime.now(UTC))
    asked["clock"](end=True)
    assert report.error is None, report.error
    return int(asked["bytes"])


CONTESTANTS: dict[str, Contestant] = {
    "recover from file://": bare_recover,
    "recover from file://, with checksum": bare_recover_checked,
    "restore from file://": restore_file,
    "curl: multipart upload": curl_upload,
    "curl: multipart upload, with checksum": curl_upload_checked,
    "script: requests files=": script_upload,
    "restore by upload": restore_upload,
    "start, recover, read every point": bare_drill,
    "hash, start, recover, read, restart, read, stop": bare_drill_parts,
    "test-restore": whole_drill,
}
