"""Files that demand a lot of resources are refused in bounded memory.

Always at a sixteenth of the limits, and with `--full` at the limits as they are.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.amount import only_full
from tests.support.hostile import BOMBS

MEMORY_BYTES = 200 << 20
SCALE = 16
# Loads everything first, then allows only the given additional memory.
CHILD = """
import resource, sys
from pathlib import Path
from snapshot_tasks.sealing import tar
from snapshot_tasks.sealing.archive import check_archive
from snapshot_tasks.system.errors import Damaged
scale = int(sys.argv[3])
tar.MAX_MEMBERS //= scale
tar.MAX_NAMES_BYTES //= scale
tar.MAX_EXTENTS //= scale
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]),) * 2)
try:
    check_archive(Path(sys.argv[1]))
except Damaged as error:
    print(error.message)
"""


@pytest.mark.parametrize("scale", [SCALE, pytest.param(1, marks=only_full)])
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path, name: str, scale: int) -> None:
    """Files that demand much memory get 200 MB at most, and a clear refusal.

    A sixteenth of such a file gets a quarter of it, because the interpreter needs some as well.
    """
    memory = MEMORY_BYTES if scale == 1 else MEMORY_BYTES // 4
    write, words = BOMBS[name]
    path = tmp_path / "books.snapshot"
    try:
        write(path, scale)
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(path), str(memory), str(scale)],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        path.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert words in done.stdout
