"""Commands of the layer `data`."""
