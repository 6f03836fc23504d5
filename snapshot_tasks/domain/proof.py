"""The results of drills and verifications of a snapshot: one proof for each.

Only a passed drill proves a snapshot, and a later failure that concerns the file undoes this.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.system.untrusted import parse_json

DRILL = "drill"
REHEARSAL = "rehearsal"
VERIFY = "verify"
# The levels of a verification.
BYTES, CONTENT, SOURCE = LEVELS = ("bytes", "content", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One line in the proofs of a snapshot.

    Facts that are missing from a line or have the wrong type are empty or None. `document` is the
    whole line, for display.
    """

    kind: str
    at: datetime
    ok: bool
    level: str
    sha256: str | None
    engine: str
    qdrant_version: str
    restore_seconds: float | None
    document: Mapping[str, Any] = field(repr=False)

    @property
    def about_file(self) -> bool:
        """Whether it judges the file, not the live collection, which may change at any time."""
        return self.level != SOURCE

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings; invalid items are ignored."""
        listed = self.document.get("findings")
        found = map(_finding, listed if isinstance(listed, list) else ())
        return tuple(finding for finding in found if finding is not None)

    def as_json(self) -> dict[str, Any]:
        """Return the whole line."""
        return dict(self.document)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Proof:
        """Parse a line.

        Raises:
            KeyError, TypeError, ValueError, ArithmeticError: if the kind, the time with its zone or
                the result is missing, or the restore time is not a number of seconds.
        """
        at = datetime.fromisoformat(document["at"])
        if at.tzinfo is None:
            raise ValueError("the time has no zone")
        at.astimezone(UTC)
        return cls(
            kind=str(document["kind"]),
            at=at,
            ok=bool(document["ok"]),
            level=str(document.get("level") or ""),
            sha256=None if document.get("sha256") is None else str(document["sha256"]),
            engine=_text(document.get("engine")),
            qdrant_version=_text(document.get("qdrant_version")),
            restore_seconds=_seconds(document.get("restore_seconds")),
            document=document,
        )


def parse_proofs(text: str) -> tuple[Proof, ...]:
    """Return the proofs in a text, oldest first; lines that a crash cut short are ignored."""
    return tuple(proof for line in text.split("\n") if (proof := _parse(line)) is not None)


def last_proven_at(proofs: Sequence[Proof], sha256: str | None) -> datetime | None:
    """Return when a drill last succeeded with exactly these bytes, or None.

    A drill or a verification of the file that failed since then undoes it. Without a manifest, the
    expected bytes are unknown, so nothing counts as proven.
    """
    if sha256 is None:
        return None
    for proof in reversed(proofs):
        if _undoes(proof):
            return None
        if proof.kind == DRILL and proof.ok and proof.sha256 == sha256:
            return proof.at
    return None


def last_failed_at(proofs: Sequence[Proof]) -> datetime | None:
    """Return when the file last failed a drill or verification, if no later drill passed."""
    for proof in reversed(proofs):
        if _undoes(proof):
            return proof.at
        if proof.kind == DRILL and proof.ok:
            return None
    return None


def last_of(proofs: Sequence[Proof], kind: str) -> Proof | None:
    """Return the last proof of a kind that judges the file, not the live collection."""
    return next((p for p in reversed(proofs) if p.kind == kind and p.about_file), None)


def _undoes(proof: Proof) -> bool:
    return proof.kind in (DRILL, VERIFY) and proof.about_file and not proof.ok


def _parse(line: str) -> Proof | None:
    try:
        return Proof.from_json(parse_json(line))
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError):
        return None


def _seconds(value: Any) -> float | None:
    """Return a measured time; a negative one was not measured. Raises if it is not a number."""
    if value is None:
        return None
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a time in seconds")
    return float(value) if value >= 0 else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _finding(item: object) -> Finding | None:
    if not isinstance(item, dict):
        return None
    try:
        check, message, remedy = item["check"], item["message"], item.get("remedy", "")
        if not all(isinstance(text, str) for text in (check, message, remedy)):
            return None
        status = Status(item["status"])
        return Finding(check=check, status=status, message=message, remedy=remedy)
    except (KeyError, ValueError):
        return None
