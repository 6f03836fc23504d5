"""Tasks of the group `points`."""
