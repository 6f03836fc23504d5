"""Reads single settings and checks each by its type; problems are collected, not raised."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from snapshot_tasks.domain.endpoint import Tls
from snapshot_tasks.domain.versions import is_version
from snapshot_tasks.settings.foreign import Misnamed, misnamed
from snapshot_tasks.storage.stores import parse_place
from snapshot_tasks.system.reading import read_text
from snapshot_tasks.system.spans import parse_span


def _is_http(text: str) -> bool:
    """Return whether a text is a valid HTTP or HTTPS URL."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class Values:
    """Reads single values and collects each problem instead of raising it."""

    def __init__(
        self,
        values: Mapping[str, str],
        problems: list[str],
        *,
        defaults: Mapping[str, str] | None = None,
    ) -> None:
        self._defaults = {n: v for n, v in (defaults or {}).items() if n not in values}
        self._values = {**self._defaults, **values}
        self._problems = problems
        # The names of all settings that were read, to find misspelt defaults.
        self._known: set[str] = set()

    def text(self, name: str) -> str | None:
        """Return a value without surrounding whitespace; an empty value counts as not set."""
        self._known.add(name)
        return self._values.get(name, "").strip() or None

    def defaults_for(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return the values of these names that come from the defaults."""
        self._known.update(names)
        return {name: value for name, value in self._defaults.items() if name in names}

    def given(self) -> frozenset[str]:
        """Return the names that have a value anywhere."""
        return frozenset(name for name, value in self._values.items() if value.strip())

    def given_in_tasks(self) -> frozenset[str]:
        """Return the names whose value comes from the defaults of the project's tasks.py."""
        return frozenset(self._defaults)

    def unknown_defaults(self) -> list[str]:
        """Return a problem for each default that no setting has used; call this last."""
        return [
            f"{name}: expected the name of a setting in tasks.py"
            for name in sorted(self._defaults.keys() - self._known)
        ]

    def misnamed(self) -> tuple[Misnamed, ...]:
        """Return the names that other tools read, or that are misspelt; call this last."""
        return misnamed(self._values, self._known)

    def beginning_with(self, prefixes: tuple[str, ...]) -> dict[str, str]:
        """Return every value with such a prefix, unchanged: they are settings of other programs."""
        self._known.update(name for name in self._values if name.startswith(prefixes))
        return {name: value for name, value in self._values.items() if name.startswith(prefixes)}

    def choice(self, name: str, allowed: tuple[str, ...], default: str = "auto") -> str:
        """Return one of the allowed words."""
        value = self.text(name) or default
        if value not in allowed:
            self._wrong(name, f"one of {', '.join(allowed)}", value)
            return default
        return value

    def url(self, name: str) -> str | None:
        """Return the URL of a server, without credentials and without a trailing slash."""
        value = self.text(name)
        return None if value is None else self._url(name, value)

    def urls(self, name: str) -> tuple[str, ...]:
        """Return comma-separated URLs of servers, each once."""
        parts = filter(None, map(str.strip, (self.text(name) or "").split(",")))
        return tuple(dict.fromkeys(url for part in parts if (url := self._url(name, part))))

    def _url(self, name: str, value: str) -> str | None:
        if "@" in value:
            self._problems.append(f"{name}: must not contain credentials; use QDRANT_API_KEY")
            return None
        if "?" in value or "#" in value:
            self._problems.append(f"{name}: must not contain ? or #")
            return None
        if not _is_http(value):
            self._wrong(name, "a URL such as http://localhost:6333", value)
            return None
        return value.rstrip("/")

    def secret_url(self, name: str) -> str | None:
        """Return a URL that may contain credentials or a token, so no message shows it."""
        value = self.text(name)
        if value is None:
            return None
        if not _is_http(value) or not re.fullmatch(r"[!-~]+", value):
            self._problems.append(f"{name}: expected a URL such as https://example.com/name")
            return None
        return value

    def port(self, name: str, default: int) -> int:
        """Return a TCP port."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 65536:
            self._wrong(name, "a port number from 1 to 65535", value)
            return default
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        """Return a number of seconds greater than 0."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value) or float(value) <= 0:
            self._wrong(name, "a number of seconds greater than 0", value)
            return default
        return float(value)

    def count(self, name: str, default: int = 0) -> int:
        """Return a whole number from 0 to 999999999."""
        value = self.text(name) or str(default)
        if not re.fullmatch(r"[0-9]{1,9}", value):
            self._wrong(name, "a whole number from 0 to 999999999", value)
            return default
        return int(value)

    def span(self, name: str) -> timedelta | None:
        """Return a duration such as 26h."""
        value = self.text(name)
        if value is None:
            return None
        try:
            return parse_span(value)
        except ValueError as error:
            self._wrong(name, str(error), value)
            return None

    def percent(self, name: str, default: float) -> float:
        """Return a percentage from 0 to 100."""
        value = self.text(name)
        if value is None:
            return default
        if not re.fullmatch(r"\d+(\.\d+)?", value) or float(value) > 100:
            self._wrong(name, "a percentage from 0 to 100", value)
            return default
        return float(value)

    def version(self, name: str, default: str) -> str:
        """Return the number of a Qdrant version."""
        value = self.text(name) or default
        if not is_version(value):
            self._wrong(name, f"a version such as {default}, without a leading v", value)
        return value

    def path(self, name: str, default: Path) -> Path:
        """Return a path; a relative one starts at the folder of the default."""
        value = self.text(name)
        return default.parent / Path(value).expanduser() if value else default

    def program(self, name: str, root: Path) -> Path | None:
        """Return the path of a program."""
        value = self.text(name)
        if value is None:
            return None
        path = root / Path(value).expanduser()
        if not os.access(path, os.X_OK) or path.is_dir():
            self._wrong(name, "the path of an executable file", value)
        return path

    def paths(self, name: str, root: Path) -> tuple[Path, ...]:
        """Return several paths, separated as Compose separates them."""
        separator = self.text("COMPOSE_PATH_SEPARATOR") or os.pathsep
        value = self.text(name)
        return tuple(root / part for part in (value or "").split(separator) if part)

    def names(self, name: str) -> tuple[str, ...]:
        """Return comma-separated names, in lower case."""
        value = self.text(name) or ""
        return tuple(part.strip().lower() for part in value.split(",") if part.strip())

    def places(self, name: str, root: Path) -> tuple[str, ...]:
        """Return the comma-separated URLs or folders of off-site stores."""
        found = []
        for part in filter(None, map(str.strip, (self.text(name) or "").split(","))):
            try:
                found.append(parse_place(part, relative_to=root).url)
            except ValueError as error:
                # The value is not repeated, because it may contain a password.
                self._problems.append(f"{name}: expected {error}")
        return tuple(dict.fromkeys(found))

    def recipients(self, name: str, root: Path) -> tuple[str, ...]:
        """Return age public keys, separated by commas or from a file with one per line."""
        value = self.text(name)
        if value is None:
            return ()
        keys = value.split(",")
        if not value.startswith("age1"):
            try:
                lines = read_text(root / Path(value).expanduser(), max_bytes=1 << 20).splitlines()
            except (OSError, ValueError):
                self._problems.append(
                    f"{name}: expected age public keys (age1…), or a readable file of them"
                )
                return ()
            keys = [line for line in lines if not line.startswith("#")]
        found = tuple(key.strip() for key in keys if key.strip())
        if not found or not all(re.fullmatch("age1[0-9a-z]{58}", key) for key in found):
            # The value is not repeated: a private key set by mistake is a secret.
            self._problems.append(f"{name}: expected age public keys, such as age1…")
            return ()
        return tuple(sorted(set(found)))

    def tls(self, root: Path) -> Tls:
        """Return the files for HTTPS; a certificate and its key must be set together."""
        certificate, key = "QDRANT_TLS_CERT_FILE", "QDRANT_TLS_KEY_FILE"
        for one, other in ((certificate, key), (key, certificate)):
            if self.text(one) and not self.text(other):
                self._problems.append(f"{other}: must be set together with {one}")
        return Tls(
            ca_file=self.file("QDRANT_TLS_CA_FILE", root),
            cert_file=self.file(certificate, root),
            key_file=self.file(key, root),
        )

    def file(
        self, name: str, root: Path, *, expected: str = "a readable file in PEM format"
    ) -> Path | None:
        """Return the path of a readable file."""
        value = self.text(name)
        if value is None:
            return None
        path = root / Path(value).expanduser()
        if not path.is_file() or not os.access(path, os.R_OK):
            self._wrong(name, expected, value)
        return path

    def secret(self, name: str, file_name: str, root: Path) -> str | None:
        """Return a secret from its setting, or from the file that another setting points to."""
        value, file = self.text(name), self.text(file_name)
        if file and value:
            self._problems.append(f"{file_name}: cannot be set together with {name}")
        if not file or value:
            return self._sendable(name, value)
        # The value is not repeated: by mistake, it may be the key itself.
        try:
            content = (root / Path(file).expanduser()).read_text(encoding="utf-8").strip()
        except (OSError, ValueError):
            self._problems.append(f"{file_name}: expected the path of a readable text file")
            return None
        if not content:
            self._problems.append(
                f"{file_name}: expected a file that contains the key, but it is empty"
            )
        return self._sendable(file_name, content or None)

    def _sendable(self, name: str, key: str | None) -> str | None:
        """Return a key that is valid in a header; libraries show any other in their errors."""
        if key is None or re.fullmatch(r"[ -~]+", key):
            return key
        self._problems.append(f"{name}: must be one line of printable ASCII characters")
        return None

    def _wrong(self, name: str, expected: str, value: str) -> None:
        self._problems.append(f"{name}: expected {expected}, got {value!r}")
