"""Keys, tokens and certificates for the tests only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def sign_token(key: str, claims: Mapping[str, Any]) -> str:
    """Return a JSON Web Token (HS256) with these claims."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT"}, claims)]
    text = ".".join(_base64(part) for part in parts)
    return f"{text}.{_base64(hmac.digest(key.encode(), text.encode(), hashlib.sha256))}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Authority:
    """A private CA in a folder."""

    folder: Path

    @property
    def certificate(self) -> Path:
        """The certificate that clients and servers trust."""
        return self.folder / "ca.pem"

    def issue(self, name: str, *, hosts: str = "") -> tuple[Path, Path]:
        """Return a certificate and its key; `hosts` as in OpenSSL's subjectAltName."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        names = ("-addext", f"subjectAltName={hosts}") if hosts else ()
        _openssl(
            "req", "-x509", "-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"),
            *_NEW_KEY, "-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={name}",
            "-addext", "basicConstraints=critical,CA:FALSE", *names,
        )  # fmt: skip
        return certificate, key


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


def make_authority(folder: Path) -> Authority:
    """Create a new CA that nothing else knows."""
    folder.mkdir()
    _openssl(
        "req", "-x509", *_NEW_KEY, "-keyout", str(folder / "ca.key"),
        "-out", str(folder / "ca.pem"), "-subj", "/CN=CA of the tests",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    return Authority(folder)


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
