"""The promises of the catalogue: a broken one is a FAIL with its remedy, the others are OK."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.runs import LastRun
from snapshot_tasks.checks.promises import (
    MAX_AGE,
    MAX_PROOF_AGE,
    as_warnings,
    check_pointer,
    check_pushed,
    promises,
)
from snapshot_tasks.cli.tasks.snapshot.check import check
from snapshot_tasks.domain.findings import Finding, Status, failed
from tests.support.manifests import SEAL, TAKEN_AT, add_drill, catalogued

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = TAKEN_AT + 20 * HOUR


def judged(catalog: Catalog, *, now: datetime = NOW) -> dict[str, Finding]:
    """Return the findings about `books`, by promise."""
    found = promises("books", catalog.entries(), max_age=26 * HOUR, max_proof_age=8 * DAY, now=now)
    return {finding.check: finding for finding in found}


def proven_yesterday(catalog: Catalog) -> None:
    """Make a snapshot that was proven an hour after it was taken, and a more recent one."""
    older = catalogued(catalog, taken_at=TAKEN_AT - DAY)
    add_drill(older, TAKEN_AT - DAY + HOUR)
    catalogued(catalog)


def test_all_hold(catalog: Catalog) -> None:
    """Recent, intact and proven: between two weekly tests, the newest need not be proven itself."""
    proven_yesterday(catalog)
    found = judged(catalog)
    assert list(found) == ["newest snapshot", "file", "seal", "proof"]
    assert {f.status for f in found.values()} == {Status.OK}
    assert "19 h" not in found["newest snapshot"].message
    assert "20 h old" in found["newest snapshot"].message


def too_old(catalog: Catalog) -> None:
    """Have only an old snapshot, proven recently."""
    old = catalogued(catalog, taken_at=NOW - 27 * HOUR)
    add_drill(old, NOW - HOUR)


def proven_long_ago(catalog: Catalog) -> None:
    """Have a proof of more than eight days ago."""
    old = catalogued(catalog, taken_at=NOW - 10 * DAY)
    add_drill(old, NOW - 9 * DAY)
    catalogued(catalog)


def never_proven(catalog: Catalog) -> None:
    """Have a recent snapshot without a proof."""
    catalogued(catalog)


def newest_failed(catalog: Catalog) -> None:
    """Have an older snapshot proven, and the newest failing its own test."""
    proven_yesterday(catalog)
    newest = catalog.newest("books")
    add_drill(newest, NOW - HOUR, ok=False)


def cut_short(catalog: Catalog) -> None:
    """Have a newest file that is cut off."""
    proven_yesterday(catalog)
    path = catalog.newest("books").path
    path.write_bytes(path.read_bytes()[:-1])


def manifest_broken(catalog: Catalog) -> None:
    """Have a newest file whose manifest is not valid."""
    proven_yesterday(catalog)
    newest = catalog.newest("books")
    newest.path.with_name(newest.name + ".json").write_text("{", encoding="utf-8")


def emptied(catalog: Catalog) -> None:
    """Have a proven newest snapshot without points, after one that had some."""
    proven_yesterday(catalog)
    catalogued(catalog, taken_at=TAKEN_AT + HOUR, points_count=0)


def proven_in_the_future(catalog: Catalog) -> None:
    """Have a proof that was dated by a wrong clock and would be valid for years."""
    add_drill(catalogued(catalog), NOW + 900 * DAY)


def proven_one_is_cut(catalog: Catalog) -> None:
    """Have a recent untested snapshot, while the only proven file is cut off."""
    proven_yesterday(catalog)
    older = catalog.entries("books")[1]
    older.path.write_bytes(b"")


def seal_is_garbage(catalog: Catalog) -> None:
    """Have a newest snapshot with an unreadable fingerprint: it cannot be verified or tested."""
    proven_yesterday(catalog)
    newest = catalogued(catalog, taken_at=TAKEN_AT + HOUR, seal=SEAL)
    newest.fingerprint_path.write_text("garbage", encoding="utf-8")


def newest_unsealed(catalog: Catalog) -> None:
    """Have a newest snapshot whose points could not be sealed when it was taken."""
    proven_yesterday(catalog)
    catalogued(catalog, taken_at=TAKEN_AT + HOUR, seal=None)


def none_at_all(catalog: Catalog) -> None:
    """Have only safety snapshots, and a snapshot of another collection."""
    catalogued(catalog, safety=True)
    catalogued(catalog, collection="films")


@pytest.mark.parametrize(
    ("break_it", "broken", "remedy"),
    [
        (too_old, "newest snapshot", "snapshot.create"),
        (proven_long_ago, "proof", "snapshot.test-restore"),
        (never_proven, "proof", "snapshot.test-restore"),
        (newest_failed, "proof", "snapshot.test-restore"),
        (cut_short, "file", "copy"),
        (manifest_broken, "file", "copy"),
        (emptied, "points", "snapshot.pin"),
        (proven_in_the_future, "proof", "clock"),
        (proven_one_is_cut, "proof", "snapshot.test-restore"),
        (seal_is_garbage, "file", "copy"),
        (newest_unsealed, "seal", "snapshot.create"),
        (none_at_all, "newest snapshot", "snapshot.create"),
    ],
)
def test_each_promise_breaks_alone(
    catalog: Catalog, break_it: Callable[[Catalog], None], broken: str, remedy: str
) -> None:
    """One thing is wrong: exactly its line fails and says what to do."""
    break_it(catalog)
    [finding] = failed(tuple(judged(catalog).values()))
    assert finding.check == broken
    assert remedy in finding.remedy


def test_a_proof_after_the_failure_mends_it(catalog: Catalog) -> None:
    """A snapshot that failed and was proven afterwards is proven."""
    newest_failed(catalog)
    newest = catalog.newest("books")
    add_drill(newest, NOW)
    assert failed(tuple(judged(catalog).values())) == ()


def test_a_file_without_a_manifest_warns(catalog: Catalog) -> None:
    """What a file from elsewhere should be is unknown, which does not break a promise."""
    proven_yesterday(catalog)
    newest = catalog.newest("books")
    newest.path.with_name(newest.name + ".json").unlink()
    assert judged(catalog)["file"].status is Status.WARN


def test_what_only_restores_is_not_proven(catalog: Catalog) -> None:
    """A passed drill of an unsealed snapshot is said to be just that, also of an old proof line."""
    add_drill(catalogued(catalog, seal=None), NOW - HOUR)
    found = judged(catalog)
    assert found["proof"].status is Status.WARN
    assert "compared with the file, not sealed when it was taken" in found["proof"].message
    assert found["seal"].status is Status.FAIL
    add_drill(catalogued(catalog, taken_at=TAKEN_AT - HOUR), NOW - 2 * HOUR)
    assert judged(catalog)["proof"].status is Status.OK


def test_what_restored_long_ago_breaks_the_promise(catalog: Catalog) -> None:
    """Without a seal the test must be as recent as with one."""
    old = catalogued(catalog, taken_at=NOW - 10 * DAY, seal=None)
    add_drill(old, NOW - 9 * DAY)
    assert judged(catalog)["proof"].status is Status.FAIL


@pytest.mark.parametrize("margin", [timedelta(0), timedelta(seconds=1)])
def test_the_limit_itself_is_kept(catalog: Catalog, margin: timedelta) -> None:
    """26 h is within 26 h; one second more is not."""
    proven_yesterday(catalog)
    found = judged(catalog, now=TAKEN_AT + 26 * HOUR + margin)
    assert (found["newest snapshot"].status is Status.FAIL) == bool(margin)


def test_the_pointer_names_the_newest(catalog: Catalog) -> None:
    """A missing or wrong link breaks the promise; without snapshots, no link is expected."""
    newest = catalogued(catalog)
    assert check_pointer([newest], newest.name).status is Status.OK
    assert check_pointer([newest], "other.snapshot").status is Status.FAIL
    assert check_pointer([newest], None).status is Status.FAIL
    assert check_pointer([], None).status is Status.OK


def test_to_the_doctor_they_are_warnings(catalog: Catalog) -> None:
    """The same lines and remedies, but as WARN."""
    never_proven(catalog)
    found = list(judged(catalog).values())
    warned = list(as_warnings(found))
    assert [f.status for f in warned] == [Status.OK, Status.OK, Status.OK, Status.WARN]
    assert [f.message for f in warned] == [f.message for f in found]


def test_the_check_asks_by_default_for_what_the_doctor_asks() -> None:
    """The check, the doctor and the report use the same limits."""
    flags = inspect.signature(check.body).parameters
    assert flags["max_age"].default.value == MAX_AGE
    assert flags["max_proof_age"].default.value == MAX_PROOF_AGE


def test_what_goes_off_site_goes_on_doing_so() -> None:
    """Never pushed, pushed recently, and pushed too long ago."""
    run = LastRun(
        task="snapshot.push", ended_at=NOW, seconds=1.0, exit_code=13, succeeded_at=NOW - 30 * HOUR
    )
    assert check_pushed([], 26 * HOUR, NOW).status is Status.FAIL
    assert check_pushed([run], 26 * HOUR, NOW).status is Status.FAIL
    assert check_pushed([run], 31 * HOUR, NOW).status is Status.OK
