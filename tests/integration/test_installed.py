"""The wheel in an empty environment: the script, and a project's own tasks.py."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from snapshot_tasks import __version__
from tests.conftest import ROOT, Live, missing
from tests.support.collections import Loader
from tests.support.ports import free_ports
from tests.support.world import is_ready, wait_until

OWN_TASKS = """\
from invoke import Collection, task
from snapshot_tasks import namespace as snapshots


@task
def hello(c):
    \"\"\"A task of this project's own.\"\"\"
    print("hello")


ns = Collection(hello)
ns.add_collection(snapshots, "qdrant")
ns.configure({"qdrant_snapshots": {"QDRANT_COLLECTION_NAME": "docs"}})
"""
OURS = ("qdrant_snapshots", ".qdrant")
OWN_COMPOSE = """\
services:
  qdrant:
    image: qdrant/qdrant:v1.17.0
    ports:
      - "127.0.0.1:${QDRANT_HTTP_PORT:-6333}:6333"
      - "127.0.0.1:${QDRANT_GRPC_PORT:-6334}:6334"
    volumes:
      - data:/qdrant/storage
volumes:
  data:
"""


NEWCOMERS = """\
services:
  qdrant:
    image: qdrant/qdrant:v1.17.0
    ports: ["127.0.0.1:{port}:6333"]
    volumes: ["vectors:/qdrant/storage"]
  app:
    image: {image}
    init: true
    command: [sh, -c, "date > /data/started; exec sleep 600"]
    volumes: ["app:/data"]
    depends_on: [qdrant]
volumes: {{vectors: , app: }}
"""


def done(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; nothing of this checkout is on its path."""
    return subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": "", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def well(ran: subprocess.CompletedProcess[str]) -> str:
    """Return the output of a program, which must succeed."""
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built once for a run of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    built = done(*pip, "--wheel-dir", str(folder), str(ROOT), cwd=folder)
    if "No matching distribution found for hatchling" in built.stderr:
        missing("no package index to get hatchling from")
    well(built)
    (path,) = folder.glob("*.whl")
    return path


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel and its dependencies."""

    bin: Path

    def __call__(
        self, program: str, *words: str, cwd: Path, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run one of its programs in a folder."""
        return done(str(self.bin / program), *words, cwd=cwd, **environment)


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A new environment with the wheel installed by pip."""
    folder = tmp_path_factory.mktemp("venv") / "venv"
    well(done(sys.executable, "-m", "venv", str(folder), cwd=folder.parent))
    pip = (str(folder / "bin/pip"), "install", "--quiet", "--no-compile", "--prefer-binary")
    well(done(*pip, str(wheel), cwd=folder.parent))
    return Installed(bin=folder / "bin")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An empty project folder."""
    path = tmp_path / "somebody's"
    path.mkdir()
    return path


@pytest.fixture
def own(root: Path) -> Path:
    """A project with its own tasks.py and compose file, as docs/adoption.md shows."""
    (root / "tasks.py").write_text(OWN_TASKS, encoding="utf-8")
    (root / "compose.yaml").write_text(OWN_COMPOSE, encoding="utf-8")
    return root


def test_the_wheel_carries_what_it_needs_and_no_more(wheel: Path) -> None:
    """Compose file, Dockerfile, pins, templates, sample; no tests, no bench, no tools."""
    names = set(zipfile.ZipFile(wheel).namelist())
    for name in ("docker-compose.yml", "Dockerfile", "requirements.txt", "py.typed"):
        assert f"snapshot_tasks/{name}" in names
    for name in ("demo_data/campus.f32", "report/page.html.j2", "report/styles.css"):
        assert f"snapshot_tasks/{name}" in names
    assert {name.split("/")[0] for name in names} == {
        "snapshot_tasks",
        f"qdrant_snapshot_tasks-{__version__}.dist-info",
    }


def test_the_files_of_the_wheel_are_those_of_the_repository(wheel: Path) -> None:
    """There is one source for each: git has no copy that could become outdated."""
    with zipfile.ZipFile(wheel) as archive:
        for name in ("docker-compose.yml", "Dockerfile", "requirements.txt"):
            assert archive.read(f"snapshot_tasks/{name}") == (ROOT / name).read_bytes()


def test_the_page_shows_the_tasks_py_that_is_tried_here() -> None:
    """Word for word, and the same compose file."""
    page = (ROOT / "docs/adoption.md").read_text(encoding="utf-8")
    assert f"```python\n# tasks.py\n{OWN_TASKS}```" in page
    assert f"```yaml\n# compose.yaml\n{OWN_COMPOSE}```" in page


def test_the_script_in_an_empty_folder(installed: Installed, root: Path) -> None:
    """Version, list, and a doctor whose remedies name the script; the folder stays the root."""
    assert well(installed("qdrant-snapshots", "--version", cwd=root)).split() == [
        "qdrant-snapshots",
        __version__,
    ]
    assert "snapshot.test-restore" in well(installed("qdrant-snapshots", "--list", cwd=root))
    ran = installed("qdrant-snapshots", "doctor", cwd=root, QDRANT_ENGINE="native")
    assert ran.returncode == 13
    assert "`qdrant-snapshots stack.up` starts it" in ran.stderr
    assert "OK    engine" in ran.stdout
    assert "inv " not in ran.stdout + ran.stderr
    mistyped = installed("qdrant-snapshots", "snapshot.lst", cwd=root)
    assert (mistyped.returncode, mistyped.stdout) == (1, "")
    assert "Did you mean snapshot.list" in mistyped.stderr


def test_the_script_reads_the_settings_of_the_folder(installed: Installed, root: Path) -> None:
    """`.env` and the snapshot folder are found from the current folder."""
    (root / ".env").write_text("QDRANT_SNAPSHOT_DIR=kept\n", encoding="utf-8")
    (root / "kept").mkdir()
    ran = installed("qdrant-snapshots", "snapshot.list", "--json", cwd=root)
    assert json.loads(well(ran))["ok"] is True
    assert (
        "`qdrant-snapshots snapshot.create`"
        in installed("qdrant-snapshots", "snapshot.list", cwd=root).stdout
    )


@pytest.mark.parametrize("where", ["root", "below", "elsewhere"])
def test_an_own_tasks_py(installed: Installed, own: Path, tmp_path: Path, where: str) -> None:
    """From the root, a subfolder and by `-r`: its settings, its folder, and its names of tasks."""
    below = own / "below"
    below.mkdir()
    cwd = {"root": own, "below": below, "elsewhere": tmp_path}[where]
    flags = ("-r", str(own)) if where == "elsewhere" else ()
    listed = well(installed("inv", *flags, "--list", cwd=cwd))
    assert "hello" in listed
    assert "qdrant.snapshot.create" in listed
    (own / ".env").write_text("QDRANT_ENGINE=native\nQDRANT_URL=http://localhost:1\n", "utf-8")
    ran = installed("inv", *flags, "qdrant.doctor", "--json", cwd=cwd)
    document = json.loads(ran.stdout)
    assert ran.returncode == document["exit_code"]
    found = {finding["check"]: finding for finding in document["result"]["findings"]}
    program = f"inv --search-root {shlex.quote(str(own))}" if flags else "inv"
    assert f"`{program} qdrant.stack.up`" in found["server"]["remedy"]
    assert str(own / "qdrant_snapshots") in found["folder"]["message"]
    shown = installed("inv", *flags, "qdrant.snapshot.list", "--json", cwd=cwd)
    assert f"`{program} qdrant.snapshot.create`" in json.loads(shown.stdout)["error"]["hint"]


def test_defaults_of_an_own_tasks_py(installed: Installed, own: Path) -> None:
    """They are used unless the environment says otherwise; a wrong one is reported."""
    (own / "qdrant_snapshots").mkdir()
    asked = ("--dry", "qdrant.snapshot.create", "--json")
    steps = json.loads(well(installed("inv", *asked, cwd=own)))["result"]["would"]
    assert steps[0].startswith("take a snapshot of docs and save it in ")
    ran = installed("inv", *asked, cwd=own, QDRANT_COLLECTION_NAME="other")
    assert json.loads(well(ran))["result"]["would"][0].startswith("take a snapshot of other ")
    tasks = own / "tasks.py"
    text = tasks.read_text(encoding="utf-8").replace("COLLECTION_NAME", "COLECTION_NAME")
    tasks.write_text(text, encoding="utf-8")
    ran = installed("inv", *asked, cwd=own)
    assert ran.returncode == 14
    assert "QDRANT_COLECTION_NAME" in ran.stderr


@pytest.fixture
def scheduled(own: Path, qdrant: Live) -> Iterator[Path]:
    """The same project with a live Qdrant elsewhere that has its collection."""
    (own / ".env").write_text(
        f"QDRANT_ENGINE=external\nQDRANT_DRILL_ENGINE=native\nQDRANT_URL={qdrant.url}\n"
        "QDRANT_COLLECTION_NAME=installed\n",
        encoding="utf-8",
    )
    qdrant.loader.plain("installed", points=50)
    yield own
    qdrant.loader.delete("installed")


@pytest.mark.parametrize(
    ("program", "prefix"), [("inv", "qdrant."), ("qdrant-snapshots", "")], ids=["inv", "script"]
)
def test_its_cron_lines_run(
    installed: Installed, scheduled: Path, program: str, prefix: str
) -> None:
    """From another folder, with an empty environment, in silence: a snapshot, and its proof."""
    ran = installed(program, f"{prefix}snapshot.schedule", "--json", cwd=scheduled)
    [crontab] = json.loads(well(ran))["result"]["files"].values()
    lines = [line for line in crontab.splitlines() if not line.startswith("#")]
    for line in lines:
        command = line.split(maxsplit=5)[5].replace("\\%", "%")
        assert f"{installed.bin / program}" in command
        cron = done("env", "-i", "/bin/sh", "-c", command, cwd=Path("/"))
        assert (cron.returncode, cron.stdout, cron.stderr) == (0, "", "")
    shown = installed(program, f"{prefix}snapshot.list", "--json", cwd=scheduled)
    [snapshot] = json.loads(well(shown))["result"]["snapshots"]
    assert snapshot["proven_at"]


@pytest.mark.docker
@pytest.mark.usefixtures("drill_turn")
def test_an_own_compose_file(docker: None, installed: Installed, own: Path) -> None:
    """The stack, a snapshot and its proof, in a separate Compose project."""
    port, grpc_port = free_ports(2)
    settings = {
        "COMPOSE_PROJECT_NAME": f"qst-own-{uuid4().hex[:8]}",
        "QDRANT_ENGINE": "compose",
        "QDRANT_HTTP_PORT": str(port),
        "QDRANT_GRPC_PORT": str(grpc_port),
    }
    _add_defaults(own, settings)

    def inv(*words: str) -> str:
        return well(installed("inv", *words, cwd=own))

    try:
        inv("qdrant.stack.up")
        fill(port, "docs")
        inv("qdrant.snapshot.create")
        assert "PROVEN" in inv("qdrant.snapshot.test-restore")
    finally:
        inv("qdrant.stack.down", "--volumes", "--yes")


def five_commands() -> list[str]:
    """Return the commands that docs/adoption.md shows for a compose file of one's own."""
    page = (ROOT / "docs/adoption.md").read_text(encoding="utf-8")
    section = page.partition("## Your own compose file")[2]
    block = section.partition("```sh\n")[2].partition("```")[0]
    return [line.partition("#")[0].strip() for line in block.splitlines()]


@pytest.mark.docker
@pytest.mark.usefixtures("drill_turn")
def test_from_an_empty_folder_to_a_proof(docker: None, installed: Installed, root: Path) -> None:
    """Only a newcomer's compose file and what the page shows: five commands, no setting."""
    install, *commands = five_commands()
    assert install.startswith("pip install ")
    assert len(commands) == 4
    mine = root / f"qst-own-{uuid4().hex[:8]}"
    mine.mkdir()
    (port,) = free_ports(1)
    image = os.environ.get("PYTHON_IMAGE", "python:3.11-slim")
    text = NEWCOMERS.format(port=port, image=image)
    (mine / "compose.yaml").write_text(text, encoding="utf-8")
    try:
        for number, command in enumerate(commands):
            program, *words = command.split()
            own = installed.bin / program
            said = well(done(str(own) if own.exists() else program, *words, cwd=mine))
            if number == 0:
                fill(port, "notes")
        assert "PROVEN" in said
        assert not {path.name for path in mine.iterdir()} - {"compose.yaml", *OURS}
    finally:
        done("docker", "compose", "down", "--volumes", "--timeout", "0", cwd=mine)


def fill(port: int, collection: str) -> None:
    """Load a small collection, as the app of that stack would."""
    wait_until(lambda: is_ready(f"http://localhost:{port}/readyz"))
    loader = Loader(f"http://localhost:{port}")
    loader.plain(collection, points=50)
    loader.close()


@pytest.mark.docker
def test_without_a_compose_file(docker: None, installed: Installed, root: Path) -> None:
    """The packaged one works, and the wheel has everything that its restore service needs."""
    port, grpc_port = free_ports(2)
    settings = {
        "COMPOSE_PROJECT_NAME": f"qst-own-{uuid4().hex[:8]}",
        "QDRANT_ENGINE": "compose",
        "QDRANT_HTTP_PORT": str(port),
        "QDRANT_GRPC_PORT": str(grpc_port),
    }

    def script(*words: str) -> str:
        return well(installed("qdrant-snapshots", *words, cwd=root, **settings))

    try:
        script("stack.up")
        ran = installed("qdrant-snapshots", "doctor", cwd=root, **settings)
        assert "the one of this package" in ran.stdout
        code = _PACKAGED.format(root=str(root))
        options, environment = json.loads(well(installed("python", "-c", code, cwd=root)))
        compose = ("docker", "compose", *options, "run", "--rm", "--build", "qdrant-restore")
        ran = done(*compose, cwd=root, **settings, **environment)
        assert "there is nothing to restore" in well(ran) + ran.stderr
    finally:
        script("stack.down", "--volumes", "--yes")
        image = f"{settings['COMPOSE_PROJECT_NAME']}-qdrant-restore"
        done("docker", "image", "rm", image, cwd=root)


_PACKAGED = """
import json
from pathlib import Path
from snapshot_tasks.engines.compose_files import packaged_files
files = packaged_files(Path({root!r}))
print(json.dumps([files.options, files.environment]))
"""


def _add_defaults(root: Path, settings: dict[str, str]) -> None:
    """Set these defaults as a project would: in its tasks.py, by `ns.configure`."""
    tasks = root / "tasks.py"
    given = "".join(f"{name!r}: {value!r}, " for name, value in settings.items())
    text = tasks.read_text(encoding="utf-8")
    assert '"qdrant_snapshots": {' in text
    text = text.replace('"qdrant_snapshots": {', f'"qdrant_snapshots": {{{given}')
    tasks.write_text(text, encoding="utf-8")
