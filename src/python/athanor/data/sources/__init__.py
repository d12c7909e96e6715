"""Sources of raw tables, and the store of their unmodified input."""
