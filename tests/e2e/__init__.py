"""Tests on a real Docker Compose, with `inv` as a subprocess."""
