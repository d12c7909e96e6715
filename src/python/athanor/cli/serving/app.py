"""Command-line app of the layer `serving`: run a service of models."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer
from rich.console import Group
from rich.text import Text

from athanor.cli.serving import kuberay, nodes, status, tokens
from athanor.cli.serving.services import ServiceArgument, find_service, split_service
from athanor.cli.serving.settings import ModelsArgument, NameOption, read_settings, settings_command
from athanor.cli.serving.status import describe
from athanor.cli.shared.terminal import HomeOption, JsonOption, facts, make_app, run_program, show, watch
from athanor.errors import NotFoundError, SettingsError
from athanor.home import Home
from athanor.system.printable import printable

if TYPE_CHECKING:
    from athanor.progress import Progress
    from athanor.serving.setup.paths import ServicePaths, ServiceState
    from athanor.serving.setup.settings import ServingSettings

app = make_app("serve", "Run a service of models.")
app.add_typer(tokens.app)
app.add_typer(kuberay.app)
app.add_typer(nodes.app)
app.add_typer(status.app)

_FOLLOW_S: Final = 0.2


@settings_command(app)
def up(
    projects: ModelsArgument = None,
    *,
    name: NameOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
    **settings: Any,
) -> None:
    """Start the service in the background. Returns when it answers."""
    found = read_settings(projects, name, Home.find(home), settings)
    with watch() as progress:
        state = start(found, progress)
    show(state, json, lambda: Group(facts(f"Service {state.service}", describe(state)), _describe_access(found)))


@app.command()
def down(service: ServiceArgument = None, home: HomeOption = None) -> None:
    """Stop the service. Returns when all its processes have ended."""
    with watch() as progress:
        stop(find_service(service, home), progress)


@app.command()
def scale(
    words: Annotated[
        list[str], typer.Argument(metavar="[SERVICE] REPLICAS", help="Name of the service, and its number of replicas.")
    ],
    home: HomeOption = None,
) -> None:
    """Change the number of replicas. Returns when all are ready. No request is lost."""
    from athanor.serving.hosting.service import scale as scale_service

    service, number = split_service(words, "REPLICAS")
    if not number.isdecimal():
        raise SettingsError(f"cannot scale to {number!r} replicas; give a number, after the name of the service")
    with watch() as progress:
        scale_service(find_service(service, home), int(number), progress)


@app.command()
def logs(
    service: ServiceArgument = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until interrupted.")] = False,
    home: HomeOption = None,
) -> None:
    """Print the log of the running or last service, one JSON object per line."""
    paths = find_service(service, home)
    if not paths.log.exists():
        raise NotFoundError(
            f"there is no log of the service {paths.service} in {paths.folder}; start it with `athanor serve up`"
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
def run_(projects: ModelsArgument = None, *, name: NameOption = None, home: HomeOption = None, **settings: Any) -> None:
    """Run the service in the foreground, until SIGTERM or SIGINT."""
    from athanor.serving.hosting.running import run as run_service
    from athanor.serving.setup.paths import ServicePaths
    from athanor.serving.telemetry.output import capture_output

    found = read_settings(projects, name, Home.find(home), settings)
    capture_output(ServicePaths.of(found).log)
    run_service(found)


def start(settings: "ServingSettings", progress: "Progress") -> "ServiceState":
    """Starts a service as `up` does."""
    from athanor.serving.hosting.service import up as start_service
    from athanor.serving.setup.paths import ServicePaths

    module, file = "athanor.cli.serving.app", ServicePaths.of(settings).settings
    # Named for people who look at processes; the file has its models.
    command = [sys.executable, "-m", module, "run", "--name", settings.service, "--settings", str(file)]
    return start_service(settings, command, progress)


def stop(paths: "ServicePaths", progress: "Progress") -> None:
    """Stops a service as `down` does."""
    from athanor.serving.hosting.service import down as stop_service

    stop_service(paths, progress)


def _describe_access(settings: "ServingSettings") -> Text:
    if settings.insecure:
        return Text("Without tokens (--insecure): anyone who can reach the ports can call", style="bold red")
    from athanor.serving.setup.paths import ServicePaths

    token = ServicePaths.of(settings).token.read_text().strip()
    # One line on any terminal, to be copied.
    return Text(f"On other machines: export ATHANOR_TOKEN={token}", no_wrap=True, overflow="ignore")


def main() -> None:
    run_program(app)


if __name__ == "__main__":
    main()
