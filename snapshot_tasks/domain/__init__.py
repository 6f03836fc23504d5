"""Pure values and decisions. Nothing here does I/O."""
