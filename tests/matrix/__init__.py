"""Faults injected into real runs at random moments, and the damage they do."""
