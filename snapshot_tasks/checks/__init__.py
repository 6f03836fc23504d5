"""The checks: each is one function that returns findings; the registries list them."""
