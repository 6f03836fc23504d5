"""A file put together from blocks: long runs of zeros, and a disk that takes a part of a write."""

from __future__ import annotations

import hashlib
import os
import random
import tracemalloc
from pathlib import Path

import pytest

from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.index import Index, Zeros
from snapshot_tasks.offsite.known import Known
from snapshot_tasks.offsite.packing import Packing
from snapshot_tasks.offsite.packs import OPEN_KEY
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.operations.offsite.assemble import Assembly
from snapshot_tasks.system.behind import Behind
from tests.support.breaking import Memory


def fetched(path: Path, index: Index, repository: Repository) -> str:
    """Put a file together; return its SHA-256."""
    with path.open("w+b") as file:
        return Assembly(file, index).fetch(repository, Unpacker(), lambda size: None)


def test_a_long_run_of_zeros_needs_no_memory(tmp_path: Path) -> None:
    """It is one piece, however long, and no system call reads more than 2 GiB."""
    size = 100 << 20
    tracemalloc.start()
    try:
        found = fetched(tmp_path / "x", Index(OPEN_KEY, (Zeros(size),)), Repository(Memory()))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert found == hashlib.sha256(bytes(size)).hexdigest()


def test_a_disk_that_takes_a_part_of_a_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rest is written too, so that a disk that is full is not called a damaged copy."""
    memory, write = Memory(), os.pwrite
    plain = random.Random(1).randbytes(5000)
    with Behind(1) as behind:
        packs = Repository(memory).packs
        packing = Packing(Packer(), Known(OPEN_KEY), {}, write=packs.write, behind=behind)
        packing.add(plain)
        index = packing.finish()
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: write(fd, data[:999], at))
    assert fetched(tmp_path / "x", index, Repository(memory)) == hashlib.sha256(plain).hexdigest()
    assert (tmp_path / "x").read_bytes() == plain
