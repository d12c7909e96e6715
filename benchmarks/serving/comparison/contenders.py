"""Who is measured: our doors, the limits that physics and gRPC set, and the peers."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Final

from serving.comparison.doors import MLFLOW_REST, PEERS_REST, PEERS_TENSORS, TENSORS, TYPED_GRPC, TYPED_REST, Door
from serving.comparison.servers import Server, Site, run_athanor, run_bare, run_peer


class Kind(enum.Enum):
    """Role of a contender in the comparison."""

    OURS = "ours"
    LIMIT = "limit"
    AS_INSTALLED = "peer, as installed"
    TUNED = "peer, tuned"


@dataclass(frozen=True)
class Contender:
    """One server, with settings.

    Attributes:
        start: runs it as long as the context lasts.
        doors: that are measured, each by itself.
        is_quick: whether a quick run has it: one way of each system, and each that has been the best.
    """

    name: str
    kind: Kind
    start: Callable[[Site], AbstractContextManager[Server]]
    doors: Sequence[Door]
    is_quick: bool = True


def _peer(name: str, module: str, way: str, door: Door, *, is_ours: bool = False, is_quick: bool = True) -> Contender:
    kind = Kind.AS_INSTALLED if way == "as-installed" else Kind.TUNED
    return Contender(name, kind, partial(run_peer, name, module, way, is_ours=is_ours), (door,), is_quick)


ATHANOR: Final = Contender("Athanor", Kind.OURS, partial(run_athanor, "Athanor"), (TYPED_GRPC, TENSORS, TYPED_REST))
BARE: Final = Contender("bare grpc.aio", Kind.LIMIT, partial(run_bare, "bare grpc.aio"), (TYPED_GRPC,))
PEERS: Final = (
    _peer("MLServer", "peer_mlserver", "as-installed", PEERS_TENSORS),
    _peer("MLServer, direct", "peer_mlserver", "direct", PEERS_TENSORS),
    _peer("MLServer, batching", "peer_mlserver", "batching", PEERS_TENSORS),
    _peer("BentoML", "peer_bentoml", "as-installed", PEERS_REST, is_quick=False),
    _peer("BentoML, batching", "peer_bentoml", "batching", PEERS_REST),
    _peer("Ray Serve", "peer_ray", "as-installed", PEERS_REST, is_ours=True, is_quick=False),
    _peer("Ray Serve, batching", "peer_ray", "batching", PEERS_REST, is_ours=True),
    _peer("MLflow", "peer_mlflow", "as-installed", MLFLOW_REST),
)
CONTENDERS: Final = (ATHANOR, BARE, *PEERS)
