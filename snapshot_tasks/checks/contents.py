"""Do the contents match the seal, and do they look plausible?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snapshot_tasks.domain.findings import Concern, Finding, Status
from snapshot_tasks.domain.fingerprint import PAYLOAD_NAME, Fingerprint, Name, Sealed

MAX_DROP_SHARE = 0.1


def check_contents(sealed: Sealed, found: Fingerprint) -> Finding:
    """Every point has the id, payload and vectors that were sealed, bit for bit."""
    if sealed.digest == found.digest:
        message = f"{found.points_count:,} points identical, fingerprint {found.digest[:16]}"
        return Finding(check="contents", status=Status.OK, message=message)
    parts = [
        f"{describe(difference.name)} differs in {len(difference.buckets):,} of 4,096 buckets"
        for difference in (sealed.buckets.differences(found) if sealed.buckets else ())
    ]
    where = "; ".join(parts) or "the location is unknown, because the sealed buckets are missing"
    message = f"sealed {sealed.points_count:,} points, found {found.points_count:,}: {where}"
    return Finding(check="contents", status=Status.FAIL, message=message, concern=Concern.POINTS)


def describe(name: Name) -> str:
    """Return a component in words."""
    kind, text = name
    if name == PAYLOAD_NAME:
        return kind
    return f"{kind} {text}" if text else f"the unnamed {kind}"


def check_sanity(
    sanity: Mapping[str, Any],
    points_count: int,
    previous: Mapping[str, Any] | None,
    previous_count: int | None,
    *,
    max_drop: float = MAX_DROP_SHARE,
) -> Iterator[Finding]:
    """Warn about anything suspicious, mostly compared with the collection's previous snapshot."""
    before: Mapping[str, Any] = previous or {}
    for key, words in (("zero_vectors", "are all zeros"), ("nan_vectors", "contain NaN")):
        for name, count in sanity[key].items():
            if count and count > before.get(key, {}).get(name, 0):
                yield _warn(f"{count:,} vectors ({name or 'unnamed'}) {words}")
    if sanity["without_vector"] > before.get("without_vector", 0):
        yield _warn(f"{sanity['without_vector']:,} points have no vector")
    gone = sorted(set(before.get("payload_keys", {})) - set(sanity["payload_keys"]))
    if gone:
        yield _warn(f"payload keys missing since the previous snapshot: {', '.join(gone)}")
    if previous_count and points_count < previous_count * (1 - max_drop):
        yield _warn(f"{points_count:,} points; the previous snapshot had {previous_count:,}")


def _warn(message: str) -> Finding:
    return Finding(check="sanity", status=Status.WARN, message=message)
