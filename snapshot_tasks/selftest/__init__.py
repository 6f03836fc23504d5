"""The known faults of a snapshot, and how to create them in a copy."""
