"""`snapshot.import FILE…`: every word alone is a file, and all else is parsed as ever."""

from __future__ import annotations

import pytest
from invoke.exceptions import ParseError
from invoke.parser.parser import Parser

from snapshot_tasks.cli.namespace import build_namespace


def parsed(line: str) -> list[tuple[str | None, dict[str, object]]]:
    """Return each task of a command line with its flags."""
    contexts = Parser(contexts=build_namespace().to_contexts()).parse_argv(line.split())
    return [(found.name, {k: flag.value for k, flag in found.args.items()}) for found in contexts]


@pytest.mark.parametrize(
    "line",
    [
        "snapshot.import a.snapshot b.snapshot --label x -c docs",
        "snapshot.import --label x -c docs a.snapshot b.snapshot",
        "snapshot.import a.snapshot --label=x --files b.snapshot -c docs",
    ],
)
def test_files_and_flags_in_any_order(line: str) -> None:
    """Flags keep their values, and each other word is a file."""
    [(name, flags)] = parsed(line)
    assert name == "snapshot.import"
    assert flags["files"] == ["a.snapshot", "b.snapshot"]
    assert (flags["label"], flags["collection"]) == ("x", "docs")


def test_a_task_after_the_files_is_a_task() -> None:
    """Tasks can still be named one after the other; no call sees the files of another."""
    (_, first), (second, _) = parsed("snapshot.import a.snapshot snapshot.list")
    assert (first["files"], second) == (["a.snapshot"], "snapshot.list")
    assert parsed("snapshot.import")[0][1]["files"] == []


@pytest.mark.parametrize(
    "line", ["snapshot.import a.snapshot --lable x", "snapshot.create a.snapshot"]
)
def test_what_is_wrong_stays_wrong(line: str) -> None:
    """A flag that does not exist is no file, and other tasks take none."""
    with pytest.raises(ParseError, match="No idea what"):
        parsed(line)
