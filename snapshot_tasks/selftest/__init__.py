"""The known faults of a snapshot, and how to make them in a copy of it."""
