"""The tests: unit without a server, integration on native Qdrant, e2e on Docker Compose."""
