"""Layer `training`: from a snapshot to a release that passed its gates."""
