"""The client of a Qdrant server, and the only code that knows its HTTP API."""
