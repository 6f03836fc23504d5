"""Decides which tests run side by side and in which order, and says so before they start.

A file is a chain: its tests run one after the other in one worker. The exceptions are `SHARED`,
files that look at the whole machine and together form one chain, and `ALONE`, whose tests are long
and independent of each other. The longest chains start first, according to tests/durations.json.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).resolve().parents[1]
DURATIONS = TESTS / "durations.json"
# Drills with Docker: each test asks Docker or the doctor for leftovers of any drill on this
# machine.
SHARED = {
    f"tests/e2e/{name}.py": "tests/e2e: drills"
    for name in (
        "test_cluster_drill",
        "test_drill",
        "test_drill_interrupted",
        "test_hostile_compose",
    )
}
ALONE = (
    "tests/e2e/test_shapes.py",
    "tests/integration/test_bench.py",
    "tests/integration/test_faults.py",
    "tests/integration/test_rounds.py",
    "tests/integration/test_selftest.py",
    "tests/property/test_bombs.py",
)
# For a file that has not been measured. One with servers starts early: a long one that came last
# would be waited for alone. Unit tests that take less are not saved.
UNKNOWN_SECONDS = 60.0
UNIT_SECONDS = 1.0
UNIT = "tests/unit/"


def chain_of(nodeid: str) -> str:
    """Return the chain that a test belongs to, which one worker runs."""
    file = nodeid.partition("::")[0]
    return nodeid if file in ALONE else SHARED.get(file, file)


def measured() -> dict[str, float]:
    """Return how many seconds each file, or each test of its own chain, took."""
    seconds: dict[str, float] = json.loads(DURATIONS.read_text(encoding="utf-8"))
    return seconds


class Plan:
    """The plugin that orders, counts and measures the tests of a run."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._measured = measured()
        self._taken: defaultdict[str, float] = defaultdict(float)
        self._is_worker = hasattr(config, "workerinput")
        self._said = False

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out the tests of other parts, and put long chains first."""
        chains = {chain_of(item.nodeid) for item in items}
        if part := os.environ.get("TESTS_PART"):
            chains = set(self._part(chains, part))
            others = [item for item in items if chain_of(item.nodeid) not in chains]
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if chain_of(item.nodeid) in chains]
        items.sort(key=lambda item: -self._seconds(chain_of(item.nodeid)))

    def _seconds(self, chain: str) -> float:
        unknown = UNIT_SECONDS if chain.startswith(UNIT) else UNKNOWN_SECONDS
        return self._measured.get(chain, unknown)

    def _part(self, chains: Iterable[str], part: str) -> list[str]:
        """Return the chains of one part, such as `1/2`; all parts take about the same time."""
        number, count = map(int, part.split("/"))
        parts: list[list[str]] = [[] for _ in range(count)]
        for chain in sorted(chains, key=lambda c: (-self._seconds(c), c)):
            min(parts, key=lambda p: sum(map(self._seconds, p))).append(chain)
        return parts[number - 1]

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Any:
        """Give a whole chain to one worker."""
        from xdist.scheduler import LoadScopeScheduling

        class Chains(LoadScopeScheduling):  # type: ignore[misc]
            def _split_scope(self, nodeid: str) -> str:
                return chain_of(nodeid)

        config.option.loadscopereorder = False
        return Chains(config, log)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: Sequence[str]) -> None:
        """Print what all workers will run, as soon as the first of them knows it."""
        self._say(ids, int(self._config.option.numprocesses))

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Print what will be run if there are no workers."""
        if not self._is_worker and session.items:
            self._say([item.nodeid for item in session.items], 1)

    def _say(self, ids: Sequence[str], workers: int) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if self._said or not reporter or len(ids) < 2:
            return
        self._said = True
        folders = Counter(nodeid.split("/")[1] for nodeid in ids)
        parts = ", ".join(f"{name} {count:,}" for name, count in sorted(folders.items()))
        seconds = [self._seconds(chain) for chain in {chain_of(nodeid) for nodeid in ids}]
        minutes = max(sum(seconds) / workers, *seconds, 0.0) / 60
        reporter.ensure_newline()
        reporter.write_line(
            f"{len(ids):,} cases ({parts}), {workers} at a time, about {minutes:.0f} min."
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up the time of each chain."""
        self._taken[chain_of(report.nodeid)] += report.duration

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Save the measured times if that is wanted, unless the run was interrupted."""
        if self._is_worker or exitstatus > 1 or not os.environ.get("TESTS_MEASURE"):
            return
        known = self._measured | {name: round(taken, 1) for name, taken in self._taken.items()}
        kept = {n: s for n, s in known.items() if _exists(n) and not _is_short_unit(n, s)}
        DURATIONS.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _is_short_unit(chain: str, seconds: float) -> bool:
    return chain.startswith(UNIT) and seconds < UNIT_SECONDS


def _exists(chain: str) -> bool:
    path = chain.partition("::")[0]
    return chain in SHARED.values() or (TESTS.parent / path).exists()
