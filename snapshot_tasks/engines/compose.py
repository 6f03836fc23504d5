"""Qdrant under Docker Compose."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.engines.base import (
    Address,
    DownPlan,
    EngineStatus,
    FreshRequest,
    FreshServer,
    changed_since,
)
from snapshot_tasks.engines.compose_address import (
    address_of,
    check_publishes,
    fixed_ports,
    published_port,
)
from snapshot_tasks.engines.compose_changes import bound_ports, changes
from snapshot_tasks.engines.compose_checks import check_docker, check_document, check_leftovers
from snapshot_tasks.engines.compose_client import (
    COMMAND_SECONDS,
    check_alive,
    check_container,
    compose_argv,
    compose_version,
    must,
    no_docker,
)
from snapshot_tasks.engines.compose_document import (
    STORAGE,
    exposed_ports,
    image_for,
    is_built,
    not_to_be_had,
    snapshot_mounts,
)
from snapshot_tasks.engines.compose_down import carry_out, docker_state, plan_down
from snapshot_tasks.engines.compose_drill import drill_server
from snapshot_tasks.engines.compose_files import ComposeFiles, compose_files, key_environment
from snapshot_tasks.engines.compose_first_start import (
    container_name,
    first_start_argv,
    version_if_empty,
)
from snapshot_tasks.engines.compose_stack import JsonObject, Stack, candidates, find_stack
from snapshot_tasks.engines.ports import check_free
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.settings import Settings
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import NotFound, SettingsError
from snapshot_tasks.system.process import Completed
from snapshot_tasks.system.progress import Progress


class ComposeEngine:
    """Runs the Qdrant service of the project's compose file, or else of this package's."""

    name = "compose"
    manages_server = True
    needs_host_tmp = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def up(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Start the service and wait until it is ready; a container that exists is kept as it is.

        Raises:
            SettingsError: if the service cannot be reached, or a port is in use.
        """
        stack, container = self.stack, self._container()
        self._check_reachable(stack)
        self._settings.snapshot_dir.mkdir(parents=True, exist_ok=True)
        if changes := self._changes(container):
            progress.note(
                f"The container of {stack.name} stays as it was created. Not applied:"
                f" {'; '.join(changes)}. To apply this, run `inv stack.restart --recreate`."
            )
        if not _is_running(container):
            ports = bound_ports(container) if container else fixed_ports(stack.service)
            check_free(self._remedies(stack, ports))
        with progress.phase("starting the stack"):
            must(self._run("up", "--detach", "--no-recreate", stack.name))
        self._wait(timeout_seconds, progress)

    def _wait(self, timeout_seconds: float, progress: Progress) -> None:
        with progress.phase("waiting for Qdrant"):
            self._wait_ready(timeout_seconds, lambda: check_alive(self._run, self.stack.name))

    def _wait_ready(self, timeout_seconds: float, check: Callable[[], None]) -> None:
        url = self._url()
        with Server(Endpoint(url=url), operation_timeout_seconds=COMMAND_SECONDS) as server:
            server.wait_ready(timeout_seconds, check=check)

    def _url(self) -> str:
        """Return where the started container should respond. Raises if it is elsewhere."""
        if self._is_located:
            address = address_of(self.stack, self._ask_port)
            url, port = address.url, address.http_port
        else:
            url, port = self._settings.engine.url, self._settings.engine.http_port
        found = published_port(self.stack.service, self._ask_port)
        if found and found != port:
            raise SettingsError(
                f"The container of {self.stack.name} listens at port {found}, not at {url}.",
                hint="Run `inv stack.restart --recreate` to apply the settings to it, or set"
                f" QDRANT_URL to http://localhost:{found}.",
            )
        return url

    def _check_reachable(self, stack: Stack) -> None:
        port = self._settings.engine.http_port
        # Something else, such as a gateway, may forward an address that is set.
        if self._settings.qdrant.is_default_url or process.port_is_free(port):
            check_publishes(stack)

    def _remedies(self, stack: Stack, ports: tuple[int, ...]) -> dict[int, str]:
        """Return how to change each port that the service publishes."""
        engine = self._settings.engine
        names = {engine.http_port: "QDRANT_HTTP_PORT", engine.grpc_port: "QDRANT_GRPC_PORT"}
        is_own = compose_files(self._settings).is_own
        return {
            port: f"set {names[port]} to a free port"
            if is_own and port in names
            else f"change services.{stack.name}.ports in the compose file"
            for port in ports
        }

    def starts_empty(self) -> str:
        """Return the version in the service's image, if it has no data yet."""
        return version_if_empty(self.stack, docker_state(self._whole))

    def up_with(
        self, load: Mapping[str, Path], *, timeout_seconds: float, progress: Progress
    ) -> None:
        """Start it; a container of its own restores these snapshots first, if there are any."""
        if load:
            self._start_once_with(load, timeout_seconds, progress)
        self.up(timeout_seconds=timeout_seconds, progress=progress)

    def _start_once_with(
        self, load: Mapping[str, Path], timeout_seconds: float, progress: Progress
    ) -> None:
        stack = self.stack
        self._check_reachable(stack)
        check_free(self._remedies(stack, fixed_ports(stack.service)))
        container = container_name(stack)
        try:
            with progress.phase("starting Qdrant with what it only restores at the start"):
                must(self._run(*first_start_argv(stack, container, load)))
                self._wait_ready(timeout_seconds, lambda: check_container(container))
        finally:
            with process.shielded():
                self._docker("stop", "--time", "60", container)
                self._docker("rm", "--force", container)

    def plan_down(self, *, delete_data: bool) -> DownPlan:
        """Return the containers of Qdrant and of the restore service, and Qdrant's own volumes."""
        stack = self._whole
        return plan_down(stack, docker_state(stack), delete_data=delete_data)

    def down(self, plan: DownPlan) -> None:
        """Stop these containers; the other services of the stack are never touched."""
        stack = self._whole
        state = docker_state(stack)
        if plan_down(stack, state, delete_data=plan.delete_data) != plan.checked():
            raise changed_since()
        carry_out(plan, state)

    def restart(self, *, recreate: bool, timeout_seconds: float, progress: Progress) -> None:
        """Stop and start the container; with `recreate`, replace it by one of the same volumes."""
        stack, container = self.stack, self._container()
        if container is None:
            self.up(timeout_seconds=timeout_seconds, progress=progress)
            return
        if not recreate:
            with progress.phase("restarting the container"):
                must(self._run("restart", "--no-deps", stack.name))
            self.up(timeout_seconds=timeout_seconds, progress=progress)
            return
        self._check_reachable(stack)
        bound = bound_ports(container) if _is_running(container) else ()
        wanted = tuple(port for port in fixed_ports(stack.service) if port not in bound)
        check_free(self._remedies(stack, wanted))
        for change in self._changes(container):
            progress.note(f"applying: {change}")
        with progress.phase("replacing the container"):
            must(self._run("up", "--detach", "--no-deps", "--force-recreate", stack.name))
        self._wait(timeout_seconds, progress)

    def changes(self) -> tuple[str, ...]:
        """Return what another container would have, old → new."""
        return self._changes(self._container())

    def _changes(self, container: JsonObject | None) -> tuple[str, ...]:
        if container is None:
            return ()
        stack = self.stack
        image = str(stack.service.get("image") or f"{stack.project}-{stack.name}")
        found = self._docker("image", "inspect", "--format", "{{.Id}}", image)
        hashed = must(self._run("config", "--hash", stack.name)).stdout.split()
        return changes(
            container,
            stack.service,
            config_hash=hashed[-1] if hashed else "",
            image=image,
            image_id=found.stdout.strip() if found.ok else "",
        )

    def _container(self) -> JsonObject | None:
        """Return the service's container, running or not, as Docker describes it."""
        ids = must(self._run("ps", "--all", "--quiet", self.stack.name)).stdout.split()
        found = self._docker("container", "inspect", ids[0]) if ids else None
        described: list[dict[str, Any]] = json.loads(found.stdout) if found and found.ok else []
        return described[0] if described else None

    def address(self) -> Address | None:
        """Return what the compose file says, if no setting says where Qdrant is."""
        if not self._is_located:
            return None
        settings = self._settings.engine
        document = self._config("--profile", "*")
        if settings.live == "auto" and not (settings.compose_service or candidates(document)):
            # Nobody said that this file has to do with Qdrant.
            return None
        return address_of(self._whole, self._ask_port)

    @property
    def _is_located(self) -> bool:
        return self._settings.qdrant.is_default_url and not compose_files(self._settings).is_own

    def _ask_port(self, inside: int) -> str:
        answer = self._run("--profile", "*", "port", self._whole.name, str(inside))
        return answer.stdout if answer.ok else ""

    def status(self) -> EngineStatus:
        """Return whether the service is running, in Compose's own words."""
        listing = must(self._run("ps", "--format", "{{.Service}}: {{.Status}}"))
        lines = [line for line in listing.stdout.splitlines() if line]
        running = any(line.startswith(f"{self._whole.name}: Up") for line in lines)
        return EngineStatus(running=running, detail="; ".join(lines) or "no container is running")

    def logs(self, *, service: str, tail: int) -> list[str]:
        """Return the last lines of the log of one service, or of all services."""
        arguments = ("logs", "--no-color", "--tail", str(tail), *self._one(service))
        return must(self._run(*arguments)).stdout.splitlines()

    def follow_logs(self, take: Callable[[str], None], *, service: str, tail: int) -> None:
        """Pass on the log, line by line as it grows, until interrupted."""
        arguments = ("logs", "--no-color", "--follow", "--tail", str(tail), *self._one(service))
        files = compose_files(self._settings)
        process.run_lines(
            compose_argv(*files.options, *arguments),
            take,
            cwd=self._settings.project_root,
            env=self._environment(files),
        )

    def mounts(self) -> tuple[Mount, ...]:
        """Return the path at which the service sees the snapshot folder."""
        return snapshot_mounts(self.stack.service, self._settings.snapshot_dir)

    def exposed_at(self) -> str:
        """Return the addresses beyond this machine on which the service is published."""
        return exposed_ports(self.stack.service)

    def free_bytes(self) -> int | None:
        """Return the free space of the container's storage, as reported by its own `df`."""
        answer = self._run("exec", "-T", self.stack.name, "df", "--output=avail", "-B1", STORAGE)
        words = answer.stdout.split()
        return int(words[-1]) if answer.ok and words and words[-1].isdigit() else None

    def check_tools(self) -> Iterator[Finding]:
        """Check whether Docker Compose can be used."""
        yield from check_docker()

    def check_configuration(self) -> Iterator[Finding]:
        """Find problems in the compose file that break backups or restores."""
        is_packaged = bool(compose_files(self._settings).options)
        folder = self._settings.snapshot_dir
        yield from check_document(self.stack.service, folder, is_packaged=is_packaged)

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
    def stack(self) -> Stack:
        """The compose file with its Qdrant service. Raises `SettingsError` without one."""
        return find_stack(self.document, self._settings.engine.compose_service)

    @cached_property
    def _whole(self) -> Stack:
        """The same with the services of all profiles, because their containers may still run."""
        document = self._config("--profile", "*")
        return find_stack(document, self._settings.engine.compose_service)

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
        stack = self.stack
        if is_built(stack.service) and not stack.service.get("image"):
            raise not_to_be_had(stack.name, "no other version is requested")
        version, note = self._version_for(request.version, progress)
        with drill_server(
            stack.service,
            request,
            self._settings,
            version=version,
            version_note=note,
            progress=progress,
        ) as server:
            yield server

    def _version_for(self, version: str, progress: Progress) -> tuple[str, str]:
        """Return a version whose image is available, and a note if it is not the wanted one."""
        service = self.stack.service
        image = image_for(service, version)
        inspected = self._docker("image", "inspect", "--format", "{{.Id}}", image)
        if inspected.ok:
            return version, ""
        with progress.phase(f"pulling {image}"):
            pulled = self._docker("pull", "--quiet", image)
        if pulled.ok:
            return version, ""
        used = self._settings.engine.version
        failed = f"{image} could not be pulled ({pulled.last_words})"
        if is_built(service) and not self._docker("image", "inspect", image_for(service, used)).ok:
            raise not_to_be_had(self.stack.name, failed)
        return used, f"{failed}, so {used} was used"

    def _one(self, service: str) -> tuple[str, ...]:
        """Return the argument for one service, or no argument for all of them."""
        known = sorted(self.document["services"])
        if service and service not in known:
            raise NotFound(
                f"The compose file has no service {service}.",
                hint=f"Its services are {', '.join(known)}.",
            )
        return (service,) if service else ()

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
            **self._settings.compose_environment(is_own_file=files.is_own),
            **key_environment(self._settings, files),
            **files.environment,
        }

    def _docker(self, *arguments: str) -> Completed:
        return process.run(("docker", *arguments), timeout_seconds=COMMAND_SECONDS)


def _is_running(container: JsonObject | None) -> bool:
    return container is not None and bool(container["State"]["Running"])
