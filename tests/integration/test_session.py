"""The recorded session of the README: a real run, and a picture that asks no other host."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools import record_session


def addresses(picture: str) -> set[str]:
    """Return all addresses in a picture, except the name of its format and a comment."""
    text = re.sub(r"<!--.*?-->", "", picture)
    return set(re.findall(r"https?://[^\s\"')]+", text)) - {"http://www.w3.org/2000/svg"}


def test_a_session_is_recorded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty folder to a proof, with a real Qdrant; nothing is left running or shown."""
    picture = tmp_path / "session.svg"
    monkeypatch.setattr(record_session, "PICTURE", picture)
    record_session.main()
    drawn = picture.read_text(encoding="utf-8").replace("&#160;", " ")
    for command in record_session.COMMANDS:
        assert f"$ qdrant-snapshots {command}" in drawn
    assert "PROVEN: campus-demo_" in drawn
    assert "~/my-project/qdrant_snapshots" in drawn
    assert str(Path("/tmp/tmp")) not in drawn
    assert addresses(drawn) == set()


def test_the_picture_of_the_readme_is_such_a_one() -> None:
    """It shows the same commands, and asks no other host."""
    drawn = record_session.PICTURE.read_text(encoding="utf-8")
    for command in record_session.COMMANDS:
        assert command in drawn
    assert addresses(drawn) == set()
    assert "](docs/session.svg)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_failure_is_not_drawn(tmp_path: Path) -> None:
    """The recording ends with what the task printed."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "QDRANT_ENGINE": "native"}
    with pytest.raises(RuntimeError, match="ended with 10"):
        record_session.in_terminal("snapshot.show", tmp_path, environment)
