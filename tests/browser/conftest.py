"""A real headless Chromium, and the reports of folders with different histories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, FloatRect, Page, sync_playwright

from snapshot_tasks.catalog.folder import Catalog
from snapshot_tasks.report.page import render_page
from tests.conftest import ROOT, missing
from tests.support.histories import HISTORIES, report_of
from tools.tasks.needs import find_browser

PICTURES = ROOT / "test-results" / "report"


@dataclass
class Look:
    """An open page, with every complaint and every request other than the page itself."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The text that a person reads."""
        return self.page.inner_text("body")


Looking = Callable[..., AbstractContextManager[Look]]
Picture = Callable[[Look, str], None]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for a module; each look has its own profile.

    It is closed at the end of the module, or its driver's event loop would run under all other
    tests.
    """
    found = find_browser()
    if found is None:
        missing("no Chromium on this machine (its package is chromium)")
    with sync_playwright() as playwright:
        # As root, which CI machines use, there is no sandbox.
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the page of each history, as a file."""
    written = {}
    for name, fill in HISTORIES.items():
        folder = tmp_path_factory.mktemp(name)
        catalog = Catalog(folder / "snapshots")
        catalog.make_folder()
        fill(catalog)
        written[name] = folder / "report.html"
        written[name].write_text(render_page(report_of(catalog)), encoding="utf-8")
    return written


@pytest.fixture
def look(browser: Browser, pages: dict[str, Path]) -> Looking:
    """Open a page at a width; record its complaints and its network requests."""

    @contextmanager
    def opened(name: str, *, width: int = 1200, **options: Any) -> Iterator[Look]:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        seen = Look(page=context.new_page())
        page = seen.page
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        page.on("dialog", lambda dialog: seen.complaints.append(dialog.message))
        page.on("request", lambda request: _note(request.url, seen.complaints))
        page.goto(pages[name].as_uri())
        try:
            yield seen
        finally:
            context.close()

    return opened


def _note(url: str, complaints: list[str]) -> None:
    if not url.startswith(("file:", "data:")):
        complaints.append(url)


@pytest.fixture
def picture() -> Picture:
    """Save a picture of what is shown, for people to look at."""

    def keep(look: Look, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        size = look.page.viewport_size or {"width": 1200, "height": 900}
        height = look.page.evaluate("document.documentElement.scrollHeight")
        clip = FloatRect(x=0, y=0, width=size["width"], height=min(height, 4000))
        look.page.screenshot(path=PICTURES / f"{name}.png", full_page=True, clip=clip)

    return keep
