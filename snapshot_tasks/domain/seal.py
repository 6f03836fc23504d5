"""The seal in a manifest: the digest of the fingerprint, and how it was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from snapshot_tasks.domain.fingerprint import Fingerprint

# What read the points: the reader, in process, or a fresh server that restored the file.
READER = "reader"
SERVER = "server"
# The names of these two in older manifests.
_FORMER = {"engine": READER, "scratch": SERVER}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """The seal in a manifest, under the key `fingerprint`.

    In an edited manifest the digest (then it is empty) or the count may be missing; such a seal
    cannot be compared with anything. `document` is the whole object, for display.
    """

    digest: str
    points_count: int | None
    sealed_by: str
    seconds: float
    description: str | None
    document: Mapping[str, Any] = field(repr=False)

    def describing(self, description: str) -> Seal:
        """Return the same seal, which also covers this description of the collection."""
        return Seal.from_json({**self.document, "description": description})

    def as_json(self) -> dict[str, Any]:
        """Return the object as it is stored in the manifest."""
        return dict(self.document)

    @classmethod
    def of(cls, fingerprint: Fingerprint, *, sealed_by: str, seconds: float) -> Seal:
        """Return the seal of a fingerprint that has just been measured."""
        measured = {"sealed_by": sealed_by, "seconds": round(seconds, 3)}
        return cls.from_json(fingerprint.summary() | measured)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Seal:
        """Parse the seal of a manifest, even an incomplete one."""
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
