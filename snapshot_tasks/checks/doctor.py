"""One check for every thing that could go wrong; each FAIL carries its remedy.

A check returns findings, or raises the very error that a task would meet: its message and hint are
then the FAIL line and the remedy.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version as package_version

from snapshot_tasks.checks.offsite import CHECK as OFFSITE
from snapshot_tasks.checks.offsite import check_offsite
from snapshot_tasks.checks.patient import Patient
from snapshot_tasks.checks.promises import (
    MAX_AGE,
    MAX_PROOF_AGE,
    as_warnings,
    check_pointer,
    promises,
)
from snapshot_tasks.domain.findings import Finding, Status, fail, ok, warn
from snapshot_tasks.domain.versions import Fit, version_fit
from snapshot_tasks.engines.binary import binary_version, find_binary
from snapshot_tasks.engines.compose import ComposeEngine
from snapshot_tasks.engines.compose_client import compose_version, docker_problem
from snapshot_tasks.engines.compose_document import KEPT, qdrant_service
from snapshot_tasks.engines.compose_leftovers import find_labelled
from snapshot_tasks.engines.select import drill_engine, live_engine
from snapshot_tasks.system.errors import (
    NotFound,
    SettingsError,
    StorageError,
    TaskError,
    Unreachable,
)
from snapshot_tasks.system.scratch import is_gone

MIN_FREE_BYTES = 1 << 30
SERVER_SNAPSHOTS = "/qdrant/snapshots"


Check = Callable[[Patient], Iterator[Finding]]


def check_engine(patient: Patient) -> Iterator[Finding]:
    """Which engine, why, and whether it can work."""
    settings = patient.settings
    selection = live_engine(settings)
    name = selection.engine.name
    yield ok("engine", f"{name} ({selection.reason})")
    if name == "compose":
        problem = docker_problem()
        if problem:
            raise Unreachable(problem, hint="Start Docker, or set QDRANT_ENGINE=native.")
        yield ok("compose", f"Docker Compose {compose_version()}")
    elif name == "native":
        binary = settings.binary or find_binary(settings, settings.version)
        if binary is None:
            message = f"no Qdrant {settings.version} on this machine yet"
            yield warn("binary", message, "Run `inv engine.install`.")
        elif (found := binary_version(binary)) is None:
            yield fail("binary", f"{binary} does not run", "Correct QDRANT_BINARY.")
        else:
            yield ok("binary", f"{binary}, version {found}")


def check_server(patient: Patient) -> Iterator[Finding]:
    """Qdrant answers, and client and server fit."""
    with patient.server() as server:
        found = server.version()
    client, wanted = package_version("qdrant-client"), patient.settings.version
    yield ok("server", f"Qdrant {found} at {patient.settings.url}")
    if version_fit(found, client) is not Fit.FITS and version_fit(client, found) is not Fit.FITS:
        message = f"qdrant-client {client} is more than one minor version from {found}"
        yield warn("versions", message, "Pin the qdrant-client that fits the server.")
    elif found != wanted:
        yield warn("versions", f"running {found}, QDRANT_VERSION is {wanted}", "Make them agree.")
    else:
        yield ok("versions", f"client {client}, server {found}")


def check_credentials(patient: Patient) -> Iterator[Finding]:
    """The key opens the collections. Readiness asks for no key, so it proves nothing about it."""
    with patient.server() as server:
        names = server.collections()
    kind = "with the key" if patient.settings.api_key else "without a key"
    yield ok("credentials", f"{len(names)} collection{'s' * (len(names) != 1)} visible {kind}")


def check_collection(patient: Patient) -> Iterator[Finding]:
    """The configured collection is there."""
    name = patient.settings.collection
    with patient.server() as server:
        owner = server.aliases().get(name)
        if owner:
            raise NotFound(
                f"{name} is an alias of {owner}.", hint=f"Set QDRANT_COLLECTION_NAME={owner}."
            )
        if name not in server.collections():
            raise NotFound(
                f"There is no collection {name}.",
                hint="Set QDRANT_COLLECTION_NAME, or restore it with `inv snapshot.restore`.",
            )
        yield ok("collection", f"{name}, {server.count(name):,} points")


def check_folder(patient: Patient) -> Iterator[Finding]:
    """The snapshot folder is there, writable, and has room."""
    folder = patient.catalog.folder
    if not folder.is_dir():
        raise StorageError(f"{folder} is no folder.", hint=f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            f"{folder} is not writable.", hint=f"Make {folder} writable for this user."
        )
    free = shutil.disk_usage(folder).free
    needed = max(MIN_FREE_BYTES, 2 * (patient.newest.size_bytes if patient.newest else 0))
    message = f"{folder}, {free / 1e9:.1f} GB free"
    if free < needed:
        yield warn(
            "folder", message, f"Make {needed / 1e9:.1f} GB free: twice the newest snapshot."
        )
    else:
        yield ok("folder", message)


def check_latest(patient: Patient) -> Iterator[Finding]:
    """The latest pointer names the newest snapshot."""
    target = patient.catalog.latest_target(patient.settings.collection)
    yield from as_warnings([check_pointer(patient.newest, target.name if target else None)])


def check_newest(patient: Patient) -> Iterator[Finding]:
    """The newest snapshot is young enough and whole, and one was proven lately."""
    if patient.newest:
        patient.newest.check_manifest()
    collection = patient.settings.collection
    yield from as_warnings(
        promises(
            collection,
            patient.catalog.entries(collection),
            max_age=MAX_AGE,
            max_proof_age=MAX_PROOF_AGE,
            now=patient.now,
        )
    )


def check_compose_file(patient: Patient) -> Iterator[Finding]:
    """The compose file has none of the traps that break backups or restores."""
    engine = live_engine(patient.settings).engine
    if not isinstance(engine, ComposeEngine):
        return
    service = qdrant_service(engine.document)
    problems = list(_image_traps(str(service.get("image", "")))) + list(_mount_traps(service))
    yield from problems
    if not engine.mounts():
        remedy = f"Mount {patient.catalog.folder} read-only below {SERVER_SNAPSHOTS}."
        yield warn("snapshot mount", "Qdrant does not see the folder: restores upload", remedy)
    elif not problems:
        yield ok("compose file", "image pinned, snapshots path writable, folder mounted")


def check_drills(patient: Patient) -> Iterator[Finding]:
    """No drill that was killed or kept has anything left in Docker."""
    if drill_engine(patient.settings).engine.name != "compose":
        return
    killed, kept = find_labelled(is_gone), find_labelled(lambda o: o.startswith(KEPT))
    if killed:
        message = f"a killed drill has left {', '.join(killed)}"
        yield warn("drills", message, "The next `inv snapshot.test-restore` clears it.")
    if kept:
        message = f"kept: {', '.join(kept)}"
        yield warn("drills", message, "docs/drill.md says how to remove it.")


def _image_traps(image: str) -> Iterator[Finding]:
    tag = image.rpartition(":")[2] if ":" in image.rpartition("/")[2] else "latest"
    if tag in ("latest", "master", "dev"):
        remedy = "Pin it: an unforeseen upgrade may not read old snapshots."
        yield fail("image", f"{image or 'no image'} is not a fixed version", remedy)


def _mount_traps(service: object) -> Iterator[Finding]:
    assert isinstance(service, dict)
    mounts = {str(v["target"]).rstrip("/"): v for v in service.get("volumes", ())}
    snapshots = mounts.get(SERVER_SNAPSHOTS)
    if snapshots is not None and snapshots.get("read_only"):
        remedy = "Mount a volume there, and the host folder read-only below it."
        yield fail(
            "snapshots path", f"{SERVER_SNAPSHOTS} is read-only: Qdrant will not start", remedy
        )
    elif snapshots is None:
        remedy = f"Mount a named volume on {SERVER_SNAPSHOTS}."
        yield warn("snapshots path", f"{SERVER_SNAPSHOTS} is in the container's own layer", remedy)
    if not any(target.startswith("/qdrant/storage") for target in mounts):
        remedy = "Mount a named volume on /qdrant/storage."
        yield fail("storage", "the data is in the container's own layer and goes with it", remedy)


# Each check under the label of its first line, which is also that of an error it raises.
DOCTOR_CHECKS: dict[str, Check] = {
    "engine": check_engine,
    "server": check_server,
    "credentials": check_credentials,
    "collection": check_collection,
    "folder": check_folder,
    "latest link": check_latest,
    "newest snapshot": check_newest,
    "compose file": check_compose_file,
    "drills": check_drills,
    OFFSITE: check_offsite,
}


def examine(patient: Patient) -> tuple[tuple[Finding, ...], TaskError | None]:
    """Run every check; return all findings and the error of the first that failed."""
    findings: list[Finding] = []
    first: TaskError | None = None
    for label, check in DOCTOR_CHECKS.items():
        try:
            findings += check(patient)
        except TaskError as error:
            if findings and findings[-1].message == error.message:
                continue
            findings.append(fail(label, error.message, error.hint))
            first = first or error
        wrong = [f for f in findings if f.status is Status.FAIL]
        if wrong and first is None:
            first = SettingsError(wrong[0].message, hint=wrong[0].remedy)
    return tuple(findings), first
