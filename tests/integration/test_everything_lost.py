"""The runbook of docs/offsite.md: a machine that has only the URL, the credentials and the key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyrage
import pytest

from snapshot_tasks.catalog.folder import Catalog
from tests.conftest import Inv, Live, Ran, new_project
from tests.integration.conftest import Take, managing
from tests.integration.test_offsite import give, with_store
from tests.support.stores import Bucket, s3_bucket, s3_server
from tests.support.world import assert_error, end_processes_below


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    """A bucket of an S3 server."""
    with s3_server() as endpoint:
        yield s3_bucket(endpoint, "everything-lost")


def result(ran: Ran) -> dict[str, Any]:
    """Return the result of a task that succeeded."""
    assert ran.code == 0, ran.stderr
    return dict(ran.document["result"])


def test_a_machine_with_only_the_url_and_the_key(
    inv: Inv, qdrant: Live, take: Take, catalog: Catalog, bucket: Bucket, name: str, tmp_path: Path
) -> None:
    """List, test, pull and restore: no `.env`, no catalogue; the proof is seen by everybody."""
    identity = pyrage.x25519.Identity.generate()
    qdrant.loader.rich(name)
    take(qdrant, name)
    give(inv, catalog)
    with_store(inv, bucket, QDRANT_AGE_RECIPIENTS=str(identity.to_public()))
    result(inv("snapshot.push", "--all", "--json"))
    key_file = tmp_path / "key.txt"
    key_file.write_text(f"{identity}\n")
    has = {
        **bucket.variables,
        "QDRANT_OFFSITE_URL": bucket.url,
        "QDRANT_AGE_IDENTITY_FILE": str(key_file),
    }
    new = managing(new_project(tmp_path / "new machine"))
    folder = new.root / "qdrant_snapshots"
    folder.rmdir()
    for refused in ("--create", "--random", "--in-place", "--keep"):
        assert_error(new("snapshot.test-restore", "--from", bucket.url, refused, **has), 14)
    try:
        (listed,) = result(new("snapshot.list", "--remote", "--json", **has))["snapshots"]
        assert listed["proven_at"] is None
        junit = tmp_path / "junit.xml"
        tested = ("snapshot.test-restore", "--from", bucket.url, "--junit", str(junit))
        (drill,) = result(new(*tested, "--json", **has))["drills"]
        assert (drill["verdict"], drill["snapshot"]) == ("PROVEN", listed["snapshot"])
        assert listed["snapshot"] in junit.read_text()
        assert not folder.exists()
        (listed,) = result(new("snapshot.list", "--remote", "--json", **has))["snapshots"]
        assert listed["proven_at"] == drill["at"]
        ran = new(*tested, "--all", "--max-seconds", "0.001", **has)
        assert_error(ran, 23)
        assert "PROVEN, but too slow" in ran.stdout
        (restored,) = result(new("snapshot.pull", "--restore", "--json", **has))["restored"]
        assert restored["points_count"] == qdrant.loader.count(name) > 0
        (back,) = Catalog(folder).entries()
        assert len(back.proofs) == 2
    finally:
        end_processes_below(new.root)
