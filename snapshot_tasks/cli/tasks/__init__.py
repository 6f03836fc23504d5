"""One thin file for each verb: parse, call one operation, pass the result to `show/`."""
