"""The settings, and the only reader of `.env` and the environment.

Every problem is collected and reported in one error, by name, with what was expected.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from snapshot_tasks.domain.endpoint import ANSWER_SECONDS, Tls, is_loopback
from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.domain.versions import DEFAULT_VERSION
from snapshot_tasks.settings.reader import Reader
from snapshot_tasks.settings.watching import Watching, read_hook, read_watching
from snapshot_tasks.storage.stores import variable_prefixes
from snapshot_tasks.system.errors import SettingsError

if TYPE_CHECKING:
    from dotenv.parser import Binding

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

# Settings by name, such as the defaults that a project's own tasks.py gives.
Defaults = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked; durations in seconds."""

    project_root: Path
    url: str
    api_key: str | None = field(repr=False)
    plaintext_key_hosts: tuple[str, ...]
    tls: Tls
    collection: str
    snapshot_dir: Path
    engine: str
    drill_engine: str
    version: str
    binary: Path | None
    http_port: int
    grpc_port: int
    source_grpc_port: int | None
    server_snapshot_dir: str | None
    answer_timeout_seconds: float
    ready_timeout_seconds: float
    operation_timeout_seconds: float
    max_drop_percent: float
    retention: Policy
    offsite_urls: tuple[str, ...]
    age_recipients: tuple[str, ...]
    age_identity_file: Path | None
    store_variables: Mapping[str, str] = field(repr=False)
    releases_url: str
    releases_api_url: str
    compose_files: tuple[Path, ...]
    compose_defaults: Mapping[str, str] = field(repr=False)
    post_create_hook: tuple[str, ...] = field(repr=False)
    watching: Watching

    @property
    def engine_url(self) -> str:
        """The URL of a Qdrant that this project manages."""
        return f"http://localhost:{self.http_port}"

    @property
    def is_local(self) -> bool:
        """Whether `QDRANT_URL` is on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    def compose_environment(self) -> dict[str, str]:
        """Return the environment with which Compose manages the stack of these settings."""
        values = {
            "QDRANT_VERSION": self.version,
            "QDRANT_HTTP_PORT": str(self.http_port),
            "QDRANT_GRPC_PORT": str(self.grpc_port),
            "QDRANT_SNAPSHOT_DIR": str(self.snapshot_dir),
            "QDRANT_COLLECTION_NAME": self.collection,
        }
        if self.api_key:
            values["QDRANT_API_KEY"] = self.api_key
        return {**values, **self.compose_defaults}


def load_settings(
    project_root: Path,
    environment: Mapping[str, str] | None = None,
    *,
    defaults: Defaults | None = None,
) -> Settings:
    """Read the environment, then `.env`, then the defaults of the project's tasks.py.

    Raises:
        SettingsError: if a setting is wrong; the message lists all of them.
    """
    problems: list[str] = []
    reader = _reader(project_root, environment, defaults, problems)
    url = reader.url("QDRANT_URL")
    http_port = reader.port("QDRANT_HTTP_PORT", _port_of(url) or 6333)
    grpc_port = reader.port("QDRANT_GRPC_PORT", 6334)
    engine = reader.choice("QDRANT_ENGINE", ENGINES)
    settings = Settings(
        project_root=project_root,
        url=url or f"http://localhost:{http_port}",
        api_key=reader.secret("QDRANT_API_KEY", "QDRANT_API_KEY_FILE", project_root),
        plaintext_key_hosts=reader.names("QDRANT_ALLOW_PLAINTEXT_KEY"),
        tls=reader.tls(project_root),
        collection=reader.text("QDRANT_COLLECTION_NAME") or "informasi-umum-itb",
        snapshot_dir=reader.path("QDRANT_SNAPSHOT_DIR", project_root / "qdrant_snapshots"),
        engine=engine,
        drill_engine=reader.choice(
            "QDRANT_DRILL_ENGINE", DRILL_ENGINES, engine if engine in DRILL_ENGINES else "auto"
        ),
        version=reader.version("QDRANT_VERSION", DEFAULT_VERSION),
        binary=reader.program("QDRANT_BINARY", project_root),
        http_port=http_port,
        grpc_port=grpc_port,
        source_grpc_port=grpc_port if _knows_grpc_port(url, reader) else None,
        server_snapshot_dir=reader.text("QDRANT_SERVER_SNAPSHOT_DIR"),
        answer_timeout_seconds=reader.seconds("QDRANT_ANSWER_TIMEOUT_SECONDS", ANSWER_SECONDS),
        ready_timeout_seconds=reader.seconds("QDRANT_READY_TIMEOUT_SECONDS", 60.0),
        operation_timeout_seconds=reader.seconds("QDRANT_OPERATION_TIMEOUT_SECONDS", 3600.0),
        max_drop_percent=reader.percent("QDRANT_MAX_DROP_PERCENT", 10.0),
        retention=Policy(
            keep_last=reader.count("QDRANT_KEEP_LAST"),
            keep_daily=reader.count("QDRANT_KEEP_DAILY"),
            keep_weekly=reader.count("QDRANT_KEEP_WEEKLY"),
            keep_monthly=reader.count("QDRANT_KEEP_MONTHLY"),
            keep_yearly=reader.count("QDRANT_KEEP_YEARLY"),
            keep_minimum=reader.count("QDRANT_KEEP_MINIMUM", 1),
            max_age=reader.span("QDRANT_KEEP_MAX_AGE"),
        ),
        offsite_urls=reader.places("QDRANT_OFFSITE_URL", project_root),
        age_recipients=reader.recipients("QDRANT_AGE_RECIPIENTS", project_root),
        age_identity_file=reader.file(
            "QDRANT_AGE_IDENTITY_FILE", project_root, expected="a readable file of age identities"
        ),
        store_variables=reader.beginning_with(variable_prefixes()),
        releases_url=reader.text("QDRANT_RELEASES_URL") or RELEASES_URL,
        releases_api_url=reader.text("QDRANT_RELEASES_API_URL") or RELEASES_API_URL,
        compose_files=reader.paths("COMPOSE_FILE", project_root),
        compose_defaults=reader.defaults_for(COMPOSE_SETTINGS),
        post_create_hook=read_hook(reader, problems),
        watching=read_watching(reader, project_root),
    )
    if settings.http_port == settings.grpc_port:
        problems.append("QDRANT_GRPC_PORT: must differ from QDRANT_HTTP_PORT")
    problems += reader.unknown_defaults()
    if problems:
        raise SettingsError("; ".join(problems) + ".", hint=_hint(defaults))
    return settings


def only_in_environment(
    project_root: Path, environment: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """Return the names of settings whose value in the environment differs from `.env`."""
    environment = os.environ if environment is None else environment
    written = _read_dotenv(project_root / ".env", [])
    return tuple(
        name
        for name, value in sorted(environment.items())
        if name.startswith(("QDRANT_", "COMPOSE_", *variable_prefixes()))
        and value
        and written.get(name) != value
    )


def load_watching(
    project_root: Path,
    environment: Mapping[str, str] | None = None,
    *,
    defaults: Defaults | None = None,
) -> Watching:
    """Read only the settings of alarms and metrics, whatever else is wrong.

    Problems of these settings are reported by `load_settings`, which every task uses.
    """
    return read_watching(_reader(project_root, environment, defaults, []), project_root)


def _hint(defaults: Defaults | None) -> str:
    where = "the environment, in .env or in tasks.py" if defaults else "the environment or in .env"
    return f"Correct it in {where}; .env.example lists every setting."


def _reader(
    project_root: Path,
    environment: Mapping[str, str] | None,
    defaults: Defaults | None,
    problems: list[str],
) -> Reader:
    environment = os.environ if environment is None else environment
    values = _read_dotenv(project_root / ".env", problems)
    values |= {name: value for name, value in environment.items() if value}
    return Reader(values, problems, defaults=_texts(defaults or {}, problems))


def _texts(defaults: object, problems: list[str]) -> dict[str, str]:
    """Return the defaults as texts, because every setting is parsed from a text."""
    if not isinstance(defaults, Mapping):
        problems.append("qdrant_snapshots: expected settings with their values in tasks.py")
        return {}
    texts = {}
    for name, value in defaults.items():
        if isinstance(value, str | int | float | Path) and not isinstance(value, bool):
            texts[str(name)] = str(value)
        elif value is not None:
            problems.append(f"{name}: expected a text or a number in tasks.py")
    return texts


def _read_dotenv(path: Path, problems: list[str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    from dotenv import dotenv_values
    from dotenv.parser import parse_stream

    try:
        with path.open(encoding="utf-8") as stream:
            wrong = [binding for binding in parse_stream(stream) if binding.error]
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f".env: expected a readable UTF-8 text file, got {error}")
        return {}
    problems.extend(f".env line {_line_of(binding)}: expected NAME=value" for binding in wrong)
    if wrong:
        return {}
    return {name: value for name, value in dotenv_values(path).items() if value}


def _line_of(binding: Binding) -> int:
    """Return the line of a wrong statement; python-dotenv includes empty lines before it."""
    text = binding.original.string
    return binding.original.line + len(text) - len(text.lstrip("\n"))


def _port_of(url: str | None) -> int | None:
    """Return the port of a `QDRANT_URL` on this machine, so that it is only set once."""
    parts = urlsplit(url or "")
    return parts.port if is_loopback(parts.hostname or "") else None


def _knows_grpc_port(url: str | None, reader: Reader) -> bool:
    """Return whether the gRPC port belongs to `QDRANT_URL` for certain.

    Another Qdrant may listen on the default port, and its points must not be mistaken for these.
    """
    return url is None or urlsplit(url).port == 6333 or reader.text("QDRANT_GRPC_PORT") is not None
