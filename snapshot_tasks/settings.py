"""The settings, and the only reader of `.env` and the environment.

Every problem is collected and reported in one error, by name, with what was expected.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from snapshot_tasks.errors import SettingsError
from snapshot_tasks.models import ANSWER_SECONDS, Tls, is_loopback

if TYPE_CHECKING:
    from dotenv.parser import Binding

DEFAULT_VERSION = "1.17.0"
ENGINES = ("auto", "compose", "native", "external")
DRILL_ENGINES = ("auto", "compose", "native")
RELEASES_URL = "https://github.com/qdrant/qdrant/releases/download"
RELEASES_API_URL = "https://api.github.com/repos/qdrant/qdrant/releases/tags"


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
    releases_url: str
    releases_api_url: str
    compose_files: tuple[Path, ...]

    @property
    def engine_url(self) -> str:
        """Where a Qdrant that this project manages answers."""
        return f"http://localhost:{self.http_port}"

    @property
    def is_local(self) -> bool:
        """Whether `QDRANT_URL` names this very machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    def compose_environment(self) -> dict[str, str]:
        """Return what Compose must see so that its stack is the one these settings describe."""
        values = {
            "QDRANT_VERSION": self.version,
            "QDRANT_HTTP_PORT": str(self.http_port),
            "QDRANT_GRPC_PORT": str(self.grpc_port),
            "QDRANT_SNAPSHOT_DIR": str(self.snapshot_dir),
            "QDRANT_COLLECTION_NAME": self.collection,
        }
        return values | ({"QDRANT_API_KEY": self.api_key} if self.api_key else {})


def load_settings(project_root: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read the environment, then `.env` (the environment wins).

    Raises:
        SettingsError: naming every wrong setting at once.
    """
    environment = os.environ if environment is None else environment
    problems: list[str] = []
    values = _read_dotenv(project_root / ".env", problems)
    values |= {name: value for name, value in environment.items() if value}
    reader = _Reader(values, problems)

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
            "QDRANT_DRILL_ENGINE", DRILL_ENGINES, "auto" if engine == "external" else engine
        ),
        version=reader.version("QDRANT_VERSION"),
        binary=reader.program("QDRANT_BINARY", project_root),
        http_port=http_port,
        grpc_port=grpc_port,
        source_grpc_port=grpc_port if _knows_grpc_port(url, reader) else None,
        server_snapshot_dir=reader.text("QDRANT_SERVER_SNAPSHOT_DIR"),
        answer_timeout_seconds=reader.seconds("QDRANT_ANSWER_TIMEOUT_SECONDS", ANSWER_SECONDS),
        ready_timeout_seconds=reader.seconds("QDRANT_READY_TIMEOUT_SECONDS", 60.0),
        operation_timeout_seconds=reader.seconds("QDRANT_OPERATION_TIMEOUT_SECONDS", 3600.0),
        max_drop_percent=reader.percent("QDRANT_MAX_DROP_PERCENT", 10.0),
        releases_url=reader.text("QDRANT_RELEASES_URL") or RELEASES_URL,
        releases_api_url=reader.text("QDRANT_RELEASES_API_URL") or RELEASES_API_URL,
        compose_files=reader.paths("COMPOSE_FILE", project_root),
    )
    if settings.http_port == settings.grpc_port:
        problems.append("QDRANT_GRPC_PORT: expected another port than QDRANT_HTTP_PORT")
    if problems:
        raise SettingsError(
            "; ".join(problems) + ".",
            hint="Correct it in the environment or in .env; .env.example lists every setting.",
        )
    return settings


def is_version(text: str) -> bool:
    """Say whether a text is a version number as Qdrant's releases have them, without a v."""
    return re.fullmatch(r"\d+\.\d+\.\d+(-[A-Za-z0-9.]+)?", text) is not None


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
    """Return the line of a wrong statement; python-dotenv counts the empty ones before it in."""
    text = binding.original.string
    return binding.original.line + len(text) - len(text.lstrip("\n"))


def _port_of(url: str | None) -> int | None:
    """Return the port of a `QDRANT_URL` on this machine, so that it need not be set twice."""
    parts = urlsplit(url or "")
    return parts.port if is_loopback(parts.hostname or "") else None


def _knows_grpc_port(url: str | None, reader: _Reader) -> bool:
    """Say whether the gRPC port is that of `QDRANT_URL`, and no guess.

    Another Qdrant may answer at the default port: its points must not be taken for these.
    """
    return url is None or urlsplit(url).port == 6333 or reader.text("QDRANT_GRPC_PORT") is not None


class _Reader:
    """Reads single values, noting each problem instead of raising."""

    def __init__(self, values: Mapping[str, str], problems: list[str]) -> None:
        self._values = values
        self._problems = problems

    def text(self, name: str) -> str | None:
        return self._values.get(name, "").strip() or None

    def choice(self, name: str, allowed: tuple[str, ...], default: str = "auto") -> str:
        value = self.text(name) or default
        if value not in allowed:
            self._wrong(name, f"one of {', '.join(allowed)}", value)
            return default
        return value

    def url(self, name: str) -> str | None:
        value = self.text(name)
        if value is None:
            return None
        if "@" in value:
            self._problems.append(f"{name}: expected no credentials in it; use QDRANT_API_KEY")
            return None
        if "?" in value or "#" in value:
            self._problems.append(f"{name}: expected nothing after the path, neither ? nor #")
            return None
        try:
            parts = urlsplit(value)
            valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            self._wrong(name, "a URL such as http://localhost:6333", value)
            return None
        return value.rstrip("/")

    def port(self, name: str, default: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
            self._wrong(name, "a port number from 1 to 65535", value)
            return default
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"\d+(\.\d+)?", value) or float(value) <= 0:
            self._wrong(name, "a number of seconds above 0", value)
            return default
        return float(value)

    def percent(self, name: str, default: float) -> float:
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"\d+(\.\d+)?", value) or float(value) > 100:
            self._wrong(name, "a percentage from 0 to 100", value)
            return default
        return float(value)

    def version(self, name: str) -> str:
        value = self.text(name) or DEFAULT_VERSION
        if not is_version(value):
            self._wrong(name, f"a version such as {DEFAULT_VERSION}, without a v", value)
        return value

    def path(self, name: str, default: Path) -> Path:
        value = self.text(name)
        return default.parent / Path(value).expanduser() if value else default

    def program(self, name: str, root: Path) -> Path | None:
        value = self.text(name)
        if value is None:
            return None
        path = root / Path(value).expanduser()
        if not os.access(path, os.X_OK) or path.is_dir():
            self._wrong(name, "the path of an executable file", value)
        return path

    def paths(self, name: str, root: Path) -> tuple[Path, ...]:
        separator = self.text("COMPOSE_PATH_SEPARATOR") or os.pathsep
        value = self.text(name)
        return tuple(root / part for part in value.split(separator)) if value else ()

    def names(self, name: str) -> tuple[str, ...]:
        value = self.text(name) or ""
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())

    def tls(self, root: Path) -> Tls:
        certificate, key = "QDRANT_TLS_CERT_FILE", "QDRANT_TLS_KEY_FILE"
        for one, other in ((certificate, key), (key, certificate)):
            if self.text(one) and not self.text(other):
                self._problems.append(f"{other}: expected together with {one}")
        return Tls(
            ca_file=self.file("QDRANT_TLS_CA_FILE", root),
            cert_file=self.file(certificate, root),
            key_file=self.file(key, root),
        )

    def file(self, name: str, root: Path) -> Path | None:
        value = self.text(name)
        if value is None:
            return None
        path = root / Path(value).expanduser()
        if not path.is_file() or not os.access(path, os.R_OK):
            self._wrong(name, "a readable file in PEM format", value)
        return path

    def secret(self, name: str, file_name: str, root: Path) -> str | None:
        value, file = self.text(name), self.text(file_name)
        if file and value:
            self._problems.append(f"{file_name}: expected only one of it and {name}")
        if not file or value:
            return self._sendable(name, value)
        # What stands there is not repeated: it may be the key itself, by mistake.
        try:
            content = (root / Path(file).expanduser()).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            self._problems.append(f"{file_name}: expected the path of a readable text file")
            return None
        if not content:
            self._problems.append(f"{file_name}: expected a file that holds the key, it is empty")
        return self._sendable(file_name, content or None)

    def _sendable(self, name: str, key: str | None) -> str | None:
        """Return a key that a header can carry; libraries put any other into their errors."""
        if key is None or re.fullmatch(r"[ -~]+", key):
            return key
        self._problems.append(f"{name}: expected a key of printable ASCII characters, on one line")
        return None

    def _wrong(self, name: str, expected: str, value: str) -> None:
        self._problems.append(f"{name}: expected {expected}, got {value!r}")
