"""The ports that the live Qdrant needs, and the process that already uses one."""

from __future__ import annotations

from collections.abc import Mapping

from snapshot_tasks.settings import Settings
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import SettingsError


def check_ports(settings: Settings) -> None:
    """Raise `SettingsError` with the process that uses a port, and the setting to change."""
    check_free(
        {
            settings.engine.http_port: "set QDRANT_HTTP_PORT to a free port",
            settings.engine.grpc_port: "set QDRANT_GRPC_PORT to a free port",
        }
    )


def check_free(wanted: Mapping[int, str]) -> None:
    """Raise `SettingsError` for the first port that is in use; the values say how to change it."""
    for port, remedy in wanted.items():
        if not process.port_is_free(port):
            raise SettingsError(
                f"Port {port} on 127.0.0.1 is in use by {_holder(port)}.",
                hint=f"Stop it, or {remedy}.",
            )


def _holder(port: int) -> str:
    listing = process.run(
        ("docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"), timeout_seconds=2
    )
    if listing.ok and listing.stdout.strip():
        return f"the container {listing.stdout.split()[0]}"
    return process.port_holder(port)
