"""What the user sees while a task runs: progress goes to stderr, results to stdout."""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any, cast

from snapshot_tasks.cli.calling import named
from snapshot_tasks.cli.outputs import Unfailing, write_error
from snapshot_tasks.system.units import duration, points, size
from snapshot_tasks.system.untrusted import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

HEARTBEAT_SECONDS = 30.0
# A word with the spaces before it; a command in backticks is one word.
_WORD = re.compile(r"\s*(?:`[^`]*`|\S)+|\s+")

Amount = Callable[[float], str]


class Recorder:
    """Keeps the last lines that were printed, for the report on how a task ended."""

    def __init__(self, *, max_characters: int = 20_000) -> None:
        self._max_characters = max_characters
        self._lines: deque[str] = deque()
        self._length = 0
        # Heartbeats and the output of a hook come from other threads.
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        """Keep a line and forget the oldest ones above the limit; a long line loses its start."""
        line = line[-self._max_characters :]
        with self._lock:
            self._lines.append(line)
            self._length += len(line) + 1
            while self._length > self._max_characters + 1:
                self._length -= len(self._lines.popleft()) + 1

    def clear(self) -> None:
        """Forget everything, because another task starts."""
        with self._lock:
            self._lines.clear()
            self._length = 0

    @property
    def text(self) -> str:
        """The kept lines."""
        with self._lock:
            return "".join(f"{line}\n" for line in self._lines)


PRINTED = Recorder()


def say(message: str, *, style: str = "", hang: int | None = None) -> None:
    """Print one line on stderr, in colour on a terminal; the message may have any content.

    With `hang`, a terminal gets it as lines that fit, the later ones indented by that much.
    """
    message = _one_line(message)
    PRINTED.add(message)
    text = message if hang is None else "\n".join(_wrap(message, _error_columns(), hang))
    if style and _is_live():
        from rich.console import Console
        from rich.text import Text

        error = cast("IO[str]", Unfailing())
        Console(file=error, highlight=False).print(Text(text, style=style), soft_wrap=True)
    else:
        write_error(f"{text}\n")


def tell(text: str, *, is_file: bool = False, hang: int | None = None) -> None:
    """Print one line on stdout; names and labels from elsewhere cannot control the terminal.

    A line of a file has its commands translated already. `hang` is as in `say`.
    """
    line = _harmless(text) if is_file else _one_line(text)
    PRINTED.add(line)
    print(line if hang is None else "\n".join(wrapped(line, hang=hang)))


def shown(text: str, *, limit: int | None = None) -> str:
    """Return text as one harmless line, with each command as the user types it."""
    return _harmless(named(text), limit=limit)


def _harmless(text: str, *, limit: int | None = None) -> str:
    """Return text as one line that neither a terminal nor GitHub Actions obeys.

    A terminal obeys control characters. GitHub Actions obeys `##[` anywhere, and `::` at the start
    of a line, which can be anywhere once a table wraps its cells.
    """
    line = printable(text, limit=limit)
    from snapshot_tasks.settings.github import in_actions

    return re.sub(r":(?=:)|#(?=#\[)", _escaped, line) if in_actions() else line


def _escaped(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def ask(question: str) -> bool:
    """Ask on the terminal; anything but a clear yes is a no, and so is a question nobody saw."""
    try:
        print(f"{printable(question)} Continue? [yes/no] ", end="", file=sys.stderr, flush=True)
    except OSError:
        return False
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def cells(text: str) -> int:
    """Return how many columns of a terminal a text takes; wide letters take two."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def terminal_columns() -> int | None:
    """Return the width of the terminal on stdout; None for a pipe, which takes any width."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _error_columns() -> int | None:
    """Return the width of the terminal on stderr, which stdout may not be on."""
    if not sys.stderr.isatty():
        return None
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        return None
    return shutil.get_terminal_size(fallback=size).columns or None


def wrapped(text: str, *, hang: int) -> list[str]:
    """Return a line as the lines that fit on the terminal; the later ones are indented.

    Only at spaces, and never within backticks: names and commands stay whole.
    """
    return _wrap(text, terminal_columns(), hang)


def _wrap(text: str, limit: int | None, hang: int) -> list[str]:
    if limit is None or cells(text) <= limit:
        return [text]
    indent = " " * min(hang, limit // 2)
    lines = [""]
    for word in _WORD.findall(text):
        if lines[-1].strip() and cells(lines[-1] + word.rstrip()) > limit:
            lines[-1] = lines[-1].rstrip()
            lines.append(indent + word.lstrip())
        else:
            lines[-1] += word
    return lines


def output() -> Console:
    """Return the console for results, in colour on a terminal."""
    from rich.console import Console

    class Recorded(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*objects, **options)
            for line in self.export_text().splitlines():
                PRINTED.add(line)

    return Recorded(highlight=False, width=None if sys.stdout.isatty() else 160, record=True)


class TerminalProgress:
    """A live bar on a terminal; elsewhere a line every 30 s and at the end of each phase."""

    def __init__(self, *, heartbeat_seconds: float = HEARTBEAT_SECONDS) -> None:
        self._live: Progress | None = None
        self._heartbeat_seconds = heartbeat_seconds

    def note(self, message: str) -> None:
        """Print one thing that the user should know."""
        say(f"note: {message}", style="yellow", hang=len("note: "))

    @contextmanager
    def phase(
        self, label: str, *, total_bytes: int | None = None, total_points: int | None = None
    ) -> Iterator[Callable[[int], None]]:
        """Show a phase; when it ends, print how long it took and how fast it was."""
        start, seen, label = time.monotonic(), 0, printable(label)
        amount = points if total_bytes is None else size
        total = total_bytes or total_points

        def beat() -> None:
            say(_so_far(label, seen, total, time.monotonic() - start, amount))

        with self._bar(label, total, amount) as show, self._heartbeat(beat):

            def advance(count: int) -> None:
                nonlocal seen
                seen += count
                show(count)

            yield advance
        say(_summary(label, seen, time.monotonic() - start, amount))

    @contextmanager
    def _heartbeat(self, beat: Callable[[], None]) -> Iterator[None]:
        """Show that a long phase is alive if there is no bar; CI cancels silent jobs."""
        if _is_live():
            yield
            return
        over = threading.Event()

        def work() -> None:
            # The reader of stderr may have closed it; the phase continues without.
            with suppress(OSError, ValueError):
                while not over.wait(self._heartbeat_seconds):
                    beat()

        thread = threading.Thread(target=work, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def _bar(
        self, label: str, total: int | None, amount: Amount
    ) -> Iterator[Callable[[int], None]]:
        if not _is_live():
            yield lambda count: None
            return
        outermost = self._live is None
        if self._live is None:
            self._live = _new_bar()
            self._live.start()
        bar, start = self._live, time.monotonic()
        number = bar.add_task(label, total=total, shown="")
        seen = 0

        def show(count: int) -> None:
            nonlocal seen
            seen += count
            speed = seen / max(time.monotonic() - start, 1e-3)
            bar.update(number, advance=count, shown=f"{amount(seen)}  {amount(speed)}/s")

        try:
            yield show
        finally:
            bar.remove_task(number)
            if outermost:
                bar.stop()
                self._live = None


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[shown]}", markup=False),
        TimeRemainingColumn(),
        console=Console(file=cast("IO[str]", Unfailing())),
        transient=True,
    )


def _one_line(text: str) -> str:
    return shown(" / ".join(text.splitlines()))


def _is_live() -> bool:
    return sys.stderr.isatty() and "NO_COLOR" not in os.environ


def _so_far(label: str, seen: int, total: int | None, seconds: float, amount: Amount) -> str:
    text = f"{label}: still running after {duration(seconds)}"
    if not seen:
        return text
    of = f" of {amount(total)}" if total else ""
    text += f", {amount(seen)}{of} ({amount(seen / seconds)}/s)"
    left = (total - seen) * seconds / seen if total and total > seen else 0
    return f"{text}, about {duration(left)} left" if left else text


def _summary(label: str, seen: int, seconds: float, amount: Amount) -> str:
    if not seen:
        return f"{label}: {duration(seconds)}"
    speed = f" ({amount(seen / seconds)}/s)" if seconds > 0 else ""
    return f"{label}: {amount(seen)} in {duration(seconds)}{speed}"
