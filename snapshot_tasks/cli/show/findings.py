"""Findings as lines on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from snapshot_tasks.cli.console import output, shown
from snapshot_tasks.domain.findings import Finding

_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


def render_findings(findings: Sequence[Finding], *, title: str = "") -> None:
    """Print one OK, WARN or FAIL line for each finding, each failure with its remedy."""
    from rich.text import Text

    console = output()
    if title:
        console.print(Text(shown(title), style="bold"), soft_wrap=True)
    width = max((len(f.check) for f in findings), default=0)
    for finding in findings:
        line = Text(f"{finding.status.value:<4}", style=_STYLES[finding.status.value])
        said = shown(f"{finding.check:<{width}}  {finding.message}")
        line.append(f"  {said}", style="default")
        console.print(line, soft_wrap=True)
        if finding.remedy:
            remedy = shown(finding.remedy)
            console.print(Text(f"      {'':<{width}}  fix: {remedy}"), soft_wrap=True)
