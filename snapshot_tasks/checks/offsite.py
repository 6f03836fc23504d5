"""Whether the copies off-site are there, young, and can be made at all."""

from __future__ import annotations

from collections.abc import Iterator

from snapshot_tasks.checks.patient import Patient
from snapshot_tasks.checks.promises import MAX_AGE
from snapshot_tasks.domain.findings import Finding, fail, ok, warn
from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.storage.stores import open_store
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.units import age

CHECK = "off-site"
_PUSH = "Run `inv snapshot.push --all`, from cron after each snapshot."


def check_offsite(patient: Patient) -> Iterator[Finding]:
    """Each place that is set answers, and has a young copy of the newest snapshot.

    Raises:
        SettingsError: when a recipient is no key, which else only a push would tell.
    """
    if patient.settings.age_recipients:
        Packer(patient.settings.age_recipients).pack(b"")
    for url in patient.settings.offsite_urls:
        try:
            repository = Repository(open_store(url, patient.settings.store_variables))
            yield _look_at(repository, patient)
        except TaskError as error:
            yield fail(CHECK, error.message, error.hint)


def _look_at(repository: Repository, patient: Patient) -> Finding:
    markers = [
        item
        for item in repository.markers(patient.settings.collection)
        if isinstance(item, Marker) and not item.safety
    ]
    newest = max(markers, key=lambda marker: marker.created_at, default=None)
    if newest is None:
        return warn(
            CHECK, f"{repository.url} has no snapshot of {patient.settings.collection}", _PUSH
        )
    old = patient.now - newest.created_at
    how_old = f"{age(old.total_seconds())} old"
    if patient.newest and patient.newest.created_at > newest.created_at:
        return warn(
            CHECK, f"{repository.url}: the newest snapshot is not there, one {how_old} is", _PUSH
        )
    if old > MAX_AGE:
        return warn(CHECK, f"{repository.url}: the newest is {how_old}", _PUSH)
    message = f"{repository.url}: the newest is {how_old}, {len(markers)} in all"
    return ok(CHECK, message)
