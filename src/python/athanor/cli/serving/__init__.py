"""Commands of the layer `serving`."""
