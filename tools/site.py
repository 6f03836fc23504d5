"""A hook of MkDocs: the pages and files of the site that are outside docs/."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
_LINK = re.compile(r"\]\((?P<target>[^)#:\s]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, and a copy of each other file that pages link to."""
    for source in sorted({*PAGES, *linked()}):
        files.append(File.generated(config, in_site(source), abs_src_path=str(ROOT / source)))
    return files


def linked() -> Iterator[str]:
    """Yield the files outside docs/ that pages link to; one that is missing fails the build."""
    for page in (*(ROOT / "docs").glob("*.md"), *(ROOT / name for name in PAGES)):
        for link in _LINK.finditer(page.read_text(encoding="utf-8")):
            path = (page.parent / link["target"]).resolve()
            if path.is_file() and path.is_relative_to(ROOT) and not path.is_relative_to(DOCS):
                yield str(path.relative_to(ROOT))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links that are right in the site, where docs/ is the root."""
    folder = ROOT if page.file.src_uri in PAGES.values() else DOCS

    def moved(link: re.Match[str]) -> str:
        path = (folder / link["target"]).resolve()
        if not path.is_relative_to(ROOT):
            return link[0]
        in_docs = path.is_relative_to(DOCS)
        target = str(path.relative_to(DOCS)) if in_docs else in_site(str(path.relative_to(ROOT)))
        return f"]({target}{link['anchor'] or ''})"

    return _LINK.sub(moved, markdown)


def in_site(source: str) -> str:
    """Return where the site has a file outside docs/; some servers hide dot files."""
    return PAGES.get(source, "/".join(part.lstrip(".") for part in source.split("/")))
