"""Pure: when repeating work is due next, given the clock and how it last ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

SUNDAY = datetime(1970, 1, 4, tzinfo=UTC)
FIRST_RETRY = timedelta(minutes=5)
LONGEST_RETRY = timedelta(hours=6)
SLACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """One moment on two clocks: that of the machine, which may jump, and one that only runs."""

    wall: datetime
    elapsed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When work is due: at a time, but after a certain wait even if the clock was set back."""

    wall: datetime
    elapsed: float

    def has_come(self, now: Instant) -> bool:
        """Whether it is time."""
        return now.wall >= self.wall or now.elapsed >= self.elapsed

    def seconds_left(self, now: Instant) -> float:
        """How long to wait at most before looking again."""
        return max(0.0, min((self.wall - now.wall).total_seconds(), self.elapsed - now.elapsed))


@dataclass(frozen=True, slots=True, kw_only=True)
class Turns:
    """The times at which work repeats: every span since `start` after a Sunday 00:00 UTC."""

    every: timedelta
    start: timedelta

    def after(self, moment: datetime) -> datetime:
        """Return the first turn after a moment."""
        first = SUNDAY + self.start
        return first + ((moment - first) // self.every + 1) * self.every

    def first_due(self, succeeded_at: datetime | None, now: Instant) -> Due:
        """Return when work is due after a start: at once if a turn was missed, or it never ran.

        However many turns were missed, they are one. A success in the future means that the clock
        was wrong then or is now; the work waits for its next turn.
        """
        if succeeded_at is None:
            return self._due(now.wall, now)
        return self._due(self.after(min(succeeded_at, now.wall)), now)

    def next_due(self, failures: int, now: Instant) -> Due:
        """Return when work that has just ended is due again.

        After failures in a row it is tried again after a wait, which doubles, or at its next turn.
        """
        turn = self.after(now.wall)
        return self._due(min(turn, now.wall + _wait(failures)) if failures else turn, now)

    def _due(self, wall: datetime, now: Instant) -> Due:
        # With a little slack, so that a small correction of the clock does not run it twice.
        wait = max(wall - now.wall, timedelta(0)) + min(self.every / 2, SLACK)
        return Due(wall=wall, elapsed=now.elapsed + wait.total_seconds())


def _wait(failures: int) -> timedelta:
    doubled: int = 2 ** min(failures - 1, 10)
    return min(FIRST_RETRY * doubled, LONGEST_RETRY)
