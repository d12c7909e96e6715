"""Free ports of this machine."""

import secrets
import socket
from typing import Final

from athanor.errors import SettingsError

# Ranges that free ports are taken from. They do not overlap: another service's doors never take an inner port.
DOOR_PORTS: Final = range(10_000, 16_000)
INNER_PORTS: Final = range(16_000, 32_000)


def is_free(port: int, host: str = "") -> bool:
    """Whether a server can bind to a port of this machine.

    Args:
        host: one of its addresses; empty for all of IPv4.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        # As servers do: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def find_free_ports(count: int, among: range = DOOR_PORTS) -> int:
    """The first of `count` consecutive free ports.

    The search begins at a random port, so that two searches at once rarely find the same.

    Args:
        among: by default below the ports that the system gives to outgoing connections.

    Raises:
        SettingsError: there are not enough.
    """
    firsts = among[::count]
    begin = secrets.randbelow(len(firsts))
    for first in (*firsts[begin:], *firsts[:begin]):
        if first + count <= among.stop and all(is_free(first + offset) for offset in range(count)):
            return int(first)
    raise SettingsError(f"no {count} consecutive free ports from {among.start} to {among.stop - 1}")
