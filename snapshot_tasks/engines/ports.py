"""The ports that the live Qdrant needs, and the process that already uses one."""

from __future__ import annotations

from snapshot_tasks.settings import Settings
from snapshot_tasks.system import process
from snapshot_tasks.system.errors import SettingsError


def check_ports(settings: Settings) -> None:
    """Raise `SettingsError` with the process that uses a port, and the setting to change."""
    wanted = {
        "QDRANT_HTTP_PORT": settings.engine.http_port,
        "QDRANT_GRPC_PORT": settings.engine.grpc_port,
    }
    for name, port in wanted.items():
        if not process.port_is_free(port):
            raise SettingsError(
                f"Port {port} on 127.0.0.1 is in use by {_holder(port)}.",
                hint=f"Stop it, or set {name} to a free port.",
            )


def _holder(port: int) -> str:
    listing = process.run(
        ("docker", "ps", "--filter", f"publish={port}", "--format", "{{.Names}}"), timeout_seconds=2
    )
    if listing.ok and listing.stdout.strip():
        return f"the container {listing.stdout.split()[0]}"
    return process.port_holder(port)
