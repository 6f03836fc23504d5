"""Tests without a server and without a network."""
