"""The snapshot folder: snapshots, manifests, proofs, the latest link and the lock."""
