"""Runs Ray's HAProxy as this service wants it: with the configuration that Ray wrote, made tighter, and never orphaned.

Ray starts a script in HAProxy's place, and the script starts this file, as a program of its own that imports nothing of
ours: each change of the replicas costs one start.

    ingress.py OWNER HAPROXY HOST HTTP_PORT GRPC_PORT ARGUMENTS…

HOST and ports are `-` on a cluster, where the doors are told to Ray alone, when a project is deployed.

What Ray's configuration has that a service must not, and what becomes of it:

- statistics and metrics on all interfaces: on sockets of files, for their owner alone;
- the doors on the loopback address that all of Ray's servers have: on the address that was asked for;
- an administrator's socket for everybody: for its owner;
- each request told to a port of the system's log, over a socket on all interfaces: only servers that come and go, to
  HAProxy's own log;
- 503 disguised as 500, and 404 while no replica is known yet, which clients would not try again: 503;
- names of applications told to anybody: nothing but whether there is life;
- connections kept to a machine that no longer answers: closed, so that what waits on them is asked of another.
"""

import ctypes
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

LOOPBACK: Final = "127.0.0.1"
AS_TOLD: Final = "-"

_PR_SET_PDEATHSIG: Final = 1
# How many seconds a replica's machine may leave unacknowledged what was sent to it.
_SILENCE_S: Final = 2
_BIND: Final = re.compile(r"^\s*bind (\S*):(\d+)( .*)?$")
_HEADERS: Final = ("x-request-timeout-seconds", "x-request-disconnect-disabled", "serve_multiplexed_model_id")
_UNAVAILABLE: Final = (
    '{\\"type\\":\\"urn:athanor:error:UNAVAILABLE\\",\\"title\\":\\"Unavailable\\",\\"status\\":503,'
    '\\"detail\\":\\"no replica answers now; try again\\",\\"code\\":\\"UNAVAILABLE\\"}'
)


class Doors(NamedTuple):
    """Where strangers may knock."""

    host: str
    http_port: int
    grpc_port: int


class UnknownConfigurationError(Exception):
    """Ray's configuration is not as it was known to be: what listens where cannot be told."""


def tighten(configuration: str, doors: Doors, folder: Path) -> str:
    """A configuration in which nothing but the doors can be reached from elsewhere. Doing it twice changes nothing.

    Args:
        folder: of sockets; its owner alone may enter it.

    Raises:
        UnknownConfigurationError: something would listen that is not known.
    """
    tightened = "".join(f"{line}\n" for line in _tighten(configuration.splitlines(), doors, folder))
    _check(tightened, doors)
    return tightened


_PROBLEM: Final = f'content-type application/problem+json string "{_UNAVAILABLE}"'
_DEFAULTS: Final = (
    "    option dontlog-normal",
    # A machine that went without a word leaves its connections open. Its kernel's silence tells, which a busy replica's
    # does not: health checks would end what a slow one is about to answer.
    "    option srvtcpka",
    "    srvtcpka-idle 1s",
    "    srvtcpka-intvl 1s",
    f"    srvtcpka-cnt {_SILENCE_S}",
    f"    http-error status 503 {_PROBLEM}",
)
_OF_DOOR: Final = {
    "http_frontend": (
        # Ray answers these itself, and decodes what stands in a path.
        "    http-request return status 404 if { path,url_dec -i -m beg /-/ } !{ path -i /-/healthz }",
        # Ray obeys these: how long a request may take is not for its sender to say.
        *(f"    http-request del-header {name}" for name in _HEADERS),
        # Ray adds a second one to each answer. Ours, which is safe to repeat, comes first.
        "    http-response set-header x-request-id %[res.fhdr(x-request-id,1)] if { res.fhdr_cnt(x-request-id) gt 1 }",
    ),
    "grpc_frontend": (
        "    http-request return status 200 content-type application/grpc hdr grpc-status 12"
        " if { path -m beg /ray.serve. } !{ path /ray.serve.RayServeAPIService/Healthz }",
    ),
}
_ANSWERS: Final = {
    "default_backend": f"    http-request return status 503 {_PROBLEM}",
    "default_grpc_backend": "    http-request return status 200 content-type application/grpc hdr grpc-status 14",
}
_OWN: Final = frozenset(line for lines in (_DEFAULTS, *_OF_DOOR.values()) for line in lines)


def _tighten(lines: list[str], doors: Doors, folder: Path) -> Iterator[str]:
    section = ""
    for line in lines:
        words = line.split()
        if words and not line.startswith((" ", "#")):
            section = words[-1]
        if bind := _BIND.match(line):
            yield from _bind(section, bind[2], bind[3] or "", doors, folder)
        elif section in _ANSWERS and words[:2] == ["http-request", "return"]:
            yield _ANSWERS[section]
        elif section == "global":
            yield _tighten_global(line, words)
        elif words[:1] == ["server"] and "tcp-ut" not in words:
            yield f"{line} tcp-ut {_SILENCE_S}s"
        elif line not in _OWN and words[:1] != ["errorfile"]:
            yield line
            yield from _DEFAULTS if words == ["defaults"] else ()


def find_doors(configuration: str) -> Doors:
    """The doors as Ray has them. One that it has not written yet is at port 0."""
    section, host, ports = "", LOOPBACK, {"http_frontend": 0, "grpc_frontend": 0}
    for line in configuration.splitlines():
        if line.strip() and not line.startswith((" ", "#")):
            section = line.split()[-1]
        if section in ports and (bind := _BIND.match(line)):
            host, ports[section] = bind[1], int(bind[2])
    return Doors(host, *ports.values())


def _bind(section: str, port: str, options: str, doors: Doors, folder: Path) -> Iterator[str]:
    if section in _OF_DOOR:
        yield f"    bind {doors.host}:{port}{options}"
        yield from _OF_DOOR[section]
    else:
        yield f"    bind unix@{folder}/{section}.sock mode 600"


def _tighten_global(line: str, words: list[str]) -> str:
    if words[:1] == ["log"]:
        return "    log stderr format raw local0 notice"
    return line.replace(" mode 666 ", " mode 600 ") if words[:2] == ["stats", "socket"] else line


def _check(configuration: str, doors: Doors) -> None:
    """Whoever changes HAProxy's configuration in Ray must be noticed here, before it listens."""
    rest, grpc = (f"{doors.host}:{port}" for port in (doors.http_port, doors.grpc_port))
    directives = [line.split() for line in configuration.splitlines()]
    binds = [words[1] for words in directives if words[:1] == ["bind"]]
    public = [address for address in binds if not address.startswith("unix@")]
    # Ray writes the gRPC door when it has services.
    if public not in ([rest], [rest, grpc]):
        raise UnknownConfigurationError(f"HAProxy would listen at {', '.join(binds)}; expected {rest} and {grpc} alone")
    if any(words[:2] == ["stats", "socket"] and words[3:5] != ["mode", "600"] for words in directives):
        raise UnknownConfigurationError("HAProxy's administrator's socket would not be its owner's alone")


def _tie_to(owner: str) -> None:
    """Ends this process with its parent, and now if the owner has ended: a killed parent tells nobody."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    status = Path("/proc", owner, "stat").read_text()
    if status.rpartition(")")[2].split()[0] in "ZX":
        raise SystemExit("the service has ended")


def main(owner: str, haproxy: str, host: str, http_port: str, grpc_port: str, *arguments: str) -> None:
    """Becomes HAProxy."""
    _tie_to(owner)
    if "-f" in arguments:
        path = Path(arguments[arguments.index("-f") + 1])
        arriving = path.with_suffix(".tightened")
        told = path.read_text()
        doors = find_doors(told) if host == AS_TOLD else Doors(host, int(http_port), int(grpc_port))
        arriving.write_text(tighten(told, doors, path.parent))
        arriving.replace(path)
    os.execv(haproxy, [haproxy, *arguments])  # noqa: S606 - it is to be HAProxy's process, not its parent


if __name__ == "__main__":
    main(*sys.argv[1:])
