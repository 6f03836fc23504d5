"""Which engine runs Qdrant, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from snapshot_tasks.domain.endpoint import Endpoint, Mount
from snapshot_tasks.engines.base import Engine
from snapshot_tasks.engines.compose import ComposeEngine
from snapshot_tasks.engines.compose_client import docker_problem
from snapshot_tasks.engines.compose_files import has_foreign_file
from snapshot_tasks.engines.external import ExternalEngine
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.settings import Settings
from snapshot_tasks.system.errors import Refused, SettingsError, TaskError

ENGINES: Mapping[str, Callable[[Settings], Engine]] = {
    "compose": ComposeEngine,
    "native": NativeEngine,
    "external": lambda settings: ExternalEngine(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """An engine, and the reason it was chosen."""

    engine: Engine
    reason: str


def select_engine(settings: Settings, wanted: str, *, setting: str) -> Selection:
    """Return the engine called `wanted`; `auto` is Compose if a daemon responds, else native.

    A native server of this project that is already running is found again, whatever Docker does.
    """
    if wanted in ENGINES:
        return Selection(engine=ENGINES[wanted](settings), reason=f"{setting}={wanted}")
    native = NativeEngine(settings)
    if native.status().running:
        reason = "the native Qdrant of this project is already running"
        return Selection(engine=native, reason=reason)
    problem = docker_problem()
    if problem:
        return Selection(engine=native, reason=problem)
    return Selection(engine=ComposeEngine(settings), reason="Docker with Compose is available")


def live_engine(settings: Settings) -> Selection:
    """Return the engine of the live Qdrant."""
    return select_engine(settings, settings.engine.live, setting="QDRANT_ENGINE")


def drill_engine(settings: Settings) -> Selection:
    """Return the engine of fresh servers."""
    same = settings.engine.drill == settings.engine.live
    setting = "QDRANT_ENGINE" if same else "QDRANT_DRILL_ENGINE"
    return select_engine(settings, settings.engine.drill, setting=setting)


def located(settings: Settings) -> Settings:
    """Return the settings with the address and the key of the stack, if none is set.

    Only a user's own compose file is asked: what is in this project's comes from the settings.

    Raises:
        SettingsError: if it is not clear which service is Qdrant, or it cannot be reached.
        Unreachable: if Docker chooses its port and it does not run.
    """
    if not settings.qdrant.is_default_url or not has_foreign_file(settings):
        return settings
    address = live_engine(settings).engine.address()
    if address is None:
        return settings
    qdrant = replace(
        settings.qdrant,
        url=address.url,
        is_default_url=False,
        grpc_port=address.grpc_port,
        api_key=settings.qdrant.api_key or address.api_key,
    )
    engine = replace(settings.engine, http_port=address.http_port)
    return replace(settings, qdrant=qdrant, engine=engine)


def managed_engine(settings: Settings) -> Selection:
    """Return the live engine for a task that manages the server.

    Raises:
        SettingsError: if `QDRANT_URL` is not the address of this engine's server.
    """
    selection = live_engine(settings)
    is_its_own = settings.qdrant.is_default_url or points_at_engine(settings)
    if not selection.engine.manages_server or is_its_own:
        return selection
    address = selection.engine.address()
    listens_at = address.url if address else settings.engine.url
    if settings.qdrant.url == listens_at:
        return selection
    same = f"Set QDRANT_URL to {listens_at}" if address else "Use the same port in QDRANT_HTTP_PORT"
    raise SettingsError(
        f"QDRANT_URL is {settings.qdrant.url}, but the {selection.engine.name} engine listens at "
        f"{listens_at}.",
        hint=f"{same}, or set QDRANT_ENGINE=external.",
    )


def managed_alone(settings: Settings) -> Selection:
    """Return the live engine for a task that stops the server.

    Raises:
        SettingsError: if `QDRANT_URL` is not the address of this engine's server.
        Refused: if the server is one node of several, because the others would stay.
    """
    selection = managed_engine(settings)
    urls = settings.qdrant.cluster_urls
    if selection.engine.manages_server and len(urls) > 1:
        raise Refused(
            f"QDRANT_CLUSTER_URLS names {len(urls)} nodes, and this would stop only one of them.",
            hint="Stop a cluster with what runs it, such as `docker compose stop`.",
        )
    return selection


def points_at_engine(settings: Settings) -> bool:
    """Return whether `QDRANT_URL` is the address of a server run by this project."""
    port = settings.qdrant.url.rpartition(":")[2]
    plain = settings.qdrant.url.startswith("http://")
    return plain and settings.qdrant.is_local and port == str(settings.engine.http_port)


def managed_engine_at_url(settings: Settings) -> Engine | None:
    """Return the engine that would run the Qdrant at `QDRANT_URL`, if this project manages it."""
    if not points_at_engine(settings):
        return None
    engine = live_engine(settings).engine
    return engine if engine.manages_server else None


def live_endpoint(settings: Settings) -> Endpoint:
    """Return the Qdrant at `QDRANT_URL`, without finding out which folders it can read."""
    qdrant = settings.qdrant
    return Endpoint(
        url=qdrant.url,
        api_key=qdrant.api_key,
        grpc_port=qdrant.grpc_port,
        tls=qdrant.tls,
        plaintext_hosts=qdrant.plaintext_key_hosts,
        answer_seconds=qdrant.answer_timeout_seconds,
        green_seconds=qdrant.green_timeout_seconds,
        cluster_urls=qdrant.cluster_urls,
    )


def restore_endpoint(settings: Settings) -> Endpoint:
    """Return the Qdrant at `QDRANT_URL` with the folders of this host that it can read."""
    return replace(live_endpoint(settings), mounts=_mounts(settings))


def free_bytes(settings: Settings) -> int | None:
    """Return the free space on the disk of the Qdrant at `QDRANT_URL`, if it is known."""
    engine = _engine_at_url(settings)
    return engine.free_bytes() if engine else None


def _mounts(settings: Settings) -> tuple[Mount, ...]:
    if server_dir := settings.qdrant.server_snapshot_dir:
        return (Mount(host_dir=settings.snapshot_dir, server_dir=server_dir),)
    engine = _engine_at_url(settings)
    try:
        return engine.mounts() if engine else ()
    except TaskError:
        # Whatever is wrong with the engine, uploading works without it.
        return ()


def _engine_at_url(settings: Settings) -> Engine | None:
    """Return the engine that runs the Qdrant at `QDRANT_URL`, if this project runs it."""
    try:
        engine = managed_engine_at_url(settings)
        return engine if engine and engine.status().running else None
    except TaskError:
        return None
