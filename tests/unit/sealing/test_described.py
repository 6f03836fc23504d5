"""A file's own description of its collection, and the parts of it that are certain."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshot_tasks.domain.collection import CollectionState
from snapshot_tasks.sealing.cbor import decode
from snapshot_tasks.sealing.described import Described, describe
from snapshot_tasks.sealing.log import index_changes
from snapshot_tasks.selftest.rewrite import read_json, read_members, rewrite
from tests.support.fixtures import WHOLE, Fixture
from tests.unit.sealing.test_log import HEADER, entry

PLAIN = Fixture(version="1.19.0", name="plain")
KEYWORD = {"data_type": "keyword"}
CREATE = b"\xbflcreate_index\xa2jfield_nameegrouplfield_schemagkeyword\xff"
CREATE_TEXT = (
    b"\xbflcreate_index\xa2jfield_nameegrouplfield_schema\xa3dtypedtextitokenizerdword"
    b"ilowercase\xf5\xff"
)
DELETE = b"\xbfldelete_indexegroupiclock_tag\xa1gpeer_id\x1b\x00\x00Z\xbbt\x1f\xe9\x0b\xff"
UPSERT = b"\xbfmupsert_points\xa1fpoints\x80\xff"


def state_of(fixture: Fixture) -> CollectionState:
    """Return how the server described the collection."""
    info = fixture.facts["info"]
    schema = {f: {k: v for k, v in i.items() if k != "points"} for f, i in _items(info)}
    return CollectionState(points_count=0, config=info["config"], payload_schema=schema, aliases=())


def _items(info: dict[str, Any]) -> Any:
    return info["payload_schema"].items()


def other(state: CollectionState, **schema: Any) -> CollectionState:
    """Return the same state with other payload indexes."""
    return replace(state, payload_schema=schema)


@pytest.mark.parametrize("fixture", WHOLE, ids=str)
def test_the_file_says_what_the_server_said(fixture: Fixture, tmp_path: Path) -> None:
    """Key by key, for every kind of collection of 1.18 and 1.19, and nothing changed."""
    state = state_of(fixture)
    expected = Described(config=state.config, payload_schema=state.payload_schema)
    assert describe(fixture.write(tmp_path), state, state) == expected


@pytest.mark.parametrize("moment", ["before", "after", "both"])
def test_another_description_is_noticed(tmp_path: Path, moment: str) -> None:
    """An index dropped before, made after, or both: what counts is the file."""
    state = state_of(PLAIN)
    [(field, index)] = state.payload_schema.items()
    before = other(state, new=KEYWORD) if moment != "after" else state
    after = other(state) if moment != "before" else state
    described = describe(PLAIN.write(tmp_path), before, after)
    assert described.payload_schema == {field: index}
    assert described.changes
    assert all(change.startswith("payload index") for change in described.changes)
    assert described.unsettled == ()


def test_another_vector_is_noticed(tmp_path: Path) -> None:
    """A vector that only exists afterwards, or another setting, is not in the file."""
    state = state_of(PLAIN)
    after = replace(state, config={**state.config, "params": {"vectors": {}}})
    described = describe(PLAIN.write(tmp_path), state, after)
    assert described.config == state.config
    assert described.changes == ("config",)


def changed(path: Path, name: str, document: Any) -> Path:
    """Replace a JSON member of a file."""
    original = path.rename(path.with_suffix(".original"))
    rewrite(original, path, {name: json.dumps(document).encode()})
    return path


def test_an_index_that_the_log_creates_again_is_not_settled(tmp_path: Path) -> None:
    """The same before and after, but the list in the file is of a moment in between."""
    state = state_of(PLAIN)
    [field] = state.payload_schema
    path = changed(PLAIN.write(tmp_path), "payload_index.json", {"schema": {}})
    described = describe(path, state, state)
    assert described.payload_schema == {}
    assert described.unsettled == (field,)
    assert described.changes == (f"payload index {field}",)


def test_an_unknown_form_is_the_servers_word(tmp_path: Path) -> None:
    """A later version may store what it wants: no alarm on a source that is quiet."""
    state = state_of(PLAIN)
    path = PLAIN.write(tmp_path)
    members = {member.name: member for member in read_members(path)}
    config = read_json(path, members["config.json"])
    changed(path, "config.json", {**config, "new": 7})
    assert describe(path, state, state).config == state.config
    unknown: list[Any] = [{"schema": {"lang": {"new": 7}}}, {"indexes": {}}, []]
    for document in unknown:
        changed(path, "payload_index.json", document)
        described = describe(path, state, state)
        assert described.payload_schema == state.payload_schema


def changes(*operations: bytes) -> dict[str, Any]:
    """Return the index changes in a log file with these entries."""
    return index_changes(io.BytesIO(HEADER + b"".join(map(entry, operations))))


def test_the_last_change_in_the_log_counts() -> None:
    """Other operations are skipped by their first bytes."""
    assert changes(UPSERT, CREATE, UPSERT) == {"group": "keyword"}
    assert changes(CREATE, DELETE, UPSERT) == {"group": None}
    assert changes(DELETE, CREATE) == {"group": "keyword"}
    text = {"type": "text", "tokenizer": "word", "lowercase": True}
    assert changes(CREATE, CREATE_TEXT) == {"group": text}
    assert changes(UPSERT) == {}


def test_cbor_of_every_kind_is_decoded() -> None:
    """Integers, texts, floats, lists and maps of definite and of open length."""
    data = b"\xbfaa\x18\x64ab\x9f\x01\x20\xffac\xf6ad\xf5ae\xfb" + struct.pack(">d", 0.5) + b"\xff"
    assert decode(data) == {"a": 100, "b": [1, -1], "c": None, "d": True, "e": 0.5}


@given(data=st.binary(max_size=60))
def test_bytes_that_are_no_cbor_are_refused(data: bytes) -> None:
    """Whatever they are, they are decoded or refused."""
    try:
        decode(data)
    except ValueError:
        return
