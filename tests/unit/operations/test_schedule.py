"""Schedules as text: when they run, what they run, and how paths are written into them."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest
from cronsim import CronSim

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.operations.schedule import write_schedule
from snapshot_tasks.schedule import FORMATS
from snapshot_tasks.schedule.calendar import POSSIBLE, Calendar
from snapshot_tasks.schedule.request import Command, Request, launcher, make_request
from snapshot_tasks.system.errors import Refused, SettingsError
from snapshot_tasks.system.spans import parse_span
from tests.conftest import ROOT

SUNDAY = datetime(2026, 11, 22, tzinfo=UTC)
SPANS = [f"{n}min" for n in (5, 6, 10, 12, 15, 20, 30)]
SPANS += [f"{n}h" for n in (1, 2, 3, 4, 6, 8, 12, 24)] + ["60min", "1d", "7d", "1w"]


def request_for(  # every fact that a test may want to change
    every: str = "24h",
    at: str = "02:15",
    drill_every: str = "7d",
    project: str = "/srv/tasks",
    all: bool = False,
    push: bool = False,
    retention: Policy = Policy(),  # noqa: B008
    drill_engine: str = "native",
    needs_host_tmp: bool = False,
    user: str = "backup",
    command: Command | None = None,
    **more: Any,
) -> Request:
    """Return a request; a test passes only the values that it is about."""
    return make_request(
        project=Path(project),
        command=command or launcher(Path(project)),
        snapshot_dir=Path(project, "qdrant_snapshots"),
        user=user,
        drill_engine=drill_engine,
        needs_host_tmp=needs_host_tmp,
        every=parse_span(every),
        drill_every=parse_span(drill_every),
        at=at,
        all=all,
        retention=retention,
        push=push,
        operation_timeout_seconds=3600.0,
        **more,
    )


def fired(calendar: Calendar, count: int) -> list[datetime]:
    """Return the first times according to another reader of cron's fields."""
    return list(islice(CronSim(calendar.cron, SUNDAY - timedelta(minutes=1)), count))


@pytest.mark.parametrize("at", ["00:00", "02:15", "23:59"])
@pytest.mark.parametrize("every", SPANS)
def test_it_fires_as_often_as_asked_and_at_that_time(every: str, at: str) -> None:
    """Evenly, past the end of days, weeks and a month; one of the times is `--at`."""
    span = parse_span(every)
    watched = timedelta(days=3) if span < timedelta(hours=1) else timedelta(weeks=3)
    times = fired(request_for(every, at).creates, 3 + watched // span)
    assert {later - earlier for earlier, later in pairwise(times)} == {span}
    hour, minute = map(int, at.split(":"))
    assert any((time.hour, time.minute) == (hour, minute) for time in times)


@pytest.mark.parametrize("every", SPANS)
def test_a_drill_never_starts_with_a_snapshot(every: str) -> None:
    """It runs an hour later, or halfway to the next one, also past midnight and the week's end."""
    span = parse_span(every)
    later = min(timedelta(hours=1), span / 2 - span / 2 % timedelta(minutes=1))
    for at in ("02:15", "23:30"):
        request = request_for(every, at)
        [drill] = fired(request.drills, 1)
        taken = fired(request.creates, 2 + (drill - SUNDAY) // span)
        assert drill - later in taken
        assert drill not in taken


@pytest.mark.parametrize(
    "every", ["1min", "4min", "45min", "90min", "5h", "7h", "36h", "2d", "14d", "61s", "3601s"]
)
def test_what_no_calendar_repeats_evenly_is_refused(every: str) -> None:
    """The error lists what is possible, for the snapshot and for the drill."""
    asks: dict[str, Callable[[], Request]] = {
        "--every": lambda: request_for(every=every),
        "--drill-every": lambda: request_for(drill_every=every),
    }
    for named, ask in asks.items():
        with pytest.raises(SettingsError, match=f"^{named} is ") as refused:
            ask()
        assert POSSIBLE in refused.value.hint
        assert refused.value.exit_code == 14


@pytest.mark.parametrize("at", ["", "2:15", "24:00", "12:60", "noon", "02:15 ", "٠٢:١٥"])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    """The hint shows the format."""
    with pytest.raises(SettingsError, match=r"--at .* is not valid"):
        request_for(at=at)


def test_the_possible_spans_are_those_that_are_told() -> None:
    """The hint lists each of them, and no others."""
    named = set(map(int, re.findall(r"\d+", POSSIBLE)))
    assert named == {int(re.sub(r"\D", "", span)) for span in SPANS} - {60} - {0}


@pytest.mark.parametrize("name", FORMATS)
def test_pruning_follows_the_rules_and_pushing_the_flag(name: str) -> None:
    """Neither is in a schedule without being asked for; a runner has nothing local to prune."""
    plain = "".join(FORMATS[name](request_for()).files.values())
    assert "prune" not in plain
    assert "push" not in plain
    pruning = FORMATS[name](request_for(all=True, push=True, retention=Policy(keep_daily=7)))
    text = "".join(pruning.files.values()).replace('", "', " ")
    local = " --prune" if name != "github" else ""
    assert f"snapshot.create --all{local} snapshot.push --all --prune" in text
    assert "snapshot.test-restore --all" in text


def test_a_workflow_has_the_rules_that_pruning_off_site_needs() -> None:
    """A runner has no `.env`; without the rules it would prune differently from this machine."""
    policy = Policy(keep_last=3, keep_weekly=4, max_age=timedelta(days=90), keep_minimum=2)
    [text] = FORMATS["github"](request_for(push=True, retention=policy)).files.values()
    for line in ('LAST: "3"', 'WEEKLY: "4"', "MAX_AGE: 90d", 'MINIMUM: "2"'):
        assert f"      QDRANT_KEEP_{line}\n" in text
    assert "KEEP_DAILY" not in text


@pytest.mark.parametrize("name", FORMATS)
def test_off_site_another_retention_can_apply(name: str) -> None:
    """Each step prunes only if there is a rule for where it prunes."""
    policy = Policy(keep_monthly=12)
    request = request_for(push=True, retention=Policy(), retention_offsite=policy)
    text = "".join(FORMATS[name](request).files.values()).replace('", "', " ")
    assert "snapshot.create snapshot.push --all --prune" in text
    if name in ("github", "kubernetes"):
        assert re.search(r'QDRANT_OFFSITE_KEEP_MONTHLY: "?12', text)
        assert "QDRANT_KEEP_" not in text


@pytest.mark.parametrize("which", ["printed", "own"])
@pytest.mark.parametrize(("url", "code"), [("", 1), ("https://qdrant.example:6333", 0)])
def test_a_workflow_without_its_url_fails(url: str, code: int, which: str) -> None:
    """A job that is skipped looks like success; its first step, run by bash as on a runner, fails.

    So does this project's own. There is no runner here, so only the shell of this step is run.
    """
    [text] = FORMATS["github"](request_for()).files.values()
    if which == "own":
        text = (ROOT / ".github/workflows/restore-proof.yml").read_text(encoding="utf-8")
    assert not re.search(r"^    if:", text, re.MULTILINE)
    [first] = re.findall(r"    steps:\n      - name: .*\n        run: \|\n((?: {10}.*\n)+)", text)
    script = textwrap.dedent(first)
    assert "${{" not in script
    ran = subprocess.run(
        ["bash", "-e", "-c", script],
        env={"PATH": os.environ["PATH"], "QDRANT_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code
    assert ("::error::" in ran.stdout) is bool(code)


def test_a_workflow_pins_what_this_projects_own_pins() -> None:
    """There is one place to update: the versions of actions are those of restore-proof.yml."""
    [text] = FORMATS["github"](request_for()).files.values()
    own = (ROOT / ".github/workflows/restore-proof.yml").read_text(encoding="utf-8")
    assert re.findall(r"uses: (.*)", text) == re.findall(r"uses: (.*)", own)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("path", ["/srv/two\nlines", "/srv/\x1b[31m", "/srv/\udcff", "/srv/\u202e"])
def test_a_path_that_would_end_a_line_is_refused(path: str, name: str) -> None:
    """The message itself cannot control a terminal."""
    with pytest.raises(SettingsError, match="contains characters") as refused:
        FORMATS[name](request_for(project=path))
    assert refused.value.message.isprintable()


def test_a_crontab_refuses_what_crons_read_differently() -> None:
    """Debian's cron and cronie read a backslash differently; long lines are cut off."""
    for path, reason in (("/srv/back\\slash", "backslash"), ("/srv/" + "x" * 950, "too long")):
        with pytest.raises(SettingsError, match=reason):
            FORMATS["cron"](request_for(project=path))


def test_a_private_tmp_is_for_native_drills_of_projects_elsewhere() -> None:
    """Docker's leftovers need the real /tmp, and a private one would hide a project in it."""
    for request, private in (
        (request_for(), True),
        (request_for(drill_engine="compose", needs_host_tmp=True), False),
        (request_for(project="/tmp/tasks"), False),
        (request_for(project="/var/tmp/tasks"), False),
    ):
        service = FORMATS["systemd"](request).files["qdrant-snapshot-drill.service"]
        assert ("PrivateTmp=yes" in service) is private
        assert ("ReadWritePaths=/tmp" in service) is not private


def test_files_are_written_over_our_own_only(tmp_path: Path) -> None:
    """Another project's unit, or any other file, folder or link, stops it before it writes."""
    mine = FORMATS["systemd"](request_for())
    write_schedule(mine, tmp_path)
    newer = FORMATS["systemd"](request_for(every="6h"))
    write_schedule(newer, tmp_path)
    timer = tmp_path / "qdrant-snapshot.timer"
    assert "02,08,14,20:15:00" in timer.read_text(encoding="utf-8")
    foreign: tuple[Callable[[Path], object], ...] = (
        lambda path: path.write_text("[Timer]\n", encoding="utf-8"),
        lambda path: path.write_bytes(b"\xff\xfe"),
        lambda path: path.mkdir(),
        lambda path: path.symlink_to("/nowhere"),
    )
    for number, put in enumerate(foreign):
        folder = tmp_path / str(number)
        folder.mkdir()
        put(folder / "qdrant-snapshot-drill.timer")
        with pytest.raises(Refused, match=r"drill\.timer already exists"):
            write_schedule(mine, folder)
        assert len(list(folder.iterdir())) == 1
    with pytest.raises(Refused):
        write_schedule(FORMATS["systemd"](request_for(project="/srv/other")), tmp_path)


@pytest.mark.parametrize("name", ["cron", "github", "kubernetes"])
def test_a_file_with_other_comments_is_still_ours(tmp_path: Path, name: str) -> None:
    """An earlier version explained it in other words; only the command that wrote it counts."""
    made = FORMATS[name](request_for())
    (file, text), *_ = made.files.items()
    start = text[: text.index("snapshot.schedule`.") + len("snapshot.schedule`.")]
    (tmp_path / file).write_text(f"{start} In other words.\n", encoding="utf-8")
    write_schedule(made, tmp_path)
    assert (tmp_path / file).read_text(encoding="utf-8") == text


def test_the_docs_show_what_is_printed() -> None:
    """Every line of docs/schedule.md, in its order; `…` means that lines are left out."""
    page = (ROOT / "docs/schedule.md").read_text(encoding="utf-8")
    blocks = re.findall(
        r"```console\n\$ ./inv snapshot.schedule (.*)\n([^`]*(?:`[^`]+`[^`]*)*)```", page
    )
    assert len(blocks) == len(FORMATS)
    for flags, shown in blocks:
        words = flags.split()
        given = dict(zip(words[::2], words[1::2], strict=True))
        request = request_for(
            given.get("--every", "24h"),
            project="/home/you/tasks",
            user="you",
            retention=Policy(keep_daily=7),
        )
        text = "\n".join(FORMATS[given["--format"]](request).files.values())
        for part in shown.split("…\n"):
            assert part in text


def test_units_may_write_where_the_settings_send_them() -> None:
    """A copy on another disk and a metrics file; without these lines, both would exit with 15."""
    made = FORMATS["systemd"](request_for(writes=(Path("/mnt/a b"), Path("/var/lib/metrics"))))
    for name in ("qdrant-snapshot.service", "qdrant-snapshot-drill.service"):
        assert 'ReadWritePaths="/mnt/a b"' in made.files[name]
        assert 'ReadWritePaths="/var/lib/metrics"' in made.files[name]


def test_a_workflow_carries_what_pushing_needs() -> None:
    """Recipients as text, since without them copies would be unencrypted; secrets as secrets."""
    made = FORMATS["github"](
        request_for(
            push=True,
            store_names=("AWS_ENDPOINT_URL", "AWS_REGION", "AWS_SECRET_ACCESS_KEY"),
            recipients=("age1one", "age1two"),
        )
    )
    (text,) = made.files.values()
    assert 'QDRANT_AGE_RECIPIENTS: "age1one,age1two"' in text
    assert "AWS_REGION: ${{ vars.AWS_REGION }}" in text
    assert "AWS_SECRET_ACCESS_KEY: ${{ secrets.AWS_SECRET_ACCESS_KEY }}" in text
    assert text.index("snapshot.test-restore") < text.rindex("snapshot.push --all")


def installed(program: str, **more: Any) -> Command:
    """Return a program in another project's environment, with its names for the tasks."""
    names = {name: f"qdrant.{name}" for name in ("snapshot.create", "snapshot.test-restore")}
    return Command(argv=(f"/opt/venv/bin/{program}",), name=program, names=names, **more)


def test_a_crontab_runs_the_program_of_a_project_without_a_launcher() -> None:
    """By its full path, with the project's task names; a script, in the project's folder."""
    inv = Command(
        argv=("/opt/a b/inv", "--search-root", "/srv/tasks"),
        name="inv",
        names={"snapshot.create": "qdrant.snapshot.create"},
    )
    [text] = FORMATS["cron"](request_for(command=inv)).files.values()
    assert "out=$('/opt/a b/inv' --search-root /srv/tasks qdrant.snapshot.create 2>&1)" in text
    assert text.startswith("# Qdrant snapshots, by `inv snapshot.schedule`.")
    script = Command(
        argv=("/opt/bin/qdrant-snapshots",), name="qdrant-snapshots", folder=Path("/srv/my tasks")
    )
    [text] = FORMATS["cron"](request_for(command=script)).files.values()
    assert "cd '/srv/my tasks' 2>&1 && /opt/bin/qdrant-snapshots snapshot.create 2>&1" in text
    assert "./inv" not in text
    assert "by `qdrant-snapshots snapshot.schedule`" in text


def test_a_unit_runs_the_program_of_a_project_without_a_launcher() -> None:
    """Variables are expanded in arguments, but not in the path of a program."""
    argv = ("/opt/$a%b/inv", "--search-root", "/srv/$x")
    made = FORMATS["systemd"](request_for(command=Command(argv=argv, name="inv")))
    text = made.files["qdrant-snapshot.service"]
    assert 'ExecStart="/opt/$a%%b/inv" "--search-root" "/srv/$$x" snapshot.create\n' in text
    assert "./inv" not in text
    script = installed("qdrant-snapshots", folder=Path("/srv/50% tasks"))
    text = FORMATS["systemd"](request_for(command=script)).files["qdrant-snapshot.service"]
    assert "WorkingDirectory=/srv/50%% tasks\n" in text
    assert 'ExecStart="/opt/venv/bin/qdrant-snapshots" qdrant.snapshot.create\n' in text


def test_a_workflow_never_guesses_where_the_tasks_come_from() -> None:
    """A package of that name elsewhere could be somebody else's, and the job has the key."""
    with pytest.raises(SettingsError, match=r"requirements\.txt"):
        FORMATS["github"](request_for(command=installed("inv")))


def test_a_workflow_installs_what_the_project_uses() -> None:
    """A checkout's launcher sets itself up; without one, the tasks are installed first."""
    [own] = FORMATS["github"](request_for()).files.values()
    assert "pip install" not in own
    command = installed("inv", install="pip install -r requirements.txt")
    [text] = FORMATS["github"](request_for(command=command, push=True)).files.values()
    steps = re.findall(r"run: ([^|\n].*)", text)
    assert steps == [
        "pip install -r requirements.txt",
        "inv qdrant.snapshot.create snapshot.push --all",
        "inv qdrant.snapshot.test-restore --junit test-results/restore.xml",
        "inv snapshot.push --all",
        "inv report --output test-results/report.html",
    ]
