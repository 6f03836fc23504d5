"""What `snapshot.schedule` prints, read and run by the real cron, systemd and GitHub schema."""

from __future__ import annotations

import dataclasses
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from cronsim import CronSim

from snapshot_tasks.cli.namespace import namespace
from tests.conftest import ROOT, Inv, Live, Ran
from tests.support.launcher import give_launcher
from tests.support.systemd import analyze
from tests.support.world import assert_error

HOSTILE = "a %d ${HOME} `id` 'single' \"double\" ü 漢字 #;&|"
# systemd's scale goes to 10; below 4 it calls a service OK.
MAX_EXPOSURE = 2.5


@pytest.fixture
def hostile(inv: Inv, qdrant: Live) -> Iterator[Inv]:
    """`inv` in a folder whose name is special to every reader, with its real launcher."""
    root = inv.root.rename(inv.root.with_name(HOSTILE))
    give_launcher(root)
    (root / ".env").write_text(
        f"QDRANT_ENGINE=external\nQDRANT_DRILL_ENGINE=native\nQDRANT_URL={qdrant.url}\n"
        "QDRANT_COLLECTION_NAME=scheduled\n",
        encoding="utf-8",
    )
    qdrant.loader.plain("scheduled", points=50)
    yield dataclasses.replace(inv, root=root, environment={})
    qdrant.loader.delete("scheduled")


def printed(inv: Inv, *flags: str) -> dict[str, str]:
    """Return the files of a schedule by name; the project says where it gets the tasks from."""
    source = "qdrant-snapshot-tasks @ file:///srv/tasks\n"
    (inv.root / "requirements.txt").write_text(source, encoding="utf-8")
    return files_of(inv("snapshot.schedule", *flags, "--json"))


def files_of(ran: Ran) -> dict[str, str]:
    """Return the files that a call printed, by name."""
    assert ran.code == 0, ran.stderr
    files: dict[str, str] = ran.document["result"]["files"]
    return files


def launched(inv: Inv, *words: str) -> Ran:
    """Call the launcher itself, as `./inv`."""
    done = subprocess.run(
        ("./inv", *words), cwd=inv.root, capture_output=True, text=True, check=False
    )
    return Ran(code=done.returncode, stdout=done.stdout, stderr=done.stderr)


def scheduled(inv: Inv, called: str, *flags: str) -> dict[str, str]:
    """Return the files of a schedule, printed by the launcher or by plain `inv`."""
    if called == "./inv":
        return files_of(launched(inv, "snapshot.schedule", *flags, "--json"))
    return printed(inv, *flags)


def cron_commands(crontab: str) -> list[str]:
    r"""Return the commands as cron would hand them to the shell (crontab(5): % ends, \% is %)."""
    lines = [line for line in crontab.splitlines() if not line.startswith("#")]
    commands = [line.split(maxsplit=5)[5] for line in lines]
    assert not any(re.search(r"(?<!\\)%", command) for command in commands)
    return [command.replace("\\%", "%") for command in commands]


def run_bare(command: str) -> subprocess.CompletedProcess[str]:
    """Run a command as cron does: by /bin/sh, in another folder, with almost no environment."""
    return subprocess.run(
        ("env", "-i", "/bin/sh", "-c", command),
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("called", ["./inv", "inv"])
def test_cron_lines_take_a_snapshot_and_prove_it(hostile: Inv, called: str) -> None:
    """From any folder, with an empty environment, silently, whatever the project is called."""
    [crontab] = scheduled(hostile, called, "--format", "cron").values()
    create, drill = cron_commands(crontab)
    assert ("--search-root" in create) is (called == "inv")
    for command in (create, drill):
        done = run_bare(command)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    listed = hostile("snapshot.list", "--json").document["result"]["snapshots"]
    [snapshot] = listed
    assert snapshot["collection"] == "scheduled"
    assert snapshot["proven_at"]


def test_a_cron_line_that_fails_says_all_of_it(hostile: Inv) -> None:
    """So that cron mails it: the error, the remedy, and the output until then."""
    dotenv = hostile.root / ".env"
    text = dotenv.read_text(encoding="utf-8")
    dotenv.write_text(text.replace("=scheduled", "=nothing"), encoding="utf-8")
    [crontab] = scheduled(hostile, "./inv", "--format", "cron").values()
    done = run_bare(cron_commands(crontab)[0])
    assert "Collection `nothing` doesn't exist" in done.stdout
    command = f"{shlex.quote(str(hostile.root / 'inv'))} stack.status"
    assert f"  fix: Run `{command}` to list" in done.stdout


def test_a_remedy_names_the_launcher(hostile: Inv) -> None:
    """As it was called; a printed file is shown exactly as it is written."""
    ran = launched(hostile, "snapshot.show", "--snapshot", "nothing")
    assert ran.code == 10
    assert "`./inv snapshot.list`" in ran.stderr
    shown = launched(hostile, "snapshot.schedule", "--format", "cron").stdout
    [written] = scheduled(hostile, "./inv", "--format", "cron").values()
    assert shown == written


def test_what_follows_a_failed_task_is_not_run(hostile: Inv) -> None:
    """Invoke runs several tasks in one call: nothing is pushed that was not taken."""
    ran = hostile("snapshot.create", "--collection", "nothing", "snapshot.list")
    assert_error(ran, 10)
    assert ran.stdout == ""
    ran = hostile("snapshot.create", "snapshot.list")
    assert ran.code == 0
    assert "sealed" in ran.stdout.splitlines()[-4:][0]


@pytest.mark.parametrize("called", ["./inv", "inv"])
def test_systemd_accepts_the_units(hostile: Inv, tmp_path: Path, called: str) -> None:
    """By systemd itself: no complaint, the hostile path as one word, and little exposure."""
    folder = tmp_path / "units"
    words = ("snapshot.schedule", "--format", "systemd", "--output-dir", str(folder))
    ran = launched(hostile, *words) if called == "./inv" else hostile(*words)
    assert ran.code == 0, ran.stderr
    units = sorted(folder.iterdir())
    assert [str(unit) for unit in units] == sorted(ran.stdout.splitlines())
    done = analyze("verify", "--man=no", *map(str, units))
    assert (done.returncode, done.stderr) == (0, "")
    services = [unit for unit in units if unit.suffix == ".service"]
    assert len(services) == 2
    for service in services:
        rated = analyze("security", "--offline=true", str(service)).stdout
        [score] = re.findall(r"exposure level for .*: ([\d.]+)", rated)
        assert float(score) <= MAX_EXPOSURE, rated


@pytest.mark.parametrize("every", ["5min", "6h", "24h", "7d"])
def test_systemd_and_cron_agree_on_the_times(inv: Inv, every: str) -> None:
    """The same interval and time fire at the same moments in both, by their own readers."""
    flags = ("--every", every, "--at", "23:40")
    units = printed(inv, "--format", "systemd", *flags)
    [crontab] = printed(inv, "--format", "cron", *flags).values()
    lines = [line for line in crontab.splitlines() if not line.startswith("#")]
    timers = ("qdrant-snapshot.timer", "qdrant-snapshot-drill.timer")
    for name, line in zip(timers, lines, strict=True):
        [when] = re.findall(r"OnCalendar=(.*)", units[name])
        done = analyze("calendar", "--iterations=8", "--base-time=2026-11-29 23:59:30 UTC", when)
        assert done.returncode == 0, done.stderr
        found = re.findall(r"(?:Next elapse|Iter. #\d+|Iteration #\d+): (.*) UTC", done.stdout)
        times = sorted({datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S") for text in found})
        simulated = CronSim(" ".join(line.split()[:5]), datetime(2026, 11, 29, 23, 59))
        assert times == [next(simulated) for _ in range(8)]


@pytest.mark.parametrize("flags", [(), ("--push", "--all"), ("--every", "5min")])
def test_the_workflow_is_valid(inv: Inv, tmp_path: Path, flags: tuple[str, ...]) -> None:
    """By the published schema of GitHub's workflows; its times are those of the crontab."""
    [text] = printed(
        dataclasses.replace(inv, environment={**inv.environment, "QDRANT_KEEP_DAILY": "7"}),
        "--format",
        "github",
        *flags,
    ).values()
    path = tmp_path / "qdrant-snapshot.yml"
    path.write_text(text, encoding="utf-8")
    schema = ("--builtin-schema", "vendor.github-workflows", str(path))
    done = subprocess.run(
        (sys.executable, "-m", "check_jsonschema", *schema),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [crontab] = printed(inv, "--format", "cron", *flags).values()
    [times] = re.findall(r'cron: "(.*)"', text)
    assert f"\n{times} " in crontab
    assert not re.findall(r"(?i)(api_key|secret).*: (?!\$\{\{ secrets\.)", text.split("env:")[1])


def test_no_secret_is_in_what_kubernetes_gets(inv: Inv) -> None:
    """Not the key, a connection string, a password in an endpoint, or a URL of an alarm."""
    (key := inv.root / "key").write_text("hush-file\n", encoding="utf-8")
    ran = inv(
        *("snapshot.schedule", "--format", "kubernetes", "--image", "registry.example/q:1"),
        QDRANT_URL="https://qdrant.example",
        QDRANT_API_KEY_FILE=str(key),
        QDRANT_COLLECTION_NAME="docs",
        QDRANT_OFFSITE_URL="az://container/prefix",
        AZURE_STORAGE_CONNECTION_STRING="AccountKey=hush-string",
        AZURE_STORAGE_ACCOUNT_NAME="hush-account",
        AZURE_ENDPOINT="https://you:hush-password@store.example:9000",
        AZURE_TENANT_ID="known",
        QDRANT_PING_URL="https://ping.example/hush-ping",
        QDRANT_WEBHOOK_URL="https://hook.example/hush-hook",
    )
    assert ran.code == 0, ran.stderr
    assert "hush" not in ran.stdout + ran.stderr
    named = set(re.findall(r"secretKeyRef: \{name: qdrant-snapshot, key: (\w+)", ran.stdout))
    assert named == {
        *("QDRANT_API_KEY", "QDRANT_PING_URL", "QDRANT_WEBHOOK_URL", "AZURE_ENDPOINT"),
        *("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_NAME"),
    }
    for line in ('QDRANT_COLLECTION_NAME: "docs"', 'AZURE_TENANT_ID: "known"'):
        assert f"\n  {line}\n" in ran.stdout
    assert ran.stdout.count('image: "registry.example/q:1"') == 3


def test_artifacts_hold_proofs_and_nothing_of_the_points(inv: Inv, qdrant: Live) -> None:
    """Whoever reads artifacts cannot read data; a manifest and its searches have some of it."""
    qdrant.loader.plain("uploaded", points=50)
    ran = inv("snapshot.create", "--collection", "uploaded", QDRANT_URL=qdrant.url)
    assert ran.code == 0, ran.stderr
    folder = inv.root / "qdrant_snapshots"
    assert len(list(folder.glob("uploaded*.json"))) >= 2
    (folder / "uploaded_1.proofs.jsonl").touch()
    own = (ROOT / ".github/workflows/restore-proof.yml").read_text(encoding="utf-8")
    for text in (*printed(inv, "--format", "github").values(), own):
        patterns = re.findall(r"^ +(qdrant_snapshots/\S+)$", text, re.MULTILINE)
        found = {path.name for pattern in patterns for path in inv.root.glob(pattern)}
        assert found == {"uploaded_1.proofs.jsonl"}


@pytest.mark.parametrize("name", ["cron", "systemd", "github"])
def test_every_task_and_flag_is_one(inv: Inv, name: str) -> None:
    """Nothing is scheduled that `inv` does not have."""
    settings = {**inv.environment, "QDRANT_KEEP_DAILY": "7"}
    asking = dataclasses.replace(inv, environment=settings)
    text = "".join(printed(asking, "--format", name, "--push", "--all").values())
    program = r"(?<!`)\binv\"?(?: \"?--search-root\"? \S+)? "
    task = r"((?:report|snapshot\.[a-z]).*?)(?: 2>&1.*)?$"
    calls = re.findall(program + task, text, re.MULTILINE)
    assert calls
    unknown: set[str] = set()
    for call in calls:
        for part in re.findall(r"(?:^| )((?:report|snapshot\.)\S*)((?: (?!snapshot\.)\S+)*)", call):
            task, flags = part
            if task not in namespace.task_names:
                unknown.add(task)
                continue
            known = {f for a in namespace[task].get_arguments() for f in a.names}
            unknown |= {f for f in re.findall(r"--\S+", flags) if f[2:] not in known}
    assert not unknown


def test_what_only_this_shell_knows_is_told(inv: Inv) -> None:
    """A schedule has no environment: a setting that is also in `.env` is not named, nor a value."""
    (inv.root / ".env").write_text("QDRANT_ENGINE=native\n", encoding="utf-8")
    ran = inv("snapshot.schedule", QDRANT_API_KEY="very secret")
    [note] = [line for line in ran.stderr.splitlines() if "this shell" in line]
    assert note.startswith("note: QDRANT_API_KEY: set")
    assert "very secret" not in ran.stdout + ran.stderr


def test_wrong_flags_end_with_14_and_foreign_files_with_24(inv: Inv, tmp_path: Path) -> None:
    """One error line and one fix line; a dry run writes nothing."""
    for flags in (
        ("--format", "at"),
        ("--every", "36h"),
        ("--drill-every", "5h"),
        ("--at", "noon"),
        ("--every", ""),
        ("--format", "kubernetes", "--image", ""),
    ):
        assert_error(inv("snapshot.schedule", *flags), 14)
    folder = tmp_path / "out"
    writing = ("snapshot.schedule", "--format", "systemd", "--output-dir", str(folder))
    assert inv("--dry", *writing).code == 0
    assert not folder.exists()
    folder.mkdir()
    (folder / "qdrant-snapshot.timer").write_text("mine\n", encoding="utf-8")
    assert_error(inv(*writing), 24, "qdrant-snapshot.timer")
    assert len(list(folder.iterdir())) == 1
