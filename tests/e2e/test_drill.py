"""The drill (restore test) next to a running Compose stack: it proves, and leaves no trace."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from snapshot_tasks.engines.binary import find_binary
from snapshot_tasks.settings import load_settings
from tests.conftest import NEWER, missing
from tests.e2e.conftest import Seeds
from tests.e2e.drills import Moment, drill, findings, interrupted, untouched
from tests.e2e.stack import (
    BIG,
    BIG_ALIAS,
    BIG_POINTS,
    SMALL,
    SMALL_POINTS,
    Stack,
    edit,
    flip_byte,
    ok,
)
from tests.support.nodes import nodes

pytestmark = pytest.mark.usefixtures("drill_turn")

Residue = Callable[[], set[str]]


def test_a_drill_beside_the_live_stack(live: Stack, no_residue: Residue) -> None:
    """It proves the snapshot on Qdrant's own version, and nothing live is touched."""
    with untouched(live):
        done = ok(drill(live))
    (report,) = done.document["result"]["drills"]
    assert (report["engine"], report["qdrant_version"]) == ("compose", "1.17.0")
    assert report["ok"] is True
    assert set(findings(done).values()) == {"OK"}
    assert {"count", "after restart: count"} <= set(findings(done))
    assert no_residue() == set()
    listed = ok(live.inv("snapshot.list", "--json")).document["result"]["snapshots"]
    assert listed[0]["proven_at"] is not None


def test_a_drill_leaves_a_stopped_live_stack_stopped(
    stack: Stack, seeds: Seeds, no_residue: Residue
) -> None:
    """A stopped live Qdrant is neither needed nor started, and keeps its data."""
    seeds.give(stack, SMALL)
    ok(stack.inv("stack.up"))
    assert stack.compose("stop").code == 0
    before = stack.identity()
    assert set(findings(ok(drill(stack))).values()) == {"OK"}
    assert stack.identity() == before
    assert no_residue() == set()
    stack.up()
    assert stack.content(SMALL) == seeds.content[SMALL]


def test_a_drill_of_all_uses_each_alias(stack: Stack, seeds: Seeds, no_residue: Residue) -> None:
    """`--all` proves every collection, even one with an alias; no live stack is needed."""
    seeds.give(stack, SMALL, BIG)
    reports = ok(drill(stack, "--all")).document["result"]["drills"]
    found = {r["collection"]: [f["message"] for f in r["findings"]] for r in reports}
    assert set(found) == {SMALL, BIG}
    assert f"{BIG_POINTS:,} points, exactly" in found[BIG]
    assert BIG_ALIAS in found[BIG]
    assert f"{SMALL_POINTS:,} points, exactly" in found[SMALL]
    assert stack.identity() == {}
    assert no_residue() == set()


def test_an_older_snapshot_is_drilled_on_its_own_version(
    stack: Stack, older_seeds: Seeds, no_residue: Residue
) -> None:
    """A snapshot of 1.16.3 gets the image v1.16.3, although 1.17.0 is configured."""
    older_seeds.give(stack, SMALL)
    done = ok(drill(stack))
    (report,) = done.document["result"]["drills"]
    assert report["qdrant_version"] == "1.16.3"
    assert set(findings(done).values()) == {"OK"}
    assert no_residue() == set()


def test_a_version_that_cannot_be_had_falls_back_and_says_so(
    stack: Stack, seeds: Seeds, no_residue: Residue
) -> None:
    """There is no image of 1.16.9: the configured version is used, and a warning says why."""
    files = seeds.give(stack, SMALL)
    stack.manifest(files[SMALL], qdrant_version="1.16.9")
    done = ok(drill(stack))
    (report,) = done.document["result"]["drills"]
    assert report["qdrant_version"] == "1.17.0"
    assert findings(done)["engine version"] == "WARN"
    (warning,) = [f for f in report["findings"] if f["check"] == "engine version"]
    assert "v1.16.9" in warning["message"]
    assert "1.17.0" in warning["message"]
    assert no_residue() == set()


def fewer_points(stack: Stack, file: Path) -> None:
    """Claim a count that differs from the file."""
    stack.manifest(file, points_count=499, source_points_before=499, source_points_after=499)


def another_config(stack: Stack, file: Path) -> None:
    """Claim another HNSW setting than in the file."""
    document = json.loads(file.with_name(file.name + ".json").read_text(encoding="utf-8"))
    document["config"]["hnsw_config"]["m"] = 99
    stack.manifest(file, config=document["config"])


def one_bit(stack: Stack, file: Path) -> None:
    """Damage the file."""
    flip_byte(file)


@pytest.mark.parametrize(
    ("tamper", "code", "check"),
    [(fewer_points, 22, "count"), (another_config, 21, "config"), (one_bit, 20, "file: sha256")],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_drill_that_must_fail_fails_and_is_torn_down(
    live: Stack,
    seeds: Seeds,
    no_residue: Residue,
    tmp_path: Path,
    tamper: Callable[[Stack, Path], None],
    code: int,
    check: str,
) -> None:
    """A file that differs from its manifest is a failed proof with its own exit code."""
    (seed,) = seeds.folder.glob(f"{SMALL}_[0-9]*.snapshot")
    for file in seed.parent.glob(f"{seed.name}*"):
        shutil.copy(file, tmp_path)
    tampered = tmp_path / seed.name
    tamper(live, tampered)
    with untouched(live):
        done = drill(live, "--snapshot", str(tampered))
    assert findings(done)[check] == "FAIL"
    assert done.code == code
    assert no_residue() == set()


def test_a_server_that_cannot_start_is_no_proof_and_is_torn_down(
    stack: Stack, seeds: Seeds, no_residue: Residue
) -> None:
    """A drill whose Qdrant does not start is an error, not a failed snapshot."""
    seeds.give(stack, SMALL)
    edit(stack.compose_file, "pull_policy: missing", "mem_limit: 1k")
    done = drill(stack)
    assert done.code == 13
    assert no_residue() == set()
    assert not list(stack.snapshots.glob("*.proofs.jsonl"))


def test_keep_leaves_it_running_until_it_is_removed(live: Stack, no_residue: Residue) -> None:
    """`--keep` leaves one Qdrant with the data, and prints the command that removes it."""
    with untouched(live):
        done = ok(drill(live, "--keep"))
        (report,) = done.document["result"]["drills"]
        kept = no_residue()
        assert [name for name in kept if name.startswith("container")]
        command = report["kept"].split("remove it with: ")[1].rstrip(")")
        assert command.split()[:3] == ["docker", "compose", "-p"]
        subprocess.run(
            command.split(), cwd=live.root, env=dict(os.environ), check=True, capture_output=True
        )
    assert no_residue() == set()


def test_keep_does_not_hide_what_a_failed_start_left(
    stack: Stack, seeds: Seeds, no_residue: Residue
) -> None:
    """`--keep` without a start: nothing is left, or the output says what to remove."""
    seeds.give(stack, SMALL)
    edit(stack.compose_file, "pull_policy: missing", "mem_limit: 1k")
    done = drill(stack, "--keep")
    assert done.code == 13
    assert no_residue() == set() or "qdrant-drill-" in done.stderr


def test_in_place_deletes_and_brings_back_the_live_data(stack: Stack, seeds: Seeds) -> None:
    """Only with `--yes`: `down -v`, `up`, restore; every point and alias is restored."""
    seeds.give(stack, SMALL, BIG)
    ok(stack.inv("stack.up"))
    before = stack.identity()
    refused = drill(stack, "--in-place")
    assert refused.code == 24
    assert stack.identity() == before
    done = ok(drill(stack, "--in-place", "--yes"))
    assert set(findings(done).values()) == {"OK"}
    assert stack.container() not in before
    assert stack.content(SMALL) == seeds.content[SMALL]
    assert stack.content(BIG) == seeds.content[BIG]
    with stack.loader() as loader:
        assert loader.aliases() == {BIG_ALIAS: BIG}


def test_in_place_refuses_what_would_not_come_back(stack: Stack, seeds: Seeds) -> None:
    """A live collection without a snapshot, or changed since: 24, and nothing is deleted."""
    seeds.give(stack, SMALL)
    ok(stack.inv("stack.up"))
    with stack.loader() as loader:
        loader.plain("unsaved", points=10)
    before = stack.identity()
    refused = drill(stack, "--in-place", "--yes")
    assert refused.code == 24
    assert "unsaved" in refused.document["error"]["message"]
    with stack.loader() as loader:
        loader.delete("unsaved")
        loader.request("POST", f"/collections/{SMALL}/points/delete", {"points": [7]})
    assert drill(stack, "--in-place", "--yes").code == 24
    assert stack.identity() == before


def test_an_interrupted_in_place_drill_says_how_the_data_comes_back(
    stack: Stack, seeds: Seeds
) -> None:
    """After the live data is deleted, "nothing half-done was left behind" would be wrong."""
    seeds.give(stack, SMALL)
    ok(stack.inv("stack.up"))
    begins_anew = Moment("container create", label=f"com.docker.compose.project={stack.name}")
    consent = ("--in-place", "--yes")
    done = interrupted(stack, begins_anew, signal.SIGINT, arguments=consent)
    assert done.code == 130
    ok(stack.inv("stack.up"))
    assert stack.content(SMALL) == seeds.content[SMALL]
    assert "inv stack.up" in done.document["error"]["hint"]


def test_the_demo_leaves_nothing_running(live: Stack, no_residue: Residue) -> None:
    """`inv demo` on Compose loads, proves and cleans up next to the live stack."""
    with untouched(live):
        done = ok(live.inv("demo", "--json"))
    assert done.document["result"]["drill"]["engine"] == "compose"
    assert done.document["result"]["drill"]["ok"] is True
    assert no_residue() == set()


def test_two_drills_at_once_stay_apart(stack: Stack, live: Stack, seeds: Seeds) -> None:
    """Drills of two projects run at the same time, each on its own stack."""
    seeds.give(stack, SMALL)
    other = stack.inv.start("snapshot.test-restore", "--json")
    with untouched(live):
        ok(drill(live))
    stdout, stderr = other.communicate(timeout=120)
    assert other.returncode == 0, stdout + stderr


def test_shard_keys_are_drilled_on_a_single_node(
    stack: Stack, no_residue: Residue, tmp_path: Path
) -> None:
    """The container is the only node of a cluster, also after its restart."""
    binary = find_binary(load_settings(tmp_path, {}), NEWER)
    if binary is None:
        missing(f"no Qdrant {NEWER} on this machine (./inv engine.install --version {NEWER})")
    assert binary
    with nodes(binary, tmp_path / "node", 1) as [node], closing(node.loader) as loader:
        body = {"vectors": {"size": 2, "distance": "Dot"}, "sharding_method": "custom"}
        loader.request("PUT", "/collections/keyed", body)
        for number, key in enumerate(("gone", "en")):
            loader.request("PUT", "/collections/keyed/shards", {"shard_key": key})
            points = {"points": [{"id": number, "vector": [1, number]}], "shard_key": key}
            loader.request("PUT", "/collections/keyed/points", points)
        loader.request("POST", "/collections/keyed/shards/delete", {"shard_key": "gone"})
        elsewhere = {"QDRANT_ENGINE": "external", "QDRANT_URL": node.url}
        ok(stack.inv("snapshot.create", "--collection", "keyed", **elsewhere))
    done = ok(drill(stack, "--collection", "keyed"))
    assert set(findings(done).values()) == {"OK"}
    assert findings(done)["after restart: contents"] == "OK"
    assert no_residue() == set()


def test_a_container_may_start_with_the_file(
    stack: Stack, seeds: Seeds, no_residue: Residue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some are only restored at the start; the next start is without that argument."""
    seeds.give(stack, SMALL)
    monkeypatch.setattr(
        "snapshot_tasks.operations.prove.drill.needs_start_up", lambda config, version: True
    )
    done = ok(drill(stack))
    (report,) = done.document["result"]["drills"]
    assert set(findings(done).values()) == {"OK"}
    assert report["restore_seconds"] >= report["phases"]["start"]
    assert no_residue() == set()
