"""Layer `serving`: answers for released models over gRPC and REST, on Ray Serve."""
