"""The project's compose file, and what Compose and Docker say about its Qdrant."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from snapshot_tasks.engines.compose_address import fixed_ports
from snapshot_tasks.engines.compose_changes import changes
from snapshot_tasks.engines.compose_client import (
    COMMAND_SECONDS,
    compose_argv,
    compose_version,
    must,
    no_docker,
)
from snapshot_tasks.engines.compose_files import ComposeFiles, compose_files, key_environment
from snapshot_tasks.engines.compose_stack import JsonObject, Stack, find_stack
from snapshot_tasks.settings import Settings
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import NotFound, SettingsError
from snapshot_tasks.system.process import Completed


class ComposeProject:
    """Runs Compose with the project's files and settings; what it says is asked for once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @cached_property
    def document(self) -> dict[str, Any]:
        """The compose file and its overrides, as resolved by Compose.

        Raises:
            SettingsError: if a file is missing or Compose rejects it.
        """
        return self._config()

    @cached_property
    def whole_document(self) -> dict[str, Any]:
        """The same with the services of all profiles."""
        return self._config("--profile", "*")

    @cached_property
    def stack(self) -> Stack:
        """The compose file with its Qdrant service. Raises `SettingsError` without one."""
        return find_stack(self.document, self.settings.engine.compose_service)

    @cached_property
    def whole(self) -> Stack:
        """The same with the services of all profiles, because their containers may still run."""
        found = find_stack(self.whole_document, self.settings.engine.compose_service)
        return replace(found, folders=self.folders)

    @property
    def folders(self) -> tuple[Path, ...]:
        """What Compose may label the containers with: where the compose files and .env are."""
        named = self.settings.engine.compose_files
        return (self.settings.project_root, *(file.resolve().parent for file in named))

    @property
    def files(self) -> ComposeFiles:
        """The compose files, and what Compose needs to find them."""
        return compose_files(self.settings)

    @property
    def is_located(self) -> bool:
        """Whether the compose file, and no setting, says where Qdrant is."""
        return self.settings.qdrant.is_default_url and not self.files.is_own

    @cached_property
    def nodes(self) -> tuple[Stack, ...]:
        """The Qdrant service, and those of the cluster's other nodes, by the ports they publish."""
        ports = self.settings.qdrant.local_node_ports
        others = (
            name
            for name, service in self.document["services"].items()
            if name != self.stack.name and ports.intersection(fixed_ports(service))
        )
        return (self.stack, *(replace(self.stack, name=name) for name in sorted(others)))

    def container(self, service: str = "") -> JsonObject | None:
        """Return the service's container, running or not, as Docker describes it."""
        name = service or self.stack.name
        ids = must(self.run("ps", "--all", "--quiet", name)).stdout.split()
        found = docker("container", "inspect", ids[0]) if ids else None
        described: list[dict[str, Any]] = json.loads(found.stdout) if found and found.ok else []
        return described[0] if described else None

    def changes(self, container: JsonObject | None) -> tuple[str, ...]:
        """Return what another container would have, old → new."""
        if container is None:
            return ()
        stack = self.stack
        image = str(stack.service.get("image") or f"{stack.project}-{stack.name}")
        found = docker("image", "inspect", "--format", "{{.Id}}", image)
        hashed = must(self.run("config", "--hash", stack.name)).stdout.split()
        return changes(
            container,
            stack.service,
            config_hash=hashed[-1] if hashed else "",
            image=image,
            image_id=found.stdout.strip() if found.ok else "",
        )

    def ask_port(self, inside: int) -> str:
        """Return where Docker has published a port of the container: host:port, or nothing."""
        answer = self.run("--profile", "*", "port", self.whole.name, str(inside))
        return answer.stdout if answer.ok else ""

    def one(self, service: str) -> tuple[str, ...]:
        """Return the argument for one service, or no argument for all of them."""
        known = sorted(self.document["services"])
        if service and service not in known:
            raise NotFound(
                f"The compose file has no service {service}.",
                hint=f"Its services are {', '.join(known)}.",
            )
        return (service,) if service else ()

    def run(self, *arguments: str) -> Completed:
        """Run Compose, and return its output whether it succeeded or not."""
        files = self.files
        return process.run(
            compose_argv(*files.options, *arguments),
            cwd=self.settings.project_root,
            env=self._environment(files),
            timeout_seconds=self.settings.qdrant.operation_timeout_seconds,
        )

    def run_lines(self, take: Callable[[str], None], *arguments: str) -> None:
        """Run Compose and pass on its output, line by line, until it ends or is interrupted."""
        files = self.files
        process.run_lines(
            compose_argv(*files.options, *arguments),
            take,
            cwd=self.settings.project_root,
            env=self._environment(files),
        )

    def _config(self, *options: str) -> dict[str, Any]:
        answer = self.run(*options, "config", "--format", "json")
        if not answer.ok:
            if compose_version() is None:
                raise no_docker(answer.last_words)
            raise SettingsError(
                f"Docker Compose rejected the compose file: {answer.last_words}.",
                hint="Run `docker compose config` to see where.",
            )
        document: dict[str, Any] = json.loads(answer.stdout)
        return document

    def _environment(self, files: ComposeFiles) -> dict[str, str]:
        return {
            **self.settings.compose_environment(is_own_file=files.is_own),
            **key_environment(self.settings, files),
            **files.environment,
        }


def docker(*arguments: str) -> Completed:
    """Run the Docker client, and return its output whether it succeeded or not."""
    return process.run(("docker", *arguments), timeout_seconds=COMMAND_SECONDS)
