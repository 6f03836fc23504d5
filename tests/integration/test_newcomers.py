"""A newcomer's `.env` is understood: wrong names are named, and a single collection is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NEWER, Inv, Live, native_qdrant


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server of this module's own, because the number of its collections matters."""
    with native_qdrant(NEWER, tmp_path_factory.mktemp("server")) as live:
        yield live


@pytest.fixture
def mine(inv: Inv, server: Live) -> Iterator[Inv]:
    """`inv` of a newcomer who has set nothing but the URL."""
    environment = {"QDRANT_ENGINE": "external", "QDRANT_URL": server.url}
    yield dataclasses.replace(inv, environment=inv.environment | environment)
    with server.server() as connection:
        for name in connection.collections.names():
            connection.collections.delete(name)


def test_foreign_names_are_named_once_and_by_the_doctor(mine: Inv) -> None:
    """`QDRANT_COLLECTION` is not used silently: a note on stderr, and a line of the doctor."""
    (mine.root / ".env").write_text("QDRANT_COLLECTION=chat\nQDRANT_COLECTION_NAME=chat\n")
    (mine.root / "qdrant_snapshots").mkdir(exist_ok=True)
    listed = mine("snapshot.list")
    assert listed.code == 0, listed.stderr
    for name in ("QDRANT_COLLECTION ", "QDRANT_COLECTION_NAME "):
        assert listed.stderr.count(name) == 1
    assert "QDRANT_COLLECTION_NAME" in listed.stderr
    found = mine("doctor", "--json").document["result"]["findings"]
    assert [f["status"] for f in found if f["check"] == "settings"] == ["WARN", "WARN"]


def test_the_only_collection_is_taken_and_said(mine: Inv, server: Live) -> None:
    """Without QDRANT_COLLECTION_NAME, one collection on the server or in the folder is meant."""
    server.loader.plain("chat", points=20)
    created = mine("snapshot.create", "--json")
    assert created.code == 0, created.stderr
    assert "collection: chat, the only one" in created.stderr
    for task in ("snapshot.verify", "snapshot.restore --if-missing", "snapshot.show"):
        ran = mine(*task.split())
        assert ran.code == 0, ran.stderr
    doctor = mine("doctor")
    assert "chat, the only one" in doctor.stdout
    assert " 0.0 GB" not in doctor.stdout


def test_an_empty_server_is_not_asked_for_a_name_that_nobody_gave(mine: Inv) -> None:
    """Neither by `create` nor by the doctor."""
    for task in ("doctor", "snapshot.create"):
        ran = mine(task)
        assert ran.code == 10
        assert "error: Qdrant has no collections yet." in ran.stderr
        assert "informasi" not in ran.stdout + ran.stderr


def test_with_several_collections_none_is_guessed(mine: Inv, server: Live) -> None:
    """The candidates are named, and nothing is taken."""
    for name in ("chat", "docs"):
        server.loader.plain(name, points=5)
    refused = mine("snapshot.create", "--json")
    assert refused.code == 10
    assert "chat, docs" in refused.document["error"]["message"]
    assert "there are 2 collections: chat, docs." in mine("doctor").stdout
    assert not list(Path(mine.root, "qdrant_snapshots").glob("*.snapshot"))


def test_the_default_collection_stays_the_default(mine: Inv, server: Live) -> None:
    """Where `informasi-umum-itb` exists, others beside it change nothing."""
    for name in ("chat", "informasi-umum-itb"):
        server.loader.plain(name, points=5)
    created = mine("snapshot.create", "--json")
    assert created.code == 0, created.stderr
    assert created.document["result"]["snapshots"][0]["collection"] == "informasi-umum-itb"
