"""A drill without a seal reads the file itself first, and says everywhere what that shows."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.domain.proof import UNSEALED, Verdict
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.prove import expectation
from snapshot_tasks.operations.prove.drill import DrillReport, DrillRequest, drill
from snapshot_tasks.sealing.described import describe_alone
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Inv, Live, now
from tests.integration.conftest import Samples
from tests.support.world import edit_manifest, manifest_of, proofs_of


@pytest.fixture
def folder(inv: Inv) -> Path:
    """The snapshot folder of this test's own project."""
    return inv.root / "qdrant_snapshots"


def without_seal(file: Path) -> None:
    """Take the seal away, as if it had never been made."""
    edit_manifest(file, lambda m: m.update(fingerprint=None))


def without_manifest(file: Path) -> None:
    """Leave only what another tool would have made."""
    manifest_of(file).unlink()


def prove(file: Path, engine: NativeEngine) -> DrillReport:
    """Drill in-process."""
    snapshot = Catalog(file.parent).find(file.name)
    wanted = DrillRequest(snapshot=snapshot, version=NEWER, operation_timeout_seconds=60)
    return drill(wanted, engine, Silent(), clock=now)


def messages(report: DrillReport, check: str) -> list[str]:
    """Return what the drill found of one check, before and after the restart."""
    return [f.message for f in report.findings if f.check.removeprefix("after restart: ") == check]


@pytest.mark.parametrize("strip", [without_seal, without_manifest])
@pytest.mark.parametrize("kind", ["plain", "rich"])
def test_it_restores_and_is_not_called_proven(
    samples: Samples, folder: Path, engine: NativeEngine, strip: Callable[[Path], None], kind: str
) -> None:
    """Points and searches are compared with the file's, before and after the restart."""
    file = samples.put(kind, folder)
    strip(file)
    report = prove(file, engine)
    assert (report.error, report.verdict) == (None, Verdict.RESTORES)
    found = messages(report, "contents")
    assert len(found) == 2
    assert all("points identical with the file's" in message for message in found)
    assert any(f.check.startswith("search") for f in report.findings)
    assert messages(report, "seal") == [UNSEALED]
    snapshot = Catalog(folder).find(file.name)
    assert (snapshot.proven_at, snapshot.verdict) == (None, Verdict.RESTORES)
    assert [p["verdict"] for p in proofs_of(file)] == ["RESTORES"]


@pytest.mark.parametrize("strip", [without_seal, without_manifest])
def test_every_place_says_the_same(
    samples: Samples, inv: Inv, folder: Path, strip: Callable[[Path], None], tmp_path: Path
) -> None:
    """The drill exits with 0; no place says PROVEN, and each says what was compared."""
    file = samples.put("plain", folder)
    strip(file)
    junit = tmp_path / "drill.xml"
    flags = ("--collection", "sample-plain")
    ran = inv("snapshot.test-restore", *flags, f"--junit={junit}", QDRANT_DRILL_ENGINE="native")
    assert ran.code == 0, ran.stderr
    assert f"RESTORES: {file.name} restores in" in ran.stdout
    assert UNSEALED in ran.stdout
    assert UNSEALED in junit.read_text(encoding="utf-8")
    assert "restores, not sealed" in inv("snapshot.list").stdout
    assert UNSEALED in inv("snapshot.show", "--snapshot", file.name).stdout
    checked = inv("snapshot.check", *flags)
    assert UNSEALED in checked.stdout
    assert "not sealed" in checked.stdout
    page = tmp_path / "page.html"
    inv("report", f"--output={page}")
    assert UNSEALED in page.read_text(encoding="utf-8")
    for text in (ran.stdout, checked.stdout, junit.read_text(encoding="utf-8")):
        assert "PROVEN" not in text


def test_a_server_that_restores_other_points_fails(
    samples: Samples, folder: Path, engine: NativeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the restored points are not those in the file, the drill is red, whatever the counts."""
    file, other = samples.put("plain", folder), samples.put("rich", folder)
    without_seal(file)
    found = expectation.read_unsealed(Catalog(folder).find(other.name), Silent())
    monkeypatch.setattr(expectation, "read_unsealed", lambda *_: found)
    report = prove(file, engine)
    assert report.verdict is Verdict.NOT_PROVEN
    assert isinstance(report.error, TaskError)
    assert any("the file has" in message for message in messages(report, "contents"))


def test_a_file_without_manifest_describes_its_collection(
    samples: Samples, folder: Path, engine: NativeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Config and payload indexes must come back as the file has them; aliases are not in it."""
    file = samples.put("rich", folder, manifest=False)
    report = prove(file, engine)
    assert (report.error, report.verdict) == (None, Verdict.RESTORES)
    for check in ("config", "payload schema"):
        assert set(messages(report, check)) == {"identical"}
    assert messages(report, "aliases") == []
    found = describe_alone(file)
    assert found is not None
    hnsw = {**found.config["hnsw_config"], "m": 7}
    other = dataclasses.replace(
        found,
        config={**found.config, "hnsw_config": hnsw},
        payload_schema={**found.payload_schema, "lost": {"data_type": "keyword"}},
    )
    monkeypatch.setattr(expectation, "describe_alone", lambda _: other)
    report = prove(file, engine)
    assert report.verdict is Verdict.NOT_PROVEN
    assert "expected 7, found " in messages(report, "config")[0]
    assert "lost: expected" in messages(report, "payload schema")[0]


def test_a_file_that_cannot_be_read_fails(
    samples: Samples, folder: Path, engine: NativeEngine
) -> None:
    """Half of its bytes are zero, so a drill ends red before any server starts."""
    file = samples.put("plain", folder, manifest=False)
    size = file.stat().st_size
    with file.open("r+b") as stream:
        stream.seek(size // 4)
        stream.write(bytes(size // 2))
    report = prove(file, engine)
    assert report.error is not None
    assert report.verdict is Verdict.NOT_PROVEN


@pytest.mark.parametrize("is_equal", [True, False])
def test_operations_that_only_a_server_knows_are_told(
    qdrant: Live,
    name: str,
    catalog: Catalog,
    engine: NativeEngine,
    monkeypatch: pytest.MonkeyPatch,
    is_equal: bool,
) -> None:
    """A delete that finds nothing stays in the log: equal points are equal, others only a warning.

    Which queued updates a snapshot catches is a matter of luck, so those that the server would
    apply are made here by reading another file.
    """
    qdrant.loader.plain(name, points=300)
    delete = f"/collections/{name}/points/delete"
    qdrant.loader.request("POST", delete, {"points": [999_999]})
    taken = []
    for _ in range(2):
        with qdrant.server() as server:
            request = CreateRequest(collection=name, seal=False)
            taken.append(create(request, server, catalog, Silent(), clock=now).snapshot)
        qdrant.loader.request("POST", delete, {"points": [2, 3]})
    first, second = taken
    contents = expectation.read_unsealed(first, Silent())
    assert contents.pending_count == 1
    if not is_equal:
        other = expectation.read_unsealed(second, Silent())
        contents = dataclasses.replace(contents, fingerprint=other.fingerprint)
    monkeypatch.setattr(expectation, "read_unsealed", lambda *_: contents)
    report = prove(first.path, engine)
    assert (report.error, report.verdict) == (None, Verdict.RESTORES)
    found = [f for f in report.findings if f.check.endswith("contents")]
    assert {f.status for f in found} == {Status.OK if is_equal else Status.WARN}
    words = "identical with the file's" if is_equal else "in full, because 1 operations are"
    assert all(words in f.message for f in found)
