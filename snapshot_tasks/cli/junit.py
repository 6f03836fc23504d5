"""Drill reports as JUnit XML, which every CI system shows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from snapshot_tasks.files import by_umask, storage_errors, write_text
from snapshot_tasks.models import Status
from snapshot_tasks.operations.drill import DrillReport

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, reports: Sequence[DrillReport]) -> None:
    """Write one test suite for each drill and one test case for each finding."""
    root = ElementTree.Element("testsuites", name="snapshot.test-restore")
    for report in reports:
        _add_suite(root, report)
    with storage_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
        write_text(path, text, mode=by_umask())


def _add_suite(root: ElementTree.Element, report: DrillReport) -> None:
    wrong = sum(f.status is Status.FAIL for f in report.findings)
    budget = report.error is not None and not wrong
    suite = _element(
        root,
        "testsuite",
        name=report.snapshot.name,
        tests=str(len(report.findings) + budget),
        failures=str(wrong + budget),
        time=f"{report.total_seconds:.3f}",
        timestamp=report.at,
    )
    for finding in report.findings:
        case = _element(suite, "testcase", classname=report.snapshot.name, name=finding.check)
        if finding.status is Status.FAIL:
            _element(case, "failure", finding.remedy, message=finding.message)
        else:
            _element(case, "system-out", f"{finding.status}: {finding.message}")
    if budget and report.error:
        case = _element(suite, "testcase", classname=report.snapshot.name, name="budget")
        _element(case, "failure", report.error.hint, message=report.error.message)


def _element(
    parent: ElementTree.Element, tag: str, text: str = "", **attributes: str
) -> ElementTree.Element:
    """Add an element whose texts hold only what XML 1.0 allows."""
    clean = {name: _FORBIDDEN.sub("\ufffd", value) for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, clean)
    element.text = _FORBIDDEN.sub("\ufffd", text) or None
    return element
