"""What killed drills have left in Docker: found by their label, and removed."""

from __future__ import annotations

from collections.abc import Callable

from snapshot_tasks import process
from snapshot_tasks.engines.compose_document import DRILL_LABEL
from snapshot_tasks.scratch import is_gone

COMMAND_SECONDS = 120.0
# A container holds its volumes and networks: so it goes first.
KINDS = (
    ("container", ("--all",), "{{.ID}}", ("--force", "--volumes")),
    ("network", (), "{{.ID}}", ()),
    ("volume", (), "{{.Name}}", ("--force",)),
)
# A daemon may still be at work for a client that was killed.
PASSES = 3


def remove_leftovers() -> list[str]:
    """Remove what drills of ended runs have left, and return it in words.

    What belongs to a run that may still be at work stays, and so does what was to be kept.
    """
    removed: list[str] = []
    for _ in range(PASSES):
        found = [
            (kind, name, options)
            for kind, scope, name_format, options in KINDS
            for name in abandoned(_list(kind, scope, name_format), is_gone)
        ]
        if not found:
            break
        for kind, name, options in found:
            done = process.run(
                ("docker", kind, "rm", *options, name), timeout_seconds=COMMAND_SECONDS
            )
            if done.ok:
                removed.append(f"{kind} {name}")
    return removed


def abandoned(listing: str, is_gone: Callable[[str], bool]) -> list[str]:
    """Return the names from lines of name and owner, tab-separated, whose owner is gone."""
    lines = (line.partition("\t") for line in listing.splitlines())
    return [name for name, _, owner in lines if owner and is_gone(owner)]


def _list(kind: str, scope: tuple[str, ...], name_format: str) -> str:
    shown = f'{name_format}\t{{{{.Label "{DRILL_LABEL}"}}}}'
    listing = process.run(
        ("docker", kind, "ls", *scope, "--filter", f"label={DRILL_LABEL}", "--format", shown),
        timeout_seconds=COMMAND_SECONDS,
    )
    return listing.stdout if listing.ok else ""
