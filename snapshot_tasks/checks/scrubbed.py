"""Was everything off-site read back recently, and was it whole?"""

from __future__ import annotations

from datetime import datetime, timedelta

from snapshot_tasks.domain.findings import Finding, fail, ok
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.offsite.scrubs import read_scrubs
from snapshot_tasks.system.errors import TaskError
from snapshot_tasks.system.spans import format_span
from snapshot_tasks.system.units import age, counted

CHECK = "scrub"
_VERIFY = "Run `inv snapshot.verify --remote`, or `--sample 10%` of it each day."
_PUSH = "Run `inv snapshot.push --all` where intact files are, then `inv snapshot.verify --remote`."


def check_scrubbed(repository: Repository, max_age: timedelta, now: datetime) -> Finding:
    """Everything in a place was read back within this time, and nothing is known to be damaged."""
    try:
        scrubs = read_scrubs(repository.store)
    except TaskError as error:
        return fail(CHECK, error.message, error.hint)
    if not scrubs or scrubs[-1].all_seen_at is None:
        return fail(CHECK, "not everything there has been read back yet", _VERIFY)
    last = scrubs[-1]
    if last.damaged:
        return fail(CHECK, f"{counted(len(last.damaged), 'object')} there are damaged", _PUSH)
    assert last.all_seen_at is not None
    old = now - last.all_seen_at
    message = f"everything there was read back within the last {age(old.total_seconds())}"
    if old > max_age:
        return fail(CHECK, f"{message}, more than the promised {format_span(max_age)}", _VERIFY)
    return ok(CHECK, message)
