"""`--at TIME`: a bucket that keeps versions, after all in it was deleted or overwritten."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.errors import NotFound, Refused, SettingsError, StorageError
from tests.conftest import Inv, new_project
from tests.integration.test_offsite import give, succeeded, with_store
from tests.support.manifests import catalogued
from tests.support.stores import Bucket, s3_bucket, s3_client, s3_server
from tests.support.world import assert_error

# A store tells the time of a version in seconds.
SECOND = 1.1


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3: str, request: pytest.FixtureRequest) -> Bucket:
    """A bucket that keeps versions."""
    name = f"bucket-{abs(hash(request.node.nodeid))}"
    made = s3_bucket(s3, name)
    s3_client(s3).put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return made


def moment() -> datetime:
    """Return a time after everything so far, and before everything that comes."""
    time.sleep(SECOND)
    at = datetime.now(UTC)
    time.sleep(SECOND)
    return at


def ruin(bucket: Bucket, *, delete: bool) -> None:
    """Delete every object, or overwrite it with rubbish, as somebody with the credentials can."""
    client, name = s3_client(bucket.server), bucket.url.split("/")[2]
    for item in client.list_objects_v2(Bucket=name)["Contents"]:
        if delete:
            client.delete_object(Bucket=name, Key=item["Key"])
        else:
            client.put_object(Bucket=name, Key=item["Key"], Body=b"pay us")


def test_everything_deleted_and_overwritten_comes_back(
    inv: Inv, catalog: Catalog, bucket: Bucket, tmp_path: Path
) -> None:
    """Byte for byte as it was, after either; and nothing is written to what was."""
    started = datetime.now(UTC) - timedelta(minutes=1)
    made = catalogued(catalog)
    give(inv, catalog)
    with_store(inv, bucket)
    succeeded(inv("snapshot.push", "--all"))
    then = moment()
    ruin(bucket, delete=False)
    overwritten = moment()
    ruin(bucket, delete=True)

    new = new_project(tmp_path / "new machine")
    here = {**bucket.variables, "QDRANT_OFFSITE_URL": bucket.url}
    assert_error(new("snapshot.pull", "--all", **here), 10)
    assert_error(new("snapshot.pull", "--all", "--at", overwritten.isoformat(), **here), 20)
    assert_error(new("snapshot.list", "--at", started.isoformat(), **here), 10)
    at = f"--at={then:%Y-%m-%dT%H:%M:%S.%fZ}"
    listed = succeeded(new("snapshot.list", "--remote", at, "--json", **here))
    (found,) = listed.document["result"]["snapshots"]
    assert found["snapshot"] == made.name
    succeeded(new("snapshot.pull", "--all", at, **here))
    (back,) = Catalog(new.root / "qdrant_snapshots").entries()
    assert back.path.read_bytes() == made.path.read_bytes()

    store = open_store(bucket.url, bucket.variables, at=then)
    with pytest.raises(Refused):
        store.write("x", b"")
    with pytest.raises(Refused):
        store.delete("x")
    with pytest.raises(NotFound):
        b"".join(store.read("packs/none"))


def test_a_time_must_be_one_that_has_been(inv: Inv, bucket: Bucket) -> None:
    """A later one would read the bucket as it is, which is no longer what was there."""
    with_store(inv, bucket)
    for wrong in ("2999-01-01", "yesterday", ""):
        assert_error(inv("snapshot.list", "--remote", f"--at={wrong}"), 1, "a time")
    assert_error(inv("snapshot.test-restore", "--at=2026-01-01"), 14)


def test_places_without_versions_are_refused(s3: str, tmp_path: Path) -> None:
    """A folder, and a bucket that keeps no versions: neither is read as if it did."""
    with pytest.raises(Refused, match="only S3 buckets"):
        open_store(str(tmp_path), {}, at=datetime.now(UTC))
    plain = s3_bucket(s3, "no-versions")
    plain.open().write("pushed/x", b"x")
    store = open_store(plain.url, plain.variables, at=datetime.now(UTC))
    with pytest.raises(Refused, match="keeps no versions"):
        list(store.list("pushed"))


def test_what_cannot_be_used_is_told(
    s3: str, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No boto3, an endpoint without encryption, a bucket that does not exist."""
    at = datetime.now(UTC)
    missing = f"s3://not-{bucket.url.split('/')[2]}"
    with pytest.raises(StorageError, match="versions cannot be listed"):
        list(open_store(missing, bucket.variables, at=at).list("pushed"))
    with pytest.raises(SettingsError, match="not encrypted"):
        open_store(bucket.url, {"AWS_ENDPOINT_URL": "http://store.example"}, at=at)
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(SettingsError) as caught:
        open_store(bucket.url, bucket.variables, at=at)
    assert "qdrant-snapshot-tasks[versions]" in caught.value.hint
