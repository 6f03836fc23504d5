"""What the snapshot tasks share: the catalogue, the connection, and how to find a snapshot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from snapshot_tasks.cli.command import Outcome, Run, Seconds
from snapshot_tasks.cli.console import say, tell
from snapshot_tasks.storage.stores import examples
from snapshot_tasks.system.errors import SettingsError

if TYPE_CHECKING:
    from snapshot_tasks.catalog.folder import Catalog
    from snapshot_tasks.domain.failure import Failure
    from snapshot_tasks.domain.snapshot import Snapshot
    from snapshot_tasks.offsite.repository import Repository
    from snapshot_tasks.operations.batch import Batch
    from snapshot_tasks.operations.create.request import CreateDefaults
    from snapshot_tasks.operations.create.seal import FreshServers
    from snapshot_tasks.operations.offsite.listing import Listing, Remote
    from snapshot_tasks.operations.offsite.moving import Keys
    from snapshot_tasks.operations.offsite.push import Pushed
    from snapshot_tasks.qdrant.server import Server

SNAPSHOT_HELP = "Path, or name from snapshot.list; default: the newest snapshot of the collection."
COLLECTION_HELP = "The collection; default: QDRANT_COLLECTION_NAME."
A_PLACE = f"such as {examples()} or a folder; can be repeated"
PLACE_HELP = f"{A_PLACE}. Default: QDRANT_OFFSITE_URL."

AT_HELP = "As it was at this time, such as 2026-11-30T06:00Z, in an S3 bucket that keeps versions."


def now() -> datetime:
    """Return the current time; operations get this clock, so that tests can pass another."""
    return datetime.now(UTC)


def open_catalog(run: Run, output_dir: str = "") -> Catalog:
    """Return the catalogue of the snapshot folder, or of another folder."""
    from snapshot_tasks.catalog.folder import Catalog

    return Catalog(Path(output_dir).absolute() if output_dir else run.settings.snapshot_dir)


def connect(run: Run, *, mounted: bool = False) -> Server:
    """Return a connection to the live Qdrant; `mounted` also finds the folders it can read."""
    from snapshot_tasks.engines.select import live_endpoint, restore_endpoint
    from snapshot_tasks.qdrant.server import Server

    endpoint = restore_endpoint(run.live) if mounted else live_endpoint(run.live)
    return Server(endpoint, operation_timeout_seconds=run.settings.qdrant.operation_timeout_seconds)


def repositories(
    run: Run, urls: Sequence[str] | None, *, at: datetime | None = None
) -> list[Repository]:
    """Return the repositories at the off-site places from the flags or the settings.

    `at` a time, they can only be read.

    Raises:
        Refused: if a place cannot be read as it was.
        SettingsError: if there is none, or a URL is wrong.
    """
    from snapshot_tasks.offsite.repository import open_repository
    from snapshot_tasks.storage.stores import STORES

    wanted = dict.fromkeys(urls or run.settings.offsite.urls)
    if not wanted:
        raise SettingsError(
            "No off-site place is set.",
            hint=f"Set QDRANT_OFFSITE_URL, for example to {STORES[0].example}, or pass a place"
            " to the task; its --help names the flag.",
        )
    variables = run.settings.offsite.store_variables
    return [open_repository(url, variables, at=at) for url in wanted]


def keys_off_site(run: Run) -> Keys:
    """Return for whom this machine packs, what it can read, and where it notes what it knows."""
    from snapshot_tasks.offsite.codec import Packer, Unpacker
    from snapshot_tasks.operations.offsite.moving import Keys

    offsite = run.settings.offsite
    return Keys(
        packer=Packer(offsite.age_recipients),
        unpacker=Unpacker(offsite.age_identity_file),
        cache=run.settings.snapshot_dir,
    )


def find_snapshot(run: Run, catalog: Catalog, snapshot: str, collection: str) -> Snapshot:
    """Return the snapshot that the flags select. Raises `NotFound` if there is none."""
    if snapshot:
        return catalog.find(snapshot)
    return catalog.newest(collection or collection_in(run, catalog))


def collection_in(run: Run, catalog: Catalog) -> str:
    """Return the collection of the settings, else the only one in the catalogue.

    Raises:
        NotFound: if none is named and there are several.
    """
    return _default_collection(run, catalog.collections)


def collection_on(run: Run, server: Server) -> str:
    """Return the collection of the settings, else the only one on the server.

    Raises:
        NotFound: if none is named, and there are several or none at all.
    """
    from snapshot_tasks.checks.unnamed import no_collections

    names = server.collections.names()
    if not names and run.settings.is_default_collection:
        raise no_collections()
    return _default_collection(run, lambda: names)


def collection_off_site(run: Run, places: Sequence[Repository]) -> str:
    """Return the collection of the settings, else the only one in these places.

    Raises:
        NotFound: if none is named and there are several.
    """
    from snapshot_tasks.operations.offsite.listing import collections_off_site

    return _default_collection(run, lambda: collections_off_site(places))


def off_site(
    run: Run,
    urls: Sequence[str] | None,
    *,
    at: datetime | None,
    snapshot: str,
    collection: str,
    every: bool,
) -> tuple[Listing, list[Remote]]:
    """Return what is off-site, and of it the snapshots that the flags choose.

    A place that does not respond is only noted, because another may have the snapshot.

    Raises:
        NotFound: if there is no such snapshot.
        TaskError: if there is none because a place did not respond.
    """
    from snapshot_tasks.operations.offsite.listing import choose, list_remote

    places = repositories(run, urls, at=at)
    is_any = (every or snapshot) and not collection
    wanted = None if is_any else collection or collection_off_site(run, places)
    listing = list_remote(places, wanted)
    for failure in listing.failures:
        run.progress.note(f"{failure.name}: {failure.error.message}")
    chosen = choose(listing, snapshot=snapshot)
    for sentence in listing.misplaced:
        run.progress.note(sentence)
    return listing, chosen


def _default_collection(run: Run, names: Callable[[], Sequence[str]]) -> str:
    from snapshot_tasks.operations.choose import only_collection

    default = run.settings.collection
    if not run.settings.is_default_collection:
        return default
    chosen = only_collection(default, names())
    if chosen != default:
        run.progress.note(f"collection: {chosen}, the only one")
    return chosen


def create_defaults(run: Run) -> CreateDefaults:
    """Return the settings for every new snapshot."""
    from snapshot_tasks.operations.create.request import CreateDefaults

    return CreateDefaults(
        fresh_servers=fresh_servers(run), max_drop=run.settings.max_drop_percent / 100
    )


def fresh_servers(run: Run) -> FreshServers:
    """Return how to run a fresh server for a seal."""
    from snapshot_tasks.engines.select import drill_engine
    from snapshot_tasks.operations.create.seal import FreshServers

    return FreshServers(
        engine=lambda: drill_engine(run.settings).engine,
        operation_timeout_seconds=run.settings.qdrant.operation_timeout_seconds,
        version=run.settings.engine.version,
    )


def run_hook(run: Run, snapshots: Sequence[Snapshot]) -> tuple[Failure, ...]:
    """Run QDRANT_POST_CREATE_HOOK for each new snapshot; its output goes to stderr as it comes."""
    from snapshot_tasks.operations.create.hook import run_hooks

    settings = run.settings
    return run_hooks(settings.post_create_hook, snapshots, say, secret=settings.qdrant.api_key)


def push_new(
    run: Run, snapshots: Sequence[Snapshot], targets: Sequence[Repository]
) -> Batch[Pushed]:
    """Push new snapshots to each place; a failed push does not stop the others."""
    from snapshot_tasks.offsite.codec import Packer, Unpacker
    from snapshot_tasks.operations.offsite.push import PushRequest, push_each

    offsite = run.settings.offsite
    requests = [
        PushRequest(
            snapshot=one,
            packer=Packer(offsite.age_recipients),
            unpacker=Unpacker(offsite.age_identity_file),
            cache=run.settings.snapshot_dir,
        )
        for one in (snapshots if targets else ())
    ]
    return push_each(requests, targets, run.progress, clock=now)


TIMEOUT_HELP = (
    "How many seconds to wait for Qdrant to become ready; default: QDRANT_READY_TIMEOUT_SECONDS."
)


BY_SETTING = Seconds(0)


def said(result: dict[str, Any], sentence: str) -> Outcome:
    """Return an outcome that prints one sentence."""
    return Outcome(result=result, render=lambda: tell(sentence))
