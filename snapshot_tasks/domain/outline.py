"""The outline of a point: enough to say what of it differs, in a few bytes. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from snapshot_tasks.domain.fingerprint import PAYLOAD_NAME, Name, component_leaf
from snapshot_tasks.system.errors import SettingsError
from snapshot_tasks.system.untrusted import printable

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
KINDS = (ADDED, REMOVED, CHANGED)
# The value of a field that a point does not have.
NO_VALUE = "(none)"
_MAX_VALUE = 200
Id = int | str


@dataclass(frozen=True, slots=True)
class Outline:
    """A point: its id, a hash of each of its components, and the value of one payload field."""

    id: Id
    leaves: Mapping[str, str]
    value: str = ""

    def as_json(self) -> list[Any]:
        """Return it as it is written down between two passes."""
        return [self.id, self.leaves, self.value]


@dataclass(frozen=True, slots=True)
class Change:
    """A point that differs: how, and for a changed one in which components."""

    id: Id
    kind: str
    components: tuple[str, ...] = ()
    value: str = ""


@dataclass(slots=True)
class Counts:
    """How many points differ in each way, by component, and by the value of a field."""

    kinds: Counter[str] = field(default_factory=Counter)
    components: Counter[str] = field(default_factory=Counter)
    values: dict[str, Counter[str]] = field(default_factory=dict)

    def take(self, change: Change, *, by_value: bool) -> None:
        """Count one point."""
        self.kinds[change.kind] += 1
        self.components.update(change.components)
        if by_value:
            self.values.setdefault(change.value, Counter())[change.kind] += 1


def parse_id(text: str) -> Id:
    """Return the id of a point: a number, or a UUID in its usual form.

    Raises:
        SettingsError: if it is neither.
    """
    if text.isascii() and text.isdigit() and int(text) < 1 << 64:
        return int(text)
    try:
        return str(UUID(text))
    except ValueError:
        raise SettingsError(
            f"{printable(text, limit=_MAX_VALUE)} is not the id of a point.",
            hint="Use a number, or a UUID such as 5c56c793-69f3-4fbf-87e6-c4bf54c28c26.",
        ) from None


def label_of(name: Name) -> str:
    """Return what a person calls a component: `payload`, `vector`, or `vector` and its name."""
    if name == PAYLOAD_NAME:
        return "payload"
    return f"vector {name[1]}".rstrip()


def outline(
    identity: Id, components: Iterable[tuple[Name, bytes]], payload: Any, by: str
) -> Outline:
    """Return the outline of a point, with the value of the field `by` if it is not empty."""
    leaves = {
        label_of(name): component_leaf(identity, name, content).hex()
        for name, content in components
    }
    return Outline(identity, leaves, value_of(payload, by) if by else "")


def value_of(payload: Any, path: str) -> str:
    """Return the value of a payload field as text; `a.b` is the field `b` of `a`."""
    for key in path.split("."):
        payload = payload.get(key) if isinstance(payload, dict) else None
    if payload is None:
        return NO_VALUE
    text = payload if isinstance(payload, str) else str(payload)
    return text if len(text) <= _MAX_VALUE else text[:_MAX_VALUE] + "…"


def changes(before: Mapping[Id, Outline], after: Mapping[Id, Outline]) -> Iterator[Change]:
    """Yield the points that differ, by id. The value of a changed point is the one before."""
    for identity in sorted(before.keys() | after.keys(), key=_order):
        old, new = before.get(identity), after.get(identity)
        if old is None and new is not None:
            yield Change(identity, ADDED, value=new.value)
        elif new is None and old is not None:
            yield Change(identity, REMOVED, value=old.value)
        elif old and new and old.leaves != new.leaves:
            names = sorted(old.leaves.keys() | new.leaves.keys())
            differing = (name for name in names if old.leaves.get(name) != new.leaves.get(name))
            yield Change(identity, CHANGED, tuple(differing), value=old.value)


def _order(identity: Id) -> tuple[bool, Id]:
    return isinstance(identity, str), identity
