"""What a report collects and writes; tests/browser/ looks at the rendered page."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.operations.report import rpo_seconds
from snapshot_tasks.report import page
from snapshot_tasks.report.page import MAX_DETAILED, is_report, render_page
from tests.support.histories import FAILURE, HOSTILE, NOW, history, hostile, report_of
from tests.support.manifests import add_drill

MEGABYTE = 1_000_000


def test_what_is_collected(catalog: Catalog) -> None:
    """The newest proven one gives the RPO, the last test that passed gives the RTO."""
    history(catalog, count=3, failed=(2,))
    [books] = report_of(catalog).collections
    assert books.newest is not None
    assert books.proven is not None
    assert books.newest.created_at - books.proven.created_at == timedelta(days=1)
    assert rpo_seconds(books, NOW) == timedelta(hours=27).total_seconds()
    assert books.passed is not None
    assert books.passed.restore_seconds == pytest.approx(0.134)
    assert books.last_test is not None
    assert [f.message for f in books.last_test.findings][-1] == FAILURE.message
    assert [s.value for s in books.restores] == [0.1, pytest.approx(0.134), None]
    assert [f.check for f in books.attention] == ["last restore test"]


def test_what_needs_attention_comes_first(catalog: Catalog) -> None:
    """Failures first, then warnings, then the rest, each sorted by name."""
    for name in ("b-well", "a-well"):
        history(catalog, name)
    history(catalog, "c-warned")
    warned = catalog.newest("c-warned")
    finding = Finding(check="status", status=Status.WARN, message="yellow")
    add_drill(warned, NOW, findings=[finding.as_json()])
    history(catalog, "d-old", newest=timedelta(days=3))
    names = [c.name for c in report_of(catalog).collections]
    assert names == ["d-old", "c-warned", "a-well", "b-well"]


def test_a_replaced_snapshot_protects_nothing(catalog: Catalog) -> None:
    """A snapshot that `restore --replace` kept is listed, but never the newest."""
    history(catalog, count=2)
    [newest, _] = catalog.entries()
    assert newest.manifest is not None
    document = {**newest.manifest.as_json(), "safety": True}
    path = catalog.folder / f"{newest.name}.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    [books] = report_of(catalog).collections
    assert books.newest is not None
    assert books.newest.name != newest.name
    assert [entry.replaced for entry in books.snapshots] == [True, False]


def test_proofs_of_others_break_nothing(catalog: Catalog) -> None:
    """A line of proofs may contain anything: it is ignored or shown as text, never an error."""
    history(catalog, count=2)
    [newest, _] = catalog.entries()
    for odd in (
        {"restore_seconds": -5, "engine": ["x"], "qdrant_version": 7, "findings": "none"},
        {"restore_seconds": 10**300, "findings": [None, 1, {"check": 1}, {"status": "?"}]},
        {"findings": [{"check": "c", "status": "OK", "message": "m", "remedy": 5}]},
    ):
        add_drill(newest, NOW, **odd)
    assert "All is well" in render_page(report_of(catalog))


def test_the_page_holds_nothing_that_loads(catalog: Catalog) -> None:
    """No address, no script; the policy allows only exactly these styles and the icon."""
    history(catalog)
    text = render_page(report_of(catalog))
    assert "default-src 'none'; style-src 'sha256-" in text
    assert "<script" not in text
    assert "//" not in text.replace("http://www.w3.org/2000/svg", "")
    assert " style=" not in text


def test_no_name_is_markup(catalog: Catalog) -> None:
    """Every name appears as text, and characters that reverse or hide text are made visible."""
    hostile(catalog)
    text = render_page(report_of(catalog))
    assert "<script" not in text
    assert "<img" not in text
    assert "\u202e" not in text
    assert "\\u202egnp.exe \\u2066hidden\\u2069" in text
    assert "&lt;script&gt;alert(1)&lt;script&gt;" in text
    assert "{{ 7 * 7 }} {% raw %}" in text
    assert all(name in text for name in HOSTILE if name.isalpha())


def test_a_thousand_collections_stay_small(catalog: Catalog) -> None:
    """The most urgent are shown in detail, as many as possible are listed, the rest is counted."""
    history(catalog, "x" * 100, count=21, failed=range(21), label="y" * 100_000)
    [books] = report_of(catalog).collections
    finding = replace(FAILURE, check="c" * 9000, message="m" * 9000, remedy="r" * 9000)
    crowded = replace(books, attention=(finding,) * 3)
    report = replace(report_of(catalog), collections=(crowded,) * 1000)
    text = render_page(report)
    assert len(text.encode()) < MEGABYTE
    assert "800 more collections are not shown" in text
    assert f"Only the {MAX_DETAILED} most urgent collections" in text
    assert "And 2900 more." in text


def test_the_data_is_json(catalog: Catalog) -> None:
    """The same as on the page, for machines, with RPO and RTO in seconds."""
    hostile(catalog)
    history(catalog, "books", count=2)
    document = json.loads(json.dumps(report_of(catalog).as_json(), allow_nan=False))
    books = next(c for c in document["collections"] if c["name"] == "books")
    assert books["rpo_seconds"] == 3 * 3600
    assert books["rto_seconds"] == pytest.approx(0.134)
    assert books["attention"] == []
    assert books["last_test"]["findings"][0]["status"] == "OK"
    assert document["at"] == NOW.isoformat()
    assert document["max_age"] == 26 * 3600
    assert document["unknown"] == ["odd.snapshot"]
    assert document["ok"] is False


def test_a_report_knows_its_own(catalog: Catalog, tmp_path: Path) -> None:
    """Only a file that begins like our page may be replaced by one."""
    path = tmp_path / "report.html"
    path.write_text(render_page(report_of(catalog)), encoding="utf-8")
    assert is_report(path)
    path.write_text("<html>" + "x" * 2000 + page.MARK, encoding="utf-8")
    assert not is_report(path)
    assert not is_report(tmp_path)
    assert not is_report(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    assert not is_report(tmp_path / "pipe")
