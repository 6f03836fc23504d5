"""Payloads with values of every type in every field, as careless applications write them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

INDEXES: dict[str, Any] = {
    "keyword": "keyword",
    "integer": {"type": "integer", "lookup": True, "range": True},
    "lookup": {"type": "integer", "lookup": True, "range": False},
    "range": {"type": "integer", "lookup": False, "range": True},
    "float": "float",
    "bool": "bool",
    "datetime": "datetime",
    "uuid": {"type": "uuid", "is_tenant": True},
    "geo": "geo",
    "text": {"type": "text", "tokenizer": "word", "lowercase": True},
    "rows[].name": "keyword",
    "deep.er": "integer",
}


def mixed_points(count: int, *, dimensions: int = 4, seed: int = 7) -> Iterator[dict[str, Any]]:
    """Yield points whose fields hold values of any type, arrays of them, or nothing."""
    chance = random.Random(seed)
    fields = sorted(INDEXES.keys() - {"rows[].name", "deep.er"})
    for number in range(count):
        payload: dict[str, Any] = {f: _some(chance) for f in fields if chance.random() < 0.9}
        payload["rows"] = [{"name": _value(chance)} for _ in range(chance.randrange(4))]
        payload["deep"] = {"er": _some(chance)} if chance.random() < 0.8 else _value(chance)
        vector = [chance.random() for _ in range(dimensions)]
        yield {"id": number, "vector": vector, "payload": payload}


def _some(chance: random.Random) -> Any:
    if chance.random() < 0.2:
        return [_value(chance) for _ in range(chance.randrange(4))]
    return _value(chance)


def _value(chance: random.Random) -> Any:
    identity = UUID(int=chance.randrange(20) << 64)
    year = chance.randrange(1960, 2030)
    return chance.choice(
        [
            None,
            True,
            False,
            chance.choice(["id", "en", "de", "", "two words", "1", "ümlaut"]),
            chance.randrange(-5, 20),
            float(chance.randrange(-5, 20)),
            chance.randrange(-40, 40) / 8,
            chance.random(),
            chance.randrange(10**9, 2 * 10**9),
            f"{year}-01-01T00:00:00Z",
            f"{year}-06-01 12:00:00",
            f"{year}-06-01",
            f"{year}-06-01T12:00:00.123+07:00",
            str(identity),
            str(identity).upper(),
            "{" + str(identity) + "}",
            identity.hex,
            {"lon": chance.uniform(-170, 170), "lat": chance.uniform(-80, 80)},
            {"lon": chance.randrange(-170, 170), "lat": chance.randrange(-80, 80)},
            {"lon": "no", "lat": 1},
            {"other": 1},
        ]
    )
