"""Unit tests of `snapshot_tasks.settings`."""
