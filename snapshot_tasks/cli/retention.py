"""`inv snapshot.prune`, `pin` and `unpin`: which snapshots are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.command import Count, Outcome, Run, Span, command
from snapshot_tasks.cli.console import say, tell
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    SNAPSHOT_HELP,
    find_snapshot,
    now,
    open_catalog,
)
from snapshot_tasks.errors import NotFound, SettingsError
from snapshot_tasks.units import size

if TYPE_CHECKING:
    from snapshot_tasks.catalog.snapshot import Snapshot
    from snapshot_tasks.operations.prune import PrunePlan
    from snapshot_tasks.retention import Policy

BY_SETTING = Count(0)


@command(
    "snapshot.prune",
    help={
        "collection": "The collection; may be given several times.",
        "all": "Every catalogued collection.",
        "keep-last": "Keep the newest N; by default QDRANT_KEEP_LAST.",
        "keep-daily": "Keep the newest of each of the last N days that have one.",
        "keep-weekly": "The same for weeks, which begin on Monday.",
        "keep-monthly": "The same for months.",
        "keep-yearly": "The same for years.",
        "keep-minimum": "Never leave fewer than N; by default QDRANT_KEEP_MINIMUM.",
        "max-age": "Drop what is older, such as 400d, whatever those rules keep.",
        "dry-run": "Print the plan and change nothing.",
        "yes": "Agree to the plan beforehand.",
    },
    watched=True,
    iterable=("collection",),
)
def prune(
    run: Run,
    collection: list[str] | None = None,
    all: bool = False,
    keep_last: int = BY_SETTING,
    keep_daily: int = BY_SETTING,
    keep_weekly: int = BY_SETTING,
    keep_monthly: int = BY_SETTING,
    keep_yearly: int = BY_SETTING,
    keep_minimum: int = BY_SETTING,
    max_age: str = Span(),
    dry_run: bool = False,
    yes: bool = False,
) -> Outcome:
    """Delete old snapshots by rules; never the newest, the last proven, nor a pinned one."""
    from snapshot_tasks.operations.prune import plan_prune
    from snapshot_tasks.operations.prune import prune as prune_agreed

    if all and collection:
        raise SettingsError("--all and --collection exclude each other.", hint="Give one of them.")
    given: dict[str, Any] = {
        "keep_last": keep_last,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
        "keep_yearly": keep_yearly,
        "keep_minimum": keep_minimum,
        "max_age": Span(max_age).value,
    }
    policy = replace(run.settings.retention, **{k: v for k, v in given.items() if v})
    check_policy(policy)
    catalog = open_catalog(run)
    names = collection or [run.settings.collection]
    if all:
        names = sorted({entry.collection for entry in catalog.entries() if entry.collection})
    if not names:
        raise NotFound("There is no snapshot.", hint="Take one with `inv snapshot.create`.")
    plans = [plan_prune(catalog, name, policy, now=now()) for name in dict.fromkeys(names)]
    count = sum(len(plan.dropped) for plan in plans)
    if run.dry or dry_run or count == 0:
        result = prune_json(plans, []) | {"dry_run": run.dry or dry_run}
        return Outcome(result=result, render=lambda: _render_plans(plans, tell))
    if not yes:
        _render_plans(plans, say)
    run.consent(f"This deletes {_counted(count)}.", yes=yes)
    with catalog.lock("snapshot.prune"):
        gone = prune_agreed(plans, catalog, policy, now=now())

    def render() -> None:
        if yes:
            _render_plans(plans, tell)
        render_pruned(gone)

    return Outcome(result=prune_json(plans, gone) | {"dry_run": False}, render=render)


@command(
    "snapshot.pin",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "note": "Why it is kept.",
    },
)
def pin(run: Run, snapshot: str = "", collection: str = "", note: str = "") -> Outcome:
    """Keep a snapshot whatever the rules of `snapshot.prune` say."""
    catalog = open_catalog(run)
    found = find_snapshot(run, catalog, snapshot, collection)
    if run.dry:
        return run.would(f"pin {found.name}")
    with catalog.lock("snapshot.pin"):
        found.set_pin(note, now())
    return Outcome(
        result={"snapshot": found.name, "pinned": note},
        render=lambda: tell(f"{found.name} is pinned: no rule drops it."),
    )


@command("snapshot.unpin", help={"snapshot": SNAPSHOT_HELP, "collection": COLLECTION_HELP})
def unpin(run: Run, snapshot: str = "", collection: str = "") -> Outcome:
    """Let the rules of `snapshot.prune` decide on a pinned snapshot again."""
    catalog = open_catalog(run)
    found = find_snapshot(run, catalog, snapshot, collection)
    if run.dry:
        return run.would(f"unpin {found.name}")
    was = found.pin
    with catalog.lock("snapshot.unpin"):
        found.remove_pin()
    text = "was not pinned" if was is None else "is no longer pinned: the rules decide on it"
    return Outcome(
        result={"snapshot": found.name, "pinned": None, "was_pinned": was},
        render=lambda: tell(f"{found.name} {text}."),
    )


def check_policy(policy: Policy) -> None:
    """Insist that some rule says what to keep. Raises `SettingsError` otherwise."""
    if policy.is_empty:
        raise SettingsError(
            "No rule says which snapshots to keep, so none is dropped.",
            hint="Set QDRANT_KEEP_DAILY and its like, or give --keep-daily and its like.",
        )


def prune_json(plans: Sequence[PrunePlan], gone: Sequence[Snapshot]) -> dict[str, Any]:
    """Return the plans, and what went, for `--json`."""
    return {
        "collections": [
            {
                "collection": plan.collection,
                "freed_bytes": plan.freed_bytes,
                "plan": [
                    {
                        "snapshot": decision.candidate.name,
                        "created_at": decision.candidate.created_at.isoformat(),
                        "size_bytes": decision.candidate.size_bytes,
                        "keep": decision.keep,
                        "reasons": list(decision.reasons),
                    }
                    for decision in plan.decisions
                ],
            }
            for plan in plans
        ],
        "dropped": [snapshot.name for snapshot in gone],
    }


def render_pruned(gone: Sequence[Snapshot]) -> None:
    """Print what went."""
    freed = sum(snapshot.size_bytes for snapshot in gone)
    tell(f"Dropped {_counted(len(gone))}, {size(freed)}.")


def _render_plans(plans: Sequence[PrunePlan], line: Callable[[str], None]) -> None:
    for plan in plans:
        line(plan.collection)
        for decision in plan.decisions:
            word = "keep" if decision.keep else "DROP"
            facts = (word, decision.candidate.name, size(decision.candidate.size_bytes))
            line("  ".join((*facts, "; ".join(decision.reasons))))
        line(f"{_counted(len(plan.dropped))} to drop, {size(plan.freed_bytes)}.")


def _counted(count: int) -> str:
    return f"{count} snapshot{'' if count == 1 else 's'}"
