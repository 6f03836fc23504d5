"""How snapshots are stored off-site: names, parts, and the marker that makes them visible."""
