"""Names of other tools and misspelt ones are named with the setting that is meant, and not used."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from snapshot_tasks.settings import Settings

Make = Callable[..., Settings]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("QDRANT_HOST", "QDRANT_URL"),
        ("QDRANT_PORT", "QDRANT_URL"),
        ("QDRANT_CLUSTER_URL", "QDRANT_URL"),
        ("QDRANT_ENDPOINT", "QDRANT_URL"),
        ("QDRANT_URI", "QDRANT_URL"),
        ("QDRANT_COLLECTION", "QDRANT_COLLECTION_NAME"),
        ("QDRANT_COLECTION_NAME", "QDRANT_COLLECTION_NAME"),
        ("QDRANT_SNAPSHOTS_DIR", "QDRANT_SNAPSHOT_DIR"),
        ("QDRANT_KEY", "QDRANT_API_KEY"),
        ("QDRANT_CLIENT_TIMEOUT", "QDRANT_ANSWER_TIMEOUT_SECONDS"),
    ],
)
def test_the_setting_that_is_meant_is_named(make_settings: Make, name: str, meant: str) -> None:
    """Each name has its setting, and no value of it is shown or used."""
    made = make_settings(**{name: "secret-value"})
    [wrong] = made.misnamed
    assert (wrong.name, wrong.meant) == (name, meant)
    assert "secret-value" not in repr(made)


@pytest.mark.parametrize(
    "environment",
    [
        {"QDRANT_HOST": "db", "QDRANT_URL": "http://db:6333"},
        {"QDRANT_KEY": "k", "QDRANT_API_KEY": "k"},
        # What Kubernetes sets for a service named qdrant, and Qdrant's own settings.
        {"QDRANT_PORT": "tcp://10.0.0.1:6333", "QDRANT_SERVICE_HOST": "10.0.0.1"},
        {"QDRANT__SERVICE__API_KEY": "k"},
        # What a hook gets.
        {"QDRANT_SNAPSHOT_COLLECTION": "chat", "QDRANT_SNAPSHOT_FILE": "/a"},
        {"QDRANT_HOST": " "},
        {"QDRANT_SOMETHING_ELSE": "x", "HOST": "db"},
    ],
)
def test_what_is_set_right_is_not_named(make_settings: Make, environment: dict[str, str]) -> None:
    """Names that belong to somebody else, and those whose setting has a value, need no note."""
    assert make_settings(**environment).misnamed == ()
