"""`snapshot.create --push` takes snapshots and copies them off-site, from a real Qdrant."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Inv, Live, Ran
from tests.support.proxy import fail, faulty
from tests.support.world import assert_error


def succeeded(ran: Ran) -> Ran:
    """Assert that a command succeeded."""
    assert ran.code == 0, ran.stderr
    return ran


def place(folder: Path) -> str:
    """Make an off-site folder and return its URL."""
    folder.mkdir()
    return folder.as_uri()


def test_create_pushes_what_it_took(qdrant: Live, name: str, outside: Inv, tmp_path: Path) -> None:
    """Only the new snapshot is pushed, and it can be pulled on another machine."""
    qdrant.loader.plain(name, points=20)
    succeeded(outside("snapshot.create", "--collection", name))
    outside.environment["QDRANT_OFFSITE_URL"] = place(tmp_path / "off")
    ran = succeeded(outside("snapshot.create", "--collection", name, "--push", "--json"))
    result = ran.document["result"]
    (made,), (pushed,) = result["snapshots"], result["pushed"]
    assert (pushed["snapshot"], pushed["outcome"]) == (made["snapshot"], "pushed")
    listed = succeeded(outside("snapshot.list", "--remote", "--json"))
    assert [one["snapshot"] for one in listed.document["result"]["snapshots"]] == [made["snapshot"]]
    elsewhere = {"QDRANT_SNAPSHOT_DIR": str(tmp_path / "elsewhere")}
    succeeded(outside("snapshot.pull", "--collection", name, **elsewhere))
    succeeded(outside("snapshot.verify", "--collection", name, **elsewhere))


def test_create_all_pushes_those_that_were_taken(
    qdrant: Live, name: str, outside: Inv, tmp_path: Path
) -> None:
    """One collection fails: it is reported, and the others are pushed to each place."""
    bad, good = f"{name}-a", f"{name}-b"
    for collection in (bad, good):
        qdrant.loader.plain(collection, points=20)
    places = [place(tmp_path / folder) for folder in ("one", "two")]
    outside.environment["QDRANT_OFFSITE_URL"] = ",".join(places)
    with faulty(qdrant.url) as proxy:
        proxy.on("POST", f"/collections/{bad}/snapshots", fail)
        ran = outside("snapshot.create", "--all", "--push", "--json", QDRANT_URL=proxy.url)
    assert ran.code, ran.stderr
    result = ran.document["result"]
    assert [failure["name"] for failure in result["failed"]] == [bad]
    taken = {one["snapshot"] for one in result["snapshots"]}
    assert any(one.startswith(f"{good}_") for one in taken)
    pushed = [
        (Path(one["url"].removeprefix("file://")), one["snapshot"]) for one in result["pushed"]
    ]
    assert set(pushed) == {(tmp_path / folder, one) for folder in ("one", "two") for one in taken}


def test_a_push_that_fails_keeps_the_snapshot(
    qdrant: Live, name: str, outside: Inv, tmp_path: Path
) -> None:
    """The snapshot is whole and catalogued; the error names the place."""
    qdrant.loader.plain(name, points=20)
    unmounted = (tmp_path / "unmounted").as_uri()
    words = ("snapshot.create", "--collection", name, "--push", "--json")
    ran = outside(*words, QDRANT_OFFSITE_URL=unmounted)
    assert_error(ran, 15, "unmounted")
    assert len(ran.document["result"]["snapshots"]) == 1
    succeeded(outside("snapshot.verify", "--collection", name))


def test_no_place_is_told_before_anything_is_taken(qdrant: Live, name: str, outside: Inv) -> None:
    """Without an off-site place: 14, and no snapshot was taken."""
    qdrant.loader.plain(name, points=20)
    assert_error(outside("snapshot.create", "--collection", name, "--push"), 14, "QDRANT_OFFSITE")
    assert not list(outside.root.glob("qdrant_snapshots/*.snapshot"))
