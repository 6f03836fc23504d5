"""Describes a kind of store without opening one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from snapshot_tasks.storage.base import Store
    from snapshot_tasks.storage.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKind:
    """A scheme and the meaning of its URLs; help texts, errors and settings are derived from it.

    `prefix` is the prefix of the store's variables, such as AWS_; empty if it has none. Without a
    bucket, a URL only has a path. `open` imports heavy libraries when it is called. `open_at` opens
    it as it was at a time, for a kind that keeps versions.
    """

    scheme: str
    example: str
    open: Callable[[Place, Mapping[str, str]], Store]
    open_at: Callable[[Place, Mapping[str, str], datetime], Store] | None = None
    prefix: str = ""
    has_bucket: bool = True
