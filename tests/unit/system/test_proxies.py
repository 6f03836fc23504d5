"""Which proxy the environment chooses, whatever it says."""

from __future__ import annotations

import pytest

from snapshot_tasks.alarms.delivery import Delivery, Message, settle
from snapshot_tasks.domain.endpoint import Endpoint
from snapshot_tasks.qdrant.server import Server
from snapshot_tasks.system.errors import SettingsError, Unreachable
from snapshot_tasks.system.proxies import is_excepted, proxy_for

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
DEAD = "http://user:secret@127.0.0.1:9"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("entry", "host", "is_named"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8,::1,[::1", "qdrant.example", False),
        ("example.com", "qdrant.example.com", True),
        (".example.com", "qdrant.example.com", True),
        ("*.example.com", "qdrant.example.com", True),
        ("example.com", "badexample.com", False),
        ("qdrant:6333", "qdrant", True),
        ("qdrant:6334", "qdrant", False),
        ("a, *", "anything", True),
        ("", "anything", False),
    ],
)
def test_what_no_proxy_names(entry: str, host: str, is_named: bool) -> None:
    """Hosts, domains, networks, ports; nonsense names nothing and harms nothing."""
    assert is_excepted(host, 6333, entry) is is_named


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ALL_PROXY", "socks5://user:secret@127.0.0.1:1080"),
        ("all_proxy", "socks4://127.0.0.1:1080"),
        ("HTTP_PROXY", "ftp://127.0.0.1:1080"),
        ("HTTP_PROXY", "http://127.0.0.1:99999"),
        ("HTTP_PROXY", "http://[user:secret@"),
        ("HTTP_PROXY", "http://"),
    ],
)
def test_a_proxy_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """It is a wrong setting, named by its variable, and its password is not shown."""
    monkeypatch.setenv(variable, value)
    endpoint = Endpoint(url="http://qdrant.invalid:6333")
    with pytest.raises(SettingsError) as caught:
        Server(endpoint, operation_timeout_seconds=5)
    assert variable in caught.value.message
    assert "secret" not in caught.value.message + caught.value.hint
    Server(Endpoint(url="http://127.0.0.1:6333"), operation_timeout_seconds=5)
    alarm = Message(kind="ping", url="http://alarms.invalid/x", body=b"", content_type="text/plain")
    [problem] = settle([Delivery(alarm)])
    assert variable in problem


def test_an_error_names_the_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where the proxy should be: 13, with the proxy and its variable."""
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    monkeypatch.setenv("NO_PROXY", "fd00::/8,10.0.0.0/8")
    with (
        Server(Endpoint(url="http://qdrant.invalid:6333"), operation_timeout_seconds=5) as server,
        pytest.raises(Unreachable) as caught,
    ):
        server.version()
    assert "through the proxy http://127.0.0.1:9 (HTTP_PROXY)" in caught.value.message
    assert "NO_PROXY" in caught.value.hint


def test_a_host_that_no_proxy_names_is_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network in NO_PROXY counts; the lower-case spelling of a variable wins."""
    monkeypatch.setenv("HTTP_PROXY", DEAD)
    monkeypatch.setenv("NO_PROXY", "10.0.0.0/8")
    assert proxy_for("http://10.1.2.3:6333") is None
    assert str(proxy_for("http://11.1.2.3:6333")) == "http://127.0.0.1:9 (HTTP_PROXY)"
    assert proxy_for("https://11.1.2.3:6333") is None
    monkeypatch.setenv("http_proxy", "proxy.example:3128")
    found = proxy_for("http://11.1.2.3:6333")
    assert found is not None
    assert (found.url, found.variable) == ("http://proxy.example:3128", "http_proxy")
