"""A resolved compose file (`docker compose config`), and which of its services is Qdrant. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snapshot_tasks.system.errors import SettingsError

USUAL_NAME = "qdrant"
IMAGE = "qdrant/qdrant"
SETTING = "QDRANT_COMPOSE_SERVICE"

JsonObject = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A resolved compose file, the name of its Qdrant service, and the folders it is of."""

    document: JsonObject
    name: str
    folders: tuple[Path, ...] = ()

    @property
    def project(self) -> str:
        """The name of the Compose project."""
        return str(self.document["name"])

    @property
    def service(self) -> JsonObject:
        """The Qdrant service."""
        service: JsonObject = self.document["services"][self.name]
        return service


def find_stack(document: JsonObject, wanted: str = "") -> Stack:
    """Return the stack with its Qdrant service: the wanted one, else the one that can be meant.

    Raises:
        SettingsError: if there is none, or if several can be meant.
    """
    services = _services(document)
    if wanted and wanted not in services:
        raise SettingsError(
            f"{SETTING} is {wanted}, but the compose file has no such service.",
            hint=_others(services),
        )
    found = [wanted] if wanted else candidates(document)
    if not found:
        raise SettingsError(
            f"The compose file has no service named {USUAL_NAME} and none with a Qdrant image.",
            hint=f"Set {SETTING} to the Qdrant service. {_others(services)}",
        )
    if len(found) > 1:
        raise SettingsError(
            f"Several services of the compose file have a Qdrant image: {', '.join(found)}.",
            hint=f"Set {SETTING} to the one that is meant.",
        )
    return Stack(document=document, name=found[0])


def candidates(document: JsonObject) -> list[str]:
    """Return the services that can be meant; the usual name alone is enough."""
    services = _services(document)
    if USUAL_NAME in services:
        return [USUAL_NAME]
    return sorted(name for name, it in services.items() if is_qdrant(str(it.get("image") or "")))


def _services(document: JsonObject) -> Mapping[str, JsonObject]:
    return {name: it for name, it in (document.get("services") or {}).items() if it is not None}


def is_qdrant(image: str) -> bool:
    """Return whether this is Qdrant's image, in any version and variant, from any registry."""
    name, separator, tag = image.partition("@")[0].rpartition(":")
    if not separator or "/" in tag:
        name = image.partition("@")[0]
    return name == IMAGE or name.endswith(f"/{IMAGE}")


def setting(service: JsonObject, name: str) -> str:
    """Return a setting of Qdrant that the service gets by its environment; empty without it."""
    for given, value in (service.get("environment") or {}).items():
        # Qdrant reads these names in any case.
        if given.upper() == f"QDRANT__{name}" and value is not None:
            # `docker compose config` doubles every `$`.
            return str(value).replace("$$", "$")
    return ""


def _others(services: Mapping[str, Any]) -> str:
    if not services:
        return "Set COMPOSE_FILE to the right file, or enable a profile with COMPOSE_PROFILES."
    return (
        f"The services are {', '.join(sorted(services))}; others may be in a file that COMPOSE_FILE"
        " names or in a profile that COMPOSE_PROFILES enables."
    )
