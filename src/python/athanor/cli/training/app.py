"""Command-line app of the layer `training`: from a snapshot to a release."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer
from rich.console import Group, RenderableType

from athanor.cli.shared.clusters import AddressOption, RayTokenOption, demand_no_cluster, start_ray
from athanor.cli.shared.terminal import (
    HomeOption,
    JsonOption,
    ProjectArgument,
    facts,
    listing,
    make_app,
    run,
    show,
    watch,
)
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

app = make_app("training", "Snapshots to releases that passed their gates.")


class SearchEngine(StrEnum):
    """What runs the fits of a search."""

    LOCAL = "local"
    RAY = "ray"


SnapshotOption = Annotated[int | None, typer.Option(help="Version of the dataset; the latest by default.")]
TrialsOption = Annotated[int | None, typer.Option(min=1, help="Trials of the search; those of the recipe by default.")]
JobsOption = Annotated[int | None, typer.Option(min=1, help="Fits at once; one for each core by default.")]
EngineOption = Annotated[SearchEngine, typer.Option(help="local: the cores of this machine; ray: a Ray cluster.")]


def add_commands(app: typer.Typer, open_recorder: OpenRecorder) -> None:
    """Adds `train` and `tune` to an app.

    Args:
        open_recorder: gives who remembers the trainings, or None for nobody.
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
        """Search, fit, compile, evaluate, gate and write a release. Exit status 3 when a gate says no.

        What is interrupted goes on where it was when it is started again.
        """
        from athanor.training.train.train import train as train_recipe

        asked = _Asked(project, snapshot, trials, jobs, engine, address, ray_token_file)
        with _prepared(asked, Home.find(home), open_recorder) as prepared:
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
        """Search, and show every trial. `train` goes on from what it has found."""
        from athanor.training.train.train import tune as tune_recipe

        asked = _Asked(project, snapshot, trials, jobs, engine, address, ray_token_file)
        with _prepared(asked, Home.find(home), open_recorder) as prepared:
            record = tune_recipe(*prepared)
        show(record, json, lambda: _trials_table(project, record))


@dataclass(frozen=True)
class _Asked:
    """What a command was asked to do."""

    project: str
    snapshot: int | None
    trials: int | None
    jobs: int | None
    engine: SearchEngine
    address: str | None
    ray_token_file: Path | None


@contextmanager
def _prepared(
    asked: _Asked, home: Home, open_recorder: OpenRecorder
) -> "Iterator[tuple[Recipe, Snapshot, Home, Progress, TrainingOptions, Recorder | None]]":
    """All that a training is given, for as long as the context lasts: progress, and a Ray where one is asked for."""
    from athanor.data.snapshots.snapshot import find_snapshot
    from athanor.training.recipe import Recipe

    recipe = load(asked.project, "recipe", Recipe)
    with ExitStack() as stack:
        options = _make_options(stack, asked, home)
        progress = stack.enter_context(watch())
        found = find_snapshot(asked.project, home.datasets, asked.snapshot)
        yield recipe, found, home, progress, options, open_recorder(home, progress)


def _make_options(stack: ExitStack, asked: _Asked, home: Home) -> "TrainingOptions":
    """Starts what the engine needs, for as long as the stack lasts."""
    if asked.engine is SearchEngine.LOCAL:
        demand_no_cluster(asked.address)
    else:
        start_ray(stack, asked.address, asked.ray_token_file, home)
    from athanor.training.train.release_build import TrainingOptions

    return TrainingOptions(trials=asked.trials, engine=asked.engine.value, jobs=asked.jobs)


def _show_training(project: str, training: "Training", as_json: bool) -> None:
    """Prints what a training made and saw."""
    release, record = training.release, training.record
    result = {
        "digest": release.digest,
        "location": release.location,
        "algorithm": release.identity.algorithm,
        "parameters": dict(release.identity.parameters),
        "record": record.model_dump(mode="json"),
    }
    head = {name: value for name, value in result.items() if name != "record"}
    show(result, as_json, lambda: Group(facts(f"Release of {project}", head), *_describe_record(project, record)))


def _describe_record(project: str, record: "TrainingRecord") -> Sequence[RenderableType]:
    """Tables of metrics, gates and trials."""
    metrics = [
        (name, f"{of.value:.4f}", f"{of.low:.4f} to {of.high:.4f}", f"{record.baseline[name].value:.4f}")
        for name, of in record.metrics.items()
    ]
    gates = [(gate.gate, "passed" if gate.passed else "FAILED", gate.explanation, gate.wanted) for gate in record.gates]
    return (
        listing("Metrics on the later time slice", ("metric", "model", "95 % interval", "baseline"), metrics),
        listing("Gates", ("gate", "", "saw", "wanted"), gates),
        _trials_table(project, record),
    )


def _trials_table(project: str, record: "TrainingRecord") -> RenderableType:
    """One row for each trial, best first."""
    rows = [
        (
            trial.algorithm,
            ", ".join(f"{name.rpartition('__')[2]} {value}" for name, value in trial.parameters.items()),
            ", ".join("not a number" if score is None else f"{score:.4f}" for score in trial.scores),
            f"{trial.fit_s:.1f} s",
        )
        for trial in record.trials
    ]
    header = ("algorithm", "parameters", f"{record.scoring}, fold by fold", "fits took")
    return listing(f"Trials of {project}, best first", header, rows)


# The binary of this layer carries no registry: `registry register` records what it has trained.
add_commands(app, lambda home, progress: None)


def main() -> None:
    run(app)


if __name__ == "__main__":
    main()
