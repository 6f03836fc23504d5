"""Renders the page from the collected data and the template."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from datetime import UTC
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from snapshot_tasks.domain.findings import Status
from snapshot_tasks.operations import report as data
from snapshot_tasks.report import plots
from snapshot_tasks.system.reading import read_start
from snapshot_tasks.system.spans import format_span
from snapshot_tasks.system.units import age, ago, duration, moment, size
from snapshot_tasks.system.untrusted import printable

# Identifies our reports among other files.
MARK = '<meta name="generator" content="qdrant-snapshot-tasks report">'
_MARK_WITHIN_BYTES = 1024
# As in Markdown, code that contains backticks is enclosed in more of them.
_CODE = re.compile(r"(?P<ticks>`+)(?P<code>.+?)(?P=ticks)(?!`)")
MAX_DETAILED = 30
MAX_ROWS = 200
MAX_ATTENTION = 100
MAX_TEXT = 300


def render_page(report: data.Report, named: Callable[[str], str] = str) -> str:
    """Return the whole page; no name on it can become markup or load anything.

    `named` translates the commands in its texts to those of the reader's project.
    """
    styles = files(__package__).joinpath("styles.css").read_text(encoding="utf-8")
    attention = report.attention
    return (
        _environment(named)
        .get_template("page.html.j2")
        .render(
            report=report,
            attention=attention[:MAX_ATTENTION],
            attention_count=len(attention),
            worst=_worst(report),
            rows=report.collections[:MAX_ROWS],
            detailed=report.collections[:MAX_DETAILED],
            mark=MARK,
            styles=styles,
            styles_hash=_hash(styles),
            ago=lambda at: ago(at, report.at),
            rpo=lambda collection: data.rpo_seconds(collection, report.at),
        )
    )


def is_report(path: Path) -> bool:
    """Return whether a file is an earlier report, which a newer one may replace."""
    try:
        return MARK in read_start(path, max_bytes=_MARK_WITHIN_BYTES)
    except (OSError, ValueError):
        return False


def _worst(report: data.Report) -> Status:
    """Return the worst state of all; an empty folder counts as a failure."""
    if not report.collections:
        return Status.WARN
    return report.attention[0][1].status if report.attention else Status.OK


@cache
def _environment(named: Callable[[str], str]) -> Environment:
    environment = Environment(
        loader=PackageLoader("snapshot_tasks.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "age": age,
        "clock": lambda at: f"{at.astimezone(UTC):%H:%M}",
        "coded": lambda text: _coded(named(text)),
        "day": lambda at: f"{at.astimezone(UTC):%Y-%m-%d}",
        "duration": duration,
        "moment": moment,
        "named": named,
        "size": size,
        "span": format_span,
    }
    # Only geometry and constants; nothing that could read or write.
    environment.globals |= {"plots": plots, "Status": Status, "limit": data.MAX_SNAPSHOTS}
    return environment


def _shown(value: Any) -> Any:
    """Show text from elsewhere as one harmless line; Jinja escapes it after that."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return printable(value, limit=MAX_TEXT)
    return value


def _coded(text: str) -> Markup:
    """Return a remedy in which text in backticks is code that does not wrap inside words."""
    parts, end = [], 0
    text = printable(text, limit=MAX_TEXT)
    for match in _CODE.finditer(text):
        words = (Markup("<span>{}</span>").format(word) for word in match["code"].split(" "))
        code = Markup("<code>{}</code>").format(Markup(" ").join(words))
        parts += [escape(text[end : match.start()]), code]
        end = match.end()
    return Markup("").join((*parts, escape(text[end:])))


def _hash(styles: str) -> str:
    """Return the hash by which the page's policy allows exactly these styles, and no others."""
    digest = base64.b64encode(hashlib.sha256(styles.encode()).digest()).decode()
    return f"sha256-{digest}"
