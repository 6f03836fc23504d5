"""Unit tests of `snapshot_tasks.qdrant`."""
