"""Unit tests of `snapshot_tasks.alarms`."""
