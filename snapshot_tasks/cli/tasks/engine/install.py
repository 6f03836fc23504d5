"""`inv engine.install`: the native Qdrant binary."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.console import tell
from snapshot_tasks.cli.flags import wrong_value


@command("engine.install", help={"version": "The version to download; default: QDRANT_VERSION."})
def install(run: Run, version: str = "") -> Outcome:
    """Download the native Qdrant binary into this user's cache, and check its SHA-256."""
    from snapshot_tasks.domain.versions import DEFAULT_VERSION, is_version
    from snapshot_tasks.engines.binary import cached_binary, find_binary
    from snapshot_tasks.engines.install import install as fetch

    wanted = version.removeprefix("v") or run.settings.engine.version
    if not is_version(wanted):
        raise wrong_value("version", version, expected=f"a version such as {DEFAULT_VERSION}")
    target = cached_binary(wanted)
    if run.dry:
        return run.would(f"download Qdrant {wanted} to {target}")
    found = find_binary(run.settings, wanted)
    binary = found or fetch(wanted, target, run.settings, run.progress)
    state = "is already installed" if found else "installed"
    return Outcome(
        result={"version": wanted, "path": str(binary), "installed": found is None},
        render=lambda: tell(f"Qdrant {wanted} {state}: {binary}"),
    )
