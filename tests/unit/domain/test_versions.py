"""What is known of each Qdrant version, and which versions are compatible."""

from __future__ import annotations

import re

import pytest

from snapshot_tasks.domain.versions import (
    DEFAULT_VERSION,
    TESTED,
    VERSIONS,
    Evidence,
    Fit,
    known,
    same_minor,
    unknown_because,
    version_fit,
)
from tests.conftest import ROOT
from tests.support.fixtures import FIXTURES, Fixture


@pytest.mark.parametrize(
    ("taken_with", "server", "fit"),
    [
        ("1.17.0", "1.17.0", Fit.FITS),
        ("1.17.3", "1.17.0", Fit.FITS),
        ("1.16.3", "1.17.0", Fit.FITS),
        ("1.9.0", "1.10.0", Fit.FITS),
        ("v1.16.3", "1.17.0-dev", Fit.FITS),
        ("1.17.0", "1.16.3", Fit.TOO_OLD),
        ("1.10.0", "1.9.9", Fit.TOO_OLD),
        ("2.0.0", "1.17.0", Fit.TOO_OLD),
        ("1.15.1", "1.17.0", Fit.TOO_NEW),
        ("1.17.0", "2.0.0", Fit.TOO_NEW),
        ("1.17.0", "2.18.0", Fit.TOO_NEW),
        (None, "1.17.0", Fit.UNKNOWN),
        ("", "1.17.0", Fit.UNKNOWN),
        ("1.17.0", "", Fit.UNKNOWN),
        ("latest", "1.17.0", Fit.UNKNOWN),
    ],
)
def test_versions_fit_by_the_next_minor(taken_with: str | None, server: str, fit: Fit) -> None:
    """The same minor version and the next one are compatible, and no others."""
    assert version_fit(taken_with, server) is fit


def test_the_same_minor() -> None:
    """Patch versions do not matter, and an unknown version equals no other."""
    assert same_minor("1.17.0", "v1.17.9")
    assert not same_minor("1.16.3", "1.17.0")
    assert not same_minor("1.17.0", "2.17.0")
    assert not same_minor(None, "1.17.0")
    assert not same_minor("unknown", "unknown")


@pytest.mark.parametrize(
    ("version", "row"),
    [
        ("1.16.3", "1.16.3"),
        ("1.16.9", "1.16.3"),
        ("v1.17.0", "1.17.0"),
        ("1.17.0-dev", "1.17.0"),
        ("1.17.1", "1.17.1"),
        ("1.18.3", "1.18.0"),
        ("1.19.7", "1.19.0"),
        ("2.0.0", "1.20.0"),
        ("1.15.0", "1.16.3"),
        ("unknown", "1.20.0"),
    ],
)
def test_a_version_is_as_the_newest_row_below_it(version: str, row: str) -> None:
    """An invalid version is treated as the newest one, which allows the least."""
    assert known(version).number == row


def test_the_table_is_in_order_and_says_where_it_comes_from() -> None:
    """The default is the newest version that a bare machine can get, and the tests run on it."""
    numbers = [tuple(map(int, row.number.split("."))) for row in VERSIONS]
    assert numbers == sorted(set(numbers))
    assert all(row.source for row in VERSIONS)
    assert DEFAULT_VERSION == "1.17.0"
    assert known(DEFAULT_VERSION).npm
    assert DEFAULT_VERSION in TESTED


@pytest.mark.parametrize("fixture", FIXTURES, ids=str)
def test_a_version_with_files_counts_as_measured(fixture: Fixture) -> None:
    """What the tests hold against real files is not only read in the source."""
    version = fixture.facts["qdrant_version"]
    assert known(version).evidence is Evidence.MEASURED
    assert unknown_because(version) == ""


@pytest.mark.parametrize(
    ("version", "why"),
    [
        ("1.16.3", ""),
        ("1.16.0", ""),
        ("1.20.9", ""),
        ("1.15.5", "older than 1.16.3"),
        ("1.21.0", "newer than any"),
        ("2.0.0", "newer than any"),
        ("dev", "not a version"),
    ],
)
def test_what_the_table_does_not_know(version: str, why: str) -> None:
    """Every minor version from the first row to the last one is known, and no other."""
    assert why in unknown_because(version)
    assert bool(why) is bool(unknown_because(version))


def test_the_page_of_versions_is_the_table() -> None:
    """docs/versions.md has every row, and how it is known."""
    text = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([0-9.]+) \| (.*) \|$", text, re.MULTILINE)
    assert rows == [(row.number, f"{row.evidence.value}: {row.source}") for row in VERSIONS]


def test_files_that_cannot_import_the_table_agree_with_it() -> None:
    """The compose file and the example use the default; CI installs the tested versions."""
    for name in ("docker-compose.yml", ".env.example"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert set(re.findall(r"QDRANT_VERSION(?::-|=)([0-9.]+)", text)) == {DEFAULT_VERSION}
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"engine\.install --version ([0-9.]+)", workflow)) == set(TESTED)
    pulled = re.findall(r"docker pull .*qdrant/qdrant:v([0-9.]+)", workflow)
    assert set(pulled) == set(TESTED)


@pytest.mark.parametrize(
    ("file", "pattern", "count"),
    [
        ("docker-compose.yml", r"QDRANT_VERSION:-([\w.]+)", 3),
        ("Dockerfile", r"ARG QDRANT_VERSION=([\w.]+)", 1),
        (".env.example", r"QDRANT_VERSION=([\w.]+)", 1),
        ("docs/settings.md", r"\| `QDRANT_VERSION` \| `([\w.]+)`", 1),
        ("docs/versions.md", r"`QDRANT_VERSION` is (\d+\.\d+\.\d+)", 1),
        ("docs/adoption.md", r"A drill starts Qdrant (\d+\.\d+\.\d+)", 1),
    ],
)
def test_the_default_version_is_the_same_everywhere(file: str, pattern: str, count: int) -> None:
    """A plain `docker compose up`, the image and the tasks start the same Qdrant."""
    found = re.findall(pattern, (ROOT / file).read_text(encoding="utf-8"))
    assert found == [DEFAULT_VERSION] * count
