"""Talking to a Qdrant server: the only place that knows its HTTP API."""
