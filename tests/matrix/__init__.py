"""Faults injected into real runs at random moments, and what they cost."""
