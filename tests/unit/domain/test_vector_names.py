"""Vector names that Qdrant 1.18 and later restore from no snapshot."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_tasks.checks.vector_names import check_vector_names
from snapshot_tasks.domain.findings import Status
from snapshot_tasks.domain.vector_names import FORBIDDEN, refused_names

VECTOR = {"size": 4, "distance": "Cosine"}


def named(*names: str, sparse: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the configuration of a collection with these vectors."""
    vectors = dict.fromkeys(names, VECTOR)
    return {"params": {"vectors": vectors, "sparse_vectors": {name: {} for name in sparse}}}


@pytest.mark.parametrize("character", sorted(FORBIDDEN))
def test_each_character_is_found(character: str) -> None:
    """In dense and sparse names, and named with the character."""
    assert len(refused_names(named(f"a{character}b", sparse=(f"{character}c", "fine")))) == 2


@pytest.mark.parametrize(
    ("config", "problems"),
    [
        (named("BAAI/bge-small", "text"), ("'BAAI/bge-small' contains /",)),
        (named("text:en"), ("'text:en' contains :",)),
        (named("x" * 200), ()),
        (named("é" * 101), (f"'{'é' * 40}…' has 202 bytes, more than 200",)),
        (named("size", "a b", "a.b-c_d", "日本"), ()),
        (named("text", sparse=("",)), ("a sparse vector has an empty name",)),
        (named("", "text"), ()),
        ({"params": {"vectors": VECTOR}}, ()),
        ({"params": {"vectors": {}}}, ()),
        ({}, ()),
        ({"params": None}, ()),
    ],
)
def test_what_is_refused(config: dict[str, Any], problems: tuple[str, ...]) -> None:
    """Long ones by their bytes; the unnamed dense vector is no name."""
    assert refused_names(config) == problems


@pytest.mark.parametrize(
    ("version", "words", "remedy"),
    [
        ("1.17.0", "Qdrant 1.18 will not restore this", "Before you upgrade"),
        ("1.18.3", "Qdrant 1.18.3 restores no snapshot of it", "rebuild"),
        ("1.19.0", "Qdrant 1.19.0 restores no snapshot of it", "upgrade that server in place"),
    ],
)
def test_the_warning_says_since_when_and_the_ways_out(
    version: str, words: str, remedy: str
) -> None:
    """Also before an upgrade."""
    [found] = check_vector_names(named("a/b"), version)
    assert found.status is Status.WARN
    assert words in found.message
    assert remedy in found.remedy
    assert list(check_vector_names(named("ab"), version)) == []
