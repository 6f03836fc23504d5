"""Runs a fresh Qdrant, one or a cluster, under Docker Compose and removes every trace of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.engines.base import FreshRequest, FreshServer, LastWords
from snapshot_tasks.engines.compose_client import ENDED, check_alive, must
from snapshot_tasks.engines.compose_document import (
    DRILL_SNAPSHOTS,
    KEPT,
    drill_document,
    drill_services,
)
from snapshot_tasks.engines.compose_leftovers import remove_labelled
from snapshot_tasks.engines.compose_stack import JsonObject
from snapshot_tasks.qdrant.nodes import wait_joined
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.settings import Settings
from snapshot_tasks.system import process
from snapshot_tasks.system.process import Completed
from snapshot_tasks.system.progress import Progress
from snapshot_tasks.system.scratch import is_gone, owner_of, scratch_folder

TEAR_DOWN_ATTEMPTS = 3
LOG_LINES = "200"
# Variables that would make Compose read more than the drill's own document.
_NOTHING_ELSE = dict.fromkeys(("COMPOSE_ENV_FILES", "COMPOSE_FILE", "COMPOSE_PROFILES"), "")


def drill_argv(project: str, *arguments: str) -> tuple[str, ...]:
    """Return the command for a drill's stack, which reads its document from standard input."""
    return ("docker", "compose", "--project-name", project, "--file", "-", *arguments)


@contextmanager
def drill_server(
    service: JsonObject,
    request: FreshRequest,
    settings: Settings,
    *,
    version: str,
    version_note: str,
    progress: Progress,
) -> Iterator[FreshServer]:
    """Run an empty Qdrant, or a cluster of several, configured like this service of the user's.

    Before and after that, remove only what killed drills have left. It is done twice because a
    daemon may still carry out a killed client's request after the first look.
    """
    # Docker Compose runs in this folder, so that it is stopped too if this run is killed.
    with scratch_folder() as folder:
        _remove_leftovers(progress)
        owner = f"{KEPT}/{owner_of(folder)}" if request.keep else owner_of(folder)
        ports = _free_pairs(max(1, request.cluster_nodes))
        describe = partial(
            drill_document,
            service,
            version=version,
            ports=ports,
            api_key=settings.qdrant.api_key,
            folder=request.folder,
            owner=owner,
            cluster=bool(request.cluster_nodes),
        )
        endpoint = _endpoint(ports, request, settings)
        stack = _DrillStack(
            folder=folder,
            owner=owner,
            document=json.dumps(describe()),
            loading=json.dumps(describe(load=request.load)) if request.load else "",
            endpoint=endpoint,
            ready_seconds=settings.qdrant.ready_timeout_seconds,
            command_seconds=settings.qdrant.operation_timeout_seconds,
        )
        started = False
        try:
            stack.start()
            started = True
            yield FreshServer(
                endpoint=endpoint,
                version_note=version_note,
                restart=stack.restart,
                removal=lambda: stack.removal,
                last_words=stack.last_words,
                room_hint="Free space where Docker keeps its volumes (`docker system df`).",
            )
        finally:
            with process.shielded():
                if not (started and request.keep):
                    stack.tear_down(progress)
                _remove_leftovers(progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _DrillStack:
    """A drill's own Compose project, named like its scratch folder."""

    folder: Path
    owner: str
    # It may contain the API key.
    document: str = field(repr=False)
    # The same for the first start, if that restores a snapshot.
    loading: str = field(repr=False)
    endpoint: Endpoint
    ready_seconds: float
    command_seconds: float

    @property
    def project(self) -> str:
        """The name of the Compose project."""
        return f"qdrant-drill-{self.folder.name}"

    @property
    def removal(self) -> str:
        """The command that removes the project by hand."""
        return f"docker compose -p {self.project} down --volumes"

    @property
    def services(self) -> tuple[str, ...]:
        """The names of its services, one for each node."""
        return drill_services(len(self.endpoint.nodes()))

    def start(self) -> None:
        """Start the first node, then those that join it, and wait until they are one cluster."""
        document = self.loading or self.document
        first, *others = self.endpoint.nodes()
        must(self.run("up", "--detach", self.services[0], document=document))
        self.wait(first)
        if others:
            must(self.run("up", "--detach", document=document))
            self.wait(*others)
            urls = self.endpoint.cluster_urls
            wait_joined(urls, self.endpoint.api_key, self.ready_seconds)

    def run(self, *arguments: str, document: str = "") -> Completed:
        """Run Docker Compose on the project."""
        return process.run(
            drill_argv(self.project, *arguments),
            cwd=self.folder,
            env=_NOTHING_ELSE,
            stdin=document or self.document,
            timeout_seconds=self.command_seconds,
        )

    def wait(self, *nodes: Endpoint) -> None:
        """Wait until these nodes are ready."""
        for node in nodes:
            with Server(node, operation_timeout_seconds=self.command_seconds) as server:
                server.wait_ready(
                    self.ready_seconds,
                    hint="`inv doctor` checks the compose file.",
                    # A node may wait for one that has ended.
                    check=lambda: check_alive(self.run),
                )

    def restart(self) -> None:
        """Stop all nodes, then start all, and wait until they are ready."""
        must(self.run("stop"))
        # What was only for the first start gets another container here, with the same volumes.
        must(self.run("up", "--detach"))
        self.wait(*self.endpoint.nodes())

    def last_words(self) -> LastWords:
        """Return how the first node that has ended is, else the first one, and what it said."""
        listed = self.run("ps", "--all", "--format", "{{.Service}} {{.State}} {{.ExitCode}}")
        ended = {
            service: int(code)
            for service, state, code in map(str.split, listed.stdout.splitlines())
            if state in ENDED and code.isdigit()
        }
        service = next(filter(ended.__contains__, self.services), self.services[0])
        said = self.run("logs", "--no-color", "--no-log-prefix", "--tail", LOG_LINES, service)
        return LastWords(
            exit_code=_with_signal(ended[service]) if service in ended else None,
            log=tuple((said.stdout + said.stderr).splitlines()),
        )

    def tear_down(self, progress: Progress) -> None:
        """Remove the whole project. Report what could not be removed, hiding no earlier error."""
        # A client that was interrupted together with this run may still be working.
        process.end_all_in(self.folder)
        for _ in range(TEAR_DOWN_ATTEMPTS):
            done = self.run("down", "--volumes", "--remove-orphans", "--timeout", "0")
            if done.ok:
                # Resources that were created while Compose was looking.
                remove_labelled(lambda label: label == self.owner)
                return
        progress.note(
            f"Could not clean up the drill: {done.last_words}. Remove it with: {self.removal}"
        )


def _free_pairs(count: int) -> tuple[tuple[int, int], ...]:
    """Return free ports for the HTTP and gRPC APIs of that many nodes."""
    ports = process.free_ports(2 * count)
    return tuple(zip(ports[::2], ports[1::2], strict=True))


def _endpoint(
    ports: tuple[tuple[int, int], ...], request: FreshRequest, settings: Settings
) -> Endpoint:
    urls = tuple(f"http://localhost:{http_port}" for http_port, _ in ports)
    return Endpoint(
        url=urls[0],
        api_key=settings.qdrant.api_key,
        grpc_port=ports[0][1],
        answer_seconds=settings.qdrant.answer_timeout_seconds,
        green_seconds=settings.qdrant.green_timeout_seconds,
        mounts=(Mount(host_dir=request.folder, server_dir=DRILL_SNAPSHOTS),),
        cluster_urls=urls if len(urls) > 1 else (),
    )


def _with_signal(code: int) -> int:
    """Return an exit code as Python has it: negative for the signal that ended a program."""
    return 128 - code if code > 128 else code


def _remove_leftovers(progress: Progress) -> None:
    """Remove what the drills of ended runs have left.

    Resources of a run that may still be active stay, and so do those that should be kept.
    """
    for leftover in remove_labelled(is_gone):
        progress.note(f"Removed leftovers of a killed run: {leftover}.")
