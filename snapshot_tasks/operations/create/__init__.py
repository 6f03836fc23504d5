"""Take a snapshot: from a live collection to a sealed file in the catalogue."""
