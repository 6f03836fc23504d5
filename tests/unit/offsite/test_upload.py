"""The protocol of a push: what is written, in which order, and when it becomes visible."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from snapshot_tasks.offsite.codec import Packer, Unpacker
from snapshot_tasks.offsite.known import Known
from snapshot_tasks.offsite.layout import DATA, MANIFEST, PROOFS, WHOLE, Key
from snapshot_tasks.offsite.marker import Marker
from snapshot_tasks.offsite.packs import OPEN_KEY, PACKS
from snapshot_tasks.offsite.repository import Repository
from snapshot_tasks.offsite.upload import Upload
from snapshot_tasks.storage.folder import FolderStore
from snapshot_tasks.storage.stores import parse_place
from snapshot_tasks.system.errors import Refused, StorageError

KEY = Key(collection="books", snapshot="books_20250101_120000.snapshot")
PACK_BYTES = 1000
ONE, TWO, OTHER = (random.Random(seed).randbytes(PACK_BYTES) for seed in range(3))


class Recording(FolderStore):
    """A folder that records the names of what is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(parse_place(str(folder), relative_to=folder), {})
        self.written: list[str] = []

    def write(self, name: str, data: bytes, *, new: bool = False) -> None:
        """Write, and record the name."""
        super().write(name, data, new=new)
        self.written.append(name)


def upload(
    store: FolderStore,
    content: Sequence[bytes] = (ONE, TWO),
    *,
    known: Known | None = None,
    again: bool = False,
) -> Upload:
    """Send blocks, each in a pack of its own, and the files next to them."""
    session = Upload(Repository(store), KEY, Packer(), again=again)
    index = session.send_blocks(content, known or Known(OPEN_KEY), pack_bytes=PACK_BYTES)
    session.send_beside({MANIFEST: b"{}", PROOFS: b""})
    session.send_index(index)
    return session


def marker(session: Upload) -> Marker:
    """Return the marker of everything that was sent."""
    return Marker(
        snapshot=KEY.snapshot,
        collection=KEY.collection,
        created_at=datetime(2025, 1, 1, 12, tzinfo=UTC),
        size_bytes=session.size_bytes,
        sha256=session.sha256,
        index=session.index,
        packs=session.packs,
        beside=session.beside,
    )


def test_the_marker_alone_makes_it_visible(tmp_path: Path) -> None:
    """Packs first, then what lies next to them, then the index: a killed push stays invisible.

    Only a note comes after the marker, for the day the marker is lost.
    """
    store = Recording(tmp_path)
    session = upload(store)
    kinds = [name.split("/") for name in store.written]
    assert [folder for folder, *_ in kinds] == [PACKS, PACKS, DATA, DATA, DATA]
    assert [k[3].partition("-")[0] for k in kinds[2:]] == ["manifest", "proofs", "index"]
    assert Repository(store).find(KEY) is None
    session.commit(marker(session))
    assert store.written[-2:] == [KEY.marker, f"{KEY.folder}/{WHOLE}"]
    assert Repository(store).find(KEY) == marker(session)


def test_what_is_there_is_not_sent_again(tmp_path: Path) -> None:
    """An interrupted push resumes where it stopped, also without what was known."""
    first = upload(Recording(tmp_path))
    store = Recording(tmp_path)
    again = upload(store)
    assert first.sent_bytes > 0
    assert (again.sent_bytes, store.written) == (0, [])
    assert (again.packs, again.beside, again.sha256) == (first.packs, first.beside, first.sha256)


def test_only_blocks_that_are_new_are_sent(tmp_path: Path) -> None:
    """One block has changed, and one repeats: the others are taken from where they lie."""
    known = Known(OPEN_KEY)
    store = Recording(tmp_path)
    upload(store, known=known)
    store.written.clear()
    session = upload(store, (TWO, OTHER, TWO, bytes(5000), ONE), known=known)
    assert [name for name in store.written if name.startswith(PACKS)] == [
        f"{PACKS}/{session.packs[1].name}"
    ]
    assert session.index
    index = Repository(store).index_of(marker(session), session.index, Unpacker())
    assert [piece.size_bytes for piece in index.pieces] == [1000, 1000, 1000, 5000, 1000]


def test_zeros_cost_nothing(tmp_path: Path) -> None:
    """A snapshot with nothing else in it has no pack at all."""
    session = upload(Recording(tmp_path), (bytes(1 << 20), bytes(100)))
    assert (session.packs, session.size_bytes) == ((), (1 << 20) + 100)


def test_nothing_incomplete_becomes_visible(tmp_path: Path) -> None:
    """A pack was deleted in the meantime."""
    store = Recording(tmp_path)
    session = upload(store)
    store.delete(store.written[0])
    with pytest.raises(StorageError, match=r"1 parts of .* disappeared"):
        session.commit(marker(session))
    assert Repository(store).find(KEY) is None


def test_the_first_of_two_pushes_wins(tmp_path: Path) -> None:
    """The other one fails if its bytes differ, and succeeds if they are the same."""
    store = Recording(tmp_path)
    one, same, other = upload(store), upload(store), upload(store, (OTHER,))
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
    damaged = tmp_path / PACKS / first.packs[0].name
    damaged.write_bytes(bytes(first.packs[0].stored_bytes))
    session = upload(store, again=True)
    assert session.sent_bytes == first.sent_bytes
    assert damaged.read_bytes().strip(b"\0")


def test_a_pack_that_changes_its_size_is_not_made_visible(tmp_path: Path) -> None:
    """It was complete when it was sent, and somebody has cut it since."""
    store = Recording(tmp_path)
    session = upload(store)
    (tmp_path / PACKS / session.packs[1].name).write_bytes(b"x")
    with pytest.raises(StorageError, match="changed their size"):
        session.commit(marker(session))
    assert Repository(store).find(KEY) is None


def test_a_pack_with_a_note_is_not_relied_on(tmp_path: Path) -> None:
    """Somebody has found it damaged: its block is sent again, in another pack."""
    store, known = Recording(tmp_path), Known(OPEN_KEY)
    first = upload(store, known=known)
    Repository(store).note_damaged(f"{PACKS}/{first.packs[0].name}")
    again = upload(store, (ONE, OTHER), known=known)
    assert again.sent_bytes > PACK_BYTES
