"""Runs Ray's HAProxy with the configuration that Ray wrote, hardened, and never as an orphan.

Serve starts a script in HAProxy's place, and the script starts this file as a program of its own. It imports nothing of
ours, since each change of the replicas costs one start.

    serve_haproxy.py OWNER HAPROXY HOST HTTP_PORT GRPC_PORT ARGUMENTS…

OWNER is a process as `athanor.system.processes` writes it. HOST and ports are `-` on a cluster, where Ray alone knows
the doors: they come with the first project.

What Ray's configuration has that a service must not have, and what replaces it:

- statistics and metrics on all interfaces: on sockets of files, for their owner alone;
- doors on the loopback address of all of Ray's servers: on the address that was asked for;
- an administrator's socket for everybody: for its owner;
- a line for each request to a port of the system's log, from a socket on all interfaces: servers that come and go, in
  HAProxy's own log;
- 503 disguised as 500, and 404 while no replica is known, neither of which clients would retry: 503;
- names of applications for everybody: whether the service is alive, and no more;
- connections kept to a machine that no longer answers: closed, so that another replica is asked;
- requests held in Python while no replica is up, without an end, and counted as healthy: 503 at once.

It starts nothing if the configuration is not as it was when this was written: where HAProxy would listen, and what it
would hide, would be unknown. No public option of Serve replaces any of this: `HTTPOptions` knows host and port alone.
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
AS_CONFIGURED: Final = "-"

_PR_SET_PDEATHSIG: Final = 1
# Of the fields in /proc/PID/stat that follow the command's name.
_STARTED: Final = 19
# Seconds for which a replica's machine may leave unacknowledged what was sent to it.
_SILENCE_S: Final = 2
_BIND: Final = re.compile(r"^\s*bind (\S*):(\d+)( .*)?$")
_HEADERS: Final = (
    "x-request-timeout-seconds",
    "x-request-disconnect-disabled",
    "serve_multiplexed_model_id",
    "serve-multiplexed-model-id",
)
_UNAVAILABLE: Final = (
    '{\\"type\\":\\"urn:athanor:error:UNAVAILABLE\\",\\"title\\":\\"Unavailable\\",\\"status\\":503,'
    '\\"detail\\":\\"no replica answers now; try again\\",\\"code\\":\\"UNAVAILABLE\\"}'
)
_PROBLEM: Final = f'content-type application/problem+json string "{_UNAVAILABLE}"'

# Lines at the beginning of each section that must be there; Ray writes grpc_frontend when it has gRPC services.
_ADDED: Final = {
    "global": (),
    "defaults": (
        "    option dontlog-normal",
        # A machine that loses power leaves its connections open. Its kernel then acknowledges nothing, while a busy
        # replica's kernel does: health checks instead would end what a slow replica is about to answer.
        "    option srvtcpka",
        "    srvtcpka-idle 1s",
        "    srvtcpka-intvl 1s",
        f"    srvtcpka-cnt {_SILENCE_S}",
        f"    http-error status 503 {_PROBLEM}",
    ),
    "http_frontend": (
        # HAProxy answers these itself, and decodes what stands in a path.
        "    http-request return status 404 if { path,url_dec -i -m beg /-/ } !{ path -i /-/healthz }",
        # Serve obeys these: how long a request may take is not for its sender to say.
        *(f"    http-request del-header {name}" for name in _HEADERS),
        # Serve adds a second one to each answer. Ours, which is safe to repeat, comes first.
        "    http-response set-header x-request-id %[res.fhdr(x-request-id,1)] if { res.fhdr_cnt(x-request-id) gt 1 }",
    ),
    "grpc_frontend": (
        "    http-request return status 200 content-type application/grpc hdr grpc-status 12"
        " if { path -m beg /ray.serve. } !{ path /ray.serve.RayServeAPIService/Healthz }",
    ),
    "default_backend": (),
}
_REQUIRED: Final = frozenset(_ADDED) - {"grpc_frontend"}
_DOORS: Final = ("http_frontend", "grpc_frontend")
# Sections that listen to Ray alone.
_INNER: Final = ("prometheus", "stats")
_KINDS: Final = ("global", "defaults", "frontend", "backend", "listen")
_ANSWERS: Final = {
    "default_backend": f"    http-request return status 503 {_PROBLEM}",
    "default_grpc_backend": "    http-request return status 200 content-type application/grpc hdr grpc-status 14",
}
_OURS: Final = frozenset(line for lines in _ADDED.values() for line in lines)


class Doors(NamedTuple):
    """Where callers connect."""

    host: str
    http_port: int
    grpc_port: int


class UnknownConfigurationError(Exception):
    """Ray's configuration is not as it was when this was written: it is unknown who could connect where."""


def harden(configuration: str, doors: Doors, folder: Path) -> str:
    """Returns a configuration in which other machines reach the doors and nothing else. Hardened twice, it is the same.

    Args:
        folder: of sockets; its owner alone may enter it.

    Raises:
        UnknownConfigurationError: a section or an option is not where it was, or something unknown would listen.
    """
    hardened = "".join(f"{line}\n" for line in _harden(configuration.splitlines(), doors, folder))
    _check(hardened, doors)
    return hardened


def find_doors(configuration: str) -> Doors:
    """The doors as Ray configures them. One that it has not written yet has port 0."""
    host, ports = LOOPBACK, dict.fromkeys(_DOORS, 0)
    for section, line in _sections(configuration.splitlines()):
        if section in ports and (bind := _BIND.match(line)):
            host, ports[section] = bind[1], int(bind[2])
    return Doors(host, *ports.values())


def _sections(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Each line with the name of its section."""
    section = ""
    for line in lines:
        if _is_header(line):
            section = line.split()[-1]
        yield section, line


def _is_header(line: str) -> bool:
    return bool(line.strip()) and not line.startswith((" ", "\t", "#"))


def _harden(lines: list[str], doors: Doors, folder: Path) -> Iterator[str]:
    for section, line in _sections(lines):
        words = line.split()
        if _is_header(line):
            yield line
            # First, since HAProxy obeys the first rule that answers.
            yield from _ADDED.get(section, ())
        elif bind := _BIND.match(line):
            yield _bind(section, bind[2], bind[3] or "", doors, folder)
        elif section in _ANSWERS and words[:2] == ["http-request", "return"]:
            yield _ANSWERS[section]
        elif section == "global":
            yield _harden_global(line, words)
        elif words[:1] == ["server"]:
            yield from _harden_server(line, words)
        elif line not in _OURS and words[:1] != ["errorfile"]:
            yield line


def _bind(section: str, port: str, options: str, doors: Doors, folder: Path) -> str:
    if section in _DOORS:
        return f"    bind {doors.host}:{port}{options}"
    if section in _INNER:
        return f"    bind unix@{folder}/{section}.sock mode 600"
    raise UnknownConfigurationError(f"section {section} would listen at port {port}; known are {_DOORS} and {_INNER}")


def _harden_global(line: str, words: list[str]) -> str:
    if words[:1] == ["log"]:
        return "    log stderr format raw local0 notice"
    return line.replace(" mode 666 ", " mode 600 ") if words[:2] == ["stats", "socket"] else line


def _harden_server(line: str, words: list[str]) -> Iterator[str]:
    # Ray's fallback proxy holds requests until a replica is there, however long that takes.
    if words[-1] != "backup":
        yield line if "tcp-ut" in words else f"{line} tcp-ut {_SILENCE_S}s"


def _check(configuration: str, doors: Doors) -> None:
    """Raises UnknownConfigurationError unless the outcome is safe, whatever Ray wrote."""
    lines = configuration.splitlines()
    _check_sections([line.split() for line in lines if _is_header(line)])
    directives = [line.split() for line in lines]
    _check_binds([words[1] for words in directives if words[:1] == ["bind"]], doors)
    sockets = [words for words in directives if words[:2] == ["stats", "socket"]]
    if len(sockets) != 1 or sockets[0][3:5] != ["mode", "600"]:
        raise UnknownConfigurationError(f"the administrator's socket would not be its owner's alone: {sockets}")
    if logs := [words for words in directives if words[:1] == ["log"] and words[1:2] not in (["global"], ["stderr"])]:
        raise UnknownConfigurationError(f"HAProxy would send its log away: {' '.join(logs[0])}")


def _check_sections(headers: list[list[str]]) -> None:
    names = [words[-1] for words in headers]
    if missing := sorted(_REQUIRED - set(names)):
        raise UnknownConfigurationError(f"section {', '.join(missing)} is missing; found {', '.join(names)}")
    if len(set(names)) != len(names):
        raise UnknownConfigurationError(f"a section is there twice: {', '.join(names)}")
    if unknown := sorted({words[0] for words in headers} - set(_KINDS)):
        raise UnknownConfigurationError(f"sections of unknown kind: {', '.join(unknown)}")


def _check_binds(binds: list[str], doors: Doors) -> None:
    http, grpc = (f"{doors.host}:{port}" for port in (doors.http_port, doors.grpc_port))
    public = [address for address in binds if not address.startswith("unix@")]
    # Ray writes the gRPC door when it has services.
    if public not in ([http], [http, grpc]):
        raise UnknownConfigurationError(f"HAProxy would listen at {', '.join(binds)}; expected {http} and {grpc} alone")


def _tie_to(owner: str) -> None:
    """Ends this process with its parent, and now if the owner has ended: who is killed cannot end others."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    pid, _, started = owner.partition(":")
    try:
        fields = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        fields = ["X"]
    # Another process may have the ID by now; it started later.
    if fields[0] in "ZX" or fields[_STARTED] != started:
        raise SystemExit("the service has ended")


def _harden_file(path: Path, host: str, http_port: str, grpc_port: str) -> None:
    written = path.read_text()
    doors = find_doors(written) if host == AS_CONFIGURED else Doors(host, int(http_port), int(grpc_port))
    arriving = path.with_suffix(".hardened")
    try:
        arriving.write_text(harden(written, doors, path.parent))
    except UnknownConfigurationError as error:
        raise SystemExit(
            f"HAProxy is not started: {error}; Ray wrote {path}; compare athanor/cluster/serve_haproxy.py with "
            "ray/serve/_private/haproxy_templates.py of the installed Ray"
        ) from None
    arriving.replace(path)


def main(owner: str, haproxy: str, host: str, http_port: str, grpc_port: str, *arguments: str) -> None:
    """Becomes HAProxy."""
    _tie_to(owner)
    if "-f" in arguments:
        _harden_file(Path(arguments[arguments.index("-f") + 1]), host, http_port, grpc_port)
    os.execv(haproxy, [haproxy, *arguments])  # noqa: S606 - it is to be HAProxy's process, not its parent


if __name__ == "__main__":
    main(*sys.argv[1:])
