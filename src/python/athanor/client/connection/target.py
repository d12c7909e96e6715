"""Address of a service: `host:port`, `grpc://host:port` or `grpcs://host:port`."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from athanor.errors import SettingsError

_FORM: Final = re.compile(
    r"(?:(?P<scheme>grpcs?)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(?P<port>[0-9]{1,5})"
)
_LARGEST_PORT: Final = 65_535


@dataclass(frozen=True)
class Target:
    """Address of a service.

    Attributes:
        address: `host:port`.
        is_tls: whether the scheme asks for TLS; None without a scheme.
    """

    address: str
    is_tls: bool | None

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    @property
    def is_loopback(self) -> bool:
        """Whether the address is this machine's loopback."""
        host = self.address.rpartition(":")[0].strip("[]")
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host.lower() == "localhost"


def parse_target(text: str) -> Target:
    """Raises SettingsError if the text is not an address."""
    found = _FORM.fullmatch(text)
    if found is None or not 0 < int(found["port"]) <= _LARGEST_PORT:
        # Text before an "@" may be a secret.
        shown = repr(text.rpartition("@")[2])
        raise SettingsError(f"target {shown} is not an address; give host:port, grpc://host:port or grpcs://host:port")
    is_tls = None if found["scheme"] is None else found["scheme"] == "grpcs"
    return Target(f"{found['host']}:{found['port']}", is_tls)
