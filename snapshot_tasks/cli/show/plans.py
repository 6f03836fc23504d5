"""A retention plan and its result, as lines and JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from snapshot_tasks.cli.console import tell, wrapped
from snapshot_tasks.domain.failure import Failure
from snapshot_tasks.domain.retention import Plan
from snapshot_tasks.system.units import counted, size


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A plan, what it frees (None if unknown), and its place: None for the snapshot folder."""

    plan: Plan
    freed_bytes: int | None
    place: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """Packs of a place that are written anew, because less than half of them is needed."""

    place: str
    count: int
    stored_bytes: int
    needed_bytes: int

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {
            "place": self.place,
            "packs": self.count,
            "stored_bytes": self.stored_bytes,
            "needed_bytes": self.needed_bytes,
        }


def plans_json(plans: Sequence[Placed]) -> list[dict[str, Any]]:
    """Return plans for `--json`."""
    return [
        {
            "collection": placed.plan.collection,
            "place": placed.place,
            "freed_bytes": placed.freed_bytes,
            "plan": [
                {
                    "snapshot": decision.candidate.name,
                    "created_at": decision.candidate.created_at.isoformat(),
                    "size_bytes": decision.candidate.size_bytes,
                    "keep": decision.keep,
                    "reasons": list(decision.reasons),
                }
                for decision in placed.plan.decisions
            ],
        }
        for placed in plans
    ]


def pruned_json(
    plans: Sequence[Placed],
    dropped: Sequence[str] = (),
    failures: Sequence[Failure] = (),
    *,
    rewrites: Sequence[Rewrite] = (),
    dry: bool = False,
) -> dict[str, Any]:
    """Return plans and their results for `--json`."""
    return {
        "collections": plans_json(plans),
        "rewrites": [rewrite.as_json() for rewrite in rewrites],
        "dropped": list(dropped),
        "failed": [failure.as_json() for failure in failures],
        "dry_run": dry,
    }


def render_plans(
    plans: Sequence[Placed], line: Callable[[str], None], rewrites: Sequence[Rewrite] = ()
) -> None:
    """Print each snapshot with its decision and every reason, and the packs to write anew."""
    for placed in plans:
        plan = placed.plan
        line(f"{plan.collection} in {placed.place}" if placed.place else plan.collection)
        for decision in plan.decisions:
            word = "keep" if decision.keep else "DROP"
            facts = (word, decision.candidate.name, size(decision.candidate.size_bytes))
            said = "  ".join((*facts, "; ".join(decision.reasons)))
            for part in wrapped(said, hang=6):
                line(part)
        line(f"{counted(len(plan.dropped), 'snapshot')} to delete{_frees(placed)}.")
    for each in rewrites:
        line(
            f"{counted(each.count, 'pack')} in {each.place} to write anew, because less than half"
            f" is needed: {size(each.stored_bytes)} become {size(each.needed_bytes)}, a week later."
        )


def _frees(placed: Placed) -> str:
    if placed.place is None and placed.freed_bytes is not None:
        return f", {size(placed.freed_bytes)}"
    if not placed.plan.dropped:
        return ""
    if placed.freed_bytes is None:
        return "; how much that frees is unknown, because a marker there cannot be read"
    return f", which frees {size(placed.freed_bytes)} that no other needs; packs go a week later"


def render_dropped(count: int, freed_bytes: int | None = None) -> None:
    """Print how much was deleted."""
    freed = "" if freed_bytes is None else f", {size(freed_bytes)}"
    tell(f"Deleted {counted(count, 'snapshot')}{freed}.")
