"""Unit tests of `snapshot_tasks.operations.restore`."""
