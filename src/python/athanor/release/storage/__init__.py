"""Storage of a release store: a folder of this machine, or any fsspec URL."""
