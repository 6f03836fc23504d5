"""The promises of every store, on real servers of each protocol."""

from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from snapshot_tasks.storage.base import AlreadyThere, Protected, Store
from snapshot_tasks.storage.stores import STORES
from snapshot_tasks.system.errors import NotFound, SettingsError, StorageError
from tests.contract.conftest import KINDS, REMOTE
from tests.support.proxy import Answer, Exchange, Hold, lose_answer, truncate
from tests.support.stores import Bucket, azure_bucket, s3_bucket, s3_client

BIG = bytes(range(256)) * (40 << 12)
SLOW_DOWN = Answer(
    503, {}, b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
)
REFUSED = Answer(403, {}, b"<Error><Code>AccessDenied</Code><Message>Not you</Message></Error>")
UNKNOWN = Answer(
    403, {}, b"<Error><Code>InvalidAccessKeyId</Code><Message>No such key</Message></Error>"
)
IMMUTABLE = Answer(
    409, {}, b"<Error><Code>BlobImmutableDueToPolicy</Code><Message>Kept</Message></Error>"
)

every = pytest.mark.parametrize("bucket", KINDS, indirect=True)
remote = pytest.mark.parametrize("bucket", REMOTE, indirect=True)


def contents(store: Store, name: str, offset: int = 0, size: int | None = None) -> bytes:
    """Return the contents of an object, or some of them."""
    return b"".join(store.read(name, offset=offset, size=size))


def names(store: Store, folder: str) -> list[str]:
    """Return the objects below a folder."""
    return sorted(stored.name for stored in store.list(folder))


@every
def test_what_was_written_is_read_listed_and_deleted(bucket: Bucket) -> None:
    """The same bytes under the same name, whatever characters were encoded in the name."""
    store = bucket.open()
    name = f"data/{quote('a b/é%~+*:☃', safe='')}/x.json"
    store.write(name, b"first")
    store.write(name, b"second one")
    store.write("database/other", b"of another folder")
    assert contents(store, name) == b"second one"
    assert contents(store, name, 7) == b"one"
    assert [contents(store, name, 1, size) for size in (5, 100, 0)] == [b"econd", b"econd one", b""]
    (stored,) = store.list("data")
    assert (stored.name, stored.size_bytes) == (name, 10)
    assert stored.modified_at.utcoffset() is not None
    store.delete(name)
    store.delete(name)
    assert names(store, "data") == []
    assert names(store, "database") == ["database/other"]


@every
def test_folders_are_listed_without_what_is_in_them(bucket: Bucket) -> None:
    """By name, in the place itself; objects beside them are none."""
    store = bucket.open()
    assert list(store.folders()) == []
    for name in ("one/a", "one/deep/b", "two words/c", "object"):
        store.write(name, b"x")
    assert sorted(store.folders()) == ["one", "two words"]


@remote
def test_a_folder_list_that_takes_long_is_given_up(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bucket can have millions of objects beside its folders."""
    monkeypatch.setattr("snapshot_tasks.storage.object_store.FOLDERS_SECONDS", 0.2)
    monkeypatch.setattr("snapshot_tasks.storage.object_store.PARTING_SECONDS", 0.0)
    hold = Hold()
    with bucket.behind_proxy() as (through, proxy):
        proxy.on("GET", ".*", hold.before)
        try:
            assert list(through.open().folders()) == []
        finally:
            hold.release.set()


@remote
def test_more_objects_than_one_page_holds(bucket: Bucket) -> None:
    """S3 and Azure list a thousand, or five thousand, at a time."""
    store = bucket.open()
    wanted = [f"data/parts/{number:05d}" for number in range(1010)]
    for name in wanted:
        store.write(name, b"x")
    assert names(store, "data") == wanted


@every
def test_an_object_larger_than_a_part_arrives_whole(bucket: Bucket) -> None:
    """One request without a multipart upload, and chunks in the other direction."""
    store = bucket.open()
    store.write("big", BIG)
    assert contents(store, "big") == BIG


@every
def test_an_object_is_whole_at_every_moment(bucket: Bucket) -> None:
    """A reader during a write or an overwrite sees a complete object or none."""
    store = bucket.open()

    def work() -> None:
        for _ in range(3):
            store.write("data/big", BIG)

    with ThreadPoolExecutor(1) as pool:
        done, seen = pool.submit(work), set()
        while not done.done():
            seen |= {(s.name, s.size_bytes) for s in store.list("data")}
        done.result()
    assert seen <= {("data/big", len(BIG))}


@every
def test_new_refuses_to_overwrite(bucket: Bucket) -> None:
    """The second writer gets an error, and the first writer's data stays."""
    store = bucket.open()
    store.write("marker", b"first", new=True)
    with pytest.raises(AlreadyThere) as caught:
        store.write("marker", b"second", new=True)
    assert caught.value.exit_code == 24
    assert contents(store, "marker") == b"first"


def test_an_s3_that_knows_no_condition(s3: str) -> None:
    """With this variable, a new object is written without checking whether one exists."""
    store = s3_bucket(s3, "unconditional").open(AWS_CONDITIONAL_PUT="disabled")
    store.write("marker", b"first", new=True)
    store.write("marker", b"second", new=True)
    assert contents(store, "marker") == b"second"


def test_a_variable_with_an_impossible_value_is_a_setting(azure: str) -> None:
    """Exit code 14 with the reason; the value, which may be a key, is not repeated."""
    bucket = azure_bucket(azure, "impossible")
    with pytest.raises(SettingsError, match="Cannot use") as caught:
        bucket.open(AZURE_STORAGE_ACCOUNT_KEY="hush!")
    assert "hush" not in caught.value.message


@pytest.mark.usefixtures("impatient")
def test_an_s3_that_refuses_a_condition_says_how_to_do_without(s3: str) -> None:
    """The store responds 501; the hint names the variable."""
    answer = Answer(501, {}, b"<Error><Code>NotImplemented</Code><Message>No</Message></Error>")
    with s3_bucket(s3, "refuses-conditions").behind_proxy() as (through, proxy):
        proxy.on("PUT", ".*", lambda e: e.answer(answer))
        with pytest.raises(StorageError) as caught:
            through.open().write("marker", b"1", new=True)
    assert "AWS_CONDITIONAL_PUT" in caught.value.hint


@every
def test_what_is_not_there(bucket: Bucket) -> None:
    """A missing object is an error; a missing folder is empty."""
    store = bucket.open()
    with pytest.raises(NotFound) as caught:
        contents(store, "nothing")
    assert caught.value.exit_code == 10
    assert names(store, "nowhere") == []


@every
def test_a_bucket_that_is_not_there(bucket: Bucket, tmp_path: Path) -> None:
    """The error is about the bucket or folder, not the object, and neither is ever created."""
    gone = Bucket(bucket.url.replace("-", "x").replace("elsewhere", "gone"), bucket.variables)
    store = gone.open()
    for use in (
        lambda: store.write("a", b"1"),
        lambda: contents(store, "a"),
        lambda: names(store, "a"),
        lambda: store.delete("a"),
    ):
        with pytest.raises(StorageError, match=r"The (bucket|folder) .* does not exist") as caught:
            use()
        assert caught.value.exit_code == 15
    assert not (tmp_path / "gone").exists()


@remote
def test_a_store_that_is_busy_is_asked_again(bucket: Bucket) -> None:
    """After two “slow down” responses, it continues unnoticed."""
    with bucket.behind_proxy() as (through, proxy):
        store = through.open()
        for method in ("PUT", "GET"):
            proxy.on(method, ".*", lambda e: e.answer(SLOW_DOWN), times=2)
        store.write("a", b"1")
        assert contents(store, "a") == b"1"


@remote
@pytest.mark.usefixtures("impatient")
def test_a_store_that_stays_busy_is_given_up(bucket: Bucket) -> None:
    """In the end it is an error with a hint."""
    with bucket.behind_proxy() as (through, proxy):
        store = through.open()
        for method in ("PUT", "GET"):
            proxy.on(method, ".*", lambda e: e.answer(SLOW_DOWN))
        for use in (lambda: store.write("a", b"1"), lambda: contents(store, "a")):
            with pytest.raises(StorageError, match="SlowDown") as caught:
                use()
            assert "run this again" in caught.value.hint


@remote
def test_a_read_goes_on_where_it_was_cut(bucket: Bucket) -> None:
    """Half of the response, then silence, twice: the bytes are correct, each of them once."""
    bucket.open().write("big", BIG)
    with bucket.behind_proxy() as (through, proxy):
        proxy.on("GET", ".*big", truncate, times=2)
        assert contents(through.open(), "big") == BIG
        assert proxy.requests("GET", ".*big") > 1


@remote
@pytest.mark.usefixtures("impatient")
def test_a_read_that_never_ends_is_given_up(bucket: Bucket) -> None:
    """A store that closes each connection is an error."""
    bucket.open().write("big", BIG)
    with bucket.behind_proxy() as (through, proxy):
        proxy.on("GET", ".*big", Exchange.drop)
        with pytest.raises(StorageError):
            contents(through.open(), "big")


@remote
def test_a_write_whose_answer_was_lost_is_whole(bucket: Bucket) -> None:
    """The object is sent again, and exists once."""
    with bucket.behind_proxy() as (through, proxy):
        store = through.open()
        proxy.on("PUT", ".*", lose_answer, times=1)
        store.write("big", BIG)
    assert contents(bucket.open(), "big") == BIG


@remote
@pytest.mark.usefixtures("impatient")
def test_a_write_that_never_arrives_leaves_nothing(bucket: Bucket) -> None:
    """If every connection breaks, it is an error, and no half-written object is visible."""
    with bucket.behind_proxy() as (through, proxy):
        proxy.on("PUT", ".*", Exchange.drop)
        with pytest.raises(StorageError):
            through.open().write("data/big", BIG)
    assert names(bucket.open(), "data") == []


@remote
def test_refused_credentials_are_told_without_them(bucket: Bucket) -> None:
    """The hint names the variables; the secret appears nowhere."""
    with bucket.behind_proxy() as (through, proxy):
        proxy.on("PUT", ".*", lambda e: e.answer(UNKNOWN))
        with pytest.raises(StorageError, match="refused the credentials") as caught:
            through.open().write("a", b"1")
    assert caught.value.exit_code == 15
    (prefix,) = (k.prefix for k in STORES if bucket.url.startswith(f"{k.scheme}://"))
    assert f"variables of the store ({prefix}…" in caught.value.hint
    for secret in (*bucket.variables.values(),):
        if len(secret) > 20 and "://" not in secret:
            assert secret not in caught.value.message


@pytest.mark.parametrize("bucket", ["az"], indirect=True)
def test_a_wrong_key_is_refused_by_the_store_itself(bucket: Bucket) -> None:
    """Azurite checks signatures."""
    store = bucket.open(AZURE_STORAGE_ACCOUNT_KEY="d3Jvbmc=")
    with pytest.raises(StorageError, match="refused the credentials"):
        store.write("a", b"1")


@remote
@pytest.mark.parametrize("answer", [REFUSED, IMMUTABLE], ids=["denied", "immutable"])
def test_a_delete_that_is_refused_is_told_apart(bucket: Bucket, answer: Answer) -> None:
    """If a policy or a lock protects an object, deleting it is an error, and it still exists."""
    bucket.open().write("kept", b"1")
    with bucket.behind_proxy() as (through, proxy):
        for method in ("DELETE", "POST"):
            proxy.on(method, ".*", lambda e: e.answer(answer))
        with pytest.raises(Protected, match="kept") as caught:
            through.open().delete("kept")
    assert caught.value.exit_code == 15
    assert contents(bucket.open(), "kept") == b"1"


def test_a_locked_bucket_keeps_every_version(s3: str) -> None:
    """Deleting and overwriting hide versions; the lock keeps all of them."""
    bucket = s3_bucket(s3, "locked", locked=True)
    store = bucket.open()
    store.write("kept", b"first")
    store.write("kept", b"second")
    store.delete("kept")
    assert names(store, "") == []
    client = s3_client(s3)
    versions = client.list_object_versions(Bucket="locked")["Versions"]
    found = {
        client.get_object(Bucket="locked", Key=v["Key"], VersionId=v["VersionId"])["Body"].read()
        for v in versions
    }
    assert found == {b"first", b"second"}


def test_every_object_on_s3_carries_its_checksum(s3: str) -> None:
    """Without a checksum, a bucket with an object lock accepts nothing."""
    bucket = s3_bucket(s3, "checksums")
    sent: list[str] = []

    def note(exchange: Exchange) -> None:
        sent.append(exchange.header("x-amz-checksum-sha256"))
        exchange.answer(exchange.forward())

    with bucket.behind_proxy() as (through, proxy):
        proxy.on("PUT", ".*", note)
        through.open().write("a", b"1")
    assert sent == ["a4ayc/80/OGda4BO/1o/V0etpOqiLx1JwB5S3beHW0s="]


@pytest.mark.parametrize("bucket", ["file"], indirect=True)
def test_what_a_killed_write_left_in_a_folder_goes(bucket: Bucket) -> None:
    """It is not an object, and the next write removes it, unless it is still being written."""
    root = Path(bucket.url)
    killed, alive = root / ".staging-killed", root / ".staging-alive"
    killed.write_bytes(b"half")
    with alive.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        store = bucket.open()
        assert names(store, "") == []
        store.write("a", b"1")
        assert sorted(p.name for p in root.iterdir()) == [".staging-alive", "a"]
