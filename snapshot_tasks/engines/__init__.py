"""What can run a Qdrant on this machine: Docker Compose, or a native process."""
