"""Command-line app of the layer `training`: from a snapshot to a release."""

from typing import Annotated

import typer

from athanor.cli.terminal import HomeOption, JsonOption, ProjectArgument, facts, make_app, run, show, watch
from athanor.home import Home
from athanor.projects import load

app = make_app("training", "Snapshots to releases that passed their gates.")


@app.command()
def train(
    project: ProjectArgument,
    snapshot: Annotated[int | None, typer.Option(help="Version of the dataset; the latest by default.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Search, evaluate, gate, compile and write a release. Exit status 3 when a gate says no."""
    from athanor.data.snapshot import find_snapshot
    from athanor.training.recipe import Recipe
    from athanor.training.train import train as train_recipe

    recipe, place = load(project, "recipe", Recipe), Home.find(home)
    with watch() as progress:
        training = train_recipe(recipe, find_snapshot(project, place.datasets, snapshot), place, progress)
    rows = {
        "digest": training.release.digest,
        "folder": str(training.release.folder),
        "algorithm": training.release.identity.algorithm,
        "parameters": dict(training.release.identity.parameters),
        "metrics": dict(training.evaluation.metrics),
        "baseline": dict(training.evaluation.baseline),
        "gates": [str(gate) for gate in training.gates],
        "parity": training.parity,
    }
    show(rows, json, lambda: facts(f"Release of {project}", rows))


def main() -> None:
    run(app)


if __name__ == "__main__":
    main()
