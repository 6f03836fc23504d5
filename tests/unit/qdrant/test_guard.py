"""Tokens for single collections are told apart from keys, and TLS files from other files."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from snapshot_tasks.domain.endpoint import Endpoint, Tls
from snapshot_tasks.qdrant.guard import is_scoped, refuse_exposed_key, tls_context
from snapshot_tasks.system.errors import Refused, SettingsError
from tests.support.secrets import sign_token


@pytest.mark.parametrize(
    ("key", "scoped"),
    [
        (sign_token("k", {"access": [{"collection": "books", "access": "rw"}]}), True),
        (sign_token("k", {"access": "m"}), False),
        (sign_token("k", {}), False),
        ("hunter2", False),
        ("a.b.c", False),
        ("..", False),
        (None, False),
    ],
)
def test_a_token_for_collections_is_known(key: str | None, scoped: bool) -> None:
    """The middle part of a token decides; a key that only looks like a token is not one."""
    assert is_scoped(key) is scoped


def test_an_exposed_key_is_refused_by_name() -> None:
    """The error gives the host, and how to allow it; never the key."""
    with pytest.raises(Refused) as caught:
        refuse_exposed_key(Endpoint(url="http://db.example:6333", api_key="hunter2"))
    assert caught.value.exit_code == 24
    assert "db.example" in caught.value.message
    assert "QDRANT_ALLOW_PLAINTEXT_KEY=db.example" in caught.value.hint
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_the_usual_certificates_are_the_default() -> None:
    """Without a private CA, servers are verified against the usual CAs, by name."""
    context = tls_context(Tls())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_file_that_holds_something_else_is_told(tmp_path: Path) -> None:
    """A wrong file is reported as a wrong setting, not as a lost connection."""
    other = tmp_path / "other.pem"
    other.write_text("no certificate", encoding="utf-8")
    with pytest.raises(SettingsError, match="QDRANT_TLS_CA_FILE"):
        tls_context(Tls(ca_file=other))
    with pytest.raises(SettingsError, match="QDRANT_TLS_CERT_FILE and QDRANT_TLS_KEY_FILE"):
        tls_context(Tls(cert_file=other, key_file=other))
