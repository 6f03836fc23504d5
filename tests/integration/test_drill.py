"""The drill (restore test) on native servers: it proves, it fails, it leaves nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import psutil
import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.file import Verification
from snapshot_tasks.checks.file import verify as check_file
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.base import FreshRequest, FreshServer
from snapshot_tasks.engines.binary import cached_binary
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.prove.drill import DrillReport, DrillRequest, drill
from snapshot_tasks.settings import Settings
from snapshot_tasks.system.errors import (
    ContentsDiffer,
    Damaged,
    Refused,
    RestoreIncomplete,
    TaskError,
)
from snapshot_tasks.system.progress import Progress, Silent
from tests.conftest import NEWER, OLDER, Inv, Live, native_qdrant, now
from tests.integration.conftest import Samples, Take
from tests.support.collections import Loader
from tests.support.proxy import faulty, static
from tests.support.world import (
    assert_error,
    edit_manifest,
    ended,
    flip_byte,
    only_programs,
    processes_below,
    proofs_of,
    scratch_left,
    wait_until,
)


@pytest.fixture(autouse=True)
def _nothing_is_left(qdrant: Live, older_qdrant: Live, scratch: Path) -> Iterator[None]:
    """Whatever a drill does, it leaves neither a folder nor a process."""
    yield
    left = scratch_left(scratch)
    running = [(p.pid, p.name()) for p in processes_below(scratch)]
    assert (left, running) == ([], [])


@pytest.fixture
def folder(inv: Inv) -> Path:
    """The snapshot folder of this test's own project."""
    return inv.root / "qdrant_snapshots"


def prove(file: Path, engine: NativeEngine, **request: Any) -> DrillReport:
    """Drill in-process."""
    wanted = DrillRequest(
        snapshot=Catalog(file.parent).find(file.name),
        version=NEWER,
        operation_timeout_seconds=60,
        **request,
    )
    return drill(wanted, engine, Silent(), clock=now)


@pytest.mark.parametrize("version", ["qdrant", "older_qdrant"])
def test_a_sound_rich_snapshot_is_proven_on_its_own_version(
    version: str,
    name: str,
    take: Take,
    engine: NativeEngine,
    request: pytest.FixtureRequest,
) -> None:
    """Every finding is OK, before and after a restart, and the proof says what ran."""
    live: Live = request.getfixturevalue(version)
    live.loader.rich(name)
    live.loader.alias(f"{name}-alias", name)
    file = take(live, name).path
    report = prove(file, engine)
    assert report.error is None
    assert {f.status.value for f in report.findings} == {"OK"}
    checks = {f.check for f in report.findings}
    described = {"status", "count", "config", "payload schema", "aliases", "contents"}
    assert described | {f"after restart: {check}" for check in described} <= checks
    assert report.server_version == live.version
    [proof] = proofs_of(file)
    assert (proof["kind"], proof["ok"], proof["qdrant_version"]) == ("drill", True, live.version)
    assert proof["restore_seconds"] > 0
    assert Catalog(file.parent).find(file.name).proven_at is not None


def test_a_snapshot_without_manifest_is_proven_as_far_as_possible(
    samples: Samples, folder: Path, engine: NativeEngine
) -> None:
    """It restores; facts that nobody recorded are a warning, not a failure."""
    file = samples.put("plain", folder, manifest=False)
    report = prove(file, engine)
    assert report.error is None
    assert {f.check: f.status.value for f in report.findings}["count"] == "WARN"


def tamper_count(manifest: dict[str, Any]) -> None:
    """Claim one more point."""
    for key in ("points_count", "source_points_before", "source_points_after"):
        manifest[key] += 1


def tamper_config(manifest: dict[str, Any]) -> None:
    """Claim another HNSW setting."""
    manifest["config"]["hnsw_config"]["m"] += 1


def tamper_quantization(manifest: dict[str, Any]) -> None:
    """Claim that there was no quantization."""
    manifest["config"]["quantization_config"] = None


def tamper_schema(manifest: dict[str, Any]) -> None:
    """Claim an index that never existed."""
    manifest["payload_schema"]["ghost"] = {"data_type": "keyword"}


def tamper_index(manifest: dict[str, Any]) -> None:
    """Hide an existing index."""
    del manifest["payload_schema"]["kind"]


def tamper_alias(manifest: dict[str, Any]) -> None:
    """Claim an impossible alias: the collection's own name."""
    manifest["aliases"] = ["sample-rich"]


@pytest.mark.parametrize(
    ("tamper", "error"),
    [
        (tamper_count, RestoreIncomplete),
        (tamper_config, ContentsDiffer),
        (tamper_quantization, ContentsDiffer),
        (tamper_schema, ContentsDiffer),
        (tamper_index, ContentsDiffer),
        (tamper_alias, TaskError),
    ],
)
def test_a_tampered_manifest_fails(
    samples: Samples,
    folder: Path,
    engine: NativeEngine,
    tamper: Callable[[dict[str, Any]], None],
    error: type[TaskError],
) -> None:
    """A collection that differs from the record is never proven, and the proof line says so."""
    file = samples.put("rich", folder)
    edit_manifest(file, tamper)
    report = prove(file, engine)
    assert isinstance(report.error, error)
    assert "FAIL" in {f.status.value for f in report.findings}
    assert [p["ok"] for p in proofs_of(file)] == [False]
    assert Catalog(folder).find(file.name).proven_at is None


def test_the_snapshot_of_another_collection_fails(
    samples: Samples, folder: Path, engine: NativeEngine
) -> None:
    """Another file, with matching sha256 and size in the manifest, is detected by its contents."""
    import hashlib

    plain, rich = samples.put("plain", folder), samples.put("rich", folder)
    content = plain.read_bytes()
    rich.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    edit_manifest(rich, lambda m: m.update(sha256=sha256, size_bytes=len(content)))
    report = prove(rich, engine)
    assert report.error is not None
    assert report.error.exit_code in (21, 22)


def test_a_damaged_file_fails_before_anything_starts(
    samples: Samples, inv: Inv, folder: Path
) -> None:
    """A flipped byte is exit code 20 through `inv`, with a proof line that says no."""
    file = samples.put("plain", folder)
    flip_byte(file)
    ran = inv("snapshot.test-restore", "--collection=sample-plain")
    assert_error(ran, 20, "sha256")
    assert "starting an empty Qdrant" not in ran.stderr
    [proof] = proofs_of(file)
    assert (proof["kind"], proof["ok"]) == ("drill", False)


def test_damage_that_no_manifest_tells_of_fails(
    samples: Samples, folder: Path, engine: NativeEngine
) -> None:
    """A truncated file without a manifest is still detected."""
    file = samples.put("plain", folder, manifest=False)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size - 100_000)
    report = prove(file, engine)
    assert isinstance(report.error, Damaged)
    assert [p["ok"] for p in proofs_of(file)] == [False]


def test_a_newer_schema_is_refused(samples: Samples, folder: Path, engine: NativeEngine) -> None:
    """A manifest that this version cannot read is refused, not ignored."""
    file = samples.put("plain", folder)
    edit_manifest(file, lambda m: m.update(schema=99))
    with pytest.raises(Refused):
        prove(file, engine)


def test_a_snapshot_of_a_moving_source_is_proven(
    samples: Samples, folder: Path, engine: NativeEngine
) -> None:
    """If the source changed and there is no seal, a count between the recorded ones is right."""
    file = samples.put("plain", folder)
    moving = {
        "source_moved": True,
        "points_count": 290,
        "source_points_before": 290,
        "source_points_after": 310,
    }
    edit_manifest(file, lambda m: m.update(moving | {"fingerprint": None}))
    assert prove(file, engine).error is None
    edit_manifest(file, lambda m: m.update(source_moved=False))
    assert isinstance(prove(file, engine).error, RestoreIncomplete)


def test_a_seal_counts_a_moving_source(
    samples: Samples, folder: Path, engine: NativeEngine
) -> None:
    """A seal includes the file's count, so the count must be exact, whatever the source did."""
    file = samples.put("plain", folder)
    edit_manifest(file, lambda m: m.update(source_moved=True, source_points_after=310))
    assert prove(file, engine).error is None
    edit_manifest(file, lambda m: m.update(points_count=301))
    assert isinstance(prove(file, engine).error, RestoreIncomplete)


def test_an_old_proof_does_not_prove_new_bytes(
    samples: Samples, folder: Path, engine: NativeEngine
) -> None:
    """A proof is valid for the sha256 it was made with, and for no other."""
    file = samples.put("plain", folder)
    assert prove(file, engine).error is None
    edit_manifest(file, lambda m: m.update(sha256="0" * 64))
    assert Catalog(folder).find(file.name).proven_at is None


def test_the_live_server_is_never_spoken_to(
    samples: Samples, qdrant: Live, inv: Inv, folder: Path
) -> None:
    """Not a single request reaches QDRANT_URL during a drill."""
    samples.put("rich", folder)
    with faulty(qdrant.url) as proxy:
        ran = inv(
            "snapshot.test-restore",
            "--collection=sample-rich",
            QDRANT_URL=proxy.url,
            QDRANT_ENGINE="external",
            QDRANT_DRILL_ENGINE="native",
        )
        assert proxy.seen == []
    assert ran.code == 0, ran.stderr
    assert qdrant.loader.count("sample-rich") == 298


def test_random_and_create_choose_what_they_say(
    samples: Samples, qdrant: Live, inv: Inv, folder: Path
) -> None:
    """`--create` takes and drills a new snapshot, `--random` drills an older one."""
    plain = samples.put("plain", folder)
    created = inv(
        "snapshot.test-restore",
        "--create",
        "--collection=sample-plain",
        "--json",
        QDRANT_URL=qdrant.url,
        QDRANT_ENGINE="external",
        QDRANT_DRILL_ENGINE="native",
    )
    assert created.code == 0, created.stderr
    [drilled] = created.document["result"]["drills"]
    assert drilled["snapshot"] != plain.name
    assert (folder / drilled["snapshot"]).exists()
    older = inv("snapshot.test-restore", "--random", "--collection=sample-plain", "--json")
    assert [d["snapshot"] for d in older.document["result"]["drills"]] == [plain.name]


def test_what_looks_suspicious_about_a_new_snapshot_is_reported(
    qdrant: Live, name: str, inv: Inv
) -> None:
    """`--create` warns like `snapshot.create`, and respects QDRANT_MAX_DROP_PERCENT."""
    live = {"QDRANT_URL": qdrant.url, "QDRANT_ENGINE": "external", "QDRANT_DRILL_ENGINE": "native"}
    qdrant.loader.plain(name, points=50)
    assert inv("snapshot.create", "--collection", name, **live).code == 0
    body = {"points": list(range(1, 31))}
    qdrant.loader.request("POST", f"/collections/{name}/points/delete?wait=true", body)
    ran = inv("snapshot.test-restore", "--create", "--collection", name, "--json", **live)
    assert ran.code == 0, ran.stderr
    [drilled] = ran.document["result"]["drills"]
    [finding] = ran.document["result"]["findings"]
    assert (finding["snapshot"], finding["status"]) == (drilled["snapshot"], "WARN")
    assert "the previous snapshot had 50" in finding["message"]
    (inv.root / "qdrant_snapshots" / drilled["snapshot"]).unlink()
    (inv.root / "qdrant_snapshots" / f"{name}_latest.snapshot").unlink()
    ran = inv(
        "snapshot.test-restore",
        "--create",
        "--collection",
        name,
        QDRANT_MAX_DROP_PERCENT="90",
        **live,
    )
    assert ran.code == 0, ran.stderr
    assert "previous snapshot" not in ran.stdout


def test_a_broken_collection_is_told_every_time(qdrant: Live, name: str, inv: Inv) -> None:
    """All vectors are zero, twice in a row: `--strict` refuses both, and the drill prints it."""
    live = {"QDRANT_URL": qdrant.url, "QDRANT_ENGINE": "external", "QDRANT_DRILL_ENGINE": "native"}
    config = {"vectors": {"size": 4, "distance": "Dot"}}
    qdrant.loader.request("PUT", f"/collections/{name}", config)
    points = [{"id": number, "vector": [0.0] * 4} for number in range(50)]
    qdrant.loader.request("PUT", f"/collections/{name}/points", {"points": points})
    words = "50 vectors (unnamed) are all zeros"
    for _ in range(2):
        assert_error(inv("snapshot.create", "--collection", name, "--strict", **live), 21, words)
        ran = inv("snapshot.test-restore", "--create", "--collection", name, **live)
        assert ran.code == 0, ran.stderr
        assert words in ran.stdout
        assert "PROVEN:" in ran.stdout


def test_all_goes_on_past_one_that_cannot_be_read(samples: Samples, inv: Inv, folder: Path) -> None:
    """`--all` still proves the others, and names the one that is refused."""
    plain, rich = samples.put("plain", folder), samples.put("rich", folder)
    edit_manifest(plain, lambda m: m.update(schema=99))
    ran = inv("snapshot.test-restore", "--all", "--json")
    assert ran.code == 24
    assert plain.name in ran.document["error"]["message"]
    assert [p["ok"] for p in proofs_of(rich)] == [True]
    assert [d["snapshot"] for d in ran.document["result"]["drills"]] == [rich.name]


def test_all_goes_on_past_one_that_fails(samples: Samples, inv: Inv, folder: Path) -> None:
    """A failed drill does not prevent the others, and JUnit counts it."""
    plain, rich = samples.put("plain", folder), samples.put("rich", folder)
    flip_byte(plain)
    junit = inv.root / "reports" / "drill.xml"
    ran = inv("snapshot.test-restore", "--all", "--junit", str(junit), "--json")
    assert ran.code == 20
    assert {d["snapshot"]: d["ok"] for d in ran.document["result"]["drills"]} == {
        plain.name: False,
        rich.name: True,
    }
    suites = {s.get("name"): s for s in ElementTree.parse(junit).getroot()}
    assert int(str(suites[plain.name].get("failures"))) > 0
    assert suites[plain.name].findall("testcase/failure")
    assert suites[rich.name].get("failures") == "0"
    assert len(suites[rich.name].findall("testcase")) == int(str(suites[rich.name].get("tests")))


def test_all_goes_on_past_what_nobody_foresaw(
    samples: Samples, inv: Inv, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug on one snapshot is exit code 1, with a traceback, and the others are still proven."""
    plain, rich = samples.put("plain", folder), samples.put("rich", folder)

    def verify(snapshot: Snapshot, progress: Progress) -> Verification:
        if snapshot.path == plain:
            raise TypeError("nobody foresaw this")
        return check_file(snapshot, progress)

    monkeypatch.setattr("snapshot_tasks.operations.prove.drill.verify", verify)
    ran = inv("snapshot.test-restore", "--all", "--json")
    assert ran.code == 1
    assert "nobody foresaw this" in ran.document["error"]["message"]
    assert ran.document["error"]["kind"] == "bug"
    assert "Traceback" in ran.stderr
    assert [d["snapshot"] for d in ran.document["result"]["drills"]] == [rich.name]
    assert [p["ok"] for p in proofs_of(rich)] == [True]


def test_all_goes_on_past_a_missing_newest_one(samples: Samples, inv: Inv, folder: Path) -> None:
    """A latest link without its snapshot does not prevent the tests of the other collections."""
    plain, rich = samples.put("plain", folder), samples.put("rich", folder)
    plain.unlink()
    ran = inv("snapshot.test-restore", "--all", "--json")
    assert ran.code == 10
    assert [f["name"] for f in ran.document["result"]["failed"]] == ["sample-plain"]
    assert [p["ok"] for p in proofs_of(rich)] == [True]


def test_a_missed_budget_is_told_apart_from_a_failed_restore(
    samples: Samples, inv: Inv, folder: Path
) -> None:
    """Too slow is exit code 23; the snapshot still counts as proven."""
    file = samples.put("plain", folder)
    junit = inv.root / "drill.xml"
    ran = inv(
        "snapshot.test-restore",
        "--collection=sample-plain",
        "--max-seconds",
        "0.000001",
        "--junit",
        str(junit),
    )
    assert_error(ran, 23, "allowed")
    assert [p["ok"] for p in proofs_of(file)] == [True]
    [suite] = ElementTree.parse(junit).getroot()
    assert suite.get("failures") == "1"


def test_keep_leaves_it_running_to_look_at(
    samples: Samples, inv: Inv, folder: Path, scratch: Path
) -> None:
    """`--keep` says where it is and how to remove it, and both are right."""
    import subprocess

    import httpx

    samples.put("plain", folder)
    ran = inv("snapshot.test-restore", "--collection=sample-plain", "--keep", "--json")
    assert ran.code == 0, ran.stderr
    kept = ran.document["result"]["drills"][0]["kept"]
    url, _, removal = kept.partition(" ")
    listing = httpx.get(f"{url}/collections", trust_env=False).json()["result"]["collections"]
    assert [c["name"] for c in listing] == ["sample-plain"]
    [server] = processes_below(scratch)
    command = removal.split("remove it with: ")[1].rstrip(")")
    assert command.startswith(f"kill {server.pid};")
    subprocess.run(command.split(";")[0].split(), check=True)
    with contextlib.suppress(psutil.Error):
        server.wait(10)
    subprocess.run(command.split(";")[1].split(), check=True)


def test_a_version_that_cannot_be_had_falls_back_and_says_so(
    samples: Samples, inv: Inv, folder: Path, tmp_path: Path
) -> None:
    """The configured version proves it instead, with a warning that names both."""
    file = samples.put("plain", folder)
    edit_manifest(file, lambda m: m.update(qdrant_version="1.16.9"))
    with static({}) as url, only_programs(tmp_path / "bin") as path:
        ran = inv(
            "snapshot.test-restore",
            "--collection=sample-plain",
            "--json",
            QDRANT_VERSION=NEWER,
            QDRANT_RELEASES_URL=url,
            QDRANT_RELEASES_API_URL=url,
            PATH=path,
        )
    assert ran.code == 0, ran.stderr
    [drilled] = ran.document["result"]["drills"]
    assert drilled["qdrant_version"] == NEWER
    warnings = [f["message"] for f in drilled["findings"] if f["status"] == "WARN"]
    assert [w for w in warnings if "1.16.9" in w and NEWER in w]


def test_no_engine_at_all_proves_nothing(
    samples: Samples, inv: Inv, folder: Path, tmp_path: Path
) -> None:
    """If no Qdrant is available: 10, every source named, and no proof line."""
    file = samples.put("plain", folder)
    with static({}) as url, only_programs(tmp_path / "bin") as path:
        ran = inv(
            "snapshot.test-restore",
            "--collection=sample-plain",
            QDRANT_RELEASES_URL=url,
            QDRANT_RELEASES_API_URL=url,
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            PATH=path,
        )
    assert_error(ran, 10, "releases", "npm")
    assert proofs_of(file) == []


def test_dry_starts_nothing(samples: Samples, inv: Inv, folder: Path) -> None:
    """`inv --dry snapshot.test-restore` starts nothing and proves nothing."""
    file = samples.put("plain", folder)
    ran = inv("--dry", "snapshot.test-restore", "--collection=sample-plain")
    assert ran.code == 0
    assert proofs_of(file) == []


@dataclasses.dataclass(frozen=True)
class Moments:
    """Shows how far a drill is, from its folder and from a binary that stops slowly."""

    scratch: Path
    marks: Path

    def stops(self) -> int:
        """Return how often a server was told to stop."""
        return len(self.marks.read_text().splitlines()) if self.marks.exists() else 0

    def has(self, pattern: str) -> bool:
        """Return whether a file of the drill's own folder exists."""
        return any(self.scratch.glob(f"qdrant-snapshot-tasks-*/{pattern}"))

    def holds(self, moment: str) -> bool:
        """Return whether the drill has reached that moment."""
        match moment:
            case "folder made":
                return self.has("*.lock")
            case "server spawned":
                return bool(processes_below(self.scratch))
            case "ready":
                return self.has("*/storage/raft_state.json")
            case "restoring":
                return self.has("*/storage/collections/*")
            case "stopping for the restart":
                return self.stops() == 1
            case "tearing down":
                return self.stops() == 2
        raise AssertionError(moment)


MOMENTS = (
    "folder made",
    "server spawned",
    "ready",
    "restoring",
    "stopping for the restart",
    "tearing down",
)


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_next_drill_clears_what_a_killed_one_left(
    samples: Samples, inv: Inv, folder: Path, scratch: Path, tmp_path: Path, moment: str
) -> None:
    """Kill -9 at any moment: the next drill passes, and neither server nor folder is left."""
    file = samples.put("plain", folder)
    moments = Moments(scratch, tmp_path / "marks")
    binary = str(slow_to_stop(tmp_path, moments.marks))
    process = inv.start("snapshot.test-restore", "--collection=sample-plain", QDRANT_BINARY=binary)
    wait_until(lambda: process.poll() is not None or moments.holds(moment))
    process.kill()
    process.communicate()
    assert proofs_of(file) == []
    ran = inv("snapshot.test-restore", "--collection=sample-plain")
    assert ran.code == 0, ran.stderr
    assert scratch_left(scratch) == []
    assert processes_below(scratch) == []


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("folder made", signal.SIGINT),
        ("folder made", signal.SIGTERM),
        ("server spawned", signal.SIGINT),
        ("ready", signal.SIGTERM),
        ("restoring", signal.SIGINT),
        ("restoring", signal.SIGTERM),
        ("stopping for the restart", signal.SIGINT),
        ("tearing down", signal.SIGINT),
        ("tearing down", signal.SIGTERM),
    ],
)
def test_an_interrupted_drill_leaves_nothing(
    samples: Samples,
    inv: Inv,
    folder: Path,
    scratch: Path,
    tmp_path: Path,
    moment: str,
    number: signal.Signals,
) -> None:
    """Whenever it is interrupted: 130, and every server and folder is removed."""
    file = samples.put("plain", folder)
    moments = Moments(scratch, tmp_path / "marks")
    process = inv.start(
        "snapshot.test-restore",
        "--collection=sample-plain",
        QDRANT_BINARY=str(slow_to_stop(tmp_path, moments.marks)),
    )
    wait_until(lambda: process.poll() is not None or moments.holds(moment))
    process.send_signal(number)
    ran = ended(process)
    assert_error(ran, 130)
    wait_until(lambda: not processes_below(scratch), seconds=3)
    assert scratch_left(scratch) == []
    assert [p for p in proofs_of(file) if p["ok"]] == []


def test_a_throw_away_server_that_dies_is_called_so(
    samples: Samples,
    folder: Path,
    engine: NativeEngine,
    make_settings: Callable[..., Settings],
    scratch: Path,
) -> None:
    """The error and its hint are about that server; somebody who kills it proves nothing."""
    file = samples.put("plain", folder)

    class Mortal(NativeEngine):
        """Its server is killed instead of restarted."""

        @contextlib.contextmanager
        def fresh(self, request: FreshRequest, progress: Progress) -> Iterator[FreshServer]:
            with engine.fresh(request, progress) as server:
                yield dataclasses.replace(server, restart=kill)

    def kill() -> None:
        for process in processes_below(scratch):
            # The engine that started it wants to know how it ended.
            process.kill()

    with pytest.raises(RestoreIncomplete) as caught:
        prove(file, Mortal(make_settings()))
    error = caught.value
    assert error.message.startswith("The fresh Qdrant stopped unexpectedly (SIGKILL)")
    assert "Its log ends with" in error.message
    assert "stack." not in error.hint
    assert proofs_of(file) == []


def test_a_restarted_server_never_meets_its_own_locks(tmp_path: Path, name: str) -> None:
    """A restart waits until the old process has ended; otherwise the drill raises a false alarm."""
    with native_qdrant(OLDER, tmp_path) as live:
        live.loader.rich(name)
        # Qdrant waits up to 5 s for idle connections when it is told to stop.
        live.loader.close()
        for _ in range(6):
            live.fresh.restart()
        loader = Loader(live.url)
        assert loader.count(name) == 298
        loader.close()


def slow_to_stop(folder: Path, marks: Path) -> Path:
    """Make a program that is Qdrant, but stops slowly, and records each request to stop."""
    binary = cached_binary(NEWER)
    script = folder / "slow-qdrant"
    script.write_text(
        f"""#!/bin/bash
[ "$1" = --version ] && exec {binary} --version
{binary} &
child=$!
trap 'echo stop >>{marks}; sleep 0.5; kill -TERM $child; wait $child; exit 0' INT TERM
wait $child
""",
        encoding="utf-8",
    )
    script.chmod(0o755)
    return script


def test_the_older_binary_is_used_for_an_older_snapshot(
    older_qdrant: Live, name: str, take: Take, inv: Inv, folder: Path
) -> None:
    """A snapshot of 1.16.3 is proven on 1.16.3, although QDRANT_VERSION is newer."""
    older_qdrant.loader.plain(name, points=50)
    snapshot = take(older_qdrant, name)
    ran = inv(
        "snapshot.test-restore", "--snapshot", str(snapshot.path), "--json", QDRANT_VERSION=NEWER
    )
    assert ran.code == 0, ran.stderr
    assert ran.document["result"]["drills"][0]["qdrant_version"] == OLDER
