"""The demo: real data of a project, from raw tables to answered calls, in one command."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Group
from rich.table import Table

from athanor.cli.registry.opening import open_registry
from athanor.cli.serving.app import start, stop
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, listing, out, show, watch
from athanor.home import Home
from athanor.projects import load
from athanor.system.url_secrets import mask_url

if TYPE_CHECKING:
    from athanor.cli.demo.calls import Calls
    from athanor.contract.columns import Column
    from athanor.data.snapshots.snapshot import Snapshot
    from athanor.progress import Progress
    from athanor.registry.history import Registered
    from athanor.serving.setup.paths import ServiceState
    from athanor.training.recipe import Recipe
    from athanor.training.train.train import Training

_PORTS: Final = 2
# Of a row without a key.
_SHOWN_COLUMNS: Final = 3


def demo(
    project: Annotated[str, typer.Argument(help="Name of the project.")] = "flight_delay",
    home: HomeOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the service running.")] = False,
    json: JsonOption = False,
) -> None:
    """Turn the real data of a project into predictions: ingest, train, gate, register, serve, call."""
    from athanor.cli.demo.calls import call
    from athanor.data.building.snapshot_build import build_snapshot
    from athanor.training.recipe import Recipe
    from athanor.training.train.train import train

    # SIGTERM stops the service as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    root, recipe = Home.find(home), load(project, "recipe", Recipe)
    with watch() as progress:
        built = build_snapshot(recipe.model.contract, recipe.dataset, root, progress)
        snapshot = built.snapshot
        training = train(recipe, snapshot, root, progress)
        registry = open_registry(root, progress)
        with progress.step("Register and promote") as advance:
            version, is_new_version = registry.register(training.release, allow_dirty=True)
            registry.promote(project, version.semantic_version, "the demo")
            advance(f"{version.semantic_version}, {'new' if is_new_version else 'unchanged'}")
        with _service(project, root, progress, keep) as service:
            calls = call(recipe, snapshot, root, service, progress)
    result = {
        "snapshot": {**asdict(snapshot), "new": built.is_new},
        "metrics": dict(training.release.identity.metrics),
        "baseline": dict(training.release.identity.baseline),
        "release": {"digest": version.digest, "semantic_version": version.semantic_version, "new": is_new_version},
        "calls": asdict(calls),
        "service": asdict(service) if keep else None,
        "home": str(root.path),
    }
    show(result, json, lambda: _tables(recipe, snapshot, training, version, calls, root))
    if keep and not json:
        _explain(recipe, service)


@contextmanager
def _service(project: str, home: Home, progress: "Progress", keep: bool) -> Iterator["ServiceState"]:
    """The service, on the default ports if they are free. Stopped at the end, unless it is kept and all went well."""
    from athanor.serving.setup.paths import ServicePaths
    from athanor.serving.setup.ports import can_serve_on, find_free_ports
    from athanor.serving.setup.settings import DEFAULT_GRPC_PORT, DEFAULT_HTTP_PORT, make_settings

    http_port, grpc_port = DEFAULT_HTTP_PORT, DEFAULT_GRPC_PORT
    if not can_serve_on(http_port, grpc_port):
        http_port = find_free_ports(_PORTS)
        grpc_port = http_port + 1
    settings = make_settings(
        service=project,
        models=(project,),
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


def _tables(
    recipe: "Recipe",
    snapshot: "Snapshot",
    training: "Training",
    version: "Registered",
    calls: "Calls",
    home: Home,
) -> Group:
    from athanor.cli.demo.calls import TIMED_CALLS
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
            ("on rows held out", "model", "baseline"),
            # The baseline may have no intervals, and so no coverage.
            [
                (name, f"{value:,.4f}", f"{identity.baseline[name]:,.4f}" if name in identity.baseline else "")
                for name, value in identity.metrics.items()
            ],
        ),
        facts(
            "",
            {
                "digest": version.digest,
                "trials of the search": len(record.trials),
                "gates": f"{len(record.gates)}, all passed",
            },
        ),
        _show_rows(recipe, calls),
        facts(
            f"{TIMED_CALLS} gRPC calls of one row",
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


def _show_rows(recipe: "Recipe", calls: "Calls") -> Table:
    """A column for each row, so that many columns of an answer fit."""
    contract = recipe.model.contract
    shown = [column.name for column in contract.key or contract.columns[:_SHOWN_COLUMNS]]
    return listing(
        "Three real rows, their answers and outcomes",
        ("", *map(str, range(1, len(calls.rows) + 1))),
        [
            *((name, *(_format(row.row.get(name, "")) for row in calls.rows)) for name in shown),
            *(
                (column.name, *(_format(row.answer.get(column.name, ""), column) for row in calls.rows))
                for column in contract.answer
            ),
            (contract.label.name, *(_format(row.outcome) for row in calls.rows)),
        ],
    )


def _format(value: Any, column: "Column | None" = None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        is_share = column is not None and (column.minimum, column.maximum) == (0, 1)
        return f"{value:.1%}" if is_share else f"{value:,.6g}"
    return str(value)


def _explain(recipe: "Recipe", service: "ServiceState") -> None:
    contract = recipe.model.contract
    out.print(
        f"""
The service keeps running as process {service.pid}. To call and stop it:
  grpcurl -plaintext {service.grpc} describe {contract.service.full_name}
  curl http://{service.http}/readyz
  its page, with a form: http://{service.http}/docs
  ./pants athanor serve down {contract.name}""",
        markup=False,
        highlight=False,
    )
