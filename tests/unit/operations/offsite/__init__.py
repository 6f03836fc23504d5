"""Unit tests of `snapshot_tasks.operations.offsite`."""
