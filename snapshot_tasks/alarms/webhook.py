"""One JSON document at the end of a task, for any receiver of webhooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from snapshot_tasks.alarms.delivery import Message
from snapshot_tasks.system.untrusted import finite

MAX_RESULT_BYTES = 64_000


def webhook(
    url: str, document: Mapping[str, Any], *, started_at: datetime, seconds: float, host: str
) -> Message:
    """Return the `--json` document of a task, with its time, duration and machine.

    A result that is too long for a message is null, and `result_bytes` is its length.
    """
    result = json.dumps(finite(document["result"]), allow_nan=False)
    fits = len(result) <= MAX_RESULT_BYTES
    body = {
        **document,
        "result": json.loads(result) if fits else None,
        "result_bytes": len(result),
        "started_at": started_at.isoformat(),
        "seconds": round(seconds, 3),
        "host": host,
    }
    return Message(
        kind="webhook",
        url=url,
        body=json.dumps(body, allow_nan=False).encode(),
        content_type="application/json",
    )
