"""Command-line app of the layer `training`: from a snapshot to a release."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.console import Group, RenderableType

from athanor.cli.shared.clusters import AddressOption, RayTokenOption, demand_no_cluster, start_ray
from athanor.cli.shared.records import gates_table, metrics_table
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
from athanor.cli.training.showing import show_recipe
from athanor.home import Home
from athanor.projects import load

if TYPE_CHECKING:
    from athanor.data.snapshots.snapshot import Snapshot
    from athanor.progress import Progress
    from athanor.release.record import TrainingRecord
    from athanor.training.recipe import Recipe
    from athanor.training.train.release_build import TrainingOptions
    from athanor.training.train.train import Recorder, Training

OpenRecorder: TypeAlias = "Callable[[Home, Progress], Recorder | None]"

app = make_app("training", "Train releases from snapshots, and gate them.")


class SearchEngine(StrEnum):
    """Engine that runs the fits of a search."""

    LOCAL = "local"
    RAY = "ray"


SnapshotOption = Annotated[int | None, typer.Option(help="Version of the dataset; the latest by default.")]
TrialsOption = Annotated[int | None, typer.Option(min=1, help="Trials of the search; by default as in the recipe.")]
JobsOption = Annotated[int | None, typer.Option(min=1, help="Parallel fits; one per core by default.")]
EngineOption = Annotated[SearchEngine, typer.Option(help="local: cores of this machine; ray: a Ray cluster.")]


def add_commands(app: typer.Typer, open_recorder: OpenRecorder) -> None:
    """Adds `train`, `tune` and `show` to an app.

    Args:
        open_recorder: makes the recorder of trainings, or None.
    """

    @app.command()
    def train(
        project: ProjectArgument,
        *,
        snapshot: SnapshotOption = None,
        trials: TrialsOption = None,
        jobs: JobsOption = None,
        engine: EngineOption = SearchEngine.LOCAL,
        address: AddressOption = None,
        ray_token_file: RayTokenOption = None,
        home: HomeOption = None,
        json: JsonOption = False,
    ) -> None:
        """Search, fit, compile, evaluate, gate and write a release. Exit status 3 if a gate fails.

        An interrupted training resumes when it is started again.
        """
        from athanor.training.train.train import train as train_recipe

        request = _Request(project, snapshot, trials, jobs, engine, address, ray_token_file)
        with _prepared(request, Home.find(home), open_recorder) as prepared:
            training = train_recipe(*prepared)
        _show_training(project, training, json)

    @app.command()
    def tune(
        project: ProjectArgument,
        *,
        snapshot: SnapshotOption = None,
        trials: TrialsOption = None,
        jobs: JobsOption = None,
        engine: EngineOption = SearchEngine.LOCAL,
        address: AddressOption = None,
        ray_token_file: RayTokenOption = None,
        home: HomeOption = None,
        json: JsonOption = False,
    ) -> None:
        """Search and show every trial. `train` resumes from the result."""
        from athanor.training.train.train import tune as tune_recipe

        request = _Request(project, snapshot, trials, jobs, engine, address, ray_token_file)
        with _prepared(request, Home.find(home), open_recorder) as prepared:
            record = tune_recipe(*prepared)
        show(record, json, lambda: _trials_table(project, record))

    app.command(name="show")(show_recipe)


@dataclass(frozen=True)
class _Request:
    """Arguments of a command."""

    project: str
    snapshot: int | None
    trials: int | None
    jobs: int | None
    engine: SearchEngine
    address: str | None
    ray_token_file: Path | None


@contextmanager
def _prepared(
    request: _Request, home: Home, open_recorder: OpenRecorder
) -> "Iterator[tuple[Recipe, Snapshot, Home, Progress, TrainingOptions, Recorder | None]]":
    """Arguments of a training, with progress and Ray running for as long as the context lasts."""
    from athanor.data.snapshots.snapshot import find_snapshot
    from athanor.training.recipe import Recipe

    recipe = load(request.project, "recipe", Recipe)
    with ExitStack() as stack:
        options = _make_options(stack, request, home)
        progress = stack.enter_context(watch())
        found = find_snapshot(recipe.model.name, home.datasets, request.snapshot)
        yield recipe, found, home, progress, options, open_recorder(home, progress)


def _make_options(stack: ExitStack, request: _Request, home: Home) -> "TrainingOptions":
    """Starts the engine for as long as the stack lasts."""
    if request.engine is SearchEngine.LOCAL:
        demand_no_cluster(request.address)
    else:
        start_ray(stack, request.address, request.ray_token_file, home)
    from athanor.training.train.release_build import TrainingOptions

    return TrainingOptions(trials=request.trials, engine=request.engine.value, jobs=request.jobs)


def _show_training(project: str, training: "Training", as_json: bool) -> None:
    """Prints the release and the record of a training."""
    release, record = training.release, training.record
    result = {
        "digest": release.digest,
        "location": release.location,
        "algorithm": release.identity.algorithm,
        "parameters": dict(release.identity.parameters),
        "record": record.model_dump(mode="json"),
    }
    head = facts(f"Release of {project}", {name: value for name, value in result.items() if name != "record"})
    tables = (head, metrics_table(record), gates_table(record), _trials_table(project, record))
    show(result, as_json, lambda: Group(*tables))


def _trials_table(project: str, record: "TrainingRecord") -> RenderableType:
    """One row per trial, best first."""
    rows = [
        (
            trial.algorithm,
            ", ".join(f"{name.rpartition('__')[2]} {value}" for name, value in trial.parameters.items()),
            ", ".join("not a number" if score is None else f"{score:.4f}" for score in trial.scores),
            f"{trial.fit_s:.1f} s",
        )
        for trial in record.trials
    ]
    header = ("algorithm", "parameters", f"{record.scoring}, fold by fold", "fit time")
    return listing(f"Trials of {project}, best first", header, rows)


# The binary of this layer has no registry: `registry register` records its trainings.
add_commands(app, lambda home, progress: None)


def main() -> None:
    run_program(app)


if __name__ == "__main__":
    main()
