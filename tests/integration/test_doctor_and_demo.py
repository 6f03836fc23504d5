"""`doctor` on a healthy stack and with each thing broken in turn, and the demo."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.conftest import NEWER, Inv, Live, Ran, native_qdrant
from tests.integration.conftest import own_stack
from tests.support.collections import Loader
from tests.support.ports import free_ports
from tests.support.pretend import pretending, says
from tests.support.world import (
    assert_error,
    edit_manifest,
    ended,
    manifest_of,
    processes_below,
    scratch_left,
    tree,
    wait_until,
)

NAME = "informasi-umum-itb"
Environment = dict[str, str]


@pytest.fixture(scope="module")
def well(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inv]:
    """A stack with the configured collection and a proven snapshot; tests undo their damage."""
    with own_stack(tmp_path_factory.mktemp("well")) as stack:
        assert stack("stack.up").code == 0
        loader = Loader(f"http://localhost:{stack.environment['QDRANT_HTTP_PORT']}")
        loader.plain(NAME, points=50)
        loader.close()
        ran = stack("snapshot.test-restore", "--create")
        assert ran.code == 0, ran.stderr
        yield stack


def newest(stack: Inv) -> Path:
    """Return the only snapshot."""
    [file] = (stack.root / "qdrant_snapshots").glob(f"{NAME}_2*.snapshot")
    return file


@contextmanager
def changed(path: Path) -> Iterator[Path]:
    """Restore a file as it was."""
    content = path.read_bytes()
    try:
        yield path
    finally:
        path.write_bytes(content)


def test_all_is_ok_on_a_healthy_stack(well: Inv) -> None:
    """Not one warning, and exit code 0."""
    ran = well("doctor", "--json")
    assert ran.code == 0, ran.stderr
    findings = ran.document["result"]["findings"]
    assert len(findings) >= 8
    assert [f for f in findings if f["status"] != "OK"] == []
    [visible] = [f["message"] for f in findings if f["check"] == "credentials"]
    assert visible == "1 collection visible without a key"


@contextmanager
def stopped(stack: Inv) -> Iterator[Environment]:
    """Use a URL where nothing responds."""
    yield {"QDRANT_HTTP_PORT": str(free_ports(1)[0])}


@contextmanager
def another_name(stack: Inv) -> Iterator[Environment]:
    """Configure a collection that does not exist."""
    yield {"QDRANT_COLLECTION_NAME": "ghost"}


@contextmanager
def dangling(stack: Inv) -> Iterator[Environment]:
    """Remove the newest snapshot without updating the link."""
    with changed(newest(stack)) as file:
        file.unlink()
        yield {}


@contextmanager
def bad_manifest(stack: Inv) -> Iterator[Environment]:
    """Break the manifest of the newest snapshot."""
    with changed(manifest_of(newest(stack))):
        edit_manifest(newest(stack), lambda m: m.pop("sha256"))
        yield {}


@contextmanager
def no_folder(stack: Inv) -> Iterator[Environment]:
    """Configure a folder that does not exist."""
    yield {"QDRANT_SNAPSHOT_DIR": "not/there"}


@contextmanager
def wrong_binary(stack: Inv) -> Iterator[Environment]:
    """Configure a program that does not run."""
    program = stack.root / "broken"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    yield {"QDRANT_BINARY": str(program)}


@pytest.mark.parametrize(
    ("break_it", "code", "check"),
    [
        (stopped, 13, "server"),
        (another_name, 10, "collection"),
        (dangling, 10, "latest"),
        (bad_manifest, 20, "newest"),
        (no_folder, 15, "folder"),
        (wrong_binary, 14, "binary"),
    ],
)
def test_each_broken_thing_fails_with_its_remedy(
    well: Inv,
    break_it: Callable[[Inv], AbstractContextManager[Environment]],
    code: int,
    check: str,
) -> None:
    """The FAIL line names what is broken and how to fix it, and the exit code is its own."""
    with break_it(well) as environment:
        ran = well("doctor", "--json", **environment)
        assert_error(well("doctor", **environment), code)
    failures = [f for f in ran.document["result"]["findings"] if f["status"] == "FAIL"]
    assert [f for f in failures if f["check"].startswith(check)], ran.stdout
    assert all(f["remedy"] for f in failures)
    assert ran.code == code, ran.stdout


def test_an_alias_is_no_collection_to_back_up(qdrant: Live, outside: Inv) -> None:
    """An alias as the configured collection is a failure."""
    qdrant.loader.plain(NAME, points=5)
    ran = outside("doctor", "--json")
    assert ran.code == 0, ran.stderr
    found = {f["check"]: f["status"] for f in ran.document["result"]["findings"]}
    assert (found["credentials"], found["collection"]) == ("OK", "OK")
    qdrant.loader.alias("short", NAME)
    ran = outside("doctor", QDRANT_COLLECTION_NAME="short")
    assert_error(ran, 10, "alias")


def access(ran: Ran) -> list[tuple[str, str]]:
    """Return what the doctor says of a server that is open to others."""
    found = ran.document["result"]["findings"]
    return [(f["status"], f["message"]) for f in found if f["check"] == "access"]


def test_a_server_that_ignores_the_key_is_open(qdrant: Live, outside: Inv, name: str) -> None:
    """Someone believes that it is protected: it answers with any key, and without one."""
    qdrant.loader.plain(name, points=5)
    here = {"QDRANT_COLLECTION_NAME": name}
    assert access(outside("doctor", "--json", **here)) == []
    ran = outside("doctor", "--json", QDRANT_API_KEY="whatever", **here)
    assert ran.code == 14
    [(status, message)] = access(ran)
    assert (status, "answers without the key" in message) == ("FAIL", True)
    assert "whatever" not in ran.stdout + ran.stderr


def test_a_locked_server_is_not_open(inv: Inv, tmp_path: Path) -> None:
    """The request without the key is refused, as it should be."""
    (tmp_path / "locked").mkdir()
    with native_qdrant(NEWER, tmp_path / "locked", QDRANT_API_KEY="sesame") as live:
        here = {"QDRANT_ENGINE": "external", "QDRANT_URL": live.url}
        ran = inv("doctor", "--json", QDRANT_API_KEY="sesame", **here)
    found = {f["check"]: f["status"] for f in ran.document["result"]["findings"]}
    assert found["credentials"] == "OK"
    assert access(ran) == []


@pytest.mark.parametrize(
    ("version", "status"),
    [("1.18.3", "OK"), ("1.19.0", "OK"), ("1.20.1", "OK"), ("1.21.0", "WARN"), ("1.15.5", "WARN")],
)
def test_only_a_version_that_nobody_knows_is_a_warning(
    qdrant: Live, outside: Inv, name: str, version: str, status: str
) -> None:
    """The table decides, not the distance from the client (a real 1.17.0 pretends to be each)."""
    qdrant.loader.plain(name, points=5)
    with pretending(qdrant.url, version) as proxy:
        ran = outside("doctor", "--json", QDRANT_URL=proxy.url, QDRANT_COLLECTION_NAME=name)
    assert ran.code == 0, ran.stderr
    [judged] = [f for f in ran.document["result"]["findings"] if f["check"] == "versions"]
    assert judged["status"] == status, judged


@pytest.mark.parametrize(("used", "quotas"), [(97, ["WARN"]), (20, [])])
def test_a_server_over_its_quota_refuses_writes(
    qdrant: Live, outside: Inv, name: str, used: int, quotas: list[str]
) -> None:
    """Snapshots still work there, so it is a warning (`GET /quotas` of 1.19, from a stand-in)."""
    qdrant.loader.plain(name, points=5)
    limits = {"enabled": True, "max_disk_usage_percent": 95, "max_resident_memory_percent": None}
    usage = {"disk_usage_percent": used, "resident_memory_percent": 4}
    answer = says({"config": limits, "usage": usage})
    with pretending(qdrant.url, "1.19.0") as proxy:
        proxy.rules.insert(0, ("GET", re.compile("/quotas"), answer, 9))
        ran = outside("doctor", "--json", QDRANT_URL=proxy.url, QDRANT_COLLECTION_NAME=name)
    assert ran.code == 0, ran.stderr
    found = [f for f in ran.document["result"]["findings"] if f["check"] == "quotas"]
    assert [f["status"] for f in found] == quotas
    assert all("disk 97 % of at most 95 %" in f["message"] for f in found)


def test_what_is_old_or_unproven_is_a_warning(well: Inv) -> None:
    """An old snapshot and a missing proof are warnings with a command, not failures."""
    old = (datetime.now(UTC) - timedelta(days=3)).isoformat()
    [proofs] = (well.root / "qdrant_snapshots").glob("*.proofs.jsonl")
    with changed(manifest_of(newest(well))), changed(proofs):
        edit_manifest(newest(well), lambda m: m.update(created_at=old))
        proofs.unlink()
        ran = well("doctor", "--json", QDRANT_VERSION="1.16.3")
    assert ran.code == 0, ran.stderr
    findings = ran.document["result"]["findings"]
    warned = {f["check"]: f["remedy"] for f in findings if f["status"] == "WARN"}
    assert "inv snapshot.create" in warned["newest snapshot"]
    assert "inv snapshot.test-restore" in warned["proof"]
    assert "versions" in warned


def test_doctor_changes_nothing(stack: Inv) -> None:
    """The doctor leaves no file, no process and no lock."""
    before = sorted(str(p) for p in stack.root.rglob("*") if "__pycache__" not in str(p))
    stack("doctor")
    after = sorted(str(p) for p in stack.root.rglob("*") if "__pycache__" not in str(p))
    assert after == before
    assert processes_below(stack.root) == []


def test_the_demo_proves_and_leaves_nothing_running(qdrant: Live, inv: Inv, scratch: Path) -> None:
    """`inv demo` exits with 0, is proven, does not use the user's catalogue, and leaves nothing."""
    assert inv("--dry", "demo").code == 0
    assert not (inv.root / "demo_snapshots").exists()
    ran = inv("demo", "--json")
    assert ran.code == 0, ran.stderr
    result = ran.document["result"]
    assert (result["drill"]["ok"], result["drill"]["qdrant_version"]) == (True, NEWER)
    assert result["snapshot"]["points_count"] > 0
    assert scratch_left(scratch) == []
    assert processes_below(scratch) + processes_below(inv.root) == []
    folder = Path(result["folder"])
    [link] = [p for p in folder.iterdir() if p.is_symlink()]
    assert os.readlink(link) == result["snapshot"]["snapshot"]
    assert tree(inv.root / "qdrant_snapshots") == []


def test_an_interrupted_demo_leaves_nothing_running(qdrant: Live, inv: Inv, scratch: Path) -> None:
    """Ctrl-C while the sample is being loaded: 130, and no server or folder is left."""
    process = inv.start("demo")
    wait_until(lambda: list(scratch.glob("*/*/storage/collections/*")))
    process.send_signal(signal.SIGINT)
    assert_error(ended(process), 130)
    assert scratch_left(scratch) == []
    assert processes_below(scratch) == []
