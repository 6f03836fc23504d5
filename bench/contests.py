"""Who is measured beside whom, and which ratio is aimed at."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

Result = Mapping[str, float]
# The results of each contestant, one for each round.
Runs = Mapping[str, Sequence[Result]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One contestant of this project beside another.

    The ratio is that of speeds, at least the target; or of times for the same work, at most the
    target. `minus` is another contestant whose time is taken off first.
    """

    ours: str
    other: str
    at_least: float | None = None
    at_most: float | None = None
    minus: str = ""

    def ratios(self, runs: Runs) -> list[float]:
        """Return the ratio of each round."""
        ours, other = runs[self.ours], runs[self.other]
        taken = runs[self.minus] if self.minus else [{"seconds": 0.0}] * len(ours)
        times = [
            max(a["seconds"] - less["seconds"], 0.0) / a["amount"] / (b["seconds"] / b["amount"])
            for a, b, less in zip(ours, other, taken, strict=True)
        ]
        return times if self.at_most else [1 / time for time in times]

    @property
    def target(self) -> str:
        """The target, as it is printed."""
        return f"≤ {self.at_most}" if self.at_most else f"≥ {self.at_least}"

    def is_met(self, runs: Runs) -> bool:
        """Whether the median ratio is within the target."""
        median = statistics.median(self.ratios(runs))
        return median <= self.at_most if self.at_most else median >= (self.at_least or 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Some contestants of one module of `bench`, what their amounts are, and who is compared."""

    title: str
    module: str
    unit: str
    contestants: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    remark: str = ""


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
        "engine: unpack, read",
        "engine: unpack, touch every value",
    ),
    comparisons=(
        Comparison(
            ours="create --no-seal", other="curl: create, download, sha256sum, sync", at_most=1.1
        ),
        Comparison(
            ours="create", minus="create --no-seal", other="engine: unpack, read", at_most=1.0
        ),
        Comparison(
            ours="create",
            minus="create --no-seal",
            other="engine: unpack, touch every value",
            at_most=1.0,
        ),
    ),
    remark="`engine: unpack, read` lets go of every point unseen. Sealing makes Python values of "
    "each element and hashes them: 17 µs a point of 384 dimensions beside the engine's 4 µs, "
    "of which 4 µs are the list of a vector, 3 µs its float32 bits, 3 µs the hashes, 2 µs the "
    "sanity counts. So 1.0 is out of reach in Python. It is shared by two processes, and "
    "begins once the file is whole: before, Qdrant and the download keep both processors busy.",
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
    remark="In a folder that Qdrant sees, Qdrant alone hashes the file; what that takes is the "
    "difference between both recovers. By upload the file is read once before, so that a "
    "damaged one is never sent, and Qdrant hashes what arrived: both are wanted. A fresh "
    "restore test reads every point and asks its searches twice, before and after a restart. "
    "That is what it proves, and more than 1.3 × a single bare read; beside all of its parts, "
    "done bare, it is within 1.3.",
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
        "engine, values touched",
        "fingerprint, file",
        "seal, file",
        "locate, file",
    ),
    comparisons=(
        Comparison(ours="fingerprint, live", other="qdrant-client scroll", at_least=6),
        Comparison(ours="fingerprint, live", other="gRPC bytes, two processes", at_least=0.55),
        Comparison(ours="fingerprint, live", other="gRPC bytes", at_least=0.6),
        Comparison(ours="fingerprint, file", other="engine, values touched", at_least=0.65),
        Comparison(ours="locate, live", other="fingerprint, live", at_most=0.05),
        Comparison(ours="locate, file", other="seal, file", at_most=0.05),
    ),
    remark="Locating lists the id of every point, then reads those that may differ. Qdrant takes "
    "1.2 µs to list an id, which is 6 % of what reading its whole point takes: so 0.05 is out of "
    "reach while every id is listed. In the file, most of it is unpacking, which sealing "
    "needs as well.",
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
    ),
    comparisons=(Comparison(ours="inv --list", other="inv --list, one bare task", at_most=1.3),),
    remark="Each takes three calls. What `inv --list` takes longer is the import of this project's "
    "task modules, without settings, Qdrant or tables. Of what a thousand snapshots take, the "
    "larger part is laying out the table of a thousand rows, the rest parsing manifests of 40 kB.",
)
CONTESTS = (TAKING, DOWNLOADING, RESTORING, READING, STARTING)


def comparisons() -> Iterator[tuple[Contest, Comparison]]:
    """Yield every comparison with its contest."""
    for contest in CONTESTS:
        for comparison in contest.comparisons:
            yield contest, comparison
