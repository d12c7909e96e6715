"""The Ray that a command runs on: its options, and how it starts or joins one."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from athanor.errors import SettingsError
from athanor.home import Home

AddressOption = Annotated[
    str | None, typer.Option(help="Ray cluster to run on, HOST:PORT or [IPV6]:PORT; by default one of its own.")
]
RayTokenOption = Annotated[
    Path | None,
    typer.Option(envvar="ATHANOR_RAY_TOKEN_FILE", show_envvar=True, help="File with the token of the Ray cluster."),
]


def demand_no_cluster(address: str | None) -> None:
    """Raises SettingsError if a command that runs on this machine is given the address of a cluster."""
    if address is not None:
        raise SettingsError(f"--address {address} is for engine ray; give --engine ray as well")


def start_ray(stack: ExitStack, address: str | None, token_file: Path | None, home: Home) -> None:
    """Joins the cluster at an address, or starts a Ray of its own, until the stack is closed.

    Raises as `joined_ray` and `require_same_code` do.
    """
    from athanor.cluster.addresses import Address
    from athanor.cluster.joining import joined_ray
    from athanor.cluster.local import local_ray
    from athanor.cluster.ray_environment import DATA
    from athanor.cluster.scratch import scratch_folder
    from athanor.cluster.workers import require_same_code

    if address is None:
        stack.enter_context(local_ray(stack.enter_context(scratch_folder()), DATA))
    else:
        stack.enter_context(joined_ray(Address.parse(address), token_file, DATA))
        require_same_code(home.path)
