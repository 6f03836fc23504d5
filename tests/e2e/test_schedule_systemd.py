"""The units that `snapshot.schedule` prints, run by a real systemd with all their hardening."""

from __future__ import annotations

import dataclasses
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from tests.conftest import ROOT, Inv
from tests.integration.conftest import managing
from tests.support.systemd import booted, need_systemd
from tests.support.world import end_processes_below, proofs_of, wait_until

CREATE, DRILL, BARRED = "qdrant-snapshot", "qdrant-snapshot-drill", "barred"


@pytest.fixture
def away(inv: Inv) -> Iterator[Inv]:
    """`inv` in a project outside /tmp, because the units have a private /tmp."""
    need_systemd()
    folder = Path(mkdtemp(prefix="qdrant-snapshot-tests-", dir="/var/lib"))
    root = folder / "a %i project with ${HOME}"
    try:
        shutil.copytree(inv.root, root)
        moved = managing(dataclasses.replace(inv, root=root, environment={}))
        _make_project(moved)
        yield moved
    finally:
        end_processes_below(folder)
        shutil.rmtree(folder)


@pytest.mark.parametrize("engine", ["native", pytest.param("compose", marks=pytest.mark.docker)])
@pytest.mark.usefixtures("drill_turn")
def test_hardened_units_take_a_snapshot_and_prove_it(
    away: Inv, tmp_path: Path, engine: str, request: pytest.FixtureRequest
) -> None:
    """Both services succeed in a system that they cannot write to; without their folder, they fail.

    The live Qdrant is started inside, because without Docker they have a separate network.
    """
    if engine == "compose":
        request.getfixturevalue("docker")
    with (away.root / ".env").open("a", encoding="utf-8") as settings:
        settings.write(f"QDRANT_DRILL_ENGINE={engine}\n")
    inv, units, log = away, tmp_path / "units", tmp_path / "said.log"
    assert inv("snapshot.schedule", "--format", "systemd", "--output-dir", str(units)).code == 0
    service = (units / f"{CREATE}.service").read_text(encoding="utf-8")
    assert ("PrivateTmp=yes" in service) is (engine == "native")
    lines = service.splitlines(keepends=True)
    [place] = [line for line in lines if line.startswith('ReadWritePaths="')]
    (units / f"{BARRED}.service").write_text(service.replace(place, ""), encoding="utf-8")
    root = str(inv.root).replace("%", "%%").replace("$", "$$")
    (units / "qdrant.service").write_text(_QDRANT.format(root=root), encoding="utf-8")

    def told(name: str, *after: str) -> str:
        """Return a program that records how the unit ended, outside its sandbox."""
        # These tests may be in /tmp themselves.
        binds = f"BindReadOnlyPaths={ROOT} {sys.prefix}\n"
        says = f"StandardOutput=append:{log}\nStandardError=append:{log}\n"
        ends = f"ExecStopPost=+/bin/sh -c 'echo $$EXIT_STATUS > {tmp_path}/{name}.ended'"
        return f"{binds}{says}{ends}\n[Unit]\nAfter={' '.join(after)}"

    wanted = {
        "qdrant.service": "",
        f"{CREATE}.service": told(CREATE, "qdrant.service"),
        f"{DRILL}.service": told(DRILL),
        f"{BARRED}.service": told(BARRED, f"{DRILL}.service"),
    }
    with booted(units, tmp_path / "systemd.log", wanted, docker=engine == "compose"):
        wait_until((tmp_path / f"{BARRED}.ended").exists)
    said = log.read_text(encoding="utf-8")
    codes = [
        (tmp_path / f"{name}.ended").read_text(encoding="utf-8").strip()
        for name in (CREATE, DRILL, BARRED)
    ]
    assert codes == ["0", "0", "15"], said
    assert "PROVEN" in said
    [snapshot] = (inv.root / "qdrant_snapshots").glob("demo_2*.snapshot")
    assert [proof["ok"] for proof in proofs_of(snapshot)] == [True]


def _make_project(inv: Inv) -> None:
    """Give the project a launcher, and the interpreter of these tests instead of its own .venv."""
    (inv.root / "inv").write_text(
        f"#!/bin/sh\nexec {sys.executable} -m invoke --search-root '{inv.root}' \"$@\"\n",
        encoding="utf-8",
    )
    settings = {"QDRANT_ENGINE": "native", "QDRANT_COLLECTION_NAME": "demo", **inv.environment}
    text = "".join(f"{name}={value}\n" for name, value in settings.items())
    (inv.root / ".env").write_text(text, encoding="utf-8")
    load = _LOAD.format(port=settings["QDRANT_HTTP_PORT"])
    (inv.root / "load.py").write_text(load, encoding="utf-8")


_QDRANT = f"""\
[Service]
Type=forking
RemainAfterExit=yes
ExecStartPre=/bin/ip link set lo up
ExecStart=/bin/sh "{{root}}/inv" stack.up
ExecStartPost={sys.executable} "{{root}}/load.py"
"""
_LOAD = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.support.collections import Loader
Loader("http://localhost:{{port}}").plain("demo", points=50)
"""
