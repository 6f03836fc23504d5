"""Qdrant under Docker Compose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from snapshot_tasks import process
from snapshot_tasks.engines.base import EngineStatus, FreshRequest, FreshServer
from snapshot_tasks.engines.compose_document import (
    DRILL_SNAPSHOTS,
    KEPT,
    SERVICE,
    drill_document,
    image_for,
    qdrant_service,
    snapshot_mounts,
)
from snapshot_tasks.engines.compose_leftovers import remove_leftovers
from snapshot_tasks.engines.ports import check_ports
from snapshot_tasks.errors import NotFound, SettingsError, TaskError, Unreachable
from snapshot_tasks.models import Endpoint, Mount, Progress
from snapshot_tasks.process import Completed
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.scratch import owner_of, scratch_folder
from snapshot_tasks.settings import Settings

DAEMON_SECONDS = 2.0
COMMAND_SECONDS = 900.0
TEAR_DOWN_ATTEMPTS = 3
DEFAULT_FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")


def compose_argv(*arguments: str) -> tuple[str, ...]:
    """Return the command for the project's own stack."""
    return ("docker", "compose", *arguments)


def drill_argv(project: str, *arguments: str) -> tuple[str, ...]:
    """Return the command for a drill's stack, whose document comes on standard input."""
    return ("docker", "compose", "--project-name", project, "--file", "-", *arguments)


def docker_problem() -> str:
    """Return why Docker Compose cannot be used here, or nothing when it can."""
    daemon = process.run(
        ("docker", "version", "--format", "{{.Server.Version}}"), timeout_seconds=DAEMON_SECONDS
    )
    if not daemon.ok:
        return f"no Docker daemon answered within {DAEMON_SECONDS:g} s ({daemon.last_words})"
    plugin = compose_version()
    return "" if plugin else "Docker answers, but it has no Compose v2"


def compose_version() -> str | None:
    """Return Compose's version, or None where it is missing."""
    answer = process.run(compose_argv("version", "--short"), timeout_seconds=10)
    return answer.stdout.strip() if answer.ok else None


class ComposeEngine:
    """Runs the `qdrant` service of the project's compose file."""

    name = "compose"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def up(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Start the service and wait until it is ready; a second time changes nothing."""
        document = self.document
        qdrant_service(document)
        self._settings.snapshot_dir.mkdir(parents=True, exist_ok=True)
        if not self._is_running():
            check_ports(self._settings)
        with progress.phase("starting the stack"):
            self._must(self._run("up", "--detach", SERVICE))
        with progress.phase("waiting for Qdrant"), self._server() as server:
            server.wait_ready(timeout_seconds, check=lambda: _check_alive(self._run))

    def down(self, *, delete_data: bool) -> None:
        """Stop the whole stack; its volumes stay unless `delete_data`."""
        self._must(self._run("down", *(("--volumes",) if delete_data else ())))

    def restart(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Stop and start the service; this also applies changed settings."""
        self._must(self._run("stop", SERVICE))
        self.up(timeout_seconds=timeout_seconds, progress=progress)

    def status(self) -> EngineStatus:
        """Say whether the service runs, in Compose's own words."""
        listing = self._must(self._run("ps", "--format", "{{.Service}}: {{.Status}}"))
        lines = [line for line in listing.stdout.splitlines() if line]
        running = any(line.startswith(f"{SERVICE}: Up") for line in lines)
        return EngineStatus(running=running, detail="; ".join(lines) or "no container is running")

    def logs(self, *, service: str, tail: int) -> list[str]:
        """Return the last lines of one service's log, or of all."""
        arguments = ("logs", "--no-color", "--tail", str(tail), *self._one(service))
        return self._must(self._run(*arguments)).stdout.splitlines()

    def follow_logs(self, *, service: str, tail: int) -> None:
        """Print the log as it grows, until interrupted."""
        arguments = ("logs", "--follow", "--tail", str(tail), *self._one(service))
        process.run_attached(
            compose_argv(*arguments),
            cwd=self._settings.project_root,
            env=self._settings.compose_environment(),
        )

    def mounts(self) -> tuple[Mount, ...]:
        """Return where the service sees the snapshot folder."""
        return snapshot_mounts(self.document, self._settings.snapshot_dir)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The compose file and its overrides as Compose resolves them.

        Raises:
            SettingsError: when a file is missing or Compose rejects it.
        """
        self._check_files()
        answer = self._run("config", "--format", "json")
        if not answer.ok:
            if compose_version() is None:
                raise _no_docker(answer.last_words)
            raise SettingsError(
                f"Compose rejects the compose file: {answer.last_words}.",
                hint="`docker compose config` shows where.",
            )
        document: dict[str, Any] = json.loads(answer.stdout)
        return document

    @contextmanager
    def fresh(self, request: FreshRequest, progress: Progress) -> Iterator[FreshServer]:
        """Run an empty Qdrant under a project name, volumes and ports of its own.

        First what killed drills have left is removed, and nothing else.
        """
        version, note = self._version_for(request.version, progress)
        # Docker Compose runs in the folder: so it is ended, too, when this run was killed.
        with scratch_folder() as folder:
            for leftover in remove_leftovers():
                progress.note(f"Removed what a killed run had left: {leftover}.")
            owner = KEPT if request.keep else owner_of(folder)
            yield from self._fresh_in(folder, owner, version, note, request, progress)

    def _fresh_in(
        self,
        folder: Path,
        owner: str,
        version: str,
        note: str,
        request: FreshRequest,
        progress: Progress,
    ) -> Iterator[FreshServer]:
        project = f"qdrant-drill-{folder.name}"
        http_port, grpc_port = process.free_ports(2)
        document = json.dumps(
            drill_document(
                self.document,
                version=version,
                http_port=http_port,
                grpc_port=grpc_port,
                api_key=self._settings.api_key,
                folder=request.folder,
                owner=owner,
            )
        )
        endpoint = Endpoint(
            url=f"http://localhost:{http_port}",
            api_key=self._settings.api_key,
            grpc_port=grpc_port,
            answer_seconds=self._settings.answer_timeout_seconds,
            mounts=(Mount(host_dir=request.folder, server_dir=DRILL_SNAPSHOTS),),
        )

        def run(*arguments: str) -> Completed:
            return process.run(
                drill_argv(project, *arguments),
                cwd=folder,
                stdin=document,
                timeout_seconds=self._settings.operation_timeout_seconds,
            )

        def wait() -> None:
            with Server(endpoint, operation_timeout_seconds=COMMAND_SECONDS) as server:
                server.wait_ready(
                    self._settings.ready_timeout_seconds,
                    hint="`inv doctor` checks the compose file.",
                    check=lambda: _check_alive(run),
                )

        def restart() -> None:
            self._must(run("restart", SERVICE))
            wait()

        started = False
        try:
            self._must(run("up", "--detach"))
            wait()
            started = True
            yield FreshServer(
                endpoint=endpoint,
                version_note=note,
                restart=restart,
                removal=lambda: _removal(project),
            )
        finally:
            if not (started and request.keep):
                with process.shielded():
                    _tear_down(project, run, progress)

    def _version_for(self, version: str, progress: Progress) -> tuple[str, str]:
        """Return the version whose image can be had, and a note where it is not the wanted one."""
        service = qdrant_service(self.document)
        image = image_for(service, version)
        inspected = self._docker("image", "inspect", "--format", "{{.Id}}", image)
        if inspected.ok:
            return version, ""
        with progress.phase(f"pulling {image}"):
            pulled = self._docker("pull", "--quiet", image)
        if pulled.ok:
            return version, ""
        used = self._settings.version
        return used, f"{image} cannot be had here ({pulled.last_words}); used {used}"

    def _check_files(self) -> None:
        root = self._settings.project_root
        missing = [path for path in self._settings.compose_files if not path.is_file()]
        if missing:
            raise SettingsError(
                f"COMPOSE_FILE names {missing[0]}, which is not there.",
                hint="Correct COMPOSE_FILE, or unset it to use docker-compose.yml.",
            )
        if not self._settings.compose_files and not any(
            (root / name).is_file() for name in DEFAULT_FILES
        ):
            raise SettingsError(
                f"There is no compose file in {root}.",
                hint="Restore docker-compose.yml, set COMPOSE_FILE, or set QDRANT_ENGINE=native.",
            )

    def _is_running(self) -> bool:
        listing = self._must(self._run("ps", "--status", "running", "--quiet", SERVICE))
        return bool(listing.stdout.strip())

    def _one(self, service: str) -> tuple[str, ...]:
        """Return the argument for one service, or none for all of them."""
        known = sorted(self.document["services"])
        if service and service not in known:
            raise NotFound(
                f"The compose file has no service {service}.", hint=f"It has {', '.join(known)}."
            )
        return (service,) if service else ()

    def _server(self) -> Server:
        endpoint = Endpoint(url=self._settings.engine_url)
        return Server(endpoint, operation_timeout_seconds=COMMAND_SECONDS)

    def _run(self, *arguments: str) -> Completed:
        self._check_files()
        return process.run(
            compose_argv(*arguments),
            cwd=self._settings.project_root,
            env=self._settings.compose_environment(),
            timeout_seconds=self._settings.operation_timeout_seconds,
        )

    def _docker(self, *arguments: str) -> Completed:
        return process.run(("docker", *arguments), timeout_seconds=COMMAND_SECONDS)

    @staticmethod
    def _must(done: Completed) -> Completed:
        if done.ok:
            return done
        problem = docker_problem()
        if problem:
            raise _no_docker(problem)
        raise Unreachable(
            f"Docker Compose failed: {done.last_words}.",
            hint="`docker compose ps -a` and `inv stack.logs` show more.",
        )


def _check_alive(run: Callable[..., Completed]) -> None:
    """Raise `Unreachable` with its last words when the container has ended before it was ready."""
    state = run("ps", "--all", "--format", "{{.State}}", SERVICE).stdout.split()
    if state and state[0] in ("exited", "dead", "restarting"):
        words = run("logs", "--no-color", "--no-log-prefix", "--tail", "3", SERVICE)
        last = " ".join((words.stdout + words.stderr).split())[-400:] or "no word"
        raise Unreachable(
            f"Qdrant ended while starting: {last}",
            hint="`docker compose config` shows what it was started with.",
        )


def _removal(project: str) -> str:
    return f"docker compose -p {project} down --volumes"


def _tear_down(project: str, run: Callable[..., Completed], progress: Progress) -> None:
    """Remove everything of a drill; what resists is told, and hides no error before it."""
    for _ in range(TEAR_DOWN_ATTEMPTS):
        done = run("down", "--volumes", "--remove-orphans", "--timeout", "0")
        if done.ok:
            return
    progress.note(f"Left behind: {done.last_words}. Remove it with: {_removal(project)}")


def _no_docker(problem: str) -> TaskError:
    return Unreachable(
        f"Docker cannot be used: {problem}.",
        hint="Start Docker, or set QDRANT_ENGINE=native to run Qdrant without it.",
    )
