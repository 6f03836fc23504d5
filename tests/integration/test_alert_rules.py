"""The alert rules, run by Prometheus itself: each fires when it should, and no other one does."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.alarms.metrics import render_metrics
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.runs import read_runs, record_run
from snapshot_tasks.checks.promises import MAX_AGE, MAX_PROOF_AGE, NOT_PROMISED
from tests.conftest import ROOT, missing
from tests.support.manifests import TAKEN_AT, add_drill, catalogued

RULES = ROOT / "docs" / "alerts" / "qdrant-snapshots.rules.yml"
HOUR, MINUTE = 3600, 60
# Longer than any rule waits before it fires.
AT = 25 * HOUR
HEALTHY = {"newest": 3 * HOUR, "proof": 48 * HOUR, "metrics": 3 * HOUR}


@pytest.fixture(scope="module")
def promtool() -> str:
    """Prometheus' own tool."""
    found = shutil.which("promtool")
    if found is None:
        missing("no promtool on this machine (Debian's package prometheus has it)")
    assert found
    return found


def series(ages: dict[str, int], success: dict[str, int]) -> list[dict[str, str]]:
    """Return series that have this age at `AT`, with a sample every minute."""
    names = {
        "newest": 'qdrant_snapshot_newest_timestamp_seconds{instance="db1",collection="books"}',
        "proof": 'qdrant_snapshot_proof_timestamp_seconds{instance="db1",collection="books"}',
        "metrics": 'qdrant_snapshot_metrics_timestamp_seconds{instance="db1"}',
        "push": 'qdrant_snapshot_task_last_success_timestamp_seconds{instance="db1",'
        'task="snapshot.push"}',
    }
    values = {names[name]: AT - age for name, age in ages.items()} | {
        f'qdrant_snapshot_task_last_run_success{{instance="db1",task="{task}"}}': value
        for task, value in success.items()
    }
    return [{"series": name, "values": f"{v}+0x{AT // MINUTE}"} for name, v in values.items()]


def run_rules(promtool: str, tmp_path: Path, test: dict[str, Any]) -> None:
    """Let promtool evaluate the rules on these series; YAML holds JSON."""
    suite = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m"} | test],
    }
    path = tmp_path / "suite.yml"
    path.write_text(json.dumps(suite), encoding="utf-8")
    done = subprocess.run(
        [promtool, "test", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changed", "success", "firing"),
    [
        ({}, {"snapshot.create": 1}, []),
        ({"newest": 26 * HOUR - MINUTE}, {}, []),
        ({"newest": 26 * HOUR + 6 * MINUTE}, {}, ["QdrantSnapshotTooOld"]),
        ({"proof": 192 * HOUR - MINUTE}, {}, []),
        ({"proof": 192 * HOUR + 6 * MINUTE}, {}, ["QdrantSnapshotProofTooOld"]),
        ({"proof": None}, {}, ["QdrantSnapshotNeverProven"]),
        ({}, {"snapshot.create": 0}, ["QdrantSnapshotTaskFailed"]),
        ({}, dict.fromkeys(NOT_PROMISED, 0), []),
        ({"metrics": 26 * HOUR - MINUTE}, {}, []),
        ({"metrics": 26 * HOUR + 6 * MINUTE}, {}, ["QdrantSnapshotMetricsStale"]),
        ({"push": 26 * HOUR - MINUTE}, {}, []),
        ({"push": 26 * HOUR + 6 * MINUTE}, {}, ["QdrantSnapshotPushTooOld"]),
        ({"newest": None, "proof": None}, {}, ["QdrantSnapshotNeverRan"]),
        ({"newest": None, "proof": None, "metrics": None}, {}, ["QdrantSnapshotNeverRan"]),
    ],
)
def test_each_alert_fires_when_it_should_and_no_other_does(
    promtool: str,
    tmp_path: Path,
    changed: dict[str, int | None],
    success: dict[str, int],
    firing: list[str],
) -> None:
    """One thing is wrong, or not quite yet: exactly its alert fires, or none."""
    ages = {name: age for name, age in (HEALTHY | changed).items() if age is not None}
    expected = [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in firing]
    expression = 'count by (alertname) (ALERTS{alertstate="firing"})'
    test = {
        "input_series": series(ages, success),
        "promql_expr_test": [
            {"expr": expression, "eval_time": f"{AT // MINUTE}m", "exp_samples": expected}
        ],
    }
    run_rules(promtool, tmp_path, test)


def test_an_alert_says_what_to_do(promtool: str, tmp_path: Path) -> None:
    """Which collection, how old, and which command to run on which host."""
    ages = HEALTHY | {"newest": 30 * HOUR}
    alert = {
        "exp_labels": {"severity": "critical", "collection": "books", "instance": "db1"},
        "exp_annotations": {
            "summary": "The newest snapshot of books is 1d 6h 0m 0s old",
            "description": "Run `inv snapshot.create --collection 'books'` on db1 and do what it "
            "says. Then find out why its cron job or timer did not run.",
        },
    }
    test = {
        "input_series": series(ages, {}),
        "alert_rule_test": [
            {
                "eval_time": f"{AT // MINUTE}m",
                "alertname": "QdrantSnapshotTooOld",
                "exp_alerts": [alert],
            }
        ],
    }
    run_rules(promtool, tmp_path, test)


def full_metrics(catalog: Catalog) -> str:
    """Return metrics of a catalogue that has everything, with a name that needs escapes."""
    snapshot = catalogued(catalog, collection='bücher "\\"')
    add_drill(snapshot, TAKEN_AT, restore_seconds=1.5)
    now = datetime.now(UTC)
    record_run(catalog.folder, "snapshot.create", ended_at=now, seconds=1, exit_code=0)
    return render_metrics(catalog.entries(), read_runs(catalog.folder), now=now)


def test_prometheus_has_nothing_to_say_against_the_metrics(promtool: str, catalog: Catalog) -> None:
    """Names, types and help are as Prometheus requires."""
    done = subprocess.run(
        [promtool, "check", "metrics"],
        input=full_metrics(catalog),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_rules_ask_for_metrics_that_there_are(catalog: Catalog) -> None:
    """And for the ages that `inv snapshot.check` uses."""
    rules = RULES.read_text(encoding="utf-8")
    written = set(re.findall(r"^(qdrant_snapshot_\w+)[{ ]", full_metrics(catalog), re.MULTILINE))
    assert set(re.findall(r"qdrant_snapshot_[a-z_]+", rules)) <= written
    limits = {eval(product) for product in re.findall(r"> ([\d* ]+)$", rules, re.MULTILINE)}
    assert limits == {MAX_AGE.total_seconds(), MAX_PROOF_AGE.total_seconds()}
    [tasks] = re.findall(r"snapshot\.\((.*)\)", rules)
    assert {f"snapshot.{task}" for task in tasks.split("|")} == set(NOT_PROMISED)
