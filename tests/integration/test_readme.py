"""The README and the tour, typed one by one as a newcomer would, with the output shown."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from snapshot_tasks.alarms.delivery import DEADLINE_SECONDS
from snapshot_tasks.checks.expected import COUNT_SECONDS
from snapshot_tasks.cli.console import HEARTBEAT_SECONDS
from snapshot_tasks.cli.namespace import TASKS
from snapshot_tasks.domain.endpoint import ANSWER_SECONDS, GREEN_SECONDS
from snapshot_tasks.operations.create.one import DRAIN_SECONDS
from snapshot_tasks.qdrant.download import RESUMES
from snapshot_tasks.qdrant.http import BATCH_ANSWERS, CONNECT_SHARE
from snapshot_tasks.qdrant.search import ANSWERS
from snapshot_tasks.qdrant.snapshots import INTERRUPTED_SECONDS
from snapshot_tasks.settings import load_settings
from snapshot_tasks.storage import bucket as buckets
from tests.conftest import ROOT, Inv, Live
from tests.support.ports import free_ports

FOREIGN = ROOT / "snapshot_tasks/settings/foreign.py"
_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)


def _steps() -> list[tuple[str, list[str]]]:
    """Return each command of the tour with the lines of its output; `…` is for left-out ones."""
    steps: list[tuple[str, list[str]]] = []
    for block in _BLOCK.findall((ROOT / "docs/tour.md").read_text(encoding="utf-8")):
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], []))
            elif line.strip(" ─"):
                steps[-1][1].append(line)
    return steps


def _shape(line: str) -> str:
    """Return a line without what differs between runs: times, hashes, paths, table padding."""
    line = re.sub(r"\S*/(\w+_snapshots)", r"\1", line)
    line = re.sub(r"[0-9a-f]{16,}", "#", line)
    line = re.sub(r"process \d+; delete folder \S+\)", "#", line)
    line = re.sub(r"[\d.,]+ (ms|s|min|h|[kMG]B)\b", "#", line)
    line = re.sub(r"1,\d{3},\d{3} bytes", "#", line)
    return " ".join(re.sub(r"\d{8}_\d{6}(-\d+)?", "#", line).split())


def test_every_command_prints_what_the_tour_shows(inv: Inv) -> None:
    """The tour works as written, and its output is real."""
    shutil.copy(ROOT / "inv", inv.root / "inv")
    http, grpc = free_ports(2)
    environment = {"QDRANT_HTTP_PORT": str(http), "QDRANT_GRPC_PORT": str(grpc)}
    steps = _steps()
    assert len(steps) >= 10
    try:
        for command, expected in steps:
            words = shlex.split(command)
            if words[0] == "export":
                name, _, value = words[1].partition("=")
                environment[name] = value
                continue
            assert words[0] == "./inv"
            ran = inv(*words[1:], **environment)
            assert ran.code == 0, f"{command}: {ran.stderr}"
            printed = [_shape(line) for line in ran.stdout.splitlines() if line.strip(" ─")]
            shown = [_shape(line) for line in expected]
            if shown[:1] == ["…"]:
                shown = shown[1:]
                printed = printed[-len(shown) :]
            assert printed == shown, f"{command} prints something else:\n{ran.stdout}"
    finally:
        inv("stack.down", "--volumes", "--yes", **environment)


def test_every_linked_file_is_there() -> None:
    """All links of the README and of CONTRIBUTING work."""
    pages = sorted(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))
    documents = ("README.md", "CONTRIBUTING.md", *pages)
    for document in documents:
        path = ROOT / document
        for target in re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{document} links to {target}"


@pytest.mark.parametrize("page", ["README.md", "docs/adoption.md"])
def test_the_three_lines_prove_a_server_that_is_there(page: str, inv: Inv, qdrant: Live) -> None:
    """As written, with another address; the server itself is not used for the drill."""
    text = (ROOT / page).read_text(encoding="utf-8")
    [block] = re.findall(r"```sh\n(export QDRANT_URL=.*?)```", text, re.DOTALL)
    export, *commands = block.splitlines()
    settings = dict(word.split("=") for word in shlex.split(export)[1:])
    assert settings.keys() == {"QDRANT_URL", "QDRANT_API_KEY", "QDRANT_ENGINE"}
    qdrant.loader.clear()
    qdrant.loader.plain("my-documents", points=20)
    here = {"QDRANT_URL": qdrant.url, "QDRANT_DRILL_ENGINE": "native"}
    for command in commands:
        program, *words = shlex.split(command, comments=True)
        assert program in ("./inv", "qdrant-snapshots")
        ran = inv(*words, **{**settings, **here})
        assert ran.code == 0, ran.stderr
    assert len(commands) == 2
    assert "PROVEN: my-documents_" in ran.stdout


def test_the_readme_stays_short_and_names_every_task() -> None:
    """Long tables have pages of their own."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) < 250
    for name in TASKS:
        assert f"`{name.replace('_', '-')}`" in readme, name


def test_every_page_is_linked_from_the_readme() -> None:
    """Whoever starts there finds all of them."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").glob("*.md"):
        assert f"](docs/{page.name}" in readme, page.name


def test_every_setting_is_listed() -> None:
    """docs/settings.md and .env.example list every setting that the code reads."""
    # Settings of other tools are only recognised, to name the one that is meant.
    files = set((ROOT / "snapshot_tasks/settings").glob("*.py")) - {FOREIGN}
    code = "".join(file.read_text(encoding="utf-8") for file in files)
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    page = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    names = set(re.findall(r'"(QDRANT_[A-Z_]+)"', code))
    assert len(names) > 10
    for name in names:
        assert name in example, name
        assert name in page or name.startswith("QDRANT_RELEASES"), name


def test_the_timeouts_are_those_of_the_code() -> None:
    """docs/timeouts.md agrees with the constants and the defaults of the settings."""
    page = (ROOT / "docs/timeouts.md").read_text(encoding="utf-8")
    rows = [row.split(" | ") for row in page.splitlines() if row.startswith("| ")]
    stated = {row[0].removeprefix("| ").split(",")[0]: row[1] for row in rows}
    settings = load_settings(ROOT / "tests", {})
    answer = settings.qdrant.answer_timeout_seconds
    green = settings.qdrant.green_timeout_seconds
    assert (answer, green) == (ANSWER_SECONDS, GREEN_SECONDS)
    for phase, seconds in (
        ("connecting", answer * CONNECT_SHARE),
        ("a short request", answer),
        ("one batch of points or of searches", answer * BATCH_ANSWERS),
        ("Qdrant creating a snapshot", settings.qdrant.operation_timeout_seconds),
        ("a Qdrant becoming ready after it is started", settings.qdrant.ready_timeout_seconds),
        ("every point of a restored collection being there", COUNT_SECONDS),
        ("a restored collection becoming green; not if its optimizer is switched off", green),
        ("applying queued updates before sealing", DRAIN_SECONDS),
        (
            "cleaning up after Ctrl-C: waiting for Qdrant to finish what must be deleted",
            INTERRUPTED_SECONDS,
        ),
        ("[alarms](alarms.md) at the end of a task", DEADLINE_SECONDS),
        ("connecting to an off-site store", buckets.CONNECT_SECONDS),
        ("one request to an off-site store: at most one pack of 32 MiB", buckets.REQUEST_SECONDS),
        ("an off-site store that is busy or unreachable: 10 tries", buckets.RETRY_SECONDS),
    ):
        assert stated[phase].split(",")[0] == f"{seconds:g} s", phase
    assert BATCH_ANSWERS == ANSWERS
    assert f"more than {HEARTBEAT_SECONDS:g} s" in page
    assert f"up to {RESUMES} times" in page
    assert f"{buckets.RETRIES} tries" in page


def test_the_launcher_is_valid_shell() -> None:
    """`./inv` parses as a POSIX shell script and is executable."""
    launcher = Path(ROOT / "inv")
    assert launcher.stat().st_mode & 0o111
    assert subprocess.run(["sh", "-n", str(launcher)], check=False).returncode == 0
