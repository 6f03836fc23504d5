"""Unit tests of `snapshot_tasks.system`."""
