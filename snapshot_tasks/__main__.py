"""`python -m snapshot_tasks` is `qdrant-snapshots`, also where the package is not installed."""

from snapshot_tasks.cli.program import main

main()
