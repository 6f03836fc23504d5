"""A real Qdrant behind a proxy that gives some answers as a newer version would.

Binaries of these versions cannot be installed here, so this is a stand-in: what it says was seen on
servers built from their tags. Everything else is done by the real server behind it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.proxy import Act, Answer, Exchange, Proxy, faulty

JSON = {"Content-Type": "application/json"}


def says(document: Any, status: int = 200) -> Act:
    """Answer with this result, or with this error if the status says so."""
    body = {"result": document} if status == 200 else {"status": {"error": document}}
    return lambda exchange: exchange.answer(Answer(status, JSON, json.dumps(body).encode()))


def changes(edit: Callable[[dict[str, Any]], None]) -> Act:
    """Answer what the real server does, with its result edited."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        document = json.loads(answer.body)
        edit(document["result"])
        exchange.answer(Answer(answer.status, JSON, json.dumps(document).encode()))

    return act


@contextmanager
def pretending(upstream: str, version: str) -> Iterator[Proxy]:
    """Run the proxy for the block; the root path says that it is this version."""
    title = {"title": "qdrant - vector search engine", "version": version}
    root = Answer(200, JSON, json.dumps(title).encode())
    with faulty(upstream) as proxy:
        proxy.on("GET", "/", lambda exchange: exchange.answer(root))
        proxy.on("GET", "/quotas", says("Not found", 404))
        yield proxy


@dataclass
class Deferring:
    """Hides points as 1.17.1 and later do with `prevent_unoptimized`; `hidden` may change."""

    hidden: int

    def at(self, proxy: Proxy, name: str) -> None:
        """Answer as such a server does for one collection; scrolls still show every point."""
        proxy.on("GET", f"/collections/{name}", changes(self.describe))
        proxy.on("POST", f"/collections/{name}/points/count", changes(self._count))

    def describe(self, described: dict[str, Any]) -> None:
        """Report the hidden points as `GET /collections/NAME` does."""
        if self.hidden:
            queue = described.get("update_queue") or {"length": 0}
            described["update_queue"] = queue | {"deferred_points": self.hidden}
            described["status"] = "yellow"

    def _count(self, result: dict[str, Any]) -> None:
        result["count"] -= self.hidden
