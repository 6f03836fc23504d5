"""Drill reports as JUnit XML are well-formed and count the failures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.cli.show.checked import checked_drill, not_checked
from snapshot_tasks.cli.show.junit import write_junit
from snapshot_tasks.system.errors import BudgetMissed, ContentsDiffer, NotFound, StorageError
from tests.support.manifests import TAKEN_AT, catalogued
from tests.support.reports import FAIL, OK, WARN, make_report

TASK = "snapshot.test-restore"


def suites(path: Path) -> list[ElementTree.Element]:
    """Read the file back; another reader understands it too, and counts the same."""
    root = ElementTree.parse(path).getroot()
    assert (root.tag, root.get("name")) == ("testsuites", TASK)
    for written, read in zip(root, JUnitXml.fromfile(str(path)), strict=True):
        told = (read.name, read.tests, read.failures, read.errors)
        read.update_statistics()  # type: ignore[no-untyped-call]
        assert (read.name, read.tests, read.failures, read.errors) == told
        assert [case.name for case in read] == [
            case.get("name") for case in written.iter("testcase")
        ]
    return list(root)


def test_each_finding_is_a_test_case(catalog: Catalog, tmp_path: Path) -> None:
    """Failures are counted and have message and remedy; warnings are not failures."""
    snapshot = catalogued(catalog)
    error = ContentsDiffer("It differs.", hint="Mend it.")
    report = make_report(snapshot, findings=(OK, WARN, FAIL), error=error)
    path = tmp_path / "results" / "drill.xml"
    write_junit(path, TASK, [checked_drill(make_report(snapshot)), checked_drill(report)])
    good, bad = suites(path)
    assert (good.get("tests"), good.get("failures"), good.get("time")) == ("2", "0", "3.500")
    assert (bad.get("tests"), bad.get("failures")) == ("3", "1")
    assert [case.get("name") for case in bad.iter("testcase")] == ["count", "config", "aliases"]
    (failure,) = bad.iter("failure")
    assert (failure.get("message"), failure.text) == (FAIL.message, FAIL.remedy)


def test_a_missed_budget_is_a_test_case(catalog: Catalog, tmp_path: Path) -> None:
    """A drill that was too slow is red, although every finding is OK."""
    error = BudgetMissed("It took 9 s.", hint="Mend it.")
    report = make_report(catalogued(catalog), error=error)
    write_junit(tmp_path / "drill.xml", TASK, [checked_drill(report)])
    (suite,) = suites(tmp_path / "drill.xml")
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    (failure,) = suite.iter("failure")
    assert failure.get("message") == "It took 9 s."


def test_what_could_not_be_checked_at_all_is_a_test_case(tmp_path: Path) -> None:
    """A snapshot whose drill could not even start is red, and is not omitted."""
    error = NotFound("There is no engine.", hint="Get one.")
    write_junit(tmp_path / "drill.xml", TASK, [not_checked("a.snapshot", error, TAKEN_AT)])
    (suite,) = suites(tmp_path / "drill.xml")
    assert (suite.get("tests"), suite.get("failures")) == ("1", "1")
    assert [case.get("name") for case in suite.iter("testcase")] == ["not_found"]


@pytest.mark.parametrize(
    "text", ["<&>\"'", "\x1b[31mred\x1b[0m", "nul\0", "\udcff", "line\nbreak", "zwölf 漢"]
)
def test_any_message_is_well_formed(catalog: Catalog, tmp_path: Path, text: str) -> None:
    """Messages contain text of other programs: colours and invalid bytes must not break the XML."""
    finding = replace(FAIL, message=f"before {text} after", remedy=text)
    report = make_report(catalogued(catalog), findings=(finding, replace(WARN, message=text)))
    write_junit(tmp_path / "drill.xml", TASK, [checked_drill(report)])
    (suite,) = suites(tmp_path / "drill.xml")
    (failure,) = suite.iter("failure")
    message = failure.get("message", "")
    assert message.startswith("before ")
    assert message.endswith(" after")


def test_a_path_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """A file in the way is a storage error."""
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        write_junit(tmp_path / "file" / "drill.xml", TASK, [])
