"""Runs Docker Compose: finds out whether it is installed, and what its failures mean."""

from __future__ import annotations

from collections.abc import Callable

from snapshot_tasks.system import process
from snapshot_tasks.system.errors import TaskError, Unreachable
from snapshot_tasks.system.process import Completed
from snapshot_tasks.system.untrusted import sentence

DAEMON_SECONDS = 2.0
COMMAND_SECONDS = 900.0
# The states of a container whose program has ended.
ENDED = ("exited", "dead", "restarting")


def compose_argv(*arguments: str) -> tuple[str, ...]:
    """Return the command for the project's own stack."""
    return ("docker", "compose", *arguments)


def docker_problem() -> str:
    """Return why Docker Compose cannot be used here, or an empty string if it can."""
    daemon = process.run(
        ("docker", "version", "--format", "{{.Server.Version}}"), timeout_seconds=DAEMON_SECONDS
    )
    if not daemon.ok:
        return (
            f"the Docker daemon did not respond within {DAEMON_SECONDS:g} s ({daemon.last_words})"
        )
    plugin = compose_version()
    return "" if plugin else "Docker is running, but Compose v2 is not installed"


def compose_version() -> str | None:
    """Return Compose's version, or None if it is not installed."""
    answer = process.run(compose_argv("version", "--short"), timeout_seconds=10)
    return answer.stdout.strip() if answer.ok else None


def must(done: Completed) -> Completed:
    """Return a successful result; raise `Unreachable` for a failed one."""
    if done.ok:
        return done
    problem = docker_problem()
    if problem:
        raise no_docker(problem)
    raise Unreachable(
        f"Docker Compose failed: {done.last_words}.",
        hint="Run `docker compose ps -a` and `inv stack.logs` for details.",
    )


def check_alive(run: Callable[..., Completed], *services: str) -> None:
    """Raise `Unreachable` with the last log lines if a container exited before it was ready."""
    states = run("ps", "--all", "--format", "{{.Service}} {{.State}}", *services).stdout
    for service, state in map(str.split, states.splitlines()):
        if state in ENDED:
            raise _exited(run("logs", "--no-color", "--no-log-prefix", "--tail", "3", service))


def check_container(name: str) -> None:
    """The same for a container that is none of the services."""
    inspect = ("docker", "inspect", "--format", "{{.State.Status}}", name)
    if process.run(inspect, timeout_seconds=COMMAND_SECONDS).stdout.strip() in ENDED:
        logs = ("docker", "logs", "--tail", "3", name)
        raise _exited(process.run(logs, timeout_seconds=COMMAND_SECONDS))


def _exited(words: Completed) -> Unreachable:
    last = " ".join((words.stdout + words.stderr).split())[-400:] or "no output"
    return Unreachable(
        f"Qdrant exited while it was starting: {sentence(last)}",
        hint="Run `docker compose config` to see its configuration.",
    )


def no_docker(problem: str) -> TaskError:
    """Return the error for a Docker that cannot be used."""
    return Unreachable(
        f"Docker cannot be used: {problem}.",
        hint="Start Docker, or set QDRANT_ENGINE=native to run Qdrant without it.",
    )
