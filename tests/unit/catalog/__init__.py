"""Unit tests of `snapshot_tasks.catalog`."""
