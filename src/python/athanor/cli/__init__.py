"""Layer `cli`: command lines. The only layer that composes the others."""
