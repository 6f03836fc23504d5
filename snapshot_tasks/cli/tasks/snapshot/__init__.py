"""Tasks of the group `snapshot`."""
