"""A table on stdout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from snapshot_tasks.cli.console import output, shown, tell

# A label can be very long.
MAX_CELL = 2000
MAX_RICH_ROWS = 200


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; a leading `#` marks a column of numbers.

    A long one is printed line by line, a hundred times as fast; a terminal wraps what is too wide.
    """
    rows = [[shown(cell, limit=MAX_CELL) for cell in row] for row in rows]
    if len(rows) > MAX_RICH_ROWS:
        for line in _lines(title, columns, rows):
            tell(line, is_file=True)
        return
    _print_rich(title, columns, rows)


def _lines(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    names = [column.removeprefix("#") for column in columns]
    widths = [max(map(_width, cells)) for cells in zip(names, *rows, strict=True)]
    yield from [shown(title)] if title else []
    yield ""
    for row in (names, ["─" * width for width in widths], *rows):
        cells = zip(columns, widths, row, strict=True)
        yield ("  " + "   ".join(_padded(*cell) for cell in cells)).rstrip()
    yield ""


def _padded(column: str, width: int, text: str) -> str:
    padding = " " * (width - _width(text))
    return padding + text if column.startswith("#") else text + padding


def _width(text: str) -> int:
    from rich.cells import cell_len

    return len(text) if text.isascii() else cell_len(text)


def _print_rich(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
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
        printed.add_row(*map(Text, row))
    output().print(printed)
