"""Does the restored collection return the search results that the snapshot's file gives?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from snapshot_tasks.checks.expected import Restored
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.domain.search_parity import (
    Agreement,
    Hit,
    Probe,
    compare_answers,
    recall,
    tolerance_of,
)
from snapshot_tasks.qdrant.search import search_stored_vectors
from snapshot_tasks.system.errors import ServerFailure

# A snapshot includes its HNSW graphs, but a restore may optimise further. So a lower recall is a
# warning, never a failure.
RECALL_MARGIN = 0.05
_Pair = tuple[Probe, tuple[list[Hit], list[Hit]]]


def check_search(restored: Restored) -> Iterator[Finding]:
    """Run each vector's probes: exact results must match, and HNSW must not find fewer."""
    for name in sorted({probe.vector for probe in restored.expected.probes}):
        yield _check_vector(name, restored)


def _check_vector(name: str, restored: Restored) -> Finding:
    expected, label = restored.expected, f"search {name}".strip()
    probes = [probe for probe in expected.probes if probe.vector == name]
    tolerance = tolerance_of(expected.state.config if expected.state else {}, name)
    if tolerance is None:
        message = "not compared, because idf scores depend on more than the points"
        return Finding(check=label, status=Status.OK, message=message)
    try:
        ids = [probe.id for probe in probes]
        answers = search_stored_vectors(restored.endpoint, restored.collection, name, ids)
    except ServerFailure as error:
        message = f"could not search: {error.message}"
        return Finding(check=label, status=Status.WARN, message=message)
    if len(answers) < len(probes):
        message = f"{len(probes) - len(answers):,} of the sampled points are missing"
        return Finding(check=label, status=Status.FAIL, message=message)
    pairs = list(zip(probes, answers, strict=True))
    return _compare(label, pairs, tolerance, is_odd=name in expected.odd_vectors)


def _compare(label: str, pairs: Sequence[_Pair], tolerance: float, *, is_odd: bool) -> Finding:
    agreements = [
        compare_answers(probe.exact, exact, tolerance, is_odd=is_odd) for probe, (exact, _) in pairs
    ]
    by = Counter(agreements)
    if wrong := by[Agreement.DIFFERENT]:
        first = pairs[agreements.index(Agreement.DIFFERENT)][0].id
        message = f"{wrong} of {len(pairs)} exact results differ, the first for point {first}"
        return Finding(check=label, status=Status.FAIL, message=message)
    why = "because of scores or vectors that are no finite numbers"
    if not by[Agreement.SAME]:
        message = f"not compared, {why}"
        return Finding(check=label, status=Status.WARN, message=message)
    left_out = f"; {by[Agreement.UNCLEAR]} not compared, {why}" if by[Agreement.UNCLEAR] else ""
    same = [p for p, a in zip(pairs, agreements, strict=True) if a is Agreement.SAME]
    return _check_recall(label, same, left_out)


def _check_recall(label: str, pairs: Sequence[_Pair], left_out: str) -> Finding:
    before = sum(probe.recall for probe, _ in pairs) / len(pairs)
    after = sum(recall(hnsw, exact) for _, (exact, hnsw) in pairs) / len(pairs)
    found = f"{len(pairs)} exact results match{left_out}"
    message = f"{found}; HNSW recall {after:.2f}, was {before:.2f}"
    status = Status.WARN if after < before - RECALL_MARGIN else Status.OK
    return Finding(check=label, status=status, message=message)
