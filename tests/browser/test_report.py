"""The report as people use it: on a phone, in dark mode, printed, read aloud, without scripts."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.conftest import Looking, Picture
from tests.support.histories import HISTORIES, HOSTILE

PHONE, DESKTOP, PAPER = 375, 1200, 794
EVERY = list(HISTORIES)
# Elements that reach over the right edge and are not hidden there on purpose.
OVER_THE_EDGE = """() => [...document.querySelectorAll("body *")]
    .filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest(".hidden"))
    .map(e => e.tagName + "." + e.className)"""
TREE = """() => [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].map(h => +h.tagName[1])"""
LINES = """svg => [...svg.querySelectorAll(".line, .dots, .crosses")].map(path => {
    const [inner, outer] = [path.getBoundingClientRect(), svg.getBoundingClientRect()];
    return inner.left >= outer.left - 4 && inner.right <= outer.right + 4
        && inner.top >= outer.top - 4 && inner.bottom <= outer.bottom + 4;
})"""


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_it_fits_and_asks_for_nothing(
    look: Looking, picture: Picture, name: str, width: int
) -> None:
    """No sideways scrolling, no complaint of the browser, no request except for the file itself."""
    with look(name, width=width) as seen:
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert seen.page.evaluate(OVER_THE_EDGE) == []
        assert seen.complaints == []
        if name in ("well", "hostile", "nothing"):
            picture(seen, f"{name}-{width}")


@pytest.mark.parametrize(
    ("name", "scheme"),
    [
        ("nothing", "light"),
        ("one", "dark"),
        ("well", "light"),
        ("hostile", "light"),
        ("hostile", "dark"),
    ],
)
def test_axe_finds_nothing(look: Looking, picture: Picture, name: str, scheme: str) -> None:
    """Every accessibility rule of axe is met, including the contrast of all text."""
    with look(name, color_scheme=scheme) as seen:
        found = Axe().run(seen.page).response
        rules = {rule["id"] for rule in found["passes"]}
        assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []
        assert {"color-contrast", "html-has-lang", "landmark-one-main"} <= rules
        if name != "nothing":
            assert {"svg-img-alt", "td-headers-attr"} & rules
        if scheme == "dark":
            picture(seen, f"{name}-dark")


def test_the_dark_is_dark(look: Looking) -> None:
    """The page follows the preference of the reader's system."""
    paper = "getComputedStyle(document.body).backgroundColor"
    with look("well", color_scheme="light") as light, look("well", color_scheme="dark") as dark:
        assert light.page.evaluate(paper) == "rgb(251, 250, 247)"
        assert dark.page.evaluate(paper) == "rgb(23, 22, 20)"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_prints(look: Looking, picture: Picture, tmp_path: Path, scheme: str) -> None:
    """Black on white whatever the screen shows, within the paper, with every row."""
    with look("hostile", width=PAPER, color_scheme=scheme) as seen:
        seen.page.emulate_media(media="print")
        assert seen.page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert (
            seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
            == "rgb(255, 255, 255)"
        )
        assert seen.page.evaluate(OVER_THE_EDGE) == []
        printed = seen.page.pdf(path=tmp_path / "report.pdf", format="A4")
        assert printed.startswith(b"%PDF")
        picture(seen, f"print-{scheme}")


@pytest.mark.parametrize("name", EVERY)
def test_a_screen_reader_finds_its_way(look: Looking, name: str) -> None:
    """One page heading, no level skipped, the landmarks, and tables whose cells have names."""
    with look(name) as seen:
        page = seen.page
        levels = page.evaluate(TREE)
        assert levels.count(1) == 1
        assert all(deeper - level <= 1 for level, deeper in pairwise(levels))
        for landmark in ("banner", "main", "contentinfo"):
            assert page.get_by_role(landmark).count() == 1
        assert page.locator("table").count() == page.locator("table > caption").count()
        assert page.locator("th:not([scope])").count() == 0
        assert page.locator("section:not([aria-labelledby])").count() == 0
        assert page.get_attribute("html", "lang") == "en"


def test_the_plots_are_drawn_and_told(look: Looking) -> None:
    """Each collection has both, inside their frames, with a description of what they show."""
    with look("well") as seen:
        for name in ("Restore time", "Size of the snapshot"):
            assert seen.page.get_by_role("img", name=name).count() == 2
        for plot in seen.page.locator("svg[role=img]").all():
            assert all(plot.evaluate(LINES))
            assert plot.locator("text").count() >= 5
        assert "40 measurements from 21 January 2025 to 1 March 2025: latest" in seen.text


def test_one_measurement_is_no_plot(look: Looking) -> None:
    """A single number is written as text."""
    with look("one") as seen:
        assert seen.page.locator("svg").count() == 0
        assert "100 ms" in seen.text


def test_it_needs_no_script(look: Looking) -> None:
    """Without scripts, everything is there; with them, none could run."""
    with look("well", java_script_enabled=False) as seen:
        assert "All is well." in seen.text
    with look("well") as seen:
        add = "document.body.append(Object.assign(document.createElement('script'), {text: %r}))"
        seen.page.evaluate(add % "window.ran = 1")
        assert seen.page.evaluate("window.ran") is None
        assert "Content Security Policy" in seen.complaints[0]


def test_hostile_names_are_only_text(look: Looking) -> None:
    """They run nothing, appear unchanged, and do not reverse any text."""
    with look("hostile") as seen:
        listed: Any = seen.page.locator(".overview tbody th").all_inner_texts()
        shown = {name.encode("unicode_escape") for name in listed}
        for name in HOSTILE:
            visible = "".join(f"\\u{ord(c):04x}" if c in "\u202e\u2066\u2069" else c for c in name)
            assert visible.encode("unicode_escape") in shown
        assert seen.page.locator("script, img, iframe").count() == 0
        assert "7 * 7" in seen.text


def test_each_remedy_is_there(look: Looking) -> None:
    """Anyone who opens the page first sees what to do."""
    with look("hostile") as seen:
        items = seen.page.locator(".attention > li")
        assert items.count() == seen.page.locator(".attention > li .remedy").count() > 5
        assert f"{items.count()} things need attention." in seen.text
        commands = seen.page.locator(".remedy code").all_inner_texts()
        assert "inv snapshot.create --collection old" in commands
        assert "inv snapshot.test-restore --create --collection 'a `b` c'" in commands


def test_the_links_lead_to_the_details(look: Looking) -> None:
    """Every name in the overview jumps to its section."""
    with look("thirty") as seen:
        links = seen.page.locator(".overview a")
        assert links.count() == 30
        links.nth(29).click()
        assert seen.page.evaluate("location.hash") == "#c30"
        assert seen.page.locator("#c30").inner_text() == "collection-29"
