"""`inv snapshot.check` on real snapshots: 23 for each broken promise, 0 if all are kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.conftest import Inv
from tests.integration.conftest import Samples
from tests.support.world import assert_error, proofs_of

ARGUMENTS = ("snapshot.check", "--collection", "sample-plain")


def prove(file: Path, at: str = "") -> None:
    """Write the proof that a restore test of this file would write."""
    manifest = json.loads(file.with_name(f"{file.name}.json").read_text(encoding="utf-8"))
    proof = {
        "kind": "drill",
        "at": at or datetime.now(UTC).isoformat(),
        "ok": True,
        "sha256": manifest["sha256"],
    }
    path = file.with_name(file.name.removesuffix(".snapshot") + ".proofs.jsonl")
    path.write_text(json.dumps(proof) + "\n", encoding="utf-8")
    assert proofs_of(file)


@pytest.fixture
def sample(samples: Samples, inv: Inv) -> Path:
    """A real snapshot, proven just now."""
    file = samples.put("plain", inv.root / "qdrant_snapshots")
    prove(file)
    return file


def statuses(document: dict[str, object]) -> dict[str, str]:
    """Return each promise with its status."""
    result = document["result"]
    assert isinstance(result, dict)
    return {p["check"]: p["status"] for p in result["promises"]}


def test_all_promises_hold(inv: Inv, sample: Path) -> None:
    """Each line is OK, and only the catalogue is read: no Qdrant runs here."""
    ran = inv(*ARGUMENTS)
    assert ran.code == 0, ran.stderr
    lines = [line.split("  ")[0] for line in ran.stdout.splitlines()]
    assert lines == ["sample-plain", *["OK"] * 5]
    assert sample.name in ran.stdout


def test_github_is_told_of_each_broken_promise(inv: Inv, sample: Path, tmp_path: Path) -> None:
    """One annotation each, and a summary of all."""
    summary = tmp_path / "summary.md"
    told = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    ran = inv(*ARGUMENTS, "--max-age", "1s", **told)
    assert ran.code == 23
    annotations = [line for line in ran.stderr.splitlines() if line.startswith("::error ")]
    assert len(annotations) == 1
    assert sample.name in annotations[0]
    assert "1 of 5 promises broken" in summary.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("flags", "broken"),
    [
        (("--max-age", "1s"), {"newest snapshot"}),
        (("--max-proof-age", "1s"), {"proof"}),
        (("--max-age=1s", "--max-proof-age=1s"), {"newest snapshot", "proof"}),
    ],
)
def test_an_age_that_was_promised(
    inv: Inv, sample: Path, flags: tuple[str, ...], broken: set[str]
) -> None:
    """A snapshot that is older than promised is named, with the command to run."""
    prove(sample, at="2025-01-01T00:00:00+00:00")
    long = "999999d"
    default = {"--max-age": long, "--max-proof-age": long}
    given = " ".join(flags)
    rest = [f"{name}={value}" for name, value in default.items() if name not in given]
    ran = inv(*ARGUMENTS, *flags, *rest, "--json")
    assert ran.code == 23
    assert {c for c, status in statuses(ran.document).items() if status == "FAIL"} == broken
    for check in broken:
        assert check in ran.document["error"]["message"]


def test_a_file_and_a_link_that_are_not_what_they_were(inv: Inv, sample: Path) -> None:
    """A file cut short, a wrong link, a dangling link: each has its own line."""
    whole = sample.read_bytes()
    sample.write_bytes(whole[:-1])
    assert_error(inv(*ARGUMENTS), 23, "file:", "bytes")
    sample.write_bytes(whole)
    link = sample.with_name("sample-plain_latest.snapshot")
    link.unlink()
    assert_error(inv(*ARGUMENTS), 23, "latest link: the link does not exist")
    link.symlink_to("gone.snapshot")
    assert_error(inv(*ARGUMENTS), 23, "latest link:", "gone.snapshot")


def test_a_task_that_failed_last(inv: Inv, sample: Path) -> None:
    """Until it succeeds again; the check's own failure does not keep itself alive."""
    assert inv("snapshot.create", QDRANT_URL="http://127.0.0.1:1", QDRANT_ENGINE="external").code
    for _ in range(2):
        assert_error(inv(*ARGUMENTS), 23, "snapshot.create", "exited with 13")
    (sample.parent / ".runs.json").unlink()
    assert inv(*ARGUMENTS).code == 0


@pytest.mark.parametrize(
    "flags", [(), ("--all",), ("--collection", "nowhere"), ("--collection", "x", "--json")]
)
def test_never_ran(inv: Inv, flags: tuple[str, ...]) -> None:
    """Having no snapshot at all is a broken promise: a check of nothing is not a success."""
    ran = inv("snapshot.check", *flags)
    assert ran.code == 23
    assert "no snapshot of" in ran.stderr + ran.stdout


def test_one_mistyped_collection_leaves_the_others_checked(inv: Inv, sample: Path) -> None:
    """It is a line of its own, with the nearest; so is one that no collection can be called."""
    words = [f"--collection={name}" for name in ("sample-plian", "../x", "sample-plain")]
    ran = inv("snapshot.check", *words, "--json")
    assert_error(ran, 23, "sample-plian: newest snapshot", "cannot be a collection name")
    promises = ran.document["result"]["promises"]
    wrong = [found for found in promises if found["status"] == "FAIL"]
    assert [found["check"] for found in wrong] == ["newest snapshot", "newest snapshot"]
    assert wrong[0]["remedy"].startswith("Did you mean sample-plain?")
    assert sum(found["status"] == "OK" for found in promises) >= 5


def test_a_folder_that_is_not_there(inv: Inv) -> None:
    """A disk that is not mounted is a storage error, and its folder is not created."""
    (inv.root / "qdrant_snapshots").rmdir()
    assert_error(inv("snapshot.check", "--all"), 15, "qdrant_snapshots")
    assert not (inv.root / "qdrant_snapshots").exists()


def test_all_collections_are_checked(inv: Inv, sample: Path, samples: Samples) -> None:
    """The one that is not proven is named, and so is one whose file is missing."""
    rich = samples.put("rich", sample.parent)
    assert inv("snapshot.check", "--collection", "sample-plain").code == 0
    assert_error(inv("snapshot.check", "--all"), 23, "sample-rich: proof: no snapshot has been")
    rich.unlink()
    assert_error(inv("snapshot.check", "--all"), 23, "sample-rich: newest snapshot", "latest link")


@pytest.mark.parametrize(
    "flags",
    [("--all", "--collection", "x"), ("--max-age", ""), ("--collection", "../x")],
)
def test_what_cannot_be_meant(inv: Inv, flags: tuple[str, ...]) -> None:
    """Flags that cannot be combined, and an empty age, are wrong settings."""
    assert_error(inv("snapshot.check", *flags), 14)
