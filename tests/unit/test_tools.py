"""`inv test`: which parts there are, and what it says is left out."""

from __future__ import annotations

import pytest

from snapshot_tasks.cli.command import Run
from snapshot_tasks.domain.versions import TESTED
from snapshot_tasks.system.errors import SettingsError
from tests.conftest import ROOT
from tools.tasks.needs import NEEDS, Need, unmet
from tools.tasks.running import run_tools
from tools.tasks.test import check_part, left_out

ABSENT = (
    Need(name="a", paths=("e2e",), is_there=lambda: False, how="get a"),
    Need(name="b", paths=("integration/test_b.py",), is_there=lambda: False, how="get b"),
    Need(name="c", paths=("integration",), is_there=lambda: True, how="get c"),
)
A, B = "tests with a; to run them: get a", "tests with b; to run them: get b"


@pytest.mark.parametrize("part", ["1/1", "1/2", "2/2", "10/12"])
def test_a_part(part: str) -> None:
    """Every number up to the number of parts is one."""
    check_part(part)


@pytest.mark.parametrize("part", ["3/2", "0/2", "1/0", "1", "a/b", "-1/2", "1/2/3", "٢/٢"])
def test_no_such_part(part: str) -> None:
    """Another part is refused before pytest starts."""
    with pytest.raises(SettingsError, match="is not a part"):
        check_part(part)


@pytest.mark.parametrize(
    ("only", "said"),
    [
        ("", [A, B]),
        ("unit,property", []),
        ("unit,e2e", [A]),
        ("integration", [B]),
        ("e2e/test_drill.py", [A]),
        ("integration/test_b.py::test_x", [B]),
        ("integration/test_other.py", []),
    ],
)
def test_only_what_the_chosen_tests_need_is_missed(only: str, said: list[str]) -> None:
    """Tests that were not asked for are not left out, and what is there is not missing."""
    assert list(unmet(only.split(","), ABSENT)) == said


def test_what_is_left_out_of_unit_tests() -> None:
    """They need no program; long rounds are named unless --full."""
    assert len(list(left_out("unit", "", full=False))) == 1
    assert list(left_out("unit", "1/2", full=True)) == []


def test_a_tool_that_fails_first_and_succeeds_then_has_failed() -> None:
    """Ruff is called twice, and so is import-linter."""
    run = Run("lint", root=ROOT, dry=False, json=True)
    outcome = run_tools(run, (("ruff", "nonesuch"), ("ruff", "--version")))
    assert outcome.error
    assert outcome.error.message == "ruff failed."
    assert list(outcome.result["exit_codes"]) == ["ruff nonesuch", "ruff --version"]


def test_the_needs_name_tests_that_exist() -> None:
    """A test that was renamed must be named anew here, and every tested version is needed."""
    paths = {path for need in NEEDS for path in need.paths}
    assert [path for path in sorted(paths) if not (ROOT / "tests" / path).exists()] == []
    assert {f"Qdrant {version}" for version in TESTED} <= {need.name for need in NEEDS}
