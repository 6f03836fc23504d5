"""One verb per file, each an ordinary function that knows nothing of the command line."""
