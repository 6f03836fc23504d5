"""Unit tests of `snapshot_tasks.domain`."""
