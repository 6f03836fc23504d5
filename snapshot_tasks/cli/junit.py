"""Drill reports as JUnit XML, which every CI system shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from snapshot_tasks.files import storage_errors, write_text
from snapshot_tasks.models import Status
from snapshot_tasks.operations.drill import DrillReport


def write_junit(path: Path, reports: Sequence[DrillReport]) -> None:
    """Write one test suite for each drill and one test case for each finding."""
    root = ElementTree.Element("testsuites", name="snapshot.test-restore")
    for report in reports:
        _add_suite(root, report)
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, ElementTree.tostring(root, encoding="unicode", xml_declaration=True))


def _add_suite(root: ElementTree.Element, report: DrillReport) -> None:
    wrong = sum(f.status is Status.FAIL for f in report.findings)
    budget = report.error is not None and not wrong
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name=report.snapshot.name,
        tests=str(len(report.findings) + budget),
        failures=str(wrong + budget),
        time=f"{report.total_seconds:.3f}",
        timestamp=report.at,
    )
    for finding in report.findings:
        case = ElementTree.SubElement(
            suite, "testcase", classname=report.snapshot.name, name=finding.check
        )
        if finding.status is Status.FAIL:
            ElementTree.SubElement(case, "failure", message=finding.message).text = finding.remedy
        else:
            ElementTree.SubElement(case, "system-out").text = f"{finding.status}: {finding.message}"
    if budget and report.error:
        case = ElementTree.SubElement(
            suite, "testcase", classname=report.snapshot.name, name="budget"
        )
        ElementTree.SubElement(case, "failure", message=report.error.message)
