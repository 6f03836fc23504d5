"""Tests without a server that try many cases, and so take longer than unit tests should."""
