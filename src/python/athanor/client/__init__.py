"""Layer `client`: generated stubs and gRPC, nothing else."""

from athanor.client.client import Client, connect

__all__ = ["Client", "connect"]
