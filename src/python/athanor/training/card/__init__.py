"""The model card: an HTML page about a release, its quality and its limits."""
