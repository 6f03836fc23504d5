"""Collections that 1.18 and later keep but never take back, unless they start with the file.

Only 1.17.0 runs here. It pretends to be a newer version where that decides, and it restores from
the argument of its start as they do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.domain.versions import known
from snapshot_tasks.operations.prove import drill_in_place
from snapshot_tasks.operations.restore import demands
from tests.conftest import NEWER, Inv, Live
from tests.integration.conftest import own_stack
from tests.support.collections import Loader
from tests.support.pretend import pretending
from tests.support.world import assert_error, processes_below, proofs_of, scratch_left

VECTOR = {"size": 4, "distance": "Cosine"}
BAD = "BAAI/bge-small"


def fill(loader: Loader, name: str) -> None:
    """Make a collection with a vector name that was fine until 1.17."""
    loader.request("PUT", f"/collections/{name}", {"vectors": {BAD: VECTOR, "fine": VECTOR}})
    loader.index(name, "group", "keyword")
    loader.fill(name, points())


def points() -> Iterator[dict[str, Any]]:
    """Yield some points."""
    for number in range(50):
        vectors = {BAD: [1.0, number, 0.5, 2.0], "fine": [number, 1.0, 2.0, 0.5]}
        yield {"id": number, "vector": vectors, "payload": {"group": f"g{number % 3}"}}


@pytest.fixture
def outside(outside: Inv) -> Inv:
    """`inv` that talks to the shared server, and drills without Docker."""
    environment = outside.environment | {"QDRANT_DRILL_ENGINE": "native"}
    return dataclasses.replace(outside, environment=environment)


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge 1.17.0 as if it refused these names when a collection is made."""
    refusing = dataclasses.replace(known(NEWER), refuses_names=True)
    monkeypatch.setattr(demands, "known", lambda version: refusing)


def test_create_doctor_and_check_warn_before_an_upgrade(
    qdrant: Live, outside: Inv, name: str
) -> None:
    """Each names the ways out; `--strict` keeps nothing."""
    fill(qdrant.loader, name)
    here = dataclasses.replace(
        outside, environment=outside.environment | {"QDRANT_COLLECTION_NAME": name}
    )
    said = here("doctor")
    assert said.code == 0
    assert "Qdrant 1.18 will not restore this" in said.stdout
    assert_error(here("snapshot.create", "--strict"), 21, "1.18 will not restore this")
    assert here("snapshot.list", "--json").document["result"]["snapshots"] == []
    ran = here("snapshot.create")
    assert ran.code == 0, ran.stderr
    assert "1.18 will not restore this" in ran.stdout + ran.stderr
    assert here("snapshot.test-restore").code == 0
    for task in ("doctor", "snapshot.check"):
        said = here(task)
        assert said.code == 0, said.stdout
        assert f"'{BAD}' contains /" in said.stdout
        assert "upgrade that server in place" in said.stdout


@pytest.mark.parametrize("version", ["1.18.3", "1.19.0"])
def test_a_restore_is_refused_before_anything_is_sent(
    qdrant: Live, outside: Inv, name: str, version: str
) -> None:
    """Neither a new collection nor a replaced one; the name is said, and the ways out."""
    fill(qdrant.loader, name)
    with pretending(qdrant.url, version) as proxy:
        environment = {"QDRANT_URL": proxy.url, "QDRANT_COLLECTION_NAME": name}
        here = dataclasses.replace(outside, environment=outside.environment | environment)
        assert here("snapshot.create").code == 0
        for flags in (("--as", "other"), ("--replace", "--yes")):
            ran = here("snapshot.restore", *flags)
            assert_error(ran, 24, f"'{BAD}' contains /", "upgrade that server in place")
        assert proxy.requests("PUT", ".*") == proxy.requests("DELETE", "/collections/[^/]*") == 0
    assert qdrant.loader.count(name) == 50


@pytest.mark.usefixtures("newer")
def test_a_drill_starts_its_server_with_the_file(
    qdrant: Live, outside: Inv, name: str, scratch: Path
) -> None:
    """It judges what came, also after a restart without that argument, and leaves nothing."""
    fill(qdrant.loader, name)
    assert outside("snapshot.create", "--collection", name).code == 0
    ran = outside("snapshot.test-restore", "--collection", name, "--json")
    assert ran.code == 0, ran.stderr
    [file] = (outside.root / "qdrant_snapshots").glob(f"{name}_2*.snapshot")
    [proof] = proofs_of(file)
    assert proof["ok"]
    found = {f["check"]: f["status"] for f in proof["findings"]}
    assert found["vector names"] == "WARN"
    assert found["contents"] == found["after restart: contents"] == "OK"
    assert proof["restore_seconds"] >= proof["phases"]["start"]
    assert scratch_left(scratch) == []
    assert processes_below(scratch) == []


@pytest.mark.usefixtures("newer")
def test_a_server_that_does_not_start_with_the_file_proves_nothing(
    qdrant: Live, outside: Inv, name: str, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The restore did not complete (22), and the proof says so."""
    fill(qdrant.loader, name)
    assert outside("snapshot.create", "--collection", name).code == 0
    argv = "snapshot_tasks.engines.native_drill.load_argv"
    monkeypatch.setattr(argv, lambda load, folder: ("--snapshot", f"/not/there:{name}"))
    ran = outside("snapshot.test-restore", "--collection", name)
    assert_error(ran, 22, "did not start with")
    [file] = (outside.root / "qdrant_snapshots").glob(f"{name}_2*.snapshot")
    assert [proof["ok"] for proof in proofs_of(file)] == [False]


def test_a_drill_in_place_deletes_nothing_that_never_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused before `down -v`."""
    with own_stack(tmp_path) as stack:
        assert stack("stack.up").code == 0
        loader = Loader(f"http://localhost:{stack.environment['QDRANT_HTTP_PORT']}")
        fill(loader, "kept")
        assert stack("snapshot.create", "--collection", "kept").code == 0
        monkeypatch.setattr(drill_in_place, "needs_start_up", lambda config, version: True)
        flags = ("--collection", "kept", "--in-place", "--yes")
        assert_error(stack("snapshot.test-restore", *flags), 24, "vector names")
        assert loader.count("kept") == 50
        loader.close()


@pytest.mark.usefixtures("newer")
@pytest.mark.parametrize("how", ["stack.up", "snapshot.pull"])
def test_an_empty_stack_starts_with_the_file(tmp_path: Path, how: str) -> None:
    """Its aliases come back too, and the next start is without that argument."""
    with own_stack(tmp_path) as stack:
        assert stack("stack.up").code == 0
        url = f"http://localhost:{stack.environment['QDRANT_HTTP_PORT']}"
        loader = Loader(url)
        fill(loader, "kept")
        loader.alias("short", "kept")
        loader.plain("other", points=20)
        loader.close()
        assert stack("snapshot.create", "--all").code == 0
        (tmp_path / "bucket").mkdir()
        bucket = {"QDRANT_OFFSITE_URL": (tmp_path / "bucket").as_uri()}
        if how == "snapshot.pull":
            assert stack("snapshot.push", "--all", **bucket).code == 0
        assert stack("stack.down", "--volumes", "--yes").code == 0
        words = ("--all", "--restore") if how == "snapshot.pull" else ()
        ran = stack(how, *words, "--json", **bucket)
        assert ran.code == 0, ran.stderr
        ways = {r["collection"]: r["way"] for r in ran.document["result"]["restored"]}
        assert ways == {"kept": "start-up", "other": "file"}
        assert stack("stack.restart").code == 0
        loader = Loader(url)
        assert (loader.count("kept"), loader.count("other")) == (50, 20)
        assert loader.count("short") == 50
        loader.close()
        assert stack("snapshot.verify", "--collection", "kept", "--level", "source").code == 0
