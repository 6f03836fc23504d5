"""A project without a compose file gets this package's, with its own folders and its own name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from snapshot_tasks.engines.compose_files import (
    DEFAULT_FILES,
    ComposeFiles,
    compose_files,
    key_environment,
    packaged_files,
)
from snapshot_tasks.settings import Settings
from snapshot_tasks.system.errors import SettingsError
from tests.conftest import ROOT

Make = Callable[..., Settings]


@pytest.mark.parametrize("name", DEFAULT_FILES)
def test_the_projects_own_file_is_left_to_compose(
    make_settings: Make, project: Path, name: str
) -> None:
    """No options are passed, whatever its name is; a copy of ours is known by its marker."""
    project.mkdir()
    (project / name).touch()
    assert compose_files(make_settings()) == ComposeFiles()
    shutil.copy(ROOT / "docker-compose.yml", project / name)
    assert compose_files(make_settings()) == ComposeFiles(is_own=True)


def test_a_file_that_is_named_is_left_to_compose(make_settings: Make, project: Path) -> None:
    """Compose reads COMPOSE_FILE itself; the error gives the file that does not exist."""
    project.mkdir()
    (project / "stack.yml").touch()
    assert compose_files(make_settings(COMPOSE_FILE="stack.yml")) == ComposeFiles()
    with pytest.raises(SettingsError, match=r"COMPOSE_FILE names .*ghost\.yml"):
        compose_files(make_settings(COMPOSE_FILE="stack.yml:ghost.yml"))


def test_without_one_it_is_the_packages(make_settings: Make, project: Path) -> None:
    """In a checkout, the file and everything its image is built from are at the checkout's root."""
    files = compose_files(make_settings())
    assert files.is_own
    own = str(ROOT / "docker-compose.yml")
    assert files.options == ("--project-directory", str(project), "--file", own)
    assert files.environment == {
        "SNAPSHOT_TASKS_CONTEXT": str(ROOT),
        "SNAPSHOT_TASKS_PACKAGE": "snapshot_tasks",
    }


def test_an_installed_package_has_it_inside(tmp_path: Path) -> None:
    """In an installed package, the package is the whole build context."""
    package = tmp_path / "site-packages/snapshot_tasks"
    package.mkdir(parents=True)
    (package / "docker-compose.yml").touch()
    files = packaged_files(tmp_path, package)
    assert files.options[-1] == str(package / "docker-compose.yml")
    assert files.environment == {
        "SNAPSHOT_TASKS_CONTEXT": str(package),
        "SNAPSHOT_TASKS_PACKAGE": ".",
    }


@pytest.mark.parametrize("text", ["file: ${QDRANT_API_KEY_FILE:-/dev/null}", "# nothing of it"])
def test_a_key_file_is_given_as_a_file_to_whoever_reads_it(
    make_settings: Make, project: Path, text: str
) -> None:
    """Any other compose file gets the key itself, as before, and never none at all."""
    project.mkdir()
    (project / "docker-compose.yml").write_text(text, encoding="utf-8")
    key = project / "key"
    key.write_text("k", encoding="utf-8")
    settings = make_settings(QDRANT_API_KEY_FILE="key")
    seen = settings.compose_environment(is_own_file=True) | key_environment(
        settings, compose_files(settings)
    )
    reads_it = {"QDRANT_API_KEY": "", "QDRANT_API_KEY_FILE": str(key)}
    expected = reads_it if "FILE" in text else {"QDRANT_API_KEY": "k"}
    assert {name: seen[name] for name in seen if "KEY" in name} == expected


def test_the_packages_file_reads_a_key_file(make_settings: Make, project: Path) -> None:
    """A project without a compose file and without a key gets neither variable."""
    project.mkdir()
    (project / "key").write_text("k", encoding="utf-8")
    settings = make_settings(QDRANT_API_KEY_FILE="key")
    assert key_environment(settings, compose_files(settings))["QDRANT_API_KEY"] == ""
    settings = make_settings(QDRANT_API_KEY="k")
    assert key_environment(settings, compose_files(settings)) == {}
