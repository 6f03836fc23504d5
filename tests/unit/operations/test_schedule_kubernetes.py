"""The CronJobs as Kubernetes reads them: its own schemas, what they may do, and what they say."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from snapshot_tasks.cli.namespace import namespace
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.schedule.kubernetes import FILE, cronjobs
from snapshot_tasks.schedule.request import Command, Elsewhere, Request
from snapshot_tasks.system.errors import SettingsError
from tests.conftest import ROOT
from tests.unit.operations.test_schedule import request_for

Document = dict[str, Any]
# The oldest one with time zones in CronJobs, and the newest one known to the schemas.
VERSIONS = ("1.27", kubernetes_validate.latest_version())
EVERYTHING = request_for(
    all=True,
    push=True,
    retention=Policy(keep_daily=7, max_age=timedelta(days=90)),
    store_names=("AWS_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY"),
    recipients=("age1one", "age1two"),
    elsewhere=Elsewhere(
        url="https://qdrant.vectors.svc.cluster.local:6333",
        collection="ünïcode 😀 'x' \"y\": #",
        offsite_urls=("s3://bucket/prefix", "/mnt/disk"),
        store_settings={"AWS_ENDPOINT_URL": "https://minio.example:9000"},
        secrets=("QDRANT_PING_URL",),
        image="registry.example/qdrant-snapshots:1",
    ),
)
REQUESTS = (request_for(), request_for("5min", "23:59", "7d"), EVERYTHING)


def documents(request: Request) -> list[Document]:
    """Return what was written, by an independent reader."""
    return list(yaml.safe_load_all(cronjobs(request).files[FILE]))


def one(request: Request, kind: str) -> Document:
    """Return the only document of a kind."""
    [found] = [document for document in documents(request) if document["kind"] == kind]
    return found


def jobs(request: Request) -> dict[str, Document]:
    """Return the specs of the CronJobs by name."""
    found = [document for document in documents(request) if document["kind"] == "CronJob"]
    return {document["metadata"]["name"]: document["spec"] for document in found}


def pod(job: Document) -> Document:
    """Return the spec of the pods of a CronJob."""
    spec: Document = job["jobTemplate"]["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("request_", REQUESTS)
def test_kubernetes_accepts_every_document(request_: Request, version: str) -> None:
    """By the schemas of its own API, strictly: an unknown or misspelt field is an error."""
    read = documents(request_)
    kinds = ["ConfigMap", "PersistentVolumeClaim", "NetworkPolicy", *["CronJob"] * 3]
    assert [document["kind"] for document in read] == kinds
    for document in read:
        kubernetes_validate.validate(document, version, strict=True)


def test_the_schemas_can_refuse() -> None:
    """So that the test above means something: a field in the wrong place is found."""
    job = next(document for document in documents(request_for()) if document["kind"] == "CronJob")
    pod(job["spec"])["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("request_", REQUESTS)
def test_pods_meet_the_restricted_standard(request_: Request) -> None:
    """Every rule of the restricted Pod Security Standard, a read-only root, and no API token."""
    for job in jobs(request_).values():
        spec = pod(job)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(spec)
        [container] = spec["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        kinds = {key for volume in spec["volumes"] for key in volume} - {"name"}
        assert kinds == {"persistentVolumeClaim", "emptyDir"}
        assert {"requests", "limits"} <= set(container["resources"])


def test_what_a_pod_writes_to_is_mounted() -> None:
    """The image writes to its snapshot folder and to TMPDIR, and nowhere else."""
    image = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    [folder] = re.findall(r"QDRANT_SNAPSHOT_DIR=(\S+)", image)
    [user] = re.findall(r"^USER (\d+):", image, re.MULTILINE)
    for job in jobs(request_for()).values():
        spec = pod(job)
        [container] = spec["containers"]
        [temporary] = [e["value"] for e in container["env"] if e["name"] == "TMPDIR"]
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts.keys() == {folder, temporary}
        [scratch] = [v for v in spec["volumes"] if v["name"] == mounts[temporary]]
        assert scratch["emptyDir"]["sizeLimit"]
        assert spec["securityContext"]["runAsUser"] == int(user)


@pytest.mark.parametrize("every", ["5min", "6h", "24h", "7d"])
def test_runs_are_those_of_the_crontab_in_utc(every: str) -> None:
    """At the same times, never two at once; a missed run starts late but never twice."""
    request = request_for(every)
    found = jobs(request)
    assert {name: job["schedule"] for name, job in found.items()} == {
        "qdrant-snapshot": request.creates.cron,
        "qdrant-snapshot-drill": request.drills.cron,
        "qdrant-snapshot-check": request.checks.cron,
    }
    for job in found.values():
        assert (job["timeZone"], job["concurrencyPolicy"]) == ("Etc/UTC", "Forbid")
        assert job["startingDeadlineSeconds"] == request.every.total_seconds()
        assert job["jobTemplate"]["spec"]["activeDeadlineSeconds"] == request.limit_seconds
        assert job["jobTemplate"]["spec"]["backoffLimit"] == 0


def test_every_task_and_flag_is_one_whatever_the_project_calls_it() -> None:
    """In the image, tasks have their own names; `inv qdrant.…` exists only in that project."""
    named = Command(argv=("inv",), name="inv", names={"snapshot.create": "qdrant.snapshot.create"})
    request = request_for(all=True, push=True, retention=Policy(keep_last=3), command=named)
    calls = {name: pod(job)["containers"][0]["args"] for name, job in jobs(request).items()}
    assert {name: " ".join(words) for name, words in calls.items()} == {
        "qdrant-snapshot": "snapshot.create --all --prune snapshot.push --all --prune",
        "qdrant-snapshot-drill": "snapshot.test-restore --all",
        "qdrant-snapshot-check": "snapshot.check --all --max-age 26h --max-proof-age 8d",
    }
    for words in calls.values():
        task = ""
        for word in words:
            if not word.startswith("snapshot."):
                flags = {name for a in namespace[task].get_arguments() for name in a.names}
                assert not word.startswith("--") or word[2:] in flags
            task = word if word.startswith("snapshot.") else task


def test_settings_are_written_and_secrets_only_named() -> None:
    """Values of secrets come from a Secret that is not in the file; a key may be missing."""
    assert one(EVERYTHING, "ConfigMap")["data"] == {
        "QDRANT_URL": "https://qdrant.vectors.svc.cluster.local:6333",
        "QDRANT_KEEP_DAILY": "7",
        "QDRANT_KEEP_MAX_AGE": "90d",
        "QDRANT_KEEP_MINIMUM": "1",
        "QDRANT_OFFSITE_URL": "s3://bucket/prefix",
        "QDRANT_AGE_RECIPIENTS": "age1one,age1two",
        "AWS_ENDPOINT_URL": "https://minio.example:9000",
    }
    for job in jobs(EVERYTHING).values():
        environment = pod(job)["containers"][0]["env"]
        references = [e["valueFrom"]["secretKeyRef"] for e in environment if "valueFrom" in e]
        assert {r["name"] for r in references} == {"qdrant-snapshot"}
        assert {r["key"]: r.get("optional", False) for r in references} == {
            "QDRANT_API_KEY": True,
            "QDRANT_PING_URL": False,
            "AWS_SECRET_ACCESS_KEY": False,
        }


@pytest.mark.parametrize("name", ["ünïcode 😀 'x' \"y\": # {a} %d $(X)", "yes", "0123", "null"])
def test_a_collection_arrives_as_it_is_called(name: str) -> None:
    """Whatever YAML makes of it unquoted."""
    request = request_for(elsewhere=Elsewhere(collection=name))
    assert one(request, "ConfigMap")["data"]["QDRANT_COLLECTION_NAME"] == name


@pytest.mark.parametrize("name", ["a\nb", "a\u2028b", "a\x85b", "\udcff"])
def test_what_would_end_a_line_is_refused(name: str) -> None:
    """YAML takes more characters as line breaks than JSON does."""
    for elsewhere in (Elsewhere(collection=name), Elsewhere(image=name)):
        with pytest.raises(SettingsError, match="cannot contain") as refused:
            cronjobs(request_for(elsewhere=elsewhere))
        assert refused.value.message.isprintable()


@pytest.mark.parametrize(
    ("url", "reached", "allowed", "peer"),
    [
        ("http://localhost:7000", "http://qdrant:6333", "qdrant", True),
        ("http://vectors:6333", "http://vectors:6333", "vectors", True),
        ("http://q.ns.svc:6333", "http://q.ns.svc:6333", "q.ns.svc", True),
        ("http://10.0.0.7:6333", "http://10.0.0.7:6333", None, False),
        ("https://x.cloud.example", "https://x.cloud.example", None, False),
    ],
)
def test_the_url_is_one_that_a_pod_reaches(
    url: str, reached: str, allowed: str | None, peer: bool
) -> None:
    """Localhost would be the pod; only a service of the cluster gets the key over plain HTTP."""
    request = request_for(elsewhere=Elsewhere(url=url))
    data = one(request, "ConfigMap")["data"]
    assert data["QDRANT_URL"] == reached
    assert data.get("QDRANT_ALLOW_PLAINTEXT_KEY") == allowed
    rule = one(request, "NetworkPolicy")["spec"]["egress"][1]
    assert ("to" in rule) is peer


@pytest.mark.parametrize("host", ["q-0.q", "localhost"])
def test_a_pod_knows_the_nodes_of_a_cluster(host: str) -> None:
    """Not those at the ports that this machine forwards, where a pod would find nothing."""
    nodes = (f"http://{host}:6333", "http://q-1.q:6333")
    data = one(request_for(elsewhere=Elsewhere(cluster_urls=nodes)), "ConfigMap")["data"]
    assert data.get("QDRANT_CLUSTER_URLS") == (",".join(nodes) if host == "q-0.q" else None)


@pytest.mark.parametrize(("host", "told"), [("q-0.q", False), ("localhost", True)])
def test_each_node_may_get_the_key(host: str, told: bool) -> None:
    """Over plain HTTP inside the cluster; and it is said if the nodes are known by other URLs."""
    nodes = (f"http://{host}:6333", "http://q-1.q:6333")
    request = request_for(elsewhere=Elsewhere(cluster_urls=nodes))
    allowed = one(request, "ConfigMap")["data"]["QDRANT_ALLOW_PLAINTEXT_KEY"].split(",")
    assert allowed == ["qdrant", *([] if told else [host]), "q-1.q"]
    assert ("QDRANT_CLUSTER_URLS" in cronjobs(request).install[0]) is told


def test_the_network_lets_out_to_every_node() -> None:
    """A node may have another port than the entry point."""
    nodes = ("http://q-0.q:6333", "http://q-1.q:7333")
    rule = one(request_for(elsewhere=Elsewhere(cluster_urls=nodes)), "NetworkPolicy")
    assert [p["port"] for p in rule["spec"]["egress"][1]["ports"]] == [6333, 6334, 7333]


def test_the_network_lets_out_what_is_needed_and_nothing_in() -> None:
    """Names, Qdrant with its two ports, and with copies or alarms what they are sent to."""
    plain = one(request_for(), "NetworkPolicy")["spec"]
    assert (plain["policyTypes"], plain["ingress"]) == (["Ingress", "Egress"], [])
    ports = [[p["port"] for p in rule["ports"]] for rule in plain["egress"]]
    assert ports == [[53, 53], [6333, 6334]]
    all_ = one(EVERYTHING, "NetworkPolicy")["spec"]
    ports = [[p["port"] for p in rule["ports"]] for rule in all_["egress"]]
    assert ports == [[53, 53], [6333, 6334], [443, 9000]]
    [peer] = all_["egress"][1]["to"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "vectors"}
    selected = plain["podSelector"]["matchLabels"].items()
    for job in jobs(request_for()).values():
        labels = job["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
        assert selected <= labels.items()


def test_copies_to_a_folder_only_are_refused() -> None:
    """A pod does not have the disk of this machine, and would push to its own file system."""
    for folder in ("/mnt/disk", "file:///mnt/disk"):
        request = request_for(push=True, elsewhere=Elsewhere(offsite_urls=(folder,)))
        with pytest.raises(SettingsError, match="a pod does not have") as refused:
            cronjobs(request)
        assert refused.value.exit_code == 14


def test_it_is_installed_without_a_secret_on_a_command_line() -> None:
    """The commands name the file that was written, and a job of it to try."""
    made = cronjobs(request_for())
    assert any(f"apply -f {FILE}" in line for line in made.install)
    assert not any("--from-literal" in line for line in made.install)
    assert Path(FILE).suffix == ".yaml"
