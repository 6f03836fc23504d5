"""Foreign stacks in the shapes of public compose files, and all in them that is not Qdrant's.

A folder of `tests/e2e/shapes/` is a whole project. `acme` in its files becomes the name of this
run, `/srv/acme` the project's folder, and the published ports become free ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.conftest import ROOT, Inv
from tests.e2e.conftest import running
from tests.e2e.stack import Stack, ask_docker, content
from tests.support.collections import Loader
from tests.support.ports import free_ports
from tests.support.world import is_ready, wait_until

SHAPES = Path(__file__).with_name("shapes")
COLLECTION, POINTS = "docs", 50
IMAGE, MIRROR = "python:3.11-slim", "mirror.acme.example/qdrant/qdrant"
PORTS = ("16333", "16334", "16335")
HASHES = "find /data -type f -exec sha256sum {} + | sort"


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A folder of `shapes/`, and what the tasks must say of it.

    `fails` are the doctor's FAILs; `refusal` is what forbids deleting the data, if anything does.
    `port` is the one inside the container if Docker chooses the one outside.
    """

    name: str
    service: str = "qdrant"
    key: str | None = None
    fails: tuple[str, ...] = ()
    refusal: str = ""
    settings: tuple[tuple[str, str], ...] = ()
    keeps_container: bool = False
    chooses_port: bool = False


@dataclass(frozen=True)
class Shaped:
    """A running stack of that shape, with points in its Qdrant."""

    shape: Shape
    stack: Stack
    ports: tuple[str, ...]

    @property
    def inv(self) -> Inv:
        """`inv` in its folder, without settings but those of its own `.env`."""
        return self.stack.inv

    def url(self) -> str:
        """Return where Qdrant is, as Docker knows it."""
        if not self.shape.chooses_port:
            return f"http://localhost:{self.ports[0]}"
        port = ask_docker("port", self.stack.container(self.shape.service), "6333/tcp")
        return f"http://localhost:{port.rpartition(':')[2]}"

    def points(self, url: str = "") -> str:
        """Return a hash over every point of the collection, once Qdrant responds."""
        with self._loader(url) as loader:
            return content(loader, COLLECTION)

    def load(self, url: str = "") -> None:
        """Fill the collection."""
        with self._loader(url) as loader:
            loader.plain(COLLECTION, points=POINTS)

    @contextmanager
    def _loader(self, url: str) -> Iterator[Loader]:
        url = url or self.url()
        wait_until(lambda: is_ready(f"{url}/readyz"))
        loader = Loader(url, self.shape.key)
        try:
            yield loader
        finally:
            loader.close()

    def own_volumes(self) -> set[str]:
        """Return the volumes that Qdrant's container mounts."""
        mounts = self.stack.inspect(self.shape.service)["Mounts"]
        return {mount["Name"] for mount in mounts if mount["Type"] == "volume"}

    def others(self) -> dict[str, object]:
        """Return what is not Qdrant's: containers, how they ran, and the bytes of their data."""
        found: dict[str, object] = {}
        for one in self._containers():
            if one["Config"]["Labels"]["com.docker.compose.service"] == self.shape.service:
                continue
            state = one["State"]
            keys = ("Status", "StartedAt", "FinishedAt", "Pid", "ExitCode")
            found[one["Name"]] = (one["Id"], one["RestartCount"], *(state[key] for key in keys))
            if state["Running"]:
                found[f"data of {one['Name']}"] = self._data(one)
        found |= {str(path): digest for path, digest in _files(self.stack.root)}
        return found

    def _data(self, container: dict[str, Any]) -> str:
        if container["Config"]["Image"].startswith("qdrant/"):
            return self.points(f"http://localhost:{self.ports[2]}")
        hashes = ask_docker("exec", container["Id"], "sh", "-c", HASHES)
        assert hashes, f"{container['Name']} has no data"
        return hashes

    def _containers(self) -> list[dict[str, Any]]:
        ids = self.stack.compose("ps", "--all", "--quiet").stdout.split()
        found: list[dict[str, Any]] = json.loads(ask_docker("inspect", *ids)) if ids else []
        return found


def _files(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of the project with their hashes, except for Qdrant's and ours."""
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root).parts
        if path.is_file() and not {"qdrant", "vectors", "qdrant_snapshots", ".qdrant"} & {*inside}:
            yield path, hashlib.sha256(path.read_bytes()).hexdigest()


@contextmanager
def started(shape: Shape, root: Path) -> Iterator[Shaped]:
    """Start a stack as its owner does, with plain Compose, and fill it; remove it at the end."""
    with ExitStack() as cleaning:
        name = f"qst-e2e-{uuid4().hex[:8]}"
        ports = tuple(map(str, free_ports(len(PORTS))))
        _write(shape, root, name, ports)
        environment = {"PYTHONPATH": str(ROOT), "QDRANT_COLLECTION_NAME": COLLECTION}
        environment |= {k: v.replace(PORTS[0], ports[0]) for k, v in shape.settings}
        if shape.name != "named":
            environment["COMPOSE_PROJECT_NAME"] = name
        _prepare(name, root, cleaning)
        inv = Inv(root=root, environment=environment)
        stack = cleaning.enter_context(running(Stack(inv=inv, name=name, port=int(ports[0]))))
        done = stack.compose("up", "--detach")
        assert done.code == 0, done.stderr
        shaped = Shaped(shape, stack, ports)
        shaped.load()
        if shape.name == "two":
            shaped.load(f"http://localhost:{ports[2]}")
        yield shaped


def _write(shape: Shape, root: Path, name: str, ports: tuple[str, ...]) -> None:
    """Copy the folder, with names, ports and images of this run and this machine."""
    new = {"/srv/acme": str(root), "acme": name, IMAGE: os.environ.get("PYTHON_IMAGE", IMAGE)}
    new |= dict(zip(PORTS, ports, strict=True))
    pattern = re.compile("|".join(map(re.escape, new)))
    shutil.copytree(SHAPES / shape.name, root)
    for path in [path for path in root.rglob("*") if path.is_file()]:
        text = path.read_text(encoding="utf-8")
        path.write_text(pattern.sub(lambda found: new[found[0]], text), encoding="utf-8")
    (root / "tasks.py").write_text("from snapshot_tasks import namespace\n", encoding="utf-8")


def _prepare(name: str, root: Path, cleaning: ExitStack) -> None:
    """Make what these files take for granted: a mirror's images, folders, and external things."""
    texts = "".join(path.read_text("utf-8") for path in root.glob("*.y*ml"))
    if (mirror := MIRROR.replace("acme", name)) in texts:
        for tag in ("latest", "v1.17.0"):
            ask_docker("tag", "qdrant/qdrant:v1.17.0", f"{mirror}:{tag}")
            cleaning.callback(ask_docker, "image", "rm", f"{mirror}:{tag}")
    for folder in re.findall(r"device: \"?([^\"} ]+)", texts):
        Path(folder).mkdir(parents=True)
    if outside := re.search(r"external: true, name: (\S+)}", texts):
        for kind in ("volume", "network"):
            ask_docker(kind, "create", outside[1])
            cleaning.callback(ask_docker, kind, "rm", outside[1])
