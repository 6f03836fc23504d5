"""One round of every fault of the matrix; `inv faults` does many, and writes docs/faults.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.matrix.__main__ import new_world
from tests.matrix.faults import FAULTS, inject
from tests.matrix.world import Cost, World
from tests.support.disks import need_disks


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A project with a live Qdrant that is used for all faults, one after the other."""
    need_disks()
    with new_world(tmp_path_factory.mktemp("faults"), seed=7) as made:
        yield made


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_nothing(world: World, fault: str) -> None:
    """Nothing is lost, nothing leaks on the server, and nothing is left after the next run."""
    cost = Cost()
    inject(world, fault)
    world.settle()
    world.judge(cost, fault)
    assert (cost.lost, cost.leaked, cost.left) == ([], [], [])
