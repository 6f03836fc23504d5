"""`inv snapshot.verify`: is this file unchanged since it was taken?"""

from __future__ import annotations

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.flags import Percent, only_one, wrong_value
from snapshot_tasks.cli.show.ci import JUNIT_HELP, tell_ci
from snapshot_tasks.cli.wiring import (
    COLLECTION_HELP,
    PLACE_HELP,
    SNAPSHOT_HELP,
    find_snapshot,
    fresh_servers,
    now,
    open_catalog,
    repositories,
)
from snapshot_tasks.system.errors import SettingsError


@command(
    "snapshot.verify",
    help={
        "snapshot": SNAPSHOT_HELP,
        "collection": COLLECTION_HELP,
        "level": "bytes: size, sha256, structure; content: every point of the file, compared with "
        "its seal; source: the live collection, compared with the seal.",
        "all": "All snapshots in the catalogue, or of --collection.",
        "remote": "Read back the copies off-site, those of all collections, instead of files here.",
        "sample": "With --remote: only this share of them, going on where the last sample ended.",
        "from": f"With --remote: the place, {PLACE_HELP}",
        "junit": JUNIT_HELP,
    },
    watched=True,
    iterable=("from_",),
)
def verify(
    run: Run,
    snapshot: str = "",
    collection: str = "",
    level: str = "bytes",
    all: bool = False,
    remote: bool = False,
    sample: float = Percent(1),
    from_: list[str] | None = None,
    junit: str = "",
) -> Outcome:
    """Check that a snapshot file has not changed since it was taken."""
    from snapshot_tasks.cli.show.checked import checked_file
    from snapshot_tasks.cli.show.verified import render_verified, verified_json
    from snapshot_tasks.domain.proof import LEVELS
    from snapshot_tasks.engines.select import live_endpoint
    from snapshot_tasks.operations.choose import all_of
    from snapshot_tasks.operations.prove.contents import verify_each

    if level not in LEVELS:
        raise wrong_value("level", level, choices=LEVELS)
    only_one(all=all, snapshot=snapshot)
    if remote:
        only_one(remote=remote, all=all, snapshot=snapshot, collection=collection, junit=junit)
        return _verify_remote(run, from_, sample)
    if from_ or sample != 1:
        raise SettingsError(
            "--from and --sample are for the copies off-site.", hint="Add `--remote`."
        )
    catalog = open_catalog(run)
    if all:
        chosen = all_of(catalog, collection, purpose="verify")
    else:
        chosen = [find_snapshot(run, catalog, snapshot, collection)]

    verified = verify_each(
        level,
        chosen,
        lambda: live_endpoint(run.live),
        fresh_servers(run),
        run.progress,
        clock=now,
        keep=not run.dry,
    )
    at = now()
    tell_ci(run, [checked_file(v, at) for v in verified.results], verified.failures, junit=junit)
    return Outcome(
        result=verified_json(verified),
        render=lambda: render_verified(verified),
        error=verified.error,
    )


def _verify_remote(run: Run, places: list[str] | None, share: float) -> Outcome:
    from snapshot_tasks.cli.show.offsite_verified import render_scrubbed, scrubbed_json
    from snapshot_tasks.offsite.codec import Unpacker
    from snapshot_tasks.operations.offsite.verify import verify_places

    targets = repositories(run, places)
    if run.dry:
        return run.would(*(f"read what lies in {target.url}" for target in targets))
    verified = verify_places(
        targets,
        Unpacker(run.settings.offsite.age_identity_file),
        run.progress,
        share=share,
        clock=now,
    )
    return Outcome(
        result=scrubbed_json(verified),
        render=lambda: render_scrubbed(verified),
        error=verified.error,
    )
