"""The throw-away Qdrant that is measured, and how much processor time it uses."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.engines.base import Engine, FreshRequest
from snapshot_tasks.engines.select import drill_engine
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system.progress import Silent

PROJECT_ROOT = Path(__file__).resolve().parents[1]


def bench_engine() -> Engine:
    """Return the engine for Qdrant here: a native process, which sees this machine's files."""
    native = {**os.environ, "QDRANT_DRILL_ENGINE": "native"}
    return drill_engine(load_settings(PROJECT_ROOT, native)).engine


def bench_version() -> str:
    """Return the version that is measured."""
    return load_settings(PROJECT_ROOT, os.environ).engine.version


@contextmanager
def measured_server(nodes: int = 1) -> Iterator[tuple[Endpoint, Path]]:
    """Run an empty Qdrant of the configured version, with a folder that it can read.

    With several nodes, it is a cluster.
    """
    with tempfile.TemporaryDirectory(prefix="qdrant-bench-") as name:
        request = FreshRequest(
            version=bench_version(), folder=Path(name), cluster_nodes=nodes if nodes > 1 else 0
        )
        with bench_engine().fresh(request, Silent()) as server:
            yield server.endpoint, Path(name)


def server_processes(endpoint: Endpoint) -> list[psutil.Process]:
    """Return the process of each node."""
    return [_listening(node.url) for node in endpoint.nodes()]


def _listening(url: str) -> psutil.Process:
    port = urlsplit(url).port
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            listening = (c for c in process.net_connections("tcp") if c.status == "LISTEN")
            if any(c.laddr and c.laddr.port == port for c in listening):
                return process
    raise LookupError(f"nothing listens at {url}")


def cpu_seconds(processes: list[psutil.Process]) -> float:
    """Return how long processes have kept processors busy."""
    times = [process.cpu_times() for process in processes]
    return float(sum(each.user + each.system for each in times))
