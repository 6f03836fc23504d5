"""Encodes off-site data: compressed with zstd, then encrypted if age recipients are set.

The host that pushes needs only the public keys of the recipients, so an attacker who takes it over
cannot read the off-site copies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pyrage
from backports import zstd

from snapshot_tasks.system.errors import Damaged, SettingsError
from snapshot_tasks.system.reading import read_text

LEVEL = 3
# The most that zstd and age add to bytes that cannot be compressed.
OVERHEAD_BYTES = 1 << 20
MAX_IDENTITY_BYTES = 1 << 20
_HINT = (
    "Pull an older snapshot or another copy, or repair this one from an intact file with "
    "`inv snapshot.push --again`."
)


@dataclass(frozen=True)
class Packer:
    """Packs for these recipients; without recipients it only compresses."""

    recipients: tuple[str, ...] = ()

    @property
    def ending(self) -> str:
        """The suffix of the names of packed objects.

        It identifies the recipients too, so that data encrypted to others is not taken for the
        same.
        """
        if not self.recipients:
            return ".zst"
        named = hashlib.sha256("\n".join(sorted(set(self.recipients))).encode()).hexdigest()
        return f"-{named[:8]}.zst.age"

    def pack(self, plain: bytes) -> bytes:
        """Return the bytes to store off-site."""
        packed = zstd.compress(plain, level=LEVEL)
        return bytes(pyrage.encrypt(packed, self._keys)) if self.recipients else packed

    @cached_property
    def _keys(self) -> list[pyrage.x25519.Recipient]:
        try:
            return [pyrage.x25519.Recipient.from_str(text) for text in self.recipients]
        except pyrage.RecipientError as error:
            raise SettingsError(
                f"QDRANT_AGE_RECIPIENTS: expected public keys such as age1…: {error}.",
                hint="`age-keygen -y key.txt` prints the public key of an identity.",
            ) from None


@dataclass(frozen=True)
class Unpacker:
    """Unpacks; encrypted data needs the identities of a file."""

    identity_file: Path | None = None

    def unpack(self, name: str, stored: bytes, *, max_bytes: int) -> bytes:
        """Return the plain bytes of an object, never more than `max_bytes`.

        Raises:
            Damaged: if it differs from what was packed.
            SettingsError: if it is encrypted and no identity can decrypt it.
        """
        packed = self._decrypted(name, stored) if name.endswith(".age") else stored
        decompressor = zstd.ZstdDecompressor()
        try:
            plain = decompressor.decompress(packed, max_length=max_bytes + 1)
        except zstd.ZstdError as error:
            raise Damaged(f"The off-site copy of {name} is damaged: {error}.", hint=_HINT) from None
        if len(plain) > max_bytes or not decompressor.eof or decompressor.unused_data:
            message = f"The off-site copy of {name} is damaged: its length is wrong."
            raise Damaged(message, hint=_HINT)
        return plain

    def _decrypted(self, name: str, stored: bytes) -> bytes:
        try:
            return bytes(pyrage.decrypt(stored, self._identities))
        except pyrage.DecryptError as error:
            if "No matching keys" in str(error):
                raise SettingsError(
                    f"{name} is encrypted to other recipients: no identity in {self.identity_file}"
                    " can decrypt it.",
                    hint="Set QDRANT_AGE_IDENTITY_FILE to the identity of one of its recipients.",
                ) from None
            message = f"The off-site copy of {name} is damaged: {error}."
            raise Damaged(message, hint=_HINT) from None

    @cached_property
    def _identities(self) -> Sequence[pyrage.x25519.Identity]:
        if self.identity_file is None:
            raise SettingsError(
                "The off-site copy is encrypted, and no identity is set.",
                hint="Set QDRANT_AGE_IDENTITY_FILE to the file that contains the line "
                "AGE-SECRET-KEY-1….",
            )
        try:
            lines = read_text(self.identity_file, max_bytes=MAX_IDENTITY_BYTES).splitlines()
            keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            identities = [pyrage.x25519.Identity.from_str(key) for key in keys]
        except (OSError, ValueError, pyrage.IdentityError):
            # The contents are not repeated, because they are a secret.
            identities = []
        if not identities:
            raise SettingsError(
                f"QDRANT_AGE_IDENTITY_FILE: {self.identity_file} contains no age identity.",
                hint="Create one with `age-keygen -o key.txt`; it has a line AGE-SECRET-KEY-1….",
            )
        return identities
