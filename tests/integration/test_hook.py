"""The hook after each new snapshot: its variables, what its failure means, how it is ended."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.conftest import ROOT, Inv, Live, missing, native_qdrant
from tests.integration.conftest import Samples
from tests.support.listener import listening
from tests.support.world import (
    assert_error,
    end_processes_below,
    ended,
    processes_below,
    read_manifest,
    tree,
    wait_until,
)

KEY = "unmistakable-key"


def script(folder: Path, text: str) -> str:
    """Return a command line that runs this Python text; its folder's name has a space."""
    folder = folder / "my hooks"
    folder.mkdir(exist_ok=True)
    path = folder / "hook.py"
    path.write_text(text, encoding="utf-8")
    return shlex.join([sys.executable, str(path)])


def facts(folder: Path) -> dict[str, str]:
    """Return the variables that a hook got."""
    told: dict[str, str] = json.loads((folder / "told.json").read_text(encoding="utf-8"))
    return told


def telling(folder: Path) -> str:
    """Return a hook that saves its environment, and prints on both streams."""
    return script(
        folder,
        "import json, os, sys\n"
        f"json.dump(dict(os.environ), open({str(folder / 'told.json')!r}, 'w'))\n"
        "print('on stdout')\n"
        "print('on stderr \\x1b[2J', file=sys.stderr)\n",
    )


def test_what_a_hook_is_told(qdrant: Live, name: str, outside: Inv, tmp_path: Path) -> None:
    """Paths and facts of the snapshot; its output goes to stderr, and cannot control anything."""
    qdrant.loader.plain(name, points=30)
    hook = telling(tmp_path)
    ran = outside(
        "snapshot.create",
        *("--collection", name, "--label", "before the move", "--json"),
        QDRANT_POST_CREATE_HOOK=hook,
    )
    assert ran.code == 0, ran.stderr
    [snapshot] = ran.document["result"]["snapshots"]
    file = Path(snapshot["path"])
    told = facts(tmp_path)
    assert {key: told[f"QDRANT_SNAPSHOT_{key}"] for key in ("FILE", "COLLECTION", "LABEL")} == {
        "FILE": str(file),
        "COLLECTION": name,
        "LABEL": "before the move",
    }
    assert Path(told["QDRANT_SNAPSHOT_MANIFEST"]) == file.with_name(f"{file.name}.json")
    assert Path(told["QDRANT_SNAPSHOT_FINGERPRINT"]).is_file()
    assert Path(told["QDRANT_SNAPSHOT_PROBES"]).is_file()
    assert told["QDRANT_SNAPSHOT_SHA256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert told["QDRANT_SNAPSHOT_SIZE_BYTES"] == str(file.stat().st_size)
    assert told["QDRANT_SNAPSHOT_POINTS_COUNT"] == "30"
    assert told["QDRANT_SNAPSHOT_QDRANT_VERSION"] == qdrant.version
    assert told["QDRANT_SNAPSHOT_CREATED_AT"] == read_manifest(file)["created_at"]
    assert "on stdout\non stderr" in ran.stderr
    assert "\x1b" not in ran.stderr


def test_an_unsealed_snapshot_has_no_fingerprint_to_copy(
    qdrant: Live, name: str, outside: Inv, tmp_path: Path
) -> None:
    """An unknown fact is empty, so that a hook need not test for it."""
    qdrant.loader.plain(name, points=3)
    arguments = ("snapshot.create", "--collection", name, "--no-seal")
    assert outside(*arguments, QDRANT_POST_CREATE_HOOK=telling(tmp_path)).code == 0
    told = facts(tmp_path)
    empty = ("FINGERPRINT", "PROBES", "LABEL")
    assert [told[f"QDRANT_SNAPSHOT_{name}"] for name in empty] == ["", "", ""]


def test_the_key_is_not_passed_on(inv: Inv, tmp_path: Path) -> None:
    """The key has no name there, because a hook does not need the server."""
    with native_qdrant("1.17.0", tmp_path / "locked", QDRANT_API_KEY=KEY) as locked:
        locked.loader.plain("main", points=3)
        ran = inv(
            "snapshot.create",
            QDRANT_COLLECTION_NAME="main",
            QDRANT_ENGINE="external",
            QDRANT_URL=locked.url,
            QDRANT_API_KEY=KEY,
            QDRANT__SERVICE__API_KEY=KEY,
            QDRANT_POST_CREATE_HOOK=telling(tmp_path),
        )
    assert ran.code == 0, ran.stderr
    told = facts(tmp_path)
    assert KEY not in json.dumps(told)
    assert told["QDRANT_URL"] == locked.url


def test_a_ping_tells_what_a_hook_said_but_never_the_key(
    qdrant: Live, name: str, outside: Inv, tmp_path: Path
) -> None:
    """If a hook has the key from elsewhere and prints it, the key is removed from its output."""
    qdrant.loader.plain(name, points=3)
    hook = script(tmp_path, f"print('curl -H api-key:{KEY}')\nraise SystemExit(22)\n")
    with listening() as listener:
        ran = outside(
            "snapshot.create",
            *("--collection", name),
            QDRANT_API_KEY=KEY,
            QDRANT_PING_URL=listener.url,
            QDRANT_POST_CREATE_HOOK=hook,
        )
    assert_error(ran, 15, "exited with 22")
    end = listener.posts[-1]
    assert end.path == "/15"
    assert "curl -H api-key:***" in end.text
    assert KEY not in end.text


FAILURES: Mapping[str, tuple[str, str]] = {
    "fails": ("raise SystemExit(3)", "exited with 3"),
    "dies": ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
}


@pytest.mark.parametrize("how", FAILURES)
def test_a_hook_that_fails(qdrant: Live, name: str, outside: Inv, tmp_path: Path, how: str) -> None:
    """Exit code 15, each snapshot stays catalogued, and the hook of the next one runs as well."""
    text, words = FAILURES[how]
    for each in (f"{name}-1", f"{name}-2"):
        qdrant.loader.plain(each, points=3)
    ran = outside(
        "snapshot.create",
        *("--collection", f"{name}-1", "--collection", f"{name}-2"),
        QDRANT_POST_CREATE_HOOK=script(tmp_path, f"print('sorry')\n{text}\n"),
    )
    assert_error(ran, 15, words, f"{name}-1_", f"{name}-2_", "remains in the catalogue")
    assert ran.stderr.count("sorry") == 2
    listed = outside("snapshot.list", "--json").document["result"]["snapshots"]
    assert len(listed) == 2


@pytest.mark.parametrize("command", ["/nowhere/hook", "/", "no-such-command --now"])
def test_a_hook_that_cannot_be_run(qdrant: Live, name: str, outside: Inv, command: str) -> None:
    """The error names the setting."""
    qdrant.loader.plain(name, points=3)
    ran = outside("snapshot.create", "--collection", name, QDRANT_POST_CREATE_HOOK=command)
    assert_error(
        ran, 15, "could not be run", command.split(maxsplit=1)[0], "QDRANT_POST_CREATE_HOOK"
    )


def test_a_command_line_that_does_not_end(outside: Inv) -> None:
    """An open quote is reported before anything starts, without showing a possible password."""
    ran = outside("snapshot.create", QDRANT_POST_CREATE_HOOK="restic --password 'hunter2")
    assert_error(ran, 14, "QDRANT_POST_CREATE_HOOK", "no closing quotation")
    assert "hunter2" not in ran.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_hook_and_what_it_started(
    qdrant: Live, name: str, outside: Inv, tmp_path: Path, number: signal.Signals
) -> None:
    """Not even a child that ignores both signals stays, and the snapshot is complete."""
    qdrant.loader.plain(name, points=30)
    stubborn = (
        "import signal, time\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "open('begun', 'w').close()\n"
        "time.sleep(600)\n"
    )
    text = (
        "import os, signal, subprocess, sys, time\n"
        # Like most programs that are not written in Python: without a traceback.
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
        f"os.chdir({str(tmp_path / 'my hooks')!r})\n"
        f"subprocess.Popen([sys.executable, '-c', {stubborn!r}])\n"
        "time.sleep(600)\n"
    )
    process = outside.start(
        "snapshot.create",
        *("--collection", name),
        QDRANT_POST_CREATE_HOOK=script(tmp_path, text),
    )
    folder = tmp_path / "my hooks"
    try:
        wait_until((folder / "begun").exists)
        process.send_signal(number)
        assert_error(ended(process), 130)
        wait_until(lambda: processes_below(folder) == [], seconds=5)
    finally:
        end_processes_below(folder)
    assert len(tree(outside.root / "qdrant_snapshots")) == 5
    assert outside("snapshot.verify", "--collection", name).code == 0


def test_a_hook_may_run_these_tasks(qdrant: Live, name: str, outside: Inv) -> None:
    """No lock is held while it runs."""
    qdrant.loader.plain(name, points=30)
    hook = shlex.join([sys.executable, "-m", "invoke", "snapshot.test-restore"])
    ran = outside(
        "snapshot.create",
        QDRANT_COLLECTION_NAME=name,
        QDRANT_DRILL_ENGINE="native",
        QDRANT_POST_CREATE_HOOK=hook,
    )
    assert ran.code == 0, ran.stderr
    assert "PROVEN" in ran.stderr


def test_a_snapshot_taken_for_a_test_is_told_too(
    qdrant: Live, name: str, outside: Inv, tmp_path: Path
) -> None:
    """It is catalogued like any other; an earlier one has already had its hook."""
    qdrant.loader.plain(name, points=30)
    settings = {
        "QDRANT_COLLECTION_NAME": name,
        "QDRANT_DRILL_ENGINE": "native",
        "QDRANT_POST_CREATE_HOOK": telling(tmp_path),
    }
    ran = outside("snapshot.test-restore", "--create", "--json", **settings)
    assert ran.code == 0, ran.stderr
    [drill] = ran.document["result"]["drills"]
    assert Path(facts(tmp_path)["QDRANT_SNAPSHOT_FILE"]).name == drill["snapshot"]
    (tmp_path / "told.json").unlink()
    assert outside("snapshot.test-restore", **settings).code == 0
    assert not (tmp_path / "told.json").exists()


def test_a_daemon_that_a_hook_leaves_is_not_waited_for(
    qdrant: Live, name: str, outside: Inv, tmp_path: Path
) -> None:
    """A process that keeps the hook's output open does not block the task."""
    qdrant.loader.plain(name, points=3)
    text = (
        "import os, subprocess, sys\n"
        f"os.chdir({str(tmp_path)!r})\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print('left one')\n"
    )
    try:
        process = outside.start(
            "snapshot.create",
            *("--collection", name),
            QDRANT_POST_CREATE_HOOK=script(tmp_path, text),
        )
        ran = ended(process)
        assert ran.code == 0, ran.stderr
        assert "left one" in ran.stderr
    finally:
        for left in processes_below(tmp_path):
            if "time.sleep(600)" in " ".join(left.cmdline()):
                left.kill()


def test_restore_of_a_safety_snapshot_runs_no_hook(inv: Inv, tmp_path: Path) -> None:
    """A user's command must not take time between the comparison and the deletion."""
    with native_qdrant("1.17.0", tmp_path / "own") as live:
        live.loader.plain("main", points=30)
        own = dataclasses.replace(
            inv,
            environment=inv.environment
            | {
                "QDRANT_ENGINE": "external",
                "QDRANT_URL": live.url,
                "QDRANT_COLLECTION_NAME": "main",
            },
        )
        assert own("snapshot.create").code == 0
        ran = own(
            *("snapshot.restore", "--replace", "--yes"), QDRANT_POST_CREATE_HOOK=telling(tmp_path)
        )
    assert ran.code == 0, ran.stderr
    assert not (tmp_path / "told.json").exists()


@pytest.fixture
def restic(tmp_path: Path) -> Mapping[str, str]:
    """A real restic with a local repository, and the environment for it."""
    if shutil.which("restic") is None:
        missing("no restic on this machine (Debian's package restic)")
    password = tmp_path / "restic-password"
    password.write_text("a long sentence\n", encoding="utf-8")
    environment = {
        "RESTIC_REPOSITORY": str(tmp_path / "repository"),
        "RESTIC_PASSWORD_FILE": str(password),
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }
    subprocess.run(["restic", "init"], env={**os.environ, **environment}, check=True)
    return environment


def documented(example: str) -> str:
    """Return the hook script from the page, unchanged."""
    page = (ROOT / "docs" / "hooks.md").read_text(encoding="utf-8")
    block = page.partition(f"<!-- {example} -->")[2].partition("```sh\n")[2].partition("```")[0]
    assert block
    return block


def test_the_documented_hook_carries_off_site_with_restic(
    samples: Samples, qdrant: Live, inv: Inv, tmp_path: Path, restic: Mapping[str, str]
) -> None:
    """What restic restores on an empty machine matches point by point, and is proven."""
    hook = tmp_path / "to-restic"
    hook.write_text(documented("restic hook"), encoding="utf-8")
    hook.chmod(0o755)
    settings = {"QDRANT_ENGINE": "external", "QDRANT_URL": qdrant.url, **restic}
    settings["QDRANT_COLLECTION_NAME"] = "sample-rich"
    ran = inv("snapshot.create", **settings, QDRANT_POST_CREATE_HOOK=str(hook))
    assert ran.code == 0, ran.stderr
    assert "snapshot" in ran.stderr
    folder = inv.root / "qdrant_snapshots"
    shutil.rmtree(folder)
    command = documented("restic restore").strip()
    subprocess.run(command, shell=True, cwd=inv.root, env={**os.environ, **restic}, check=True)
    assert len(tree(folder)) == 5
    assert inv("snapshot.verify", "--level", "content", **settings).code == 0
