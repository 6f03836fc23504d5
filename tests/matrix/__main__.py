"""`inv faults`: inject every fault, round after round, and report what it cost."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from snapshot_tasks.domain.versions import DEFAULT_VERSION
from tests.integration.conftest import own_stack
from tests.matrix import cluster_faults
from tests.matrix.cluster_world import ClusterWorld, new_cluster_world
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
    return _run(world, FAULTS, rounds, lambda name, number: inject(world, name))


def run_cluster(world: ClusterWorld, rounds: int) -> dict[str, Cost]:
    """The same for the faults of a cluster."""
    return _run(
        world,
        cluster_faults.FAULTS,
        rounds,
        lambda name, number: cluster_faults.inject(world, name, number),
    )


def _run(
    world: World | ClusterWorld,
    names: Iterable[str],
    rounds: int,
    inject_round: Callable[[str, int], None],
) -> dict[str, Cost]:
    costs = {name: Cost() for name in names}
    for name, cost in costs.items():
        for number in range(rounds):
            print(f"{name}: {number + 1} of {rounds}", file=sys.stderr, flush=True)
            inject_round(name, number)
            world.settle()
            world.judge(cost, name)
    return costs


def as_markdown(costs: dict[str, Cost], of_cluster: dict[str, Cost], seed: int) -> str:
    """Return the page: both tables, each with a line for everything that is not zero."""
    rounds = _rounds(costs)
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
            *_table(costs),
            *cluster_section(of_cluster),
        )
    )


def cluster_section(costs: dict[str, Cost]) -> Iterator[str]:
    """Yield the lines about a cluster."""
    yield from (
        "## On three nodes",
        "",
        "The same for a cluster of three nodes whose collection has two replicas of each shard, in",
        f"{_rounds(costs)} rounds. Each is at the next of the moments of its kind: asking for the",
        "views, making a copy of a shard, downloading, deleting copies, streaming; or creating the",
        "collection, its keys, uploading, settling, comparing. Every node is looked at afterwards.",
        "Copies that Qdrant no longer deletes, because their shard was moved or their collection",
        "deleted, are named by the run with their node and path, and then deleted by hand.",
        "",
    )
    yield from _table(costs)


def _rounds(costs: dict[str, Cost]) -> int:
    return sum(cost.rounds for cost in costs.values())


def _table(costs: dict[str, Cost]) -> Iterator[str]:
    rows = [
        (name, str(cost.rounds), *(str(len(part)) for part in (cost.lost, cost.leaked, cost.left)))
        for name, cost in costs.items()
    ]
    for row in (COLUMNS, tuple("---" for _ in COLUMNS), *rows):
        yield f"| {' | '.join(row)} |"
    yield ""
    for cost in costs.values():
        yield from (f"- {line}" for line in cost.lost + cost.leaked + cost.left)


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
    with (
        tempfile.TemporaryDirectory(prefix="qdrant-faults-") as folder,
        new_cluster_world(Path(folder), given.seed, DEFAULT_VERSION) as cluster,
    ):
        of_cluster = run_cluster(cluster, given.rounds)
    page = as_markdown(costs, of_cluster, given.seed).rstrip() + "\n"
    print(page, end="")
    if given.markdown:
        given.markdown.write_text(page, encoding="utf-8")
    every = (*costs.values(), *of_cluster.values())
    return int(any(cost.lost or cost.leaked or cost.left for cost in every))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
