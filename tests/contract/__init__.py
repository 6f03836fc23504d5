"""One suite over every storage."""
