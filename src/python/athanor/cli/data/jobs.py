"""Shared by the commands of the layer `data`: a project's declarations, and the engine that runs its transform."""

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
    """Engine that runs the transform."""

    PANDAS = "pandas"
    RAY = "ray"


EngineOption = Annotated[EngineName, typer.Option(help="pandas in this process, or Ray Data on all cores.")]
AsOfOption = Annotated[
    datetime | None, typer.Option(help="Reject rows with an event after this time, UTC; now by default.")
]
FullOption = Annotated[bool, typer.Option("--full", help="Read all rows, even if a source could read only new ones.")]


def load_job(project: str) -> "Job":
    """A project's contract and dataset. Workers of a cluster call it too."""
    from athanor.data.building.engine import Job
    from athanor.data.dataset import Dataset
    from athanor.features.features import Model

    return Job(load(project, "model", Model).contract, load(project, "dataset", Dataset), datetime.now(UTC))


def dataset_of(name: str) -> str:
    """The name of a dataset, which is its model's.

    Args:
        name: a project, for the model that it declares; or a proto package such as `rain.v1`, for an earlier one.

    Raises:
        NotFoundError: this binary carries no such project.
    """
    from athanor.contract.evolution.packages import model_of_package, project_of_model
    from athanor.features.features import Model

    declared = load(project_of_model(name), "model", Model).name
    return declared if name == project_of_model(name) else model_of_package(name)


@dataclass(frozen=True)
class EngineChoice:
    """Engine that a command was asked to use.

    Attributes:
        address, ray_token_file: of the Ray cluster to join.
    """

    engine: EngineName
    address: str | None
    ray_token_file: Path | None


def make_options(
    stack: ExitStack, project: str, choice: EngineChoice, home: Home, as_of: datetime | None, **options: object
) -> "BuildOptions":
    """Starts the engine for as long as the stack lasts."""
    from athanor.data.building.snapshot_build import BuildOptions

    options["as_of"] = as_of.replace(tzinfo=UTC) if as_of else None
    if choice.engine is EngineName.PANDAS:
        demand_no_cluster(choice.address)
        return BuildOptions(**options)  # type: ignore[arg-type]
    from athanor.data.building.ray_engine import RayEngine

    start_ray(stack, choice.address, choice.ray_token_file, home)
    return BuildOptions(engine=RayEngine(partial(load_job, project)), **options)  # type: ignore[arg-type]
