"""`inv report` on real snapshots and proofs, and what CI systems see of real checks."""

from __future__ import annotations

import json
import os
import signal
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from junitparser import JUnitXml

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.operations.report import MAX_SAMPLES, MAX_SNAPSHOTS
from snapshot_tasks.report.page import MARK, is_report, render_page
from tests.conftest import Inv, Ran
from tests.integration.conftest import Samples
from tests.support.histories import history, report_of
from tests.support.world import flip_byte


@pytest.fixture
def folder(inv: Inv) -> Path:
    """The snapshot folder of this test's project."""
    return inv.root / "qdrant_snapshots"


def page_of(ran: Ran) -> str:
    """Return the page that a run wrote."""
    return Path(ran.document["result"]["path"]).read_text(encoding="utf-8")


def test_it_tells_of_a_real_proof(samples: Samples, inv: Inv, folder: Path) -> None:
    """Before the test it needs attention, afterwards all is well; exit code 0 both times."""
    file = samples.put("plain", folder)
    before = inv("report", "--json")
    assert before.code == 0, before.stderr
    assert before.document["result"]["path"] == str(inv.root / "report.html")
    [books] = before.document["result"]["collections"]
    assert [f["check"] for f in books["attention"]] == ["proof"]
    assert "1 thing needs attention" in page_of(before)
    proven = inv("snapshot.test-restore", "--collection=sample-plain", "--json")
    assert proven.code == 0, proven.stderr
    after = inv("report", "--json")
    [books] = after.document["result"]["collections"]
    assert after.document["result"]["ok"] is True
    drill = proven.document["result"]["drills"][0]
    assert books["rto_seconds"] == drill["restore_seconds"]
    assert [f["check"] for f in books["last_test"]["findings"]] == [
        f["check"] for f in drill["findings"]
    ]
    text = page_of(after)
    assert "All is well." in text
    assert file.name in text
    assert "300 points identical" in text


def test_a_damaged_file_needs_attention(samples: Samples, inv: Inv, folder: Path) -> None:
    """A failed verification is shown on the terminal and on the page."""
    flip_byte(samples.put("plain", folder))
    assert inv("snapshot.verify", "--collection=sample-plain").code == 20
    ran = inv("report", "--max-age=", "--max-proof-age=")
    assert ran.code == 0, ran.stderr
    assert "FAIL  sample-plain: last verification:" in ran.stdout
    assert ran.stdout.splitlines()[-1] == str(inv.root / "report.html")


def test_an_empty_folder_says_what_to_do(inv: Inv) -> None:
    """If nothing is protected, not all is well."""
    ran = inv("report", "--output=pages/today.html", "--json")
    assert ran.code == 0, ran.stderr
    assert "Nothing is protected yet." in page_of(ran)
    assert ran.document["result"]["path"] == str(inv.root / "pages" / "today.html")


def test_only_a_report_is_replaced(inv: Inv) -> None:
    """Another file, a folder or a dangling link is not touched: exit code 24."""
    path = inv.root / "report.html"
    path.write_text(f"<!DOCTYPE html>{MARK}old", encoding="utf-8")
    assert inv("report").code == 0
    assert "old" not in path.read_text(encoding="utf-8")[-10:]
    others = inv.root / "notes.html"
    others.write_text("mine", encoding="utf-8")
    (inv.root / "link.html").symlink_to("nowhere.html")
    for name in ("notes.html", "link.html", "qdrant_snapshots"):
        ran = inv("report", f"--output={name}", "--json")
        assert ran.code == 24, name
        assert "is not a report" in ran.document["error"]["message"]
    assert others.read_text(encoding="utf-8") == "mine"
    assert not (inv.root / "nowhere.html").exists()


def test_a_dry_run_writes_nothing(inv: Inv) -> None:
    """It prints what it would write."""
    ran = inv("--dry", "report")
    assert ran.code == 0
    assert "would write" in ran.stdout
    assert not (inv.root / "report.html").exists()


def test_the_page_has_the_mode_of_the_users_files(inv: Inv) -> None:
    """Names of collections are readable for users whom the umask allows."""
    umask = os.umask(0o077)
    try:
        assert inv("report").code == 0
    finally:
        os.umask(umask)
    assert stat.S_IMODE((inv.root / "report.html").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_a_storage_error(inv: Inv) -> None:
    """A file is in the place of the folder."""
    (inv.root / "file").touch()
    ran = inv("report", "--output=file/report.html", "--json")
    assert ran.code == 15
    assert "--output" in ran.document["error"]["hint"]


@pytest.mark.parametrize("flag", ["--max-age=soon", "--max-proof-age=8"])
def test_a_span_that_is_none_is_told(inv: Inv, flag: str) -> None:
    """A number without a unit could mean anything."""
    ran = inv("report", flag)
    assert ran.code == 1
    assert "a duration such as" in ran.stderr


def test_an_interruption_leaves_the_earlier_page(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page is unchanged or complete: a partial file is removed, at any signal.

    The moment is just before the rename, which a signal from outside would not hit.
    """
    from snapshot_tasks.system import files

    path = tmp_path / "report.html"
    page = render_page(report_of(catalog))
    files.write_text(path, page)

    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("snapshot_tasks.system.files.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        files.write_text(path, page + "newer")
    assert path.read_text(encoding="utf-8") == page
    assert is_report(path)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".staging")] == []


def test_a_thousand_snapshots_stay_small(catalog: Catalog) -> None:
    """Rows and measurements are limited, and the page says how many are omitted."""
    history(catalog, count=1000, apart=timedelta(hours=6))
    report = report_of(catalog)
    [books] = report.collections
    assert (len(books.snapshots), books.snapshots_count) == (MAX_SNAPSHOTS, 1000)
    assert (len(books.restores), books.tests_count) == (MAX_SAMPLES, 1000)
    assert books.restores[-1].at > books.restores[0].at
    text = render_page(report)
    assert len(text.encode()) < 100_000
    assert f"The newest {MAX_SNAPSHOTS} of 1,000." in text


def test_ci_is_told_of_a_verification(samples: Samples, inv: Inv, folder: Path) -> None:
    """JUnit, the summary and the annotations report the intact file and the damaged one."""
    plain, rich = samples.put("plain", folder), samples.put("rich", folder)
    flip_byte(plain)
    summary = inv.root / "summary.md"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    ran = inv("snapshot.verify", "--all", "--junit=verify.xml", "--json", **github)
    assert ran.code == 20
    suites = {suite.name: suite for suite in JUnitXml.fromfile(str(inv.root / "verify.xml"))}
    assert suites[plain.name].failures > 0
    assert suites[rich.name].failures == 0
    text = summary.read_text(encoding="utf-8")
    assert text.startswith("## snapshot.verify\n")
    assert text.count("\n### ✅") == text.count("\n### ❌") == 1
    errors = [line for line in ran.stderr.splitlines() if line.startswith("::error ")]
    assert len(errors) == suites[plain.name].failures
    assert f"::{plain.name}: " in errors[0]


def test_ci_is_told_of_a_restore_test(samples: Samples, inv: Inv, folder: Path) -> None:
    """The summary says that it is proven; a summary that cannot be written changes nothing."""
    samples.put("plain", folder)
    summary = inv.root / "summary.md"
    task = ("snapshot.test-restore", "--collection=sample-plain")
    ran = inv(*task, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(summary))
    assert ran.code == 0, ran.stderr
    assert "::error" not in ran.stderr
    text = summary.read_text(encoding="utf-8")
    assert "proven&#58; restores in" in text
    assert "| OK | after restart&#58; contents | 300 points identical, fingerprint" in text
    ran = inv(*task, GITHUB_STEP_SUMMARY=str(inv.root / "absent" / "summary.md"))
    assert ran.code == 0
    assert "note: Could not write the step summary" in ran.stderr


def test_ci_is_told_of_what_could_not_be_tested(samples: Samples, inv: Inv, folder: Path) -> None:
    """A snapshot whose manifest is unreadable cannot be tested, but is not omitted either."""
    file = samples.put("plain", folder)
    (folder / f"{file.name}.json").write_text("{", encoding="utf-8")
    ran = inv(
        "snapshot.test-restore",
        f"--snapshot={file.name}",
        "--junit=drill.xml",
        "--json",
        GITHUB_ACTIONS="true",
    )
    assert ran.code == 20
    [suite] = JUnitXml.fromfile(str(inv.root / "drill.xml"))
    assert (suite.name, suite.tests, suite.failures) == (file.name, 1, 1)
    assert f"::{file.name}: " in ran.stderr
    assert json.loads(ran.stdout)["exit_code"] == 20


def test_ci_is_told_of_the_doctor(inv: Inv) -> None:
    """Problems of the machine are annotated as well."""
    summary = inv.root / "summary.md"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    ran = inv("doctor", QDRANT_HTTP_PORT="1", **github)
    assert ran.code != 0
    assert "::error title=doctor%3A server::doctor: " in ran.stderr
    assert "\n### ❌ <code>doctor</code> has problems\n" in summary.read_text(encoding="utf-8")
