"""The environment that GitHub Actions sets for every step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def in_actions(environment: Mapping[str, str] | None = None) -> bool:
    """Return whether this runs in GitHub Actions, which runs commands found in the output."""
    environment = os.environ if environment is None else environment
    return environment.get("GITHUB_ACTIONS") == "true"


def step_summary(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the file whose Markdown becomes the summary of the step, if there is one."""
    environment = os.environ if environment is None else environment
    name = environment.get("GITHUB_STEP_SUMMARY")
    return Path(name) if name else None
