"""What a container would be given that it was not created with, such as another image. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from snapshot_tasks.engines.compose_stack import JsonObject

HASH_LABEL = "com.docker.compose.config-hash"


def changes(
    container: JsonObject, service: JsonObject, *, config_hash: str, image: str, image_id: str
) -> tuple[str, ...]:
    """Return what another container of this service would have, old → new.

    `config_hash` is Compose's own for the service; `image_id` is empty if the image is not here.
    No value of a variable is shown, because it may be a secret.
    """
    config = container["Config"]
    found = [*_image(container, image, image_id)]
    if (config.get("Labels") or {}).get(HASH_LABEL) == config_hash:
        return tuple(found)
    found += [*_ports(container, service), *_variables(config.get("Env") or (), service)]
    return tuple(found) or ("other settings of the compose file",)


def bound_ports(container: JsonObject) -> tuple[int, ...]:
    """Return the ports of this machine that a container was created with."""
    bindings = (container.get("HostConfig") or {}).get("PortBindings") or {}
    ports = (str(one.get("HostPort") or "") for listed in bindings.values() for one in listed or ())
    return tuple(int(port) for port in ports if port.isdigit() and int(port))


def _image(container: JsonObject, image: str, image_id: str) -> Iterator[str]:
    old = str(container["Config"]["Image"])
    if old != image:
        yield f"image {old} → {image}"
    elif image_id and image_id != container["Image"]:
        yield f"image {image}, of which there is another one now"


def _ports(container: JsonObject, service: JsonObject) -> Iterator[str]:
    bindings = (container.get("HostConfig") or {}).get("PortBindings") or {}
    old = {
        f"{one.get('HostPort') or 'any'}:{target.partition('/')[0]}"
        for target, listed in bindings.items()
        for one in listed or ()
    }
    new = {
        f"{port.get('published') or 'any'}:{port['target']}" for port in service.get("ports", ())
    }
    if old != new:
        yield f"ports {_joined(old)} → {_joined(new)}"


def _variables(old: Sequence[str], service: JsonObject) -> Iterator[str]:
    had = dict(line.partition("=")[::2] for line in old)
    wanted = service.get("environment") or {}
    changed = [n for n, value in wanted.items() if had.get(n) != _plain(value)]
    if changed:
        yield f"environment {', '.join(sorted(changed))}"


def _plain(value: object) -> str | None:
    """Return the value as the container gets it; `docker compose config` doubles every `$`."""
    return None if value is None else str(value).replace("$$", "$")


def _joined(ports: set[str]) -> str:
    return ", ".join(sorted(ports)) or "none"
