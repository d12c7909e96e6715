"""Layer `data`: raw tables to validated, immutable snapshots, and how far data drifts from a reference."""
