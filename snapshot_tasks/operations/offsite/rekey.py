"""Encrypts what lies off-site to other recipients, with the identity of a former one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from snapshot_tasks.domain.failure import Failure
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.packs import ending_of
from snapshot_tasks.offsite.repository import Repository, Unreadable
from snapshot_tasks.operations.batch import Batch, for_each
from snapshot_tasks.operations.offsite.moving import Keys, Mover
from snapshot_tasks.system.errors import Refused, TaskError
from snapshot_tasks.system.progress import Progress

_AGAIN = "Run this again; it goes on with what is left."


@dataclass(frozen=True, slots=True, kw_only=True)
class Rekeying:
    """A snapshot that other recipients could read than those that are set now, and where it is."""

    repository: Repository
    marker: Marker

    @property
    def name(self) -> str:
        """The snapshot and its place."""
        return f"{self.marker.snapshot} in {self.repository.url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RekeyPlan:
    """What is to be encrypted anew, and what could not be looked at."""

    rekeyings: tuple[Rekeying, ...]
    failures: tuple[Failure, ...] = ()


def plan_rekey(
    repositories: Sequence[Repository], collections: Collection[str] | None, keys: Keys
) -> RekeyPlan:
    """Return the snapshots that are not encrypted to exactly the recipients set now.

    Nothing changes.

    Raises:
        Refused: if no recipients are set, because that would decrypt the copies.
        SettingsError: if a recipient is wrong, or no identity can read the first of them.
        TaskError: the first place's error, if none responded.
    """
    recipients = set(keys.packer.recipients)
    if not recipients:
        raise Refused(
            "No recipients are set, and copies off-site are never decrypted.",
            hint="Set QDRANT_AGE_RECIPIENTS to the public keys of those who shall read them.",
        )
    keys.packer.pack(b"")
    unreadable: list[Failure] = []

    def look(repository: Repository) -> list[Rekeying]:
        found: list[Rekeying] = []
        for item in repository.markers():
            if collections is not None and item.key.collection not in collections:
                continue
            if isinstance(item, Unreadable):
                name = f"{item.key.snapshot} in {repository.url}"
                unreadable.append(Failure(name=name, error=item.error))
            elif set(item.encrypted_to) != recipients:
                found.append(Rekeying(repository=repository, marker=item))
        return sorted(found, key=lambda one: (one.marker.created_at, one.marker.snapshot))

    looked = for_each(repositories, look, name=lambda repository: repository.url)
    if looked.failures and not looked.results:
        raise looked.failures[0].error
    rekeyings = tuple(one for found in looked.results for one in found)
    for one in rekeyings:
        if one.marker.index and one.marker.encrypted_to:
            one.repository.fetch(one.marker.key, one.marker.index, keys.unpacker)
            break
    return RekeyPlan(rekeyings=rekeyings, failures=(*looked.failures, *unreadable))


def rekey_each(planned: RekeyPlan, keys: Keys, progress: Progress) -> Batch[Rekeying]:
    """Encrypt the planned snapshots anew, one after the other; a failed one stops no other.

    Each is whole at any moment, under the former recipients or under the new ones.
    """
    movers: dict[str, Mover] = {}

    def rekey(one: Rekeying) -> Rekeying:
        repository, marker = one.repository, one.marker
        if marker.index is None:
            raise Refused(
                f"{marker.snapshot} was pushed by an earlier version, in parts.",
                hint=f"Run `inv snapshot.push --again --snapshot {marker.snapshot}` where its file"
                " is.",
            )
        mover = movers.setdefault(repository.url, Mover(repository, keys))
        with progress.phase(f"encrypting {marker.snapshot} anew in {repository.url}"):
            index = repository.index_of(marker, marker.index, keys.unpacker)
            packs = {name for name in index.packs if ending_of(name) != keys.packer.ending}
            if not mover.move(marker, index, packs):
                raise TaskError(f"{marker.snapshot} was changed in the meantime.", hint=_AGAIN)
        return one

    done = for_each(planned.rekeyings, rekey, name=lambda one: one.name)
    return Batch(results=done.results, failures=(*done.failures, *planned.failures))
