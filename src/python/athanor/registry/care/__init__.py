"""Whether all parts of a registry agree, and which of its files can go."""
