"""Where a cluster is found, whether it lets this machine in, and by which address this machine is reached."""

import ipaddress
import os
import socket
import time
from dataclasses import dataclass
from typing import Final

from athanor.cluster.serve_haproxy import LOOPBACK
from athanor.errors import ServiceError, SettingsError

DEFAULT_PORT: Final = 6379

_ANSWER_S: Final = 60.0
_POLL_S: Final = 0.5
_CONNECT_S: Final = 2.0


@dataclass(frozen=True)
class Address:
    """Where a cluster is found."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Raises SettingsError unless it is HOST:PORT."""
        host, _, port = text.rpartition(":")
        if not host or not port.isdigit() or not 1 <= int(port) <= 65_535:
            raise SettingsError(f"{text!r} is no address of a cluster; give HOST:PORT, such as 10.0.0.1:{DEFAULT_PORT}")
        return cls(resolve(host), int(port))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def resolve(host: str) -> str:
    """The IPv4 address of a host. Raises SettingsError if it has none, or if it is that of all interfaces."""
    try:
        found = socket.gethostbyname(host)
    except OSError as error:
        raise SettingsError(f"{host} has no address: {error}; give one, such as 10.0.0.1") from None
    if ipaddress.ip_address(found).is_unspecified:
        raise SettingsError(f"{host} is no address by which others reach this machine; give one, such as 10.0.0.1")
    return found


def require_own(host: str) -> str:
    """Raises SettingsError if an address is not of this machine."""
    if not is_own(host):
        raise SettingsError(f"{host} is no address of this machine; give by --host one that the other nodes reach")
    return host


def is_own(host: str) -> bool:
    """Whether an address is one of this machine's."""
    with socket.socket() as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def find_own_address(cluster: Address) -> str:
    """The address by which this machine reaches a cluster. Raises SettingsError if there is no way there."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: the kernel only looks for the way.
            probe.connect((cluster.host, cluster.port))
        except OSError as error:
            raise SettingsError(f"there is no way from here to {cluster}: {error}") from None
        return str(probe.getsockname()[0])


def require_cluster(address: Address, wait_s: float = 0.0) -> None:
    """Returns if a cluster answers there and takes the token that the environment says. Imports Ray.

    Args:
        wait_s: how long it may take to come up.

    Raises:
        ServiceError: nobody answers.
        SettingsError: the token is not the cluster's.
    """
    _wait_until_somebody_listens(address, wait_s)
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.exceptions import AuthenticationError

    try:
        GcsClient(address=str(address)).internal_kv_keys(b"", b"serve", timeout=_ANSWER_S)
    except AuthenticationError:
        token = os.environ["RAY_AUTH_TOKEN_PATH"]
        raise SettingsError(
            f"the cluster {address} refuses the token in {token}; copy the head's file of its token there"
        ) from None
    except Exception as error:
        raise ServiceError(f"the cluster {address} does not answer as Ray does: {error}") from error


def _wait_until_somebody_listens(address: Address, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            socket.create_connection((address.host, address.port), _CONNECT_S).close()
        except OSError as error:
            if time.monotonic() > deadline:
                raise ServiceError(f"no cluster is at {address}: {error}; start its head by `node --head`") from None
            time.sleep(_POLL_S)
        else:
            return


def loopback_environment(host: str) -> dict[str, str]:
    """Ray takes 127.0.0.1 for another address, and listens on all, unless it is told that there is no other machine."""
    return {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if host == LOOPBACK else {}
