"""The protocol of a push: what is written, in which order, and when it becomes visible."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapshot_tasks.offsite.codec import Packer
from snapshot_tasks.offsite.layout import DATA, MANIFEST, MARKERS, PROOFS, Key
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.offsite.upload import Upload
from snapshot_tasks.storage.folder import FolderStore
from snapshot_tasks.storage.stores import parse_place
from snapshot_tasks.system.errors import Refused, StorageError

KEY = Key(collection="books", snapshot="books_20250101_120000.snapshot")


class Recording(FolderStore):
    """A folder that records the names of what is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(parse_place(str(folder), relative_to=folder), {})
        self.written: list[str] = []

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write, and record the name."""
        super().write(name, data, new=new)
        self.written.append(name)


def upload(store: FolderStore, content: tuple[bytes, ...] = (b"one", b"two")) -> Upload:
    """Send two parts and the files next to them."""
    session = Upload(Repository(store), KEY, Packer())
    for plain in content:
        session.send_part(plain)
    session.send_beside({MANIFEST: b"{}", PROOFS: b""})
    return session


def marker(session: Upload) -> Marker:
    """Return the marker of everything that was sent."""
    return Marker(
        snapshot=KEY.snapshot,
        collection=KEY.collection,
        created_at=datetime(2025, 1, 1, 12, tzinfo=UTC),
        size_bytes=sum(part.size_bytes for part in session.parts),
        sha256=session.sha256,
        parts=session.parts,
        beside=session.beside,
    )


def test_the_marker_is_written_last_and_alone_makes_it_visible(tmp_path: Path) -> None:
    """Parts first, then the files next to them: a killed push leaves nothing visible."""
    store = Recording(tmp_path)
    session = upload(store)
    kinds = [name.split("/")[3].partition("-")[0] for name in store.written]
    assert kinds == ["parts", "parts", "manifest", "proofs"]
    assert {name.split("/")[0] for name in store.written} == {DATA}
    assert Repository(store).find(KEY) is None
    session.commit(marker(session))
    assert store.written[-1].split("/")[0] == MARKERS
    assert Repository(store).find(KEY) == marker(session)


def test_what_is_there_is_not_sent_again(tmp_path: Path) -> None:
    """An interrupted push resumes where it stopped."""
    first = upload(Recording(tmp_path))
    store = Recording(tmp_path)
    again = upload(store)
    assert first.sent_bytes > 0
    assert (again.sent_bytes, store.written) == (0, [])
    assert (again.parts, again.beside, again.sha256) == (first.parts, first.beside, first.sha256)


def test_nothing_incomplete_becomes_visible(tmp_path: Path) -> None:
    """A part was deleted in the meantime."""
    store = Recording(tmp_path)
    session = upload(store)
    store.delete(store.written[0])
    with pytest.raises(StorageError, match=r"1 parts of .* disappeared"):
        session.commit(marker(session))
    assert Repository(store).find(KEY) is None


def test_the_first_of_two_pushes_wins(tmp_path: Path) -> None:
    """The other one fails if its bytes differ, and succeeds if they are the same."""
    store = Recording(tmp_path)
    one, same, other = upload(store), upload(store), upload(store, (b"else",))
    one.commit(marker(one))
    same.commit(marker(same))
    with pytest.raises(Refused, match="a different snapshot"):
        other.commit(marker(other))
    assert Repository(store).find(KEY) == marker(one)


def test_an_earlier_push_of_other_bytes_is_refused(tmp_path: Path) -> None:
    """It is refused before anything is sent."""
    store = Recording(tmp_path)
    session = upload(store)
    session.commit(marker(session))
    later = Upload(Repository(store), KEY, Packer())
    later.check_found(session.sha256)
    assert later.is_complete
    with pytest.raises(Refused, match="a different snapshot"):
        later.check_found("0" * 64)


@pytest.mark.parametrize("broken", ["no marker", "unreadable marker", "marker"])
def test_again_sends_everything(tmp_path: Path, broken: str) -> None:
    """Whatever seems to be there may be what is damaged, so none of it is reused."""
    store = Recording(tmp_path)
    first = upload(store)
    if broken != "no marker":
        first.commit(marker(first))
    if broken == "unreadable marker":
        store.write(KEY.marker, b"{")
    damaged = first.parts[0].name
    (tmp_path / KEY.folder / damaged).write_bytes(bytes(first.parts[0].stored_bytes))
    session = Upload(Repository(store), KEY, Packer(), again=True)
    for plain in (b"one", b"two"):
        session.send_part(plain)
    assert session.sent_bytes == sum(part.stored_bytes for part in session.parts)
    assert (tmp_path / KEY.folder / damaged).read_bytes().strip(b"\0")


def test_a_part_that_changes_its_size_is_not_made_visible(tmp_path: Path) -> None:
    """It was complete when it was sent, and somebody has cut it since."""
    store = Recording(tmp_path)
    session = upload(store)
    (tmp_path / KEY.folder / session.parts[1].name).write_bytes(b"x")
    with pytest.raises(StorageError, match="changed their size"):
        session.commit(marker(session))
    assert Repository(store).find(KEY) is None
