"""What was checked, as JUnit XML, which every CI system can show."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from snapshot_tasks.cli.show.checked import Checked
from snapshot_tasks.domain.findings import Finding, Status, failed
from snapshot_tasks.system.files import by_umask, storage_errors, write_text

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(path: Path, task: str, things: Sequence[Checked]) -> None:
    """Write one test suite for each thing that was checked, and one test case for each finding."""
    root = ElementTree.Element("testsuites", name=task)
    for thing in things:
        _add_suite(root, thing)
    with storage_errors(path.parent, setting="--junit"):
        path.parent.mkdir(parents=True, exist_ok=True)
        text = ElementTree.tostring(root, encoding="unicode", xml_declaration=True)
        write_text(path, text, mode=by_umask())


def _add_suite(root: ElementTree.Element, thing: Checked) -> None:
    # An error without a failed finding becomes a separate test case.
    beside = () if failed(thing.findings) else thing.failures
    suite = _element(
        root,
        "testsuite",
        name=thing.name,
        tests=str(len(thing.findings) + len(beside)),
        failures=str(len(thing.failures)),
        errors="0",
        skipped="0",
        time=f"{thing.seconds:.3f}",
        timestamp=thing.at,
    )
    properties = ElementTree.SubElement(suite, "properties")
    _element(properties, "property", name="verdict", value=thing.verdict)
    for finding in (*thing.findings, *beside):
        _add_case(suite, thing.name, finding)


def _add_case(suite: ElementTree.Element, name: str, finding: Finding) -> None:
    case = _element(suite, "testcase", classname=name, name=finding.check)
    if finding.status is Status.FAIL:
        _element(case, "failure", finding.remedy, message=finding.message)
    else:
        _element(case, "system-out", f"{finding.status}: {finding.message}")


def _element(
    parent: ElementTree.Element, tag: str, text: str = "", **attributes: str
) -> ElementTree.Element:
    """Add an element whose texts contain only characters that XML 1.0 allows."""
    clean = {name: _FORBIDDEN.sub("\ufffd", value) for name, value in attributes.items()}
    element = ElementTree.SubElement(parent, tag, clean)
    element.text = _FORBIDDEN.sub("\ufffd", text) or None
    return element
