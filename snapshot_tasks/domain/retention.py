"""Decides which snapshots to keep: turns a policy into a plan that gives its reasons.

Pure: no clock, no disk, no network. The same rules apply in the snapshot folder and off-site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from snapshot_tasks.system.spans import format_span

# The periods of which a rule keeps one snapshot each: day, week, month or year, all in UTC.
PERIODS: dict[str, Callable[[datetime], str]] = {
    "daily": lambda at: f"{at:%Y-%m-%d}",
    "weekly": lambda at: f"{at:%G-W%V}",
    "monthly": lambda at: f"{at:%Y-%m}",
    "yearly": lambda at: f"{at:%Y}",
}
# The reasons to set a snapshot aside, both here and off-site.
REPLACED = "safety snapshot of a replaced collection"
FAILED = "failed its last test: check it"
Reason = tuple["Candidate", str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How many snapshots to keep of each collection. 0 means that there is no such rule.

    `keep_daily=7` keeps the newest snapshot of each of the last 7 days that have one, and so on.
    `max_age` deletes older snapshots even if those rules keep them. The newest `keep_minimum` are
    always kept.
    """

    keep_last: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    keep_minimum: int = 1
    max_age: timedelta | None = None

    @property
    def periods(self) -> dict[str, int]:
        """How many periods of each kind keep a snapshot."""
        return {name: getattr(self, f"keep_{name}") for name in PERIODS}

    @property
    def has_rules(self) -> bool:
        """Whether there is a rule besides the maximum age."""
        return self.keep_last > 0 or any(self.periods.values())

    @property
    def is_empty(self) -> bool:
        """Whether nothing is ever deleted."""
        return not self.has_rules and self.max_age is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What retention knows of one snapshot.

    Those of one moment with the same `sha256` are copies, and count as one. A `checked` one has a
    manifest. One set `aside`, for the given reason, counts for no rule, so it displaces no other
    snapshot; only its age can delete it. One on `hold`, for the given reason, is never deleted.
    """

    name: str
    created_at: datetime
    size_bytes: int
    proven_at: datetime | None = None
    restored_at: datetime | None = None
    sha256: str | None = None
    checked: bool = True
    aside: str = ""
    hold: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One line of a plan: whether to keep or delete a snapshot, and every reason for it."""

    candidate: Candidate
    keep: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The snapshots to keep and to delete of one collection, newest first."""

    collection: str
    decisions: tuple[Decision, ...]

    @property
    def dropped(self) -> tuple[Candidate, ...]:
        """The snapshots to delete."""
        return tuple(d.candidate for d in self.decisions if not d.keep)

    @property
    def freed_bytes(self) -> int:
        """The total size of the snapshots to delete, in bytes."""
        return sum(candidate.size_bytes for candidate in self.dropped)


def plan_retention(
    collection: str, candidates: Iterable[Candidate], policy: Policy, *, now: datetime
) -> Plan:
    """Decide on the snapshots of one collection.

    Every policy keeps the newest snapshot, the newest proven one (without one, the newest that
    restores), and those on hold; an empty policy keeps all. A rule by period
    only counts periods that have a snapshot, so a machine that was off for a month loses nothing.
    """
    newest_first = sorted(candidates, key=lambda c: (c.created_at, c.name), reverse=True)
    reasons: dict[str, list[str]] = {candidate.name: [] for candidate in newest_first}
    copies = _copies(newest_first)
    counted = [c for c in newest_first if c.name not in copies]
    for candidate, reason in (*_always(counted, policy), *_ruled(counted, policy, now)):
        reasons[candidate.name].append(reason)
    for candidate in newest_first:
        if original := copies.get(candidate.name):
            same = [f"the same bytes as {original}"] if reasons[original] else []
            reasons[candidate.name] += [*same, *([candidate.hold] if candidate.hold else [])]
    decisions = tuple(
        Decision(
            candidate=candidate,
            keep=bool(reasons[candidate.name]),
            reasons=tuple(reasons[candidate.name]) or (_why_dropped(candidate, policy, now),),
        )
        for candidate in newest_first
    )
    return Plan(collection=collection, decisions=decisions)


def _copies(newest_first: Sequence[Candidate]) -> dict[str, str]:
    """Return the snapshots that are copies of another one, each with that one's name.

    They have the same bytes and were taken at the same moment; two snapshots of an idle collection
    are none. A copy takes no place of a rule, and stays and goes with the best of them, which does.
    """
    best: dict[tuple[str, datetime], Candidate] = {}
    for candidate in sorted(newest_first, key=lambda c: (bool(c.aside), not c.proven_at)):
        if candidate.sha256:
            best.setdefault((candidate.sha256, candidate.created_at), candidate)
    originals = {c.name: best[c.sha256, c.created_at].name for c in newest_first if c.sha256}
    return {name: original for name, original in originals.items() if name != original}


def _always(newest_first: Sequence[Candidate], policy: Policy) -> Iterator[Reason]:
    """Yield the snapshots that stay under any rules."""
    counted = [c for c in newest_first if not c.aside] or newest_first
    yield from ((c, "the newest") for c in counted[:1])
    checked = next((c for c in counted if c.checked), None)
    if checked and checked != counted[0]:
        yield checked, "the newest with a manifest"
    proven = [(c, "the newest proven one") for c in counted if c.proven_at]
    restoring = [(c, "the newest that restores") for c in counted if c.restored_at]
    yield from (proven or restoring)[:1]
    minimum = counted[1 : policy.keep_minimum]
    yield from ((c, f"one of the {policy.keep_minimum} that are always kept") for c in minimum)
    yield from ((c, c.hold) for c in newest_first if c.hold)


def _ruled(newest_first: Sequence[Candidate], policy: Policy, now: datetime) -> Iterator[Reason]:
    """Yield the snapshots that the rules keep, once for each rule that keeps them."""
    young = [c for c in newest_first if not _is_too_old(c, policy, now)]
    yield from ((c, c.aside) for c in young if c.aside)
    counted = [c for c in young if not c.aside]
    if not policy.has_rules:
        why = f"younger than {format_span(policy.max_age)}" if policy.max_age else "no rule is set"
        yield from ((c, why) for c in counted)
    yield from ((c, f"last {n}") for n, c in enumerate(counted[: policy.keep_last], 1))
    for name, count in policy.periods.items():
        newest_of = _newest_of_each(counted, PERIODS[name])
        for number, (period, candidate) in enumerate(newest_of[:count], 1):
            yield candidate, f"{name} {number}: {period}"


def _newest_of_each(
    newest_first: Sequence[Candidate], period: Callable[[datetime], str]
) -> list[tuple[str, Candidate]]:
    """Return each period that has a snapshot, with its newest one, the newest period first."""
    newest: dict[str, Candidate] = {}
    for candidate in newest_first:
        newest.setdefault(period(candidate.created_at.astimezone(UTC)), candidate)
    return list(newest.items())


def _is_too_old(candidate: Candidate, policy: Policy, now: datetime) -> bool:
    return policy.max_age is not None and now - candidate.created_at > policy.max_age


def _why_dropped(candidate: Candidate, policy: Policy, now: datetime) -> str:
    if policy.max_age is not None and _is_too_old(candidate, policy, now):
        return f"older than {format_span(policy.max_age)}"
    return "no rule keeps it"
