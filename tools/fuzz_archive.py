"""Fuzz the archive readers, guided by coverage. See CONTRIBUTING.md; needs `pip install atheris`.

python tools/fuzz_archive.py [libFuzzer's options, such as -max_total_time=300] [corpus folder]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["snapshot_tasks"]):
    pass

from tests.support.fuzzing import in_new_folder, read_archive
from tests.support.hostile import CASES, signed
from tests.unit.sealing.test_unpack import SOUND

BLOCK = 512
MAX_SEED = 1 << 16


def test_one(data: bytes) -> None:
    """Read one file unchanged, and once more with all of its checksums corrected."""
    with in_new_folder() as folder:
        read_archive(Path(folder), data)
    with in_new_folder() as folder:
        read_archive(Path(folder), resigned(data))


def resigned(data: bytes) -> bytes:
    """Return the data with correct checksums in everything that looks like a header, and an end."""
    blocks = [data[at : at + BLOCK] for at in range(0, len(data) - len(data) % BLOCK, BLOCK)]
    return b"".join(signed(b) if b[257:262] == b"ustar" else b for b in blocks) + bytes(2 * BLOCK)


def main() -> None:
    """Write the seeds, then fuzz until stopped."""
    with tempfile.TemporaryDirectory() as seeds:
        for number, seed in enumerate([SOUND, *(build() for build, _ in CASES.values())]):
            if len(seed) <= MAX_SEED:
                (Path(seeds) / str(number)).write_bytes(seed)
        atheris.Setup([*sys.argv, seeds, f"-max_len={MAX_SEED}"], test_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
