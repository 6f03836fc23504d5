"""A hook of MkDocs: the pages and files of the site that are outside docs/."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# What the pages link to outside docs/, and where the site has it. Some servers hide dot files.
MOVED = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "CHANGELOG.md": "CHANGELOG.md",
    "LICENSE": "LICENSE.txt",
    ".env.example": "env.example",
    ".github/workflows/restore-proof.yml": "restore-proof.yml",
}
_LINK = re.compile(r"\]\((?P<target>[^)#:]+)(?P<anchor>#[^)]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is outside docs/."""
    for source, target in MOVED.items():
        files.append(File.generated(config, target, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links that are right in the site, where docs/ is the root."""
    folder = ROOT if page.file.src_uri in MOVED.values() else ROOT / "docs"
    return _LINK.sub(
        lambda link: f"]({moved(folder, link['target'])}{link['anchor'] or ''})", markdown
    )


def moved(folder: Path, target: str) -> str:
    """Return where the site has what a page in this folder links to."""
    path = (folder / target).resolve()
    if path.is_relative_to(ROOT / "docs"):
        return str(path.relative_to(ROOT / "docs"))
    inside = str(path.relative_to(ROOT))
    return MOVED.get(inside, inside)
