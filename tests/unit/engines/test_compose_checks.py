"""The traps of a compose file that the doctor reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.engines.compose_checks import check_document

STORAGE = {"type": "volume", "source": "a", "target": "/qdrant/storage"}
SNAPSHOTS = {"type": "volume", "source": "b", "target": "/qdrant/snapshots"}


def found(folder: Path, image: str = "qdrant/qdrant:v1.17.0", *volumes: Any) -> dict[str, str]:
    """Return the status of each check of a file with this image and these volumes."""
    seen = {"type": "bind", "source": str(folder), "target": "/qdrant/snapshots/host"}
    given = list(volumes) or [STORAGE, SNAPSHOTS, seen]
    service = {"image": image, "volumes": given}
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
    image = "qdrant/qdrant:v1.17.0"
    assert found(tmp_path, image, SNAPSHOTS) == {"storage": "FAIL", "snapshot mount": "WARN"}
    assert found(tmp_path, image, STORAGE) == {"snapshots path": "WARN", "snapshot mount": "WARN"}
    assert found(tmp_path, image, STORAGE, read_only)["snapshots path"] == "FAIL"
