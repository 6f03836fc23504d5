"""Long phases show that they are alive, on stderr and only while they run."""

from __future__ import annotations

import threading
import time

import pytest

from snapshot_tasks.cli.console import TerminalProgress

BEAT_SECONDS = 0.05


def heartbeats(text: str) -> list[str]:
    """Return the lines that a phase printed before its end."""
    return [line for line in text.splitlines() if "still running" in line]


def wait_for_lines() -> None:
    """Wait for the time of a few heartbeats."""
    time.sleep(BEAT_SECONDS * 5)


def test_a_long_phase_says_how_far_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Label, time, amount, speed and, if the total is known, the time left."""
    progress = TerminalProgress(heartbeat_seconds=BEAT_SECONDS)
    with progress.phase("downloading", total_bytes=4_000_000) as advance:
        advance(1_000_000)
        wait_for_lines()
    captured = capsys.readouterr()
    lines = heartbeats(captured.err)
    assert 2 <= len(lines) <= 6
    for line in lines:
        assert line.startswith("downloading: still running after ")
        assert ", 1.0 MB of 4.0 MB (" in line
        assert line.endswith(" left")
    assert captured.out == ""


def test_points_are_told_as_points(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a total, the time left is not shown."""
    progress = TerminalProgress(heartbeat_seconds=BEAT_SECONDS)
    with progress.phase("reading", total_points=0) as advance:
        advance(2_000)
        wait_for_lines()
    lines = heartbeats(capsys.readouterr().err)
    assert lines
    assert all(", 2,000 points (" in line and "left" not in line for line in lines)


def test_bytes_without_a_total_are_told_as_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    """A stream, whose size nobody knows before, is no number of points."""
    with TerminalProgress().phase("receiving shard 0", total_bytes=0) as advance:
        advance(45_568)
    assert "receiving shard 0: 45.6 kB in " in capsys.readouterr().err


def test_a_phase_without_a_measure_is_alive_too(capsys: pytest.CaptureFixture[str]) -> None:
    """Qdrant does not report its progress on a snapshot, so only the time can be shown."""
    with TerminalProgress(heartbeat_seconds=BEAT_SECONDS).phase("Qdrant makes a snapshot"):
        wait_for_lines()
    lines = heartbeats(capsys.readouterr().err)
    assert lines
    assert all("(" not in line for line in lines)


def test_a_short_phase_says_only_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    """A phase of less than half a minute needs no sign of life."""
    with TerminalProgress().phase("counting"):
        pass
    assert heartbeats(capsys.readouterr().err) == []


def test_the_heartbeat_ends_with_the_phase(capsys: pytest.CaptureFixture[str]) -> None:
    """Even if the phase fails: no thread stays, and no line is printed after the end."""
    progress = TerminalProgress(heartbeat_seconds=BEAT_SECONDS)
    with pytest.raises(ValueError, match="broken"), progress.phase("reading"):
        raise ValueError("broken")
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]
    wait_for_lines()
    assert heartbeats(capsys.readouterr().err) == []


def test_nobody_reading_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed stderr silences the heartbeat and does nothing else."""

    def closed(message: str) -> None:
        raise BrokenPipeError

    with monkeypatch.context() as patch:
        patch.setattr("snapshot_tasks.cli.console._so_far", lambda *what: closed("gone"))
        progress = TerminalProgress(heartbeat_seconds=BEAT_SECONDS)
        with progress.phase("reading") as advance:
            wait_for_lines()
            advance(1)
