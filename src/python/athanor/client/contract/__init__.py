"""The RPC `Predict` of a model: from generated stubs, or from the service by reflection."""
