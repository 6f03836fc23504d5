"""Storage that a version cannot read yet, or any more, is not called damaged.

No version here writes RocksDB any more. So the descriptions of segments in real files are changed
to what versions before 1.16 wrote; the reader then fails as it does on the real ones.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest

from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.sealing.reader import OldStorage, read_contents
from snapshot_tasks.selftest.rewrite import read_logical, read_members, rewrite
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.progress import Silent
from tests.conftest import Inv, Live
from tests.integration.conftest import Samples
from tests.support.fixtures import FIXTURES, WHOLE, Fixture
from tests.support.pretend import pretending, says
from tests.support.world import assert_error, edit_manifest

PLAIN = next(fixture for fixture in FIXTURES if fixture.name == "plain")
RICH = {fixture.version: fixture for fixture in FIXTURES if fixture.name == "rich"}
CHANGES = {
    "vectors": (b'"InRamChunkedMmap"', b'"Memory"'),
    "payloads": (b'{"type":"mmap"}', b'{"type":"in_memory"}'),
}


def aged(source: Path, what: str) -> Path:
    """Make a copy in which each segment says that it is stored as before 1.16."""
    old, new = CHANGES[what]
    changes: dict[str, bytes | None] = {}
    for member in read_members(source):
        if member.name.endswith("/segment.json"):
            text = read_logical(source, member)
            assert old in text
            changes[member.name] = text.replace(old, new)
    target = source.with_name("aged.snapshot")
    rewrite(source, target, changes)
    return target


@pytest.mark.parametrize("what", CHANGES)
def test_the_reader_says_that_it_is_old(what: str, tmp_path: Path) -> None:
    """With the way out, also where the storage engine does not say RocksDB."""
    path = aged(PLAIN.write(tmp_path), what)
    assert check_archive(path).uses_rocksdb
    with pytest.raises(OldStorage) as caught:
        read_contents(path, Silent())
    assert "Qdrant 1.17" in caught.value.hint
    assert "damaged" not in caught.value.message


@pytest.mark.parametrize("fixture", WHOLE, ids=str)
def test_new_files_are_not_old(fixture: Fixture, tmp_path: Path) -> None:
    """Every kind of vector and payload storage of 1.18 and 1.19."""
    assert not check_archive(fixture.write(tmp_path)).uses_rocksdb


def test_files_of_servers_before_118_need_not_be_old(samples: Samples, tmp_path: Path) -> None:
    """Nor those of 1.17.0, of a plain and of a rich collection."""
    for kind in ("plain", "rich"):
        assert not check_archive(samples.put(kind, tmp_path / kind)).uses_rocksdb


def test_a_newer_server_is_refused_before_anything_is_sent(
    qdrant: Live, outside: Inv, samples: Samples
) -> None:
    """It would answer 500, or ask for the file in vain."""
    file = samples.put("plain", outside.root / "qdrant_snapshots")
    old = aged(file, "payloads")
    old.replace(file)
    sha256, size = hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size
    edit_manifest(file, lambda m: m.update(sha256=sha256, size_bytes=size))
    with pretending(qdrant.url, "1.18.3") as proxy:
        here = dataclasses.replace(
            outside, environment=outside.environment | {"QDRANT_URL": proxy.url}
        )
        ran = here("snapshot.restore", "--snapshot", file.name, "--as", "old")
        assert_error(ran, 24, "RocksDB", "not damaged", "Qdrant 1.17")
        assert proxy.requests("PUT", ".*") == proxy.requests("POST", ".*") == 0


@pytest.mark.parametrize(
    ("fixture", "version", "code"),
    [
        (RICH["1.19.0"], "1.18.3", 24),
        (RICH["1.18.3"], "1.18.3", 22),
        (RICH["1.19.0"], "1.19.0", 22),
    ],
    ids=str,
)
def test_turbo4_is_refused_where_it_cannot_be_read(
    qdrant: Live, outside: Inv, fixture: Fixture, version: str, code: int
) -> None:
    """Before anything is sent, with the way out; others are sent (1.17.0 then refuses them)."""
    file = fixture.write(outside.root / "qdrant_snapshots")
    with pretending(qdrant.url, version) as proxy:
        here = dataclasses.replace(
            outside, environment=outside.environment | {"QDRANT_URL": proxy.url}
        )
        ran = here("snapshot.restore", "--snapshot", file.name, "--as", "turbo")
        sent = proxy.requests("POST", "/collections/turbo/snapshots/upload")
    assert_error(ran, code, *(["turbo4", "Qdrant 1.19 or later"] if code == 24 else []))
    assert sent == (code == 22)


@pytest.mark.parametrize(("version", "code"), [("1.19.0", 20), ("1.21.0", 0)])
def test_a_layout_that_nobody_knows_is_no_damage(
    qdrant: Live, outside: Inv, name: str, monkeypatch: pytest.MonkeyPatch, version: str, code: int
) -> None:
    """The reader cannot read it: a known version's file is damaged, another is kept unsealed."""

    def unreadable(*_: object, **__: object) -> None:
        raise Damaged("Cannot read shard 0.", hint="Use another one.")

    qdrant.loader.plain(name, points=5)
    monkeypatch.setattr("snapshot_tasks.operations.create.one.read_file", unreadable)
    with pretending(qdrant.url, version) as proxy:
        ran = outside("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
    assert ran.code == code, ran.stderr
    assert ("newer than any version known here" in ran.stdout + ran.stderr) is (code == 0)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (
            "Failed to load 'Memory' storage type, RocksDB is not supported",
            "It is old, not damaged",
        ),
        ("not implemented: turbo4 datatype storage not yet wired up", "version that took it"),
    ],
)
def test_a_500_with_a_known_reason_has_a_way_out(
    qdrant: Live, outside: Inv, samples: Samples, reason: str, words: str
) -> None:
    """The words are those of 1.18.3 (a stand-in answers instead of the real server)."""
    file = samples.put("plain", outside.root / "qdrant_snapshots")
    with pretending(qdrant.url, "1.18.3") as proxy:
        proxy.on("POST", "/collections/[^/]*/snapshots/upload", says(reason, 500))
        here = dataclasses.replace(
            outside, environment=outside.environment | {"QDRANT_URL": proxy.url}
        )
        ran = here("snapshot.restore", "--snapshot", file.name, "--as", "odd")
    assert_error(ran, 22, words)
