"""A table on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snapshot_tasks.cli.console import output, shown

# A label can be very long.
MAX_CELL = 2000


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; a leading `#` marks a column of numbers."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    printed = Table(
        title=Text(shown(title)) if title else None, title_justify="left", box=box.SIMPLE_HEAD
    )
    for column in columns:
        number = column.startswith("#")
        printed.add_column(
            column.removeprefix("#"), justify="right" if number else "left", overflow="fold"
        )
    for row in rows:
        printed.add_row(*(Text(shown(cell, limit=MAX_CELL)) for cell in row))
    output().print(printed)
