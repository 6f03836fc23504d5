"""Runs Qdrant as a process of this machine, without Docker."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from snapshot_tasks.domain.endpoint import Mount
from snapshot_tasks.domain.findings import Finding, fail, ok, warn
from snapshot_tasks.engines.arguments import load_argv
from snapshot_tasks.engines.base import (
    DownPlan,
    EngineStatus,
    FreshRequest,
    FreshServer,
    changed_since,
)
from snapshot_tasks.engines.binary import binary_version, find_binary, live_binary, obtain_binary
from snapshot_tasks.engines.native_drill import fresh_native
from snapshot_tasks.engines.native_process import NativeProcess, readable_mounts, wait_ready
from snapshot_tasks.engines.ports import check_ports
from snapshot_tasks.engines.storage_version import StorageVersions, upgrade_of
from snapshot_tasks.settings import Settings
from snapshot_tasks.system import files, process
from snapshot_tasks.system.errors import NotFound, Refused
from snapshot_tasks.system.files import PRIVATE, PRIVATE_FOLDER, storage_errors, write_text
from snapshot_tasks.system.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    """The live server, as recorded in its state file."""

    pid: int
    started_at: float
    version: str
    http_port: int
    grpc_port: int


class NativeEngine:
    """Runs Qdrant as a process that keeps running after the `inv` that started it."""

    name = "native"
    manages_server = True
    needs_host_tmp = False

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._home = settings.project_root / ".qdrant"
        self._state_path = self._home / "server.json"
        self._log_path = self._home / "qdrant.log"

    def up(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Start the live server if it is not running; wait until it is ready."""
        self.up_with({}, timeout_seconds=timeout_seconds, progress=progress)

    def starts_empty(self) -> str:
        """Return the version that is here or would be installed, if there is no data yet."""
        settings = self._settings
        if self._running() or any((self._home / "storage" / "collections").glob("*")):
            return ""
        binary = settings.engine.binary or find_binary(settings, settings.engine.version)
        return (binary_version(binary) or "") if binary else settings.engine.version

    def up_with(
        self, load: Mapping[str, Path], *, timeout_seconds: float, progress: Progress
    ) -> None:
        """Start the live server if it is not running, with these snapshots if there are any."""
        running = self._running()
        if running is None:
            check_ports(self._settings)
            binary = live_binary(self._settings, progress)
            if upgrade := self._upgrade_to(binary_version(binary) or ""):
                progress.note(f"Going to {upgrade}.")
            with storage_errors(self._home):
                self._home.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
                self._home.chmod(PRIVATE_FOLDER)
                running = self._start(binary, load)
        with progress.phase(f"waiting for Qdrant {running.version}"):
            url = f"http://localhost:{running.http_port}"
            wait_ready(url, running.pid, self._log_path, timeout_seconds)
        self._versions.remember(self._storage, running.version)

    def plan_down(self, *, delete_data: bool, for_good: bool) -> DownPlan:
        """Return the process and the folder of the server at `QDRANT_URL`.

        Raises:
            Refused: if this project's server listens elsewhere.
        """
        running, port = self._running(), self._settings.engine.http_port
        if running and running.http_port != port:
            raise Refused(
                f"No Qdrant of this project runs at {self._settings.engine.url}; its own listens "
                f"on port {running.http_port}. Nothing was stopped.",
                hint=f"Set QDRANT_URL to http://localhost:{running.http_port} to act on that one.",
            )
        deletes = delete_data and self._home.exists()
        return DownPlan(
            delete_data=delete_data,
            for_good=for_good,
            stops=(f"process {running.pid}",) if running else (),
            deletes=(f"folder {self._home}",) if deletes else (),
        )

    def down(self, plan: DownPlan) -> None:
        """Stop the live server: interrupt, terminate, kill."""
        if self.plan_down(delete_data=plan.delete_data, for_good=plan.for_good) != plan:
            raise changed_since()
        self._stop()
        if plan.deletes:
            with storage_errors(self._home):
                shutil.rmtree(self._home)

    def _stop(self) -> None:
        if running := self._running():
            self._versions.remember(self._storage, running.version)
            process.stop(running.pid)
        self._state_path.unlink(missing_ok=True)

    def restart(self, *, recreate: bool, timeout_seconds: float, progress: Progress) -> None:
        """Stop and start the live server.

        Raises:
            Refused: if another version would start, and that was not asked for or does not fit.
        """
        changes = self.changes()
        if changes and not recreate:
            raise Refused(
                f"A restart would change the server: {'; '.join(changes)}. Nothing was stopped.",
                hint="Pass `--recreate` to change it, or set QDRANT_VERSION to what runs.",
            )
        self.upgrade(recreate=recreate)
        for change in changes:
            progress.note(change)
        self._stop()
        self.up(timeout_seconds=timeout_seconds, progress=progress)

    def changes(self) -> tuple[str, ...]:
        """Return the version that another start would change."""
        running, wanted = self._running(), self._wanted()
        if running is None or running.version == wanted:
            return ()
        return (f"Qdrant {running.version} → {wanted}",)

    def upgrade(self, *, recreate: bool) -> str:
        """Return what the next start of another version does to the data."""
        return "" if self._running() and not recreate else self._upgrade_to(self._wanted())

    def _wanted(self) -> str:
        settings = self._settings
        binary = settings.engine.binary or find_binary(settings, settings.engine.version)
        return (binary_version(binary) if binary else None) or settings.engine.version

    def _upgrade_to(self, version: str) -> str:
        """Return what this version does to the data. Raises `Refused` if it does not fit."""
        if not (self._home / "storage").exists():
            return ""
        running = self._running()
        last = running.version if running else self._versions.last(self._storage)
        return upgrade_of(self._storage, last, version)

    @property
    def _storage(self) -> str:
        return f"folder {self._home / 'storage'}"

    @property
    def _versions(self) -> StorageVersions:
        return StorageVersions(home=self._home)

    def address(self) -> None:
        """Return nothing: the settings decide where it listens."""
        return

    def status(self) -> EngineStatus:
        """Return whether the live server is running, and as which process."""
        running = self._running()
        if running is None:
            detail = "no native Qdrant started by this project is running"
            return EngineStatus(running=False, detail=detail)
        detail = f"Qdrant {running.version}, process {running.pid}, log {self._log_path}"
        return EngineStatus(running=True, detail=detail)

    def logs(self, *, service: str, tail: int) -> list[str]:
        """Return the last lines of the log; `service` is only for Compose and is ignored here."""
        return files.tail(self._log_path, tail)

    def follow_logs(self, take: Callable[[str], None], *, service: str, tail: int) -> None:
        """Pass on the log, line by line as it grows, until interrupted."""
        if not self._log_path.exists():
            raise NotFound(
                f"The log {self._log_path} does not exist yet.", hint="Run `inv stack.up`."
            )
        process.run_lines(("tail", "-n", str(tail), "-F", str(self._log_path)), take)

    def mounts(self) -> tuple[Mount, ...]:
        """Return the snapshot folder, if this version can read files from any path."""
        running = self._running()
        return readable_mounts(self._settings.snapshot_dir, running.version) if running else ()

    def exposed_at(self) -> str:
        """Return nothing: it listens on this machine only."""
        return ""

    def free_bytes(self) -> int | None:
        """Return the free space of the disk with the live server's data."""
        return shutil.disk_usage(self._home).free if self._home.is_dir() else None

    def check_tools(self) -> Iterator[Finding]:
        """Check whether there is a binary that runs."""
        settings = self._settings
        binary = settings.engine.binary or find_binary(settings, settings.engine.version)
        if binary is None:
            message = f"no Qdrant {settings.engine.version} on this machine yet"
            yield warn("binary", message, "Run `inv engine.install`.")
        elif (found := binary_version(binary)) is None:
            yield fail("binary", f"{binary} does not run", "Correct QDRANT_BINARY.")
        else:
            yield ok("binary", f"{binary}, version {found}")

    def check_configuration(self) -> Iterator[Finding]:
        """Yield nothing: this project configures the server itself."""
        yield from ()

    def check_leftovers(self) -> Iterator[Finding]:
        """Yield nothing: the next run removes what a killed drill has left."""
        yield from ()

    @contextmanager
    def fresh(self, request: FreshRequest, progress: Progress) -> Iterator[FreshServer]:
        """Run an empty Qdrant in a temporary folder on free ports."""
        binary, version, note = self._binary_for(request.version, progress)
        with fresh_native(binary, version, note, request, self._settings) as server:
            yield server

    def _binary_for(self, version: str, progress: Progress) -> tuple[Path, str, str]:
        """Return a binary of that version, or else the configured one and a note about it."""
        wanted = find_binary(self._settings, version)
        if wanted:
            return wanted, version, ""
        try:
            return obtain_binary(self._settings, version, progress), version, ""
        except NotFound as missing:
            configured = self._settings.engine.binary or find_binary(
                self._settings, self._settings.engine.version
            )
            if configured is None:
                raise
            used = binary_version(configured) or "of an unknown version"
            note = f"Qdrant {version} is not available here ({missing}), so {used} was used"
            return configured, used, note

    def _start(self, binary: Path, load: Mapping[str, Path]) -> _Running:
        settings = self._settings
        version = binary_version(binary) or "unknown"
        server = NativeProcess(
            binary=binary,
            home=self._home,
            log=self._log_path,
            http_port=settings.engine.http_port,
            grpc_port=settings.engine.grpc_port,
            api_key=settings.qdrant.api_key,
        )
        # A signal between these two steps would leave a server that no later `inv` knows about.
        with process.shielded():
            pid = server.spawn(
                tuple(
                    argument
                    for collection, path in load.items()
                    for argument in load_argv((path.name, collection), path.parent.resolve())
                )
            )
            running = _Running(
                pid=pid,
                started_at=process.started_at(pid) or 0.0,
                version=version,
                http_port=settings.engine.http_port,
                grpc_port=settings.engine.grpc_port,
            )
            write_text(self._state_path, json.dumps(asdict(running)) + "\n", mode=PRIVATE)
        return running

    def _running(self) -> _Running | None:
        """Return the live server if the process in the state file is still the same process."""
        try:
            running = _Running(**json.loads(self._state_path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None
        same = process.started_at(running.pid) == running.started_at
        return running if same else None
