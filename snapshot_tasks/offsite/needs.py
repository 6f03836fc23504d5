"""What the snapshots of one place need of it: their own objects, and the packs that they share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from snapshot_tasks.offsite.layout import Key
from snapshot_tasks.offsite.marker import Marker


def only_bytes(markers: Iterable[Marker]) -> Mapping[Key, int]:
    """Return, for each of all snapshots of a place, the stored bytes that no other one needs."""
    known = list(markers)
    users = Counter(pack.name for marker in known for pack in marker.packs)
    return {
        marker.key: _own_bytes(marker)
        + sum(pack.stored_bytes for pack in marker.packs if users[pack.name] == 1)
        for marker in known
    }


def freed_bytes(markers: Iterable[Marker], dropped: Collection[Key]) -> int:
    """Return the stored bytes that nobody needs once some of all snapshots of a place are gone."""
    known = list(markers)
    needed = {pack.name for marker in known if marker.key not in dropped for pack in marker.packs}
    gone = [marker for marker in known if marker.key in dropped]
    packs = {pack.name: pack.stored_bytes for marker in gone for pack in marker.packs}
    return sum(map(_own_bytes, gone)) + sum(
        stored_bytes for name, stored_bytes in packs.items() if name not in needed
    )


def _own_bytes(marker: Marker) -> int:
    return sum(blob.stored_bytes for blob in marker.blobs)
