"""Builders and faults that the tests share."""
