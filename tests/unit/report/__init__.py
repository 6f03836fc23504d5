"""Unit tests of `snapshot_tasks.report`."""
