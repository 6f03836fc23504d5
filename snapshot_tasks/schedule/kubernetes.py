"""CronJobs for Kubernetes, with what they need: settings, a volume, a policy for the network."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlsplit

from snapshot_tasks.domain.endpoint import is_loopback
from snapshot_tasks.schedule.calendar import Calendar
from snapshot_tasks.schedule.request import Command, Request, Schedule
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.untrusted import is_harmless, printable

NAME, FILE = "qdrant-snapshot", "qdrant-snapshot.yaml"
PROGRAM = "qdrant-snapshots"
# Qdrant's own Helm chart calls its service and its pods like this.
SERVICE_URL = "http://qdrant:6333"
_REST, _GRPC = 6333, 6334


def cronjobs(request: Request) -> Schedule:
    """Return one file with everything.

    Raises:
        SettingsError: if copies would go only to folders of this machine, or if a setting has
            characters that would end a line.
    """
    url, origin = _server(request), request.command.origin
    # In the image, tasks have their own names, whatever they are called in this project.
    request = replace(request, command=Command(argv=(PROGRAM,), name=PROGRAM))
    checks = request.check_tasks(every=request.every, drill_every=request.drill_every)
    jobs = (
        _job("", request.creates, request.create_tasks, request),
        _job("-drill", request.drills, request.drill_tasks, request),
        _job("-check", request.checks, checks, request),
    )
    documents = (_config(request, url), _VOLUME, _policy(request, url), *jobs)
    head = _HEAD.format(origin=origin, secrets=", ".join(_secrets(request)))
    return Schedule(
        folder="",
        files={FILE: head + "---\n".join(documents)},
        install=(
            # Not by --from-literal: arguments are seen by others and stay in the history.
            *_unnamed_nodes(request),
            f"kubectl create secret generic {NAME} --from-env-file=secret.env   # NAME=value lines",
            f"kubectl apply -f {FILE}",
            f"kubectl create job --from=cronjob/{NAME} {NAME}-now   # to see that it works",
        ),
    )


def _server(request: Request) -> str:
    """Return the URL that reaches Qdrant from a pod, where localhost is the pod itself."""
    url = request.elsewhere.url
    return SERVICE_URL if is_loopback(urlsplit(url).hostname or "") else url


def _secrets(request: Request) -> tuple[str, ...]:
    """Return the names in the Secret, the key first."""
    names = request.elsewhere.secrets
    if request.push:
        settings = request.elsewhere.store_settings
        names += tuple(name for name in request.store_names if name not in settings)
    return ("QDRANT_API_KEY", *names)


def _config(request: Request, url: str) -> str:
    settings = {"QDRANT_URL": url, **_nodes(request), **_plaintext(request, url)}
    settings |= request.rules
    if not request.all and request.elsewhere.collection:
        settings["QDRANT_COLLECTION_NAME"] = request.elsewhere.collection
    if request.push:
        settings |= _copies(request)
    lines = "".join(f"  {name}: {_quoted(value)}\n" for name, value in settings.items())
    return _CONFIG.format(settings=lines)


def _nodes(request: Request) -> dict[str, str]:
    """Return the nodes of a cluster, unless this machine forwards ports to them."""
    urls = request.elsewhere.cluster_urls
    return {"QDRANT_CLUSTER_URLS": ",".join(urls)} if urls and not _unnamed_nodes(request) else {}


def _unnamed_nodes(request: Request) -> tuple[str, ...]:
    """Return what to do first if no pod reaches the nodes by the URLs that are known of them."""
    if not any(is_loopback(urlsplit(u).hostname or "") for u in request.elsewhere.cluster_urls):
        return ()
    example = "http://qdrant-0.qdrant-headless:6333"
    return (f"# first add QDRANT_CLUSTER_URLS to its ConfigMap, as a pod reaches them: {example}",)


def _plaintext(request: Request, url: str) -> dict[str, str]:
    """Return the hosts that may get the key over plain HTTP: a service inside the cluster may."""
    hosts = list(request.elsewhere.plaintext_hosts)
    if _namespace(url) is not None and url.startswith("http:"):
        nodes = [node for node in request.elsewhere.cluster_urls if node.startswith("http:")]
        found = [urlsplit(node).hostname or "" for node in (url, *nodes)]
        hosts += [host for host in found if not is_loopback(host)]
    names = ",".join(dict.fromkeys(hosts))
    return {"QDRANT_ALLOW_PLAINTEXT_KEY": names} if names else {}


def _copies(request: Request) -> dict[str, str]:
    elsewhere = request.elsewhere
    urls = [url for url in elsewhere.offsite_urls if _is_remote(url)]
    if elsewhere.offsite_urls and not urls:
        raise SettingsError(
            "QDRANT_OFFSITE_URL is a folder of this machine, which a pod does not have.",
            hint="Set it to a bucket, such as s3://bucket/prefix.",
        )
    settings = {"QDRANT_OFFSITE_URL": ",".join(urls)} if urls else {}
    if request.recipients:
        settings["QDRANT_AGE_RECIPIENTS"] = ",".join(request.recipients)
    return settings | dict(elsewhere.store_settings)


def _is_remote(url: str) -> bool:
    return "://" in url and not url.startswith("file:")


def _policy(request: Request, url: str) -> str:
    nodes = request.elsewhere.cluster_urls
    ports = list(dict.fromkeys(port for one in (url, *nodes) for port in _ports(one)))
    peer = _PEER.format(namespace=_namespace_selector(url)) if _namespace(url) is not None else ""
    egress = _egress(ports, peer)
    if outside := _outside(request):
        egress += _egress(outside, "")
    return _POLICY.format(egress=egress)


def _ports(url: str) -> list[int]:
    """Return the ports of a Qdrant: also that of gRPC, where it has the usual ones."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return [port, _GRPC] if port == _REST else [port]


def _outside(request: Request) -> list[int]:
    """Return the ports of stores and alarms, which may be anywhere."""
    elsewhere, ports = request.elsewhere, set()
    if request.push or elsewhere.secrets:
        ports.add(443)
    endpoints = elsewhere.store_settings.values() if request.push else ()
    ports |= {port for value in endpoints if (port := urlsplit(value).port)}
    return sorted(ports)


def _egress(ports: list[int], peer: str) -> str:
    listed = "".join(f"        - {{protocol: TCP, port: {port}}}\n" for port in ports)
    return f"    - ports:\n{listed}{peer}"


def _namespace(url: str) -> str | None:
    """Return the namespace of a service inside the cluster, empty for the own one, else None."""
    service, *rest = (urlsplit(url).hostname or "").split(".")
    if service and not rest:
        return ""
    return rest[0] if rest[1:2] == ["svc"] else None


def _namespace_selector(url: str) -> str:
    namespace = _namespace(url)
    if not namespace:
        return ""
    name = json.dumps(namespace)
    return (
        f"          namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}\n"
    )


def _job(suffix: str, when: Calendar, tasks: tuple[str, ...], request: Request) -> str:
    return _JOB.format(
        name=f"{NAME}{suffix}",
        cron=when.cron,
        late=_seconds(request.every),
        limit=request.limit_seconds,
        image=_quoted(request.elsewhere.image),
        args=json.dumps(list(tasks)),
        secrets="".join(_secret(name) for name in _secrets(request)),
    )


def _secret(name: str) -> str:
    # A Qdrant without a key needs none; one that has a key refuses, and the job fails with 12.
    optional = ", optional: true" if name == "QDRANT_API_KEY" else ""
    reference = f"{{name: {NAME}, key: {name}{optional}}}"
    value = f"valueFrom: {{secretKeyRef: {reference}}}"
    return f"                - name: {name}\n                  {value}\n"


def _quoted(text: str) -> str:
    """Return a text for YAML, which reads JSON's except for what it takes as a line break."""
    if not all(map(is_harmless, text)):
        raise SettingsError(
            f"{printable(text)} contains characters that a schedule cannot contain.",
            hint="Use a value without line breaks or control characters.",
        )
    return json.dumps(text, ensure_ascii=False)


def _seconds(span: timedelta) -> int:
    return round(span.total_seconds())


_HEAD = """\
# Qdrant snapshots, by `{origin}`. The namespace is that of kubectl.
# The Secret `qdrant-snapshot` is yours to make, with: {secrets}
# Look at the image, the size of the volume, and the size of /tmp: a drill unpacks a snapshot there.
"""
_CONFIG = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: qdrant-snapshot
# Any setting of .env.example that is no secret can be added here.
data:
{settings}"""
_VOLUME = """\
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: qdrant-snapshot
spec:
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: 20Gi
"""
_PEER = """\
      # The pods of Qdrant, labelled as its Helm chart does.
      to:
        - podSelector: {{matchLabels: {{app.kubernetes.io/name: qdrant}}}}
{namespace}"""
_POLICY = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: qdrant-snapshot
spec:
  podSelector:
    matchLabels: {{app.kubernetes.io/name: qdrant-snapshot}}
  policyTypes: [Ingress, Egress]
  ingress: []
  egress:
    # Names are looked up here.
    - ports:
        - {{protocol: UDP, port: 53}}
        - {{protocol: TCP, port: 53}}
{egress}"""
_JOB = """\
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {name}
spec:
  schedule: "{cron}"
  timeZone: Etc/UTC
  concurrencyPolicy: Forbid
  # A run that was missed starts late, until the next snapshot is due.
  startingDeadlineSeconds: {late}
  successfulJobsHistoryLimit: 3
  failedJobsHistoryLimit: 3
  jobTemplate:
    spec:
      # A run that failed stays failed, so that it is seen; the next one makes up for it.
      backoffLimit: 0
      activeDeadlineSeconds: {limit}
      template:
        metadata:
          labels:
            app.kubernetes.io/name: qdrant-snapshot
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          # A service called qdrant would otherwise set QDRANT_PORT and more for every pod.
          enableServiceLinks: false
          terminationGracePeriodSeconds: 60
          securityContext:
            runAsNonRoot: true
            runAsUser: 10001
            runAsGroup: 10001
            fsGroup: 10001
            fsGroupChangePolicy: OnRootMismatch
            seccompProfile: {{type: RuntimeDefault}}
          containers:
            - name: tasks
              image: {image}
              args: {args}
              envFrom:
                - configMapRef: {{name: qdrant-snapshot}}
              env:
                - {{name: TMPDIR, value: /tmp}}
{secrets}\
              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities: {{drop: [ALL]}}
              resources:
                requests: {{cpu: 250m, memory: 512Mi}}
                limits: {{memory: 4Gi}}
              volumeMounts:
                - {{name: snapshots, mountPath: /snapshots}}
                - {{name: tmp, mountPath: /tmp}}
          volumes:
            - name: snapshots
              persistentVolumeClaim: {{claimName: qdrant-snapshot}}
            - name: tmp
              emptyDir: {{sizeLimit: 20Gi}}
"""
