"""Makes releases from snapshots: fit, evaluate, gate, document and write; and verifies them by rebuilding."""
