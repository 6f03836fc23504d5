"""A bucket of S3 that keeps versions, as it was at a time; it can only be read.

obstore reads a version, but cannot list them, so boto3 does. It is optional, because only somebody
whose bucket was deleted or overwritten needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from snapshot_tasks.storage.base import Stored
from snapshot_tasks.storage.place import Place
from snapshot_tasks.system.errors import NotFound, Refused, SettingsError, StorageError
from snapshot_tasks.system.untrusted import printable

if TYPE_CHECKING:
    from snapshot_tasks.storage.object_store import ObjectStore

MAX_REASON = 300
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


@dataclass(frozen=True, slots=True)
class _Version:
    """A version of an object; one without an id records that the object was deleted."""

    stored: Stored
    id: str | None


class Versions:
    """The objects of a bucket as they were `at` a time; `client` is one of boto3."""

    def __init__(self, place: Place, store: ObjectStore, client: Any, at: datetime) -> None:
        self.url = place.url
        self._place = place
        self._store = store
        self._client = client
        self._at = at
        self._then: dict[str, _Version] = {}
        self._checked = False

    def check_name(self, name: str) -> None:
        """Accept any name, as nothing is written."""

    def list(self, folder: str) -> Iterator[Stored]:
        """Yield the objects that were below a folder then.

        Raises:
            NotFound: if everything below it was written later.
            Refused: if the bucket keeps no versions.
        """
        found = self._versions(f"{folder}/")
        self._then.update(found)
        yield from (version.stored for version in found.values() if version.id is not None)

    def folders(self) -> Iterator[str]:
        """Yield nothing: no other place is proposed for one as it was."""
        return iter(())

    def read(self, name: str, *, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield the bytes that an object had then."""
        if name not in self._then:
            self._then.update(self._versions(name))
        version = self._then.get(name)
        if version is None or version.id is None:
            raise NotFound(
                f"{name} did not exist in {self.url} at {self._at.isoformat()}.",
                hint="Choose another time, or see `inv snapshot.list --remote --at TIME`.",
            )
        return self._store.read(name, offset=offset, size=size, version=version.id)

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Refuse to write."""
        self._refuse()

    def delete(self, name: str) -> None:
        """Refuse to delete."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise Refused(
            f"{self.url} is read as it was at {self._at.isoformat()}, so nothing is changed there.",
            hint="Run this without `--at` to change it.",
        )

    def _versions(self, prefix: str) -> dict[str, _Version]:
        """Return the last version until then of each object whose name begins so."""
        self._check_versioned()
        found: dict[str, _Version] = {}
        first: datetime | None = None
        for version in self._all(prefix):
            at = version.stored.modified_at
            first = min(first or at, at)
            known = found.get(version.stored.name)
            # Of versions of the same moment, the newest is listed first.
            if at <= self._at and (known is None or known.stored.modified_at < at):
                found[version.stored.name] = version
        if first and not found:
            raise NotFound(
                f"{self.url} had nothing in {prefix.rstrip('/')} at {self._at.isoformat()}; the"
                f" first version is of {first.isoformat()}.",
                hint="Choose a later time.",
            )
        return found

    def _all(self, prefix: str) -> Iterator[_Version]:
        root = f"{self._place.prefix}/" if self._place.prefix else ""
        with self._errors():
            pages = self._client.get_paginator("list_object_versions")
            for page in pages.paginate(Bucket=self._place.bucket, Prefix=root + prefix):
                for kind in ("Versions", "DeleteMarkers"):
                    for item in page.get(kind, ()):
                        stored = Stored(
                            name=item["Key"].removeprefix(root),
                            size_bytes=item.get("Size", 0),
                            modified_at=item["LastModified"],
                        )
                        yield _Version(stored, item["VersionId"] if kind == "Versions" else None)

    def _check_versioned(self) -> None:
        if self._checked:
            return
        from botocore.exceptions import ClientError

        with self._errors():
            try:
                answer = self._client.get_bucket_versioning(Bucket=self._place.bucket)
            except ClientError as error:
                if error.response["Error"]["Code"] != "AccessDenied":
                    raise
                answer = {"Status": "unknown"}
        if not answer.get("Status"):
            raise Refused(
                f"The bucket {self._place.bucket} keeps no versions of its objects.",
                hint="Pull without `--at`, or from another place. Turn versions on for the next"
                " time (docs/offsite.md).",
            )
        self._checked = True

    @contextmanager
    def _errors(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            reason = printable(" ".join(str(error).split()), limit=MAX_REASON).rstrip(".")
            raise StorageError(
                f"{self.url}: the versions cannot be listed: {reason}.",
                hint="Check that the store is reachable, and that the credentials may list and read"
                " versions (s3:ListBucketVersions, s3:GetObjectVersion).",
            ) from None


def open_versions(
    place: Place, store: ObjectStore, variables: Mapping[str, str], at: datetime
) -> Versions:
    """Return a bucket of S3 as it was, for the variables that `store` was opened with.

    Raises:
        SettingsError: if boto3 is not installed, or a variable has an impossible value.
    """
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise SettingsError(
            "Reading a bucket as it was needs boto3, which is not installed.",
            hint="Run `pip install 'qdrant-snapshot-tasks[versions]'`, or `.venv/bin/pip install"
            " boto3` in a project with ./inv.",
        ) from None
    endpoint = next((variables[name] for name in ENDPOINTS if variables.get(name)), None)
    try:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name=variables.get("AWS_REGION") or variables.get("AWS_DEFAULT_REGION"),
            aws_access_key_id=variables.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=variables.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=variables.get("AWS_SESSION_TOKEN"),
            config=Config(s3={"addressing_style": "path"} if endpoint else {}),
        )
    except (BotoCoreError, ValueError) as error:
        reason = printable(str(error), limit=MAX_REASON).rstrip(".")
        raise SettingsError(
            f"Cannot use {place.url}: {reason}.",
            hint="Correct the variables of the store; docs/offsite.md lists them.",
        ) from None
    return Versions(place, store, client, at)


def needs_http(variables: Mapping[str, str]) -> bool:
    """Return whether an endpoint of the variables is reached by plain HTTP."""
    return any(urlsplit(variables.get(name, "")).scheme == "http" for name in ENDPOINTS)
