"""The command line, the only place that uses Invoke: parse, wire, call one operation, render."""
