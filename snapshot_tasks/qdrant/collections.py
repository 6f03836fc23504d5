"""The collections and aliases of a Qdrant server."""

from __future__ import annotations

import time

from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.qdrant.guard import is_scoped
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.qdrant.paths import collection_path
from snapshot_tasks.system.untrusted import JsonObject

POLL_SECONDS = 0.05


class Collections:
    """The collections of a server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def names(self) -> list[str]:
        """Return the collections' names, sorted."""
        return sorted(c["name"] for c in self._http.get("/collections")["collections"])

    def aliases(self) -> dict[str, str]:
        """Return every alias and the collection behind it."""
        answer = self._http.get("/aliases")["aliases"]
        return {a["alias_name"]: a["collection_name"] for a in answer}

    @property
    def hides_aliases(self) -> bool:
        """Whether aliases are hidden: a token for single collections sees no aliases at all."""
        return is_scoped(self._http.endpoint.api_key)

    def count(self, collection: str) -> int:
        """Return the exact number of points (`points_count` is approximate during writes)."""
        answer = self._http.send(
            "POST", f"{collection_path(collection)}/points/count", body={"exact": True}, long=True
        )
        return int(answer["count"])

    def config(self, collection: str) -> JsonObject:
        """Return the configuration."""
        config: JsonObject = self._http.get(collection_path(collection))["config"]
        return config

    def state(self, collection: str) -> CollectionState:
        """Return the exact count, the configuration, the payload schema and the aliases."""
        info = self._http.get(collection_path(collection))
        schema = {
            name: {key: value for key, value in index.items() if key != "points"}
            for name, index in info["payload_schema"].items()
        }
        owned = self._http.get(f"{collection_path(collection)}/aliases")["aliases"]
        return CollectionState(
            points_count=self.count(collection),
            config=info["config"],
            payload_schema=schema,
            aliases=tuple(sorted(a["alias_name"] for a in owned)),
        )

    def wait_green(self, collection: str, timeout_seconds: float) -> str:
        """Wait until the optimizer is done; return the last status seen.

        A restored collection may stay `grey` forever; an empty update wakes its optimizer.
        """
        deadline = time.monotonic() + timeout_seconds
        woken = False
        while (status := str(self._http.get(collection_path(collection))["status"])) != "green":
            if status == "grey" and not woken:
                self._http.send(
                    "PATCH", collection_path(collection), body={"optimizers_config": {}}, long=True
                )
                woken = True
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_SECONDS)
        return status

    def wait_drained(self, collection: str, timeout_seconds: float) -> bool:
        """Wait until no update is queued; False if some remain or it is not reported.

        `reports_queue` of `domain/versions.py` says which versions report the queue.
        """
        path, deadline = collection_path(collection), time.monotonic() + timeout_seconds
        while (queue := self._http.get(path).get("update_queue")) is not None:
            if queue["length"] == 0:
                return True
            if time.monotonic() >= deadline:
                return False
            time.sleep(POLL_SECONDS)
        return False

    def create(self, collection: str, body: JsonObject) -> None:
        """Create an empty collection."""
        self._http.send("PUT", collection_path(collection), body=body, long=True)

    def create_alias(self, alias: str, collection: str) -> None:
        """Point a new alias at a collection."""
        action = {"create_alias": {"alias_name": alias, "collection_name": collection}}
        self._http.send("POST", "/collections/aliases", body={"actions": [action]}, long=True)

    def delete(self, collection: str) -> None:
        """Delete a collection. Its server snapshots stay on the server's disk."""
        self._http.send("DELETE", collection_path(collection), long=True)
