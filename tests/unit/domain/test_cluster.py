"""What Qdrant says about its cluster, and the order in which shard keys get their ids again."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_tasks.domain.cluster import (
    KeyStep,
    ShardKey,
    key_steps,
    nodes_count,
    p2p_address,
    replica_problem,
    shard_keys,
)


@pytest.mark.parametrize(
    ("answer", "count"),
    [({"status": "disabled"}, 1), ({"status": "enabled", "peers": {"1": {}, "2": {}}}, 2), ({}, 1)],
)
def test_a_plain_server_is_one_node(answer: dict[str, Any], count: int) -> None:
    """So is one whose key may not ask."""
    assert nodes_count(answer) == count


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"is_local": True, "this_peer_id": 1, "peers": {"1": "Active", "2": "Dead"}}, ""),
        ({"is_local": True, "this_peer_id": 1, "peers": {"1": "Dead"}}, "was Dead"),
        ({"is_local": True, "this_peer_id": 1, "peers": {"1": "Partial"}}, "was Partial"),
        ({"is_local": False, "this_peer_id": 1, "peers": {"2": "Active"}}, "another node"),
        ({"is_local": True}, ""),
        ([], ""),
        ({"is_local": True, "this_peer_id": 1, "peers": None}, ""),
    ],
)
def test_the_file_says_what_its_replica_was(document: object, problem: str) -> None:
    """Only this node's own replica counts."""
    found = replica_problem("0", document)
    assert problem in found
    assert bool(found) is bool(problem)


@pytest.mark.parametrize(
    ("ids", "steps"),
    [
        ({"a": (1,), "b": (2,)}, ["a 1", "b 1"]),
        ({"b": (1, 2), "a": (3,)}, ["b 2", "a 1"]),
        ({"a": (2,), 7: (5, 6)}, ["~1", "a 1", "~2", "7 2"]),
        ({"a": (35,)}, ["~16", "~16", "~2", "a 1"]),
        ({}, []),
    ],
)
def test_gaps_of_deleted_keys_are_filled(
    ids: dict[str | int, tuple[int, ...]], steps: list[str]
) -> None:
    """Qdrant gives new shards the next id, so temporary keys take those of a deleted one."""
    keys = tuple(ShardKey(key=key, shard_ids=numbers) for key, numbers in ids.items())

    def short(step: KeyStep) -> str:
        return f"~{step.shards_count}" if step.gap else f"{step.key} {step.shards_count}"

    assert [short(step) for step in key_steps(keys)] == steps


def test_the_key_of_a_gap_has_a_name_of_its_own() -> None:
    """A collection may have a key of that name, and Qdrant refuses a second one."""
    keys = (ShardKey(key="gap-3", shard_ids=(2,)), ShardKey(key="a", shard_ids=(4,)))
    assert [step.key for step in key_steps(keys)] == ["gap-1", "gap-3", "gap-3-", "a"]


def test_ids_that_no_order_gives_are_refused() -> None:
    """Two keys whose shards alternate."""
    keys = (ShardKey(key="a", shard_ids=(1, 3)), ShardKey(key="b", shard_ids=(2,)))
    with pytest.raises(ValueError, match="'a'"):
        key_steps(keys)


@pytest.mark.parametrize(
    "document",
    [5, "x", [5], [{"key": "a"}], [{"key": "a", "shard_ids": 5}], [{"key": [], "shard_ids": [1]}]],
)
def test_other_json_is_no_mapping(document: object) -> None:
    """Whatever a file says, nothing but ValueError is raised."""
    with pytest.raises(ValueError, match=r"key|int"):
        shard_keys(document)


def test_both_forms_of_the_mapping_are_read() -> None:
    """The list of today, and the object of earlier versions; keys are text or numbers."""
    listed = [{"key": 7, "shard_ids": [3]}, {"key": "a", "shard_ids": [2]}]
    assert [(k.key, k.shard_ids) for k in shard_keys(listed)] == [("a", (2,)), (7, (3,))]
    assert shard_keys({"a": [2]}) == (ShardKey(key="a", shard_ids=(2,)),)
    assert shard_keys(None) == ()


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("http://node-0:6335/", ("node-0", 6335)),
        ("http://[::1]:7000/", ("::1", 7000)),
        ("http://node-0/", ("node-0", 6335)),
        ("https://node-0:6335/", None),
        ("http://node-0:many/", None),
        ("", None),
    ],
)
def test_only_an_unencrypted_p2p_port_is_looked_at(
    uri: str, address: tuple[str, int] | None
) -> None:
    """What is encrypted, or is no address, is not asked."""
    peers = {"11": {"uri": uri}, "12": {"uri": "http://other:1/"}}
    assert p2p_address({"status": "enabled", "peer_id": 11, "peers": peers}) == address


@pytest.mark.parametrize("answer", [{}, {"status": "disabled"}, {"peer_id": 1, "peers": {"1": 2}}])
def test_other_answers_have_no_p2p_port(answer: dict[str, Any]) -> None:
    """A plain server, a key that may not ask, and anything else."""
    assert p2p_address(answer) is None
