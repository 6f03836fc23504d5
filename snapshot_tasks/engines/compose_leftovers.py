"""Finds what drills have left in Docker by its label, and removes it."""

from __future__ import annotations

import time
from collections.abc import Callable

from snapshot_tasks.engines.compose_document import DRILL_LABEL
from snapshot_tasks.system import process

COMMAND_SECONDS = 120.0
# While the daemon is still removing a container, its network and volumes cannot be removed.
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.2
# Containers first, because a container uses its volumes and networks.
KINDS = (
    ("container", ("--all",), "{{.ID}}", ("--force", "--volumes")),
    ("network", (), "{{.ID}}", ()),
    ("volume", (), "{{.Name}}", ("--force",)),
)


def remove_labelled(is_wanted: Callable[[str], bool]) -> list[str]:
    """Remove what drills of these owners have in Docker, and return descriptions of it.

    Another run may be removing the same things; what cannot be removed stays for the next run.
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
    """Return descriptions of what drills of these owners have in Docker."""
    return [f"{kind} {name}" for kind, name, _ in _find(is_wanted)]


def owned_by(listing: str, is_wanted: Callable[[str], bool]) -> list[str]:
    """Return the names whose owner is wanted, from lines of name and owner, tab-separated."""
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
