"""Command-line app of the layer `serving`: run the service of a project's champion."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.terminal import HomeOption, JsonOption, ProjectArgument, facts, make_app, run, show, watch
from athanor.errors import NotFoundError
from athanor.home import STORE_VARIABLE, Home

if TYPE_CHECKING:
    from athanor.progress import Progress
    from athanor.serving.service import ServiceState
    from athanor.serving.settings import ServingSettings

app = make_app("serve", "Run the service of a project's champion.")

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", envvar=STORE_VARIABLE, help="Release store, a folder or a URL; that of the home by default."
    ),
]
HostOption = Annotated[str, typer.Option(envvar="ATHANOR_HOST", help="Address that the doors bind to.")]
HttpPortOption = Annotated[int, typer.Option(envvar="ATHANOR_HTTP_PORT", help="Port of the REST door.")]
GrpcPortOption = Annotated[int, typer.Option(envvar="ATHANOR_GRPC_PORT", help="Port of the gRPC door.")]
ReplicasOption = Annotated[int, typer.Option(envvar="ATHANOR_REPLICAS", help="Processes that answer.")]
RequireSignatureOption = Annotated[
    Path | None,
    typer.Option(
        envvar="ATHANOR_REQUIRE_SIGNATURE", help="File of a public key; only what it signed is served. None by default."
    ),
]
MaxRowsOption = Annotated[int, typer.Option(envvar="ATHANOR_MAX_ROWS", help="Most rows in one request.")]


@app.command()
def up(
    project: ProjectArgument,
    *,
    home: HomeOption = None,
    store: StoreOption = None,
    host: HostOption = "127.0.0.1",
    http_port: HttpPortOption = 8000,
    grpc_port: GrpcPortOption = 9000,
    replicas: ReplicasOption = 1,
    max_rows: MaxRowsOption = 10_000,
    require_signature: RequireSignatureOption = None,
    json: JsonOption = False,
) -> None:
    """Start the service in the background; returns when it answers."""
    place = Home.find(home)
    settings = _settings(
        project,
        place,
        store,
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        replicas=replicas,
        max_rows=max_rows,
        require_signature=require_signature,
    )
    with watch() as progress:
        state = start(settings, place, progress)
    rows = {"gRPC": state.grpc, "REST": f"http://{state.http}", "process": state.pid}
    show(state, json, lambda: facts(f"Service of {project}", rows))


@app.command()
def down(project: ProjectArgument, home: HomeOption = None) -> None:
    """Stop the service; returns when it and all it started are gone."""
    with watch() as progress:
        stop(project, Home.find(home), progress)


@app.command()
def status(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Tell where the service answers. Exit status 2 when none runs."""
    from athanor.serving.service import ServicePlace

    place = ServicePlace(Home.find(home).service, project)
    state = place.read()
    if state is None:
        raise NotFoundError(f"no service of {project} runs from {place.folder}")
    rows = {"gRPC": state.grpc, "REST": f"http://{state.http}", "process": state.pid, "log": place.log}
    show(state, json, lambda: facts(f"Service of {project}", rows))


@app.command(name="run")
def run_(
    project: ProjectArgument,
    *,
    home: HomeOption = None,
    store: StoreOption = None,
    host: HostOption = "127.0.0.1",
    http_port: HttpPortOption = 8000,
    grpc_port: GrpcPortOption = 9000,
    replicas: ReplicasOption = 1,
    max_rows: MaxRowsOption = 10_000,
    require_signature: RequireSignatureOption = None,
) -> None:
    """Run the service in the foreground, until SIGTERM or SIGINT."""
    from athanor.serving.service import ServicePlace
    from athanor.serving.service import run as run_service

    place = Home.find(home)
    settings = _settings(
        project,
        place,
        store,
        host=host,
        http_port=http_port,
        grpc_port=grpc_port,
        replicas=replicas,
        max_rows=max_rows,
        require_signature=require_signature,
    )
    run_service(settings, ServicePlace(place.service, project))


def start(settings: "ServingSettings", home: Home, progress: "Progress") -> "ServiceState":
    """Starts a service as `up` does."""
    from athanor.serving.service import ServicePlace
    from athanor.serving.service import up as start_service

    flags = {
        "--home": home.path,
        "--store": settings.store,
        "--host": settings.host,
        "--http-port": settings.http_port,
        "--grpc-port": settings.grpc_port,
        "--replicas": settings.replicas,
        "--max-rows": settings.max_rows,
        **({"--require-signature": settings.require_signature} if settings.require_signature else {}),
    }
    command = [sys.executable, "-m", "athanor.cli.serving", "run", settings.project]
    command += [str(part) for flag in flags.items() for part in flag]
    return start_service(settings, ServicePlace(home.service, settings.project), command, progress)


def stop(project: str, home: Home, progress: "Progress") -> None:
    """Stops a service as `down` does."""
    from athanor.serving.service import ServicePlace
    from athanor.serving.service import down as stop_service

    stop_service(ServicePlace(home.service, project), progress)


def _settings(project: str, home: Home, store: str | None, **values: object) -> "ServingSettings":
    from athanor.serving.settings import make_settings

    return make_settings(project=project, store=store or home.store_url, **values)


def main() -> None:
    run(app)


if __name__ == "__main__":
    main()
