"""What HAProxy counts at this machine's doors: connections, and requests that it refused before a replica saw them.

It comes from the administrator's socket, of whose commands `show stat` is HAProxy's public API; Serve says nothing of
refusals.
"""

import csv
import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

_SOCKET_VARIABLE: Final = "RAY_SERVE_HAPROXY_SOCKET_PATH"
_TIMEOUT_S: Final = 1.0
_READ_BYTES: Final = 65_536
# Frontends and backends, without their servers.
_QUESTION: Final = b"show stat -1 3 -1\n"

_DOORS: Final = {"http_frontend": "rest", "grpc_frontend": "grpc"}
# By our reason, HAProxy's counters: of a door, and of the backends behind it.
_OF_DOORS: Final = {"connections": ("dcon",), "request": ("dreq",), "malformed": ("ereq",)}
_OF_BACKENDS: Final = {"no_replica": ("econ",), "no_answer": ("eresp",), "foreign": ("dresp",)}


@dataclass(frozen=True)
class DoorCounts:
    """The counts of this machine's HAProxy since it started. They begin anew when Serve restarts it.

    Attributes:
        connections: open now, by door: `rest` or `grpc`.
        refused: by door and reason.
    """

    connections: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[tuple[str, str], int] = field(default_factory=dict)


def read_door_counts() -> DoorCounts:
    """Returns nothing where no HAProxy answers, as on a node of a cluster that has no door."""
    path = os.environ.get(_SOCKET_VARIABLE)
    if not path:
        return DoorCounts()
    try:
        return parse(_ask(path))
    except OSError:
        return DoorCounts()


def _ask(path: str) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(path)
        connection.sendall(_QUESTION)
        return b"".join(iter(lambda: connection.recv(_READ_BYTES), b"")).decode(errors="replace")


def parse(text: str) -> DoorCounts:
    """Reads the table that HAProxy writes."""
    connections: dict[str, int] = {}
    refused: Counter[tuple[str, str]] = Counter()
    for row in csv.DictReader(text.removeprefix("# ").splitlines()):
        name, kind = row["pxname"], row["svname"]
        if kind == "FRONTEND" and (door := _DOORS.get(name)):
            connections[door] = _sum(row, ["scur"])
            _count(refused, door, _OF_DOORS, row)
        elif kind == "BACKEND":
            # As Serve names them, by protocol.
            _count(refused, "grpc" if name.startswith(("grpc-", "grpc_")) else "rest", _OF_BACKENDS, row)
    return DoorCounts(connections, refused)


def _count(
    refused: Counter[tuple[str, str]], door: str, reasons: Mapping[str, Iterable[str]], row: Mapping[str, str]
) -> None:
    for reason, names in reasons.items():
        refused[door, reason] += _sum(row, names)


def _sum(row: Mapping[str, str], names: Iterable[str]) -> int:
    return sum(int(row.get(name) or 0) for name in names)
