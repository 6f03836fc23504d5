"""A real systemd that runs real units, in separate namespaces, away from the machine's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import missing
from tools.tasks.needs import SYSTEMD

# It sees only its own processes and mounts; of /etc and /run, only the units and Docker.
_START = """
set -eu
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /etc/systemd/system
if [ "$2" ]; then
  mount -t tmpfs tmpfs /mnt
  touch /mnt/docker.sock
  mount --bind "$2" /mnt/docker.sock
fi
mount -t tmpfs tmpfs /run
if [ "$2" ]; then
  touch /run/docker.sock
  mount --move /mnt/docker.sock /run/docker.sock
fi
mount -t cgroup2 cgroup2 /sys/fs/cgroup
cp -r "$1"/. /etc/systemd/system
exec env container=docker /lib/systemd/systemd --system --unit=all.target
"""
_ENTER = """
set -eu
echo $$ > "$1"/cgroup.procs
what="--mount --pid --ipc --uts --cgroup"
if [ -z "$4" ]; then what="$what --net"; fi
exec unshare $what --fork --kill-child /bin/sh -c "$2" sh "$3" "$4"
"""


def need_systemd() -> None:
    """Skip on a laptop, where only root can start one; fail in CI."""
    if os.geteuid() or not SYSTEMD.exists() or _cgroups() is None:
        missing("no systemd that may be started here (root, systemd, cgroup2)")


@contextmanager
def booted(
    units: Path, log: Path, wanted: Mapping[str, str], *, docker: bool = False
) -> Iterator[None]:
    """Start the given units, each with lines added to it, in a separate systemd.

    With Docker, they share the machine's network, because containers publish their ports there.
    """
    for name, lines in wanted.items():
        folder = units / f"{name}.d"
        folder.mkdir()
        (folder / "test.conf").write_text(
            f"[Unit]\nDefaultDependencies=no\n[Service]\n{lines}\n", encoding="utf-8"
        )
    bare = "[Unit]\nDefaultDependencies=no\n"
    (units / "network-online.target").write_text(bare, encoding="utf-8")
    (units / "all.target").write_text(f"{bare}Wants={' '.join(wanted)}\n", encoding="utf-8")
    cgroups = _cgroups()
    assert cgroups is not None
    group = cgroups / f"qdrant-snapshot-tests-{os.getpid()}"
    group.mkdir()
    socket = str(Path("/var/run/docker.sock").resolve()) if docker else ""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ("/bin/sh", "-c", _ENTER, "sh", str(group), _START, str(units), socket),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()
        _remove(group)


def _cgroups() -> Path | None:
    """Return where the second version of control groups is mounted, if it is."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def _remove(group: Path) -> None:
    """Remove a control group and those below it, once the processes in them have ended."""
    from tests.support.world import wait_until

    def gone() -> bool:
        for folder, _, _ in os.walk(group, topdown=False):
            with suppress(OSError):
                Path(folder).rmdir()
        return not group.exists()

    wait_until(gone)


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `systemd-analyze`, which reads units and calendars without a running systemd."""
    if shutil.which("systemd-analyze") is None:
        missing("no systemd-analyze on this machine")
    return subprocess.run(
        ("systemd-analyze", *arguments), capture_output=True, text=True, check=False
    )
