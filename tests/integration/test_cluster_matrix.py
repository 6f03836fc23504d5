"""Rounds of the faults of a cluster in the matrix; `inv faults` writes them to docs/faults.md."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import NEWER, OLDER
from tests.matrix.cluster_faults import FAULTS, QUICK
from tests.matrix.cluster_world import ClusterWorld, new_cluster_world
from tests.matrix.world import Cost
from tests.support.amount import FULL
from tests.support.disks import need_disks

ALL = [(kind, moment) for kind, moments in FAULTS.items() for moment in moments]


@pytest.fixture(scope="module", params=(NEWER, OLDER) if FULL else (NEWER,))
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ClusterWorld]:
    """A project with a live cluster that is used for all faults, one after the other."""
    need_disks()
    folder = tmp_path_factory.mktemp("faults")
    with new_cluster_world(folder, seed=7, version=request.param) as made:
        yield made


@pytest.mark.parametrize(("kind", "moment"), ALL if FULL else QUICK)
def test_a_fault_costs_nothing(cluster: ClusterWorld, kind: str, moment: str) -> None:
    """The run ends as it should; nothing is lost, leaked or left after the next one."""
    cost = Cost()
    FAULTS[kind][moment](cluster)
    cluster.settle()
    cluster.judge(cost, kind)
    assert (cost.lost, cost.leaked, cost.left) == ([], [], [])
