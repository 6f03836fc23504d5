"""The checks: one function each, returning findings; the registries list them."""
