"""Does the restored collection return the search results that the snapshot's file gives?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.domain.findings import Finding, Status
from snapshot_tasks.domain.search_parity import Hit, Probe, recall, same_answer, tolerance_of
from snapshot_tasks.qdrant.search import search_stored_vectors
from snapshot_tasks.system.errors import ServerFailure
from snapshot_tasks.system.untrusted import JsonObject

# A snapshot includes its HNSW graphs, but a restore may optimise further. So a lower recall is a
# warning, never a failure.
RECALL_MARGIN = 0.05


def check_search(
    probes: Sequence[Probe], config: JsonObject, endpoint: Endpoint, collection: str
) -> Iterator[Finding]:
    """Run each vector's probes: exact results must match, and HNSW must not find fewer."""
    for name in sorted({probe.vector for probe in probes}):
        chosen = [probe for probe in probes if probe.vector == name]
        yield from _check_vector(name, chosen, config, endpoint, collection)


def _check_vector(
    name: str, probes: Sequence[Probe], config: JsonObject, endpoint: Endpoint, collection: str
) -> Iterator[Finding]:
    label = f"search {name}".strip()
    tolerance = tolerance_of(config, name)
    if tolerance is None:
        message = "not compared, because idf scores depend on more than the points"
        yield Finding(check=label, status=Status.OK, message=message)
        return
    try:
        ids = [probe.id for probe in probes]
        answers = search_stored_vectors(endpoint, collection, name, ids)
    except ServerFailure as error:
        yield Finding(check=label, status=Status.WARN, message=f"could not search: {error.message}")
        return
    if len(answers) < len(probes):
        message = f"{len(probes) - len(answers):,} of the sampled points are missing"
        yield Finding(check=label, status=Status.FAIL, message=message)
        return
    pairs = list(zip(probes, answers, strict=True))
    wrong = [
        probe.id for probe, (exact, _) in pairs if not same_answer(probe.exact, exact, tolerance)
    ]
    if wrong:
        message = (
            f"{len(wrong)} of {len(probes)} exact results differ, the first for point {wrong[0]}"
        )
        yield Finding(check=label, status=Status.FAIL, message=message)
        return
    yield _check_recall(label, pairs)


def _check_recall(
    label: str, pairs: Sequence[tuple[Probe, tuple[list[Hit], list[Hit]]]]
) -> Finding:
    before = sum(probe.recall for probe, _ in pairs) / len(pairs)
    after = sum(recall(hnsw, exact) for _, (exact, hnsw) in pairs) / len(pairs)
    message = f"{len(pairs)} exact results match; HNSW recall {after:.2f}, was {before:.2f}"
    status = Status.WARN if after < before - RECALL_MARGIN else Status.OK
    return Finding(check=label, status=status, message=message)
