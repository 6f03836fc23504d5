"""How a segment stores points."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_tasks.domain.segments import uses_rocksdb


def config(payload: str, dense: str, sparse: str) -> dict[str, Any]:
    """Return the description of a segment with one vector of each kind."""
    return {
        "version": 1,
        "config": {
            "vector_data": {"": {"size": 4, "storage_type": dense}},
            "sparse_vector_data": {"s": {"storage_type": sparse}},
            "payload_storage_type": {"type": payload},
        },
    }


@pytest.mark.parametrize(
    ("segment", "old"),
    [
        (config("mmap", "ChunkedMmap", "mmap"), False),
        (config("in_ram_mmap", "InRamChunkedMmap", "mmap"), False),
        (config("in_memory", "ChunkedMmap", "mmap"), True),
        (config("on_disk", "ChunkedMmap", "mmap"), True),
        (config("mmap", "Memory", "mmap"), True),
        (config("mmap", "Mmap", "on_disk"), True),
        ({}, False),
        ([], False),
        ({"config": {"vector_data": [], "payload_storage_type": 5}}, False),
        ({"config": {"vector_data": {"": 5}, "sparse_vector_data": None}}, False),
    ],
)
def test_only_old_kinds_of_storage_are_rocksdb(segment: Any, old: bool) -> None:
    """Whatever the JSON is, nothing is raised."""
    assert uses_rocksdb(segment) is old
