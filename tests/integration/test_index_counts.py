"""Filters must find what the payloads say: in the file, on the live server, after a restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.live_indexes import ask_source, check_live_sample
from snapshot_tasks.domain.index_counts import IndexCounter
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.prove.drill import DrillReport, DrillRequest, drill
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.selftest.copies import Copy
from snapshot_tasks.selftest.faults import FAULTS
from snapshot_tasks.system.progress import Silent
from tests.conftest import NEWER, Inv, Live, now
from tests.integration.conftest import Take, own_stack
from tests.support.collections import Loader
from tests.support.mixed import INDEXES, mixed_points
from tests.support.world import assert_error, manifest_of, wait_until

POINTS = 6000
LANGUAGES = ("id", "en", "de")
COLLECTION = "informasi-umum-itb"


def fill(loader: Loader, name: str, *, points: int = POINTS) -> None:
    """Make a collection whose `lang` is indexed, a third of the points in each language."""
    config = {
        "vectors": {"size": 64, "distance": "Dot"},
        "optimizers_config": {"indexing_threshold": 100, "default_segment_number": 1},
    }
    loader.request("PUT", f"/collections/{name}", config)
    loader.index(name, "lang", "keyword")
    loader.index(name, "n", "integer")
    loader.fill(
        name,
        (
            {"id": n, "vector": [n % 97 + d for d in range(64)], "payload": payload(n)}
            for n in range(points)
        ),
    )
    path = f"/collections/{name}"
    # Only an optimised segment has the files of an index that is not appended to.
    wait_until(lambda: loader.request("GET", path)["indexed_vectors_count"] >= points)
    wait_until(lambda: loader.request("GET", path)["status"] == "green")


def payload(number: int) -> dict[str, Any]:
    """Return the payload of a point."""
    return {"lang": LANGUAGES[number % 3], "n": number % 10}


def drilled(file: Path, engine: NativeEngine) -> DrillReport:
    """Drill in this process."""
    snapshot = Catalog(file.parent).find(file.name)
    request = DrillRequest(snapshot=snapshot, version=NEWER, operation_timeout_seconds=60)
    return drill(request, engine, Silent(), clock=now)


@pytest.mark.parametrize("which", ["qdrant", "older_qdrant"])
@pytest.mark.parametrize("shards", [1, 2])
def test_indexes_find_what_the_payloads_say(
    which: str, shards: int, name: str, take: Take, request: pytest.FixtureRequest
) -> None:
    """2,000 points with values of every type in every field, and every type of index."""
    live: Live = request.getfixturevalue(which)
    config = {"vectors": {"size": 4, "distance": "Dot"}, "shard_number": shards}
    live.loader.request("PUT", f"/collections/{name}", config)
    for field, schema in INDEXES.items():
        live.loader.index(name, field, schema)
    live.loader.fill(name, mixed_points(2000))
    gone = {"points": list(range(0, 2000, 9))}
    live.loader.request("POST", f"/collections/{name}/points/delete", gone)
    snapshot = take(live, name)
    counts = snapshot.index_counts
    assert {count.field for count in counts} == set(INDEXES)
    assert [c for c in counts if c.file is not None and c.file != c.source] == []
    # Integers beside floats without a fraction, and words, are only compared with the source.
    certain = {count.field for count in counts if count.file is not None and count.condition}
    assert certain == set(INDEXES)
    assert len([c for c in counts if c.file]) > 60
    with closing(PayloadIndexes(live.fresh.endpoint, name)) as indexes:
        assert indexes.found(counts) == [count.source for count in counts]


def test_an_index_lost_from_the_file_is_not_proven(
    qdrant: Live, name: str, take: Take, engine: NativeEngine, tmp_path: Path
) -> None:
    """The log still creates it, but in vain: filters find all, and `facet` answers 400."""
    qdrant.loader.request(
        "PUT", f"/collections/{name}", {"vectors": {"size": 4, "distance": "Dot"}}
    )
    qdrant.loader.index(name, "lang", "keyword")
    points = ({"id": n, "vector": [n, 1, 2, 3], "payload": payload(n)} for n in range(10))
    qdrant.loader.fill(name, points)
    copy = Copy.of(take(qdrant, name).path, tmp_path / "copy")
    [fault] = [fault for fault in FAULTS if fault.name == "payload index lost from the file"]
    fault.apply(copy)
    copy.resign()
    report = drilled(copy.file, engine)
    failed = {f.check: f.message for f in report.findings if f.status.value == "FAIL"}
    found_nothing = "finds 0 of 10 points for all its points"
    assert failed == {
        "payload index lang": found_nothing,
        "after restart: payload index lang": found_nothing,
    }


def test_points_of_the_future_are_neither_proven_nor_restored(
    qdrant: Live, outside: Inv, name: str, take: Take, engine: NativeEngine, tmp_path: Path
) -> None:
    """Versions that are all ones: every point is restored, but no later update of it is kept."""
    qdrant.loader.plain(name, points=10)
    copy = Copy.of(take(qdrant, name).path, tmp_path / "copy")
    versions = [m for m in copy.members("id_tracker.versions") if m.size]
    copy.rewrite({member.name: b"\xff" * member.size for member in versions})
    copy.resign()
    report = drilled(copy.file, engine)
    assert [f.check for f in report.findings if f.status.value == "FAIL"] == ["point versions"]
    assert report.error is not None
    restored = f"{name}-restored"
    for flags in (["--as", restored], ["--replace", "--yes"]):
        ran = outside("snapshot.restore", "--snapshot", str(copy.file), *flags)
        assert_error(ran, 20, "a point was changed by operation")
    assert (restored in qdrant.loader.names(), qdrant.loader.count(name)) == (False, 10)
    path = f"/collections/{restored}/snapshots/recover"
    qdrant.loader.request("PUT", path, {"location": f"file://{copy.file}"})
    points = f"/collections/{restored}/points"
    change = {"points": [1], "payload": {"group": "changed"}}
    qdrant.loader.request("POST", f"{points}/payload", change)
    assert qdrant.loader.request("GET", f"{points}/1")["payload"]["group"] == "g1"
    ran = outside("snapshot.create", "--collection", restored)
    assert_error(ran, 20, f"The live collection {restored} is damaged", "new collection")


@pytest.mark.parametrize("which", ["qdrant", "older_qdrant"])
def test_fields_may_have_any_name(
    which: str, name: str, take: Take, request: pytest.FixtureRequest
) -> None:
    """A path in quotes, spaces, other scripts; strict mode that gives one point at a time."""
    live: Live = request.getfixturevalue(which)
    fields = ('"a.b"', "größe", '"two words"', "漢字[].x", '"a/b"')
    strict = {"enabled": True, "max_query_limit": 1, "unindexed_filtering_retrieve": False}
    config = {"vectors": {"size": 4, "distance": "Dot"}, "strict_mode_config": strict}
    live.loader.request("PUT", f"/collections/{name}", config)
    for field in fields:
        live.loader.index(name, field, "keyword")
    values = {"a.b": "x", "größe": ["x", "y"], "two words": "x", "漢字": [{"x": "x"}], "a/b": "x"}
    live.loader.fill(name, ({"id": n, "vector": [1, 2, 3, n], "payload": values} for n in range(9)))
    counts = take(live, name).index_counts
    assert {c.field for c in counts if c.condition and c.file == c.source == 9} == set(fields)
    with closing(PayloadIndexes(live.fresh.endpoint, name)) as indexes:
        for field in fields:
            assert len(list(indexes.payloads(field))) == 9
            assert next(iter(indexes.payloads(field))).keys() <= values.keys()
            indexes.make_anew(field, indexes.schema()[field])
        [finding] = check_live_sample(indexes, name)
        assert indexes.found(counts) == [c.source for c in counts]
    assert finding.status.value == "OK"


def test_two_readers_count_what_one_counts() -> None:
    """The counts of parts add up, whichever values each part saw."""
    schema = {field: {"data_type": kind} for field, kind in _kinds()}
    points = [point["payload"] for point in mixed_points(600)]
    whole, first, second, merged = (IndexCounter(schema) for _ in range(4))
    for number, payload_ in enumerate(points):
        whole.take(payload_)
        (first if number % 3 else second).take(payload_)
    for part in (first, second):
        merged.merge(part.as_json())
    assert merged.counts() == whole.counts()


def _kinds() -> Iterator[tuple[str, str]]:
    for field, schema in INDEXES.items():
        yield field, schema if isinstance(schema, str) else schema["type"]


def kill_index(copy: Copy, field: str) -> None:
    """Mark every point of an index as deleted, in each segment."""
    members = copy.members(f"-{field}-map/deleted.bin")
    assert members
    copy.rewrite({member.name: b"\xff" * member.stored_bytes for member in members})


def test_a_dead_index_in_the_file_is_not_proven(
    qdrant: Live, name: str, take: Take, engine: NativeEngine, tmp_path: Path
) -> None:
    """Points, payloads and the list of indexes are identical, but filters find nothing."""
    fill(qdrant.loader, name)
    copy = Copy.of(take(qdrant, name).path, tmp_path / "copy")
    kill_index(copy, "lang")
    copy.resign()
    report = drilled(copy.file, engine)
    assert report.error is not None
    assert report.error.exit_code == 21
    failed = {f.check: f.message for f in report.findings if f.status.value == "FAIL"}
    assert "0 of 2,000" in failed["payload index lang"]
    assert failed.keys() == {"payload index lang", "after restart: payload index lang"}


def test_a_dead_index_in_a_file_without_manifest_does_not_restore(
    qdrant: Live, name: str, take: Take, engine: NativeEngine, tmp_path: Path
) -> None:
    """There is no seal to compare with, but the file's own payloads say what filters must find."""
    fill(qdrant.loader, name)
    copy = Copy.of(take(qdrant, name).path, tmp_path / "copy")
    kill_index(copy, "lang")
    manifest_of(copy.file).unlink()
    report = drilled(copy.file, engine)
    failed = {f.check: f.message for f in report.findings if f.status.value == "FAIL"}
    assert "0 of 2,000" in failed["after restart: payload index lang"]


def test_a_restore_with_a_dead_index_is_kept_and_can_be_mended(
    qdrant: Live, outside: Inv, name: str, take: Take
) -> None:
    """Its points are whole, so nothing is removed; `--reindex` mends it."""
    fill(qdrant.loader, name)
    copy = Copy.of(take(qdrant, name).path, outside.root / "copies")
    kill_index(copy, "lang")
    copy.resign()
    kept = outside("snapshot.restore", "--snapshot", str(copy.file), "--as", f"{name}-kept")
    assert_error(kept, 21, "payload index lang", "finds 0 of 2,000", "--reindex")
    assert qdrant.loader.count(f"{name}-kept") == POINTS
    refused = outside("snapshot.restore", "--snapshot", str(copy.file), "--replace", "--yes")
    assert_error(refused, 21, "payload index lang", "Nothing was replaced")
    mended = ("snapshot.restore", "--snapshot", str(copy.file), "--as", f"{name}-mended")
    ran = outside(*mended, "--reindex")
    assert ran.code == 0, ran.stderr
    assert "made anew from the payloads" in ran.stdout


@pytest.fixture(scope="module")
def liar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inv]:
    """A project whose live Qdrant has a dead index: its filters find nothing of `lang`."""
    with own_stack(tmp_path_factory.mktemp("liar")) as inv:
        assert inv("stack.up").code == 0
        with closing(Loader(url_of(inv))) as loader:
            fill(loader, COLLECTION)
        assert inv("stack.down").code == 0
        files = list(inv.root.rglob("*-lang-map/deleted.bin"))
        assert files
        for file in files:
            file.write_bytes(b"\xff" * file.stat().st_size)
        assert inv("stack.up", "--no-restore").code == 0
        yield inv


def url_of(inv: Inv) -> str:
    """Return where the project's own Qdrant answers."""
    return f"http://localhost:{inv.environment['QDRANT_HTTP_PORT']}"


LIES = "the live index finds 0 of 2,000 points"


def test_create_says_which_live_index_lies(liar: Inv) -> None:
    """It is a warning; the snapshot is good, and is kept. `check` fails until it is mended."""
    ran = liar("snapshot.create")
    assert ran.code == 0, ran.stderr
    assert LIES in ran.stdout + ran.stderr
    assert "Delete the index lang" in ran.stdout + ran.stderr
    checked = liar("snapshot.check", "--max-proof-age", "9d")
    assert_error(checked, 23, "payload index lang")


def test_a_strict_create_refuses_a_live_index_that_lies(liar: Inv) -> None:
    """Nothing is kept."""
    before = sorted(path.name for path in (liar.root / "qdrant_snapshots").iterdir())
    assert_error(liar("snapshot.create", "--strict"), 21, LIES)
    assert sorted(path.name for path in (liar.root / "qdrant_snapshots").iterdir()) == before


def test_the_drill_of_such_a_snapshot_is_proven_with_a_warning(liar: Inv) -> None:
    """What comes back is what went in; the index was wrong already."""
    ran = liar("snapshot.test-restore", "--create")
    assert ran.code == 0, ran.stderr
    assert "PROVEN" in ran.stdout
    assert "as on the source" in ran.stdout


def test_verify_and_doctor_ask_the_live_indexes(liar: Inv) -> None:
    """Each says which index it is, and how it is mended."""
    liar("snapshot.create")
    verified = liar("snapshot.verify", "--level", "source")
    assert verified.code == 0, verified.stderr
    assert LIES in verified.stdout
    doctor = liar("doctor")
    assert "payload index lang" in doctor.stdout
    assert "Delete the index lang" in doctor.stdout


def test_a_restore_can_make_a_lying_index_anew(liar: Inv) -> None:
    """Without --reindex it comes back as it was, with a warning; with it, filters find all."""
    liar("snapshot.create")
    as_it_was = liar("snapshot.restore", "--as", "as-it-was")
    assert as_it_was.code == 0, as_it_was.stderr
    assert "as on the source" in as_it_was.stdout
    anew = liar("snapshot.restore", "--as", "anew", "--reindex")
    assert anew.code == 0, anew.stderr
    assert "made anew from the payloads" in anew.stdout
    found = {name: found_by_filter(liar, name) for name in ("as-it-was", "anew")}
    assert found == {"as-it-was": 0, "anew": 2000}


def found_by_filter(inv: Inv, collection: str) -> int:
    """Return how many points are in one language, as an application counts them."""
    condition = {"key": "lang", "match": {"value": "id"}}
    body = {"exact": True, "filter": {"must": [condition]}}
    with closing(Loader(url_of(inv))) as loader:
        answer = loader.request("POST", f"/collections/{collection}/points/count", body)
    return int(answer["count"])


def test_a_source_that_is_written_to_is_not_called_a_liar(
    qdrant: Live, name: str, take: Take
) -> None:
    """Payloads change after the snapshot: the index is right, though it contradicts the file."""
    fill(qdrant.loader, name, points=600)
    counts = [replace(c, source=None) for c in take(qdrant, name).index_counts]
    change = {"payload": {"lang": "en"}, "filter": {"must": [{"has_id": list(range(300))}]}}
    qdrant.loader.request("POST", f"/collections/{name}/points/payload", change)
    with closing(PayloadIndexes(qdrant.fresh.endpoint, name)) as indexes:
        asked = ask_source(indexes, counts, Silent(), moved=False)
    assert not any(count.is_wrong for count in asked)
    changed = [c for c in asked if c.field == "lang" and "match" in c.condition]
    assert [c.source for c in changed] == [None, None, None]
