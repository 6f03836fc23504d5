"""What integration tests need of the world: processes, folders, error lines, exact moments."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil

from snapshot_tasks.catalog.load import load_manifest
from snapshot_tasks.system.errors import TaskError
from tests.conftest import Live, Ran

DEADLINE_SECONDS = 60.0


def wait_until(holds: Callable[[], Any], *, seconds: float = DEADLINE_SECONDS) -> None:
    """Poll until something is true; fail the test if it never is.

    Poll often at first, for what takes only moments, and then less often, because polling costs.
    """
    start = time.monotonic()
    while not holds():
        waited = time.monotonic() - start
        assert waited < seconds, "it never came to hold"
        time.sleep(min(max(0.005, waited / 20), 0.05))


def is_ready(url: str) -> bool:
    """Return whether the server responds."""
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


def processes_below(folder: Path) -> list[psutil.Process]:
    """Return the live processes that work in a folder, which only this test uses."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            below = Path(process.cwd().removesuffix(" (deleted)")).is_relative_to(folder)
            if below and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def home_of(live: Live) -> Path:
    """Return the folder in which a throw-away server runs."""
    port = urlsplit(live.url).port
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name() == "qdrant" and any(
                c.laddr and c.laddr.port == port and c.status == psutil.CONN_LISTEN
                for c in process.net_connections(kind="tcp")
            ):
                return Path(process.cwd())
    raise AssertionError(f"no Qdrant listens on {port}")


def end_processes_below(folder: Path) -> None:
    """End, by pid, the processes that a failed test left running in its folder."""
    for process in processes_below(folder):
        with contextlib.suppress(psutil.Error):
            process.kill()


def ended(process: subprocess.Popen[str], *, timeout: float = 45.0) -> Ran:
    """Wait for the end of a process, however it ends."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    # If it is interrupted during an import, Python is ended by the signal; a shell calls both 130.
    code = 130 if process.returncode == -signal.SIGINT else process.returncode
    return Ran(code=code, stdout=stdout, stderr=stderr)


def assert_error(ran: Ran, code: int, *words: str) -> None:
    """Assert an exit code, exactly one error line and one fix line, the words, no traceback."""
    said = f"{ran.stdout}\n{ran.stderr}"
    assert ran.code == code, said
    assert "Traceback" not in said
    lines = ran.stderr.splitlines()
    marks = [line.split(":")[0].strip() for line in lines]
    assert marks.count("error") == 1, said
    assert marks.count("fix") == 1, said
    assert marks[-2:] == ["error", "fix"], said
    for word in words:
        assert word in "\n".join(lines[-2:]), said


def tree(folder: Path) -> list[str]:
    """Return the contents of a folder, except the lock files and the file of the last runs."""
    ours = (".lock", ".restore.lock", ".runs.json")
    return sorted(p.name for p in folder.iterdir() if p.name not in ours)


def scratch_left(folder: Path) -> list[str]:
    """Return what runs left in a temporary folder, except the two files that stay there."""
    stay = ("mutex", "identity")
    parents = list(folder.glob("qdrant-snapshot-tasks-*"))
    return sorted(
        [p.name for p in folder.iterdir() if p not in parents]
        + [p.name for parent in parents for p in parent.iterdir() if p.name not in stay]
    )


def flip_byte(path: Path, *, at: float = 0.5) -> None:
    """Change one byte of a file in place."""
    with path.open("r+b") as file:
        file.seek(int(path.stat().st_size * at))
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 0xFF]))


def manifest_of(snapshot: Path) -> Path:
    """Return the path of a snapshot's manifest."""
    return snapshot.with_name(snapshot.name + ".json")


def read_manifest(snapshot: Path) -> dict[str, Any]:
    """Read a manifest as plain JSON, without the code under test."""
    document: dict[str, Any] = json.loads(manifest_of(snapshot).read_text(encoding="utf-8"))
    return document


def edit_manifest(
    snapshot: Path, change: Callable[[dict[str, Any]], None], *, bind: bool = True
) -> None:
    """Tamper with a manifest, as nobody should, and bind its seal to the new contents."""
    path = manifest_of(snapshot)
    document = read_manifest(snapshot)
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    if bind and document.get("fingerprint"):
        with contextlib.suppress(TaskError):
            manifest = load_manifest(path)
            assert manifest is not None
            document["fingerprint"]["description"] = manifest.description
            path.write_text(json.dumps(document), encoding="utf-8")


def proofs_of(snapshot: Path) -> list[dict[str, Any]]:
    """Read the proofs of a snapshot as plain JSON lines."""
    path = snapshot.with_name(snapshot.name.removesuffix(".snapshot") + ".proofs.jsonl")
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@contextlib.contextmanager
def only_programs(folder: Path, *names: str) -> Iterator[str]:
    """Yield a PATH with only these programs."""
    import shutil

    folder.mkdir()
    for name in names:
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    yield str(folder)
