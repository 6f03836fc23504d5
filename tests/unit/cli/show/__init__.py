"""Unit tests of `snapshot_tasks.cli.show`."""
