"""The results of drills and verifications of a snapshot: one proof for each.

Only a passed drill proves a snapshot, and a later failure that concerns the file undoes this.
Without a seal there is nothing older to compare with: a passed drill then shows only that the file
restores.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.system.untrusted import parse_json


class Verdict(StrEnum):
    """What a drill shows. The words are the same everywhere, also in proofs and `--json`."""

    # Sealed when it was taken, and everything is equal.
    PROVEN = "PROVEN"
    # Equal to the file as it is; there was no seal to compare with.
    RESTORES = "RESTORES"
    NOT_PROVEN = "NOT PROVEN"


# What RESTORES means, wherever a verdict is explained.
PASSED = (Verdict.PROVEN, Verdict.RESTORES)
UNSEALED = "contents compared with the file, not sealed when it was taken"
DRILL = "drill"
REHEARSAL = "rehearsal"
VERIFY = "verify"
# The levels of a verification.
BYTES, CONTENT, SOURCE = LEVELS = ("bytes", "content", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One line in the proofs of a snapshot.

    Facts that are missing from a line or have the wrong type are empty or None. `recorded` is its
    verdict, which lines of earlier versions do not have. `document` is the whole line, for display.
    """

    kind: str
    at: datetime
    ok: bool
    level: str
    sha256: str | None
    engine: str
    qdrant_version: str
    restore_seconds: float | None
    recorded: Verdict | None = None
    size_bytes: int | None = None
    document: Mapping[str, Any] = field(repr=False)

    @property
    def about_file(self) -> bool:
        """Whether it judges the file, not the live collection, which may change at any time."""
        return self.level != SOURCE

    def confirms(self, changed_at: datetime) -> bool:
        """Return whether it found a file, last changed then, as it was taken.

        A verification records when the file had changed, which is right whatever the clock does.
        """
        if not (self.ok and self.about_file and self.kind in (DRILL, VERIFY)):
            return False
        return self.at >= changed_at or self.document.get("changed_at") == changed_at.isoformat()

    def verdict(self, *, sealed: bool) -> Verdict:
        """Return the verdict for a snapshot that is sealed or not; PROVEN is for sealed ones only.

        A line without a recorded verdict was written when each passed drill counted as proven.
        """
        if not self.ok or self.recorded is Verdict.NOT_PROVEN:
            return Verdict.NOT_PROVEN
        return self.recorded or Verdict.PROVEN if sealed else Verdict.RESTORES

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
            recorded=_verdict(document.get("verdict")),
            size_bytes=_size(document.get("size_bytes")),
            document=document,
        )


def parse_proofs(text: str) -> tuple[Proof, ...]:
    """Return the proofs in a text, oldest first; lines that a crash cut short are ignored."""
    return tuple(proof for line in text.split("\n") if (proof := _parse(line)) is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bytes:
    """What is known of a file's bytes without reading them, and whether they are sealed.

    Without a manifest, `sha256` is None. A proof then counts if the file has the size it had, and
    was last changed before.
    """

    sha256: str | None
    sealed: bool
    size_bytes: int | None = None
    changed_at: datetime | None = None

    def are_of(self, proof: Proof) -> bool:
        """Return whether a proof is about these bytes, as far as that is known."""
        if self.sha256 is not None:
            return proof.sha256 == self.sha256
        if self.changed_at is None or proof.size_bytes is None:
            return False
        return proof.size_bytes == self.size_bytes and self.changed_at <= proof.at


def last_passed_at(
    proofs: Sequence[Proof], of: Bytes, verdicts: Container[Verdict] = PASSED
) -> datetime | None:
    """Return when a drill last ended with one of these verdicts for exactly these bytes, or None.

    A drill or a verification of the file that failed since then undoes it.
    """
    for proof in reversed(proofs):
        if _undoes(proof):
            return None
        if proof.kind == DRILL and of.are_of(proof) and proof.verdict(sealed=of.sealed) in verdicts:
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


def _verdict(value: object) -> Verdict | None:
    """Return a recorded verdict; None for a word that this version does not know."""
    return next((verdict for verdict in Verdict if verdict.value == value), None)


def _size(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


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
