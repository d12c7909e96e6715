"""From a snapshot to a release: fit, evaluate, gate, document, write, and verify by making it again."""
