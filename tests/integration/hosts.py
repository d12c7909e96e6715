"""Hosts out of network namespaces, as root can make them: each with an address of its own, on one bridge."""

import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from support.commands import environment
from support.processes import wait_until
from support.traps import find_sprung, set_traps

_UP_S: Final = 90.0
_STOP_S: Final = 30.0


@dataclass
class Host:
    """A machine of its own, as far as networks go.

    Attributes:
        traps: folder that all commands start in: none may import what is there.
        node: the process that is a node of a cluster there; None when none is.
    """

    name: str
    address: str
    folder: Path
    traps: Path
    node: "subprocess.Popen[bytes] | None" = field(default=None)

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    def command(self, *arguments: object) -> list[str]:
        return ["ip", "netns", "exec", self.name, sys.executable, *map(str, arguments)]

    def serving(self, *arguments: object, timeout_s: float = 120.0) -> "subprocess.CompletedProcess[str]":
        """Runs a command of the serving app there."""
        return subprocess.run(
            self.command("-P", "-m", "athanor.cli.serving.app", *arguments),
            cwd=self.traps,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=environment(),
            check=False,
        )

    def start_node(self, *arguments: object) -> None:
        with self.log.open("wb") as log:
            command = self.command("-P", "-m", "athanor.cli.serving.app", "node", *arguments)
            self.node = subprocess.Popen(command, stdout=log, stderr=log, env=environment(), cwd=self.traps)

    def wait_for_node(self) -> None:
        node = self.node
        assert node is not None
        wait_until(lambda: " is up" in self.log.read_text() or node.poll() is not None, _UP_S)
        assert " is up" in self.log.read_text(), self.log.read_text()

    def stop_node(self) -> None:
        if self.node is not None:
            self.node.send_signal(signal.SIGTERM)
            try:
                self.node.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self.node = None

    @property
    def pids(self) -> set[int]:
        """All processes of this host."""
        listed = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=True)
        return {int(pid) for pid in listed.stdout.split()}

    def kill(self) -> None:
        """As when its power fails: nothing of it gets to say a word, and nothing sent to it is answered."""
        self._set_link("down")
        while pids := self.pids:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            wait_until(lambda pids=pids: not self.pids & pids, 1.0)  # type: ignore[misc]
        if self.node is not None:
            self.node.wait()
            self.node = None

    def plug_in(self) -> None:
        """Its network is there again."""
        self._set_link("up")

    def _set_link(self, state: str) -> None:
        subprocess.run(["ip", "-n", self.name, "link", "set", "eth", state], check=True)


@contextmanager
def made_hosts(count: int, folder: Path) -> Iterator[list[Host]]:
    """So many hosts; this machine reaches them, as the one behind the last address of their network."""
    mark, net = f"ath{os.getpid()}", f"198.18.{secrets.randbelow(250)}"
    bridge = f"b{os.getpid()}"
    traps = set_traps(folder / "traps")
    hosts = [Host(f"{mark}-{number}", f"{net}.{number}", folder, traps) for number in range(1, count + 1)]
    made: list[Host] = []
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("address", "add", f"{net}.254/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for number, host in enumerate(hosts):
            _ip("netns", "add", host.name)
            made.append(host)
            outside = f"v{os.getpid()}{number}"
            _ip("link", "add", outside, "type", "veth", "peer", "name", "eth", "netns", host.name)
            _ip("link", "set", outside, "master", bridge, "up")
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth")
            _ip("-n", host.name, "link", "set", "lo", "up")
            host.plug_in()
        yield hosts
    finally:
        for host in reversed(made):
            host.stop_node()
            host.kill()
            _ip("netns", "del", host.name)
        _ip("link", "del", bridge)
    assert find_sprung(traps) == []


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"
