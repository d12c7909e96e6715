"""Command-line app of the layer `serving`: run the service of a project."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer
from rich.console import Group
from rich.text import Text

from athanor.cli.serving import kuberay, nodes, tokens
from athanor.cli.serving.settings import read_settings, settings_command
from athanor.cli.shared.terminal import (
    HomeOption,
    JsonOption,
    ProjectArgument,
    facts,
    listing,
    make_app,
    run_program,
    show,
    watch,
)
from athanor.errors import NotFoundError
from athanor.home import Home
from athanor.system.printable import printable

if TYPE_CHECKING:
    from athanor.progress import Progress
    from athanor.serving.replica.status import ReplicaStatus
    from athanor.serving.setup.paths import ServicePaths, ServiceState
    from athanor.serving.setup.settings import ServingSettings

app = make_app("serve", "Run the service of a project.")
app.add_typer(tokens.app)
app.add_typer(kuberay.app)
app.add_typer(nodes.app)

_FOLLOW_S = 0.2


@settings_command(app)
def up(project: ProjectArgument, *, home: HomeOption = None, json: JsonOption = False, **settings: Any) -> None:
    """Start the service in the background. Returns when it answers."""
    found = read_settings(project, Home.find(home), settings)
    with watch() as progress:
        state = start(found, progress)
    show(state, json, lambda: Group(facts(f"Service of {project}", _facts(state)), _describe_access(found)))


@app.command()
def down(project: ProjectArgument, home: HomeOption = None) -> None:
    """Stop the service. Returns when all its processes have ended."""
    with watch() as progress:
        stop(project, Home.find(home), progress)


@app.command()
def scale(
    project: ProjectArgument,
    replicas: Annotated[int, typer.Argument(help="Number of replicas.")],
    home: HomeOption = None,
) -> None:
    """Change the number of replicas. Returns when all are ready. No request is lost."""
    from athanor.serving.hosting.service import scale as scale_service

    with watch() as progress:
        scale_service(_paths(project, Home.find(home).service), replicas, progress)


@app.command()
def status(project: ProjectArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Show addresses and replicas of the service, and whether it answers.

    Exit status 2 without a service, 1 if it does not answer, a replica fails or its files cannot be written.
    """
    from athanor.serving.hosting.probe import find_fault
    from athanor.serving.replica.status import StatusFolder
    from athanor.serving.setup.storage import find_storage_fault

    paths = _paths(project, Home.find(home).service)
    state = paths.find()
    storage = find_storage_fault(paths)
    statuses = StatusFolder(paths.replicas)
    replicas, fault, failure = statuses.read(), find_fault(state), statuses.read_start_failure()
    result = {
        "service": state,
        "serving": fault is None,
        "fault": fault,
        "storage_fault": storage,
        "start_failure": failure and failure.model_dump(mode="json"),
        "replicas": [replica.model_dump(mode="json") for replica in replicas],
    }
    rows = {**_facts(state), "log": paths.log, "answers": "yes" if fault is None else f"no: {fault}"}
    if storage:
        rows["storage"] = storage
    if failure:
        rows["last replica"] = f"did not start: {failure.reason}"
    show(result, json, lambda: Group(facts(f"Service of {project}", rows), _table(replicas)))
    if fault or storage or failure or any(replica.failure for replica in replicas):
        raise typer.Exit(1)


@app.command()
def logs(
    project: ProjectArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until interrupted.")] = False,
    home: HomeOption = None,
) -> None:
    """Print the log of the running or last service, one JSON object per line."""
    paths = _paths(project, Home.find(home).service)
    if not paths.log.exists():
        raise NotFoundError(
            f"there is no log of {project} in {paths.folder}; start its service with `athanor serve up`"
        )
    while True:
        with paths.log.open(encoding="utf-8", errors="replace") as log:
            while is_followed := _print_log(log, paths, follow):
                time.sleep(_FOLLOW_S)
                if not _is_same(log, paths.log):
                    # It was full, and moved away.
                    _print_log(log, paths, follow)
                    break
        if not is_followed:
            return


def _print_log(log: TextIO, paths: "ServicePaths", follow: bool) -> bool:
    """Prints what is new, and returns whether more may come."""
    is_followed = follow and paths.is_held()
    # Other programs may write there too.
    typer.echo(printable(log.read(), keep="\n"), nl=False)
    return is_followed


def _is_same(log: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(log.fileno()), path.stat())
    except FileNotFoundError:
        return True


@settings_command(app, "run")
def run_(project: ProjectArgument, *, home: HomeOption = None, **settings: Any) -> None:
    """Run the service in the foreground, until SIGTERM or SIGINT."""
    from athanor.serving.hosting.running import run as run_service
    from athanor.serving.telemetry.output import capture_output

    found = read_settings(project, Home.find(home), settings)
    capture_output(_paths(project, found.folder).log)
    run_service(found)


def start(settings: "ServingSettings", progress: "Progress") -> "ServiceState":
    """Starts a service as `up` does."""
    from athanor.serving.hosting.service import up as start_service

    module, file = "athanor.cli.serving.app", _paths(settings.service, settings.folder).settings
    command = [sys.executable, "-m", module, "run", settings.service, "--settings", str(file)]
    return start_service(settings, command, progress)


def stop(project: str, home: Home, progress: "Progress") -> None:
    """Stops a service as `down` does."""
    from athanor.serving.hosting.service import down as stop_service

    stop_service(_paths(project, home.service), progress)


def _paths(project: str, folder: Path) -> "ServicePaths":
    from athanor.serving.setup.paths import ServicePaths

    return ServicePaths(folder, project)


def _facts(state: "ServiceState") -> dict[str, object]:
    http = f"http://{state.http}"
    return {"gRPC": state.grpc, "REST": http, "docs": f"{http}/docs", "process": state.pid}


def _describe_access(settings: "ServingSettings") -> Text:
    if settings.insecure:
        return Text("Without tokens (--insecure): anyone who can reach the ports can call", style="bold red")
    token = _paths(settings.service, settings.folder).token.read_text().strip()
    # One line on any terminal, to be copied.
    return Text(f"On other machines: export ATHANOR_TOKEN={token}", no_wrap=True, overflow="ignore")


def _table(replicas: "list[ReplicaStatus]") -> Any:
    header = ("process", "revision", "champion", "challenger", "shadow", "pinned", "failure")
    rows = []
    for replica in replicas:
        traffic = replica.traffic
        challenger = traffic.challenger
        rows.append(
            (
                replica.pid,
                traffic.revision,
                traffic.champion.semantic_version,
                f"{challenger.semantic_version} ({challenger.weight:.0%})" if challenger else "",
                traffic.shadow.semantic_version if traffic.shadow else "",
                ", ".join(served.semantic_version for served in traffic.pinned),
                replica.failure or "",
            )
        )
    return listing("Replicas", header, rows)


def main() -> None:
    run_program(app)


if __name__ == "__main__":
    main()
