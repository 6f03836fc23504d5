"""Starts and restarts the Qdrant service of a compose file, and waits until it is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.engines.compose_address import (
    address_of,
    check_publishes,
    fixed_ports,
    published_at,
)
from snapshot_tasks.engines.compose_changes import bound_ports
from snapshot_tasks.engines.compose_client import (
    COMMAND_SECONDS,
    check_alive,
    check_container,
    must,
)
from snapshot_tasks.engines.compose_first_start import container_name, first_start_argv
from snapshot_tasks.engines.compose_project import ComposeProject, docker
from snapshot_tasks.engines.compose_stack import JsonObject, Stack
from snapshot_tasks.engines.compose_versions import remember, upgrade_by_new
from snapshot_tasks.engines.ports import check_free
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.progress import Progress


class ComposeStart:
    """One start of the service. It waits up to `timeout_seconds` for Qdrant to become ready."""

    def __init__(
        self, project: ComposeProject, progress: Progress, *, timeout_seconds: float
    ) -> None:
        self._project = project
        self._settings = project.settings
        self._progress = progress
        self._timeout_seconds = timeout_seconds

    def up(self) -> None:
        """Start the service; a container that exists is kept as it is.

        Raises:
            SettingsError: if the service cannot be reached, or a port is in use.
            Refused: if the version does not fit the data.
        """
        stack, container = self._project.stack, self._project.container()
        self._check_reachable(stack)
        self._settings.snapshot_dir.mkdir(parents=True, exist_ok=True)
        if changes := self._project.changes(container):
            self._progress.note(
                f"The container of {stack.name} stays as it was created. Not applied:"
                f" {'; '.join(changes)}. To apply this, run `inv stack.restart --recreate`."
            )
        if container is None and (upgrade := upgrade_by_new(self._project, None)):
            self._progress.note(f"Going to {upgrade}.")
        # Beside a running one, Compose would start again what it depends on, such as a container
        # that runs once and has ended.
        if stopped := tuple(self._stopped()):
            with self._progress.phase("starting the stack"):
                must(self._project.run("up", "--detach", "--no-recreate", *stopped))
        self._wait()

    def _stopped(self) -> Iterator[str]:
        """Yield each service that is to be started. Raises `SettingsError` for a port in use."""
        for node in self._project.nodes:
            container = self._project.container(node.name)
            if not _is_running(container):
                ports = bound_ports(container) if container else fixed_ports(node.service)
                check_free(self._remedies(node, ports))
                yield node.name

    def up_with(self, load: Mapping[str, Path]) -> None:
        """Start it in a container of its own that restores these snapshots and is then removed."""
        stack = self._project.stack
        self._check_reachable(stack)
        check_free(self._remedies(stack, fixed_ports(stack.service)))
        container = container_name(stack)
        try:
            with self._progress.phase("starting Qdrant with what it only restores at the start"):
                must(self._project.run(*first_start_argv(stack, container, load)))
                self._wait_ready(lambda: check_container(container))
        finally:
            with process.shielded():
                docker("stop", "--time", "60", container)
                docker("rm", "--force", container)

    def restart(self, *, recreate: bool) -> None:
        """Stop and start the container; with `recreate`, replace it by one of the same volumes."""
        container = self._project.container()
        if container and recreate:
            self._recreate(container)
            return
        if container:
            with self._progress.phase("restarting the container"):
                must(self._project.run("restart", "--no-deps", self._project.stack.name))
        self.up()

    def _recreate(self, container: JsonObject) -> None:
        stack = self._project.stack
        self._check_reachable(stack)
        bound = bound_ports(container) if _is_running(container) else ()
        wanted = tuple(port for port in fixed_ports(stack.service) if port not in bound)
        check_free(self._remedies(stack, wanted))
        upgrade = upgrade_by_new(self._project, container)
        for change in (*self._project.changes(container), *((upgrade,) if upgrade else ())):
            self._progress.note(f"applying: {change}")
        options = ("--detach", "--no-deps", "--force-recreate")
        with self._progress.phase("replacing the container"):
            must(self._project.run("up", *options, stack.name))
        self._wait()

    def _wait(self) -> None:
        with self._progress.phase("waiting for Qdrant"):
            check = partial(check_alive, self._project.run, self._project.stack.name)
            version = self._wait_ready(check)
        remember(self._project, self._project.container(), version)

    def _wait_ready(self, check: Callable[[], None]) -> str:
        """Return the server's version."""
        url = self._url()
        with Server(Endpoint(url=url), operation_timeout_seconds=COMMAND_SECONDS) as server:
            server.wait_ready(self._timeout_seconds, check=check)
            return server.version()

    def _url(self) -> str:
        """Return where the started container should respond. Raises if it is elsewhere."""
        stack, ask = self._project.stack, self._project.ask_port
        url = address_of(stack, ask).url if self._project.is_located else self._settings.qdrant.url
        wanted, found = urlsplit(url), published_at(stack.service, ask)
        if found and found[1] != wanted.port:
            listens_at = f"{wanted.scheme}://{found[0]}:{found[1]}"
            raise SettingsError(
                f"The container of {stack.name} listens at {listens_at}, not at {url}.",
                hint="Run `inv stack.restart --recreate` to apply the settings to it, or set"
                f" QDRANT_URL to {listens_at}.",
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
        is_own = self._project.files.is_own
        return {
            port: f"set {names[port]} to a free port"
            if is_own and port in names
            else f"change services.{stack.name}.ports in the compose file"
            for port in ports
        }


def _is_running(container: JsonObject | None) -> bool:
    return container is not None and bool(container["State"]["Running"])
