"""`inv faults`: inject every fault, round after round, and report what it cost."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from snapshot_tasks.domain.versions import DEFAULT_VERSION
from tests.integration.conftest import own_stack
from tests.matrix.faults import FAULTS, inject
from tests.matrix.world import COLLECTION, Cost, World
from tests.support.disks import small_disk

COLUMNS = ("fault", "rounds", "lost", "leaked", "left behind")


@contextmanager
def new_world(folder: Path, seed: int) -> Iterator[World]:
    """Create a project with a live Qdrant and a first snapshot."""
    scratch = folder / "scratch"
    scratch.mkdir()
    # Qdrant's data is on a separate disk, so that a fault can fill it.
    with small_disk(folder / "project" / ".qdrant", size="300m"), own_stack(folder) as inv:
        inv.environment.update(TMPDIR=str(scratch), QDRANT_COLLECTION_NAME=COLLECTION)
        world = World(inv=inv, scratch=scratch, rng=random.Random(seed))
        world.prepare()
        yield world


def run(world: World, rounds: int) -> dict[str, Cost]:
    """Inject each fault the given number of times, and judge the damage after each."""
    costs = {name: Cost() for name in FAULTS}
    for name, cost in costs.items():
        for number in range(rounds):
            print(f"{name}: {number + 1} of {rounds}", file=sys.stderr, flush=True)
            inject(world, name)
            world.settle()
            world.judge(cost, name)
    return costs


def as_markdown(costs: dict[str, Cost], seed: int) -> str:
    """Return the page: the table, and a line for everything that is not zero."""
    rows = [
        (name, str(cost.rounds), *(str(len(part)) for part in (cost.lost, cost.leaked, cost.left)))
        for name, cost in costs.items()
    ]
    rounds = sum(cost.rounds for cost in costs.values())
    wrong = [line for cost in costs.values() for line in cost.lost + cost.leaked + cost.left]
    table = [COLUMNS, tuple("---" for _ in COLUMNS), *rows]
    return "\n".join(
        (
            "# What faults cost",
            "",
            f"`inv faults` wrote this page on {datetime.now(UTC):%Y-%m-%d}: Qdrant",
            f"{DEFAULT_VERSION} as a native process, {rounds} rounds, seed {seed}. Each round",
            "injects one fault into real runs of `inv`, at a random moment if the moment matters.",
            "Then Qdrant is started if necessary, and the next `inv snapshot.create` runs.",
            "",
            "Lost: the latest link does not point to an intact file, a catalogued file differs",
            "from its manifest, or the live collection or its alias has changed. Leaked: a server",
            "copy, an upload or another collection remains in Qdrant. Left behind: a staging or",
            "journal file, a temporary folder or a process remains on this machine.",
            "",
            *(f"| {' | '.join(row)} |" for row in table),
            "",
            *(f"- {line}" for line in wrong),
        )
    )


def main(argv: list[str]) -> int:
    """Run and print; return 1 if anything was lost, leaked or left behind."""
    parser = argparse.ArgumentParser(prog="inv faults")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args(argv)
    with (
        tempfile.TemporaryDirectory(prefix="qdrant-faults-") as folder,
        new_world(Path(folder), given.seed) as world,
    ):
        costs = run(world, given.rounds)
    page = as_markdown(costs, given.seed).rstrip() + "\n"
    print(page, end="")
    if given.markdown:
        given.markdown.write_text(page, encoding="utf-8")
    return int(any(cost.lost or cost.leaked or cost.left for cost in costs.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
