"""The snapshot folder: file names, manifests, proofs, the latest pointer and the lock."""
