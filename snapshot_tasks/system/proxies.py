"""Which proxy the environment chooses for a URL, and what is wrong with that choice.

httpx fails while it is being set up if it does not support a proxy or an entry of NO_PROXY, and it
ignores networks such as 10.0.0.0/8 there. So we decide, and hand over one proxy or none.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from urllib.request import getproxies

from snapshot_tasks.system.errors import SettingsError

SUPPORTED = ("http", "https")
VARIABLES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """A proxy, and the variable that chooses it; `shown` has no password."""

    url: str
    variable: str

    @property
    def shown(self) -> str:
        """The address without user name and password."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def __str__(self) -> str:
        return f"{self.shown} ({self.variable})"


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy for a URL, if there is one.

    Raises:
        SettingsError: if the variable has no address of an HTTP proxy.
    """
    parts = urlsplit(url)
    chosen = getproxies()
    variable = next((name for name in (parts.scheme, "all") if chosen.get(name)), None)
    if variable is None or is_excepted(parts.hostname or "", parts.port, chosen.get("no", "")):
        return None
    found = chosen[variable]
    proxy = Proxy(
        url=found if "://" in found else f"http://{found}", variable=_spelt(f"{variable}_proxy")
    )
    _check(proxy)
    return proxy


def is_excepted(host: str, port: int | None, exceptions: str) -> bool:
    """Return whether NO_PROXY names a host: itself, its domain, its network, or everything."""
    return any(_covers(entry.strip().lower(), host, port) for entry in exceptions.split(","))


def set_variables() -> list[str]:
    """Return the names of the proxy variables that are set."""
    return [_spelt(name.lower()) for name in VARIABLES if _value(name)]


def _covers(entry: str, host: str, port: int | None) -> bool:
    if entry in ("*", host):
        return True
    if not entry:
        return False
    try:
        return ip_address(host) in ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, number = entry.rpartition(":")
    if colon and number.isdecimal() and ":" not in name:
        return port == int(number) and _covers(name, host, None)
    domain = entry.removeprefix("*").removeprefix(".")
    return bool(domain) and (host == domain or host.endswith(f".{domain}"))


def _check(proxy: Proxy) -> None:
    wanted = f"Set {proxy.variable} to an address such as http://proxy.example:3128"
    hint = f"{wanted}, or name the host in NO_PROXY."
    try:
        parts = urlsplit(proxy.url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        # Even the address without the password is unknown here.
        raise SettingsError(f"{proxy.variable} is not the address of a proxy.", hint=hint) from None
    if parts.scheme not in SUPPORTED:
        raise SettingsError(
            f"{proxy.variable} is {proxy.shown}, but only HTTP proxies are supported.", hint=hint
        )
    if not is_complete:
        raise SettingsError(f"{proxy.variable} is not the address of a proxy.", hint=hint)


def _spelt(name: str) -> str:
    """Return a variable's name as it is set: lower case wins, as everywhere."""
    return name if os.environ.get(name) else name.upper()


def _value(name: str) -> str:
    return os.environ.get(name.lower()) or os.environ.get(name, "")
