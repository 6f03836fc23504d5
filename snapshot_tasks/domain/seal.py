"""What a manifest says of its seal: the fingerprint's digest, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from snapshot_tasks.domain.fingerprint import Fingerprint

# What read the points: the reader, in process, or a throw-away server that restored the file.
READER = "reader"
SERVER = "server"
# What older manifests call these two.
_FORMER = {"engine": READER, "scratch": SERVER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The seal that a manifest holds under `fingerprint`.

    A manifest that was edited may have lost the digest (then it is empty) or the count: such a seal
    cannot be compared with anything. `document` is the whole object, for those who show it.
    """

    digest: str
    points_count: int | None
    sealed_by: str
    seconds: float
    description: str | None
    document: Mapping[str, Any] = field(repr=False)

    def describing(self, description: str) -> Seal:
        """Return the same seal, which binds this description of the collection too."""
        return Seal.from_json({**self.document, "description": description})

    def as_json(self) -> dict[str, Any]:
        """Return the object as the manifest holds it."""
        return dict(self.document)

    @classmethod
    def of(cls, fingerprint: Fingerprint, *, sealed_by: str, seconds: float) -> Seal:
        """Return the seal of a fingerprint that was just measured."""
        measured = {"sealed_by": sealed_by, "seconds": round(seconds, 3)}
        return cls.from_json(fingerprint.summary() | measured)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Seal:
        """Return the seal that a manifest holds, also one that lacks something."""
        sealed_by = _text(document.get("sealed_by")) or ""
        return cls(
            digest=_text(document.get("digest")) or "",
            points_count=_count(document.get("points_count")),
            sealed_by=_FORMER.get(sealed_by, sealed_by),
            seconds=_seconds(document.get("seconds")),
            description=_text(document.get("description")),
            document=document,
        )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _count(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
