"""Tests on a real Docker Compose."""
