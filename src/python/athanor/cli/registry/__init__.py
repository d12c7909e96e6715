"""Commands of the layer `registry`."""
