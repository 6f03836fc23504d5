"""A report as one self-contained page: a template, its styles, and plots as plain SVG."""
