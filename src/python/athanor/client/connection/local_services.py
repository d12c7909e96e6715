"""Services of this machine, known by the files in their home: the one that a client calls."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from athanor.home import service_lock_path, service_state_path
from athanor.model_names import matches
from athanor.system.locks import is_held


@dataclass(frozen=True)
class _Service:
    """A service that runs. Attributes as in its state file."""

    service: str
    models: tuple[str, ...]
    grpc: str


def choose_service(folder: Path, model: str, port: int) -> str:
    """Name of the service that answers at a port of this machine for a model.

    Where none runs at the port, as behind a proxy: one named as the model, else one that serves the model. Where none
    does either, the model's own name: its service may run where this process cannot see it.

    Args:
        folder: of services, as `Home.service`.
    """

    def rank(each: _Service) -> tuple[bool, bool, bool]:
        return each.grpc.endswith(f":{port}"), each.service == model, matches(model, each.models)

    best = max(_find_running(folder), key=rank, default=None)
    return best.service if best is not None and any(rank(best)) else model


def _find_running(folder: Path) -> Iterator[_Service]:
    for path in sorted(folder.glob("*.json")):
        # Other files of services end so too, and another version may have written this one.
        with suppress(KeyError, OSError, TypeError, ValueError):
            state = json.loads(path.read_bytes())
            found = _Service(str(state["service"]), tuple(state["models"]), str(state["grpc"]))
            is_state = path == service_state_path(folder, found.service)
            # A killed service leaves its state behind; of one on a cluster no process here holds a lock.
            if is_state and (state["cluster"] or is_held(service_lock_path(folder, found.service))):
                yield found
