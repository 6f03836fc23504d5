"""The snapshots in tests/data that newer servers made, and what those servers said about them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapshot_tasks.domain import fingerprint as canon
from snapshot_tasks.domain.fingerprint import PAYLOAD_NAME, VECTOR, Accumulator, Fingerprint, Point

DATA = Path(__file__).parents[1] / "data"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixture:
    """One collection of one version. `version` is the folder's: it may name feature flags."""

    version: str
    name: str

    def __str__(self) -> str:
        return f"{self.version}-{self.name}"

    @property
    def facts(self) -> dict[str, Any]:
        """What the server said about the collection and its snapshot."""
        facts: dict[str, Any] = json.loads(self._path("json").read_bytes())
        return facts

    def write(self, folder: Path, *, part: str = "") -> Path:
        """Write the snapshot file, uncompressed, into a folder; `part` is one of `nodes`."""
        name = f"{self.name}.{part}" if part else self.name
        path = folder / f"{name}.snapshot"
        path.write_bytes(gzip.decompress((self._folder / f"{name}.snapshot.gz").read_bytes()))
        return path

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield every point that the server returned."""
        with gzip.open(self._path("points.jsonl.gz"), "rb") as lines:
            yield from map(json.loads, lines)

    def components(self) -> Iterator[Point]:
        """Yield every point as a reader delivers it."""
        for point in self.points():
            vectors = (
                point["vector"] if isinstance(point["vector"], dict) else {"": point["vector"]}
            )
            named = [((VECTOR, name), canon.vector(vector)) for name, vector in vectors.items()]
            yield point["id"], [(PAYLOAD_NAME, canon.payload(point["payload"])), *named]

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of what the server returned."""
        total = Accumulator()
        for identity, components in self.components():
            total.add(identity, components)
        return total.result()

    @property
    def _folder(self) -> Path:
        return DATA / f"qdrant-{self.version}"

    def _path(self, ending: str) -> Path:
        return self._folder / f"{self.name}.{ending}"


FIXTURES = tuple(
    Fixture(version=path.parent.name.removeprefix("qdrant-"), name=path.stem)
    for path in sorted(DATA.glob("qdrant-*/*.json"))
)
NODES = tuple(fixture for fixture in FIXTURES if fixture.name == "nodes")
DEFERRED = tuple(fixture for fixture in FIXTURES if fixture.name == "deferred")
# The server showed every point of these.
WHOLE = tuple(fixture for fixture in FIXTURES if fixture not in (*NODES, *DEFERRED))
