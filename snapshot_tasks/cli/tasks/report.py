"""`inv report`: one page that shows what is protected, when it was proven, and what to do."""

from __future__ import annotations

import os
from pathlib import Path

from snapshot_tasks.cli.calling import named
from snapshot_tasks.cli.command import Outcome, Run, Span, command
from snapshot_tasks.cli.wiring import now, open_catalog
from snapshot_tasks.system.errors import Refused


@command(
    "report",
    help={
        "output": "The file to write. An existing report is replaced; any other file is not.",
        "max-age": "Maximum age of the newest snapshot, such as 26h; empty for no limit.",
        "max-proof-age": "Maximum age of the last proof (passed restore test), such as 8d.",
    },
)
def report(
    run: Run,
    output: str = "report.html",
    max_age: str = Span("26h"),
    max_proof_age: str = Span("8d"),
) -> Outcome:
    """Write one HTML page: what is protected, when it was proven, what needs attention."""
    from snapshot_tasks.cli.show.report import render_report
    from snapshot_tasks.operations.report import collect
    from snapshot_tasks.report.page import render_page
    from snapshot_tasks.system.files import by_umask, storage_errors, write_text

    assert isinstance(max_age, Span)
    assert isinstance(max_proof_age, Span)
    path = Path(output).absolute()
    _refuse_others(path)
    if run.dry:
        return run.would(f"write {path}")
    collected = collect(
        open_catalog(run), now=now(), max_age=max_age.value, max_proof_age=max_proof_age.value
    )
    with storage_errors(path.parent, setting="--output"):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, render_page(collected, named), mode=by_umask())
    return Outcome(
        result={"path": str(path), **collected.as_json()},
        render=lambda: render_report(path, collected),
    )


def _refuse_others(path: Path) -> None:
    """Raise `Refused` if the file exists and is not one of our reports."""
    from snapshot_tasks.report.page import is_report

    if os.path.lexists(path) and not is_report(path):
        raise Refused(
            f"{path} already exists and is not a report.",
            hint="Choose another file with `--output`, or move it away.",
        )
