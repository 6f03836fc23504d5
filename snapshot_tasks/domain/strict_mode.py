"""The limits that a collection's strict mode sets for reading it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be asked at once; None is no limit.

    `points`: of one scroll or search. `searches`: of one batch. `reads`: points or searches a
    minute, so also of one request. `hnsw_ef`: how many points a search may visit.
    """

    points: int | None = None
    searches: int | None = None
    reads: int | None = None
    hnsw_ef: int | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Limits:
        """Return the limits of a collection with this configuration."""
        strict = config.get("strict_mode_config") or {}
        if not strict.get("enabled"):
            return cls()
        return cls(
            points=strict.get("max_query_limit"),
            searches=strict.get("search_max_batchsize"),
            reads=strict.get("read_rate_limit"),
            hnsw_ef=strict.get("search_max_hnsw_ef"),
        )


def within(wanted: int, *limits: int | None) -> int:
    """Return how much may be asked at once, at least 1."""
    return max(1, min([wanted, *(limit for limit in limits if limit)]))
