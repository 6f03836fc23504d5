"""Unit tests of `snapshot_tasks.storage`."""
