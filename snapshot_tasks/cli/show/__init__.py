"""What a person, a CI system or GitHub sees of a result."""
