"""Which contestants are compared with each other, and the target ratios."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Result = Mapping[str, float]
# The results of each contestant, one per round.
Runs = Mapping[str, Sequence[Result]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A contestant of this project compared with another one.

    The ratio compares speeds, at least the target; or times for the same work, at most the target.
    `minus` is another contestant whose time is subtracted first. With `sent` it compares the bytes
    that were sent, at most the target.
    """

    ours: str
    other: str
    at_least: float | None = None
    at_most: float | None = None
    minus: str = ""
    sent: bool = False

    def ratios(self, runs: Runs) -> list[float]:
        """Return the ratio of each round."""
        ours, other = runs[self.ours], runs[self.other]
        if self.sent:
            return [a["sent"] / b["sent"] for a, b in zip(ours, other, strict=True)]
        taken = runs[self.minus] if self.minus else [{"seconds": 0.0}] * len(ours)
        times = [
            max(a["seconds"] - less["seconds"], 0.0) / a["amount"] / (b["seconds"] / b["amount"])
            for a, b, less in zip(ours, other, taken, strict=True)
        ]
        return times if self.at_most else [1 / time for time in times]

    @property
    def target(self) -> str:
        """The target as it is printed."""
        unit = " of the bytes" if self.sent else ""
        return f"≤ {self.at_most}{unit}" if self.at_most else f"≥ {self.at_least}"

    def is_met(self, runs: Runs) -> bool:
        """Whether the median ratio is within the target."""
        median = statistics.median(self.ratios(runs))
        return median <= self.at_most if self.at_most else median >= (self.at_least or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """The contestants of one module of `bench`, their unit of work, and the comparisons.

    With several `nodes`, Qdrant is a cluster, and the collection has twice as many shards.
    """

    title: str
    module: str
    unit: str
    contestants: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    remark: str = ""
    nodes: int = 1


TAKING = Contest(
    title="Taking a snapshot",
    module="takers",
    unit="MB/s",
    contestants=(
        "dd: copy the file, sync",
        "curl: create, download, sha256sum, sync",
        "script: qdrant-client and requests",
        "create --no-seal",
        "create",
        "seal",
        "Qdrant Edge: unpack, read",
        "Qdrant Edge: unpack, touch every value",
    ),
    comparisons=(
        Comparison(
            ours="create --no-seal", other="curl: create, download, sha256sum, sync", at_most=1.1
        ),
        Comparison(
            ours="create", minus="create --no-seal", other="Qdrant Edge: unpack, read", at_most=1.0
        ),
        Comparison(
            ours="create",
            minus="create --no-seal",
            other="Qdrant Edge: unpack, touch every value",
            at_most=1.0,
        ),
    ),
    remark="`Qdrant Edge: unpack, read` discards every point without looking at it. Sealing "
    "converts each element to Python values and hashes them. For a point of 384 dimensions, this "
    "takes 17 µs, compared with 4 µs in Qdrant Edge: 4 µs for the list of a vector, 3 µs for its "
    "float32 bits, 3 µs for the hashes and 2 µs for the sanity counts. So 1.0 is out of reach "
    "in Python. Two processes share the work. They start once the file is complete, because "
    "until then Qdrant and the download keep both processors busy.",
)
DOWNLOADING = Contest(
    title="Downloading",
    module="takers",
    unit="MB/s",
    contestants=("urllib", "requests with its defaults", "download with sha256"),
    comparisons=(
        Comparison(ours="download with sha256", other="urllib", at_least=0.9),
        Comparison(ours="download with sha256", other="requests with its defaults", at_least=4),
    ),
)
RESTORING = Contest(
    title="Bringing it back",
    module="restorers",
    unit="MB/s",
    contestants=(
        "recover from file://",
        "recover from file://, with checksum",
        "restore from file://",
        "curl: multipart upload",
        "curl: multipart upload, with checksum",
        "script: requests files=",
        "restore by upload",
        "start, recover, read every point",
        "hash, start, recover, read, restart, read, stop",
        "test-restore",
    ),
    comparisons=(
        Comparison(
            ours="restore from file://", other="recover from file://, with checksum", at_most=1.05
        ),
        Comparison(ours="restore from file://", other="recover from file://", at_most=1.25),
        Comparison(ours="restore by upload", other="curl: multipart upload", at_most=1.1),
        Comparison(
            ours="restore by upload", other="curl: multipart upload, with checksum", at_most=1.1
        ),
        Comparison(
            ours="test-restore",
            other="hash, start, recover, read, restart, read, stop",
            at_most=1.3,
        ),
        Comparison(ours="test-restore", other="start, recover, read every point", at_most=1.3),
    ),
    remark="In a folder that Qdrant can see, only Qdrant hashes the file; the difference between "
    "the two recovers shows how long that takes. For an upload, the file is also read once "
    "beforehand, so that a damaged one is never sent, and Qdrant hashes what arrived: both "
    "are intended. A drill reads every point and runs its searches twice, before and after a "
    "restart. That is what makes it a proof, and it takes more than 1.3 × a single bare read; "
    "compared with all of its steps done by hand, it stays within 1.3.",
)
READING = Contest(
    title="Reading every point",
    module="readers",
    unit="points/s",
    contestants=(
        "gRPC bytes",
        "gRPC bytes, two processes",
        "qdrant-client scroll",
        "qdrant-client scroll, gRPC",
        "fingerprint, live",
        "locate, live",
        "Qdrant Edge, values touched",
        "fingerprint, file",
        "seal, file",
        "locate, file",
    ),
    comparisons=(
        Comparison(ours="fingerprint, live", other="qdrant-client scroll", at_least=6),
        Comparison(ours="fingerprint, live", other="gRPC bytes, two processes", at_least=0.55),
        Comparison(ours="fingerprint, live", other="gRPC bytes", at_least=0.6),
        Comparison(ours="fingerprint, file", other="Qdrant Edge, values touched", at_least=0.65),
        Comparison(ours="locate, live", other="fingerprint, live", at_most=0.05),
        Comparison(ours="locate, file", other="seal, file", at_most=0.05),
    ),
    remark="Locating lists the id of every point, then reads the points that may differ. Qdrant "
    "takes 1.2 µs to list an id, which is 6 % of the time to read the whole point, so 0.05 is "
    "out of reach as long as every id is listed. In the file, most of the time goes to "
    "unpacking, which sealing needs as well.",
)
STARTING = Contest(
    title="Starting",
    module="commands",
    unit="calls/s",
    contestants=(
        "inv --list, one bare task",
        "inv --list",
        "snapshot.list, 1 snapshot",
        "snapshot.list, 1,000 snapshots",
        "snapshot.list, 10,000 snapshots",
        "snapshot.prune --dry-run, 10,000 snapshots",
    ),
    comparisons=(Comparison(ours="inv --list", other="inv --list, one bare task", at_most=1.3),),
    remark="Each contestant makes three calls. The extra time of `inv --list` goes to importing "
    "the task modules of this project, without settings, Qdrant or tables. With many "
    "snapshots, the time goes to reading and checking each manifest; the recorded searches, most "
    "of what is recorded, are not read.",
)
CLUSTER = Contest(
    title="Taking 6 shards from 3 nodes",
    module="clusters",
    unit="MB/s",
    nodes=3,
    contestants=(
        "curl: one shard after the other, sync",
        "curl: all shards at once, sync",
        "create --no-seal, cluster",
        "create --no-seal, cluster, a tenth",
        "create --no-seal --stream, cluster",
        "create, cluster",
        "seal, 6 shards, one processor",
        "seal, 6 shards",
    ),
    comparisons=(
        Comparison(
            ours="create --no-seal, cluster",
            other="curl: one shard after the other, sync",
            at_most=1.0,
        ),
        Comparison(
            ours="create --no-seal, cluster", other="curl: all shards at once, sync", at_most=1.1
        ),
        Comparison(ours="seal, 6 shards", other="seal, 6 shards, one processor", at_most=0.65),
    ),
    remark="By curl, nothing is hashed. This project compares the SHA-256 of each shard with that "
    "of its node, and the file has one as well, so all bytes are hashed twice: while they arrive, "
    "but on the same processors as Qdrant. Without hashing, the ratio to curl is about 1.1. The "
    "copies on the nodes are deleted meanwhile; those of curl are not. Memory does not grow with "
    "the points.",
)
PUSHING = Contest(
    title="Copies off-site",
    module="pushers",
    unit="MB/s",
    contestants=(
        "parts of 32 MiB, all of them",
        "restic backup, first",
        "push, first",
        "restic backup, 1 % changed",
        "push, 1 % changed",
        "S3: get, one pack after the other",
        "S3: get, side by side",
        "S3: restic restore",
        "S3: pull",
        "S3 at 30 MB/s: get, side by side",
        "S3 at 30 MB/s: pull",
    ),
    comparisons=(
        Comparison(ours="push, first", other="parts of 32 MiB, all of them", at_most=1.1),
        Comparison(ours="push, first", other="restic backup, first", at_most=1.0),
        Comparison(ours="push, 1 % changed", other="restic backup, 1 % changed", at_most=1.0),
        Comparison(ours="push, 1 % changed", other="push, first", at_most=0.04, sent=True),
        Comparison(ours="S3: pull", other="S3: get, one pack after the other", at_most=1.2),
        Comparison(ours="S3: pull", other="S3: get, side by side", at_most=1.2),
        Comparison(
            ours="S3 at 30 MB/s: pull", other="S3 at 30 MB/s: get, side by side", at_most=1.2
        ),
    ),
    remark="Everything is encrypted, here with age, in restic by itself. Snapshots are pushed into "
    "a folder, and pulled from an S3 server on the same machine, which a network would slow down: "
    "a bare get takes only the stored bytes, 570 MB/s here. A pull decrypts, decompresses and "
    "hashes each block, hashes the whole file, and syncs it. Without SHA instructions the hash "
    "alone takes 1.5 s of it, and age, one thread at a time, 1.4 s. So 1.2 is only within reach "
    "where the store gives less than 60 MB/s: the rows at 30 MB/s are over a link of limited "
    "speed. A push holds at most three packs in memory, "
    "whatever the size: 146 MB for a snapshot of 1.6 GB, all of Python included; a pull 54 MB.",
)
CONTESTS = (TAKING, DOWNLOADING, RESTORING, READING, STARTING, CLUSTER, PUSHING)


def comparisons() -> Iterator[tuple[Contest, Comparison]]:
    """Yield every comparison with its contest."""
    for contest in CONTESTS:
        for comparison in contest.comparisons:
            yield contest, comparison
