"""Qdrant under Docker Compose."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.engines.base import (
    DownPlan,
    EngineStatus,
    FreshRequest,
    FreshServer,
    changed_since,
)
from snapshot_tasks.engines.compose_checks import check_docker, check_document, check_leftovers
from snapshot_tasks.engines.compose_client import (
    COMMAND_SECONDS,
    check_alive,
    compose_argv,
    compose_version,
    must,
    no_docker,
)
from snapshot_tasks.engines.compose_document import (
    SERVICE,
    exposed_ports,
    image_for,
    is_built,
    not_to_be_had,
    qdrant_service,
    snapshot_mounts,
)
from snapshot_tasks.engines.compose_down import carry_out, docker_state, plan_down
from snapshot_tasks.engines.compose_drill import drill_server
from snapshot_tasks.engines.compose_files import ComposeFiles, compose_files, key_environment
from snapshot_tasks.engines.ports import check_ports
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.settings import Settings
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import NotFound, SettingsError
from snapshot_tasks.system.process import Completed
from snapshot_tasks.system.progress import Progress

STORAGE = "/qdrant/storage"


class ComposeEngine:
    """Runs the `qdrant` service of the project's compose file, or else of this package's."""

    name = "compose"
    manages_server = True
    needs_host_tmp = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def up(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Start the service and wait until it is ready; running this again changes nothing."""
        document = self.document
        qdrant_service(document)
        self._settings.snapshot_dir.mkdir(parents=True, exist_ok=True)
        if not self._is_running():
            check_ports(self._settings)
        with progress.phase("starting the stack"):
            must(self._run("up", "--detach", SERVICE))
        with progress.phase("waiting for Qdrant"), self._server() as server:
            server.wait_ready(timeout_seconds, check=lambda: check_alive(self._run))

    def starts_empty(self) -> str:
        """Return nothing: a container would have the snapshots in its command for ever."""
        return ""

    def up_with(
        self, load: Mapping[str, Path], *, timeout_seconds: float, progress: Progress
    ) -> None:
        """Start it without them."""
        self.up(timeout_seconds=timeout_seconds, progress=progress)

    def plan_down(self, *, delete_data: bool) -> DownPlan:
        """Return the containers of Qdrant and of the restore service, and Qdrant's own volumes."""
        document = self._whole
        return plan_down(document, docker_state(document), delete_data=delete_data)

    def down(self, plan: DownPlan) -> None:
        """Stop these containers; the other services of the stack are never touched."""
        document = self._whole
        state = docker_state(document)
        if plan_down(document, state, delete_data=plan.delete_data) != plan.checked():
            raise changed_since()
        carry_out(plan, state)

    def restart(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Stop and start the service; this also applies changed settings."""
        must(self._run("stop", SERVICE))
        self.up(timeout_seconds=timeout_seconds, progress=progress)

    def status(self) -> EngineStatus:
        """Return whether the service is running, in Compose's own words."""
        listing = must(self._run("ps", "--format", "{{.Service}}: {{.Status}}"))
        lines = [line for line in listing.stdout.splitlines() if line]
        running = any(line.startswith(f"{SERVICE}: Up") for line in lines)
        return EngineStatus(running=running, detail="; ".join(lines) or "no container is running")

    def logs(self, *, service: str, tail: int) -> list[str]:
        """Return the last lines of the log of one service, or of all services."""
        arguments = ("logs", "--no-color", "--tail", str(tail), *self._one(service))
        return must(self._run(*arguments)).stdout.splitlines()

    def follow_logs(self, *, service: str, tail: int) -> None:
        """Print the log as it grows, until interrupted."""
        arguments = ("logs", "--follow", "--tail", str(tail), *self._one(service))
        files = compose_files(self._settings)
        process.run_attached(
            compose_argv(*files.options, *arguments),
            cwd=self._settings.project_root,
            env=self._environment(files),
        )

    def mounts(self) -> tuple[Mount, ...]:
        """Return the path at which the service sees the snapshot folder."""
        return snapshot_mounts(self.document, self._settings.snapshot_dir)

    def exposed_at(self) -> str:
        """Return the addresses beyond this machine on which the service is published."""
        return exposed_ports(self.document)

    def free_bytes(self) -> int | None:
        """Return the free space of the container's storage, as reported by its own `df`."""
        answer = self._run("exec", "-T", SERVICE, "df", "--output=avail", "-B1", STORAGE)
        words = answer.stdout.split()
        return int(words[-1]) if answer.ok and words and words[-1].isdigit() else None

    def check_tools(self) -> Iterator[Finding]:
        """Check whether Docker Compose can be used."""
        yield from check_docker()

    def check_configuration(self) -> Iterator[Finding]:
        """Find problems in the compose file that break backups or restores."""
        is_packaged = bool(compose_files(self._settings).options)
        folder = self._settings.snapshot_dir
        yield from check_document(self.document, folder, is_packaged=is_packaged)

    def check_leftovers(self) -> Iterator[Finding]:
        """Report what killed or kept drills have left in Docker."""
        yield from check_leftovers()

    @cached_property
    def document(self) -> dict[str, Any]:
        """The compose file and its overrides, as resolved by Compose.

        Raises:
            SettingsError: if a file is missing or Compose rejects it.
        """
        return self._config()

    @cached_property
    def _whole(self) -> dict[str, Any]:
        """The same with the services of all profiles, because their containers may still run."""
        return self._config("--profile", "*")

    def _config(self, *options: str) -> dict[str, Any]:
        answer = self._run(*options, "config", "--format", "json")
        if not answer.ok:
            if compose_version() is None:
                raise no_docker(answer.last_words)
            raise SettingsError(
                f"Docker Compose rejected the compose file: {answer.last_words}.",
                hint="Run `docker compose config` to see where.",
            )
        document: dict[str, Any] = json.loads(answer.stdout)
        return document

    @contextmanager
    def fresh(self, request: FreshRequest, progress: Progress) -> Iterator[FreshServer]:
        """Run an empty Qdrant with its own project name, volumes and ports."""
        service = qdrant_service(self.document)
        if is_built(service) and not service.get("image"):
            raise not_to_be_had("no other version is requested")
        version, note = self._version_for(request.version, progress)
        with drill_server(
            self.document,
            request,
            self._settings,
            version=version,
            version_note=note,
            progress=progress,
        ) as server:
            yield server

    def _version_for(self, version: str, progress: Progress) -> tuple[str, str]:
        """Return a version whose image is available, and a note if it is not the wanted one."""
        service = qdrant_service(self.document)
        image = image_for(service, version)
        inspected = self._docker("image", "inspect", "--format", "{{.Id}}", image)
        if inspected.ok:
            return version, ""
        with progress.phase(f"pulling {image}"):
            pulled = self._docker("pull", "--quiet", image)
        if pulled.ok:
            return version, ""
        used = self._settings.engine.version
        if is_built(service) and not self._docker("image", "inspect", image_for(service, used)).ok:
            raise not_to_be_had(f"{image} could not be pulled ({pulled.last_words})")
        return used, f"{image} could not be pulled ({pulled.last_words}), so {used} was used"

    def _is_running(self) -> bool:
        listing = must(self._run("ps", "--status", "running", "--quiet", SERVICE))
        return bool(listing.stdout.strip())

    def _one(self, service: str) -> tuple[str, ...]:
        """Return the argument for one service, or no argument for all of them."""
        known = sorted(self.document["services"])
        if service and service not in known:
            raise NotFound(
                f"The compose file has no service {service}.",
                hint=f"Its services are {', '.join(known)}.",
            )
        return (service,) if service else ()

    def _server(self) -> Server:
        endpoint = Endpoint(url=self._settings.engine.url)
        return Server(endpoint, operation_timeout_seconds=COMMAND_SECONDS)

    def _run(self, *arguments: str) -> Completed:
        files = compose_files(self._settings)
        return process.run(
            compose_argv(*files.options, *arguments),
            cwd=self._settings.project_root,
            env=self._environment(files),
            timeout_seconds=self._settings.qdrant.operation_timeout_seconds,
        )

    def _environment(self, files: ComposeFiles) -> dict[str, str]:
        return {
            **self._settings.compose_environment(),
            **key_environment(self._settings, files),
            **files.environment,
        }

    def _docker(self, *arguments: str) -> Completed:
        return process.run(("docker", *arguments), timeout_seconds=COMMAND_SECONDS)
