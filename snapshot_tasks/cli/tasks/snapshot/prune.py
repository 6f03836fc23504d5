"""`inv snapshot.prune`: delete old snapshots by rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.command import Count, Outcome, Run, Span, command
from snapshot_tasks.cli.console import say, tell
from snapshot_tasks.cli.flags import only_one
from snapshot_tasks.cli.wiring import (
    PLACE_HELP,
    collection_in,
    collection_off_site,
    keys_off_site,
    now,
    open_catalog,
    repositories,
)
from snapshot_tasks.domain.failure import joined

if TYPE_CHECKING:
    from snapshot_tasks.cli.show.plans import Placed, Rewrite
    from snapshot_tasks.domain.failure import Failure
    from snapshot_tasks.domain.retention import Policy
    from snapshot_tasks.offsite.repository import Repository

    # The names of the deleted snapshots, what that freed at once, and the failures.
    Pruned = tuple[Sequence[str], int | None, Sequence[Failure]]


# The flag was not given; 0 is a valid number.
BY_SETTING = Count(-1)


@command(
    "snapshot.prune",
    help={
        "collection": "The collection; can be repeated. Default: QDRANT_COLLECTION_NAME.",
        "all": "All collections.",
        "remote": "Prune the copies off-site instead of the snapshot folder.",
        "from": f"With --remote: the place, {PLACE_HELP}",
        "keep-last": "Keep the newest N; default: QDRANT_KEEP_LAST, with --remote the setting"
        " QDRANT_OFFSITE_KEEP_LAST, and so on.",
        "keep-daily": "Keep the newest of each of the last N days that have a snapshot.",
        "keep-weekly": "The same for weeks, which start on Monday.",
        "keep-monthly": "The same for months.",
        "keep-yearly": "The same for years.",
        "keep-minimum": "Always keep at least N; default: QDRANT_KEEP_MINIMUM.",
        "max-age": "Delete anything older than this, such as 400d, whatever the other rules keep.",
        "dry-run": "Print the plan and change nothing.",
        "yes": "Confirm the plan without asking.",
    },
    watched=True,
    iterable=("collection", "from_"),
)
def prune(
    run: Run,
    collection: list[str] | None = None,
    all: bool = False,
    remote: bool = False,
    from_: list[str] | None = None,
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
    """Delete old snapshots by rules, but never the newest, the newest proven or a pinned one."""
    from snapshot_tasks.operations.prune import check_policy

    only_one(all=all, collection=collection)
    given: dict[str, Any] = {
        "keep_last": keep_last,
        "keep_daily": keep_daily,
        "keep_weekly": keep_weekly,
        "keep_monthly": keep_monthly,
        "keep_yearly": keep_yearly,
        "keep_minimum": keep_minimum,
    }
    rules = {name: count for name, count in given.items() if count != BY_SETTING}
    if span := Span(max_age).value:
        rules["max_age"] = span
    off_site = remote or bool(from_)
    policy = replace(run.settings.keep_offsite if off_site else run.settings.keep, **rules)
    check_policy(policy)
    dry = run.dry or dry_run
    if off_site:
        places = repositories(run, from_)
        if not all:
            collection = collection or [collection_off_site(run, places)]
        names = None if all else list(dict.fromkeys(collection or ()))
        return _prune_off_site(run, places, names, policy, dry=dry, yes=yes)
    if not all:
        collection = collection or [collection_in(run, open_catalog(run))]
    names = None if all else list(dict.fromkeys(collection or ()))
    return _prune_here(run, names, policy, dry=dry, yes=yes)


def _prune_here(
    run: Run, names: list[str] | None, policy: Policy, *, dry: bool, yes: bool
) -> Outcome:
    from snapshot_tasks.cli.show.plans import Placed
    from snapshot_tasks.operations.prune import plan_all, prune_each

    catalog = open_catalog(run)
    plans = plan_all(catalog, names, policy, now=now())

    def work() -> Pruned:
        with catalog.lock("snapshot.prune"):
            pruned = prune_each(plans, catalog, policy, now=now())
        gone = [entry for found in pruned.results for entry in found]
        freed_bytes = sum(entry.size_bytes for entry in gone)
        return [entry.name for entry in gone], freed_bytes, pruned.failures

    shown = [Placed(plan=plan, freed_bytes=plan.freed_bytes) for plan in plans]
    return _carried_out(run, shown, work, dry=dry, yes=yes)


def _prune_off_site(
    run: Run,
    chosen: Sequence[Repository],
    names: list[str] | None,
    policy: Policy,
    *,
    dry: bool,
    yes: bool,
) -> Outcome:
    from snapshot_tasks.cli.show.plans import Placed, Rewrite
    from snapshot_tasks.operations.offsite.listing import CORRECT_URL
    from snapshot_tasks.operations.offsite.prune import plan_places, prune_remote, rewrite_places
    from snapshot_tasks.operations.prune import pinned_names

    pinned, keys = pinned_names(open_catalog(run)), keys_off_site(run)
    planned = plan_places(chosen, names, policy, now=now(), pinned=pinned, keys=keys)
    for sentence in planned.misplaced:
        run.progress.note(f"{sentence} {CORRECT_URL}")

    def work() -> Pruned:
        pruned = prune_remote(planned.plans, policy, run.progress, now=now(), pinned=pinned)
        gone = [one.candidate.name for one in pruned.results]
        anew = rewrite_places(planned, pruned, names, keys, run.progress, now=now())
        return gone, None, (*pruned.failures, *anew.failures, *planned.failures)

    shown = [
        Placed(plan=each.plan, freed_bytes=each.freed_bytes, place=each.repository.url)
        for each in planned.plans
    ]
    rewrites = [
        Rewrite(
            place=url,
            count=len(sparse.packs),
            stored_bytes=sparse.stored_bytes,
            needed_bytes=sparse.needed_bytes,
        )
        for url, sparse in planned.sparse.items()
        if sparse.packs
    ]
    return _carried_out(run, shown, work, rewrites=rewrites, sweeps=True, dry=dry, yes=yes)


def _carried_out(
    run: Run,
    plans: Sequence[Placed],
    work: Callable[[], Pruned],
    *,
    rewrites: Sequence[Rewrite] = (),
    sweeps: bool = False,
    dry: bool,
    yes: bool,
) -> Outcome:
    """Show the plans, ask, and carry them out; the plans are shown once, before deletions."""
    from snapshot_tasks.cli.show.plans import pruned_json, render_dropped, render_plans
    from snapshot_tasks.system.units import counted

    count = sum(len(placed.plan.dropped) for placed in plans)
    if dry or not (count or rewrites):
        # Off-site, what nobody has needed for a week goes also if no snapshot does.
        failures = () if dry or not sweeps else work()[2]
        return Outcome(
            result=pruned_json(plans, failures=failures, rewrites=rewrites, dry=dry),
            render=lambda: render_plans(plans, tell, rewrites),
            error=joined(failures),
        )
    # With --json, the plan is in the document, and a question would end without an answer.
    if not run.json:
        render_plans(plans, tell if yes else say, rewrites)
    packs = sum(rewrite.count for rewrite in rewrites)
    anew = f" and writes {counted(packs, 'pack')} anew" if packs else ""
    run.consent(f"This deletes {counted(count, 'snapshot')}{anew}.", yes=yes)
    gone, freed_bytes, failures = work()
    return Outcome(
        result=pruned_json(plans, gone, failures, rewrites=rewrites),
        render=lambda: render_dropped(len(gone), freed_bytes),
        error=joined(failures),
    )
