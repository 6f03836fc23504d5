"""Which tasks may use a snapshot folder at the same time, as docs/safety.md says."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from snapshot_tasks.catalog.lock import Use, folder_lock
from tests.conftest import ROOT, Inv, Live
from tests.integration.conftest import Samples
from tests.support.proxy import Hold, faulty
from tests.support.world import ended

# Which holders each kind of use gets along with.
MEETS = {
    "alone": set(),
    "shared, one at a time": {Use.READ},
    "shared": {Use.READ, Use.JOURNAL},
    "free": set(Use),
}
# What keeps a task from asking, and from doing more than the test needs.
FLAGS = {
    "snapshot.prune": ("--keep-last=1", "--yes"),
    "snapshot.push": ("--to=elsewhere",),
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
    (outside.root / "elsewhere").mkdir()
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
            ran = here(*words, QDRANT_KEEP_LAST="1")
        if ran.code == 11:
            refused.add(other)
    assert refused == set(Use) - MEETS[use], ran.stderr


def test_a_long_create_keeps_only_a_restore_waiting(
    qdrant: Live, here: Inv, samples: Samples
) -> None:
    """While a snapshot is being downloaded, the others are read, proven, pushed; then restored."""
    samples.put("rich", here.root / "qdrant_snapshots")
    qdrant.loader.plain("large", points=300)
    hold = Hold()
    with faulty(qdrant.url) as proxy:
        proxy.on("GET", r"/collections/large/snapshots/[^/]+", hold.halfway, times=1)
        create = here.start("snapshot.create", "--collection=large", QDRANT_URL=proxy.url)
        hold.wait()
        for task, *flags in (
            ("snapshot.list",),
            ("snapshot.verify",),
            ("snapshot.test-restore",),
            ("snapshot.push", "--to=elsewhere"),
        ):
            ran = here(task, "--collection=sample-plain", *flags)
            assert ran.code == 0, ran.stderr
        restore = here.start(
            "snapshot.restore", "--collection=sample-rich", "--as=again", "--timeout=99"
        )
        assert restore.stderr is not None
        lines = iter(restore.stderr.readline, "")
        assert any("snapshot.create" in line and "Waiting" in line for line in lines)
        hold.release.set()
        assert ended(create).code == 0
        assert ended(restore).code == 0
    assert "again" in qdrant.loader.names()
