"""The settings of the engines, which run a Qdrant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.domain.versions import DEFAULT_VERSION
from snapshot_tasks.settings.qdrant import read_grpc_port, read_http_port
from snapshot_tasks.settings.values import Values

ENGINES = ("auto", "compose", "native", "external")
DRILL_ENGINES = ("auto", "compose", "native")
# Settings that Docker Compose reads itself, so their defaults in tasks.py are passed on to it.
COMPOSE_SETTINGS = (
    "COMPOSE_FILE",
    "COMPOSE_PATH_SEPARATOR",
    "COMPOSE_PROFILES",
    "COMPOSE_PROJECT_NAME",
    "PYTHON_IMAGE",
)
RELEASES_URL = "https://github.com/qdrant/qdrant/releases/download"
RELEASES_API_URL = "https://api.github.com/repos/qdrant/qdrant/releases/tags"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Which engine runs the live Qdrant and which one the drills, and how."""

    live: str
    drill: str
    version: str
    binary: Path | None
    http_port: int
    grpc_port: int
    releases_url: str
    releases_api_url: str
    compose_service: str
    compose_files: tuple[Path, ...]
    compose_defaults: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        """The URL of a Qdrant that this project manages."""
        return f"http://localhost:{self.http_port}"


def read_engine(values: Values, root: Path) -> EngineSettings:
    """Read the settings of the engines; files are relative to the project's root."""
    live = values.choice("QDRANT_ENGINE", ENGINES)
    same = live if live in DRILL_ENGINES else "auto"
    return EngineSettings(
        live=live,
        drill=values.choice("QDRANT_DRILL_ENGINE", DRILL_ENGINES, same),
        version=values.version("QDRANT_VERSION", DEFAULT_VERSION),
        binary=values.program("QDRANT_BINARY", root),
        http_port=read_http_port(values),
        grpc_port=read_grpc_port(values),
        releases_url=values.text("QDRANT_RELEASES_URL") or RELEASES_URL,
        releases_api_url=values.text("QDRANT_RELEASES_API_URL") or RELEASES_API_URL,
        compose_service=values.text("QDRANT_COMPOSE_SERVICE") or "",
        compose_files=values.paths("COMPOSE_FILE", root),
        compose_defaults=values.defaults_for(COMPOSE_SETTINGS),
    )
