"""`inv snapshot.create`, `list`, `verify` and `restore` on a real Compose stack."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.e2e.conftest import Seeds
from tests.e2e.stack import (
    BIG,
    BIG_ALIAS,
    BIG_POINTS,
    SMALL,
    SMALL_POINTS,
    Stack,
    edit,
    flip_byte,
    no_host_folder,
    ok,
)


def test_a_snapshot_there_and_back(stack: Stack, seeds: Seeds) -> None:
    """Create, list, verify, lose the collection, restore it from the mounted folder."""
    seeds.give(stack, BIG)
    ok(stack.inv("stack.up"))
    wanted = ("--collection", BIG)
    taken = ok(stack.inv("snapshot.create", *wanted, "--json")).document["result"]["snapshots"][0]
    assert taken["points_count"] == BIG_POINTS
    assert Path(taken["path"]).stat().st_size == taken["size_bytes"]
    with stack.loader() as loader:
        assert loader.server_snapshots(BIG) == []
    listed = ok(stack.inv("snapshot.list", "--json")).document["result"]["snapshots"]
    assert [s["collection"] for s in listed] == [BIG, BIG]
    assert listed[0] == taken
    ok(stack.inv("snapshot.verify", *wanted))

    with stack.loader() as loader:
        loader.delete(BIG)
        assert loader.aliases() == {}
    back = ok(stack.inv("snapshot.restore", *wanted, "--json")).document["result"]
    assert (back["way"], back["points_count"]) == ("file", BIG_POINTS)
    assert stack.content(BIG) == seeds.content[BIG]
    with stack.loader() as loader:
        assert loader.aliases() == {BIG_ALIAS: BIG}
        assert loader.server_snapshots(BIG) == []


def test_an_existing_collection_is_replaced_only_with_consent(stack: Stack, seeds: Seeds) -> None:
    """Without consent: 24 and nothing touched; with it, the old contents go into a snapshot."""
    seed = seeds.give(stack, SMALL)[SMALL]
    ok(stack.inv("stack.up"))
    with stack.loader() as loader:
        loader.request("POST", f"/collections/{SMALL}/points/delete", {"points": [7]})
    changed = stack.content(SMALL)
    refused = stack.inv("snapshot.restore", "--snapshot", seed.name, "--json")
    assert refused.code == 24
    unasked = stack.inv("snapshot.restore", "--snapshot", seed.name, "--replace", "--json")
    assert unasked.code == 24
    assert stack.content(SMALL) == changed
    agreed = ("--replace", "--yes", "--json")
    done = ok(stack.inv("snapshot.restore", "--snapshot", seed.name, *agreed)).document["result"]
    assert done["way"] == "file"
    assert stack.content(SMALL) == seeds.content[SMALL]
    safety = done["safety_snapshot"]
    ok(stack.inv("snapshot.restore", "--snapshot", safety, "--as", "before"))
    assert stack.content("before") == changed


def test_without_the_mount_it_is_uploaded(stack: Stack, seeds: Seeds) -> None:
    """A server that cannot see the folder gets the file by upload, and keeps no copy of it."""
    seeds.give(stack, SMALL)
    (stack.root / "elsewhere").mkdir()
    no_host_folder(stack.compose_file)
    stack.up()
    back = ok(stack.inv("snapshot.restore", "--json")).document["result"]
    assert (back["way"], back["points_count"]) == ("upload", SMALL_POINTS)
    assert stack.content(SMALL) == seeds.content[SMALL]
    found = stack.compose("exec", "-T", "qdrant", "find", "/qdrant/snapshots", "-type", "f")
    assert found.stdout.strip() == ""


def test_a_folder_with_a_dollar_in_its_name_is_seen(stack: Stack, seeds: Seeds) -> None:
    """Compose writes `$$` for `$` in the paths it reports; the mount is still recognised."""
    files = seeds.give(stack, SMALL)
    folder = stack.root / "snap $HOME"
    stack.snapshots.rename(folder)
    up = ok(stack.inv("stack.up", "--json", QDRANT_SNAPSHOT_DIR=folder.name))
    (restored,) = up.document["result"]["restored"]
    assert (restored["way"], restored["snapshot"]) == ("file", files[SMALL].name)
    assert stack.content(SMALL) == seeds.content[SMALL]


def test_a_server_of_another_user_restores_too(stack: Stack, seeds: Seeds) -> None:
    """A Qdrant that is not root reads the files that `snapshot.create` wrote."""
    seeds.give(stack, SMALL)
    edit(stack.compose_file, "    pull_policy: missing\n", "    user: '1000:1000'\n", count=1)
    edit(stack.compose_file, "qdrant_storage:/qdrant/storage", "./storage:/qdrant/storage")
    edit(
        stack.compose_file,
        "qdrant_server_snapshots:/qdrant/snapshots",
        "./server_snapshots:/qdrant/snapshots",
    )
    for name in ("storage", "server_snapshots", "server_snapshots/host"):
        (stack.root / name).mkdir()
        (stack.root / name).chmod(0o777)
    for folder in (stack.root, *stack.root.parents[:2]):
        folder.chmod(0o755)
    stack.up()
    back = ok(stack.inv("snapshot.restore", "--json")).document["result"]
    assert back["way"] == "file"
    assert stack.content(SMALL) == seeds.content[SMALL]


def test_a_damaged_file_is_refused_before_anything_is_touched(live: Stack, seeds: Seeds) -> None:
    """20 by verify and by restore; the live stack is unchanged."""
    (seed,) = seeds.folder.glob(f"{SMALL}_[0-9]*.snapshot")
    for file in seed.parent.glob(f"{seed.name}*"):
        shutil.copy(file, live.root)
    damaged = live.root / seed.name
    flip_byte(damaged)
    before, content = live.identity(), live.content(SMALL)
    assert live.inv("snapshot.verify", "--snapshot", str(damaged)).code == 20
    target = ("--as", "other", "--json")
    assert live.inv("snapshot.restore", "--snapshot", str(damaged), *target).code == 20
    assert (live.identity(), live.content(SMALL)) == (before, content)
    with live.loader() as loader:
        assert loader.names() == [SMALL]
