"""The limits of a whole server, and whether it refuses writes because of one. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from snapshot_tasks.system.untrusted import JsonObject

_LIMITS = {
    "max_disk_usage_percent": ("disk_usage_percent", "disk"),
    "max_resident_memory_percent": ("resident_memory_percent", "memory"),
}


def exceeded_quotas(answer: JsonObject) -> tuple[str, ...]:
    """Return which limits of the answer to `GET /quotas` are reached, in words.

    A single node only reports its usage; each node of a cluster also says whether it refuses.
    """
    config, usage = answer.get("config") or {}, answer.get("usage") or {}
    own = tuple(_reached(config, usage)) if config.get("enabled") else ()
    peers = answer.get("peers") or {}
    return own or tuple(f"node {peer}" for peer, of in peers.items() if of.get("exceeded"))


def _reached(config: JsonObject, usage: JsonObject) -> Iterator[str]:
    for limit, (used, what) in _LIMITS.items():
        most, now = config.get(limit), usage.get(used)
        if most is not None and now is not None and now >= most:
            yield f"{what} {now} % of at most {most} %"
