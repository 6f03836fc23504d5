"""One check for everything that could go wrong; each FAIL carries its remedy.

A check returns findings, or raises the same error that a task would raise: its message and hint
become the FAIL line and the remedy.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from importlib.metadata import version as package_version
from pathlib import Path

from snapshot_tasks.checks.access import check_credentials
from snapshot_tasks.checks.cluster import check_nodes, check_placement
from snapshot_tasks.checks.indexes import CHECK as INDEXES
from snapshot_tasks.checks.live_indexes import check_live_sample
from snapshot_tasks.checks.offsite import CHECK as OFFSITE
from snapshot_tasks.checks.offsite import check_offsite
from snapshot_tasks.checks.patient import Patient
from snapshot_tasks.checks.promises import (
    MAX_AGE,
    MAX_PROOF_AGE,
    NO_LINKS,
    SERVER_COPIES,
    as_warnings,
    check_left,
    check_pointer,
    promises,
)
from snapshot_tasks.checks.unnamed import no_collections, several_collections
from snapshot_tasks.checks.vector_names import check_vector_names
from snapshot_tasks.domain.findings import Finding, Status, fail, failed, ok, warn
from snapshot_tasks.domain.quotas import exceeded_quotas
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.domain.versions import known, unknown_because
from snapshot_tasks.engines.select import drill_engine, live_engine
from snapshot_tasks.qdrant.indexes import PayloadIndexes
from snapshot_tasks.qdrant.nodes import open_nodes
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.sealing.room import HINT, room_of
from snapshot_tasks.system.errors import (
    CredentialsRefused,
    NotFound,
    SettingsError,
    StorageError,
    TaskError,
)
from snapshot_tasks.system.files import has_links, is_in_memory, lacking
from snapshot_tasks.system.units import size

MIN_FREE_BYTES = 1 << 30
LACKING_REMEDY = "Snapshots are safe there; for the rest, choose a folder on a disk such as ext4."
_UNKNOWN_VERSION = (
    "Look for a newer release of this project. Until then, trust only what"
    " `inv snapshot.test-restore` proves."
)
_SAME_VERSION = "Set QDRANT_VERSION to the server's version, or change the server's version."


Check = Callable[[Patient], Iterator[Finding]]


def check_settings(patient: Patient) -> Iterator[Finding]:
    """No name in `.env` is misspelt, or is one that only other tools read."""
    for wrong in patient.settings.misnamed:
        yield warn("settings", wrong.message, wrong.remedy)


def check_engine(patient: Patient) -> Iterator[Finding]:
    """Which engine is used and why, and whether it works."""
    selection = live_engine(patient.settings)
    yield ok("engine", f"{selection.engine.name} ({selection.reason})")
    yield from selection.engine.check_tools()


def check_server(patient: Patient) -> Iterator[Finding]:
    """Qdrant responds, its version is known, and it accepts writes."""
    with patient.server() as server:
        found = server.version()
        yield ok("server", f"Qdrant {found} at {patient.settings.qdrant.url}")
        yield _version(found, patient)
        if known(found).has_quotas:
            yield from _quotas(server)


def _version(found: str, patient: Patient) -> Finding:
    """Judge a server's version by the table of versions, which also covers the client."""
    client, wanted = package_version("qdrant-client"), patient.settings.engine.version
    if why := unknown_because(found):
        return warn("versions", why, _UNKNOWN_VERSION)
    if found != wanted and live_engine(patient.settings).engine.manages_server:
        message = f"the server runs {found}, but QDRANT_VERSION is {wanted}"
        return warn("versions", message, _SAME_VERSION)
    return ok("versions", f"client {client}, server {found} ({known(found).evidence.value})")


def _quotas(server: Server) -> Iterator[Finding]:
    """Yield whether the server refuses writes; creating and restoring snapshots still works."""
    try:
        reached = exceeded_quotas(server.quotas())
    except (CredentialsRefused, NotFound):
        return
    if reached:
        message = f"the server refuses writes: {', '.join(reached)}"
        yield warn("quotas", message, "Free memory or disk space there, or raise the quota.")


def check_collection(patient: Patient) -> Iterator[Finding]:
    """The configured collection exists."""
    name = patient.collection
    with patient.server() as server:
        owner = server.collections.aliases().get(name)
        if owner:
            raise NotFound(
                f"{name} is an alias of {owner}.", hint=f"Set QDRANT_COLLECTION_NAME={owner}."
            )
        names = server.collections.names()
        if name not in names:
            if patient.settings.is_default_collection:
                raise several_collections(names) if names else no_collections()
            raise NotFound(
                f"The collection {name} does not exist.",
                hint="Set QDRANT_COLLECTION_NAME, or restore it with `inv snapshot.restore`.",
            )
        only = "" if name == patient.settings.collection else ", the only one"
        yield ok("collection", f"{name}{only}, {server.collections.count(name):,} points")
        if patient.newest is None:
            # Otherwise the promises about the newest snapshot say it.
            yield from check_vector_names(server.collections.config(name), server.version())


def check_payload_indexes(patient: Patient) -> Iterator[Finding]:
    """Filters on the live collection find what its points' payloads say."""
    name = patient.collection
    with patient.server() as server:
        if name not in server.collections.names():
            return
        with closing(PayloadIndexes(server.endpoint, name)) as indexes:
            yield from check_live_sample(indexes, name)


def check_cluster(patient: Patient) -> Iterator[Finding]:
    """Every node of the cluster is known, and every replica of the collection is current."""
    with patient.server() as server:
        found = tuple(check_nodes(server))
        yield from found
        if failed(found):
            return
        with open_nodes(server) as nodes:
            exists = patient.collection in server.collections.names()
            yield from check_placement(nodes, patient.collection if exists else "")


def check_folder(patient: Patient) -> Iterator[Finding]:
    """The snapshot folder exists, is writable, and has enough free space."""
    folder = patient.catalog.folder
    if not folder.exists() and "QDRANT_SNAPSHOT_DIR" not in patient.settings.given:
        message = f"{folder} does not exist yet"
        yield warn("folder", message, "`inv snapshot.create` creates it.")
        return
    if not folder.is_dir():
        raise StorageError(f"{folder} is not a folder.", hint=f"Run `mkdir -p {folder}`.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StorageError(
            f"{folder} is not writable.", hint=f"Give this user write permission for {folder}."
        )
    free = shutil.disk_usage(folder).free
    needed = max(MIN_FREE_BYTES, 2 * (patient.newest.size_bytes if patient.newest else 0))
    message = f"{folder}, {size(free)} free"
    if free < needed:
        enough = f"{size(needed)} are free: twice the size of the newest snapshot"
        yield warn("folder", message, f"Delete files there until {enough}.")
    else:
        yield ok("folder", message)
    if lacks := lacking(folder):
        yield warn("file system", f"{folder} lacks {'; '.join(lacks)}", LACKING_REMEDY)


def check_scratch(patient: Patient) -> Iterator[Finding]:
    """The temporary folder has the room that reading the newest snapshot takes."""
    folder = Path(tempfile.gettempdir())
    in_memory, free = is_in_memory(folder), shutil.disk_usage(folder).free
    kind = "tmpfs, " if in_memory else ""
    message = f"TMPDIR is {folder}, {kind}{size(free)} free"
    needed = _room(patient.newest, in_memory=in_memory)
    if needed is None:
        yield ok("temporary folder", message)
    elif free < needed:
        lacking = f"{message}, but the newest snapshot needs up to {size(needed)}"
        yield warn("temporary folder", lacking, HINT)
    else:
        yield ok("temporary folder", f"{message}; the newest snapshot needs {size(needed)}")


def _room(newest: Snapshot | None, *, in_memory: bool) -> int | None:
    """Return how much space a snapshot needs; None if there is none, or it is damaged."""
    if newest is None:
        return None
    try:
        return room_of(newest.path).enough_bytes(in_memory=in_memory)
    except (OSError, ValueError):
        return None


def check_latest(patient: Patient) -> Iterator[Finding]:
    """The latest link points to the newest snapshot."""
    target = patient.catalog.latest_target(patient.collection)
    if target is None and not has_links(patient.catalog.folder):
        yield ok("latest link", NO_LINKS)
        return
    yield from as_warnings([check_pointer(patient.own, target.name if target else None)])


def check_newest(patient: Patient) -> Iterator[Finding]:
    """The newest snapshot is recent and intact, and one was proven recently."""
    if patient.newest:
        patient.newest.check_manifest()
    elif patient.settings.is_default_collection and not patient.catalog.collections():
        remedy = "Run `inv snapshot.create`, and schedule it daily."
        yield warn("newest snapshot", "there is no snapshot yet", remedy)
        return
    collection = patient.collection
    yield from as_warnings(
        promises(
            collection,
            patient.catalog.entries(collection),
            max_age=MAX_AGE,
            max_proof_age=MAX_PROOF_AGE,
            now=patient.now,
        )
    )


def check_server_copies(patient: Patient) -> Iterator[Finding]:
    """No copy that a run could not delete is left on the server; others there are counted."""
    journal = patient.catalog.journal
    yield from check_left(journal.left())
    with patient.server() as server, suppress(NotFound):
        if copies := server.snapshots.of(patient.collection):
            total = size(sum(copy.size_bytes for copy in copies))
            yield ok(
                SERVER_COPIES, f"{patient.collection} has {len(copies)} on the server, {total}"
            )


def check_configuration(patient: Patient) -> Iterator[Finding]:
    """The engine's configuration suits backups and restores."""
    yield from live_engine(patient.settings).engine.check_configuration()


def check_drills(patient: Patient) -> Iterator[Finding]:
    """Nothing is left over from a killed or kept drill."""
    yield from drill_engine(patient.settings).engine.check_leftovers()


# The label of a check's first line is also the label of an error that it raises.
DOCTOR_CHECKS: dict[str, Check] = {
    "settings": check_settings,
    "engine": check_engine,
    "server": check_server,
    "credentials": check_credentials,
    "collection": check_collection,
    INDEXES: check_payload_indexes,
    "cluster": check_cluster,
    SERVER_COPIES: check_server_copies,
    "folder": check_folder,
    "temporary folder": check_scratch,
    "latest link": check_latest,
    "newest snapshot": check_newest,
    "compose file": check_configuration,
    "drills": check_drills,
    OFFSITE: check_offsite,
}


def examine(patient: Patient) -> tuple[tuple[Finding, ...], TaskError | None]:
    """Run every check; return all findings, and the error of the first check that failed."""
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
