"""Unit tests of `snapshot_tasks.engines`."""
