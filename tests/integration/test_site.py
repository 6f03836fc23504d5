"""The site: it builds strictly, a broken link fails, and reading it asks no other host."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools.site import PAGES, linked

ELSEWHERE = re.compile(r"<(?:script|img|iframe|link)\b[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build the site of a checkout."""
    argv = (sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site))
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of this checkout."""
    site = tmp_path_factory.mktemp("site")
    built = build(ROOT, site)
    assert built.returncode == 0, built.stderr
    return site


def test_every_page_is_in_the_site(site: Path) -> None:
    """Those of docs/, and the README as its first page."""
    for page in (ROOT / "docs").glob("*.md"):
        assert (site / f"{page.stem}.html").is_file(), page
    assert "<h1" in (site / "index.html").read_text(encoding="utf-8")
    assert (site / "env.example").read_bytes() == (ROOT / ".env.example").read_bytes()


def test_reading_asks_no_other_host(site: Path) -> None:
    """No script, style, font or picture; a mermaid diagram would fetch its script."""
    for page in site.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert ELSEWHERE.findall(text) == [], page.name
        assert 'class="mermaid"' not in text, page.name


@pytest.mark.parametrize(
    ("link", "said"),
    [
        ("[x](nothing.md)", "nothing.md"),
        ("[x](tasks.md#nothing)", "#nothing"),
        ("[x](../nothing.txt)", "nothing.txt"),
    ],
)
def test_a_broken_link_fails(link: str, said: str, tmp_path: Path) -> None:
    """To a page, to a heading, to a file outside docs/."""
    root = tmp_path / "checkout"
    for folder in ("docs", "tools"):
        shutil.copytree(ROOT / folder, root / folder)
    for name in {"mkdocs.yml", *PAGES, *linked()}:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    with (root / "docs" / "drill.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{link}\n")
    built = build(root, tmp_path / "site")
    assert built.returncode != 0
    assert said in built.stderr
