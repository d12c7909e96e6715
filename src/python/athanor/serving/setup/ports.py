"""Free ports of this machine."""

import os
import secrets
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from athanor.cluster.addresses import is_local
from athanor.errors import SettingsError

# Ranges that free ports are taken from. They do not overlap: another service's doors never take an inner port.
DOOR_PORTS: Final = range(10_000, 16_000)
INNER_PORTS: Final = range(16_000, 32_000)
_REMEDY: Final = "choose another by --http-port, --grpc-port"
_POLL_S: Final = 0.05


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


@contextmanager
def reserved_ports(*ports: int, host: str = "", wait_s: float = 0.0) -> Iterator[None]:
    """Keeps other services of this machine from starting on the same doors, until the context ends.

    HAProxy binds the doors seconds after a service has started: by then another may have found them free as well.

    Args:
        host: address that the doors bind to; empty for all of IPv4.
        wait_s: for the processes of a killed service, which need a moment to end.

    Raises:
        SettingsError: another service has one of them, another process is bound to it, or the host is not of this
            machine.
    """
    with ExitStack() as stack:
        for port in ports:
            # A name in no file system: it is free again when its holder dies, and each network has names of its own.
            name = stack.enter_context(socket.socket(socket.AF_UNIX))
            try:
                name.bind(f"\0athanor-{os.getuid()}-{port}")
            except OSError:
                raise SettingsError(f"another service has port {port}; {_REMEDY}") from None
        deadline = time.monotonic() + wait_s
        while not all(is_free(port, host) for port in ports) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        require_free(*ports, host=host)
        yield


def can_serve_on(*ports: int) -> bool:
    """Whether a service can start on these doors: they are free, and no service that is starting has reserved them."""
    try:
        with reserved_ports(*ports):
            return True
    except SettingsError:
        return False


def require_free(*ports: int, host: str = "") -> None:
    """Raises SettingsError, which names the ports that another process is bound to, or a host of another machine."""
    if host and not is_local(host):
        raise SettingsError(f"{host} is not an address of this machine; give one by --host, or 0.0.0.0 or :: for all")
    if taken := [port for port in ports if not is_free(port, host)]:
        raise SettingsError(f"port {' and '.join(map(str, taken))} is taken; {_REMEDY}")
