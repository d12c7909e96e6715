"""The connection to a service, for one or several clients."""

import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import grpc
import grpc.aio

from athanor.client.connection.credentials import check_token, find_local_token, read_certificates, token_of_environment
from athanor.client.connection.retries import RetryPolicy
from athanor.client.connection.target import Target, parse_target
from athanor.errors import ServiceError, SettingsError

_MOST_ANSWER_BYTES: Final = 64 * 1024 * 1024
_OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    # All retries are ours, see retries.py; gRPC would make some uncounted.
    ("grpc.enable_retries", 0),
    # Reconnect to a restarted service within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Despite its name the timeout of one connection attempt; TLS over a long line takes a while.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", _MOST_ANSWER_BYTES),
)
# Calls to this machine bypass a proxy.
_OPTIONS_OF_LOOPBACK: Final[tuple[tuple[str, Any], ...]] = (("grpc.enable_http_proxy", 0),)


class Connection:
    """Connection to a service, made by `connect`. A context manager, shared by any number of clients.

    It connects at the first call, and again after the connection is lost.

    Attributes:
        target: address of the service.
        retry: policy of all calls.
    """

    def __init__(
        self,
        target: Target,
        credentials: grpc.ChannelCredentials | None,
        retry: RetryPolicy,
        token: str | None,
        home: Path | None,
    ) -> None:
        self.target = target
        self.retry = retry
        self._credentials = credentials
        self._token = token
        self._home = home
        self._channel: grpc.Channel | None = None
        self._async_channel: grpc.aio.Channel | None = None
        self._closed = threading.Event()

    def __repr__(self) -> str:
        kind = "plain text" if self._credentials is None else "TLS"
        return f"Connection({self.target.address}, {kind})"

    def find_token(self, project: str) -> str | None:
        """The given token, else the one that the service left on this machine, if that is the target.

        Raises:
            SettingsError: the token cannot be read.
        """
        if self._token is None and self.target.is_loopback:
            return find_local_token(project, self.target.port, self._home)
        return self._token

    def open(self) -> grpc.Channel:
        """Channel of synchronous calls. Raises ServiceError if the connection was closed."""
        self.require_open()
        if self._channel is None:
            self._channel = self._make_channel(grpc)
        return self._channel

    def open_async(self) -> grpc.aio.Channel:
        """Channel of the running event loop. Raises ServiceError if the connection was closed."""
        self.require_open()
        if self._async_channel is None:
            self._async_channel = self._make_channel(grpc.aio)
        return self._async_channel

    def wait(self, seconds: float) -> None:
        """Sleeps. Raises ServiceError if the connection is closed meanwhile."""
        self._closed.wait(seconds)
        self.require_open()

    def require_open(self) -> None:
        """Raises ServiceError if the connection was closed."""
        if self._closed.is_set():
            raise ServiceError(f"the connection to {self.target.address} was closed; connect again")

    def _make_channel(self, library: Any) -> Any:
        """Makes a channel of `grpc` or `grpc.aio`."""
        options = _OPTIONS + (_OPTIONS_OF_LOOPBACK if self.target.is_loopback else ())
        if self._credentials is None:
            return library.insecure_channel(self.target.address, options)
        return library.secure_channel(self.target.address, self._credentials, options)

    def close(self) -> None:
        """Cancels all pending synchronous calls."""
        self._closed.set()
        if self._channel is not None:
            self._channel.close()

    async def close_async(self) -> None:
        """Cancels all pending calls."""
        self.close()
        if self._async_channel is not None:
            await self._async_channel.close(None)

    def __enter__(self) -> "Connection":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close_async()


def connect(  # noqa: PLR0913 - keyword arguments
    target: str,
    *,
    token: str | None = None,
    ca: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    allow_plaintext: bool = False,
    home: Path | None = None,
    retry: RetryPolicy | None = None,
) -> Connection:
    """Opens a connection to a service. Reads and checks all files; sends nothing yet.

    Args:
        target: `host:port`, `grpc://host:port` for plain text, `grpcs://host:port` for TLS. Without a scheme it is TLS
            if any of the PEM files is given.
        token: by default from the environment variable ATHANOR_TOKEN, else, if the target is this machine, from the
            home of its service.
        ca: PEM file of the certificate authorities that the client trusts; gRPC's own list by default.
        certificate: PEM file of the client's certificate, for mutual TLS.
        key: PEM file of the certificate's private key.
        allow_plaintext: allow sending the token over a network in plain text, where others can read it.
        home: home of the service on this machine, by default as `Home.find`.
        retry: policy of all calls.

    Raises:
        SettingsError: the target, a file or the token is invalid, or the token would be sent in plain text.
    """
    parsed = parse_target(target)
    has_files = any(path is not None for path in (ca, certificate, key))
    if parsed.is_tls is False and has_files:
        raise SettingsError(
            f"target {target!r} is plain text, but certificates were given; give grpcs://{parsed.address}"
        )
    is_tls = has_files if parsed.is_tls is None else parsed.is_tls
    credentials = read_certificates(ca, certificate, key) if is_tls else None
    secret = token_of_environment() if token is None else check_token(token, "token")
    if secret is not None and not (is_tls or parsed.is_loopback or allow_plaintext):
        raise SettingsError(
            f"the token would be sent to {parsed.address} in plain text; give grpcs://{parsed.address}, or allow it"
            " (allow_plaintext, --allow-plaintext) if the network keeps it secret"
        )
    return Connection(parsed, credentials, retry or RetryPolicy(), secret, home)
