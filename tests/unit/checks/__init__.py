"""Unit tests of `snapshot_tasks.checks`."""
