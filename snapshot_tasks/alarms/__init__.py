"""Reports how a task ended, by ping, webhook and metrics. Reporting never makes a task fail."""
