"""The metadata of the distribution says what requirements.txt pins."""

from __future__ import annotations

import tomllib
from importlib.metadata import version

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT


def declared() -> dict[str, Requirement]:
    """Return the dependencies of the distribution by name."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    found = [Requirement(line) for line in project["dependencies"]]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def pinned() -> dict[str, str]:
    """Return what requirements.txt pins, by name."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): number for name, number in pins}


def test_both_name_the_same_packages() -> None:
    """What `./inv` installs, an installed package brings along, and nothing else."""
    assert declared().keys() == pinned().keys()


def test_each_pin_is_within_its_range() -> None:
    """The versions that are tested are among those that the metadata allows."""
    outside = {
        name: number
        for name, number in pinned().items()
        if number not in declared()[name].specifier
    }
    assert outside == {}


def test_what_decides_a_fingerprint_is_narrow() -> None:
    """Another minor version of these may write floats, or read Qdrant's files, in another way."""
    for name in ("orjson", "qdrant-edge-py"):
        major, minor, _ = pinned()[name].split(".")
        assert str(declared()[name].specifier) == f"=={major}.{minor}.*"


def test_the_environment_of_these_tests_fits() -> None:
    """The tests run what is declared."""
    assert [n for n, wanted in declared().items() if version(n) not in wanted.specifier] == []
