"""Layer `client`: generated stubs and gRPC, nothing else."""
