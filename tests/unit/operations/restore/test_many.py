"""Which snapshots a server is started with."""

from __future__ import annotations

from typing import cast

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.shards import ShardFacts, ShardSet
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.restore.many import loadable
from snapshot_tasks.system.progress import Silent
from tests.support.manifests import catalogued

NAMED = {"params": {"vectors": {"text:en": {"size": 4, "distance": "Dot"}}}}
SHARDS = ShardSet(shards=(ShardFacts(id=0, key=None, size_bytes=1, sha256="0" * 64),))


class Empty:
    """An engine whose Qdrant of that version has no data yet."""

    def starts_empty(self) -> str:
        """Return its version."""
        return "1.18.0"


@pytest.mark.parametrize("shard_set", [None, SHARDS], ids=["one server", "cluster"])
def test_the_file_of_a_cluster_is_not_loaded_at_the_start(
    catalog: Catalog, shard_set: ShardSet | None
) -> None:
    """Its members are no snapshot of a collection, so Qdrant would not start with it."""
    snapshot = catalogued(catalog, config=NAMED, shard_set=shard_set)
    loaded = loadable(cast("Engine", Empty()), [snapshot], Silent())
    assert list(loaded) == ([] if shard_set else ["books"])
