"""One thin file a verb: parse, call one operation, hand the result to `show/`."""
