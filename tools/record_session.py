"""Record a real session in a terminal as docs/session.svg; run python -m tools.record_session.

A native Qdrant is started in a new folder and given the sample; then each of `COMMANDS` runs in a
pseudo-terminal, and what it prints is drawn by rich. Only the path of the folder is shortened, and
the live progress (stderr) is left out, since a picture does not move.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from tests.support.ports import free_ports

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "session.svg"
COLLECTION = "campus-demo"
PREPARATION = (
    "demo",
    "stack.up --no-restore",
    f"snapshot.restore --snapshot demo_snapshots/{COLLECTION}_latest.snapshot",
)
COMMANDS = ("snapshot.create", "snapshot.test-restore", "snapshot.list")
END = "stack.down --volumes --yes"
COLUMNS, ROWS = 112, 50
# rich would have the reader's browser fetch its font from another host.
_FONT_FACES = re.compile(r"@font-face \{\{.*?\}\}\n", re.DOTALL)


def main() -> None:
    """Record the session and write the picture."""
    with tempfile.TemporaryDirectory() as name, live_sample(Path(name)) as environment:
        shown = [(c, in_terminal(c, Path(name), environment)) for c in COMMANDS]
        text = "".join(f"\x1b[1m$ qdrant-snapshots {c}\x1b[0m\n{out}" for c, out in shown)
        PICTURE.write_text(draw(text.replace(name, "~/my-project")), encoding="utf-8")


@contextmanager
def live_sample(folder: Path) -> Iterator[Mapping[str, str]]:
    """Run a Qdrant with the sample in it; yield the environment in which tasks find it."""
    http, grpc = free_ports(2)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "TERM": "xterm-256color",
        "QDRANT_ENGINE": "native",
        "QDRANT_COLLECTION_NAME": COLLECTION,
        "QDRANT_HTTP_PORT": str(http),
        "QDRANT_GRPC_PORT": str(grpc),
    }
    try:
        for command in PREPARATION:
            subprocess.run(argv(command), cwd=folder, env=environment, check=True)
        yield environment
    finally:
        subprocess.run(argv(END), cwd=folder, env=environment, check=False)


def argv(command: str) -> tuple[str, ...]:
    """Return the command line of a task."""
    return (sys.executable, "-m", "snapshot_tasks", *command.split())


def in_terminal(command: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Return what a task prints on a terminal, with its colours.

    Raises:
        RuntimeError: if the task fails; a picture of a failure is of no use.
    """
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with subprocess.Popen(
        argv(command), cwd=folder, env=environment, stdout=theirs, stderr=subprocess.DEVNULL
    ) as task:
        os.close(theirs)
        printed = b"".join(read_all(ours)).decode()
    os.close(ours)
    if task.returncode:
        raise RuntimeError(f"{command} ended with {task.returncode}:\n{printed}")
    return printed.replace("\r\n", "\n")


def read_all(terminal: int) -> Iterator[bytes]:
    """Yield what is printed until the other side is closed, which Linux reports as an error."""
    while True:
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:
            return
        if not chunk:
            return
        yield chunk


def draw(text: str) -> str:
    """Return a picture of a terminal with this text, which refers to nothing elsewhere."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    console.print(Text.from_ansi(text), soft_wrap=False)
    plain = _FONT_FACES.sub("", CONSOLE_SVG_FORMAT)
    return console.export_svg(title="qdrant-snapshots", code_format=plain, unique_id="session")


if __name__ == "__main__":
    main()
