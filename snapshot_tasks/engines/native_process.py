"""One native Qdrant: how its process is started, and how one waits until it is ready."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.domain.versions import known
from snapshot_tasks.engines.arguments import cluster_environment, node_argv
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system import files, process
from snapshot_tasks.system.errors import SettingsError, Unreachable
from snapshot_tasks.system.untrusted import sentence

LOOPBACK = "127.0.0.1"
READY_POLL_SECONDS = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeProcess:
    """How to start one Qdrant. With a `p2p_port`, it is a node of a cluster.

    It is the first node, or it joins the one whose port `joins` is.
    """

    binary: Path
    home: Path
    log: Path
    http_port: int
    grpc_port: int
    api_key: str | None = field(default=None, repr=False)
    p2p_port: int | None = None
    joins: int | None = None

    @property
    def url(self) -> str:
        """Where its REST API is."""
        return f"http://localhost:{self.http_port}"

    def spawn(self, load: tuple[str, ...] = ()) -> int:
        """Start it, with these arguments for what it restores first; return the process id.

        Raises:
            SettingsError: if this machine cannot run the binary.
        """
        environment = {
            "QDRANT__SERVICE__HOST": LOOPBACK,
            "QDRANT__SERVICE__HTTP_PORT": str(self.http_port),
            "QDRANT__SERVICE__GRPC_PORT": str(self.grpc_port),
            "QDRANT__STORAGE__STORAGE_PATH": str(self.home / "storage"),
            "QDRANT__STORAGE__SNAPSHOTS_PATH": str(self.home / "snapshots"),
            "QDRANT__TELEMETRY_DISABLED": "true",
        }
        if self.api_key:
            environment["QDRANT__SERVICE__API_KEY"] = self.api_key
        argv: tuple[str, ...] = (str(self.binary), *load)
        if self.p2p_port:
            environment |= cluster_environment(self.p2p_port)
            joins = f"{LOOPBACK}:{self.joins}" if self.joins else ""
            argv = (*argv, *node_argv(f"{LOOPBACK}:{self.p2p_port}", joins))
        try:
            return process.spawn(argv, cwd=self.home, env=environment, log=self.log)
        except OSError as error:
            if error.filename == str(self.log):
                raise
            raise SettingsError(
                f"Cannot run {self.binary}: {error.strerror}.",
                hint="Set QDRANT_BINARY to a Qdrant binary for this machine, or run "
                "`inv engine.install`.",
            ) from error


def wait_ready(url: str, pid: int, log: Path, timeout_seconds: float) -> None:
    """Wait until a Qdrant is ready. Raises `Unreachable` if it ends before, or takes too long."""
    deadline = time.monotonic() + timeout_seconds
    with Server(Endpoint(url=url), operation_timeout_seconds=timeout_seconds) as server:
        while not server.is_ready():
            if process.started_at(pid) is None:
                last = " ".join(files.tail(log, 3)) or "no output"
                raise Unreachable(
                    f"Qdrant exited while it was starting: {sentence(last)}",
                    hint=_why_exited(log),
                )
            if time.monotonic() >= deadline:
                raise Unreachable(
                    f"Qdrant at {url} was not ready after {timeout_seconds:g} s.",
                    hint="It is still starting: see `inv stack.logs`, or wait longer with "
                    "`--timeout`.",
                )
            time.sleep(READY_POLL_SECONDS)


def readable_mounts(folder: Path, version: str) -> tuple[Mount, ...]:
    """Return a folder of this host if this version can read files from any path."""
    if known(version).confines_files:
        # The server cannot read files outside its own folder, so they are uploaded.
        return ()
    return (Mount(host_dir=folder, server_dir=str(folder.resolve())),)


def _why_exited(log: Path) -> str:
    try:
        str(log).encode()
    except UnicodeEncodeError:
        return (
            f"The name of the folder {log.parent} is not UTF-8, which Qdrant cannot use. Set TMPDIR"
            " to another one, or move the project if this is its own server."
        )
    return f"See its log: {log}."
