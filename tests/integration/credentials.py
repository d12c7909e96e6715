"""A channel of gRPC whose every call carries what lets it in, for stubs that know nothing of tokens."""

from collections import namedtuple
from collections.abc import Callable, Iterator
from typing import Any

import grpc


class _Details(namedtuple("_Details", ("method", "timeout", "metadata", "credentials")), grpc.ClientCallDetails):
    """How one call is made."""


class _Authorization(grpc.UnaryUnaryClientInterceptor, grpc.StreamStreamClientInterceptor):  # type: ignore[type-arg]
    def __init__(self, header: tuple[str, str]) -> None:
        self._header = header

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        return continuation(self._with_header(details), request)

    def intercept_stream_stream(self, continuation: Callable[..., Any], details: Any, requests: Iterator[Any]) -> Any:
        return continuation(self._with_header(details), requests)

    def _with_header(self, details: Any) -> _Details:
        metadata = (*(details.metadata or ()), self._header)
        return _Details(details.method, details.timeout, metadata, details.credentials)


def authorize(channel: grpc.Channel, header: tuple[str, str]) -> grpc.Channel:
    """The channel, with a header on every call."""
    return grpc.intercept_channel(channel, _Authorization(header))
