"""The faults find what to damage in the files of Qdrants that cannot be installed here.

Only the checks of the file run: the bytes, and the contents read by the reader.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.domain.manifest import Manifest
from snapshot_tasks.domain.seal import READER, Seal
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.operations.prove.selftest import (
    BYTES,
    CONTENTS,
    SelfTestReport,
    SelfTestRequest,
    selftest,
)
from snapshot_tasks.sealing.reader import read_contents
from snapshot_tasks.selftest.copies import Copy, read_sample
from snapshot_tasks.selftest.faults import FAULTS
from snapshot_tasks.selftest.rewrite import read_members
from snapshot_tasks.system.files import sha256_of
from snapshot_tasks.system.progress import Silent
from tests.conftest import now
from tests.support.fixtures import WHOLE, Fixture

# Reading a rich one takes many processes; between them, these have every layout.
LAYOUTS = tuple(
    fixture
    for fixture in WHOLE
    if str(fixture) in ("1.18.3-inline", "1.19.0-all-flags-inline", "1.19.0-all-flags-rich")
)
# What damages live points, whatever the layout.
OF_POINTS = (
    "hole of zeros, up to 1 MiB",
    "segment lost",
    "version.info of a segment lost",
    "file of vectors lost",
    "one bit of a vector flipped",
    "vector zeroed",
    "4 KiB of vectors zeroed",
    "one bit of a multi-vector flipped",
    "one bit of a sparse vector flipped",
    "two vectors swapped",
    "vector flagged as deleted",
    "one letter of a payload changed",
    "one bit of a point's id flipped",
    "point flagged as deleted",
    "segment.json broken",
)
# The inline collection has one kind of vector, and its payloads hold no text of their own.
NOT_INLINE = {
    "one bit of a multi-vector flipped",
    "one bit of a sparse vector flipped",
    "one letter of a payload changed",
}
# What only a restore can catch.
OF_RESTORES = (
    "point's version far in the future",
    "all points flagged as deleted in a payload index",
)


def sealed(fixture: Fixture, folder: Path) -> Snapshot:
    """Catalogue a fixture as `create` would have on its own server."""
    catalog = Catalog(folder)
    info = fixture.facts["info"]
    with catalog.staging() as staging:
        fixture.write(staging.parent).rename(staging)
        contents = read_contents(staging, Silent())
        count = contents.fingerprint.points_count
        taken_at = datetime(2025, 1, 1, tzinfo=UTC)
        manifest = Manifest(
            collection=fixture.name,
            snapshot=catalog.free_name(fixture.name, taken_at),
            created_at=taken_at,
            size_bytes=staging.stat().st_size,
            sha256=sha256_of(staging),
            qdrant_version=fixture.version.partition("-")[0],
            source_url="http://localhost:6333",
            points_count=count,
            source_points_before=count,
            source_points_after=count,
            source_moved=False,
            config=info["config"],
            payload_schema=info["payload_schema"],
            aliases=("an-alias",),
            sanity=contents.sanity,
            probes=tuple(probe.as_json() for probe in contents.probes),
        )
        seal = Seal.of(contents.fingerprint, sealed_by=READER, seconds=0.0)
        return catalog.add(staging, manifest.sealed_with(seal), contents.fingerprint)


def damaged(fixture: Fixture, folder: Path, names: tuple[str, ...]) -> SelfTestReport:
    """Damage copies of a fixture, and run the checks of the file."""
    request = SelfTestRequest(
        snapshot=sealed(fixture, folder),
        version="1.17.0",
        operation_timeout_seconds=60,
        checks=(BYTES, CONTENTS),
        faults=tuple(fault for fault in FAULTS if fault.name in names),
    )
    assert len(request.faults) == len(names)
    engine: Engine = None  # type: ignore[assignment]  # no server is asked for
    return selftest(request, engine, Silent(), clock=now)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fixture", LAYOUTS, ids=str)
def test_faults_find_what_to_damage_in_newer_files(fixture: Fixture, tmp_path: Path) -> None:
    """Whatever the collection has is found and damaged, and each damage is seen in the file."""
    report = damaged(fixture, tmp_path, OF_POINTS)
    left_out = {row.fault for row in report.rows if row.left_out}
    assert left_out == (NOT_INLINE if fixture.name == "inline" else set())
    assert [row.fault for row in report.rows if row.uncaught] == []


@pytest.mark.parametrize("fixture", WHOLE, ids=str)
def test_faults_of_a_restore_find_what_to_damage(fixture: Fixture, tmp_path: Path) -> None:
    """Versions and payload indexes are found in every layout, also in holes of a file."""
    copy = Copy.of(sealed(fixture, tmp_path).path, tmp_path / "copy")
    copy = replace(copy, points=read_sample(copy.file, tmp_path / "sample"))
    for fault in FAULTS:
        if fault.name in OF_RESTORES:
            before = sha256_of(copy.file)
            fault.apply(copy)
            assert sha256_of(copy.file) != before
    read_members(copy.file)
