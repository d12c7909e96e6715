"""Commands of the layer `training`."""
