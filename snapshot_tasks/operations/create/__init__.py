"""Take a snapshot of a live collection, seal it and add it to the catalogue."""
