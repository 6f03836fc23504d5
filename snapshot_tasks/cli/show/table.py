"""A table on stdout that never breaks a name: where it is too wide, whole columns are dropped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from snapshot_tasks.cli.console import cells, shown, tell, terminal_columns

# A label can be very long.
MAX_CELL = 2000
GAP, MARGIN = "   ", "  "


def table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, drop: Sequence[str] = ()
) -> None:
    """Print a table; a leading `#` marks a column of numbers.

    On a terminal that is too narrow, the columns in `drop` are left out, the first of them first.
    If the first column alone is too wide, the others are printed below it. A pipe gets everything.
    """
    names = [column.removeprefix("#") for column in columns]
    kept = [[shown(cell, limit=MAX_CELL) for cell in row] for row in (names, *rows)]
    marks = [column.startswith("#") for column in columns]
    for line in [*([shown(title)] if title else []), "", *_fitted(kept, marks, drop), ""]:
        tell(line, is_file=True)


def _fitted(rows: list[list[str]], marks: Sequence[bool], drop: Sequence[str]) -> Iterator[str]:
    limit, kept = terminal_columns(), list(range(len(marks)))
    widths = [max(map(cells, column)) for column in zip(*rows, strict=True)]
    if limit is not None and _total(widths, [0]) > limit:
        return _stacked(rows)
    for index in (i for name in drop for i, column in enumerate(rows[0]) if column == name):
        if limit is not None and _total(widths, kept) > limit:
            kept.remove(index)
    return _lines(rows, kept, widths, marks)


def _total(widths: Sequence[int], chosen: Sequence[int]) -> int:
    return len(MARGIN) + sum(widths[i] for i in chosen) + len(GAP) * max(len(chosen) - 1, 0)


def _stacked(rows: list[list[str]]) -> Iterator[str]:
    """Yield the first cell of each row, and the others with their names below it."""
    names = rows[0]
    for row in rows[1:]:
        yield f"{MARGIN}{row[0]}"
        for name, cell in list(zip(names, row, strict=True))[1:]:
            yield f"{MARGIN}{MARGIN}{name}: {cell}"


def _lines(
    rows: list[list[str]], chosen: Sequence[int], widths: Sequence[int], marks: Sequence[bool]
) -> Iterator[str]:
    rules = ["─" * width for width in widths]
    for row in (rows[0], rules, *rows[1:]):
        padded = (_padded(row[i], widths[i], is_number=marks[i]) for i in chosen)
        yield (MARGIN + GAP.join(padded)).rstrip()


def _padded(text: str, width: int, *, is_number: bool) -> str:
    padding = " " * (width - cells(text))
    return padding + text if is_number else text + padding
