"""Pure values: what is known, compared and decided. Nothing here does I/O."""
