"""`inv snapshot.create`: take a snapshot of a live collection."""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, Seconds, command
from snapshot_tasks.cli.flags import only_one
from snapshot_tasks.cli.wiring import (
    collection_on,
    connect,
    create_defaults,
    now,
    open_catalog,
    push_new,
    repositories,
    run_hook,
)
from snapshot_tasks.domain.failure import joined


@command(
    "snapshot.create",
    help={
        "collection": "The collection; can be repeated. Default: QDRANT_COLLECTION_NAME.",
        "all": "All collections on the server; continues if one fails.",
        "output-dir": "Save it in this folder instead of QDRANT_SNAPSHOT_DIR.",
        "label": "A label to recognise it by, stored in the manifest.",
        "keep-server-copy": "Keep Qdrant's own copy on the server.",
        "no-seal": "Skip the seal (a fingerprint of every point), which requires reading every"
        " point.",
        "strict": "Fail with 21 instead of a warning if the contents look suspicious.",
        "prune": "Then delete old snapshots by the QDRANT_KEEP_... rules, without asking; for"
        " cron.",
        "push": "Then copy the new snapshots to the off-site places of QDRANT_OFFSITE_URL.",
        "wait": "In a cluster, how many seconds to wait until every replica is current.",
        "stream": "In a cluster, receive each shard as a stream, for nodes without space for a"
        " copy.",
    },
    watched=True,
    iterable=("collection",),
)
def create(
    run: Run,
    collection: list[str] | None = None,
    all: bool = False,
    output_dir: str = "",
    label: str = "",
    keep_server_copy: bool = False,
    no_seal: bool = False,
    strict: bool = False,
    prune: bool = False,
    push: bool = False,
    wait: float = Seconds(0),
    stream: bool = False,
) -> Outcome:
    """Take a snapshot of a live collection, check every byte, seal it and catalogue it."""
    from snapshot_tasks.catalog.lock import Use
    from snapshot_tasks.cli.show.created import created_json, render_created_and_pruned
    from snapshot_tasks.cli.show.offsite import pushed_json, render_pushes
    from snapshot_tasks.operations.create.many import create_and_prune
    from snapshot_tasks.operations.prune import check_policy
    from snapshot_tasks.operations.restore.unfinished import tidied
    from snapshot_tasks.system.files import lacking

    only_one(all=all, collection=collection)
    policy = run.settings.keep if prune else None
    if policy:
        check_policy(policy)
    targets = repositories(run, None) if push else []
    catalog = open_catalog(run, output_dir)
    if run.dry:
        names = collection or [run.settings.collection]
        return run.would(
            f"take a snapshot of {'all' if all else ', '.join(names)} and save it in"
            f" {catalog.folder}",
            *(["delete old snapshots by the rules"] if prune else []),
            *(f"push what was taken to {target.url}" for target in targets),
        )
    catalog.make_folder()
    use = Use.WRITE if policy else Use.JOURNAL
    with connect(run) as server, tidied(catalog, run.name, server, run.progress, use=use):
        defaults = create_defaults(run)
        names = server.collections.names() if all else collection or [collection_on(run, server)]
        requests = [
            defaults.request(
                name,
                label=label,
                keep_server_copy=keep_server_copy,
                seal=not no_seal,
                strict=strict,
                wait_seconds=wait,
                stream=stream,
            )
            for name in dict.fromkeys(names)
        ]
        if lacks := lacking(catalog.folder):
            run.progress.note(f"{catalog.folder} lacks {'; '.join(lacks)}.")
        done = create_and_prune(
            requests, policy, server, catalog, run.progress, clock=now, may_vanish=all
        )
    hooked = run_hook(run, done.snapshots)
    pushed = push_new(run, done.snapshots, targets)
    failures = (*done.failures, *hooked, *pushed.failures)

    def render() -> None:
        render_created_and_pruned(done, pruned=prune)
        render_pushes(pushed.results, ())

    return Outcome(
        result={
            **created_json(done, failures),
            "pushed": [pushed_json(one) for one in pushed.results],
        },
        render=render,
        error=joined(failures),
    )
