"""Bring a collection back from a snapshot."""
