"""Telling others how a task ended: pings, webhooks, metrics. None of it can fail a task."""
