"""The registry of stores: one line makes a new kind known everywhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from snapshot_tasks.settings import Settings, only_in_environment
from snapshot_tasks.storage import stores
from snapshot_tasks.storage.base import Stored
from snapshot_tasks.storage.kind import StoreKind
from snapshot_tasks.storage.place import Place
from snapshot_tasks.storage.stores import STORES, open_store
from snapshot_tasks.system.errors import Damaged, SettingsError
from tests.conftest import ROOT


class ShelfStore:
    """A store as a newcomer would write it; it remembers how it was opened."""

    def __init__(self, place: Place, variables: Mapping[str, str]) -> None:
        self.url = place.url
        self.variables = dict(variables)

    def check_name(self, name: str) -> None:
        """Accept any name."""

    def list(self, folder: str) -> Iterator[Stored]:
        """Yield nothing."""
        yield from ()

    def folders(self) -> Iterator[str]:
        """Yield nothing."""
        yield from ()

    def read(self, name: str, *, offset: int = 0, size: int | None = None) -> Iterator[bytes]:
        """Yield nothing."""
        yield from ()

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Forget it."""

    def delete(self, name: str) -> None:
        """Do nothing."""


SHELF = StoreKind(scheme="shelf", example="shelf://room/prefix", prefix="SHELF_", open=ShelfStore)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the line that a newcomer would add."""
    monkeypatch.setattr(stores, "STORES", (*STORES, SHELF))


@pytest.mark.usefixtures("shelf")
def test_settings_and_errors_know_a_new_store(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    """Its URL is accepted, its variables are kept, and help and errors show its example."""
    settings = make_settings(QDRANT_OFFSITE_URL="shelf://attic/x/", SHELF_KEY="hush")
    assert settings.offsite.urls == ("shelf://attic/x",)
    assert settings.offsite.store_variables == {"SHELF_KEY": "hush"}
    assert only_in_environment(tmp_path, {"SHELF_KEY": "x", "OTHER": "y"}) == ("SHELF_KEY",)
    assert "shelf://room/prefix" in stores.examples()
    with pytest.raises(SettingsError, match=r"shelf://room/prefix.*got a URL that begins with ftp"):
        make_settings(QDRANT_OFFSITE_URL="ftp://x")
    with pytest.raises(SettingsError, match="without a bucket"):
        make_settings(QDRANT_OFFSITE_URL="shelf://")


@pytest.mark.usefixtures("shelf")
def test_a_new_store_is_opened_by_its_url() -> None:
    """It gets its variables, without any other change."""
    store = open_store("shelf://attic/x", {"SHELF_KEY": "hush"})
    assert isinstance(store, ShelfStore)
    assert (store.url, store.variables) == ("shelf://attic/x", {"SHELF_KEY": "hush"})


@pytest.mark.usefixtures("shelf")
def test_a_store_without_buckets_has_a_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its URL keeps the scheme, and a host in it is refused."""
    tape = StoreKind(scheme="tape", example="tape:///drive", open=ShelfStore, has_bucket=False)
    monkeypatch.setattr(stores, "STORES", (*STORES, tape))
    assert open_store("tape:///drive%201", {}).url == "tape:///drive 1"
    with pytest.raises(SettingsError, match="a tape URL with three slashes, such as tape:///drive"):
        open_store("tape://host/drive", {})


def test_the_help_of_push_names_a_new_store(tmp_path: Path) -> None:
    """The help text of the flag is derived from the registry."""
    program = (
        "from snapshot_tasks.storage import stores\n"
        "from tests.unit.storage.test_stores import SHELF\n"
        "stores.STORES += (SHELF,)\n"
        "from snapshot_tasks.cli.wiring import PLACE_HELP\n"
        "print(PLACE_HELP)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "shelf://room/prefix" in done.stdout


def test_knowing_the_stores_imports_no_library() -> None:
    """`inv --list` needs the help texts, so store libraries are imported when one is opened."""
    program = (
        "import sys, snapshot_tasks.cli.wiring, snapshot_tasks.settings\n"
        "print([name for name in sys.modules if name.startswith('obstore')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", [".env.example", "docs/offsite.md"])
def test_every_store_is_described(page: str) -> None:
    """Its example and its variables."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for kind in STORES:
        assert kind.example in text
        assert kind.prefix in text


def test_a_file_that_the_disk_cannot_read_is_damaged(tmp_path: Path) -> None:
    """So another place helps out, and a verification goes on: this file fails like a bad sector."""
    (tmp_path / "packs").mkdir()
    (tmp_path / "packs" / "bad").symlink_to("/proc/self/mem")
    with pytest.raises(Damaged, match="Input/output error"):
        list(open_store(str(tmp_path), {}).read("packs/bad"))
