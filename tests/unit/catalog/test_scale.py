"""Work grows with the folder, not with its square; `inv bench` measures how long it takes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog import folder as catalog_folder
from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.catalog.load import load_snapshot
from snapshot_tasks.cli.console import cells
from snapshot_tasks.cli.show import snapshots
from snapshot_tasks.cli.show.table import table
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.operations.check import Promised, judge
from snapshot_tasks.operations.prune import plan_all
from snapshot_tasks.operations.report import collect
from snapshot_tasks.system.untrusted import MAX_JSON_DEPTH, MAX_JSON_VALUES, parse_json
from tests.conftest import Inv
from tests.support.manifests import TAKEN_AT, catalogued

HOURS = timedelta(hours=26)


@pytest.fixture
def loaded(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The snapshots that are read, of a folder with six collections of two each."""
    for number in range(12):
        catalogued(catalog, collection=f"c{number % 6}", taken_at=TAKEN_AT - number * HOURS)
    read: list[Path] = []

    def load(path: Path) -> Snapshot:
        read.append(path)
        return load_snapshot(path)

    monkeypatch.setattr(catalog_folder, "load_snapshot", load)
    return read


def test_each_manifest_is_read_once(catalog: Catalog, loaded: list[Path]) -> None:
    """By a check of all collections, a plan for all of them, and the report."""
    promised = Promised(collections=None, max_age=HOURS, max_proof_age=HOURS)
    judge(promised, catalog, now=TAKEN_AT)
    assert len(loaded) == 12
    plan_all(catalog, None, Policy(keep_last=1), now=TAKEN_AT)
    assert len(loaded) == 24
    collect(catalog, now=TAKEN_AT, max_age=HOURS, max_proof_age=HOURS)
    assert len(loaded) == 36


@pytest.mark.parametrize("text", ['"]["', '"\\""', '"{" ', "[]{}"[:2], '{"a]": ["}", {}]}'])
def test_brackets_in_strings_are_no_nesting(text: str) -> None:
    """The fast way and the careful way agree with the parser."""
    assert parse_json(text) is not None
    many = "[" + ",".join([text] * 200) + "]"
    assert len(parse_json(many)) == 200


@pytest.mark.parametrize("pair", ["[]", '[""]'])
def test_the_depth_is_limited_either_way(pair: str) -> None:
    """Nested up to the limit is read; one more is refused, with escapes and without."""
    for inner in ("1", '"\\\\"'):
        deep = MAX_JSON_DEPTH - 1
        assert parse_json("[" * deep + inner + "]" * deep)
        with pytest.raises(ValueError, match="deeply"):
            parse_json("[" * (deep + 1) + inner + "]" * (deep + 1))
    assert parse_json(pair) in ([], [""])


def test_the_number_of_values_is_limited() -> None:
    """The shortest text with too many values is refused, and one with as many as allowed is read.

    A text that cannot have so many is not counted.
    """
    assert len(parse_json("[" + "1," * (MAX_JSON_VALUES - 1) + "1]")) == MAX_JSON_VALUES
    with pytest.raises(ValueError, match="more than 250,000 values"):
        parse_json("[" + "1," * MAX_JSON_VALUES + "1]")
    with pytest.raises(ValueError, match="more than 250,000 values"):
        parse_json("[" * (MAX_JSON_VALUES + 1))


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_a_listing_builds_only_what_is_shown(
    inv: Inv, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    """The objects for --json are built if it is given, and otherwise only the table."""
    folder = inv.root / "snapshots"
    folder.mkdir()
    catalogued(Catalog(folder))
    built: list[Snapshot] = []

    def build(snapshot: Snapshot) -> dict[str, Any]:
        built.append(snapshot)
        return {"snapshot": snapshot.name}

    monkeypatch.setattr(snapshots, "snapshot_json", build)
    ran = inv("snapshot.list", *flags, QDRANT_SNAPSHOT_DIR=str(folder))
    assert ran.code == 0
    assert len(built) == len(flags)
    if flags:
        assert ran.document["result"]["snapshots"] == [{"snapshot": built[0].name}]


def test_a_long_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    """Wide characters included, and nothing is left out."""
    rows = [("a" * (n % 9), "漢字" if n % 2 else "x", str(n)) for n in range(10_000)]
    table("", ("name", "kind", "#number"), rows)
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert len(lines) == len(rows) + 2
    assert {cells(line) for line in lines} == {cells(lines[1])}
