"""Do off-site copies exist, are they recent, and can new ones be pushed?"""

from __future__ import annotations

from collections.abc import Iterator

from snapshot_tasks.checks.patient import Patient
from snapshot_tasks.checks.promises import MAX_AGE
from snapshot_tasks.domain.findings import Finding, fail, ok, warn
from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.repository import Repository, open_repository
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.units import age

CHECK = "off-site"
_PUSH = "Run `inv snapshot.push --all`, and schedule it after each snapshot."


def check_offsite(patient: Patient) -> Iterator[Finding]:
    """Each configured place responds, and has a recent copy of the newest snapshot.

    Raises:
        SettingsError: if a recipient is not a key, which otherwise only a push would report.
    """
    if patient.settings.offsite.age_recipients:
        Packer(patient.settings.offsite.age_recipients).pack(b"")
    for url in patient.settings.offsite.urls:
        try:
            repository = open_repository(url, patient.settings.offsite.store_variables)
            yield _look_at(repository, patient)
        except TaskError as error:
            yield fail(CHECK, error.message, error.hint)


def _look_at(repository: Repository, patient: Patient) -> Finding:
    markers = [
        item
        for item in repository.markers(patient.collection)
        if isinstance(item, Marker) and not item.safety
    ]
    newest = max(markers, key=lambda marker: marker.created_at, default=None)
    if newest is None and (sentence := repository.misplaced()):
        return warn(CHECK, sentence.rstrip("."), "Correct QDRANT_OFFSITE_URL.")
    if newest is None:
        return warn(CHECK, f"{repository.url} has no snapshot of {patient.collection}", _PUSH)
    old = patient.now - newest.created_at
    how_old = f"{age(old.total_seconds())} old"
    if patient.newest and patient.newest.created_at > newest.created_at:
        return warn(
            CHECK,
            f"{repository.url}: the newest snapshot is missing; the newest copy is {how_old}",
            _PUSH,
        )
    if old > MAX_AGE:
        return warn(CHECK, f"{repository.url}: the newest copy is {how_old}", _PUSH)
    message = f"{repository.url}: the newest copy is {how_old}, {len(markers)} in all"
    return ok(CHECK, message)
