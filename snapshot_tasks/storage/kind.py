"""What there is to know of a kind of store without opening one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from snapshot_tasks.storage.base import Store
from snapshot_tasks.storage.place import Place


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKind:
    """A scheme, and what a URL of it means. Help texts, errors and settings are made from this.

    `prefix` is what the names of the store's own variables begin with, such as AWS_; empty where it
    has none. Without a bucket, a URL holds only a path. `open` imports what is heavy when called.
    """

    scheme: str
    example: str
    open: Callable[[Place, Mapping[str, str]], Store]
    prefix: str = ""
    has_bucket: bool = True
