"""The machine: processes, files, temporary folders, child processes, units and errors."""
