"""Commands of the layer `monitoring`."""
