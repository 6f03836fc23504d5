"""Stores for off-site copies, each behind the same few methods (`base.Store`)."""
