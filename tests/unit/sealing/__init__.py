"""Unit tests of `snapshot_tasks.sealing`."""
