"""Reading the contents of a snapshot file without a server."""
