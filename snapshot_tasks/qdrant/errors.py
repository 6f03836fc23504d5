"""What Qdrant's refusals mean. All that is matched against its English is here.

Status codes alone do not say enough: a full disk, a damaged file and a file that the server cannot
see are all answered with 400 or 500. So a new version of Qdrant is checked against this file first.
"""

from __future__ import annotations

import httpx

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.system.errors import (
    CredentialsRefused,
    NotFound,
    ServerFailure,
    StorageError,
    TaskError,
)

_FULL_DISK = ("no space left", "out of disk", "not enough disk", "insufficient storage")
# The last two: since the server reads files only below its own snapshots folder (1.17.1).
_NOT_VISIBLE = ("does not exist", "permission denied", "must be in", "outside of")
_WRONG_CHECKSUM = ("checksum mismatch",)
# The right that a token lacks, where it is one on the whole server.
_GLOBAL_RIGHT = ("global",)


def refusal(response: httpx.Response, endpoint: Endpoint) -> TaskError:
    """Return what Qdrant's error answer means, with a remedy."""
    status, reason = response.status_code, _reason(response, endpoint.api_key)
    if status in (401, 403):
        return CredentialsRefused(
            f"Qdrant at {endpoint.url} refused the credentials ({status}): {reason}.",
            hint=_remedy(reason),
        )
    if status == 404:
        return NotFound(
            f"Qdrant at {endpoint.url} says: {reason}.",
            hint="`inv stack.status` lists the collections that are there.",
        )
    if status == 507 or _says(reason, _FULL_DISK):
        return StorageError(
            f"The disk of Qdrant at {endpoint.url} is full: {reason}.",
            hint="Free space on the server, then run this again.",
        )
    return ServerFailure(
        f"Qdrant at {endpoint.url} answered {status}: {reason}.",
        hint="`inv stack.logs` shows what the server says about it.",
    )


def is_not_visible(error: TaskError) -> bool:
    """Say whether the server cannot read the file that it was told to restore from."""
    return _says(error.message, _NOT_VISIBLE)


def is_wrong_checksum(error: TaskError) -> bool:
    """Say whether what arrived at the server has another checksum than what was sent."""
    return _says(error.message, _WRONG_CHECKSUM)


def _says(text: str, phrases: tuple[str, ...]) -> bool:
    return any(phrase in text.lower() for phrase in phrases)


def _remedy(reason: str) -> str:
    """Return what to do about a refusal; Qdrant names the right that a token lacks."""
    if _says(reason, _GLOBAL_RIGHT):
        return (
            'This needs the right to manage: the API key itself, or a token with access "m"'
            " (QDRANT_API_KEY). The README says which task needs which right."
        )
    return "Set QDRANT_API_KEY or QDRANT_API_KEY_FILE to a key that may do this."


def _reason(response: httpx.Response, key: str | None) -> str:
    """Return what the server says, without the key: a proxy may repeat the whole request."""
    try:
        text = response.json()["status"]["error"]
    except (ValueError, KeyError, TypeError):
        text = response.text
    if key:
        text = str(text).replace(key, "***")
    return " ".join(str(text).split())[:300].rstrip(".!") or "no reason given"
