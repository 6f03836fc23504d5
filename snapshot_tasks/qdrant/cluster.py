"""A server as a node of a cluster: its peers, where shards are, and its shard keys."""

from __future__ import annotations

from snapshot_tasks.domain.cluster import KeyStep
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.qdrant.paths import AGREEMENT, collection_path
from snapshot_tasks.system.errors import CredentialsRefused
from snapshot_tasks.system.untrusted import JsonObject


class Cluster:
    """The cluster that a server belongs to, or its absence."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def status(self) -> JsonObject:
        """Return what the node says about its peers; nothing if the key may not ask."""
        try:
            answer: JsonObject = self._http.get("/cluster")
        except CredentialsRefused:
            return {}
        return answer

    def placement(self, collection: str) -> JsonObject:
        """Return where the shards of a collection are, and their states, as this node sees it."""
        answer: JsonObject = self._http.get(f"{collection_path(collection)}/cluster")
        return answer

    def create_keys(self, collection: str, steps: tuple[KeyStep, ...]) -> None:
        """Create shard keys in this order.

        One that only uses up ids is deleted once the next has got the ids after it.
        """
        path = f"{collection_path(collection)}/shards"
        gap: JsonObject | None = None
        for step in steps:
            body = {"shard_key": step.key, "shards_number": step.shards_count}
            if step.replication_factor:
                body["replication_factor"] = step.replication_factor
            self._http.send("PUT", path, body=body, params=AGREEMENT, long=True)
            if gap:
                self._http.send("POST", f"{path}/delete", body=gap, params=AGREEMENT, long=True)
            gap = {"shard_key": step.key} if step.gap else None
