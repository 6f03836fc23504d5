"""Snapshots off-site: their names, their parts, and the marker that makes them visible."""
