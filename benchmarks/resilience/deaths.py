"""Kills each process of a service by name, and measures the time until all is well again."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from resilience.service import REPLICA, Service
from support.processes import Process, find_session, kill

from suite.goals import Comparison, Goal

# Each by a part of its command. A process that the service lacks is left out.
_NAMES: Final = {
    "replica": REPLICA,
    "controller": "ServeController",
    "HAProxy": "bin/haproxy",
    "HAProxy's manager": "HAProxyManager",
    "fallback proxy": "ProxyActor",
    "raylet": "raylet/raylet",
    "GCS": "gcs_server",
    "dashboard agent": "dashboard/agent.py",
    "runtime environments' agent": "runtime_env/agent",
}
_WELL_S: Final = 60.0
_GIVE_UP_S: Final = 120.0
_IN_A_ROW: Final = 10
_GONE_S: Final = 30.0


def measure(service: Service) -> Iterator[Goal]:
    """Each process, and then the one that all belong to. A service that ends is started again, as systemd would."""
    for label, name in _NAMES.items():
        if victims := {process for process in service.find(name) if process.pid != service.pid}:
            yield _kill(service, label, name, victims)
    yield from _kill_owner(service)


def _kill(service: Service, label: str, name: str, victims: set[Process]) -> Goal:
    began = time.monotonic()
    kill(victims)
    # The service may answer without the dead process: wait until that process, or the whole service, is replaced.
    ended_with: int | None = None
    answered = 0
    while answered < _IN_A_ROW and time.monotonic() - began < _GIVE_UP_S:
        if (status := service.status()) is not None:
            ended_with = status
            service.stop()
            service.start()
        is_whole = bool(service.find(name) - victims)
        answered = answered + 1 if is_whole and service.answers(2.0) else 0
        time.sleep(0.1)
    seconds = time.monotonic() - began if answered == _IN_A_ROW else float("inf")
    how = "" if ended_with is None else f", which ends the service with {ended_with}"
    return Goal(f"until all is well after the death of the {label}{how}", seconds, _WELL_S, Comparison.AT_MOST, "s")


def _kill_owner(service: Service) -> Iterator[Goal]:
    before = find_session(service.pid)
    scratch = {Path(found) for process in before for found in re.findall(r"/\w+/ath-\w+", process.command)}
    os.kill(service.pid, signal.SIGKILL)
    began = time.monotonic()
    while find_session(service.pid) and time.monotonic() - began < _GONE_S:
        time.sleep(0.05)
    gone = float("inf") if find_session(service.pid) else time.monotonic() - began
    yield Goal(f"until its {len(before) - 1} processes are gone after SIGKILL", gone, 10.0, Comparison.AT_MOST, "s")
    service.stop()
    service.start()
    service.stop()
    left = [path for path in scratch if path.exists()]
    yield Goal("scratch folders left after the next service", len(left), 0, Comparison.AT_MOST)
