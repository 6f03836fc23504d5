"""The settings of off-site copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.settings.reader import Reader
from snapshot_tasks.storage.stores import variable_prefixes


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsiteSettings:
    """The places of off-site copies, the variables of their stores, and the keys."""

    urls: tuple[str, ...]
    age_recipients: tuple[str, ...]
    age_identity_file: Path | None
    store_variables: Mapping[str, str] = field(repr=False)


def read_offsite(reader: Reader, root: Path) -> OffsiteSettings:
    """Read the settings of off-site copies; files are relative to the project's root."""
    return OffsiteSettings(
        urls=reader.places("QDRANT_OFFSITE_URL", root),
        age_recipients=reader.recipients("QDRANT_AGE_RECIPIENTS", root),
        age_identity_file=reader.file(
            "QDRANT_AGE_IDENTITY_FILE", root, expected="a readable file of age identities"
        ),
        store_variables=reader.beginning_with(variable_prefixes()),
    )
