"""Restore collections from snapshots."""
