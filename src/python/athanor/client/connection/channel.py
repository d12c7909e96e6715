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
    # All attempts are ours, see retries.py; gRPC would make some unseen.
    ("grpc.enable_retries", 0),
    # A service that comes back is found again within a second.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # In spite of its name the time that one connection may take to be made; TLS over a long line needs some.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_receive_message_length", _MOST_ANSWER_BYTES),
)
# What is meant to stay on this machine does not travel through a proxy.
_OPTIONS_OF_LOOPBACK: Final[tuple[tuple[str, Any], ...]] = (("grpc.enable_http_proxy", 0),)


class Connection:
    """A way to a service. Made by `connect`, used by `with` or `async with`, shared by any number of clients.

    Nothing is sent before the first call; what a call finds missing, it connects again.

    Attributes:
        target: where the service answers.
        retry: when calls are made again.
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
        """The token for a project's service: the given one, else, on this machine, that of the project's service.

        Raises:
            SettingsError: it cannot be read.
        """
        if self._token is None and self.target.is_loopback:
            return find_local_token(project, self._home)
        return self._token

    def open(self) -> grpc.Channel:
        """The channel of synchronous calls. Raises ServiceError if the connection was closed."""
        self.require_open()
        if self._channel is None:
            self._channel = (
                grpc.insecure_channel(self.target.address, self._options)
                if self._credentials is None
                else grpc.secure_channel(self.target.address, self._credentials, self._options)
            )
        return self._channel

    def open_async(self) -> grpc.aio.Channel:
        """The channel of the running event loop. Raises ServiceError if the connection was closed."""
        self.require_open()
        if self._async_channel is None:
            self._async_channel = (
                grpc.aio.insecure_channel(self.target.address, self._options)
                if self._credentials is None
                else grpc.aio.secure_channel(self.target.address, self._credentials, self._options)
            )
        return self._async_channel

    def wait(self, seconds: float) -> None:
        """Sleeps. Raises ServiceError if the connection is closed meanwhile."""
        self._closed.wait(seconds)
        self.require_open()

    def require_open(self) -> None:
        """Raises ServiceError if the connection was closed."""
        if self._closed.is_set():
            raise ServiceError(f"the connection to {self.target.address} was closed; connect again")

    @property
    def _options(self) -> tuple[tuple[str, Any], ...]:
        return _OPTIONS + (_OPTIONS_OF_LOOPBACK if self.target.is_loopback else ())

    def close(self) -> None:
        """Ends all synchronous calls that still wait."""
        self._closed.set()
        if self._channel is not None:
            self._channel.close()

    async def close_async(self) -> None:
        """Ends all calls that still wait."""
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


def connect(  # noqa: PLR0913 - each is given by its name
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
    """A way to a service. Reads and checks all files; nothing is sent yet.

    Args:
        target: `host:port`, `grpc://host:port` for plain text, `grpcs://host:port` for TLS. Without a scheme it is TLS
            if any of the PEM files is given.
        token: who asks; else that of the environment variable ATHANOR_TOKEN, else, where the target is this machine,
            the one that the service left in its home.
        ca: PEM file of those who may vouch for the service; gRPC's own list by default.
        certificate: PEM file of the client's own certificate, for mutual TLS.
        key: PEM file of its private key.
        allow_plaintext: send the token over a network in plain text, where everybody on the way can read it.
        home: where the service of this machine left its token; found as `Home.find` does.
        retry: when calls are made again.

    Raises:
        SettingsError: the target, a file or the token cannot be used, or a token would travel in plain text.
    """
    place = parse_target(target)
    has_files = any(path is not None for path in (ca, certificate, key))
    if place.is_tls is False and has_files:
        raise SettingsError(f"{target} is plain text and has no use for certificates; give grpcs://{place.address}")
    is_tls = has_files if place.is_tls is None else place.is_tls
    credentials = read_certificates(ca, certificate, key) if is_tls else None
    secret = token_of_environment() if token is None else check_token(token, "token")
    if secret is not None and not (is_tls or place.is_loopback or allow_plaintext):
        raise SettingsError(
            f"the token would travel to {place.address} in plain text; give grpcs://{place.address}, or allow it"
            " (allow_plaintext, --allow-plaintext) where the network itself keeps it secret"
        )
    return Connection(place, credentials, retry or RetryPolicy(), secret, home)
