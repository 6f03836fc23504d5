"""Copy snapshots off-site, pull them back, and list and prune the copies."""
