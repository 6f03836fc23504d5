"""The key is in nothing that leaves a task, whatever a library may have put it into."""

from __future__ import annotations

import json
from urllib.parse import quote


def without_key(text: str, key: str | None) -> str:
    """Return a text without the key, in each way that it can be quoted."""
    if not key:
        return text
    forms = {key, repr(key)[1:-1], json.dumps(key)[1:-1], quote(key), quote(key, safe="")}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, "***")
    return text
