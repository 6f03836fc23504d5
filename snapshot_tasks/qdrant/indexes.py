"""The payload indexes of one live collection: what they find, and the payloads themselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.index_counts import IndexCount
from snapshot_tasks.domain.strict_mode import Limits, within
from snapshot_tasks.qdrant.errors import refuses_exact
from snapshot_tasks.qdrant.http import BATCH_ANSWERS, Http
from snapshot_tasks.qdrant.lost import or_look
from snapshot_tasks.qdrant.paths import collection_path
from snapshot_tasks.system.errors import ServerFailure

BATCH = 1000
# With fewer points a request, a scroll takes too many requests to count with it.
LEAST_SCROLLED = 100
_KEY = re.compile(r'"[^"]*"|[^."\[\]]+')
PointId = int | str


class PayloadIndexes:
    """Asks the payload indexes of one collection, over a connection that is to be closed."""

    def __init__(self, endpoint: Endpoint, collection: str) -> None:
        self._http = Http(
            endpoint, operation_timeout_seconds=BATCH_ANSWERS * endpoint.answer_seconds
        )
        self._path = collection_path(collection)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def schema(self) -> dict[str, Any]:
        """Return every payload index, with the number of points that it holds."""
        return dict(self._described()["payload_schema"])

    def found(
        self, counts: Sequence[IndexCount], *, among: Sequence[PointId] | None = None
    ) -> list[int | None]:
        """Return what the collection finds for each count, exactly; None if it refuses to say.

        With `among`, only these points are counted; the number of points that an index holds is
        then not known.

        Raises:
            ServerFailure: if the server fails to count.
        """
        schema = self.schema()
        return [self._found(count, schema, among) for count in counts]

    def payloads(self, field: str = "") -> Iterator[Any]:
        """Yield the payload of every point; for a field, with no more than its first key."""
        wanted = {"include": [_first_key(field)]} if field else True
        for points in self._scroll({"limit": self._limit(), "with_payload": wanted}):
            yield from (point["payload"] for point in points)

    def sample(self) -> dict[PointId, Any]:
        """Return the payloads of up to 1,000 points, chosen at random by the server."""
        body = {"query": {"sample": "random"}, "limit": self._limit(), "with_payload": True}
        answer = self._http.ask(f"{self._path}/points/query", body)
        return {point["id"]: point["payload"] for point in answer["points"]}

    def make_anew(self, field: str, index: Mapping[str, Any]) -> None:
        """Delete an index, and create it again with the same parameters, from the payloads."""
        path = f"{self._path}/index/{quote(field, safe='')}"
        or_look(
            lambda: self._http.send("DELETE", path, params={"wait": "true"}, long=True),
            lambda: field not in self._described()["payload_schema"],
        )
        self.make(field, index)

    def make(self, field: str, index: Mapping[str, Any]) -> None:
        """Create an index as a server describes it; a lost answer is reconciled by looking."""
        path, wait = f"{self._path}/index", {"wait": "true"}
        body = {"field_name": field, "field_schema": index.get("params") or index["data_type"]}
        or_look(
            lambda: self._http.send("PUT", path, body=body, params=wait, long=True),
            lambda: field in self._described()["payload_schema"],
        )

    def _found(
        self, count: IndexCount, schema: Mapping[str, Any], among: Sequence[PointId] | None
    ) -> int | None:
        if count.field not in schema:
            return None
        if not count.condition:
            return None if among is not None else int(schema[count.field].get("points") or 0)
        must: list[Any] = [dict(count.condition)]
        if among is not None:
            must.append({"has_id": list(among)})
        body = {"filter": {"must": must}, "exact": True}
        try:
            answer = self._http.ask(f"{self._path}/points/count", body)
        except ServerFailure as error:
            if error.is_internal:
                raise
            return self._scrolled(body["filter"]) if refuses_exact(error) else None
        return int(answer["count"])

    def _scrolled(self, condition: Any) -> int | None:
        """Count what a filter finds by a scroll; None if strict mode makes it too slow."""
        limit = self._limit()
        if limit < LEAST_SCROLLED:
            return None
        body = {"filter": condition, "limit": limit, "with_payload": False, "with_vector": False}
        return sum(map(len, self._scroll(body)))

    def _scroll(self, body: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """Yield batch after batch of the points that a scroll finds."""
        while True:
            answer = self._http.ask(f"{self._path}/points/scroll", body)
            yield answer["points"]
            if answer.get("next_page_offset") is None:
                return
            body = {**body, "offset": answer["next_page_offset"]}

    def _described(self) -> Any:
        return self._http.get(self._path)

    def _limit(self) -> int:
        """Return how many points strict mode allows at once, up to a batch."""
        return within(BATCH, Limits.of(self._described()["config"]).points)


def _first_key(field: str) -> str:
    """Return the first key of a path, as a path."""
    key = _KEY.match(field)
    return key.group() if key else field
