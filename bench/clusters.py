"""The contestants for taking a collection of a cluster, 6 shards on 3 nodes."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.contestant import Asked, Contestant
from bench.data import NAME, SMALL
from bench.takers import seal, shell, taken
from snapshot_tasks.sealing.parts import processors

SHARDS = 6

# Where the snapshots of each shard are created, node by node.
Urls = list[str]
# Takes all shards into a folder, and returns the URLs of the nodes' copies.
Take = Callable[[Urls, Path], list[str]]


def _urls(asked: Asked) -> Urls:
    found = []
    for node in asked["nodes"]:
        url = f"{node}/collections/{NAME}"
        shards = json.loads(shell("curl", "-sf", f"{url}/cluster"))["result"]["local_shards"]
        found += [f"{url}/shards/{shard['shard_id']}/snapshots" for shard in shards]
    return found


def _by_hand(asked: Asked, take: Take) -> int:
    """Take all shards by curl, sync them, and return their bytes."""
    urls = _urls(asked)
    with tempfile.TemporaryDirectory(dir=asked["folder"]) as name:
        asked["clock"]()
        copies = take(urls, Path(name))
        files = list(Path(name).iterdir())
        shell("sync", *map(str, files))
        asked["clock"](end=True)
        for copy in copies:
            shell("curl", "-sf", "-X", "DELETE", copy)
        assert len(files) == SHARDS
        return sum(file.stat().st_size for file in files)


def _fetch(url: str, folder: Path) -> str:
    """Create one shard's snapshot, download it unchanged, and return the URL of the node's copy."""
    made = json.loads(shell("curl", "-sf", "-X", "POST", url))["result"]["name"]
    file, identity = folder / made, "Accept-Encoding: identity"
    shell("curl", "-sf", "-H", identity, "-o", str(file), f"{url}/{made}")
    return f"{url}/{made}"


def curl_in_turn(asked: Asked) -> int:
    """One node after the other by hand, and one shard of it after the other."""
    return _by_hand(asked, lambda urls, folder: [_fetch(url, folder) for url in urls])


def curl_side_by_side(asked: Asked) -> int:
    """The bare transfers: all shards at once, a process each, and nothing hashed."""

    def take(urls: Urls, folder: Path) -> list[str]:
        with ThreadPoolExecutor(max_workers=SHARDS) as pool:
            return list(pool.map(lambda url: _fetch(url, folder), urls))

    return _by_hand(asked, take)


def create_unsealed(asked: Asked) -> int:
    """This project's `create --no-seal`."""
    return taken(asked, NAME, seal=False)


def create_small(asked: Asked) -> int:
    """The same with a tenth of the points, to see whether memory grows."""
    return taken(asked, SMALL, seal=False)


def create_streamed(asked: Asked) -> int:
    """The same without copies on the nodes."""
    return taken(asked, NAME, seal=False, stream=True)


def create_sealed(asked: Asked) -> int:
    """This project's `create`."""
    return taken(asked, NAME, seal=True)


def seal_alone(asked: Asked) -> int:
    """Only what sealing does with the file, on one processor."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    assert processors() == 1
    return seal(asked)


CONTESTANTS: dict[str, Contestant] = {
    "curl: one shard after the other, sync": curl_in_turn,
    "curl: all shards at once, sync": curl_side_by_side,
    "create --no-seal, cluster": create_unsealed,
    "create --no-seal, cluster, a tenth": create_small,
    "create --no-seal --stream, cluster": create_streamed,
    "create, cluster": create_sealed,
    "seal, 6 shards, one processor": seal_alone,
    "seal, 6 shards": seal,
}
