"""The meaning of Qdrant's error responses. Everything matched against its English is here.

Status codes alone are not enough: for a full disk, a damaged file and a file that the server cannot
read, Qdrant always responds 400 or 500. So check a new version of Qdrant against this file first.
"""

from __future__ import annotations

import httpx

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.qdrant.limits import TOO_MANY
from snapshot_tasks.system.errors import (
    CredentialsRefused,
    NotFound,
    ServerFailure,
    StorageError,
    TaskError,
    Unreachable,
)

_FULL_DISK = ("no space left", "out of disk", "not enough disk", "insufficient storage")
# The last two appeared with 1.17.1, which reads files only inside its own snapshots folder.
_NOT_VISIBLE = ("does not exist", "permission denied", "must be in", "outside of")
# All that is said of an upload which does not fit on the disk, and not in JSON.
_NOT_STORED = ("an error occurred processing field",)
_WRONG_CHECKSUM = ("checksum mismatch",)
# From 1.18 on, also in the storage engine: segments that versions before 1.16 wrote.
_OLD_STORAGE = ("rocksdb is not supported",)
# A datatype of vectors that a later version writes.
_NEW_STORAGE = ("not yet wired up",)
_QUOTA = ("quota",)
OLD_STORAGE_WAY_OUT = (
    "It is old, not damaged. Restore it with Qdrant 1.17 or earlier, copy the points into a new"
    " collection there, and take a new snapshot of that."
)
LOG_HINT = (
    "See the server's log: `inv stack.logs`, or for a server that is managed elsewhere, the log of"
    " its container, service or provider."
)
# An index that was dropped while it was written to disk fails the next flush (1.17.0).
_UNFLUSHED = ("last background flush failed",)
# A shard that was moved to another node, and a collection that was deleted.
_OUT_OF_REACH = ("is not a local", "collection `")
_EXACT_REFUSED = ("exact search disabled",)
# The right that a token lacks if it is a right on the whole server.
_GLOBAL_RIGHT = ("global",)


def not_qdrant(url: str) -> Unreachable:
    """Return the error of a server that responds, but not as a Qdrant does."""
    return Unreachable(
        f"{url} responded, but does not look like Qdrant.",
        hint="Set QDRANT_URL to the REST port of Qdrant (default: 6333).",
    )


def refusal(response: httpx.Response, endpoint: Endpoint) -> TaskError:
    """Return the error behind one of Qdrant's error responses, with a remedy."""
    status, reason = response.status_code, _reason(response, endpoint.api_key)
    if status in (401, 403):
        return CredentialsRefused(
            f"Qdrant at {endpoint.url} refused the credentials ({status}): {reason}.",
            hint=_remedy(reason),
        )
    if status == 404:
        return NotFound(
            f"Qdrant at {endpoint.url} reported: {reason}.",
            hint="Run `inv stack.status` to list its collections.",
        )
    if without_space := _without_space(status, reason, endpoint.url):
        return without_space
    hint = LOG_HINT
    if status == 413:
        return ServerFailure(
            f"The request to {endpoint.url} is too large for the server or a gateway before it"
            f" (413): {reason}.",
            hint="Raise the gateway's limit (client_max_body_size in nginx; max_request_size_mb in"
            " Qdrant), or mount the snapshot folder on the server and set"
            " QDRANT_SERVER_SNAPSHOT_DIR, which restores from file:// without an upload.",
            status=status,
        )
    if status == TOO_MANY:
        hint = (
            "Raise the rate limit of the collection (strict_mode_config), or run this again later."
        )
    return ServerFailure(
        f"Qdrant at {endpoint.url} responded {status}: {reason}.",
        hint=hint,
        status=status,
    )


def _without_space(status: int, reason: str, url: str) -> StorageError | None:
    """Return the error of a server whose disk or quota is used up."""
    if status == 507 and _says(reason, _QUOTA):
        return StorageError(
            f"Qdrant at {url} is over its quota and refuses writes: {reason}.",
            hint="Free memory or disk space there, or raise the quota (`PUT /quotas`).",
        )
    if status == 507 or _says(reason, _FULL_DISK):
        return StorageError(
            f"The disk of Qdrant at {url} is full: {reason}.",
            hint="Free space on the server, then run this again.",
        )
    if is_not_stored(reason):
        return StorageError(
            f"Qdrant at {url} could not store the upload: {reason}.",
            hint="Most likely the disk of its snapshot folder or of its temporary folder is full:"
            " free space there, then run this again.",
        )
    return None


def is_full_disk(text: str) -> bool:
    """Return whether an operation failed because a disk is full."""
    return _says(text, _FULL_DISK)


def is_not_stored(text: str) -> bool:
    """Return whether Qdrant could not write an upload to its disk."""
    return _says(text, _NOT_STORED)


def is_not_visible(error: TaskError) -> bool:
    """Return whether the server cannot read the file that it should restore from."""
    return _says(error.message, _NOT_VISIBLE)


def is_wrong_checksum(error: TaskError) -> bool:
    """Return whether the file that reached the server has another checksum than the one sent."""
    return _says(error.message, _WRONG_CHECKSUM)


def is_old_storage(text: str) -> bool:
    """Return whether data could not be read because it is in RocksDB."""
    return _says(text, _OLD_STORAGE)


def way_out(error: TaskError) -> str:
    """Return what to do about a snapshot that a server could not restore."""
    if is_old_storage(error.message):
        return OLD_STORAGE_WAY_OUT
    if _says(error.message, _NEW_STORAGE):
        return "A later version of Qdrant wrote it. Restore it with the version that took it."
    return error.hint


def is_unflushed(error: TaskError) -> bool:
    """Return whether Qdrant could not write a collection to disk when it last tried to.

    Measured on 1.17.0, when an application drops a payload index while it is written; Qdrant tries
    again after its flush interval.
    """
    return _says(error.message, _UNFLUSHED)


def is_out_of_reach(error: TaskError) -> bool:
    """Return whether a node no longer has the collection or the shard whose copy is meant.

    Qdrant keeps the copies on its disk then, and refuses to list or to delete them.
    """
    return _says(error.message, _OUT_OF_REACH)


def refuses_exact(error: TaskError) -> bool:
    """Return whether strict mode (`search_allow_exact: false`) refuses exact results."""
    return _says(error.message, _EXACT_REFUSED)


def _says(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text.lower() for phrase in phrases)


def _remedy(reason: str) -> str:
    """Return what to do about a refusal; Qdrant names the right that a token lacks."""
    if _says(reason, _GLOBAL_RIGHT):
        return (
            "This needs the right to manage. Set QDRANT_API_KEY to the API key itself or to a token"
            ' with access "m"; docs/security.md lists the rights of each task.'
        )
    return "Set QDRANT_API_KEY or QDRANT_API_KEY_FILE to a key with the right to do this."


def _reason(response: httpx.Response, key: str | None) -> str:
    """Return the server's reason without the key, because a proxy may repeat the whole request."""
    try:
        text = response.json()["status"]["error"]
    except (ValueError, KeyError, TypeError):
        text = response.text
    if key:
        text = str(text).replace(key, "***")
    return " ".join(str(text).split())[:300].rstrip(".!") or "it gave no reason"
