"""Remove the key from everything that leaves a task; a library may have put it anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote


def without_key(text: str, key: str | None) -> str:
    """Return a text without the key, however it is quoted."""
    if not key:
        return text
    forms = {key, repr(key)[1:-1], json.dumps(key)[1:-1], quote(key), quote(key, safe="")}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text


def document_without_key(value: Any, key: str | None) -> Any:
    """Return a document without the key in any of its texts."""
    if isinstance(value, Mapping):
        return {name: document_without_key(part, key) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [document_without_key(part, key) for part in value]
    return without_key(value, key) if isinstance(value, str) else value
