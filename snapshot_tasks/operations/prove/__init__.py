"""Prove that a snapshot restores, and that the checks notice damage."""
