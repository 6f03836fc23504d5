"""Fuzz the files next to a snapshot. See CONTRIBUTING.md; needs `pip install atheris`.

python tools/fuzz_manifest.py [libFuzzer's options, such as -max_total_time=300] [corpus folder]
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

with atheris.instrument_imports(include=["snapshot_tasks"]):
    pass

from tests.property.test_fuzz_manifest import CASES, FINGERPRINT, PROOF, SOUND
from tests.support.fuzzing import in_new_folder, read_catalog, read_fingerprint

MAX_SEED = 1 << 14


def test_one(data: bytes) -> None:
    """Read the three parts of the input as a manifest, as proofs and as a fingerprint."""
    parts = [*data.split(b"\xff"), b"", b"", b""]
    with in_new_folder() as name:
        read_catalog(Path(name), parts[0], parts[1], parts[2])
    read_fingerprint(parts[2].decode("utf-8", "replace"))


def main() -> None:
    """Write the seeds, then fuzz until stopped."""
    beside = [json.dumps(document).encode() for document in (PROOF, FINGERPRINT)]
    manifests = [json.dumps(SOUND).encode(), *CASES.values()]
    with tempfile.TemporaryDirectory() as seeds:
        for number, seed in enumerate(b"\xff".join([m, *beside]) for m in manifests):
            if len(seed) <= MAX_SEED:
                (Path(seeds) / str(number)).write_bytes(seed)
        atheris.Setup([*sys.argv, seeds, f"-max_len={MAX_SEED}"], test_one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
