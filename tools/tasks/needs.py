"""What the tests need of a machine besides Python, where they need it, and how to get it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from snapshot_tasks.domain.versions import TESTED
from tools.tasks.running import ROOT

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
AZURITE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")).joinpath(
    "qdrant-snapshot-tasks", "azurite-3.37.0", "node_modules", ".bin", "azurite-blob"
)
SYSTEMD = Path("/lib/systemd/systemd")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something that some tests need; `paths` below tests/ contain these tests."""

    name: str
    paths: tuple[str, ...]
    is_there: Callable[[], bool]
    how: str


def find_browser() -> str | None:
    """Return the path of Chromium, or of Chrome."""
    return next((path for name in BROWSERS if (path := shutil.which(name))), None)


def _has(program: str) -> bool:
    return shutil.which(program) is not None


def _has_docker() -> bool:
    from snapshot_tasks.engines.compose_client import docker_problem

    return not docker_problem()


def _has_qdrant(version: str) -> bool:
    from snapshot_tasks.engines.binary import find_binary
    from snapshot_tasks.settings import load_settings

    return find_binary(load_settings(ROOT, {}), version) is not None


def _is_root() -> bool:
    return os.geteuid() == 0


NEEDS = (
    Need(
        name="Docker",
        paths=("e2e",),
        is_there=_has_docker,
        how="start Docker, with Compose v2; `docker compose version` must work",
    ),
    *(
        Need(
            name=f"Qdrant {version}",
            paths=("integration", "e2e"),
            is_there=partial(_has_qdrant, version),
            how=f"run ./inv engine.install --version {version}",
        )
        for version in TESTED
    ),
    Need(
        name="Chromium",
        paths=("browser",),
        is_there=lambda: find_browser() is not None,
        how="install Debian's package chromium",
    ),
    Need(
        name="Azurite",
        paths=("contract",),
        is_there=AZURITE.exists,
        how="run .ci/provision.d/azurite",
    ),
    Need(
        name="promtool",
        paths=("integration/test_alert_rules.py",),
        is_there=partial(_has, "promtool"),
        how="install Debian's package prometheus",
    ),
    Need(
        name="restic",
        paths=("integration/test_hook.py",),
        is_there=partial(_has, "restic"),
        how="install Debian's package restic",
    ),
    Need(
        name="exFAT",
        paths=("integration/test_machines.py",),
        is_there=lambda: _has("mkfs.exfat") and _has("mount.exfat-fuse"),
        how="install Debian's packages exfatprogs and exfat-fuse",
    ),
    Need(
        name="systemd-analyze",
        paths=("integration/test_schedule.py",),
        is_there=partial(_has, "systemd-analyze"),
        how="install Debian's package systemd",
    ),
    Need(
        name="mounted disks",
        paths=(
            "integration/test_bad_input.py",
            "integration/test_create.py",
            "integration/test_faults.py",
            "integration/test_machines.py",
            "integration/test_offsite.py",
        ),
        is_there=_is_root,
        how="run as root",
    ),
    Need(
        name="a running systemd",
        paths=("e2e/test_schedule_systemd.py",),
        is_there=lambda: _is_root() and SYSTEMD.exists(),
        how="install Debian's package systemd, and run as root",
    ),
)


def unmet(only: Sequence[str], needs: Sequence[Need] = NEEDS) -> Iterator[str]:
    """Yield what is missing for the tests in these paths, and how to get it; no path is all."""
    for need in needs:
        if _overlap(only, need.paths) and not need.is_there():
            yield f"tests with {need.name}; to run them: {need.how}"


def _overlap(only: Sequence[str], paths: Sequence[str]) -> bool:
    """Return whether any of the one paths is, contains or is in any of the others."""
    chosen = [Path(each.partition("::")[0]) for each in only if each]
    wanted = [Path(path) for path in paths]
    return not chosen or any(
        one.is_relative_to(other) or other.is_relative_to(one) for one in chosen for other in wanted
    )
