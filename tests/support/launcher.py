"""The real launcher in a folder of a test, with an environment that needs no installation."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from tests.conftest import ROOT


def give_launcher(root: Path) -> None:
    """Make `./inv` of this folder run the package of the repository."""
    for name in ("inv", "requirements.txt"):
        (root / name).write_bytes((ROOT / name).read_bytes())
    (root / "inv").chmod(0o755)
    # Without an environment, plain `inv` finds the package only through this.
    tasks = f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom snapshot_tasks import namespace\n"
    (root / "tasks.py").write_text(tasks, encoding="utf-8")
    python = root / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    digest = hashlib.sha256((root / "requirements.txt").read_bytes()).hexdigest()
    (root / ".venv/.requirements.sha256").write_text(f"{digest}  -\n", encoding="utf-8")
