"""A mounted folder determines the path at which the server sees a file."""

from __future__ import annotations

from pathlib import Path

from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.qdrant.mounts import server_path, server_paths


def test_a_mount_translates_paths(tmp_path: Path) -> None:
    """A file in the folder has a server path, also through a link; others have none."""
    folder = tmp_path / "snapshots"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    mount = Mount(host_dir=tmp_path / "link", server_dir="/in/")
    assert server_path(mount, folder / "a.snapshot") == "/in/a.snapshot"
    assert server_path(mount, tmp_path / "link" / "sub" / "a") == "/in/sub/a"
    assert server_path(mount, tmp_path / "a.snapshot") is None
    assert server_path(mount, folder / ".." / "a.snapshot") is None
    (folder / "out.snapshot").symlink_to(tmp_path / "a.snapshot")
    assert server_path(mount, folder / "out.snapshot") is None


def test_every_mount_is_tried(tmp_path: Path) -> None:
    """A folder may be mounted twice; files in one that is not mounted have to be sent."""
    mounts = tuple(Mount(host_dir=tmp_path, server_dir=path) for path in ("/a", "/b"))
    file = tmp_path / "a.snapshot"
    endpoint = Endpoint(url="http://localhost:6333", mounts=mounts)
    assert server_paths(endpoint, file) == ("/a/a.snapshot", "/b/a.snapshot")
    assert server_paths(Endpoint(url="http://localhost:6333"), file) == ()
