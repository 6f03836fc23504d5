"""Unit tests of `snapshot_tasks.schedule`."""
