"""`inv snapshot.import`: catalogue snapshot files of other tools."""  # noqa: N999 (its task's name)

from __future__ import annotations

from pathlib import Path

from snapshot_tasks.cli.command import Outcome, Run, command
from snapshot_tasks.cli.wiring import fresh_servers, open_catalog
from snapshot_tasks.domain.failure import joined
from snapshot_tasks.system.errors import SettingsError


@command(
    "snapshot.import",
    help={
        "files": "The files; just name them after the task.",
        "collection": "The collection they are of. Default: as in Qdrant's name of each file.",
        "label": "A label to recognise them by, stored in the manifest.",
    },
    iterable=("files",),
)
def import_(
    run: Run, files: list[str] | None = None, collection: str = "", label: str = ""
) -> Outcome:
    """Catalogue snapshot files of other tools: copy, check and seal them."""
    from snapshot_tasks.cli.show.imported import imported_json, render_imported, steps
    from snapshot_tasks.operations.batch import for_each
    from snapshot_tasks.operations.create.found import find_file
    from snapshot_tasks.operations.create.imported import Importer

    if not files:
        raise SettingsError(
            "There is no file to import.",
            hint="Name one or several: `inv snapshot.import FILE…`.",
        )
    catalog = open_catalog(run)
    paths = dict.fromkeys(map(Path, files))
    found = for_each(paths, lambda path: find_file(path, collection), name=str)
    if run.dry:
        outcome = run.would(*steps(found.results, catalog.folder))
        return Outcome(result=outcome.result, render=outcome.render, error=found.error)
    catalog.make_folder()
    with catalog.lock(run.name):
        importer = Importer(
            catalog=catalog, servers=fresh_servers(run), progress=run.progress, label=label
        )
        done = importer.each(found.results)
    failures = (*found.failures, *done.failures)
    return Outcome(
        result=imported_json(done.results, failures),
        render=lambda: render_imported(done.results),
        error=joined(failures),
    )
