"""How results are shown to a person, a CI system or GitHub."""
