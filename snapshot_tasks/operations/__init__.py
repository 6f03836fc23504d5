"""One verb per file, each an ordinary function that knows nothing about the command line."""
