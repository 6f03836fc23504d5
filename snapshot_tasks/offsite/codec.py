"""How bytes are stored off-site: compressed by zstd, then encrypted to age recipients, if any.

The host that pushes needs only the recipients' public keys, so that whoever takes it over cannot
read what is off-site.
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
# What zstd and age add at the most to bytes that are not compressible.
OVERHEAD_BYTES = 1 << 20
MAX_IDENTITY_BYTES = 1 << 20
_HINT = (
    "Pull an older one or another copy; `inv snapshot.push --again` repairs it from a sound file."
)


@dataclass(frozen=True)
class Packer:
    """Packs for these recipients; for none it only compresses."""

    recipients: tuple[str, ...] = ()

    @property
    def ending(self) -> str:
        """What the names of packed objects end with.

        It depends on the recipients: what was encrypted to others is not taken for the same.
        """
        if not self.recipients:
            return ".zst"
        named = hashlib.sha256("\n".join(sorted(set(self.recipients))).encode()).hexdigest()
        return f"-{named[:8]}.zst.age"

    def pack(self, plain: bytes) -> bytes:
        """Return the bytes as they are stored off-site."""
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
    """Unpacks, with the identities of a file where something is encrypted."""

    identity_file: Path | None = None

    def unpack(self, name: str, stored: bytes, *, max_bytes: int) -> bytes:
        """Return the plain bytes of an object, never more than `max_bytes`.

        Raises:
            Damaged: when it is not what was packed.
            SettingsError: when it is encrypted and no identity opens it.
        """
        packed = self._decrypted(name, stored) if name.endswith(".age") else stored
        decompressor = zstd.ZstdDecompressor()
        try:
            plain = decompressor.decompress(packed, max_length=max_bytes + 1)
        except zstd.ZstdError as error:
            raise Damaged(f"{name} is damaged off-site: {error}.", hint=_HINT) from None
        if len(plain) > max_bytes or not decompressor.eof or decompressor.unused_data:
            raise Damaged(f"{name} is damaged off-site: its length is wrong.", hint=_HINT)
        return plain

    def _decrypted(self, name: str, stored: bytes) -> bytes:
        try:
            return bytes(pyrage.decrypt(stored, self._identities))
        except pyrage.DecryptError as error:
            if "No matching keys" in str(error):
                raise SettingsError(
                    f"{name} is encrypted to others: no identity of {self.identity_file} opens it.",
                    hint="Set QDRANT_AGE_IDENTITY_FILE to that of a recipient it was pushed to.",
                ) from None
            raise Damaged(f"{name} is damaged off-site: {error}.", hint=_HINT) from None

    @cached_property
    def _identities(self) -> Sequence[pyrage.x25519.Identity]:
        if self.identity_file is None:
            raise SettingsError(
                "What is off-site is encrypted, and no identity is set.",
                hint="Set QDRANT_AGE_IDENTITY_FILE to the file with the line AGE-SECRET-KEY-1….",
            )
        try:
            lines = read_text(self.identity_file, max_bytes=MAX_IDENTITY_BYTES).splitlines()
            keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            identities = [pyrage.x25519.Identity.from_str(key) for key in keys]
        except (OSError, ValueError, pyrage.IdentityError):
            # The content is not repeated: it is a secret.
            identities = []
        if not identities:
            raise SettingsError(
                f"QDRANT_AGE_IDENTITY_FILE: {self.identity_file} holds no age identity.",
                hint="`age-keygen -o key.txt` makes such a file: lines AGE-SECRET-KEY-1….",
            )
        return identities
