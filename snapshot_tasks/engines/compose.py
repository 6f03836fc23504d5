"""Qdrant under Docker Compose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from snapshot_tasks.domain.endpoint import Mount
from snapshot_tasks.domain.findings import Finding
from snapshot_tasks.engines.base import (
    Address,
    DownPlan,
    EngineStatus,
    FreshRequest,
    FreshServer,
    changed_since,
)
from snapshot_tasks.engines.compose_address import address_of
from snapshot_tasks.engines.compose_checks import check_docker, check_document, check_leftovers
from snapshot_tasks.engines.compose_client import must
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
from snapshot_tasks.engines.compose_first_start import version_if_empty
from snapshot_tasks.engines.compose_project import ComposeProject, docker
from snapshot_tasks.engines.compose_stack import candidates
from snapshot_tasks.engines.compose_start import ComposeStart
from snapshot_tasks.engines.compose_versions import forget, remember, upgrade_by_new
from snapshot_tasks.settings import Settings
from snapshot_tasks.system.progress import Progress


class ComposeEngine:
    """Runs the Qdrant service of the project's compose file, or else of this package's."""

    name = "compose"
    manages_server = True
    needs_host_tmp = True

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._project = ComposeProject(settings)

    def up(self, *, timeout_seconds: float, progress: Progress) -> None:
        """Start the service and wait until it is ready; a container that exists is kept as it is.

        Raises:
            SettingsError: if the service cannot be reached, or a port is in use.
        """
        ComposeStart(self._project, progress, timeout_seconds=timeout_seconds).up()

    def starts_empty(self) -> str:
        """Return the version in the service's image, if it has no data yet."""
        return version_if_empty(self._project.stack, docker_state(self._project.whole))

    def up_with(
        self, load: Mapping[str, Path], *, timeout_seconds: float, progress: Progress
    ) -> None:
        """Start it; a container of its own restores these snapshots first, if there are any."""
        start = ComposeStart(self._project, progress, timeout_seconds=timeout_seconds)
        if load:
            start.up_with(load)
        start.up()

    def plan_down(self, *, delete_data: bool, for_good: bool) -> DownPlan:
        """Return the containers of Qdrant and our services beside it, and Qdrant's volumes."""
        stack = self._project.whole
        state = docker_state(stack, for_good=for_good)
        return plan_down(stack, state, delete_data=delete_data, for_good=for_good)

    def down(self, plan: DownPlan) -> None:
        """Stop these containers; the other services of the stack are never touched."""
        state = docker_state(self._project.whole, for_good=plan.for_good)
        now = plan_down(
            self._project.whole, state, delete_data=plan.delete_data, for_good=plan.for_good
        )
        if now != plan.checked():
            raise changed_since()
        remember(self._project, self._project.container())
        carry_out(plan, state)
        forget(self._project, plan.deletes)

    def restart(self, *, recreate: bool, timeout_seconds: float, progress: Progress) -> None:
        """Stop and start the container; with `recreate`, replace it by one of the same volumes."""
        start = ComposeStart(self._project, progress, timeout_seconds=timeout_seconds)
        start.restart(recreate=recreate)

    def changes(self) -> tuple[str, ...]:
        """Return what another container would have, old → new."""
        return self._project.changes(self._project.container())

    def upgrade(self, *, recreate: bool) -> str:
        """Return what a new container does to the version of the data; one that exists is kept."""
        container = self._project.container()
        return upgrade_by_new(self._project, container) if recreate or not container else ""

    def address(self) -> Address | None:
        """Return what the compose file says, if it does not get that from the settings."""
        project, settings = self._project, self._settings.engine
        if project.files.is_own:
            return None
        named = settings.compose_service or candidates(project.whole_document)
        if settings.live == "auto" and not named:
            # Nobody said that this file has to do with Qdrant.
            return None
        return address_of(project.whole, project.ask_port)

    def status(self) -> EngineStatus:
        """Return whether the service is running, in Compose's own words."""
        listing = must(self._project.run("ps", "--format", "{{.Service}}: {{.Status}}"))
        lines = [line for line in listing.stdout.splitlines() if line]
        running = any(line.startswith(f"{self._project.whole.name}: Up") for line in lines)
        return EngineStatus(running=running, detail="; ".join(lines) or "no container is running")

    def logs(self, *, service: str, tail: int) -> list[str]:
        """Return the last lines of the log of one service, or of all services."""
        one = self._project.one(service)
        arguments = ("logs", "--no-color", "--tail", str(tail), *one)
        return must(self._project.run(*arguments)).stdout.splitlines()

    def follow_logs(self, take: Callable[[str], None], *, service: str, tail: int) -> None:
        """Pass on the log, line by line as it grows, until interrupted."""
        one = self._project.one(service)
        self._project.run_lines(take, "logs", "--no-color", "--follow", "--tail", str(tail), *one)

    def mounts(self) -> tuple[Mount, ...]:
        """Return the path at which the service sees the snapshot folder."""
        return snapshot_mounts(self._project.stack.service, self._settings.snapshot_dir)

    def exposed_at(self) -> str:
        """Return the addresses beyond this machine on which the service is published."""
        return exposed_ports(self._project.stack.service)

    def free_bytes(self) -> int | None:
        """Return the free space of the container's storage, as reported by its own `df`."""
        df = ("df", "--output=avail", "-B1", STORAGE)
        answer = self._project.run("exec", "-T", self._project.stack.name, *df)
        words = answer.stdout.split()
        return int(words[-1]) if answer.ok and words and words[-1].isdigit() else None

    def check_tools(self) -> Iterator[Finding]:
        """Check whether Docker Compose can be used."""
        yield from check_docker()

    def check_configuration(self) -> Iterator[Finding]:
        """Find problems in the compose file that break backups or restores."""
        is_packaged = bool(self._project.files.options)
        folder = self._settings.snapshot_dir
        yield from check_document(self._project.stack.service, folder, is_packaged=is_packaged)

    def check_leftovers(self) -> Iterator[Finding]:
        """Report what killed or kept drills have left in Docker."""
        yield from check_leftovers()

    @contextmanager
    def fresh(self, request: FreshRequest, progress: Progress) -> Iterator[FreshServer]:
        """Run an empty Qdrant, or a cluster of several, with its own project name and volumes."""
        stack = self._project.stack
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
        stack = self._project.stack
        image = image_for(stack.service, version)
        if docker("image", "inspect", "--format", "{{.Id}}", image).ok:
            return version, ""
        with progress.phase(f"pulling {image}"):
            pulled = docker("pull", "--quiet", image)
        if pulled.ok:
            return version, ""
        used = self._settings.engine.version
        failed = f"{image} could not be pulled ({pulled.last_words})"
        is_here = docker("image", "inspect", image_for(stack.service, used)).ok
        if is_built(stack.service) and not is_here:
            raise not_to_be_had(stack.name, failed)
        return used, f"{failed}, so {used} was used"
