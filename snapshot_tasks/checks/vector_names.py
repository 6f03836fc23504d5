"""Will Qdrant take this collection back? It keeps some that it never restores."""

from __future__ import annotations

from collections.abc import Iterator

from snapshot_tasks.domain.findings import Finding, warn
from snapshot_tasks.domain.vector_names import FIRST_VERSION, WAYS_OUT, refused_names
from snapshot_tasks.domain.versions import known
from snapshot_tasks.system.untrusted import JsonObject

CHECK = "vector names"


def check_vector_names(config: JsonObject, version: str) -> Iterator[Finding]:
    """Warn about names that a server of this version restores from no snapshot, or a later one."""
    problems = "; ".join(refused_names(config))
    if not problems:
        return
    if known(version).refuses_names:
        yield warn(CHECK, f"Qdrant {version} restores no snapshot of it: {problems}", WAYS_OUT)
    else:
        message = f"Qdrant {FIRST_VERSION} will not restore this: {problems}"
        yield warn(CHECK, message, f"Before you upgrade: {_lower(WAYS_OUT)}")


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
