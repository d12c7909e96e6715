"""Our own service with something switched on, beside the same with it off: all telemetry, and a shadow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc

from athanor.release.store import ReleaseStore
from athanor.release.traffic import Served
from serving.comparison.contenders import Contender, Kind
from serving.comparison.doors import TYPED_GRPC
from serving.comparison.servers import Server, Site, make_folder, run_athanor

_EXPORT: Final = "opentelemetry.proto.collector.trace.v1.TraceService"
_OFF: Final = ("--trace-ratio=0", "--access-log-ratio=0")
_ALL: Final = ("--trace-ratio=1", "--access-log-ratio=1", "--prediction-log-ratio=1")


@dataclass
class Collector:
    """Traces that arrived at an OTLP receiver.

    Attributes:
        received_bytes: of all spans.
    """

    received_bytes: int = 0

    def export(self, content: bytes, context: Any) -> bytes:
        """Answers with an empty `ExportTraceServiceResponse`: all was taken."""
        self.received_bytes += len(content)
        return b""


@contextmanager
def collecting() -> Iterator[tuple[Collector, int]]:
    """Runs a receiver of OTLP over gRPC in this process; gives it and its port."""
    collector = Collector()
    handlers: dict[str, Any] = {"Export": grpc.unary_unary_rpc_method_handler(collector.export)}
    with ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_EXPORT, handlers),))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield collector, port
        finally:
            server.stop(None).wait()


@contextmanager
def run_with_telemetry(name: str, ratios: tuple[str, ...], site: Site) -> Iterator[Server]:
    """Runs our service with metrics, traces to a real receiver, access log and prediction log.

    Raises:
        RuntimeError: nothing came of it: then a time would tell nothing.
    """
    log = make_folder(site, name) / "predictions"
    with collecting() as (collector, port):
        variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"}
        flags = (*ratios, f"--prediction-log={log}")
        with run_athanor(name, site, flags, variables) as server:
            yield server
        if not collector.received_bytes:
            raise RuntimeError(f"{name}: no span came to the receiver of traces")
        if not any(log.rglob("*.parquet")):
            raise RuntimeError(f"{name}: no prediction was logged")


@contextmanager
def run_with_shadow(name: str, site: Site) -> Iterator[Server]:
    """Runs our service with a shadow: another release of the store, or else the champion itself."""
    copy = make_folder(site, name) / "store"
    shutil.copytree(site.prepared.store, copy)
    store, model = ReleaseStore(copy), site.prepared.model.name
    traffic = store.read_traffic(model)
    others = [one for one in store.list_manifests(model) if one.digest != traffic.require_champion().digest]
    digest = others[0].digest if others else traffic.require_champion().digest
    shadow = Served(digest=digest, semantic_version=traffic.require_champion().semantic_version)
    store.write_traffic(traffic.model_copy(update={"shadow": shadow, "revision": traffic.revision + 1}))
    with run_athanor(name, site, store=copy) as server:
        yield server


def _ours(name: str, start: Any, *, is_quick: bool = True) -> Contender:
    return Contender(name, Kind.OURS, start, (TYPED_GRPC,), is_quick)


DEFAULTS: Final = _ours("as it comes", partial(run_athanor, "as it comes"))
OFF: Final = _ours("telemetry off", partial(run_athanor, "telemetry off", flags=_OFF))
ON: Final = _ours("all telemetry on", partial(run_with_telemetry, "all telemetry on", ()))
EVERY: Final = _ours(
    "every request traced and logged", partial(run_with_telemetry, "every request", _ALL), is_quick=False
)
SHADOW: Final = _ours("shadow on", partial(run_with_shadow, "shadow on"))
SCENARIOS: Final = (DEFAULTS, OFF, ON, EVERY, SHADOW)
