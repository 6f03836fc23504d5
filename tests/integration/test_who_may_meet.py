"""Which tasks may use a snapshot folder at the same time, as docs/safety.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from snapshot_tasks.catalog.lock import Use, folder_lock
from tests.conftest import ROOT, Inv, Live
from tests.integration.conftest import Samples

# Which holders each kind of use gets along with.
MEETS = {
    "alone": set(),
    "shared, one restore at a time": {Use.READ},
    "shared": {Use.READ, Use.RESTORE},
    "free": set(Use),
}
# What keeps a task from asking, and from doing more than the test needs.
FLAGS = {
    "snapshot.prune": ("--keep-last=1", "--yes"),
    "snapshot.restore": ("--if-missing",),
    "snapshot.restore --replace": ("--yes",),
}


def rows() -> Iterator[tuple[str, str]]:
    """Yield each task of the table in the docs, and what it says of it."""
    text = (ROOT / "docs/safety.md").read_text(encoding="utf-8")
    section = text.partition("## Which runs may meet")[2].partition("\n## ")[0]
    yield from re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE)


@pytest.fixture
def here(qdrant: Live, outside: Inv, samples: Samples) -> Inv:
    """A folder with the snapshot of a collection, and with an older one that prune may delete."""
    newest = samples.put("plain", outside.root / "qdrant_snapshots")
    newest.with_name("sample-plain_20200101_000000.snapshot").write_bytes(b"old")
    return outside


@pytest.mark.parametrize(("task", "use"), list(rows()))
def test_each_task_takes_the_lock_that_the_docs_say(here: Inv, task: str, use: str) -> None:
    """It ends with 11 beside exactly those other runs that it may not meet."""
    words = (*task.split(), "--collection=sample-plain", *FLAGS.get(task, ()))
    folder = here.root / "qdrant_snapshots"
    refused = set()
    for other in Use:
        with folder_lock(folder, task="other", use=other):
            ran = here(*words)
        if ran.code == 11:
            refused.add(other)
    assert refused == set(Use) - MEETS[use], ran.stderr
