"""Compares this project with the tools that one would use instead: `inv bench`.

Everything is measured in one run, in turn, on the same data; only the ratios matter.
"""
