"""The Ray that a command runs on: what its options are called, and who starts or joins it."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from athanor.errors import SettingsError
from athanor.home import Home

AddressOption = Annotated[str | None, typer.Option(help="Ray cluster to run on, host:port; one of its own by default.")]
RayTokenOption = Annotated[
    Path | None,
    typer.Option(envvar="ATHANOR_RAY_TOKEN_FILE", show_envvar=True, help="File with the token of the Ray cluster."),
]


def demand_no_cluster(address: str | None) -> None:
    """Raises SettingsError where an engine that runs on this machine is told of a cluster."""
    if address is not None:
        raise SettingsError("--address is that of a Ray cluster; say --engine ray as well")


def start_ray(stack: ExitStack, address: str | None, token_file: Path | None, home: Home) -> None:
    """Joins the cluster at an address, or starts a Ray of its own, for as long as the stack lasts.

    Raises as `joined_ray` does.
    """
    from athanor.cluster.joining import joined_ray, local_ray

    stack.enter_context(local_ray() if address is None else joined_ray(address, token_file, home.path))
