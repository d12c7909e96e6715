"""Layer `serving`: answers for released models over gRPC and REST, on Ray Serve."""

from athanor.serving.core import Core
from athanor.serving.service import ServicePlace, ServiceState, down, run, up
from athanor.serving.settings import (
    DEFAULT_GRPC_PORT,
    DEFAULT_HTTP_PORT,
    ServingSettings,
    find_free_ports,
    is_free,
    make_settings,
)

__all__ = [
    "DEFAULT_GRPC_PORT",
    "DEFAULT_HTTP_PORT",
    "Core",
    "ServicePlace",
    "ServiceState",
    "ServingSettings",
    "down",
    "find_free_ports",
    "is_free",
    "make_settings",
    "run",
    "up",
]
