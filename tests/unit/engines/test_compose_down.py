"""What `stack.down` may stop and delete."""

from __future__ import annotations

from typing import Any

from snapshot_tasks.engines.compose_down import DockerState, plan_down
from snapshot_tasks.engines.compose_stack import Stack


def mount(name: str, target: str) -> dict[str, Any]:
    """Return a mount of a container, as Docker describes it."""
    return {"Type": "volume", "Name": name, "Destination": target, "RW": True}


def test_the_order_in_which_docker_lists_mounts_is_no_change() -> None:
    """A plan is made again right before it is carried out, and must then be the same one."""
    document: dict[str, Any] = {
        "name": "p",
        "services": {"qdrant": {"image": "qdrant/qdrant:v1.17.0", "volumes": []}},
    }
    mounts = [
        mount("p_storage", "/qdrant/storage"),
        mount("shared_a", "/qdrant/a"),
        mount("shared_b", "/qdrant/b"),
    ]
    plans = [
        plan_down(
            Stack(document=document, name="qdrant"),
            DockerState(
                containers=(
                    {
                        "Id": "1",
                        "Name": "/p-qdrant-1",
                        "Config": {"Labels": {"com.docker.compose.service": "qdrant"}},
                        "Mounts": listed,
                    },
                ),
                volumes={
                    name: {"Labels": {"com.docker.compose.project": project}}
                    for name, project in (("p_storage", "p"), ("shared_a", "q"), ("shared_b", "q"))
                },
            ),
            delete_data=True,
        )
        for listed in (mounts, mounts[::-1])
    ]
    assert plans[0] == plans[1]
    assert plans[0].deletes == ("volume p_storage",)
    assert len(plans[0].stays) == 2
