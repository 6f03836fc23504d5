"""What GitHub Actions shows for a task: the summary of a step, and its annotations."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence

from snapshot_tasks.cli.show.checked import Checked
from snapshot_tasks.domain.findings import Finding, Status, failed
from snapshot_tasks.settings.github import in_actions, step_summary
from snapshot_tasks.system.files import append_line
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.units import duration
from snapshot_tasks.system.untrusted import printable

# GitHub accepts 1 MiB for each step, and discards a larger summary completely.
MAX_SUMMARY_BYTES = 900_000
MAX_CELL = 1000
# Characters that could become markup, HTML, maths, a link, a mention, or the end of a table cell.
_MARKUP = re.compile(r"[#$&*:<>@\[-`{-~]|(?<=www)\.", re.IGNORECASE)


def tell_github(progress: Progress, task: str, things: Sequence[Checked]) -> None:
    """Append to the step's summary and annotate failures; do nothing outside GitHub Actions.

    If the summary cannot be written, that is only a note: the findings stay valid.
    """
    if summary := step_summary():
        try:
            append_line(summary, as_markdown(task, things))
        except OSError as error:
            progress.note(f"Could not write the step summary: {error.strerror}.")
    if in_actions():
        for line in workflow_commands(task, things):
            print(line, file=sys.stderr, flush=True)


def as_markdown(task: str, things: Sequence[Checked]) -> str:
    """Return the summary: one section for each thing, limited to the size that GitHub accepts."""
    text = f"## {_plain(task)}\n"
    for number, thing in enumerate(things):
        section = "\n".join(_section(thing)) + "\n"
        if len((text + section).encode()) > MAX_SUMMARY_BYTES:
            return text + f"\n{len(things) - number} more are not shown here.\n"
        text += section
    return text


def workflow_commands(task: str, things: Sequence[Checked]) -> Iterator[str]:
    """Yield a workflow command for each failure, and one for each warning."""
    for thing in things:
        for finding in thing.failures:
            yield _annotation("error", task, thing, finding)
        for finding in thing.findings:
            if finding.status is Status.WARN:
                yield _annotation("warning", task, thing, finding)


def _section(thing: Checked) -> Iterator[str]:
    mark = "❌" if thing.failures else "✅"
    yield f"\n### {mark} <code>{_plain(thing.name)}</code> {_plain(thing.verdict)}\n"
    findings = thing.findings if failed(thing.findings) else (*thing.findings, *thing.failures)
    if findings:
        yield "| | check | found |\n|---|---|---|"
    for finding in findings:
        found = finding.message + (f" ({finding.remedy})" if finding.remedy else "")
        yield f"| {finding.status.value} | {_plain(finding.check)} | {_plain(found)} |"
    if thing.times:
        times = ", ".join(f"{phase} {duration(s)}" for phase, s in thing.times.items())
        yield f"\nTimes: {_plain(times)}"


def _annotation(kind: str, task: str, thing: Checked, finding: Finding) -> str:
    title = _data(f"{task}: {finding.check}").replace(":", "%3A").replace(",", "%2C")
    message = f"{thing.name}: {finding.message}" + (f" {finding.remedy}" if finding.remedy else "")
    return f"::{kind} title={title}::{_data(message)}"


def _data(text: str) -> str:
    """Return text for a workflow command; a line break would end the command."""
    return "%0A".join(printable(line).replace("%", "%25") for line in text.splitlines())


def _plain(text: str) -> str:
    """Return text from elsewhere as Markdown that shows exactly this text."""
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", printable(text, limit=MAX_CELL))
