"""Vector names that Qdrant 1.18 and later accept in no new collection. Pure.

A collection with such a name may come from an earlier version. After an upgrade, the server goes on
serving it and takes snapshots of it, but it restores none of them: 400 "Invalid dense vector name".
The way around is to start the server with the snapshot (`--snapshot FILE:NAME`).
"""

from __future__ import annotations

from collections.abc import Iterator

from snapshot_tasks.system.untrusted import JsonObject, printable

FORBIDDEN = frozenset('<>:"/\\|?*\0\x1f')
MAX_NAME_BYTES = 200
FIRST_VERSION = "1.18"
WAYS_OUT = (
    "Restore it with Qdrant 1.17 and then upgrade that server in place, or rebuild the collection"
    " under other vector names."
)


def refused_names(config: JsonObject) -> tuple[str, ...]:
    """Return what is wrong with which vector name of a collection's configuration."""
    return tuple(_refused(config))


def _refused(config: JsonObject) -> Iterator[str]:
    params = config.get("params")
    if not isinstance(params, dict):
        return
    dense, sparse = params.get("vectors"), params.get("sparse_vectors")
    # The unnamed vector: its settings stand where the names would be.
    if isinstance(dense, dict) and not isinstance(dense.get("size"), int):
        yield from (problem for name in dense if (problem := _problem(name)))
    for name in sparse if isinstance(sparse, dict) else ():
        if problem := _problem(name) or ("" if name else "a sparse vector has an empty name"):
            yield problem


def _problem(name: str) -> str:
    if found := sorted(FORBIDDEN & set(name)):
        return f"{printable(name, limit=80)!r} contains {' '.join(map(_shown, found))}"
    size = len(name.encode("utf-8", "surrogatepass"))
    if size > MAX_NAME_BYTES:
        return f"{printable(name, limit=40)!r} has {size} bytes, more than {MAX_NAME_BYTES}"
    return ""


def _shown(character: str) -> str:
    return character if character.isprintable() else f"0x{ord(character):02X}"
