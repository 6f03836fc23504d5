"""The printed CronJobs, run by Docker with the limits that their pods have.

There is no Kubernetes here: `docker run` gets the user, the read-only root, the capabilities, the
mounts, the environment and the arguments of each pod. Scheduling and the network policy are not
tried.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml

from snapshot_tasks.schedule.kubernetes import FILE, cronjobs
from snapshot_tasks.schedule.request import Elsewhere
from tests.e2e.stack import ask_docker
from tests.support.collections import Loader
from tests.support.ports import free_ports
from tests.unit.operations.test_schedule import request_for

KEY = "a key for this test"
COLLECTION = "in a cluster"


@dataclass(frozen=True)
class Cluster:
    """A network with a Qdrant that is called as in Kubernetes, and a volume."""

    network: str
    folder: Path
    image: str
    loader: Loader


@pytest.fixture
def cluster(image: str, tmp_path: Path) -> Iterator[Cluster]:
    """A Qdrant with a key and one collection, on a network of its own."""
    name = f"k8s-{uuid4().hex[:8]}"
    [port] = free_ports(1)
    ask_docker("network", "create", name)
    try:
        ask_docker(
            *("run", "--detach", "--rm", "--name", name, "--network", name),
            *("--network-alias", "qdrant", "--publish", f"127.0.0.1:{port}:6333"),
            *("--env", f"QDRANT__SERVICE__API_KEY={KEY}", "qdrant/qdrant:v1.17.0"),
        )
        loader = Loader(f"http://127.0.0.1:{port}", KEY)
        wait_until_ready(loader)
        loader.plain(COLLECTION, points=200)
        # As a volume is given to fsGroup.
        tmp_path.chmod(0o2775)
        yield Cluster(name, tmp_path, image, loader)
        loader.close()
    finally:
        subprocess.run(("docker", "rm", "--force", name), capture_output=True, check=False)
        ask_docker("network", "rm", name)


def wait_until_ready(loader: Loader) -> None:
    """Wait until Qdrant answers; a container listens later than it starts."""
    until = time.monotonic() + 60
    while True:
        try:
            loader.names()
        except httpx.TransportError:
            assert time.monotonic() < until
            time.sleep(0.2)
        else:
            return


def start(cluster: Cluster, config: dict[str, str], spec: dict[str, Any], *flags: str) -> str:
    """Run a pod as its spec says; a failure raises."""
    limits, [container] = spec["securityContext"], spec["containers"]
    own = container["securityContext"]
    assert own["readOnlyRootFilesystem"]
    assert not own["allowPrivilegeEscalation"]
    words = ["run", *flags, "--network", cluster.network, "--read-only"]
    words += ["--security-opt", "no-new-privileges"]
    words += [f"--cap-drop={name}" for name in own["capabilities"]["drop"]]
    words += ["--user", f"{limits['runAsUser']}:{limits['runAsGroup']}"]
    words += ["--group-add", str(limits["fsGroup"])]
    claimed = {v["name"] for v in spec["volumes"] if "persistentVolumeClaim" in v}
    for mount in container["volumeMounts"]:
        path = mount["mountPath"]
        is_claim = mount["name"] in claimed
        words += ["--volume", f"{cluster.folder}:{path}"] if is_claim else []
        words += [] if is_claim else ["--tmpfs", f"{path}:mode=1777"]
    values = {e["name"]: e.get("value", KEY) for e in container["env"]}
    words += [word for pair in (config | values).items() for word in ("--env", "=".join(pair))]
    return ask_docker(*words, cluster.image, *container["args"])


@pytest.fixture
def pods(cluster: Cluster) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The ConfigMap and the specs of the three pods; the volume has the group of the pods."""
    request = request_for(elsewhere=Elsewhere(collection=COLLECTION))
    documents = list(yaml.safe_load_all(cronjobs(request).files[FILE]))
    config = next(d["data"] for d in documents if d["kind"] == "ConfigMap")
    jobs = [d["spec"]["jobTemplate"]["spec"] for d in documents if d["kind"] == "CronJob"]
    specs = [job["template"]["spec"] for job in jobs]
    as_root = ("--user", "0", "--entrypoint", "chgrp", "--volume", f"{cluster.folder}:/snapshots")
    group = str(specs[0]["securityContext"]["fsGroup"])
    ask_docker("run", "--rm", *as_root, cluster.image, group, "/snapshots")
    return config, specs


@pytest.mark.usefixtures("drill_turn")
def test_the_pods_take_prove_and_check(
    cluster: Cluster, pods: tuple[dict[str, str], list[dict[str, Any]]]
) -> None:
    """Within their limits, in the order of their times, with the key of the Secret."""
    config, specs = pods
    taken, proven, checked = [start(cluster, config, spec, "--rm") for spec in specs]
    assert "sealed" in taken
    assert "PROVEN" in proven
    assert "NOT PROVEN" not in proven
    assert "FAIL" not in checked


@pytest.mark.usefixtures("drill_turn")
def test_a_pod_that_is_told_to_stop_stops(
    cluster: Cluster, pods: tuple[dict[str, str], list[dict[str, Any]]]
) -> None:
    """Its task is process 1, for which the kernel drops signals that nobody handles."""
    config, (create, drill, _) = pods
    start(cluster, config, create, "--rm")
    before = sorted(path.name for path in cluster.folder.glob("*.proofs.jsonl"))
    # Stopped before its first line, it would die of the signal without having begun.
    name = start(cluster, config, drill, "--detach")
    try:
        until = time.monotonic() + 60
        while "checking the file" not in logs(name):
            assert time.monotonic() < until
            time.sleep(0.05)
        began = time.monotonic()
        grace = str(drill["terminationGracePeriodSeconds"])
        ask_docker("stop", "--time", grace, name)
        assert time.monotonic() - began < float(grace) / 2
        assert ask_docker("inspect", "--format", "{{.State.ExitCode}}", name) == "130", logs(name)
    finally:
        ask_docker("rm", "--force", name)
    assert sorted(path.name for path in cluster.folder.glob("*.proofs.jsonl")) == before


def logs(name: str) -> str:
    """Return what a container has written until now, on both outputs."""
    done = subprocess.run(("docker", "logs", name), capture_output=True, text=True, check=True)
    return done.stdout + done.stderr
