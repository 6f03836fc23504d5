"""`snapshot.prune`, `pin` and `unpin` as a user and cron run them."""

from __future__ import annotations

import json
import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import DROPPED_PREFIX, Catalog
from snapshot_tasks.catalog.journal import RESTORE
from snapshot_tasks.catalog.lock import folder_lock
from snapshot_tasks.catalog.pins import set_pin
from snapshot_tasks.checks.file import verify
from snapshot_tasks.domain.names import latest_name
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.prune import plan_prune, prune
from snapshot_tasks.system.files import point_link, sha256_of
from snapshot_tasks.system.progress import Silent
from tests.conftest import Inv, Live, Ran
from tests.support.manifests import add_drill, add_proof, catalogued
from tests.support.world import assert_error, tree

DAY = timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def folder(inv: Inv) -> Catalog:
    """The snapshot folder of the project."""
    inv.environment["QDRANT_COLLECTION_NAME"] = "books"
    return Catalog(inv.root / "qdrant_snapshots")


def fill(folder: Catalog, days: int, **facts: Any) -> list[Snapshot]:
    """Catalogue one snapshot a day, the newest last, so that the latest link points to it."""
    taken = [catalogued(folder, taken_at=NOW - age * DAY, **facts) for age in reversed(range(days))]
    return taken[::-1]


def names(folder: Catalog) -> list[str]:
    """Return the remaining snapshots, newest first."""
    return [entry.name for entry in folder.entries()]


def result(ran: Ran) -> dict[str, Any]:
    """Return the result of a call with `--json`."""
    assert ran.code == 0, ran.stdout + ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)["result"]
    return found


def test_the_plan_is_told_before_anything_is_deleted(inv: Inv, folder: Catalog) -> None:
    """Without consent or a terminal: the plan with every reason on stderr, 24, nothing deleted."""
    taken = fill(folder, 4)
    before = tree(folder.folder)
    ran = inv("snapshot.prune", "--keep-last", "2")
    assert_error(ran, 24, "deletes 2 snapshots", "--yes")
    assert f"keep  {taken[0].name}  18.9 kB  the newest; last 1" in ran.stderr
    assert f"DROP  {taken[3].name}  18.9 kB  no rule keeps it" in ran.stderr
    assert tree(folder.folder) == before


@pytest.mark.parametrize("flags", [("--dry-run", "--yes"), ("--dry-run",)])
def test_a_dry_run_deletes_nothing(inv: Inv, folder: Catalog, flags: tuple[str, ...]) -> None:
    """Whatever the other flags are."""
    fill(folder, 4)
    before = tree(folder.folder)
    answer = result(inv("snapshot.prune", "--keep-last", "1", "--json", *flags))
    assert [line["keep"] for line in answer["collections"][0]["plan"]] == [True] + [False] * 3
    assert answer["dropped"] == []
    assert answer["dry_run"] is True
    ran = inv("--dry", "snapshot.prune", "--keep-last", "1", "--yes")
    assert ran.code == 0
    assert tree(folder.folder) == before


def test_what_no_rule_keeps_goes_with_all_that_stands_beside_it(inv: Inv, folder: Catalog) -> None:
    """Only the kept ones are left, intact, and the latest link still points to the newest."""
    taken = fill(folder, 5)
    for snapshot in taken:
        add_proof(snapshot, kind="verify", at=NOW.isoformat(), ok=True)
    ran = inv("snapshot.prune", "--keep-last", "2", "--yes")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("Deleted 3 snapshots, ")
    kept = [taken[0].name, taken[1].name]
    assert tree(folder.folder) == sorted(
        [latest_name("books")]
        + [name + end for name in kept for end in ("", ".json")]
        + [name.replace(".snapshot", ".proofs.jsonl") for name in kept]
    )
    target = folder.latest_target("books")
    assert target is not None
    assert target.name == taken[0].name
    assert verify(folder.find(str(target)), Silent()).error is None


def test_the_last_proven_one_and_pinned_ones_stay(inv: Inv, folder: Catalog) -> None:
    """No rule deletes them; once unpinned, the rules apply again."""
    taken = fill(folder, 6)
    add_drill(taken[3], NOW)
    assert inv("snapshot.pin", "--snapshot", taken[5].name, "--note", "before 2.0").code == 0
    assert inv("snapshot.prune", "--keep-last", "1", "--yes").code == 0
    assert names(folder) == [taken[0].name, taken[3].name, taken[5].name]
    listed = inv("snapshot.list").stdout
    assert listed.count("(pinned)") == 1
    assert inv("snapshot.unpin", "--snapshot", taken[5].name).code == 0
    plan = result(inv("snapshot.prune", "--keep-last", "1", "--yes", "--json"))
    assert plan["dropped"] == [taken[5].name]
    assert [p["reasons"] for p in plan["collections"][0]["plan"]][1] == ["the newest proven one"]


def test_rules_come_from_settings_and_a_flag_replaces_its_own(inv: Inv, folder: Catalog) -> None:
    """`.env` has the policy; cron needs no flags."""
    taken = fill(folder, 5)
    (inv.root / ".env").write_text("QDRANT_KEEP_LAST=4\nQDRANT_KEEP_MINIMUM=1\n")
    assert result(inv("snapshot.prune", "--yes", "--json"))["dropped"] == [taken[4].name]
    answer = result(inv("snapshot.prune", "--keep-last", "3", "--yes", "--json"))
    assert answer["dropped"] == [taken[3].name]
    assert names(folder) == [s.name for s in taken[:3]]


def test_a_rule_of_the_settings_can_be_turned_off(inv: Inv, folder: Catalog) -> None:
    """0 is a valid number: `--keep-daily 0` turns the rule off, whatever the settings say."""
    taken = fill(folder, 3)
    flags = ("--keep-last", "1", "--keep-daily", "0", "--yes", "--json")
    answer = result(inv("snapshot.prune", *flags, QDRANT_KEEP_DAILY="7"))
    assert answer["dropped"] == [taken[1].name, taken[2].name]


def test_without_any_rule_nothing_is_dropped(inv: Inv, folder: Catalog) -> None:
    """14, and how to set one."""
    fill(folder, 3)
    assert_error(inv("snapshot.prune", "--yes"), 14, "QDRANT_KEEP_DAILY", "--keep-daily")
    assert_error(inv("snapshot.create", "--prune"), 14, "QDRANT_KEEP_DAILY")
    assert len(names(folder)) == 3


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--keep-last", "-1"), 1),
        (("--keep-last", "many"), 1),
        (("--max-age", "1y"), 1),
        (("--max-age", "0d"), 1),
        (("--keep-last", "1", "--collection", "nope"), 10),
        (("--keep-last", "1", "--collection", "books", "--all"), 14),
    ],
)
def test_bad_input_loses_nothing(
    inv: Inv, folder: Catalog, flags: tuple[str, ...], code: int
) -> None:
    """A clear error, and the folder is unchanged."""
    fill(folder, 3)
    before = tree(folder.folder)
    ran = inv("snapshot.prune", "--yes", *flags)
    assert ran.code == code
    assert "Traceback" not in ran.stderr
    assert tree(folder.folder) == before


def test_each_collection_has_its_own_count(inv: Inv, folder: Catalog) -> None:
    """`--all` applies the rules to each collection separately."""
    fill(folder, 3)
    fill(folder, 2, collection="films")
    inv("snapshot.prune", "--all", "--keep-last", "1", "--yes")
    assert sorted(name.split("_")[0] for name in names(folder)) == ["books", "films"]


def test_what_is_damaged_pushes_no_whole_one_out(inv: Inv, folder: Catalog) -> None:
    """The newest failed its verification: the one before it counts as the last, and both stay."""
    taken = fill(folder, 4)
    taken[0].path.write_bytes(b"broken")
    assert inv("snapshot.verify", "--snapshot", taken[0].name).code == 20
    inv("snapshot.prune", "--keep-last", "1", "--yes")
    assert names(folder) == [taken[0].name, taken[1].name]


def test_what_was_cut_or_emptied_pushes_no_other_out(inv: Inv, folder: Catalog) -> None:
    """Neither is a backup of the former contents, whatever its date."""
    taken = fill(folder, 3)
    empty = catalogued(folder, taken_at=NOW + timedelta(hours=1), points_count=0)
    taken[0].path.write_bytes(b"")
    inv("snapshot.prune", "--keep-last", "1", "--yes")
    assert names(folder) == [empty.name, taken[0].name, taken[1].name]


def test_a_safety_snapshot_goes_by_age_only(inv: Inv, folder: Catalog) -> None:
    """It counts for no rule, and an interrupted run may still need it."""
    fill(folder, 2)
    old = [
        catalogued(folder, taken_at=NOW - age * DAY, safety=True, label="before replace")
        for age in (20, 40, 50)
    ]
    folder.journal.begin(
        RESTORE, "http://localhost:1", "books", safety=str(old[2].path), snapshot="/else/x.snapshot"
    )
    answer = result(
        inv("snapshot.prune", "--keep-last", "2", "--max-age", "30d", "--yes", "--json")
    )
    assert answer["dropped"] == [old[1].name]
    plan = {p["snapshot"]: p["reasons"] for p in answer["collections"][0]["plan"]}
    assert plan[old[2].name] == ["an interrupted run still needs it"]


def test_another_run_is_not_disturbed(inv: Inv, folder: Catalog) -> None:
    """While another run works in the folder: 11."""
    fill(folder, 3)
    with folder_lock(folder.folder, task="snapshot.create"):
        assert_error(inv("snapshot.prune", "--keep-last", "1", "--yes"), 11, "snapshot.create")
    assert len(names(folder)) == 3


def test_files_of_another_tool_are_pruned_by_their_names(inv: Inv, folder: Catalog) -> None:
    """Snapshots from hand-made scripts, without manifests; other files are not touched."""
    for day in range(5):
        at = NOW - day * DAY
        (folder.folder / f"books_{at:%Y%m%d_%H%M%S}.snapshot").write_bytes(b"old")
    for other in ("notes.txt", "books.snapshot.bak", "whatever.snapshot"):
        (folder.folder / other).write_text("mine")
    assert inv("snapshot.prune", "--keep-last", "2", "--yes").code == 0
    assert len(tree(folder.folder)) == 2 + 3


def test_created_and_pruned_in_one_go(inv: Inv, folder: Catalog, qdrant: Live, name: str) -> None:
    """`snapshot.create --prune` is one cron line: it does not ask, and only prunes what it took."""
    qdrant.loader.plain(name, points=30)
    old = fill(folder, 3, collection=name)
    others = fill(folder, 3)
    outside = {"QDRANT_URL": qdrant.url, "QDRANT_ENGINE": "external", "QDRANT_KEEP_LAST": "2"}
    ran = inv("snapshot.create", "--collection", name, "--prune", "--json", **outside)
    answer = result(ran)
    assert answer["dropped"] == [old[1].name, old[2].name]
    assert [entry.name for entry in folder.entries("books")] == [s.name for s in others]
    ran = inv("snapshot.create", "--collection", "nope", "--prune", **outside)
    assert_error(ran, 10)
    assert len(folder.entries(name)) == 2


def test_a_year_of_daily_runs_on_a_disk(folder: Catalog) -> None:
    """One snapshot and one prune a day for 365 days: what is left follows the policy."""
    policy = Policy(keep_daily=7, keep_weekly=5, keep_monthly=12)
    start = datetime(2025, 1, 1, 2, 15, tzinfo=UTC)
    for day in range(365):
        now = start + day * DAY
        taken = catalogued(folder, taken_at=now, content=f"{day}".encode())
        if now.month == 4 and now.day == 11:
            set_pin(taken, "before the migration")
        if now.month == 12 and now.day == 16:
            add_drill(taken, now)
        plan = plan_prune(folder, "books", policy, now=now)
        prune(plan, folder, policy, now=now)
    left = [f"{entry.created_at:%m-%d}" for entry in folder.entries()]
    assert left == [
        *("12-31", "12-30", "12-29", "12-28", "12-27", "12-26", "12-25"),
        *("12-21", "12-16", "12-14", "12-07", "11-30", "10-31", "09-30", "08-31", "07-31"),
        *("06-30", "05-31", "04-30", "04-11", "03-31", "02-28", "01-31"),
    ]
    for entry in folder.entries():
        assert entry.sha256 == sha256_of(entry.path)
    assert len(tree(folder.folder)) == 2 * len(left) + 3
    assert folder.newest("books").name == "books_20251231_021500.snapshot"


def test_killed_at_random_moments(inv: Inv, folder: Catalog) -> None:
    """Kill -9 of `prune`: each snapshot is intact or invisible, and the next run cleans up."""
    rng = random.Random(4)
    newest = fill(folder, 3)[0]
    start = time.monotonic()
    assert inv.process("snapshot.prune", "--keep-last", "2", "--yes").code == 0
    seconds = time.monotonic() - start
    for _ in range(8):
        for number in range(40):
            catalogued(folder, taken_at=NOW - (100 + number) * DAY)
        point_link(folder.folder / latest_name("books"), newest.name)
        process = inv.start("snapshot.prune", "--keep-last", "2", "--yes")
        time.sleep(seconds * rng.uniform(0.5, 1.2))
        process.kill()
        process.communicate()
        for entry in folder.entries():
            assert verify(entry, Silent()).error is None
    assert inv("snapshot.prune", "--keep-last", "2", "--yes").code == 0
    left = tree(folder.folder)
    assert [name for name in left if name.startswith(DROPPED_PREFIX)] == []
    assert len(left) == 2 * 2 + 1


def test_a_pin_that_cannot_be_written(inv: Inv, folder: Catalog) -> None:
    """15, and how to fix it."""
    fill(folder, 1)[0].pin_path.mkdir()
    assert_error(inv("snapshot.pin", "--note", "x"), 15, "QDRANT_SNAPSHOT_DIR")
