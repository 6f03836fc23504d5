"""Points of a snapshot: compared with others, brought back, and exported."""
