"""A snapshot from elsewhere: refused before the server is contacted, and harmless on a terminal."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.checks.file import verify
from snapshot_tasks.operations.restore.one import restore
from snapshot_tasks.operations.restore.plan import RestoreRequest
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.selftest.rewrite import read_members
from snapshot_tasks.system.errors import Damaged
from snapshot_tasks.system.progress import Silent
from tests.conftest import Inv, Live
from tests.integration.conftest import Samples, Take
from tests.support.archives import write_snapshot
from tests.support.hostile import CASES
from tests.support.proxy import faulty
from tests.support.world import assert_error, edit_manifest, manifest_of, scratch_left, tree

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b2J\u202e[red]x[/x]\nerror: all is well\r\u2028"
RAW = ("\x1b]0", "\x1b[2J", "\x9b", "\x07", "\u202e", "\u2028", "\nerror: all is well")


@pytest.mark.parametrize("case", CASES)
def test_a_hostile_file_never_reaches_the_server(
    qdrant: Live, catalog: Catalog, scratch: Path, case: str
) -> None:
    """Neither from a mounted folder nor by upload: nothing is requested, nothing is unpacked."""
    write_snapshot(catalog.folder / "books_20250101_120000.snapshot", CASES[case][0]())
    (snapshot,) = catalog.entries()
    assert snapshot.manifest is None
    with faulty(qdrant.url) as proxy:
        endpoint = dataclasses.replace(qdrant.fresh.endpoint, url=proxy.url)
        for where in (endpoint, dataclasses.replace(endpoint, mounts=())):
            with Server(where, operation_timeout_seconds=30) as server:
                before = server.collections.names()
                with pytest.raises(Damaged) as caught:
                    restore(RestoreRequest(snapshot=snapshot), server, Silent())
                assert server.collections.names() == before
    assert {method for method, _ in proxy.seen} == {"GET"}
    assert caught.value.message.isprintable()
    assert isinstance(verify(snapshot, Silent()).error, Damaged)
    assert scratch_left(scratch) == []


@pytest.mark.parametrize(
    "case",
    ["a name that commands", "an absolute name", "holes of exabytes", "gzip", "a pax name"],
)
@pytest.mark.parametrize(
    "words", [("verify",), ("verify", "--level=content"), ("restore",), ("test-restore",)]
)
def test_a_hostile_file_is_20(
    qdrant: Live, outside: Inv, scratch: Path, case: str, words: tuple[str, ...]
) -> None:
    """Through `inv`: exit code 20, one line, and at most a proof next to the file."""
    folder = outside.root / "qdrant_snapshots"
    write_snapshot(folder / "books_20250101_120000.snapshot", CASES[case][0]())
    with qdrant.server() as server:
        before = server.collections.names()
        ran = outside(f"snapshot.{words[0]}", "--collection=books", *words[1:])
        assert server.collections.names() == before
    assert_error(ran, 20, "not a valid snapshot")
    assert_plain(ran.stdout + ran.stderr)
    assert set(tree(folder)) <= {
        "books_20250101_120000.snapshot",
        "books_20250101_120000.proofs.jsonl",
    }
    assert scratch_left(scratch) == []


def assert_plain(text: str) -> None:
    """Assert that the text contains nothing hostile unescaped."""
    for sequence in RAW:
        assert sequence not in text, repr(text)


def on_a_terminal(inv: Inv, *arguments: str) -> str:
    """Return what a run writes to a terminal, with colours and live progress."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "invoke", *arguments],
        cwd=inv.root,
        env={**os.environ, **inv.environment, "TERM": "xterm-256color", "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    data = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # Linux says so at the end of a terminal
            break
        if not chunk:
            break
        data += chunk
    os.close(ours)
    process.wait(timeout=60)
    # A terminal ends each line with two characters.
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


@pytest.fixture
def evil(samples: Samples, outside: Inv) -> Path:
    """A real snapshot whose manifest, proofs and name try to control the reader's terminal."""
    folder = outside.root / "qdrant_snapshots"
    plain = samples.put("plain", folder)

    def change(document: dict[str, Any]) -> None:
        document |= {
            "label": EVIL,
            "source_url": EVIL,
            "sha256": EVIL,
            "aliases": [EVIL],
            "payload_schema": {EVIL: EVIL},
        }
        document["config"][EVIL] = EVIL
        document["sanity"] = {EVIL: float("inf")}

    edit_manifest(plain, change)
    proofs = plain.with_name(plain.name.removesuffix(".snapshot") + ".proofs.jsonl")
    proof = {"at": "2025-01-01T00:00:00+00:00", "kind": EVIL, "ok": EVIL, "qdrant_version": EVIL}
    proofs.write_text(json.dumps(proof) + "\n")
    odd = folder / f"{EVIL.replace('/', '')}_20250101_120000.snapshot"
    shutil.copy(plain, odd)
    (folder / os.fsdecode(b"\xff\xfe_20250101_120000.snapshot")).write_bytes(b"x")
    return plain


@pytest.mark.parametrize(
    "words",
    [
        ("snapshot.list",),
        ("snapshot.show", "--collection=sample-plain"),
        ("snapshot.verify", "--all"),
        ("snapshot.restore", "--collection=sample-plain", "--as=evil-copy", "--dry-run"),
        ("snapshot.restore", "--collection=sample-plain", "--as=evil-copy"),
    ],
)
def test_hostile_text_commands_no_terminal(
    qdrant: Live, outside: Inv, evil: Path, words: tuple[str, ...]
) -> None:
    """On a terminal, in a pipe and as JSON: names and labels are shown, never obeyed."""
    seen = on_a_terminal(outside, *words)
    assert "Traceback" not in seen
    assert_plain(seen)
    ran = outside(*words)
    assert "Traceback" not in ran.stderr
    assert_plain(ran.stdout + ran.stderr)
    assert "\x1b" not in ran.stdout + ran.stderr
    ran = outside(*words, "--json")
    assert_plain(ran.stdout + ran.stderr)
    document = json.loads(ran.stdout, parse_constant=pytest.fail)
    assert document.keys() == {"ok", "task", "exit_code", "result", "error"}
    assert ran.stdout.count("\n") == 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("snapshot", "../../other.snapshot"),
        ("snapshot", "/etc/other.snapshot"),
        ("snapshot", ".hidden.snapshot"),
        ("collection", "../../other"),
        ("collection", "a/b"),
        ("collection", ".."),
        ("collection", "x\0y"),
        ("qdrant_version", "../../../bin/evil"),
        ("qdrant_version", "1.17.0@sha256:00"),
        ("qdrant_version", "--help"),
    ],
)
@pytest.mark.parametrize("words", [("verify",), ("restore",), ("test-restore",)])
def test_a_manifest_leads_nowhere_else(
    samples: Samples,
    qdrant: Live,
    outside: Inv,
    tmp_path: Path,
    key: str,
    value: str,
    words: tuple[str, ...],
) -> None:
    """A manifest with another path is damage; that path is neither read, written nor restored."""
    folder = outside.root / "qdrant_snapshots"
    plain = samples.put("plain", folder)
    edit_manifest(plain, lambda document: document.update({key: value}))
    above = sorted(p.name for p in tmp_path.iterdir())
    with qdrant.server() as server:
        before = server.collections.names()
        ran = outside(f"snapshot.{words[0]}", "--snapshot", plain.name)
        assert server.collections.names() == before
    assert_error(ran, 20, manifest_of(plain).name)
    assert sorted(p.name for p in tmp_path.iterdir()) == above


def test_long_and_foreign_names_of_a_real_server_are_no_crime(
    qdrant: Live, catalog: Catalog, take: Take, name: str
) -> None:
    """Vector names that need a longer header, or another alphabet, are valid in Qdrant too."""
    vectors = {key: {"size": 4, "distance": "Dot"} for key in ("v" * 150, "ü 漢字　👩‍🚀", "a.b-c")}
    qdrant.loader.request("PUT", f"/collections/{name}", {"vectors": vectors})
    snapshot = take(qdrant, name)
    assert verify(snapshot, Silent()).error is None
    members = read_members(snapshot.path)
    assert any(len(member.name) > 200 for member in members)
