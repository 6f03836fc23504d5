"""Snapshots of Qdrant collections, and the proof that they restore."""

__version__ = "0.1.0"
