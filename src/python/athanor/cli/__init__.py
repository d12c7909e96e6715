"""Layer `cli`: command lines, the only layer that composes the others."""
