"""User errors through `inv`: each has its exit code, one error line and one fix line."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import NEWER, Inv, Live, missing, native_qdrant
from tests.integration.conftest import Samples
from tests.support.ports import free_ports
from tests.support.proxy import Hold, faulty, static
from tests.support.world import assert_error, edit_manifest, ended, only_programs, tree

KEY = "a-very-s3cret-key-0123456789"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A real server that requires a key."""
    folder = tmp_path_factory.mktemp("locked")
    with native_qdrant(NEWER, folder, QDRANT_API_KEY=KEY) as live:
        live.loader.plain("main", points=50)
        yield live


@pytest.mark.parametrize(
    "words",
    [
        ("snapshot.create", "--collection", "ghost"),
        ("snapshot.create", "--collection", "ghost/../x y?#"),
        ("snapshot.verify", "--collection", "ghost"),
        ("snapshot.restore", "--collection", "ghost"),
        ("snapshot.test-restore", "--collection", "ghost"),
        ("snapshot.test-restore", "--random", "--collection", "ghost"),
        ("snapshot.test-restore", "--all"),
        ("snapshot.show", "--snapshot", "ghost_20250101_120000"),
        ("snapshot.verify", "--snapshot", "/nowhere/x.snapshot"),
        ("snapshot.verify", "--all"),
        ("snapshot.restore",),
    ],
)
def test_what_is_not_there_is_10(outside: Inv, words: tuple[str, ...]) -> None:
    """An unknown collection or snapshot is exit code 10, or 14 if the name is impossible."""
    ran = outside(*words)
    assert_error(ran, 14 if "/../" in words[-1] else 10)


@pytest.mark.parametrize(
    "words",
    [
        ("stack.status",),
        ("snapshot.create", "--collection", "main"),
        ("snapshot.create", "--all"),
        ("snapshot.restore", "--collection", "sample-plain"),
    ],
)
@pytest.mark.parametrize("key", ["", "wrong-key-987"])
def test_a_wrong_or_missing_key_is_12(
    samples: Samples, locked: Live, outside: Inv, words: tuple[str, ...], key: str
) -> None:
    """Refused credentials are exit code 12, naming the setting but never the key."""
    samples.put("plain", outside.root / "qdrant_snapshots")
    ran = outside(*words, QDRANT_URL=locked.url, QDRANT_API_KEY=key)
    assert_error(ran, 12, "QDRANT_API_KEY")
    assert "wrong-key-987" not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("stack.status",),
        ("snapshot.create",),
        ("snapshot.restore", "--collection", "sample-plain"),
        ("doctor",),
    ],
)
@pytest.mark.parametrize("where", ["nobody", "no Qdrant"])
def test_a_wrong_url_is_13(
    samples: Samples, outside: Inv, words: tuple[str, ...], where: str
) -> None:
    """No server, or a server that is not Qdrant: 13, naming the URL and QDRANT_URL."""
    samples.put("plain", outside.root / "qdrant_snapshots")
    with static({"/": b"<html>hello</html>"}) as page:
        url = f"http://127.0.0.1:{free_ports(1)[0]}" if where == "nobody" else page
        ran = outside(*words, QDRANT_URL=url)
    assert_error(ran, 13, url, "QDRANT_URL")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("QDRANT_URL\nthis is no setting\n", "line"),
        ('QDRANT_URL="http://localhost:6333\n', "line 1"),
        ("QDRANT_URL=ftp://somewhere\n", "QDRANT_URL"),
        ("QDRANT_URL=http://me:pw@localhost:6333\n", "QDRANT_API_KEY"),
        ("QDRANT_ENGINE=kubernetes\n", "QDRANT_ENGINE"),
        ("QDRANT_HTTP_PORT=70000\nQDRANT_VERSION=new\n", "QDRANT_VERSION"),
        ("QDRANT_OPERATION_TIMEOUT_SECONDS=-1\n", "QDRANT_OPERATION_TIMEOUT_SECONDS"),
        ("QDRANT_API_KEY_FILE=not/there\n", "QDRANT_API_KEY_FILE"),
        ("QDRANT_BINARY=not/there\n", "QDRANT_BINARY"),
        ("QDRANT_HTTP_PORT=6334\n", "QDRANT_GRPC_PORT"),
    ],
)
def test_a_malformed_env_file_is_14(inv: Inv, text: str, word: str) -> None:
    """Every wrong setting is exit code 14, by name."""
    (inv.root / ".env").write_text(text)
    inv.environment.clear()
    ran = inv("snapshot.list")
    assert_error(ran, 14, word)
    assert "me:pw" not in ran.stderr


def test_an_env_file_that_is_no_text_is_14(inv: Inv) -> None:
    """Binary data, or a folder, in place of `.env` is reported without a traceback."""
    (inv.root / ".env").write_bytes(b"\xff\xfe\x00rubbish")
    assert_error(inv("snapshot.list"), 14, ".env")


def test_all_wrong_settings_are_told_at_once(inv: Inv) -> None:
    """Three mistakes are reported in one run, not in three."""
    ran = inv("doctor", QDRANT_URL="x", QDRANT_HTTP_PORT="y", QDRANT_VERSION="z")
    assert_error(ran, 14, "QDRANT_URL", "QDRANT_HTTP_PORT", "QDRANT_VERSION")


@pytest.mark.parametrize("task", ["verify", "restore", "test-restore", "show"])
def test_a_dangling_latest_link_is_10(samples: Samples, outside: Inv, task: str) -> None:
    """The newest snapshot is missing: an older one is not used in its place."""
    folder = outside.root / "qdrant_snapshots"
    samples.put("plain", folder)
    link = folder / "sample-plain_latest.snapshot"
    link.unlink()
    link.symlink_to("sample-plain_20990101_000000.snapshot")
    ran = outside(f"snapshot.{task}", "--collection=sample-plain")
    assert_error(ran, 10, "sample-plain_20990101_000000.snapshot", "latest")


@pytest.mark.parametrize("task", ["create", "restore", "test-restore"])
def test_a_held_lock_is_11(samples: Samples, outside: Inv, task: str) -> None:
    """Another run in the same folder is exit code 11 immediately, and nothing is changed."""
    folder = outside.root / "qdrant_snapshots"
    samples.put("plain", folder)
    before = tree(folder)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = outside(f"snapshot.{task}", "--collection=sample-plain")
    assert_error(ran, 11, "Another run")
    assert tree(folder) == before


def test_a_real_run_holds_the_lock_and_is_named(qdrant: Live, name: str, outside: Inv) -> None:
    """The second of two runs sees the task and the process of the first."""
    qdrant.loader.plain(name, points=20)
    hold = Hold()
    with faulty(qdrant.url) as proxy:
        proxy.on("POST", r".*/snapshots", hold.before, times=1)
        first = outside.start("snapshot.create", "--collection", name, QDRANT_URL=proxy.url)
        hold.wait()
        second = outside("snapshot.create", "--collection", name)
        hold.release.set()
        assert ended(first).code == 0
    assert_error(second, 11, "snapshot.create", f"process {first.pid}")


@pytest.mark.parametrize(
    "words",
    [
        ("snapshot.create", "--collection=main"),
        ("snapshot.create", "--collection=main", "--output-dir={bad}"),
        ("snapshot.list",),
        ("snapshot.verify", "--all"),
        ("snapshot.restore", "--all", "--if-missing"),
    ],
)
def test_a_folder_that_cannot_be_is_15(locked: Live, outside: Inv, words: tuple[str, ...]) -> None:
    """A snapshot folder below a file is a storage error with a remedy, not a traceback."""
    (outside.root / "file").touch()
    bad = str(outside.root / "file" / "snapshots")
    ran = outside(
        *(word.format(bad=bad) for word in words),
        QDRANT_SNAPSHOT_DIR=bad,
        QDRANT_URL=locked.url,
        QDRANT_API_KEY=KEY,
    )
    assert_error(ran, 15, "QDRANT_SNAPSHOT_DIR")


@pytest.mark.parametrize("task", ["stack.up", "stack.status", "stack.down", "doctor"])
def test_docker_that_is_absent_is_13(inv: Inv, tmp_path: Path, task: str) -> None:
    """QDRANT_ENGINE=compose without Docker is exit code 13, and the hint says what to do."""
    with only_programs(tmp_path / "bin") as path:
        ran = inv(task, QDRANT_ENGINE="compose", PATH=path)
    assert_error(ran, 13, "ocker", "native")


@pytest.mark.docker
def test_a_compose_file_that_is_missing_is_14(inv: Inv, docker: None) -> None:
    """COMPOSE_FILE naming a file that does not exist is exit code 14."""
    assert_error(inv("stack.up", QDRANT_ENGINE="compose", COMPOSE_FILE="ghost.yml"), 14, "ghost")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("snapshot.verify", "--level", "magic"), 14),
        (("snapshot.create", "--all", "--collection", "x"), 14),
        (("snapshot.restore", "--replace", "--if-missing"), 14),
        (("snapshot.restore", "--all", "--if-missing", "--as", "x"), 14),
        (("snapshot.test-restore", "--all", "--create"), 14),
        (("snapshot.test-restore", "--in-place", "--keep"), 14),
        (("snapshot.create", "--collection", ""), 14),
    ],
)
def test_flags_that_make_no_sense_are_14(outside: Inv, words: tuple[str, ...], code: int) -> None:
    """Contradictory flags and impossible values are named, and nothing happens."""
    assert_error(outside(*words), code)
    assert tree(outside.root / "qdrant_snapshots") == []


@pytest.mark.parametrize(
    "words",
    [
        ("snapshot.test-restore", "--max-seconds", "soon"),
        ("snapshot.test-restore", "--max-seconds=-1"),
        ("stack.up", "--timeout", "later"),
        ("stack.logs", "--tail", "all"),
        ("snapshot.create", "--no-such-flag"),
        ("snapshot.crate",),
    ],
)
def test_what_invoke_cannot_parse_is_1(inv: Inv, words: tuple[str, ...]) -> None:
    """A command line that cannot be parsed, in two lines as any other error."""
    assert_error(inv(*words), 1)


def test_as_must_be_a_possible_name(samples: Samples, outside: Inv) -> None:
    """A target that is not a valid collection name is refused before the server sees it."""
    samples.put("plain", outside.root / "qdrant_snapshots")
    ran = outside("snapshot.restore", "--collection=sample-plain", "--as", "a/b")
    assert_error(ran, 14, "a/b")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("snapshot.create", "--collection", "ghost"), 10),
        (("snapshot.restore", "--all"), 24),
        (("snapshot.test-restore", "--in-place", "--collection=sample-plain"), 14),
        (("stack.down",), 14),
        (("snapshot.list",), 0),
        (("snapshot.verify", "--collection=sample-plain"), 0),
        (("stack.status",), 0),
        (("--dry", "snapshot.create", "--collection=ghost"), 0),
    ],
)
def test_json_is_one_document_whatever_happens(
    samples: Samples, outside: Inv, words: tuple[str, ...], code: int
) -> None:
    """Stdout is exactly one JSON document with every key, and the exit code agrees with it."""
    samples.put("plain", outside.root / "qdrant_snapshots")
    ran = outside(*words, "--json")
    assert ran.code == code, ran.stderr
    document = json.loads(ran.stdout)
    assert document.keys() == {"ok", "task", "exit_code", "result", "error"}
    assert document["task"] == next(w for w in words if "." in w and not w.startswith("-"))
    assert (document["exit_code"], document["ok"]) == (code, code == 0)
    if code:
        assert document["error"].keys() == {"kind", "message", "hint"}
    else:
        assert document["error"] is None


def test_json_also_tells_of_wrong_settings(inv: Inv) -> None:
    """A wrong setting results in one JSON document too."""
    ran = inv("snapshot.list", "--json", QDRANT_ENGINE="nonsense")
    assert ran.code == 14
    assert ran.document["error"]["kind"] == "settings"


def test_an_unreadable_manifest_does_not_hide_the_others(samples: Samples, outside: Inv) -> None:
    """`snapshot.list` shows what it can, and says what it cannot show."""
    folder = outside.root / "qdrant_snapshots"
    plain = samples.put("plain", folder)
    samples.put("rich", folder)
    edit_manifest(plain, lambda m: m.pop("sha256"))
    ran = outside("snapshot.list", "--json")
    assert ran.code == 0
    problems = {s["snapshot"]: s["problem"] for s in ran.document["result"]["snapshots"]}
    assert len(problems) == 2
    assert "sha256" in problems[plain.name]


def test_a_read_only_folder_still_proves_and_restores(
    samples: Samples, qdrant: Live, outside: Inv, tmp_path: Path, name: str
) -> None:
    """On a read-only mount, a snapshot can be verified and restored, although no proof is saved."""
    import subprocess

    source, mounted = tmp_path / "source", tmp_path / "mounted"
    samples.put("plain", source)
    mounted.mkdir()
    bind = ("mount", "--bind", str(source), str(mounted))
    if os.geteuid() or subprocess.run(bind, check=False, capture_output=True).returncode:
        missing("mounting is not permitted")
    try:
        remount = ("mount", "-o", "remount,ro,bind", str(mounted))
        if subprocess.run(remount, check=False, capture_output=True).returncode:
            missing("mounting read-only is not permitted")
        folder = {"QDRANT_SNAPSHOT_DIR": str(mounted)}
        ran = outside("snapshot.verify", "--collection=sample-plain", **folder)
        assert ran.code == 0, ran.stderr
        assert "could not be saved" in ran.stderr
        ran = outside("snapshot.restore", "--collection=sample-plain", "--as", name, **folder)
        assert ran.code == 0, ran.stderr
        assert qdrant.loader.count(name) == 300
        ran = outside(
            "snapshot.test-restore",
            "--collection=sample-plain",
            "--json",
            QDRANT_DRILL_ENGINE="native",
            **folder,
        )
        assert [d["ok"] for d in ran.document["result"].get("drills", ())] == [True], ran.stderr
    finally:
        subprocess.run(("umount", str(mounted)), check=True)
