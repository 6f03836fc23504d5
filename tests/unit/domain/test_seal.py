"""A manifest's seal is one typed value, whichever version wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.cli.show.snapshots import render_created
from snapshot_tasks.domain.fingerprint import Accumulator
from snapshot_tasks.domain.manifest import dump_manifest, parse_manifest
from snapshot_tasks.domain.seal import READER, SERVER, Seal
from snapshot_tasks.domain.shards import ShardFacts, ShardSet
from snapshot_tasks.system.errors import Damaged
from tests.support.manifests import SEAL, catalogued, make_manifest


def test_a_seal_is_made_from_a_fingerprint() -> None:
    """The manifest's object is the fingerprint's summary and how it was measured."""
    fingerprint = Accumulator().result()
    seal = Seal.of(fingerprint, sealed_by=READER, seconds=0.12345)
    assert seal.digest == fingerprint.digest
    assert seal.as_json() == fingerprint.summary() | {"sealed_by": "reader", "seconds": 0.123}
    assert Seal.from_json(seal.as_json()) == seal


@pytest.mark.parametrize(
    ("written", "meant"),
    [("engine", READER), ("scratch", SERVER), ("reader", READER), ("server", SERVER), ("x", "x")],
)
def test_older_manifests_mean_the_same(written: str, meant: str) -> None:
    """The words of older versions are understood, and displayed as they were written."""
    document = {"digest": "ab", "points_count": 3, "sealed_by": written}
    seal = Seal.from_json(document)
    assert seal.sealed_by == meant
    assert seal.as_json() == document


def test_a_manifest_writes_its_seal_where_it_always_was() -> None:
    """The key is `fingerprint`, before `sanity`; keys unknown to this version are kept in it."""
    seal = Seal.from_json({**SEAL.document, "later": [1]})
    text = dump_manifest(make_manifest(seal=seal))
    document: dict[str, Any] = json.loads(text)
    keys = list(document)
    assert keys[keys.index("fingerprint") + 1] == "sanity"
    assert document["fingerprint"]["later"] == [1]
    assert parse_manifest(text, "x").seal == seal


def test_the_description_is_bound_to_the_seal() -> None:
    """Binding the description to a seal only adds that one fact."""
    manifest = make_manifest().sealed_with(SEAL)
    assert manifest.seal is not None
    assert manifest.seal.description == manifest.description
    assert manifest.seal.digest == SEAL.digest


@pytest.mark.parametrize(
    "lost", [{"digest": None}, {"points_count": None}, {"points_count": 1e999}]
)
def test_a_seal_that_cannot_be_compared_is_damage(catalog: Catalog, lost: dict[str, Any]) -> None:
    """The manifest can still be read; only comparing contents fails."""
    snapshot = catalogued(catalog, seal=Seal.from_json(dict(SEAL.document) | lost))
    assert snapshot.manifest is not None
    assert snapshot.manifest.seal is not None
    with pytest.raises(Damaged, match="no digest or no number of points"):
        _ = snapshot.sealed


def test_a_new_snapshot_says_what_sealed_it(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    """Sealed by the reader, or by the server that had to restore the file."""
    seal = Seal.of(Accumulator().result(), sealed_by=SERVER, seconds=2.0)
    render_created(catalogued(catalog, seal=seal))
    assert "sealed by the server in 2.0 s" in capsys.readouterr().out


def test_a_cluster_sealed_as_a_whole_says_so(
    catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fresh server read all shards as one: nothing tells later in which shard a point belongs."""
    seal = Seal.of(Accumulator().result(), sealed_by=SERVER, seconds=2.0)
    facts = ShardFacts(id=0, key=None, size_bytes=1, sha256="0" * 64)
    render_created(catalogued(catalog, seal=seal, shard_set=ShardSet(shards=(facts,))))
    assert "Only the whole is sealed, not each shard" in capsys.readouterr().out
