"""Shared by the commands of the layer `registry`: opening it, and their arguments."""

from typing import TYPE_CHECKING, Annotated

import typer

from athanor.home import Home

if TYPE_CHECKING:
    from athanor.progress import Progress
    from athanor.registry.registry import Registry

ModelArgument = Annotated[
    str, typer.Argument(help="Name of a project, such as flight_delay, or of one of its models: flight_delay.v2.")
]
VersionArgument = Annotated[str, typer.Argument(help="Semantic version, such as 1.0.0, or a prefix of the digest.")]


def open_registry(home: Home, progress: "Progress") -> "Registry":
    """Opens the registry of a home. Creates its database if there is none, which takes some seconds."""
    with progress.step("Open the registry"):
        from athanor.registry.registry import Registry

        return Registry.open(home)
