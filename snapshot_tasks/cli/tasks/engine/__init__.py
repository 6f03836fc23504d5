"""Tasks of the group `engine`."""
