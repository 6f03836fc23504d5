"""The traps of a compose file that the doctor reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.engines.compose_checks import check_document

IMAGE = "qdrant/qdrant:v1.17.0"
STORAGE = {"type": "volume", "source": "a", "target": "/qdrant/storage"}
SNAPSHOTS = {"type": "volume", "source": "b", "target": "/qdrant/snapshots"}


def found(folder: Path, image: str = IMAGE, *volumes: Any, **keys: Any) -> dict[str, str]:
    """Return the status of each check of a file with this image, these volumes and these keys."""
    seen = {"type": "bind", "source": str(folder), "target": "/qdrant/snapshots/host"}
    given = list(volumes) or [STORAGE, SNAPSHOTS, seen]
    service = {"image": image, "volumes": given, **keys}
    return {f.check: f.status.value for f in check_document(service, folder)}


def test_a_sound_file_is_one_line(tmp_path: Path) -> None:
    """There is nothing else to report."""
    assert found(tmp_path) == {"compose file": "OK"}


@pytest.mark.parametrize("image", ["", "qdrant/qdrant", "qdrant/qdrant:latest", "r:5000/q:dev"])
def test_an_image_that_changes_by_itself_fails(tmp_path: Path, image: str) -> None:
    """An unexpected upgrade may not read old snapshots."""
    assert found(tmp_path, image) == {"image": "FAIL"}


def test_data_in_the_container_fails(tmp_path: Path) -> None:
    """The same goes for a snapshots path that Qdrant cannot write to."""
    read_only = {**SNAPSHOTS, "read_only": True}
    assert found(tmp_path, IMAGE, SNAPSHOTS) == {"storage": "FAIL", "snapshot mount": "WARN"}
    assert found(tmp_path, IMAGE, STORAGE) == {"snapshots path": "WARN", "snapshot mount": "WARN"}
    assert found(tmp_path, IMAGE, STORAGE, read_only)["snapshots path"] == "FAIL"


DATA = {"type": "volume", "source": "c", "target": "/data"}
MOVED = {
    "qdrant__storage__storage_path": "/data/storage",
    "QDRANT__STORAGE__SNAPSHOTS_PATH": "/data/snapshots",
}


@pytest.mark.parametrize(
    ("volumes", "keys", "storage"),
    [
        ([DATA], {"environment": MOVED}, None),
        ([STORAGE, SNAPSHOTS], {"environment": MOVED}, "FAIL"),
        ([{**DATA, "target": "/qdrant/"}], {}, None),
        ([{**DATA, "target": "/qdrant/storage/collections"}, SNAPSHOTS], {}, None),
        ([DATA], {"configs": [{"source": "c", "target": "/qdrant/config/local.yaml"}]}, "WARN"),
        ([DATA], {"command": ["./qdrant", "--config-path", "/data/it.yaml"]}, "WARN"),
        ([DATA], {"tmpfs": ["/qdrant/storage:size=1g", "/qdrant/snapshots"]}, "FAIL"),
        ([{"type": "tmpfs", "target": "/qdrant"}], {}, "FAIL"),
    ],
    ids=["moved", "not mounted", "around", "part", "config", "option", "tmpfs", "all tmpfs"],
)
def test_the_folders_that_qdrant_uses_are_judged(
    tmp_path: Path, volumes: list[Any], keys: dict[str, Any], storage: str | None
) -> None:
    """Settings, configurations and memory disks decide where the data is."""
    seen = found(tmp_path, IMAGE, *volumes, **keys)
    assert seen.get("storage") == storage
    assert ("snapshots path" in seen) == (volumes == [STORAGE, SNAPSHOTS])
