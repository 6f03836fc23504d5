"""Tests on real native Qdrant processes."""
