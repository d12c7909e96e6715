"""Addresses: where the head of a cluster listens, and which addresses are this machine's."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

from athanor.errors import SettingsError

DEFAULT_PORT: Final = 6379

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class Address:
    """Where the head of a cluster listens.

    Attributes:
        host: IPv4 or IPv6 address.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Reads `HOST:PORT` or `[IPV6]:PORT`. Raises SettingsError if it is neither, or if the host has no address."""
        host, _, port = text.rpartition(":")
        is_bracketed = host.startswith("[") and host.endswith("]")
        if not (host and port.isdecimal() and 0 < int(port) < 2**16 and is_bracketed == (":" in host)):
            raise SettingsError(
                f"{text!r} is not the address of a Ray head; give HOST:PORT or [IPV6]:PORT, such as "
                f"10.0.0.1:{DEFAULT_PORT}"
            )
        return cls(resolve(host[1:-1] if is_bracketed else host), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_host(text: str) -> str:
    """Returns the address or name in a text, without the brackets that a URL has around an IPv6 address.

    Raises:
        ValueError: it is neither; says what it may be.
    """
    host = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if not _HOST_NAME.fullmatch(host):
            raise ValueError(
                "is no IP address and no host name; give an address of this machine, or 0.0.0.0 or :: for all"
            ) from None
        return host
    if getattr(address, "scope_id", None):
        raise ValueError("has a zone, by which clients of others could not connect; give another address")
    return str(address)


def resolve(host: str) -> str:
    """Returns a host's address: IPv4 where it has one, as Ray's nodes do, else IPv6.

    Raises:
        SettingsError: it has none, or it stands for all interfaces, by which no other machine reaches this one.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise SettingsError(f"{host} has no address: {error}; give one, such as 10.0.0.1") from None
    address = str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])
    if ipaddress.ip_address(address).is_unspecified:
        raise SettingsError(f"{host} stands for all interfaces; give an address that others reach, such as 10.0.0.1")
    return address


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone."""
    return ipaddress.ip_address(host).is_loopback


def is_local(host: str) -> bool:
    """Whether an address belongs to this machine."""
    with socket.socket(_family(host)) as probe:
        try:
            probe.bind((host, 0))
        except OSError:
            return False
    return True


def require_local(host: str) -> str:
    """Raises SettingsError unless an address belongs to this machine; returns it."""
    if not is_local(host):
        raise SettingsError(f"{host} is not an address of this machine; give one by --host that the other nodes reach")
    return host


def find_local_address(peer: Address) -> str:
    """Returns the address by which this machine reaches a peer. Raises SettingsError if there is no route."""
    with socket.socket(_family(peer.host), socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: the kernel only chooses the route.
            probe.connect((peer.host, peer.port))
        except OSError as error:
            raise SettingsError(f"no route leads from this machine to {peer}: {error}") from None
        return str(probe.getsockname()[0])


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
