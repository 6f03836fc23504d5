"""The metrics file, read by Prometheus' parser, agrees with the catalogue."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from snapshot_tasks.alarms.metrics import render_metrics, write_metrics
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.runs import read_runs, record_run
from snapshot_tasks.system.errors import StorageError
from tests.support.manifests import TAKEN_AT, add_drill, catalogued

NOW = TAKEN_AT + timedelta(hours=5)
HOUR = timedelta(hours=1)


def parsed(text: str) -> dict[tuple[str, str], float]:
    """Return each sample by its name and the value of its only label."""
    return {
        (sample.name.removeprefix("qdrant_snapshot_"), "".join(sample.labels.values())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_the_catalogue_holds(catalog: Catalog) -> None:
    """Newest, count and bytes of each collection; the newest proof of any of its snapshots."""
    older = catalogued(catalog, taken_at=TAKEN_AT - HOUR, content=b"x" * 10)
    add_drill(older, TAKEN_AT, restore_seconds=1.5)
    add_drill(older, TAKEN_AT + HOUR, restore_seconds=2.5)
    catalogued(catalog, content=b"x" * 32, points_count=7)
    catalogued(catalog, taken_at=TAKEN_AT + HOUR, safety=True)
    samples = parsed(render_metrics(catalog.entries(), (), now=NOW))
    assert samples == {
        ("newest_timestamp_seconds", "books"): TAKEN_AT.timestamp(),
        ("newest_size_bytes", "books"): 32,
        ("newest_points", "books"): 7,
        ("proof_timestamp_seconds", "books"): (TAKEN_AT + HOUR).timestamp(),
        ("restored_timestamp_seconds", "books"): (TAKEN_AT + HOUR).timestamp(),
        ("newest_sealed", "books"): 1,
        ("last_restore_seconds", "books"): 2.5,
        ("files", "books"): 2,
        ("files_size_bytes", "books"): 42,
        ("metrics_timestamp_seconds", ""): NOW.timestamp(),
    }


def test_what_is_not_known_has_no_sample(catalog: Catalog) -> None:
    """Without a manifest the points are unknown; never proven is not proven in 1970."""
    snapshot = catalogued(catalog)
    snapshot.manifest_path.unlink()
    names = {name for name, _ in parsed(render_metrics(catalog.entries(), (), now=NOW))}
    assert "newest_size_bytes" in names
    assert not names & {"newest_points", "proof_timestamp_seconds", "last_restore_seconds"}


def test_what_only_restores_has_no_proof(catalog: Catalog) -> None:
    """A passed test without a seal has a timestamp of its own."""
    add_drill(catalogued(catalog, seal=None), TAKEN_AT + HOUR)
    samples = parsed(render_metrics(catalog.entries(), (), now=NOW))
    assert ("proof_timestamp_seconds", "books") not in samples
    assert samples["restored_timestamp_seconds", "books"] == (TAKEN_AT + HOUR).timestamp()
    assert samples["newest_sealed", "books"] == 0


@pytest.mark.parametrize("name", ["bücher 📚", 'quo"te', "back\\slash", "new\nline", "{a=b}"])
def test_any_name_is_a_label(catalog: Catalog, name: str) -> None:
    """A collection can have any name, and stays one sample."""
    catalogued(catalog, collection=name)
    assert parsed(render_metrics(catalog.entries(), (), now=NOW))[("files", name)] == 1


def test_how_tasks_last_ended(tmp_path: Path) -> None:
    """Each task's last run, and its last success if there was one."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    record_run(tmp_path, "snapshot.create", ended_at=start, seconds=3, exit_code=0)
    record_run(tmp_path, "snapshot.create", ended_at=start + HOUR, seconds=2, exit_code=15)
    record_run(tmp_path, "snapshot.verify", ended_at=start, seconds=1, exit_code=20)
    samples = parsed(render_metrics([], read_runs(tmp_path), now=NOW))
    create = {name: value for (name, task), value in samples.items() if task == "snapshot.create"}
    assert create == {
        "task_last_run_timestamp_seconds": (start + HOUR).timestamp(),
        "task_last_run_seconds": 2,
        "task_last_run_exit_code": 15,
        "task_last_run_success": 0,
        "task_last_success_timestamp_seconds": start.timestamp(),
    }
    assert ("task_last_success_timestamp_seconds", "snapshot.verify") not in samples


def test_the_file_is_replaced_whole_and_readable(tmp_path: Path) -> None:
    """node_exporter is another user; it finds one complete file and no other."""
    path = tmp_path / "qdrant.prom"
    path.write_text("old", encoding="utf-8")
    path.chmod(0o600)
    write_metrics(path, [], (), now=NOW)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [p.name for p in tmp_path.iterdir()] == ["qdrant.prom"]
    assert parsed(path.read_text(encoding="utf-8"))[("metrics_timestamp_seconds", "")]


def test_a_folder_that_is_not_there_names_the_setting(tmp_path: Path) -> None:
    """The error says which setting to correct."""
    with pytest.raises(StorageError) as caught:
        write_metrics(tmp_path / "gone" / "x.prom", [], (), now=NOW)
    assert "QDRANT_METRICS_FILE" in caught.value.hint
