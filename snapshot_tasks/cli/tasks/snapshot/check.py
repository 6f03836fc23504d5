"""`inv snapshot.check`: are the promises about the backups kept?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snapshot_tasks.cli.command import Outcome, Run, Span, command
from snapshot_tasks.cli.flags import only_one
from snapshot_tasks.cli.show.ci import tell_ci
from snapshot_tasks.cli.wiring import collection_in, now, open_catalog, repositories
from snapshot_tasks.system.errors import SettingsError

if TYPE_CHECKING:
    from datetime import timedelta


@command(
    "snapshot.check",
    help={
        "collection": "The collection; can be repeated. Default: QDRANT_COLLECTION_NAME.",
        "all": "All collections in the catalogue.",
        "max-age": "Maximum age of the newest snapshot, such as 90min or 2d; default: 26h.",
        "max-proof-age": "Maximum age of the last passed restore test; default: 8d.",
        "max-scrub-age": "How long ago everything off-site must have been read back at most, by"
        " snapshot.verify --remote; default: not asked.",
    },
    iterable=("collection",),
    watched=True,
)
def check(
    run: Run,
    collection: list[str] | None = None,
    all: bool = False,
    max_age: str = Span("26h"),
    max_proof_age: str = Span("8d"),
    max_scrub_age: str = Span(),
) -> Outcome:
    """Check that the backups keep their promises; exit with 23 and list each broken promise."""
    from snapshot_tasks.cli.show.checked import checked_promises
    from snapshot_tasks.cli.show.promises import promises_json, render_promises
    from snapshot_tasks.operations.check import Promised, judge

    only_one(all=all, collection=collection)
    catalog = open_catalog(run)
    promised = Promised(
        collections=None if all else collection or [collection_in(run, catalog)],
        max_age=_given("max-age", max_age),
        max_proof_age=_given("max-proof-age", max_proof_age),
        off_site=bool(run.settings.offsite.urls),
        max_scrub_age=max_scrub_age.value if isinstance(max_scrub_age, Span) else None,
        places=repositories(run, None) if max_scrub_age else [],
    )
    at = now()
    judgement = judge(promised, catalog, now=at)
    tell_ci(run, [checked_promises(judged, at) for judged in judgement.judged])
    return Outcome(
        result=promises_json(judgement),
        render=lambda: render_promises(judgement),
        error=judgement.error,
    )


def _given(flag: str, text: str) -> timedelta:
    assert isinstance(text, Span)
    if text.value is None:
        raise SettingsError(f"--{flag} is empty.", hint="Use a value such as 26h or 8d.")
    return text.value
