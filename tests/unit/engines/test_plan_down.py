"""What may be stopped and deleted is Qdrant's alone; everything else stays, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.engines.compose_down import FOLDER_LABEL, DockerState, plan_down
from snapshot_tasks.engines.compose_stack import Stack
from snapshot_tasks.system.errors import Refused

LABELS = {"com.docker.compose.project": "p"}
ANONYMOUS = "a" * 64


def stack(mounts: list[Any], name: str = "db", **rest: Any) -> Stack:
    """Return a stack whose Qdrant service has these volumes."""
    services = {name: {"image": "qdrant/qdrant", "volumes": mounts}}
    document = {"name": "p", "services": services, "volumes": {"storage": None}}
    return Stack(document=document | rest, name=name)


def volume(source: str = "storage", target: str = "/qdrant/storage") -> dict[str, Any]:
    """Return a mount of a named volume."""
    return {"type": "volume", "source": source, "target": target}


def existing(name: str = "p_storage", **rest: Any) -> Mapping[str, Any]:
    """Return Docker's description of a volume."""
    return {name: {"Name": name, "Labels": LABELS} | rest}


def container(*mounts: dict[str, Any], service: str = "db") -> dict[str, Any]:
    """Return Docker's description of a container of this project."""
    labels = LABELS | {"com.docker.compose.service": service}
    return {
        "Id": service,
        "Name": f"/p-{service}-1",
        "Config": {"Labels": labels},
        "Mounts": mounts,
    }


def test_a_volume_of_its_own_is_deleted() -> None:
    """The container is stopped, the volume deleted, and nothing is refused."""
    state = DockerState(containers=(container(),), volumes=existing())
    plan = plan_down(stack([volume()]), state, delete_data=True)
    assert plan.steps == ("stop container p-db-1", "delete volume p_storage")
    assert plan.checked() is plan


@pytest.mark.parametrize(
    ("rest", "described", "why"),
    [
        ({"volumes": {"storage": {"name": "p_storage", "external": True}}}, {}, "external"),
        ({}, {"Options": {"device": "/srv/data"}}, "/srv/data"),
        ({}, {"Labels": {"com.docker.compose.project": "other"}}, "the project other"),
        ({}, {"Labels": None}, "not made by this project"),
    ],
    ids=["external", "device", "foreign project", "explicit name of nobody"],
)
def test_data_that_is_not_qdrants_is_forbidden(
    rest: dict[str, Any], described: dict[str, Any], why: str
) -> None:
    """Each place is named with its reason, and without --volumes nothing is forbidden."""
    state = DockerState(containers=(container(),), volumes=existing(**described))
    plan = plan_down(stack([volume()], **rest), state, delete_data=True)
    assert plan.deletes == ()
    assert why in plan.forbidden[0]
    assert plan_down(stack([volume()], **rest), state, delete_data=False).forbidden == ()


def test_an_explicit_name_is_the_volumes_name() -> None:
    """A volume with `name:` is found by it, and shared data is refused."""
    named = stack([volume()], volumes={"storage": {"name": "data"}})
    state = DockerState(volumes=existing("data"))
    assert plan_down(named, state, delete_data=True).deletes == ("volume data",)
    shared = DockerState(volumes=existing("data"), users={"data": ("the container app",)})
    assert "the container app" in plan_down(named, shared, delete_data=True).forbidden[0]


def test_an_anonymous_volume_keeps_its_container() -> None:
    """A new container would not get it again, so only --volumes removes it."""
    mount = {"Type": "volume", "Name": ANONYMOUS, "Destination": "/qdrant/storage"}
    volumes = existing(ANONYMOUS, Labels={"com.docker.volume.anonymous": ""})
    state = DockerState(containers=(container(mount),), volumes=volumes)
    kept = plan_down(stack([]), state, delete_data=False)
    assert not kept.removed
    assert "not removed" in kept.stops[0]
    deleted = plan_down(stack([]), state, delete_data=True)
    assert (deleted.removed, deleted.deletes) == (True, (f"volume {ANONYMOUS}",))


def test_what_does_not_exist_is_not_deleted() -> None:
    """A stack that never ran, as one whose profile is off: nothing to stop, nothing to delete."""
    assert plan_down(stack([volume()]), DockerState(), delete_data=True).steps == ()


@pytest.mark.parametrize(
    ("mounts", "service"),
    [([{"type": "tmpfs", "target": "/qdrant"}], {}), ([], {"tmpfs": ["/qdrant/storage:size=1g"]})],
)
def test_data_in_memory_is_not_said_to_be_kept(mounts: list[Any], service: dict[str, Any]) -> None:
    """It goes when the container stops, and so says the plan."""
    services = {"db": {"image": "qdrant/qdrant", "volumes": mounts} | service}
    plan = plan_down(
        stack([], services=services), DockerState(containers=(container(),)), delete_data=False
    )
    assert plan.is_in_memory
    assert "data, which is in memory" in plan.steps[-1]


@pytest.mark.parametrize("delete_data", [False, True])
def test_another_project_of_the_same_name_is_left_alone(tmp_path: Path, delete_data: bool) -> None:
    """Two folders `app` share a project name; a folder that is gone is of a project that moved."""
    here, there = tmp_path / "a" / "app", tmp_path / "b" / "app"
    here.mkdir(parents=True)
    started = container()
    started["Config"]["Labels"] = started["Config"]["Labels"] | {FOLDER_LABEL: str(there)}
    state = DockerState(containers=(started,), volumes=existing())
    ours = replace(stack([volume()]), folders=(here,))
    assert not plan_down(ours, state, delete_data=delete_data).elsewhere
    there.mkdir(parents=True)
    with pytest.raises(Refused, match="b/app"):
        plan_down(ours, state, delete_data=delete_data).checked()
    moved = replace(ours, folders=(here, there))
    plan = plan_down(moved, state, delete_data=delete_data)
    assert plan.checked() is plan
