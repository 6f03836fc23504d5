"""A report as one page that needs nothing else: a template, its styles, and plots as plain SVG."""
