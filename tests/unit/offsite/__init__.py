"""Unit tests of `snapshot_tasks.offsite`."""
