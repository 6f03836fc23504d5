"""What of a point differs, and how often."""

from __future__ import annotations

from typing import Any

import pytest

from snapshot_tasks.domain.fingerprint import PAYLOAD_NAME, VECTOR, dense, payload
from snapshot_tasks.domain.outline import (
    NO_VALUE,
    Change,
    Counts,
    Id,
    Outline,
    changes,
    outline,
    parse_id,
    value_of,
)
from snapshot_tasks.system.errors import SettingsError

UUID = "5c56c793-69f3-4fbf-87e6-c4bf54c28c26"


def point(identity: Id, document: dict[str, Any], **vectors: list[float]) -> Outline:
    """Return the outline of a point, counted by its field `tenant`."""
    components = [(PAYLOAD_NAME, payload(document))]
    components += [((VECTOR, name), dense(values)) for name, values in vectors.items()]
    return outline(identity, components, document, "tenant")


BEFORE = [
    point(1, {"tenant": "acme", "n": 1}, text=[1.0], image=[2.0]),
    point(2, {"tenant": "acme"}, text=[1.0]),
    point(3, {"tenant": "other"}, text=[1.0]),
    point(UUID, {}, text=[5.0]),
]
AFTER = [
    point(1, {"tenant": "acme", "n": 1}, text=[1.0], image=[3.0]),
    point(3, {"tenant": "moved"}),
    point(4, {"tenant": "new"}, text=[1.0]),
    point(UUID, {}, text=[5.0]),
]


def test_each_difference_is_named() -> None:
    """By component; a point without difference is none, in whatever order they came."""
    before, after = ({p.id: p for p in side} for side in (BEFORE[::-1], AFTER))
    assert list(changes(before, after)) == [
        Change(1, "changed", ("vector image",), "acme"),
        Change(2, "removed", (), "acme"),
        Change(3, "changed", ("payload", "vector text"), "other"),
        Change(4, "added", (), "new"),
    ]


def test_they_are_counted() -> None:
    """In all, by component, and by the value of a field."""
    counts = Counts()
    for change in changes({p.id: p for p in BEFORE}, {p.id: p for p in AFTER}):
        counts.take(change, by_value=True)
    assert counts.kinds == {"changed": 2, "removed": 1, "added": 1}
    assert counts.components == {"payload": 1, "vector image": 1, "vector text": 1}
    assert counts.values["acme"] == {"changed": 1, "removed": 1}


@pytest.mark.parametrize(
    ("document", "path", "value"),
    [
        ({"a": {"b": "x"}}, "a.b", "x"),
        ({"a": 3}, "a", "3"),
        ({"a": 3}, "a.b", NO_VALUE),
        ({}, "a", NO_VALUE),
        (None, "a", NO_VALUE),
        ({"a": ["x", 1]}, "a", "['x', 1]"),
        ({"a": "x" * 300}, "a", "x" * 200 + "…"),
    ],
)
def test_the_value_of_a_field(document: Any, path: str, value: str) -> None:
    """As text, whatever it is, and never long."""
    assert value_of(document, path) == value


def test_ids() -> None:
    """A number or a UUID, in whatever form it is written."""
    assert parse_id("7") == 7
    assert parse_id(UUID.upper().replace("-", "")) == UUID
    for wrong in ("", "x", "-1", str(1 << 64), "٣"):
        with pytest.raises(SettingsError, match="not the id of a point"):
            parse_id(wrong)
