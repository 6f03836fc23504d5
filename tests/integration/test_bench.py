"""`inv bench` on a small collection: every contestant reads, and every ratio is there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_every_reader_is_measured(tmp_path: Path) -> None:
    """No number is judged here: on a machine under load they mean nothing."""
    page = tmp_path / "benchmark.md"
    flags = ["--points=2000", "--dimensions=8", "--rounds=1", f"--markdown={page}"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *flags],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(Path.home()), "QDRANT_ENGINE": "native"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == page.read_text(encoding="utf-8").strip()
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    ratios = [row for row in rows if re.search(r"[≥≤] \d", row)]
    assert len(ratios) == 6
    assert len(rows) == 2 + 6 + 2 + 9
    assert {path.name for path in tmp_path.iterdir()} == {page.name}
