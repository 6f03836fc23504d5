"""Docker Compose as a program: whether it is there, and what its failures mean."""

from __future__ import annotations

from collections.abc import Callable

from snapshot_tasks.engines.compose_document import SERVICE
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import TaskError, Unreachable
from snapshot_tasks.system.process import Completed

DAEMON_SECONDS = 2.0
COMMAND_SECONDS = 900.0


def compose_argv(*arguments: str) -> tuple[str, ...]:
    """Return the command for the project's own stack."""
    return ("docker", "compose", *arguments)


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


def must(done: Completed) -> Completed:
    """Return what went well, and raise `Unreachable` for what did not."""
    if done.ok:
        return done
    problem = docker_problem()
    if problem:
        raise no_docker(problem)
    raise Unreachable(
        f"Docker Compose failed: {done.last_words}.",
        hint="`docker compose ps -a` and `inv stack.logs` show more.",
    )


def check_alive(run: Callable[..., Completed]) -> None:
    """Raise `Unreachable` with its last words when the container has ended before it was ready."""
    state = run("ps", "--all", "--format", "{{.State}}", SERVICE).stdout.split()
    if state and state[0] in ("exited", "dead", "restarting"):
        words = run("logs", "--no-color", "--no-log-prefix", "--tail", "3", SERVICE)
        last = " ".join((words.stdout + words.stderr).split())[-400:] or "no word"
        raise Unreachable(
            f"Qdrant ended while starting: {last}",
            hint="`docker compose config` shows what it was started with.",
        )


def no_docker(problem: str) -> TaskError:
    """Return the error for a Docker that cannot be used."""
    return Unreachable(
        f"Docker cannot be used: {problem}.",
        hint="Start Docker, or set QDRANT_ENGINE=native to run Qdrant without it.",
    )
