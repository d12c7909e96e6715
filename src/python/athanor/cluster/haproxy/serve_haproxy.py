"""Runs Ray's HAProxy with the configuration that Ray wrote, hardened, and never as an orphan.

Serve starts a script in HAProxy's place, and the script starts this file as a program of its own. It imports nothing of
ours, since each change of the replicas costs one start: `rules` writes the lines to add into a file.

    serve_haproxy.py OWNER HAPROXY RULES HOST HTTP_PORT GRPC_PORT ARGUMENTS…

OWNER is a process as `athanor.system.processes` writes it. HOST and ports are `-` on a cluster, where Ray alone knows
the doors: they come with the first project.

What Ray's configuration has that a service must not have, and what replaces it:

- statistics and metrics on all interfaces: on Unix sockets, for their owner alone;
- doors on the loopback address of all of Ray's servers: on the address that was asked for;
- an administrator's socket for all users: for its owner;
- a line for each request to a port of the system's log, from a socket on all interfaces: servers that come and go, in
  HAProxy's own log;
- connections without a bound on time or number, and refusals in HAProxy's words: see `rules`;
- requests held in Python while no replica is up, without an end, and counted as healthy: 503 at once.

It starts nothing if the configuration is not as it was when this was written: where HAProxy would listen, and what it
would hide, would be unknown. No public option of Serve replaces any of this: `HTTPOptions` knows host and port alone.
"""

import ctypes
import json
import os
import re
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

LOOPBACK: Final = "127.0.0.1"
AS_CONFIGURED: Final = "-"

_PR_SET_PDEATHSIG: Final = 1
# Of the fields in /proc/PID/stat that follow the command's name.
_STARTED: Final = 19
_BIND: Final = re.compile(r"^\s*bind (\S*):(\d+)( .*)?$")
_DOORS: Final = ("http_frontend", "grpc_frontend")
# Sections that listen to Ray alone.
_INNER: Final = ("prometheus", "stats")
_KINDS: Final = ("global", "defaults", "frontend", "backend", "listen")
# Ray writes grpc_frontend when it has gRPC services.
_REQUIRED: Final = frozenset({"global", "defaults", "prometheus", "http_frontend", "default_backend"})
# Ours: `defaults` by a name, and what follows it for all sections from another on. HAProxy has these sections for both.
_BASE: Final = "base"
_PARTS: Final = {"prometheus": "http", "grpc_frontend": "grpc"}
_ADDED: Final = frozenset(f"defaults {part}" for part in _PARTS.values())


class Doors(NamedTuple):
    """Where callers connect."""

    host: str
    http_port: int
    grpc_port: int


class Rules(NamedTuple):
    """What is added to Ray's configuration, and what replaces lines of it.

    Attributes:
        sections: lines at the beginning of a section, by its name. `defaults http` and `defaults grpc` are sections of
            ours; `http backend` and `grpc backend` stand for the backends with replicas. HAProxy obeys the first rule
            that answers.
        answers: the one rule of a section that answers everything.
        lines: replacements, by the words that a line begins with.
        server: what each server gets.
    """

    sections: Mapping[str, Sequence[str]]
    answers: Mapping[str, str]
    lines: Mapping[str, str]
    server: str


class UnknownConfigurationError(Exception):
    """Ray's configuration is not as it was when this was written: it is unknown who could connect where."""


def harden(configuration: str, doors: Doors, folder: Path, rules: Rules) -> str:
    """Returns a configuration in which other machines reach the doors and nothing else. Hardened twice, it is the same.

    Args:
        folder: of sockets; its owner alone may enter it.

    Raises:
        UnknownConfigurationError: a section or an option is not where it was, or something unknown would listen.
    """
    hardened = "".join(f"{line}\n" for line in _harden(configuration.splitlines(), doors, folder, rules))
    _check(hardened, doors)
    return hardened


def find_doors(configuration: str) -> Doors:
    """The doors as Ray configures them. One that it has not written yet has port 0."""
    host, ports = LOOPBACK, dict.fromkeys(_DOORS, 0)
    for section, line in _sections(configuration.splitlines()):
        if section in ports and (bind := _BIND.match(line)):
            host, ports[section] = bind[1], int(bind[2])
    return Doors(host, *ports.values())


def _sections(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each line with the name of its section, but none that an earlier hardening has added as a section."""
    section = ""
    for line in lines:
        if _is_header(line):
            section = _name(line)
        if section not in _ADDED:
            yield section, line


def _is_header(line: str) -> bool:
    return bool(line.strip()) and not line.startswith((" ", "\t", "#"))


def _name(header: str) -> str:
    words = header.split()
    if words[0] != "defaults":
        return words[-1]
    return "defaults" if words[1:] in ([], [_BASE]) else " ".join(words[:2])


def _harden(lines: Sequence[str], doors: Doors, folder: Path, rules: Rules) -> Iterator[str]:
    kind = ""
    for section, line in _sections(lines):
        if _is_header(line):
            if part := _PARTS.get(section):
                kind = part
                yield from (f"defaults {part} from {_BASE}", *rules.sections[f"defaults {part}"])
            yield from _begin(section, line, kind, rules)
        elif bind := _BIND.match(line):
            yield _bind(section, bind[2], bind[3] or "", doors, folder)
        elif section in rules.answers and line.split()[:2] == ["http-request", "return"]:
            yield rules.answers[section]
        else:
            yield from _harden_line(section, line, rules)


def _begin(section: str, header: str, kind: str, rules: Rules) -> Iterator[str]:
    """A section's header, and what is added below it."""
    yield f"defaults {_BASE}" if section == "defaults" else header
    yield from rules.sections.get(section, ())
    if header.startswith("backend ") and section not in rules.answers:
        yield from rules.sections[f"{kind} backend"]


def _harden_line(section: str, line: str, rules: Rules) -> Iterator[str]:
    """A line that stays as it is, or what replaces it."""
    words = line.split()
    if words[:1] == ["server"]:
        # Ray's fallback proxy holds requests until a replica is there, however long that takes.
        if "backup" not in words:
            yield line if line.endswith(rules.server) else f"{line} {rules.server}"
    elif section == "global" and words[:1] == ["log"]:
        yield "    log stderr format raw local0 notice"
    elif words[:2] == ["stats", "socket"]:
        yield line.replace(" mode 666 ", " mode 600 ")
    elif words[:1] == ["log"] and section in _DOORS:
        return  # requests are counted, and not logged
    elif words[:1] != ["errorfile"] and not _is_ours(section, line, rules):
        yield rules.lines.get(" ".join(words[:2]), line)


def _is_ours(section: str, line: str, rules: Rules) -> bool:
    """Whether the beginning of a line's section sets the same, or an earlier hardening added the line."""
    if section in ("global", "defaults"):
        return _directive(line) in map(_directive, rules.sections[section])
    return any(line in added for added in rules.sections.values())


def _directive(line: str) -> tuple[str, ...]:
    """What a line sets: HAProxy has one value for each. An option or a time-out has a name of two words."""
    words = line.split()
    return tuple(words[: 2 if words[:1] in (["option"], ["timeout"]) else 1])


def _bind(section: str, port: str, options: str, doors: Doors, folder: Path) -> str:
    if section in _DOORS:
        return f"    bind {doors.host}:{port}{options}"
    if section in _INNER:
        return f"    bind unix@{folder}/{section}.sock mode 600"
    raise UnknownConfigurationError(f"section {section} would listen at port {port}; known are {_DOORS} and {_INNER}")


def _check(configuration: str, doors: Doors) -> None:
    """Raises UnknownConfigurationError unless the outcome is safe, whatever Ray wrote."""
    lines = configuration.splitlines()
    _check_sections([line for line in lines if _is_header(line)])
    directives = [line.split() for line in lines]
    _check_binds([words[1] for words in directives if words[:1] == ["bind"]], doors)
    sockets = [words for words in directives if words[:2] == ["stats", "socket"]]
    if len(sockets) != 1 or sockets[0][3:5] != ["mode", "600"]:
        raise UnknownConfigurationError(f"the administrator's socket would not be its owner's alone: {sockets}")
    if logs := [words for words in directives if words[:1] == ["log"] and words[1:2] not in (["global"], ["stderr"])]:
        raise UnknownConfigurationError(f"HAProxy would send its log away: {' '.join(logs[0])}")


def _check_sections(headers: Sequence[str]) -> None:
    names = [_name(header) for header in headers]
    if missing := sorted(_REQUIRED - set(names)):
        raise UnknownConfigurationError(f"section {', '.join(missing)} is missing; found {', '.join(names)}")
    if len(set(names)) != len(names):
        raise UnknownConfigurationError(f"a section is there twice: {', '.join(names)}")
    if unknown := sorted({header.split()[0] for header in headers} - set(_KINDS)):
        raise UnknownConfigurationError(f"sections of unknown kind: {', '.join(unknown)}")


def _check_binds(binds: Sequence[str], doors: Doors) -> None:
    http, grpc = (f"{doors.host}:{port}" for port in (doors.http_port, doors.grpc_port))
    public = [address for address in binds if not address.startswith("unix@")]
    # Ray writes the gRPC door when it has services.
    if public not in ([http], [http, grpc]):
        raise UnknownConfigurationError(f"HAProxy would listen at {', '.join(binds)}; expected {http} and {grpc} alone")


def _tie_to(owner: str) -> None:
    """Ends this process with its parent, and now if the owner has ended: a killed process cannot end its children."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    pid, _, started = owner.partition(":")
    try:
        fields = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        fields = ["X"]
    # Another process may have the ID by now; it started later.
    if fields[0] in "ZX" or fields[_STARTED] != started:
        raise SystemExit("the service has ended")


def _harden_file(path: Path, rules: Rules, host: str, http_port: str, grpc_port: str) -> None:
    written = path.read_text()
    doors = find_doors(written) if host == AS_CONFIGURED else Doors(host, int(http_port), int(grpc_port))
    arriving = path.with_suffix(".hardened")
    try:
        arriving.write_text(harden(written, doors, path.parent, rules))
    except UnknownConfigurationError as error:
        raise SystemExit(
            f"HAProxy is not started: {error}; Ray wrote {path}; compare athanor/cluster/haproxy/serve_haproxy.py with "
            "ray/serve/_private/haproxy_templates.py of the installed Ray"
        ) from None
    arriving.replace(path)


def main(owner: str, haproxy: str, rules: str, host: str, http_port: str, grpc_port: str, *arguments: str) -> None:
    """Becomes HAProxy."""
    _tie_to(owner)
    if "-f" in arguments:
        path = Path(arguments[arguments.index("-f") + 1])
        _harden_file(path, Rules(**json.loads(Path(rules).read_text())), host, http_port, grpc_port)
    os.execv(haproxy, [haproxy, *arguments])  # noqa: S606 - it is to be HAProxy's process, not its parent


if __name__ == "__main__":
    main(*sys.argv[1:])
