"""`inv snapshot.prune`: delete old snapshots by rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.command import Count, Outcome, Run, Span, command
from snapshot_tasks.cli.console import say, tell
from snapshot_tasks.cli.wiring import (
    PLACE_HELP,
    check_policy,
    failure_json,
    now,
    open_catalog,
    pinned_here,
    repositories,
)
from snapshot_tasks.system.errors import NotFound, SettingsError, TaskError, join_errors

if TYPE_CHECKING:
    from snapshot_tasks.cli.show.plans import Placed
    from snapshot_tasks.domain.retention import Policy
    from snapshot_tasks.offsite.repository import Repository

    # What went, each with its size in bytes, and what could not go.
    Dropped = tuple[list[tuple[str, int]], list[tuple[str, TaskError]]]


# Not given: 0 is a number that may be.
BY_SETTING = Count(-1)


@command(
    "snapshot.prune",
    help={
        "collection": "The collection; may be given several times.",
        "all": "Every collection.",
        "remote": "Off-site, instead of in the snapshot folder.",
        "from": f"Off-site there, {PLACE_HELP}",
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
    """Delete old snapshots by rules; never the newest, the last proven, nor a pinned one."""
    if all and collection:
        raise SettingsError("--all and --collection exclude each other.", hint="Give one of them.")
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
    policy = replace(run.settings.retention, **rules)
    check_policy(policy)
    names = None if all else list(dict.fromkeys(collection or [run.settings.collection]))
    dry = run.dry or dry_run
    if remote or from_:
        return _prune_off_site(run, repositories(run, from_), names, policy, dry=dry, yes=yes)
    return _prune_here(run, names, policy, dry=dry, yes=yes)


def _prune_here(
    run: Run, names: list[str] | None, policy: Policy, *, dry: bool, yes: bool
) -> Outcome:
    from snapshot_tasks.cli.show.plans import Placed
    from snapshot_tasks.operations.prune import plan_prune, prune

    catalog = open_catalog(run)
    if names is None:
        names = sorted({entry.collection for entry in catalog.entries() if entry.collection})
    if not names:
        raise NotFound("There is no snapshot.", hint="Take one with `inv snapshot.create`.")
    plans = [plan_prune(catalog, name, policy, now=now()) for name in names]

    def work() -> Dropped:
        gone: list[tuple[str, int]] = []
        errors: list[tuple[str, TaskError]] = []
        with catalog.lock("snapshot.prune"):
            for plan in plans:
                try:
                    pruned = prune(plan, catalog, policy, now=now())
                except TaskError as error:
                    errors.append((plan.collection, error))
                else:
                    gone += [(entry.name, entry.size_bytes) for entry in pruned]
        return gone, errors

    return _carried_out(run, [Placed(plan=plan) for plan in plans], work, dry=dry, yes=yes)


def _prune_off_site(
    run: Run,
    places: Sequence[Repository],
    names: list[str] | None,
    policy: Policy,
    *,
    dry: bool,
    yes: bool,
) -> Outcome:
    from snapshot_tasks.cli.show.plans import Placed
    from snapshot_tasks.operations.batch import for_each
    from snapshot_tasks.operations.offsite.prune import RemotePlan, plan_remote, prune_remote

    pinned = pinned_here(run)

    def plan_place(repository: Repository) -> list[RemotePlan]:
        plans: list[RemotePlan] = []
        for name in names or (None,):
            plans += plan_remote(repository, policy, collection=name, now=now(), pinned=pinned)
        return plans

    planned = for_each(places, plan_place, name=lambda repository: repository.url)
    plans = [plan for found in planned.results for plan in found]
    if not plans and planned.failures:
        raise planned.failures[0].error
    if not plans:
        raise NotFound("No such snapshot is off-site.", hint="See `inv snapshot.list --remote`.")

    def work() -> Dropped:
        result = prune_remote(plans, policy, run.progress, now=now(), pinned=pinned)
        gone = [(one.candidate.name, one.candidate.size_bytes) for one in result.results]
        failures = [*result.failures, *planned.failures]
        return gone, [(failure.name, failure.error) for failure in failures]

    shown = [Placed(plan=each.plan, place=each.repository.url) for each in plans]
    return _carried_out(run, shown, work, dry=dry, yes=yes)


def _carried_out(
    run: Run, plans: Sequence[Placed], work: Callable[[], Dropped], *, dry: bool, yes: bool
) -> Outcome:
    """Show the plans, ask, and do the work; the plans are shown once, before anything goes."""
    from snapshot_tasks.cli.show.plans import counted, plans_json, render_dropped, render_plans

    count = sum(len(placed.plan.dropped) for placed in plans)
    if dry or count == 0:
        result = {"collections": plans_json(plans), "dropped": [], "failed": [], "dry_run": dry}
        return Outcome(result=result, render=lambda: render_plans(plans, tell))
    # With --json the plan is in the document; what is asked there ends without an answer.
    if not run.json:
        render_plans(plans, tell if yes else say)
    run.consent(f"This deletes {counted(count)}.", yes=yes)
    gone, errors = work()
    result = {
        "collections": plans_json(plans),
        "dropped": [name for name, _ in gone],
        "failed": [failure_json(name, error) for name, error in errors],
        "dry_run": False,
    }
    return Outcome(
        result=result,
        render=lambda: render_dropped([size_bytes for _, size_bytes in gone]),
        error=join_errors(errors),
    )
