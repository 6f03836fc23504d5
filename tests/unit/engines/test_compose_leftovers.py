"""Leftovers of drills are identified only by their owner."""

from __future__ import annotations

from snapshot_tasks.engines.compose_leftovers import owned_by

LISTING = "one\tmachine/1/2/3\ntwo\tkept/machine/1/2/3\nthree\t\nqdrant-drill-four\n\n"


def test_only_what_the_owner_is_wanted_of() -> None:
    """A name like a drill's or an empty label does not make a resource ours."""
    assert owned_by(LISTING, lambda owner: True) == ["one", "two"]
    assert owned_by(LISTING, lambda owner: owner == "machine/1/2/3") == ["one"]
    assert owned_by("", lambda owner: True) == []
