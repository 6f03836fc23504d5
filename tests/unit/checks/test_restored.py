"""A restored collection is compared with the manifest: a loss is a FAIL, an addition is judged."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any

import pytest

from snapshot_tasks.checks import restored as restored_module
from snapshot_tasks.checks.expected import Cost, Expected, Restored
from snapshot_tasks.checks.replicas import check_replicas
from snapshot_tasks.checks.restored import (
    MAX_LISTED,
    RESTORED_CHECKS,
    check_restored,
    restored_error,
)
from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Concern, Finding, Status, loses_points
from snapshot_tasks.system.errors import ContentsDiffer, RestoreIncomplete, TaskError
from snapshot_tasks.system.progress import Silent
from tests.support.manifests import make_manifest

STATE = make_manifest().state
SAME = Restored(
    expected=Expected(state=STATE, taken_with="1.17.0"),
    actual=STATE,
    collection="books",
    endpoint=Endpoint(url="http://nowhere.invalid"),
    server_version="1.17.0",
    progress=Silent(),
    status="green",
)


def finding(check: str, restored: Restored) -> Finding:
    """Return the finding of one check."""
    return next(f for f in check_restored(restored, Cost.DESCRIBED) if f.check == check)


def came_back(**changes: Any) -> Restored:
    """Return a restore whose collection has these changes."""
    return replace(SAME, actual=replace(STATE, **changes))


def taken_with(version: str, restored: Restored) -> Restored:
    """Return the same restore of a snapshot that was taken with another version."""
    return replace(restored, expected=replace(restored.expected, taken_with=version))


def counted(expected: int, actual: int, between: tuple[int, int] | None) -> Finding:
    """Return the finding about the count."""
    restored = replace(
        SAME,
        expected=Expected(
            state=replace(STATE, points_count=expected),
            taken_with="1.17.0",
            moving_between=between,
        ),
        actual=replace(STATE, points_count=actual),
    )
    return finding("count", restored)


def test_what_came_back_whole_is_ok() -> None:
    """Every check of what Qdrant reports, each OK, in the order in which they are shown."""
    findings = check_restored(SAME, Cost.DESCRIBED)
    assert [f.check for f in findings] == ["status", "count", "config", "payload schema", "aliases"]
    assert {f.status for f in findings} == {Status.OK}


@pytest.mark.parametrize(
    ("check", "changes", "words"),
    [
        ("count", {"points_count": 1233}, "expected 1,234 points, found 1,233"),
        ("count", {"points_count": 1235}, "expected 1,234 points, found 1,235"),
        ("config", {"config": {"params": {}}}, "params.vectors: expected"),
        ("payload schema", {"payload_schema": {}}, "year: expected"),
        ("aliases", {"aliases": ()}, "missing: library"),
    ],
)
def test_each_loss_turns_one_check_red(check: str, changes: dict[str, Any], words: str) -> None:
    """Exactly the intended check fails, and says what is wrong."""
    findings = check_restored(came_back(**changes), Cost.DESCRIBED)
    assert [f.check for f in findings if f.status is Status.FAIL] == [check]
    assert words in finding(check, came_back(**changes)).message


@pytest.mark.parametrize(
    ("expected", "actual", "between", "status"),
    [
        (100, 100, (100, 120), Status.OK),
        (100, 110, (100, 120), Status.OK),
        (120, 110, (120, 100), Status.OK),
        (100, 99, (100, 120), Status.WARN),
        (100, 121, (100, 120), Status.WARN),
        (100, 0, (100, 120), Status.FAIL),
        (0, 0, (0, 20), Status.OK),
        (100, 110, None, Status.FAIL),
    ],
)
def test_a_moving_source_is_counted_with_care(
    expected: int, actual: int, between: tuple[int, int] | None, status: Status
) -> None:
    """Between both counts is OK, close to them is a warning, an empty collection is a failure."""
    assert counted(expected, actual, between).status is status


def test_an_index_of_another_kind_fails() -> None:
    """A payload index that changed its type is reported, although its name is the same."""
    changed = finding("payload schema", came_back(payload_schema={"year": {"data_type": "float"}}))
    assert changed.status is Status.FAIL
    assert "year.data_type: expected 'integer', found 'float'" in changed.message


def test_a_new_setting_of_a_newer_server_warns() -> None:
    """A newer minor version may have settings that the older one did not write."""
    added = came_back(config={**STATE.config, "strict_mode_config": {"enabled": True}})
    assert finding("config", added).status is Status.FAIL
    assert finding("config", taken_with("1.16.3", added)).status is Status.WARN


def test_a_changed_setting_fails_on_a_newer_server_too() -> None:
    """A newer version excuses additions, but never changes."""
    changed = taken_with("1.16.3", came_back(config={"params": {"vectors": {"size": 8}}}))
    assert finding("config", changed).status is Status.FAIL


def test_many_differences_are_cut() -> None:
    """A report stays readable: a few differences are shown, the rest are counted."""
    config = {f"key{number}": number for number in range(MAX_LISTED + 3)}
    expected = Expected(state=replace(STATE, config=config), taken_with="1.17.0")
    found = finding("config", replace(SAME, expected=expected, actual=replace(STATE, config={})))
    assert found.message.count("expected") == MAX_LISTED
    assert found.message.endswith("and 3 more")


def test_aliases_stay_out_under_another_name() -> None:
    """Under another name, the aliases still belong to the original, which is not a failure."""
    beside = replace(came_back(aliases=()), expected=Expected(state=STATE, owns_aliases=False))
    assert finding("aliases", beside).status is Status.OK
    assert "not restored" in finding("aliases", beside).message


def test_further_aliases_are_no_loss() -> None:
    """An alias that was added by hand does not hide that all recorded aliases exist."""
    assert finding("aliases", came_back(aliases=("library", "more"))).status is Status.OK


def test_an_empty_collection_can_come_back() -> None:
    """Nothing expected and nothing found is right."""
    empty = CollectionState(points_count=0, config={}, payload_schema={}, aliases=())
    restored = replace(SAME, expected=Expected(state=empty), actual=empty)
    assert {f.status for f in check_restored(restored, Cost.DESCRIBED)} == {Status.OK}


def test_an_optimizer_at_work_is_a_warning() -> None:
    """A collection that is not green yet may respond slowly, but nothing is lost."""
    assert finding("status", replace(SAME, status="yellow")).status is Status.WARN


def test_a_status_that_nobody_waited_for_is_not_judged() -> None:
    """The optimizer's state of a live collection says nothing about a restore."""
    checks = [f.check for f in check_restored(replace(SAME, status=None), Cost.DESCRIBED)]
    assert "status" not in checks


def test_without_a_manifest_only_the_count_is_reported() -> None:
    """There is nothing to compare with: a warning, not a failure."""
    unknown = replace(SAME, expected=Expected(state=None), status=None)
    [found] = check_restored(unknown, Cost.DESCRIBED)
    assert (found.check, found.status) == ("count", Status.WARN)


def test_an_unsealed_snapshot_warns_and_asks_no_server() -> None:
    """Its points cannot be compared with anything, and the finding says so."""
    [found] = check_restored(SAME, Cost.READ)
    assert (found.check, found.status) == ("contents", Status.WARN)


def test_every_check_is_in_the_one_list() -> None:
    """Every restore is judged by this list: a check that is not in it would never run."""
    made = {
        function
        for name, function in inspect.getmembers(restored_module, inspect.isfunction)
        if name.startswith("check_") and function.__module__ == restored_module.__name__
    }
    assert made - {check_restored} | {check_replicas} == {check for check, _ in RESTORED_CHECKS}


@pytest.mark.parametrize(
    ("concern", "kind", "lost"),
    [
        (Concern.COUNT, RestoreIncomplete, True),
        (Concern.POINTS, ContentsDiffer, True),
        (Concern.SETTINGS, ContentsDiffer, False),
        (Concern.INDEXES, ContentsDiffer, False),
        (Concern.SEARCHES, ContentsDiffer, False),
        (None, ContentsDiffer, False),
    ],
)
def test_missing_points_are_told_from_differences(
    concern: Concern | None, kind: type[TaskError], lost: bool
) -> None:
    """Only missing or different points are a reason to remove what came back."""
    finding = Finding(check="x", status=Status.FAIL, message="wrong", concern=concern)
    assert type(restored_error("x", [finding], hint="")) is kind
    assert loses_points([finding]) is lost


VECTOR = {"size": 4, "distance": "Dot", "on_disk": True}
SHARDED = {"params": {"vectors": {"a": VECTOR}, "sparse_vectors": {"s": {}}, "shard_number": 2}}


@pytest.mark.parametrize(
    ("params", "status", "concern"),
    [
        ({"shard_number": 1}, Status.FAIL, Concern.POINTS),
        ({"sharding_method": "custom"}, Status.WARN, Concern.POINTS),
        ({"vectors": {}}, Status.FAIL, Concern.POINTS),
        ({"vectors": {"a": VECTOR | {"size": 8}}}, Status.FAIL, Concern.POINTS),
        ({"sparse_vectors": None}, Status.FAIL, Concern.POINTS),
        ({"vectors": {"a": {"size": 4, "distance": "Dot"}}}, Status.WARN, Concern.SETTINGS),
        ({"vectors": {"a": VECTOR | {"on_disk": False}}}, Status.FAIL, Concern.SETTINGS),
        ({"on_disk_payload": True}, Status.WARN, Concern.SETTINGS),
    ],
)
def test_only_vectors_and_shards_decide(
    params: dict[str, Any], status: Status, concern: Concern
) -> None:
    """On another version: what it does not know is a warning, what it changed a failure."""
    actual = {"params": SHARDED["params"] | params}
    was = Expected(state=replace(STATE, config=SHARDED), taken_with="1.16.3")
    found = finding("config", replace(SAME, expected=was, actual=replace(STATE, config=actual)))
    assert (found.status, found.concern) == (status, concern)


def test_a_setting_that_vanishes_over_a_minor_warns() -> None:
    """1.19.0 forgets `max_disk_usage_percent` of 1.18.3; on the same version, that is a failure."""
    config = {**STATE.config, "strict_mode_config": {"max_disk_usage_percent": 90}}
    was = Expected(state=replace(STATE, config=config), taken_with="1.17.0")
    lost = replace(SAME, expected=was)
    assert finding("config", lost).status is Status.FAIL
    assert finding("config", taken_with("1.16.3", lost)).status is Status.WARN


def test_an_index_that_vanishes_fails_on_every_version() -> None:
    """An index is no setting: filters need it. Its parameters may vanish over a minor."""
    lost = taken_with("1.16.3", came_back(payload_schema={}))
    assert finding("payload schema", lost).status is Status.FAIL
    schema = {"year": {"data_type": "integer", "params": {"on_disk": True}}}
    was = Expected(state=replace(STATE, payload_schema=schema), taken_with="1.16.3")
    changed = finding("payload schema", replace(SAME, expected=was))
    assert (changed.status, changed.concern) == (Status.WARN, Concern.INDEXES)


@pytest.mark.parametrize("there", [True, False])
def test_an_index_that_was_changing_may_or_may_not_come_back(there: bool) -> None:
    """It is said, and nothing more; other indexes still must exist."""
    index = {"data_type": "keyword"}
    actual = {**STATE.payload_schema, **({"fleeting": index} if there else {})}
    expected = replace(SAME.expected, unsettled_indexes=frozenset({"fleeting"}))
    restored = replace(came_back(payload_schema=actual), expected=expected)
    settled, said = (
        f for f in check_restored(restored, Cost.DESCRIBED) if f.check == "payload schema"
    )
    assert settled.status is Status.OK
    assert said.status is Status.WARN
    assert ("exists" if there else "does not exist") in said.message
    without = replace(restored, actual=replace(STATE, payload_schema={}))
    assert finding("payload schema", without).status is Status.FAIL
