"""Each task works with the least rights that docs/security.md lists, and not with less."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pyrage
import pytest

from tests.conftest import NEWER, OLDER, ROOT, Inv, Live, native_qdrant
from tests.support.secrets import sign_token
from tests.support.world import assert_error, read_manifest

KEY = "the-key-that-may-do-everything"
POINTS = 200


def token(access: Any) -> str:
    """Return a token with this access; `none` is a token for another collection."""
    return sign_token(KEY, {"access": access})


TOKENS = {
    "none": token([{"collection": "other", "access": "rw"}]),
    "read": token([{"collection": "main", "access": "r"}]),
    "read-write": token([{"collection": "main", "access": "rw"}]),
    "manage": token("m"),
}
LESS = {"read": "none", "read-write": "read", "manage": "read-write"}
# These show what the key can access, so with fewer rights they show less.
SHOWING = ("stack.status", "doctor")


def rows() -> list[tuple[str, str]]:
    """Return each task of the page's table with the right next to it."""
    text = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    section = text.partition("## Which task needs which right")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (`.+`) \| ([a-z-]+)", section, re.MULTILINE)
    return [(task, right) for tasks, right in lines for task in re.findall("`(.+?)`", tasks)]


@pytest.fixture(scope="module", params=[NEWER, OLDER])
def live(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Live]:
    """A real Qdrant that accepts tokens, with two collections and an alias."""
    folder = tmp_path_factory.mktemp("rights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QDRANT__SERVICE__JWT_RBAC", "true")
        with native_qdrant(request.param, folder, QDRANT_API_KEY=KEY) as live:
            live.loader.plain("main", points=POINTS)
            live.loader.plain("other", points=10)
            live.loader.alias("main-alias", "main")
            yield live


@pytest.fixture
def with_right(inv: Inv, live: Live) -> Inv:
    """`inv` that uses that server; each call passes its key."""
    elsewhere = inv.root / "elsewhere"
    elsewhere.mkdir()
    environment = {
        "QDRANT_KEEP_LAST": "9",
        "QDRANT_OFFSITE_URL": str(elsewhere),
        "QDRANT_ENGINE": "external",
        "QDRANT_DRILL_ENGINE": "native",
        "QDRANT_URL": live.url,
        "QDRANT_GRPC_PORT": str(live.fresh.endpoint.grpc_port),
        "QDRANT_COLLECTION_NAME": "main",
        "QDRANT_VERSION": live.version,
    }
    return dataclasses.replace(inv, environment=inv.environment | environment)


def collections(live: Live) -> list[str]:
    """Return what is on the server."""
    listed = live.loader.request("GET", "/collections")["collections"]
    return sorted(item["name"] for item in listed)


def test_the_table_is_there() -> None:
    """It lists the tasks that contact a server, each once."""
    tasks = [task for task, _ in rows()]
    assert len(tasks) == len(set(tasks))
    assert {"snapshot.create", "snapshot.restore", "snapshot.verify --level source"} < set(tasks)
    assert {right for _, right in rows()} == set(TOKENS)


@pytest.mark.parametrize(("task", "right"), rows())
def test_the_least_right_suffices(with_right: Inv, live: Live, task: str, right: str) -> None:
    """With the right that the page lists, it works; with the next lower one, it is refused."""
    taken = with_right("snapshot.create", QDRANT_API_KEY=TOKENS["read-write"])
    assert taken.code == 0, taken.stderr
    words, more = task.split(), dict[str, str]()
    if task == "snapshot.restore":
        words.append("--as=back")
    if task == "snapshot.import":
        [file] = (with_right.root / "qdrant_snapshots").glob("main_2*.snapshot")
        words += [str(shutil.copy(file, with_right.root / "main.snapshot")), "--collection=main"]
    if task in ("snapshot.pull", "snapshot.rekey"):
        assert with_right("snapshot.push").code == 0
    if task == "snapshot.rekey":
        words.append("--yes")
        key = str(pyrage.x25519.Identity.generate().to_public())
        more["QDRANT_AGE_RECIPIENTS"] = key
    if right in LESS and task not in SHOWING:
        assert_error(with_right(*words, QDRANT_API_KEY=TOKENS[LESS[right]]), 12, "credentials")
        assert collections(live) == ["main", "other"]
    ran = with_right(*words, QDRANT_API_KEY=TOKENS[right], **more)
    # Nothing is proven yet, and the check exists to report that.
    assert ran.code == (23 if task == "snapshot.check" else 0), ran.stdout + ran.stderr
    assert TOKENS[right] not in ran.stdout + ran.stderr
    if task == "snapshot.restore":
        live.loader.request("DELETE", "/collections/back")
    assert live.loader.server_snapshots("main") == []


def test_hidden_aliases_are_told(with_right: Inv) -> None:
    """Qdrant tells such a token that there are no aliases, which is not believed."""
    mine = with_right("snapshot.create", "--json", QDRANT_API_KEY=TOKENS["read-write"])
    [finding] = mine.document["result"]["findings"]
    assert (finding["check"], finding["status"]) == ("aliases", "WARN")
    everything = with_right("snapshot.create", "--json", QDRANT_API_KEY=TOKENS["manage"])
    assert everything.document["result"]["findings"] == []
    folder = with_right.root / "qdrant_snapshots"
    names = [ran.document["result"]["snapshots"][0]["snapshot"] for ran in (mine, everything)]
    aliases = [read_manifest(folder / name)["aliases"] for name in names]
    assert aliases == [[], ["main-alias"]]


@pytest.mark.parametrize("right", ["read-write", "read everywhere"])
@pytest.mark.parametrize("words", [("--as=back",), ("--replace", "--yes")])
def test_a_restore_names_the_right_it_lacks(
    with_right: Inv, live: Live, right: str, words: tuple[str, ...]
) -> None:
    """Without the right to manage: 12, naming the missing right, and nothing is changed."""
    assert with_right("snapshot.create", QDRANT_API_KEY=TOKENS["read-write"]).code == 0
    key = TOKENS.get(right) or token("r")
    ran = with_right("snapshot.restore", *words, QDRANT_API_KEY=key)
    assert_error(ran, 12, "manage", 'access "m"')
    assert key not in ran.stdout + ran.stderr
    assert collections(live) == ["main", "other"]
    assert live.loader.server_snapshots("main") == []
    counted = live.loader.request("POST", "/collections/main/points/count", {"exact": True})
    assert counted["count"] == POINTS
