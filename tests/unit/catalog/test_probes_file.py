"""The recorded searches beside a manifest: missing or changed ones are told, never passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.file import verify
from snapshot_tasks.checks.promises import check_file
from snapshot_tasks.domain.findings import Finding, Status, failed
from snapshot_tasks.domain.names import paths_beside
from snapshot_tasks.domain.probes_file import ProbesFile, dump_probes
from snapshot_tasks.domain.search_parity import Probe
from snapshot_tasks.domain.snapshot import Snapshot
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.progress import Silent
from tests.support.archives import snapshot_bytes
from tests.support.manifests import SEAL, make_manifest

PROBE = Probe(vector="", id=7, exact=((7, 1.0), (9, None)), recall=1.0)


@pytest.fixture
def made(tmp_path: Path) -> Snapshot:
    """A catalogued, sealed snapshot with one recorded search."""
    import hashlib

    catalog, data = Catalog(tmp_path), snapshot_bytes()
    text = dump_probes([PROBE])
    assert text is not None
    manifest = make_manifest(
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        probes_file=ProbesFile.of(text),
    ).sealed_with(SEAL)
    with catalog.staging() as staging:
        staging.write_bytes(data)
        return catalog.add(staging, manifest, None, text)


def again(made: Snapshot) -> Snapshot:
    """Load the snapshot again."""
    return Catalog(made.path.parent).find(str(made.path))


def searches(made: Snapshot) -> list[Finding]:
    """Return what a verification says of the searches."""
    return [f for f in verify(again(made), Silent()).findings if f.check == "searches"]


def test_they_come_back_and_are_silent_when_sound(made: Snapshot) -> None:
    """What was recorded is read back, a score that is no number included."""
    assert again(made).probes == (PROBE,)
    assert searches(made) == []
    assert made.probes_path in paths_beside(made.path)


@pytest.mark.parametrize("content", ["[]", "{", "\x00" * 100, '[{"vector": ""}]'])
def test_changed_searches_are_damage(made: Snapshot, content: str) -> None:
    """Whatever else is in the file, it is not what the seal covers."""
    made.probes_path.write_text(content, encoding="utf-8")
    with pytest.raises(Damaged, match=r"probes\.json") as caught:
        _ = again(made).probes
    assert caught.value.exit_code == 20
    (finding,) = searches(made)
    assert finding.status is Status.FAIL
    assert check_file(again(made)).status is Status.FAIL


def test_missing_searches_are_told_but_harm_no_point(made: Snapshot) -> None:
    """A restore needs no searches, so a lost file is a warning; a drill could not compare them."""
    made.probes_path.unlink()
    with pytest.raises(Damaged, match="is missing"):
        _ = again(made).probes
    (finding,) = searches(made)
    assert finding.status is Status.WARN
    assert not failed(verify(again(made), Silent()).findings)
    assert check_file(again(made)).status is Status.FAIL


def test_the_seal_covers_which_file_it_is(made: Snapshot) -> None:
    """Other searches with a manifest edited to fit them do not fit the seal."""
    assert made.manifest is not None
    assert made.manifest.seal is not None
    other = ProbesFile.of("[]")
    edited = make_manifest(probes_file=other)
    assert made.manifest.seal.description != edited.description
    assert make_manifest().description != edited.description


def test_they_go_with_the_snapshot(made: Snapshot) -> None:
    """Deleting the snapshot deletes them."""
    Catalog(made.path.parent).drop(again(made))
    assert not made.probes_path.exists()
