"""What drills have left in Docker: found by their label, and removed."""

from __future__ import annotations

import time
from collections.abc import Callable

from snapshot_tasks.engines.compose_document import DRILL_LABEL
from snapshot_tasks.system import process

COMMAND_SECONDS = 120.0
# While the daemon still removes a container, its network and volumes cannot be removed.
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.2
# A container holds its volumes and networks: so it goes first.
KINDS = (
    ("container", ("--all",), "{{.ID}}", ("--force", "--volumes")),
    ("network", (), "{{.ID}}", ()),
    ("volume", (), "{{.Name}}", ("--force",)),
)


def remove_labelled(is_wanted: Callable[[str], bool]) -> list[str]:
    """Remove what drills of these owners have in Docker, and return it in words.

    Another run may be removing the same; what resists for long stays for the next one.
    """
    removed: list[str] = []
    deadline = time.monotonic() + PATIENCE_SECONDS
    while found := _find(is_wanted):
        for kind, name, options in found:
            argv = ("docker", kind, "rm", *options, name)
            if process.run(argv, timeout_seconds=COMMAND_SECONDS).ok:
                removed.append(f"{kind} {name}")
        if time.monotonic() > deadline:
            break
        time.sleep(PAUSE_SECONDS)
    return removed


def find_labelled(is_wanted: Callable[[str], bool]) -> list[str]:
    """Return in words what drills of these owners have in Docker."""
    return [f"{kind} {name}" for kind, name, _ in _find(is_wanted)]


def owned_by(listing: str, is_wanted: Callable[[str], bool]) -> list[str]:
    """Return the names from lines of name and owner, tab-separated, whose owner is wanted."""
    lines = (line.partition("\t") for line in listing.splitlines())
    return [name for name, _, owner in lines if owner and is_wanted(owner)]


def _find(is_wanted: Callable[[str], bool]) -> list[tuple[str, str, tuple[str, ...]]]:
    return [
        (kind, name, options)
        for kind, scope, name_format, options in KINDS
        for name in owned_by(_list(kind, scope, name_format), is_wanted)
    ]


def _list(kind: str, scope: tuple[str, ...], name_format: str) -> str:
    shown = f'{name_format}\t{{{{.Label "{DRILL_LABEL}"}}}}'
    listing = process.run(
        ("docker", kind, "ls", *scope, "--filter", f"label={DRILL_LABEL}", "--format", shown),
        timeout_seconds=COMMAND_SECONDS,
    )
    return listing.stdout if listing.ok else ""
