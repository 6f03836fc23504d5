"""Does the restored collection return the search results that the snapshot's file gives?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from snapshot_tasks.checks.expected import Restored
from snapshot_tasks.domain.findings import Concern, Finding, Status
from snapshot_tasks.domain.search_parity import (
    Agreement,
    Hit,
    Probe,
    compare_answers,
    is_sparse,
    recall,
    tolerance_of,
    unused_index,
)
from snapshot_tasks.qdrant.errors import refuses_exact
from snapshot_tasks.qdrant.search import (
    EXACT,
    HNSW,
    WIDE,
    WIDE_EF,
    indexed_vectors_count,
    search_stored_vectors,
)
from snapshot_tasks.system.errors import ServerFailure

# A snapshot includes its HNSW graphs, but a restore may optimise further, and a new graph finds
# other points. So a lower recall is a warning.
RECALL_MARGIN = 0.05
# A graph without most of its links finds less than this share of what it found, however many
# points a search may visit. A graph that was built anew then finds nearly all.
COLLAPSE = 0.5
_Pair = tuple[Probe, tuple[list[Hit], ...]]


def check_search(restored: Restored) -> Iterator[Finding]:
    """Run each vector's probes: exact results must match, and HNSW must not find far fewer."""
    for name in sorted({probe.vector for probe in restored.expected.probes}):
        try:
            status, message = _check_vector(name, restored)
        except ServerFailure as error:
            status = Status.FAIL if error.is_internal else Status.WARN
            message = f"could not search: {error.message}"
        check = f"search {name}".strip()
        yield Finding(check=check, status=status, message=message, concern=Concern.SEARCHES)


def _check_vector(name: str, restored: Restored) -> tuple[Status, str]:
    probes = [probe for probe in restored.expected.probes if probe.vector == name]
    try:
        answers = _search(restored, name, probes, EXACT, HNSW)
    except ServerFailure as error:
        if refuses_exact(error):
            return _compare_approximately(name, restored, probes)
        raise
    if len(answers) < len(probes):
        missing = len(probes) - len(answers)
        return Status.FAIL, f"{missing:,} of the sampled points are missing"
    pairs = list(zip(probes, answers, strict=True))
    # Without a manifest, the restored vectors' own parameters are all that is known of them.
    state = restored.expected.state or restored.actual
    tolerance = tolerance_of(state.config, name)
    if tolerance is None:
        matching = "not compared, because its scores depend on more than the points"
        return _with_recall(name, restored, pairs, matching)
    return _compare_exact(name, restored, pairs, tolerance)


def _compare_approximately(
    name: str, restored: Restored, probes: Sequence[Probe]
) -> tuple[Status, str]:
    """Compare what the index finds with the file's exact results: strict mode allows no others."""
    answers = _search(restored, name, probes, HNSW)
    if len(answers) < len(probes):
        missing = len(probes) - len(answers)
        return Status.FAIL, f"{missing:,} of the sampled points are missing"
    before = sum(probe.recall for probe in probes) / len(probes)
    pairs = zip(probes, answers, strict=True)
    after = sum(recall(hnsw, probe.exact) for probe, (hnsw,) in pairs) / len(probes)
    message = (
        "compared approximately, because strict mode refuses exact searches;"
        f" recall {after:.2f}, was {before:.2f}"
    )
    return Status.OK if after >= before - RECALL_MARGIN else Status.WARN, message


def _compare_exact(
    name: str, restored: Restored, pairs: Sequence[_Pair], tolerance: float
) -> tuple[Status, str]:
    is_odd = name in restored.expected.odd_vectors
    same, unclear, wrong = (
        [pair for pair in pairs if _agreement(pair, tolerance, is_odd=is_odd) is wanted]
        for wanted in (Agreement.SAME, Agreement.UNCLEAR, Agreement.DIFFERENT)
    )
    if wrong:
        first = wrong[0][0].id
        return (
            Status.FAIL,
            f"{len(wrong)} of {len(pairs)} exact results differ, the first for point {first}",
        )
    left_out = "not compared, because of scores or vectors that are no finite numbers"
    if not same:
        return Status.WARN, left_out
    matching = f"{len(same)} exact results match"
    if unclear:
        matching += f"; {len(unclear)} {left_out}"
    return _with_recall(name, restored, same, matching)


def _agreement(pair: _Pair, tolerance: float, *, is_odd: bool) -> Agreement:
    probe, (exact, *_) = pair
    return compare_answers(probe.exact, exact, tolerance, is_odd=is_odd)


def _with_recall(
    name: str, restored: Restored, pairs: Sequence[_Pair], matching: str
) -> tuple[Status, str]:
    """Compare how much of the exact results the index finds with what it found in the file."""
    before = sum(probe.recall for probe, _ in pairs) / len(pairs)
    after = _recall(pairs)
    index = "sparse index" if is_sparse(restored.actual.config, name) else "HNSW"
    message = f"{matching}; {index} recall {after:.2f}, was {before:.2f}"
    if after >= before - RECALL_MARGIN:
        unused = _unused(name, restored)
        return Status.OK, f"{matching}; HNSW not used: {unused}" if unused else message
    if after >= before * COLLAPSE:
        return Status.WARN, message
    probes = [probe for probe, _ in pairs]
    widely = _recall(list(zip(probes, _search(restored, name, probes, EXACT, WIDE), strict=True)))
    message += f", and {widely:.2f} where it may visit {WIDE_EF:,} points"
    return Status.FAIL if widely < before * COLLAPSE else Status.WARN, message


def _search(
    restored: Restored, name: str, probes: Sequence[Probe], *ways: Mapping[str, Any]
) -> list[tuple[list[Hit], ...]]:
    ids = [probe.id for probe in probes]
    return search_stored_vectors(restored.endpoint, restored.collection, name, ids, ways)


def _recall(pairs: Sequence[_Pair]) -> float:
    return sum(recall(hnsw, exact) for _, (exact, hnsw) in pairs) / len(pairs)


def _unused(name: str, restored: Restored) -> str | None:
    return unused_index(
        restored.actual.config,
        name,
        points_count=restored.actual.points_count,
        indexed_count=indexed_vectors_count(restored.endpoint, restored.collection),
    )
