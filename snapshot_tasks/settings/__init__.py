"""The settings, and the only reader of `.env` and the environment.

Every problem is collected and reported in one error, by name, with what was expected.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from snapshot_tasks.domain.retention import Policy
from snapshot_tasks.settings.engine import EngineSettings, read_engine
from snapshot_tasks.settings.foreign import Misnamed
from snapshot_tasks.settings.keep import read_offsite_policy, read_policy
from snapshot_tasks.settings.offsite import OffsiteSettings, read_offsite
from snapshot_tasks.settings.qdrant import QdrantSettings, read_qdrant
from snapshot_tasks.settings.snapshots import read_hook, read_snapshot_dir
from snapshot_tasks.settings.values import Values
from snapshot_tasks.settings.watching import Watching, read_watching
from snapshot_tasks.storage.stores import variable_prefixes
from snapshot_tasks.system.errors import SettingsError

if TYPE_CHECKING:
    from dotenv.parser import Binding

# Settings by name, such as the defaults that a project's own tasks.py gives.
Defaults = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All settings, checked; durations in seconds."""

    project_root: Path
    collection: str
    # Nothing names the collection, so a single one elsewhere may be meant.
    is_default_collection: bool = False
    misnamed: tuple[Misnamed, ...] = ()
    # The names of what is set anywhere, and in tasks.py only; everything else is a default.
    given: frozenset[str] = frozenset()
    given_in_tasks: frozenset[str] = frozenset()
    snapshot_dir: Path
    max_drop_percent: float
    post_create_hook: tuple[str, ...] = field(repr=False)
    qdrant: QdrantSettings
    engine: EngineSettings
    offsite: OffsiteSettings
    keep: Policy
    keep_offsite: Policy
    watching: Watching

    def compose_environment(self, *, is_own_file: bool) -> dict[str, str]:
        """Return the environment with which Compose manages the stack of these settings.

        Compose reads the environment and `.env` by itself, and this would win over both. So no
        default is in it: a compose file has its own. A user's file gets only what tasks.py sets;
        the project's own file also gets what other settings decide, such as a port in QDRANT_URL.
        """
        values = {
            "QDRANT_VERSION": self.engine.version,
            "QDRANT_HTTP_PORT": str(self.engine.http_port),
            "QDRANT_GRPC_PORT": str(self.engine.grpc_port),
            "QDRANT_SNAPSHOT_DIR": str(self.snapshot_dir),
            "QDRANT_COLLECTION_NAME": self.collection,
        }
        passed = self._passed_on if is_own_file else self.given_in_tasks
        values = {name: value for name, value in values.items() if name in passed}
        if self.qdrant.api_key and self.given & {"QDRANT_API_KEY", "QDRANT_API_KEY_FILE"}:
            values["QDRANT_API_KEY"] = self.qdrant.api_key
        return {**values, **self.engine.compose_defaults}

    @property
    def _passed_on(self) -> frozenset[str]:
        # These folders are relative to the project, wherever its compose file is.
        always = {"QDRANT_SNAPSHOT_DIR", "QDRANT_COLLECTION_NAME"}
        from_url = {"QDRANT_HTTP_PORT"} if "QDRANT_URL" in self.given else set()
        return self.given | always | from_url


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
    values = _values(project_root, environment, defaults, problems)
    settings = Settings(
        project_root=project_root,
        collection=values.text("QDRANT_COLLECTION_NAME") or "informasi-umum-itb",
        is_default_collection=values.text("QDRANT_COLLECTION_NAME") is None,
        snapshot_dir=read_snapshot_dir(values, project_root),
        max_drop_percent=values.percent("QDRANT_MAX_DROP_PERCENT", 10.0),
        post_create_hook=read_hook(values, problems),
        qdrant=read_qdrant(values, project_root),
        engine=read_engine(values, project_root),
        offsite=read_offsite(values, project_root),
        keep=read_policy(values),
        keep_offsite=read_offsite_policy(values),
        watching=read_watching(values, project_root),
        given=values.given(),
        given_in_tasks=values.given_in_tasks(),
    )
    if settings.engine.http_port == settings.engine.grpc_port:
        problems.append("QDRANT_GRPC_PORT: must differ from QDRANT_HTTP_PORT")
    problems += values.unknown_defaults()
    if problems:
        # A setting that two groups need is read twice.
        text = "; ".join(dict.fromkeys(problems))
        raise SettingsError(f"{text}.", hint=_hint(defaults))
    return replace(settings, misnamed=values.misnamed())


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
    return read_watching(_values(project_root, environment, defaults, []), project_root)


def _hint(defaults: Defaults | None) -> str:
    where = "the environment, in .env or in tasks.py" if defaults else "the environment or in .env"
    return f"Correct it in {where}; .env.example lists every setting."


def _values(
    project_root: Path,
    environment: Mapping[str, str] | None,
    defaults: Defaults | None,
    problems: list[str],
) -> Values:
    environment = os.environ if environment is None else environment
    values = _read_dotenv(project_root / ".env", problems)
    values |= {name: value for name, value in environment.items() if value}
    return Values(values, problems, defaults=_texts(defaults or {}, problems))


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
