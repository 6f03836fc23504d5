"""Copy snapshots off-site, bring them back, list and prune them there."""
