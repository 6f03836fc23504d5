"""Stores for off-site copies, all with the same few methods (`base.Store`)."""
