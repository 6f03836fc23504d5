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
from snapshot_tasks.engines.select import drill_engine, live_engine
from snapshot_tasks.system.errors import (
    NotFound,
    SettingsError,
    StorageError,
    TaskError,
)

MIN_FREE_BYTES = 1 << 30


Check = Callable[[Patient], Iterator[Finding]]


def check_engine(patient: Patient) -> Iterator[Finding]:
    """Which engine, why, and whether it can work."""
    selection = live_engine(patient.settings)
    yield ok("engine", f"{selection.engine.name} ({selection.reason})")
    yield from selection.engine.check_tools()


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
        names = server.collections.names()
    kind = "with the key" if patient.settings.api_key else "without a key"
    yield ok("credentials", f"{len(names)} collection{'s' * (len(names) != 1)} visible {kind}")


def check_collection(patient: Patient) -> Iterator[Finding]:
    """The configured collection is there."""
    name = patient.settings.collection
    with patient.server() as server:
        owner = server.collections.aliases().get(name)
        if owner:
            raise NotFound(
                f"{name} is an alias of {owner}.", hint=f"Set QDRANT_COLLECTION_NAME={owner}."
            )
        if name not in server.collections.names():
            raise NotFound(
                f"There is no collection {name}.",
                hint="Set QDRANT_COLLECTION_NAME, or restore it with `inv snapshot.restore`.",
            )
        yield ok("collection", f"{name}, {server.collections.count(name):,} points")


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


def check_configuration(patient: Patient) -> Iterator[Finding]:
    """The engine's own configuration breaks neither backups nor restores."""
    yield from live_engine(patient.settings).engine.check_configuration()


def check_drills(patient: Patient) -> Iterator[Finding]:
    """No drill that was killed or kept has left anything."""
    yield from drill_engine(patient.settings).engine.check_leftovers()


# Each check under the label of its first line, which is also that of an error it raises.
DOCTOR_CHECKS: dict[str, Check] = {
    "engine": check_engine,
    "server": check_server,
    "credentials": check_credentials,
    "collection": check_collection,
    "folder": check_folder,
    "latest link": check_latest,
    "newest snapshot": check_newest,
    "compose file": check_configuration,
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
