"""The searches recorded with a snapshot: a file of their own, which its manifest identifies.

They are most of what is recorded, and a listing needs none of them. The manifest has their SHA-256,
and the seal covers the manifest, so it covers them too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.untrusted import finite, parse_json, printable, typed

RESTORE_IT = "Restore that file from a copy, or take a new snapshot."


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbesFile:
    """What a manifest records of the file: how many searches it has, and its SHA-256."""

    count: int
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return the record as it is stored in a manifest."""
        return asdict(self)

    @classmethod
    def of(cls, text: str) -> ProbesFile:
        """Return the record of a file with this text."""
        return cls(count=len(parse_json(text)), sha256=_sha256(text))

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ProbesFile:
        """Parse the record in a manifest. Raises KeyError, TypeError or ValueError."""
        return cls(count=typed(document, "count", int), sha256=typed(document, "sha256", str))

    def parse(self, text: str | None, name: str, *, hint: str = RESTORE_IT) -> tuple[Any, ...]:
        """Return the searches in the text of the file; None for a missing one.

        Raises:
            Damaged: if it is missing, or is not the recorded one.
        """
        if text is None:
            raise unreadable(name, "it is missing", hint)
        if _sha256(text) != self.sha256:
            raise unreadable(name, "it differs from what the manifest records", hint)
        try:
            return tuple(parse_json(text))
        except (ValueError, TypeError) as error:
            raise unreadable(name, str(error), hint) from error


def dump_probes(probes: Iterable[Probe]) -> str | None:
    """Return the text of the file: strict JSON, one search a line; None without any search."""
    lines = [json.dumps(finite(probe.as_json()), ensure_ascii=False) for probe in probes]
    return "[\n" + ",\n".join(lines) + "\n]\n" if lines else None


def unreadable(name: str, reason: str, hint: str = RESTORE_IT) -> Damaged:
    """Return the error for recorded searches that cannot be read; `name` names their file."""
    message = f"The recorded searches {printable(name)} cannot be read: {printable(reason)}."
    return Damaged(message, hint=hint)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
