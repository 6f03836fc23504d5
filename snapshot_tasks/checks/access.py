"""The doctor's check of the key: it gives access, and nobody gets in without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from snapshot_tasks.checks.patient import Patient
from snapshot_tasks.domain.findings import Finding, fail, ok, warn
from snapshot_tasks.engines.select import live_endpoint, live_engine
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import CredentialsRefused, TaskError

_ANSWER_SECONDS = 30
_SET_A_KEY = "Set QDRANT__SERVICE__API_KEY of that server and QDRANT_API_KEY here"


def check_credentials(patient: Patient) -> Iterator[Finding]:
    """The key gives access to the collections, and without it there is none."""
    with patient.server() as server:
        names = server.collections.names()
    has_key = patient.settings.qdrant.api_key is not None
    kind = "with the key" if has_key else "without a key"
    yield ok("credentials", f"{len(names)} collection{'s' * (len(names) != 1)} visible {kind}")
    if has_key:
        yield from _check_locked(patient)
    elif reach := _reach(patient):
        yield from _check_open(patient, reach)


def _check_locked(patient: Patient) -> Iterator[Finding]:
    if _lets_anyone_in(patient):
        message = "the server also answers without the key, so it was started without it"
        remedy = f"{_SET_A_KEY} to the same key and start the server again, or unset the key here."
        yield fail("access", message, remedy)


def _check_open(patient: Patient, reach: str) -> Iterator[Finding]:
    """Judge a server without a key that other machines reach."""
    message = f"other machines reach the server ({reach}), and it needs no key"
    endpoint = live_endpoint(patient.settings)
    if endpoint.host in endpoint.plaintext_hosts or endpoint.tls.cert_file:
        yield warn("access", message, f"{_SET_A_KEY}, unless only your own services reach it.")
    else:
        remedy = (
            f"{_SET_A_KEY}, or publish its ports on 127.0.0.1 only. If only your own services"
            f" reach it, say so: QDRANT_ALLOW_PLAINTEXT_KEY={endpoint.host}"
        )
        yield fail("access", message, remedy)


def _lets_anyone_in(patient: Patient) -> bool:
    endpoint = replace(live_endpoint(patient.settings), api_key=None)
    with Server(endpoint, operation_timeout_seconds=_ANSWER_SECONDS) as server:
        try:
            server.collections.names()
        except CredentialsRefused:
            return False
    return True


def _reach(patient: Patient) -> str:
    """Return where other machines reach the server; empty if they do not, or nobody knows."""
    endpoint = live_endpoint(patient.settings)
    if not endpoint.is_loopback:
        return f"at {endpoint.url}"
    # Another check reports what is wrong with the engine.
    with suppress(TaskError):
        return live_engine(patient.settings).engine.exposed_at()
    return ""
