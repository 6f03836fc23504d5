"""Tasks of the group `stack`: the live Qdrant."""
