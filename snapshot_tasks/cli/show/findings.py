"""Findings as lines on stdout."""

from __future__ import annotations

from collections.abc import Sequence

from snapshot_tasks.cli.console import output, shown, wrapped
from snapshot_tasks.domain.findings import Finding

_STYLES = {"OK": "green", "WARN": "yellow", "FAIL": "bold red"}


def render_findings(findings: Sequence[Finding], *, title: str = "") -> None:
    """Print one OK, WARN or FAIL line for each finding, each failure with its remedy."""
    from rich.text import Text

    console = output()
    if title:
        console.print(Text(shown(title), style="bold"), soft_wrap=True)
    width = max((len(f.check) for f in findings), default=0)
    hang = 4 + 2 + width + 2
    for finding in findings:
        status = f"{finding.status.value:<4}"
        said = shown(f"{finding.check:<{width}}  {finding.message}")
        line = Text("\n".join(wrapped(f"{status}  {said}", hang=hang)), style="default")
        line.stylize(_STYLES[finding.status.value], 0, len(status))
        console.print(line, soft_wrap=True)
        if finding.remedy:
            remedy = f"{'':<{hang}}fix: {shown(finding.remedy)}"
            console.print(Text("\n".join(wrapped(remedy, hang=hang + 5))), soft_wrap=True)
