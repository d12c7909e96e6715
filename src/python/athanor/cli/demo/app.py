"""The demo: real flights, from raw tables to answered calls, in one command."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group

from athanor.cli.registry.opening import open_registry
from athanor.cli.serving.app import start, stop
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, listing, out, show, watch
from athanor.errors import ServiceError
from athanor.home import Home
from athanor.projects import load
from athanor.system.url_secrets import mask_url

if TYPE_CHECKING:
    from athanor.data.snapshots.snapshot import Snapshot
    from athanor.progress import Progress
    from athanor.registry.history import Registered
    from athanor.serving.setup.paths import ServiceState
    from athanor.training.train.train import Training

_PROJECT: Final = "flight_delay"
_WARM_UP_CALLS: Final = 50
_TIMED_CALLS: Final = 500
_PORTS: Final = 2


@dataclass(frozen=True)
class _Calls:
    """Answers of the running service.

    Attributes:
        flights: three real ones, with the probability from gRPC and the outcome.
        rest_agrees: whether REST gave the same probabilities.
        median_ms, p99_ms: of consecutive single-row gRPC calls.
    """

    flights: list[dict[str, Any]]
    rest_agrees: bool
    median_ms: float
    p99_ms: float


def demo(
    home: HomeOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the service running.")] = False,
    json: JsonOption = False,
) -> None:
    """Turn 336,776 real flights into predictions: ingest, train, gate, register, serve, call."""
    from athanor.data.building.snapshot_build import build_snapshot
    from athanor.training.recipe import Recipe
    from athanor.training.train.train import train

    # SIGTERM stops the service as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    root, recipe = Home.find(home), load(_PROJECT, "recipe", Recipe)
    with watch() as progress:
        built = build_snapshot(recipe.model.contract, recipe.dataset, root, progress)
        snapshot = built.snapshot
        training = train(recipe, snapshot, root, progress)
        registry = open_registry(root, progress)
        with progress.step("Register and promote") as advance:
            version, is_new_version = registry.register(training.release, allow_dirty=True)
            registry.promote(_PROJECT, version.semantic_version, "the demo")
            advance(f"{version.semantic_version}, {'new' if is_new_version else 'unchanged'}")
        with _service(root, progress, keep) as service:
            calls = _call(recipe, snapshot, root, service, progress)
    result = {
        "snapshot": {**asdict(snapshot), "new": built.is_new},
        "metrics": dict(training.release.identity.metrics),
        "baseline": dict(training.release.identity.baseline),
        "release": {"digest": version.digest, "semantic_version": version.semantic_version, "new": is_new_version},
        "calls": asdict(calls),
        "service": asdict(service) if keep else None,
        "home": str(root.path),
    }
    show(result, json, lambda: _tables(snapshot, training, version, calls, root))
    if keep and not json:
        _explain(service)


@contextmanager
def _service(home: Home, progress: "Progress", keep: bool) -> Iterator["ServiceState"]:
    """The service, on the default ports if they are free. Stopped at the end, unless it is kept and all went well."""
    from athanor.serving.setup.paths import ServicePaths
    from athanor.serving.setup.ports import find_free_ports, is_free
    from athanor.serving.setup.settings import DEFAULT_GRPC_PORT, DEFAULT_HTTP_PORT, make_settings

    http_port, grpc_port = DEFAULT_HTTP_PORT, DEFAULT_GRPC_PORT
    if not (is_free(http_port) and is_free(grpc_port)):
        http_port = find_free_ports(_PORTS)
        grpc_port = http_port + 1
    settings = make_settings(
        service=_PROJECT,
        models=(_PROJECT,),
        store=home.store_url,
        folder=home.service,
        http_port=http_port,
        grpc_port=grpc_port,
    )
    state = start(settings, progress)
    try:
        yield state
    except BaseException:
        stop(ServicePaths.of(settings), progress)
        raise
    if not keep:
        stop(ServicePaths.of(settings), progress)


def _call(recipe: Any, snapshot: "Snapshot", home: Home, service: "ServiceState", progress: "Progress") -> _Calls:
    """Predicts three flights of the evaluation's time slice by gRPC and REST, then one many times."""
    import statistics

    import numpy as np

    from athanor.client.client import Client, connect
    from athanor.contract.messages import to_messages
    from athanor.data.snapshots.snapshot import read_snapshot

    contract = recipe.model.contract
    columns = read_snapshot(contract, home.datasets, snapshot)
    later = np.flatnonzero(recipe.is_test(columns))
    chosen = later[[len(later) // 4, len(later) // 2, -len(later) // 4]]
    taken = {name: values[chosen] for name, values in columns.items()}
    with (
        progress.step("Call it by gRPC and REST", _WARM_UP_CALLS + _TIMED_CALLS) as advance,
        connect(service.grpc, home=home.path) as connection,
    ):
        client = Client(_PROJECT, connection)
        rows: list[Any] = to_messages(contract.columns, taken, client.row_class)
        probabilities = [p.late_probability for p in client.predict(rows).predictions]
        times_ms = []
        for _ in range(_WARM_UP_CALLS + _TIMED_CALLS):
            began = time.perf_counter()
            client.predict(rows[:1])
            times_ms.append((time.perf_counter() - began) * 1000)
            advance(f"{times_ms[-1]:.1f} ms")
        times_ms = sorted(times_ms[_WARM_UP_CALLS:])
    return _Calls(
        flights=[
            {
                "flight": f"{row.carrier} {row.flight_number}",
                "from": row.origin,
                "to": row.destination,
                "scheduled_departure": row.scheduled_departure.ToJsonString(),
                "late_probability": probability,
                "arrived_late": bool(arrived_late),
            }
            for row, probability, arrived_late in zip(rows, probabilities, taken[contract.label.name], strict=True)
        ],
        rest_agrees=_ask_rest(service, home, rows) == probabilities,
        median_ms=statistics.median(times_ms),
        p99_ms=times_ms[int(0.99 * _TIMED_CALLS) - 1],
    )


def _ask_rest(service: "ServiceState", home: Home, rows: list[Any]) -> list[float]:
    import json
    import urllib.request

    from google.protobuf import json_format

    from athanor.serving.setup.paths import ServicePaths

    token = ServicePaths(home.service, _PROJECT).token.read_text().strip()
    body = json.dumps({"flights": [json_format.MessageToDict(row) for row in rows]}).encode()
    url = f"http://{service.http}/v1/models/{_PROJECT}:predict"
    request = urllib.request.Request(url, body, {"authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - our own service
        if answer.status != 200:
            raise ServiceError(f"{url} answered {answer.status}")
        return [prediction["lateProbability"] for prediction in json.load(answer)["predictions"]]


def _tables(snapshot: "Snapshot", training: "Training", version: "Registered", calls: _Calls, home: Home) -> Group:
    from athanor.release.files import MODEL_CARD

    identity, record = training.release.identity, training.record
    return Group(
        facts(
            "Dataset",
            {
                "rows in": f"{snapshot.rows_in:,}",
                "rows out": f"{snapshot.rows_out:,}",
                **{f"rejected, {reason}": f"{count:,}" for reason, count in snapshot.rejected.items()},
                "version": snapshot.version,
                "digest": snapshot.digest,
            },
        ),
        listing(
            f"Release {version.semantic_version}: {identity.algorithm}",
            ("October to December", "model", "carrier and hour only"),
            [(name, f"{value:.4f}", f"{identity.baseline[name]:.4f}") for name, value in identity.metrics.items()],
        ),
        facts(
            "",
            {
                "digest": version.digest,
                "trials of the search": len(record.trials),
                "gates": f"{len(record.gates)}, all passed",
            },
        ),
        listing(
            "Three real flights",
            ("flight", "route", "scheduled, UTC", "P(late)", "outcome"),
            [
                (
                    flight["flight"],
                    f"{flight['from']} → {flight['to']}",
                    flight["scheduled_departure"],
                    f"{flight['late_probability']:.1%}",
                    "late" if flight["arrived_late"] else "on time",
                )
                for flight in calls.flights
            ],
        ),
        facts(
            f"{_TIMED_CALLS} gRPC calls of one flight",
            {
                "median": f"{calls.median_ms:.2f} ms",
                "99th percentile": f"{calls.p99_ms:.2f} ms",
                "REST agrees": "yes" if calls.rest_agrees else "no",
            },
        ),
        facts(
            "Files",
            {
                "raw tables": home.raw,
                "dataset": home.datasets,
                "release": training.release.location,
                "model card": Path(training.release.location) / MODEL_CARD,
                "registry": home.registry,
                "release store": mask_url(home.store_url),
                "service log": home.service,
            },
        ),
    )


def _explain(service: "ServiceState") -> None:
    out.print(
        f"""
The service keeps running as process {service.pid}. To call and stop it:
  grpcurl -plaintext {service.grpc} describe flight_delay.v1.FlightDelayService
  curl http://{service.http}/readyz
  its page, with a form: http://{service.http}/docs
  ./pants athanor serve down {_PROJECT}""",
        markup=False,
        highlight=False,
    )
