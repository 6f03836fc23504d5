"""A test's own Compose stack, and what Docker itself reports about it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.conftest import ROOT, Inv, Ran, new_project
from tests.support.collections import Loader
from tests.support.ports import free_ports
from tests.support.world import edit_manifest

SMALL, SMALL_POINTS = "small", 500
BIG, BIG_POINTS, BIG_ALIAS = "big", 20_000, "everything"
RESTORE = "qdrant-restore"


def ask_docker(*arguments: str) -> str:
    """Run the Docker client and return its output; a failure raises."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def ok(ran: Ran) -> Ran:
    """Return the finished process, which must have succeeded."""
    assert ran.code == 0, ran.stdout + ran.stderr
    return ran


def edit(file: Path, old: str, new: str, *, count: int = -1) -> None:
    """Replace text that must exist."""
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, count), encoding="utf-8")


def no_host_folder(compose_file: Path) -> None:
    """Remove the host's snapshot folder from the Qdrant service."""
    edit(compose_file, "${QDRANT_SNAPSHOT_DIR:-./qdrant_snapshots}", "./elsewhere", count=1)
    edit(compose_file, "target: /qdrant/snapshots/host", "target: /elsewhere")


def copy_project(folder: Path) -> Inv:
    """Make a project with everything from which the image of the restore service is built."""
    inv = new_project(folder)
    shutil.copytree(
        ROOT / "snapshot_tasks",
        folder / "snapshot_tasks",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("Dockerfile", "requirements.txt", ".dockerignore"):
        shutil.copy(ROOT / name, folder / name)
    return inv


@dataclass(frozen=True)
class Stack:
    """One project folder with its Compose project name and its ports."""

    inv: Inv
    name: str
    port: int

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self.inv.root

    @property
    def snapshots(self) -> Path:
        """The snapshot folder on this host."""
        return self.root / "qdrant_snapshots"

    @property
    def compose_file(self) -> Path:
        """The compose file, for tests that edit it."""
        return self.root / "docker-compose.yml"

    def compose(self, *arguments: str, **environment: str) -> Ran:
        """Run plain `docker compose` in the project's folder, without any of our code."""
        done = subprocess.run(
            ["docker", "compose", *arguments],
            cwd=self.root,
            env={**os.environ, **self.inv.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        return Ran(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def up(self) -> None:
        """Start Qdrant alone, without our code, and wait until it is healthy."""
        done = self.compose("up", "--detach", "--wait", "qdrant")
        assert done.code == 0, done.stderr

    def down(self) -> None:
        """Remove the whole stack; the build cache stays, so the next image is built quickly."""
        options = ("--volumes", "--remove-orphans", "--timeout", "0", "--rmi", "local")
        done = self.compose("down", *options)
        assert done.code == 0, done.stderr

    def container(self, service: str = "qdrant") -> str:
        """Return the id of a service's container, running or not."""
        return self.compose("ps", "--all", "--quiet", service).stdout.strip()

    def inspect(self, service: str = "qdrant") -> Any:
        """Return everything that Docker reports about a service's container."""
        return json.loads(ask_docker("inspect", self.container(service)))[0]

    def restore_exit(self) -> int:
        """Wait until the restore service has ended once, and return its last exit code.

        After a failure, Docker starts it again and no longer tells its exit code.
        """
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline:
            seen = self.inspect(RESTORE)
            if seen["State"]["Status"] == "exited":
                return int(seen["State"]["ExitCode"])
            if seen["RestartCount"]:
                return int(self.exits()[-1])
            time.sleep(0.2)
        raise AssertionError(self.log())

    def exits(self) -> list[str]:
        """Return each exit code of the restore service since it was created."""
        options = ("--filter", f"container={self.container(RESTORE)}", "--filter", "event=die")
        form = "{{.Actor.Attributes.exitCode}}"
        since = self.inspect(RESTORE)["Created"]
        told = ask_docker("events", "--since", since, "--until", "0s", "--format", form, *options)
        return told.split()

    def log(self, service: str = RESTORE) -> str:
        """Return the output of a service."""
        done = self.compose("logs", "--no-color", "--no-log-prefix", service)
        return done.stdout + done.stderr

    @contextmanager
    def loader(self, api_key: str | None = None) -> Iterator[Loader]:
        """Connect to the live Qdrant without our code."""
        loader = Loader(f"http://127.0.0.1:{self.port}", api_key)
        try:
            yield loader
        finally:
            loader.close()

    def content(self, collection: str, api_key: str | None = None) -> str:
        """Return a hash over every point of a collection: id, payload and vectors."""
        with self.loader(api_key) as loader:
            return content(loader, collection)

    def identity(self) -> dict[str, str]:
        """Return a value that changes if this stack's containers or volumes are changed."""
        mine = f"label=com.docker.compose.project={self.name}"
        containers = lines("ps", "--all", "--quiet", "--no-trunc", "--filter", mine)
        state = "{{.State.Status}} {{.State.StartedAt}} {{.State.FinishedAt}} {{.RestartCount}}"
        found = {name: ask_docker("inspect", "--format", state, name) for name in containers}
        # Docker's CreatedAt of a volume is when its top folder last changed, so it cannot be used.
        for volume in lines("volume", "ls", "--quiet", "--filter", mine):
            found[volume] = "volume"
        for network in lines("network", "ls", "--quiet", "--no-trunc", "--filter", mine):
            found[network] = "network"
        return found

    def manifest(self, snapshot: Path, **changes: Any) -> None:
        """Edit a snapshot's manifest, and bind its seal to it, as if it had been taken that way."""
        edit_manifest(snapshot, lambda document: document.update(changes))


def new_stack(inv: Inv) -> Stack:
    """Give a project folder its own Compose project name and free ports."""
    port, grpc_port = free_ports(2)
    name = f"qst-e2e-{uuid4().hex[:8]}"
    environment = {
        "QDRANT_ENGINE": "compose",
        "QDRANT_COLLECTION_NAME": SMALL,
        "COMPOSE_PROJECT_NAME": name,
        "QDRANT_HTTP_PORT": str(port),
        "QDRANT_GRPC_PORT": str(grpc_port),
    }
    inv.environment.update(environment)
    return Stack(inv=inv, name=name, port=port)


def content(loader: Loader, collection: str) -> str:
    """Return a hash over every point of a collection: id, payload and vectors."""
    digest = hashlib.sha256()
    offset: Any = None
    while True:
        wanted = {"limit": 1000, "offset": offset, "with_vector": True, "with_payload": True}
        page = loader.request("POST", f"/collections/{collection}/points/scroll", wanted)
        digest.update(json.dumps(page["points"], sort_keys=True).encode())
        offset = page["next_page_offset"]
        if offset is None:
            return digest.hexdigest()


def flip_byte(file: Path) -> None:
    """Change one bit in the middle of a file; its size stays."""
    with file.open("r+b") as stream:
        stream.seek(file.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, os.SEEK_CUR)
        stream.write(bytes([byte[0] ^ 1]))


def lines(*arguments: str) -> set[str]:
    """Run the Docker client and return the lines of its output."""
    return set(ask_docker(*arguments).splitlines())
