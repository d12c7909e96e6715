"""What the commands of the layer `data` share: how a project's data is found, and what runs its transform."""

from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from athanor.cli.shared.clusters import demand_no_cluster, start_ray
from athanor.home import Home
from athanor.projects import load

if TYPE_CHECKING:
    from athanor.data.building.engine import Job
    from athanor.data.building.snapshot_build import BuildOptions


class EngineName(StrEnum):
    """What runs the transform."""

    PANDAS = "pandas"
    RAY = "ray"


EngineOption = Annotated[EngineName, typer.Option(help="pandas in this process, or Ray Data on all cores.")]
AsOfOption = Annotated[
    datetime | None, typer.Option(help="UTC; rows of later events are from the future and set aside. Now by default.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Read all rows, where a source could read only what is new.")]


def load_job(project: str) -> "Job":
    """What a project declares about its data. Also called by the workers of a cluster."""
    from athanor.data.building.engine import Job
    from athanor.data.dataset import Dataset
    from athanor.features.features import Model

    return Job(load(project, "model", Model).contract, load(project, "dataset", Dataset), datetime.now(UTC))


@dataclass(frozen=True)
class Asked:
    """What a command was asked to run on.

    Attributes:
        address, ray_token_file: of a Ray cluster that is to be joined.
    """

    engine: EngineName
    address: str | None
    ray_token_file: Path | None


def make_options(stack: ExitStack, project: str, asked: Asked, home: Home, **options: object) -> "BuildOptions":
    """Starts what the engine needs, for as long as the stack lasts."""
    from athanor.data.building.snapshot_build import BuildOptions

    if asked.engine is EngineName.PANDAS:
        demand_no_cluster(asked.address)
        return BuildOptions(**options)  # type: ignore[arg-type]
    from athanor.data.building.ray_engine import RayEngine

    start_ray(stack, asked.address, asked.ray_token_file, home)
    return BuildOptions(engine=RayEngine(partial(load_job, project)), **options)  # type: ignore[arg-type]
