"""Runs fresh native Qdrants, one or a cluster, and removes every trace of them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.engines.arguments import load_argv
from snapshot_tasks.engines.base import FreshRequest, FreshServer, LastWords
from snapshot_tasks.engines.native_process import NativeProcess, readable_mounts, wait_ready
from snapshot_tasks.qdrant.nodes import wait_joined
from snapshot_tasks.settings import Settings
from snapshot_tasks.system import files, process
from snapshot_tasks.system.files import storage_errors
from snapshot_tasks.system.scratch import scratch_folder

LOG_LINES = 200
# A disk with less is called full: what a server has mapped keeps the space that it could get.
FULL_BYTES = 4 << 20


@contextmanager
def fresh_native(
    binary: Path, version: str, version_note: str, request: FreshRequest, settings: Settings
) -> Iterator[FreshServer]:
    """Run an empty Qdrant, or a cluster of several, in a temporary folder on free ports.

    Raises:
        Unreachable: if it does not start.
    """
    with _fresh_home(keep=request.keep) as home:
        servers = _servers(binary, home, request, settings)
        started = False
        try:
            servers.start(load_argv(request.load, request.folder.resolve()))
            started = True
            yield FreshServer(
                endpoint=_endpoint(servers.nodes, version, request, settings),
                version_note=version_note,
                restart=servers.restart,
                removal=lambda: f"kill {' '.join(map(str, servers.running))}; rm -r {home}",
                last_words=servers.last_words,
                room_hint="Set TMPDIR to a folder with more free space, on a disk.",
            )
        finally:
            if not (started and request.keep):
                with process.shielded():
                    servers.stop(patience_seconds=5)
                    shutil.rmtree(home, ignore_errors=True)


@dataclass(slots=True, kw_only=True)
class _Servers:
    """The nodes of one drill; `running` are their processes that were started and not stopped."""

    home: Path
    nodes: tuple[NativeProcess, ...]
    ready_seconds: float
    running: list[int] = field(default_factory=list)

    def start(self, load: tuple[str, ...]) -> None:
        """Start the first node, then those that join it, and wait until they are one cluster."""
        self._spawn(self.nodes[:1], load)
        self._spawn(self.nodes[1:], ())
        if len(self.nodes) > 1:
            urls = tuple(node.url for node in self.nodes)
            wait_joined(urls, self.nodes[0].api_key, self.ready_seconds)

    def restart(self) -> None:
        """Stop all nodes, then start all; what was only for the first start is left out."""
        self.stop()
        # A node of several is only ready when most others are there.
        self._spawn(self.nodes, ())

    def _spawn(self, nodes: tuple[NativeProcess, ...], load: tuple[str, ...]) -> None:
        started = []
        for node in nodes:
            # A signal between these steps would leave a server of which nobody knows.
            with process.shielded():
                node.home.mkdir(exist_ok=True)
                pid = node.spawn(load)
                self.running.append(pid)
            process.end_first(pid)
            started.append((node, pid))
        for node, pid in started:
            wait_ready(node.url, pid, node.log, self.ready_seconds)

    def stop(self, *, patience_seconds: float | None = None) -> None:
        """Stop every process that was started."""
        more = {} if patience_seconds is None else {"patience_seconds": patience_seconds}
        for pid in self.running:
            process.stop(pid, **more)
        self.running = []

    def last_words(self) -> LastWords:
        """Return how the first node that has ended is, else the first one."""
        ended = [process.ended_with(pid) for pid in self.running]
        number = next((i for i, code in enumerate(ended) if code is not None), 0)
        return LastWords(
            exit_code=ended[number] if ended else None,
            disk_full=shutil.disk_usage(self.home).free < FULL_BYTES,
            log=tuple(files.tail(self.nodes[number].log, LOG_LINES)),
        )


def _servers(binary: Path, home: Path, request: FreshRequest, settings: Settings) -> _Servers:
    count = max(1, request.cluster_nodes)
    ports = process.free_ports(3 * count)
    first_p2p = ports[2]
    nodes = []
    for number in range(count):
        http_port, grpc_port, p2p_port = ports[3 * number : 3 * number + 3]
        folder = home if count == 1 else home / f"node-{number}"
        nodes.append(
            NativeProcess(
                binary=binary,
                home=folder,
                log=folder / "qdrant.log",
                http_port=http_port,
                grpc_port=grpc_port,
                api_key=settings.qdrant.api_key,
                p2p_port=p2p_port if request.cluster_nodes else None,
                joins=first_p2p if number else None,
            )
        )
    ready = settings.qdrant.ready_timeout_seconds
    return _Servers(home=home, nodes=tuple(nodes), ready_seconds=ready)


def _endpoint(
    nodes: tuple[NativeProcess, ...], version: str, request: FreshRequest, settings: Settings
) -> Endpoint:
    return Endpoint(
        url=nodes[0].url,
        api_key=settings.qdrant.api_key,
        grpc_port=nodes[0].grpc_port,
        answer_seconds=settings.qdrant.answer_timeout_seconds,
        green_seconds=settings.qdrant.green_timeout_seconds,
        mounts=readable_mounts(request.folder, version),
        cluster_urls=tuple(node.url for node in nodes) if len(nodes) > 1 else (),
    )


@contextmanager
def _fresh_home(*, keep: bool) -> Iterator[Path]:
    """Yield the folder of a fresh server; no run removes the folder of one that is kept."""
    if not keep:
        with scratch_folder() as home:
            yield home
        return
    with storage_errors(Path(tempfile.gettempdir()), setting="TMPDIR"):
        home = Path(tempfile.mkdtemp(prefix="qdrant-drill-"))
    yield home
