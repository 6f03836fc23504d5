"""The command line: Invoke lives only here. Parse, wire, call one operation, render."""
