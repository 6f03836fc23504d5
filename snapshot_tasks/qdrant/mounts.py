"""Finds the path at which a Qdrant server sees a file of this host, so it need not be sent."""

from __future__ import annotations

from pathlib import Path

from snapshot_tasks.domain.endpoint import Endpoint, Mount


def server_paths(endpoint: Endpoint, file: Path) -> tuple[str, ...]:
    """Return each path at which the server can read a file; none if it has to be sent."""
    return tuple(path for mount in endpoint.mounts if (path := server_path(mount, file)))


def server_path(mount: Mount, file: Path) -> str | None:
    """Return the server's path of a file, or None if it is not really in the mounted folder."""
    resolved, folder = file.resolve(), mount.host_dir.resolve()
    if not resolved.is_relative_to(folder):
        return None
    return f"{mount.server_dir.rstrip('/')}/{resolved.relative_to(folder).as_posix()}"
