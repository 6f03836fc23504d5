"""This project measured against what one would use instead: `inv bench`.

Everything is measured in one run, on the same data, in turn; what counts are the ratios.
"""
