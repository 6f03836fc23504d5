"""What a policy keeps, and what no policy may delete."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapshot_tasks.domain.retention import Candidate, Decision, Policy, plan_retention

NOW = datetime(2026, 1, 1, 6, 0, tzinfo=UTC)
DAY = timedelta(days=1)
SEVEN_FIVE_TWELVE = Policy(keep_daily=7, keep_weekly=5, keep_monthly=12)


def taken(age_days: float, **facts: object) -> Candidate:
    """Return a snapshot taken the given number of days before now."""
    at = NOW - age_days * DAY
    return Candidate(name=f"c_{at:%Y%m%d_%H%M%S}", created_at=at, size_bytes=1, **facts)  # type: ignore[arg-type]


def decide(
    candidates: Iterable[Candidate], policy: Policy, *, now: datetime
) -> tuple[Decision, ...]:
    """Return the decision for each snapshot."""
    return plan_retention("books", candidates, policy, now=now).decisions


def kept(candidates: Iterable[Candidate], policy: Policy, *, now: datetime = NOW) -> list[str]:
    """Return the days of the kept snapshots, newest first."""
    plan = decide(candidates, policy, now=now)
    return [f"{d.candidate.created_at:%Y-%m-%d}" for d in plan if d.keep]


def reasons(candidates: Iterable[Candidate], policy: Policy) -> dict[str, tuple[str, ...]]:
    """Return the reasons by day."""
    plan = decide(candidates, policy, now=NOW)
    return {f"{d.candidate.created_at:%Y-%m-%d}": d.reasons for d in plan}


def daily(days: int) -> list[Candidate]:
    """Return one snapshot per day."""
    return [taken(age) for age in range(days)]


def test_the_last_ones_stay() -> None:
    """`keep_last` counts from the newest."""
    assert kept(daily(5), Policy(keep_last=2)) == ["2026-01-01", "2025-12-31"]


def test_a_day_keeps_its_newest() -> None:
    """Several snapshots of one day are one for the daily rule."""
    several = [taken(0), taken(0.1), taken(1.0), taken(1.1), taken(2)]
    plan = decide(several, Policy(keep_daily=2), now=NOW)
    assert [d.keep for d in plan] == [True, False, True, False, False]


def test_a_gap_costs_nothing() -> None:
    """A machine that was off for a month keeps its days from before that."""
    assert len(kept([taken(0), *(taken(age) for age in range(40, 50))], Policy(keep_daily=7))) == 7


def test_weeks_begin_on_monday_and_belong_to_one_year() -> None:
    """2025-12-29 to 2026-01-04 is one ISO week, although the year changes."""
    week = [taken(age) for age in (0, 1, 3)]
    before = [taken(4), taken(11)]
    assert kept([*week, *before], Policy(keep_weekly=3)) == [
        "2026-01-01",
        "2025-12-28",
        "2025-12-21",
    ]


def test_several_rules_keep_the_union_and_every_reason_is_told() -> None:
    """One snapshot may be kept by several rules."""
    policy = Policy(keep_last=1, keep_daily=1, keep_monthly=2, keep_yearly=2)
    told = reasons(daily(40), policy)
    assert told["2026-01-01"] == (
        "the newest",
        "last 1",
        "daily 1: 2026-01-01",
        "monthly 1: 2026-01",
        "yearly 1: 2026",
    )
    assert told["2025-12-31"] == ("monthly 2: 2025-12", "yearly 2: 2025")
    assert told["2025-12-30"] == ("no rule keeps it",)


def test_an_age_alone_keeps_what_is_younger() -> None:
    """Without any other rule, the age decides."""
    assert kept(daily(10), Policy(max_age=3 * DAY)) == [
        "2026-01-01",
        "2025-12-31",
        "2025-12-30",
        "2025-12-29",
    ]


def test_an_age_is_stronger_than_the_rules() -> None:
    """`max_age` deletes even what a rule would keep."""
    policy = Policy(keep_monthly=12, max_age=60 * DAY)
    assert kept(daily(365), policy) == ["2026-01-01", "2025-12-31", "2025-11-30"]


def test_an_empty_policy_drops_nothing() -> None:
    """Without rules, everything is kept."""
    assert Policy().is_empty
    assert len(kept(daily(50), Policy())) == 50


def test_the_minimum_is_stronger_than_the_age() -> None:
    """A server that was not backed up for a year keeps its last copies."""
    policy = Policy(keep_minimum=3, max_age=DAY)
    assert len(kept([taken(age) for age in range(300, 310)], policy)) == 3


def test_the_newest_proven_one_stays() -> None:
    """The newest proven snapshot is kept by every policy, because it is known to restore."""
    old = [taken(age) for age in range(1, 20)]
    proven = [taken(30, proven_at=NOW - 29 * DAY), taken(40, proven_at=NOW)]
    assert kept([taken(0), *old, *proven], Policy(keep_last=1)) == ["2026-01-01", "2025-12-02"]


def test_what_is_held_stays_and_says_why() -> None:
    """A pin is stronger than every rule and age."""
    pinned = taken(900, hold="pinned: before the migration")
    policy = Policy(keep_last=1, max_age=DAY)
    assert reasons([taken(0), pinned], policy)["2023-07-16"] == ("pinned: before the migration",)


def test_what_stands_aside_pushes_nothing_out() -> None:
    """If the newest of a day is damaged, the day's intact one is kept; only age deletes it."""
    damaged = taken(0, aside="failed its last test")
    whole, old = taken(0.1), taken(50, aside="failed its last test")
    policy = Policy(keep_last=1, max_age=30 * DAY)
    plan = decide([damaged, whole, old], policy, now=NOW)
    assert [(d.keep, d.reasons[0]) for d in plan] == [
        (True, "failed its last test"),
        (True, "the newest"),
        (False, "older than 30d"),
    ]


def test_the_newest_with_a_manifest_stays_beside_a_newer_file_of_another_tool() -> None:
    """The newest with a manifest stays: the newer one without a manifest was never checked."""
    files = [taken(0, checked=False), taken(1), taken(2)]
    assert kept(files, Policy(keep_last=1)) == ["2026-01-01", "2025-12-31"]


def test_a_future_snapshot_is_the_newest() -> None:
    """After a clock was set back, snapshots that look newer than now are kept."""
    assert kept([taken(-3), taken(0)], Policy(keep_last=1, max_age=DAY)) == ["2026-01-04"]


@pytest.mark.parametrize("hour", [0, 23])
def test_a_day_is_one_in_utc(hour: int) -> None:
    """A moment belongs to the same day in whichever time zone it was written."""
    at = datetime(2025, 12, 31, hour, 30, tzinfo=UTC)
    east = Candidate(name="a", created_at=at.astimezone(tz=None), size_bytes=1)
    assert "daily 1: 2025-12-31" in decide([east], Policy(keep_daily=1), now=NOW)[0].reasons


def test_a_year_of_daily_runs_keeps_exactly_what_the_policy_says() -> None:
    """Pruned after each of 365 runs: 7 days, 5 weeks, 12 months, as if pruned once at the end."""
    start = datetime(2025, 1, 1, 2, 15, tzinfo=UTC)
    folder: list[Candidate] = []
    for day in range(365):
        now = start + day * DAY
        at = now - timedelta(minutes=5)
        folder.append(Candidate(name=f"c_{at:%Y%m%d_%H%M%S}", created_at=at, size_bytes=1))
        plan = decide(folder, SEVEN_FIVE_TWELVE, now=now)
        folder = [d.candidate for d in plan if d.keep]
    assert [f"{c.created_at:%m-%d}" for c in folder] == [
        # The last 7 days, of which 12-28 is also the last of its week.
        *("12-31", "12-30", "12-29", "12-28", "12-27", "12-26", "12-25"),
        # The Sundays of the weeks before, and the last day of each month.
        *("12-21", "12-14", "12-07", "11-30", "10-31", "09-30", "08-31", "07-31"),
        *("06-30", "05-31", "04-30", "03-31", "02-28", "01-31"),
    ]


POLICIES = st.builds(
    Policy,
    keep_last=st.integers(0, 4),
    keep_daily=st.integers(0, 4),
    keep_weekly=st.integers(0, 4),
    keep_monthly=st.integers(0, 4),
    keep_yearly=st.integers(0, 4),
    keep_minimum=st.integers(0, 4),
    max_age=st.none() | st.timedeltas(min_value=DAY, max_value=400 * DAY),
)
AGES = st.floats(-10, 800)
CANDIDATES = st.lists(
    st.builds(
        lambda age, proven, aside, hold: taken(
            age, proven_at=NOW if proven else None, aside=aside, hold=hold
        ),
        AGES,
        st.booleans(),
        st.sampled_from(("", "", "aside")),
        st.sampled_from(("", "", "", "pinned")),
    ),
    max_size=30,
    unique_by=lambda c: c.name,
)


@given(CANDIDATES, POLICIES)
@settings(max_examples=300, deadline=None)
def test_no_policy_drops_what_must_stay(candidates: list[Candidate], policy: Policy) -> None:
    """The newest, newest proven, pinned and minimum stay; a second plan deletes no more."""
    plan = decide(candidates, policy, now=NOW)
    assert sorted(c.name for c in candidates) == sorted(d.candidate.name for d in plan)
    stays = [d.candidate for d in plan if d.keep]
    counted = [d.candidate for d in plan if not d.candidate.aside]
    assert set(counted[: max(1, policy.keep_minimum)]) <= set(stays)
    assert {c for c in candidates if c.hold} <= set(stays)
    assert set([c for c in counted if c.proven_at][:1]) <= set(stays)
    assert bool(stays) == bool(candidates)
    assert all(d.reasons for d in plan)
    assert [c.name for c in stays] == [
        d.candidate.name for d in decide(stays, policy, now=NOW) if d.keep
    ]
