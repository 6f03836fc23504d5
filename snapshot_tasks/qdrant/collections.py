"""The collections and aliases of a Qdrant server."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from snapshot_tasks.domain.collection import (
    CollectionState,
    Count,
    change,
    creation,
    optimizer_is_off,
)
from snapshot_tasks.domain.strict_mode import Limits, within
from snapshot_tasks.qdrant.errors import not_qdrant, refuses_exact
from snapshot_tasks.qdrant.guard import is_scoped
from snapshot_tasks.qdrant.http import Http
from snapshot_tasks.qdrant.lost import or_look
from snapshot_tasks.qdrant.paths import AGREEMENT, collection_path
from snapshot_tasks.system.errors import NotFound, Refused, ServerFailure
from snapshot_tasks.system.untrusted import JsonObject

POLL_SECONDS = 0.05
COUNT_POLL_SECONDS = 0.2
# A count that stays the same for so long does not change any more, if nothing is running.
CALM_SECONDS = 3.0
ID_BATCH = 10_000
SCROLLED = "by a scroll of their ids, because strict mode refuses exact counts"
# How often to count again because the optimizer has shown some points meanwhile.
COUNTING_ATTEMPTS = 5
# What Qdrant answers if the collection exists.
CONFLICT = 409


class Exists(Refused):
    """A collection that was to be created exists; it is somebody else's."""


class Collections:
    """The collections of a server."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def names(self) -> list[str]:
        """Return the collections' names, sorted. Raises `Unreachable` if no Qdrant responds."""
        try:
            answer = self._http.get("/collections")
        except NotFound as error:
            raise not_qdrant(self._http.endpoint.url) from error
        return sorted(c["name"] for c in answer["collections"])

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
        return self._count(collection)[0]

    def _count(self, collection: str) -> tuple[int, str]:
        """Return the exact number of points, and how they were counted if that was refused."""
        path = f"{collection_path(collection)}/points/count"
        try:
            answer = self._http.ask(path, {"exact": True})
        except ServerFailure as error:
            if not refuses_exact(error):
                raise
            return self._scrolled(collection), SCROLLED
        return int(answer["count"]), ""

    def _scrolled(self, collection: str) -> int:
        """Count the ids: strict mode can refuse an exact count, but never a scroll."""
        limit = within(ID_BATCH, Limits.of(self.config(collection)).points)
        body: dict[str, Any] = {"limit": limit, "with_payload": False, "with_vector": False}
        path, count = f"{collection_path(collection)}/points/scroll", 0
        while True:
            answer = self._http.ask(path, body)
            count += len(answer["points"])
            body["offset"] = answer.get("next_page_offset")
            if body["offset"] is None:
                return count

    def lift_limits(self, collection: str) -> JsonObject | None:
        """Switch strict mode off and return its settings, which are kept; None if it was off."""
        strict: JsonObject | None = self.config(collection).get("strict_mode_config")
        if not strict or not strict.get("enabled"):
            return None
        self._switch_limits(collection, is_on=False)
        return strict

    def restore_limits(self, collection: str) -> None:
        """Switch strict mode on again, with the settings that it had."""
        self._switch_limits(collection, is_on=True)

    def _switch_limits(self, collection: str, *, is_on: bool) -> None:
        body = {"strict_mode_config": {"enabled": is_on}}
        self._http.send("PATCH", collection_path(collection), body=body, long=True)

    def config(self, collection: str) -> JsonObject:
        """Return the configuration."""
        config: JsonObject = self._http.get(collection_path(collection))["config"]
        return config

    def count_all(self, collection: str) -> Count:
        """Return the exact number of points, and how many more are hidden."""
        path = collection_path(collection)
        hidden = _hidden(self._http.get(path))
        for _ in range(COUNTING_ATTEMPTS):
            before, (shown, way) = hidden, self._count(collection)
            # What becomes visible between two requests would be counted twice, or not at all.
            if not before or (hidden := _hidden(self._http.get(path))) == before:
                break
        return Count(shown=shown, hidden=hidden, way=way)

    def wait_count(
        self, collection: str, fits: Callable[[int], bool], timeout_seconds: float
    ) -> Count:
        """Count until the number fits and no point is hidden; return the last count.

        Right after a restore, an exact count can be too small for a moment: a cluster agrees on its
        shards first, and queued updates are applied. It ends early if nothing changes any more. An
        optimizer that is switched off never shows hidden points.
        """
        start = since = time.monotonic()
        last: Count | None = None
        while True:
            described = self._http.get(collection_path(collection))
            count, now = self.count_all(collection), time.monotonic()
            if fits(count.total) and (not count.hidden or optimizer_is_off(described["config"])):
                return count
            if count != last:
                last, since = count, now
            calm = _is_calm(described) and now - since >= CALM_SECONDS
            if calm or now - start >= timeout_seconds:
                return count
            time.sleep(COUNT_POLL_SECONDS)

    def wait_shown(self, collection: str, timeout_seconds: float) -> None:
        """Wait until no point is hidden, while an optimizer may show it."""
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            described = self._http.get(collection_path(collection))
            if not _hidden(described) or optimizer_is_off(described["config"]):
                return
            time.sleep(COUNT_POLL_SECONDS)

    def state(self, collection: str) -> CollectionState:
        """Return the exact count, the configuration, the payload schema and the aliases."""
        info = self._http.get(collection_path(collection))
        schema = {
            name: {key: value for key, value in index.items() if key != "points"}
            for name, index in info["payload_schema"].items()
        }
        owned = self._http.get(f"{collection_path(collection)}/aliases")["aliases"]
        count = self.count_all(collection)
        return CollectionState(
            points_count=count.shown,
            hidden_count=count.hidden,
            count_way=count.way,
            config=info["config"],
            payload_schema=schema,
            aliases=tuple(sorted(a["alias_name"] for a in owned)),
        )

    def wait_green(self, collection: str, timeout_seconds: float) -> str:
        """Wait until the optimizer is done; return the last status seen.

        A restored collection may stay `grey` forever; an empty update wakes its optimizer. One that
        is switched off is not waited for.
        """
        deadline = time.monotonic() + timeout_seconds
        woken = False
        while True:
            described = self._http.get(collection_path(collection))
            status = str(described["status"])
            if status == "green" or optimizer_is_off(described["config"]):
                break
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
        """Create an empty collection; a lost answer is reconciled by looking.

        Raises:
            Exists: if there is one of that name.
        """
        path = collection_path(collection)
        try:
            or_look(
                lambda: self._http.send("PUT", path, body=body, params=AGREEMENT, long=True),
                lambda: collection in self.names(),
            )
        except ServerFailure as error:
            if error.status != CONFLICT:
                raise
            raise Exists(
                f"The collection {collection} was created by somebody else meanwhile.",
                hint="Nothing of it was changed. Run this again under another name (`--as NAME`).",
            ) from error

    def create_as(self, collection: str, config: JsonObject) -> None:
        """Create an empty collection with the configuration that another one had.

        Raises:
            Exists: if there is one of that name.
        """
        self.create(collection, creation(config))
        if later := change(config):
            path = collection_path(collection)
            self._http.send("PATCH", path, body=later, params=AGREEMENT, long=True)

    def create_alias(self, alias: str, collection: str) -> None:
        """Point a new alias at a collection; a lost answer is reconciled by looking."""
        self._point([alias], collection, [_pointing(alias, collection)])

    def switch_aliases(self, aliases: Iterable[str], collection: str) -> None:
        """Point aliases at a collection, wherever they pointed before, all in one request."""
        wanted, existing = list(aliases), self.aliases()
        gone = [{"delete_alias": {"alias_name": name}} for name in wanted if name in existing]
        self._point(wanted, collection, [*gone, *(_pointing(name, collection) for name in wanted)])

    def _point(self, aliases: list[str], collection: str, actions: list[JsonObject]) -> None:
        def is_done() -> bool:
            owners = self.aliases()
            return all(owners.get(alias) == collection for alias in aliases)

        body = {"actions": actions}
        or_look(
            lambda: self._http.send(
                "POST", "/collections/aliases", body=body, params=AGREEMENT, long=True
            ),
            is_done,
        )

    def delete(self, collection: str) -> None:
        """Delete a collection. Its server snapshots stay on the server's disk.

        A lost answer is reconciled by looking.
        """
        or_look(
            lambda: self._http.send(
                "DELETE", collection_path(collection), params=AGREEMENT, long=True
            ),
            lambda: collection not in self.names(),
        )


def _pointing(alias: str, collection: str) -> JsonObject:
    return {"create_alias": {"alias_name": alias, "collection_name": collection}}


def _hidden(described: Mapping[str, Any]) -> int:
    """Return the number of deferred points, which 1.17.1 and later report if there are any."""
    return int((described.get("update_queue") or {}).get("deferred_points") or 0)


def _is_calm(described: Mapping[str, Any]) -> bool:
    """Return whether nothing is running that could change the number of points."""
    off = optimizer_is_off(described["config"])
    queued = (described.get("update_queue") or {}).get("length") or 0
    return not queued and (off or (described["status"] == "green" and not _hidden(described)))
