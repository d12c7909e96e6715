"""Which sockets processes wait at, as Linux' /proc tells it."""

import ipaddress
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_LISTENING: Final = "0A"
_UNCONNECTED: Final = "07"
_STATES: Final = {"tcp": _LISTENING, "tcp6": _LISTENING, "udp": _UNCONNECTED, "udp6": _UNCONNECTED}


@dataclass(frozen=True)
class NetworkSocket:
    """A socket that waits for anybody.

    Attributes:
        protocol: tcp or udp.
        address: it is bound to; one of IPv4 inside IPv6 is told as what it is.
    """

    pid: int
    command: str
    protocol: str
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    @property
    def is_on_loopback(self) -> bool:
        return self.address.is_loopback


@dataclass(frozen=True)
class FileSocket:
    """A Unix socket. The name of an abstract one begins with @: no folder's mode keeps anybody from it."""

    pid: int
    command: str
    name: str

    @property
    def is_private(self) -> bool:
        """Whether its owner alone can come to it."""
        if self.name.startswith("@"):
            return False
        path = Path(self.name)
        folders = any(folder.stat().st_mode & 0o011 == 0 for folder in path.parents if folder.exists())
        return folders or path.stat().st_mode & 0o022 == 0


def find_network_sockets(pids: Iterable[int]) -> list[NetworkSocket]:
    """Those of TCP and UDP that processes wait at, in this process' network."""
    owners = _find_owners(pids)
    found = []
    for table, state in _STATES.items():
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == state and (owner := owners.get(fields[9])):
                address, _, port = fields[1].partition(":")
                found.append(NetworkSocket(*owner, table.rstrip("6"), _parse_address(address), int(port, 16)))
    return found


def find_file_sockets(pids: Iterable[int]) -> list[FileSocket]:
    """Unix sockets with a name that processes have; what is left of a name that was taken over does not count."""
    owners = _find_owners(pids)
    found = []
    for line in Path("/proc/net/unix").read_text().splitlines()[1:]:
        fields = line.split(maxsplit=7)
        is_bound_to_wait = int(fields[3], 16) & 0x10000 or fields[4] == "0002"
        if len(fields) == 8 and is_bound_to_wait and (owner := owners.get(fields[6])):
            # HAProxy binds under another name and renames: the table goes on telling the first.
            name = re.sub(r"\.\d+\.tmp$", "", fields[7])
            if name.startswith("@") or Path(name).exists():
                found.append(FileSocket(*owner, name))
    return found


def _find_owners(pids: Iterable[int]) -> dict[str, tuple[int, str]]:
    """Process and command by a socket's inode."""
    owners = {}
    for pid in pids:
        with suppress(OSError):
            command = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")[0].decode(errors="replace")
            for descriptor in Path("/proc", str(pid), "fd").iterdir():
                with suppress(OSError):
                    if (inode := re.fullmatch(r"socket:\[(\d+)\]", str(descriptor.readlink()))) is not None:
                        owners[inode[1]] = (pid, command)
    return owners


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The kernel writes words of 32 bits as its processor has them."""
    packed = b"".join(bytes.fromhex(text[i : i + 8])[::-1] for i in range(0, len(text), 8))
    address = ipaddress.ip_address(packed)
    return getattr(address, "ipv4_mapped", None) or address


def can_make_networks() -> str | None:
    """Why this process can make no network of its own; None if it can."""
    if os.geteuid() != 0:
        return "only root makes networks"
    return None if Path("/sbin/ip").exists() or Path("/usr/sbin/ip").exists() else "Debian's iproute2 is not installed"
