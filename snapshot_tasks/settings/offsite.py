"""The settings of off-site copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from snapshot_tasks.settings.values import Values
from snapshot_tasks.storage.stores import variable_prefixes


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsiteSettings:
    """The places of off-site copies, the variables of their stores, and the keys."""

    urls: tuple[str, ...]
    age_recipients: tuple[str, ...]
    age_identity_file: Path | None
    store_variables: Mapping[str, str] = field(repr=False)


def read_offsite(values: Values, root: Path) -> OffsiteSettings:
    """Read the settings of off-site copies; files are relative to the project's root."""
    return OffsiteSettings(
        urls=values.places("QDRANT_OFFSITE_URL", root),
        age_recipients=values.recipients("QDRANT_AGE_RECIPIENTS", root),
        age_identity_file=values.file(
            "QDRANT_AGE_IDENTITY_FILE", root, expected="a readable file of age identities"
        ),
        store_variables=values.beginning_with(variable_prefixes()),
    )
