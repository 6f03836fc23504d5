"""The picture in docs/report.md; `python -m tests.browser.picture docs/report.png` creates it.

A collection in a native Qdrant grows; each round takes a snapshot of it and tests its restore, as
`inv snapshot.create` and `inv snapshot.test-restore` do. Everything is measured except the clock,
which pretends that a day passes between two rounds.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from playwright.sync_api import sync_playwright

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.engines.base import FreshRequest
from snapshot_tasks.engines.native import NativeEngine
from snapshot_tasks.operations.create.one import create
from snapshot_tasks.operations.create.request import CreateRequest
from snapshot_tasks.operations.prove.drill import DrillRequest, drill
from snapshot_tasks.operations.report import collect
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.report.page import render_page
from snapshot_tasks.settings import load_settings
from snapshot_tasks.system.progress import Clock, Silent
from tests.support.collections import Loader, plain_points
from tools.tasks.needs import find_browser

COLLECTION, ROUNDS, POINTS, DIMENSIONS = "informasi-umum-itb", 12, 2000, 64
WIDTH, HEIGHT = 1000, 1290


def main() -> None:
    """Write the picture to the given path."""
    with tempfile.TemporaryDirectory() as name:
        catalog = Catalog(Path(name) / "qdrant_snapshots")
        catalog.make_folder()
        _fill(catalog)
        ages = {"max_age": timedelta(hours=26), "max_proof_age": timedelta(days=8)}
        report = collect(catalog, now=datetime.now(UTC), **ages)
        page = Path(name) / "report.html"
        page.write_text(render_page(report).replace(name, "/srv"), encoding="utf-8")
        _picture(page, Path(sys.argv[1]))


def _fill(catalog: Catalog) -> None:
    settings = load_settings(catalog.folder, {})
    engine, version = NativeEngine(settings), settings.engine.version
    request = FreshRequest(version=version, folder=catalog.folder)
    wanted = CreateRequest(collection=COLLECTION)
    with (
        engine.fresh(request, Silent()) as live,
        Server(live.endpoint, operation_timeout_seconds=60) as server,
    ):
        loader = Loader(live.endpoint.url)
        loader.plain(COLLECTION, points=POINTS, dimensions=DIMENSIONS)
        for number in range(ROUNDS):
            clock = _clock(timedelta(days=ROUNDS - 1 - number, hours=3))
            loader.fill(COLLECTION, plain_points(POINTS * (number + 1), DIMENSIONS))
            taken = create(wanted, server, catalog, Silent(), clock=clock)
            tested = DrillRequest(
                snapshot=taken.snapshot, version=version, operation_timeout_seconds=60
            )
            drill(tested, engine, Silent(), clock=clock)
        loader.close()


def _picture(page: Path, path: Path) -> None:
    browser = find_browser()
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        shown = launched.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        shown.goto(page.as_uri())
        shown.screenshot(path=path)
        launched.close()


def _clock(behind: timedelta) -> Clock:
    return lambda: datetime.now(UTC) - behind


if __name__ == "__main__":
    main()
